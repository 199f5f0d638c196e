//! Keys of `daybook.toml`; each also has a variable `DAYBOOK_<KEY>` and a flag `--<key>`.

use super::{Key, Kind, Table, choice};

/// `daybook.toml`.
pub static SETTINGS: Table = Table {
    name: "daybook.toml",
    place: "top of daybook.toml",
    keys: &[
        Key::new("data", Kind::Text, "The folder that holds the log, the index and the credentials.")
            .default("$STATE_DIRECTORY, else $XDG_STATE_HOME/daybook, else ~/.local/state/daybook")
            .example("\"/var/lib/daybook\"")
            .also(&["data_dir", "datadir"]),
        Key::new("backups", Kind::Text, "The folder of backups; `daybook store backup` writes below it and nowhere else.")
            .default("<data>/backups")
            .example("\"/srv/backups/daybook\"")
            .also(&["backup_dir", "backups_dir", "backup"]),
        Key::new("schedules", Kind::Text, "The folder of the interfaces' files.")
            .default("./schedules if present, else /etc/daybook/schedules")
            .example("\"/etc/daybook/schedules\""),
        Key::new("listen", Kind::Text, "Where HTTP is served: an address with a port. Port 0 takes a free one.")
            .default("\"127.0.0.1:7474\"")
            .example("\"127.0.0.1:7474\"")
            .also(&["bind", "address", "addr"]),
        Key::new("socket", Kind::Text, "The Unix socket for the command line.")
            .default("$RUNTIME_DIRECTORY/daybook.sock for the service, else <data>/daybook.sock")
            .example("\"/run/daybook/daybook.sock\""),
        Key::new("server", Kind::Url, "The command line talks to this daemon instead of the local one.")
            .default("none")
            .example("\"https://daybook.example\""),
        Key::new("max_concurrent", Kind::Integer(1, 100_000), "Executions at once, of all interfaces together.")
            .default("128")
            .example("64")
            .also(&["concurrent", "concurrency"]),
        Key::new("grace", Kind::Duration, "Between TERM and KILL when a command is ended.")
            .default("\"10s\"")
            .example("\"30s\"")
            .also(&["kill_after"]),
        Key::new("drain_deadline", Kind::Duration, "How long the daemon waits at SIGTERM and SIGINT for what runs. Then commands go on without it, and the next start takes them over; calls are broken off.")
            .default("\"10s\"")
            .example("\"1m\"")
            .also(&["shutdown_timeout", "stop_timeout"]),
        Key::new("cgroups", Kind::Flag, "Gives each command a cgroup of its own where the daemon may make one; else, and with `false`, process trees are told by parents and markers.")
            .default("true")
            .example("false"),
        Key::new("disk_low", Kind::Text, "With less room than this for the data folder only error lines of jobs are kept: a size such as `\"2GiB\"`, or a share of the file system such as `\"5%\"`.")
            .default("\"512MiB\" or \"5%\", whichever is less")
            .example("\"2GiB\""),
        Key::new("disk_full", Kind::Text, "With less room than this nothing new is started; a size or a share, not more than `disk_low`.")
            .default("\"128MiB\" or \"2%\", whichever is less")
            .example("\"512MiB\""),
        Key::new("ping", Kind::Url, "The daemon's own dead-man monitor.").default("none").example("\"https://hc-ping.com/00000000-0000-0000-0000-000000000000\"").secret(),
        Key::new("ping_every", Kind::Duration, "How often the daemon pings its own monitor; at least 12s.").default("\"1m\"").example("\"5m\"").also(&["ping_period", "ping_interval"]),
        Key::new("retention_ok", Kind::Duration, "How long executions that ended ok are kept, where an interface's `retention` says nothing.")
            .default("for ever")
            .example("\"90d\""),
        Key::new("retention_ko", Kind::Duration, "The same for executions that ended ko.").default("for ever").example("\"400d\""),
        Key::new("retention_lines", Kind::Duration, "The same for log lines.").default("for ever").example("\"90d\""),
        Key::new("retention_every", Kind::Duration, "How often what is over is removed; at least 10m.").default("\"1d\"").example("\"6h\""),
        Key::new("log_level", Kind::Text, "What the daemon logs about itself: `error`, `warn`, `info`, `debug`, `trace`, or directives such as `info,daybook::engine=debug`.")
            .default("\"info\"")
            .example("\"debug\"")
            .also(&["loglevel", "verbosity"]),
        Key::new("log_format", choice(&["auto", "text", "json", "journald"]), "The form of the daemon's own log; `auto` takes journald when it is there, else text.").default("\"auto\"").example("\"json\""),
        Key::new("log_dir", Kind::Text, "A folder for daily rolling log files, beside the terminal or journald.").default("none").example("\"/var/log/daybook\"").also(&["log_file", "logdir"]),
        Key::new("metrics", choice(&["auto", "open", "token"]), "Who may read `/metrics`: `auto` is everybody on a loopback listener, else holders of a token.").default("\"auto\"").example("\"token\""),
        Key::new("insecure_listen", Kind::Flag, "Allows a listener that is not loopback and has no TLS.").default("false").example("true"),
        Key::new("tls_cert", Kind::Text, "The certificate chain of the listener, in PEM; `tls_key` must be given too.").default("none").example("\"/etc/daybook/tls.crt\""),
        Key::new("tls_key", Kind::Text, "The private key of the listener, in PEM.").default("none").example("\"/etc/daybook/tls.key\""),
        Key::new("print_login", Kind::Flag, "Prints a login link at start even when it is not at a terminal.").default("false").example("true"),
    ],
    one_of: &[],
    required: &[],
};
