//! Keys of a schedule.

use super::{Group, Key, Kind, Names, Table, choice};

/// `[schedules.<id>]`.
pub static SCHEDULE: Table = Table {
    name: "a schedule",
    place: "[schedules.<id>]",
    keys: &[
        Key::new("enabled", Kind::Flag, "False switches it off; its slots are `skipped(disabled)`.")
            .default("true")
            .example("false")
            .also(&["disabled", "active"]),
        Key::new("cron", Kind::Cron, "A cron pattern: 5 fields, 6 with seconds, 7 with years, or `@hourly`, `@daily`, `@midnight`, `@weekly`, `@monthly`, `@yearly`, `@reboot`.")
            .example("\"0 */2 * * *\"")
            .also(&["schedule", "pattern", "when"]),
        Key::new("every", Kind::Duration, "A fixed period of whole seconds, counted from 1970-01-01T00:00Z or from `anchor`; elapsed time, never daylight saving.")
            .example("\"90s\"")
            .also(&["interval", "period"]),
        Key::new("anchor", Kind::Moment, "Where the counting of `every` starts.")
            .default("1970-01-01T00:00:00Z")
            .example("\"2026-01-01T00:00:00Z\""),
        Key::new("at", Kind::LocalTime, "Once, at this local time in the schedule's zone.")
            .example("\"2026-12-24T18:00\"")
            .also(&["once"]),
        Key::new("after", Kind::Table(&AFTER), "For each slot of another schedule, when its execution has ended as wanted; the slot has the same nominal instant.")
            .example("{ schedule = \"shop/sales\" }")
            .also(&["depends_on", "follows"]),
        Key::new("manual", Kind::True, "Only when somebody asks.").example("true"),
        Key::new("reboot", Kind::True, "Once for each start of the machine; the same as `cron = \"@reboot\"`.").example("true"),
        Key::new("timezone", Kind::Zone, "IANA zone name.")
            .default("the interface's")
            .example("\"Europe/Paris\"")
            .also(&["tz", "zone", "time_zone"]),
        Key::new("command", Kind::List(&Kind::Template), "A program with its arguments; no shell is between. A relative program is found from `cwd`'s base.")
            .example("[\"./integrate-sales\", \"--since\", \"{{ slot.last_ok }}\"]")
            .also(&["cmd", "run", "exec"]),
        Key::new("shell", Kind::Text, "A text for `/bin/sh -c`. Templates do not work here; use the variables (`$DAYBOOK_SLOT`).")
            .example("\"./integrate-sales | gzip > out.gz\"")
            .also(&["sh", "script", "bash"]),
        Key::new("http", Kind::Table(&HTTP), "One HTTP call.")
            .example("{ url = \"https://api.example/health\" }"),
        Key::new("cwd", Kind::Text, "The working folder. A relative one counts from the folder that holds the schedules folder.")
            .default("\".\"")
            .example("\"jobs\"")
            .also(&["dir", "directory", "workdir", "working_directory"]),
        Key::new("params", Kind::Map(Names::Param, &Kind::Table(&PARAM)), "Declared parameters; undeclared ones are refused.")
            .default("none")
            .example("{ day = { default = \"{{ slot.date }}\" } }")
            .also(&["parameters", "args", "param"]),
        Key::new("ok_exit", Kind::List(&Kind::Integer(0, 255)), "Exit statuses that count as success.")
            .default("[0]")
            .example("[0, 3]")
            .also(&["exit_codes", "success_exit"]),
        Key::new("timeout", Kind::Duration, "The longest time for each attempt; then the whole process tree is ended.")
            .default("none")
            .example("\"45m\""),
        Key::new("anomaly_after", Kind::Duration, "From the first attempt's start: an anomaly while it still runs. It is not ended.")
            .default("\"1h\"")
            .example("\"2h\"")
            .also(&["anomaly", "warn_after"]),
        Key::new("retry", Kind::Table(&RETRY), "Automatic retries inside the execution.")
            .default("none")
            .example("{ attempts = 3, on = [\"external\"] }")
            .also(&["retries"]),
        Key::new("overlap", choice(&["skip", "queue", "queue-all", "allow", "cancel-running"]), "What to do when an execution of the schedule is open already: skip the slot; let it wait, in the place of one that waits already (`queue`) or behind all (`queue-all`); let both run; or cancel the open one.")
            .default("\"skip\"")
            .example("\"allow\"")
            .also(&["concurrency", "concurrency_policy"]),
        Key::new("catch_up", Kind::Table(&CATCH_UP), "What to do about slots that were not run in time.")
            .default("{ mode = \"last\", window = \"24h\" }")
            .example("{ mode = \"none\" }")
            .also(&["catchup", "misfire"]),
        Key::new("dst", Kind::Table(&DST), "What daylight saving does to it.")
            .default("Debian cron's rule")
            .example("{ gap = \"skip\" }"),
        Key::new("lock", Kind::Text, "Schedules with the same lock, of any interface, do not run together: the later one waits.")
            .example("\"sales\"")
            .also(&["mutex", "lock_group"]),
        Key::new("splay", Kind::Duration, "Live slots start up to so much later, each schedule always by the same delay; the nominal instant does not move.")
            .default("none")
            .example("\"30s\"")
            .also(&["jitter", "random_delay"]),
        Key::new("exclude", Kind::List(&Kind::Slug), "Calendars on whose dates, in its zone, it does not run: these slots are `skipped(calendar)`.")
            .default("none")
            .example("[\"fr-holidays\"]")
            .also(&["holidays", "except"]),
        Key::new("only", Kind::List(&Kind::Slug), "Calendars on whose dates, in its zone, alone it runs; its other slots are `skipped(calendar)`.")
            .default("none")
            .example("[\"trading-days\"]"),
        Key::new("role", choice(&["regular", "errors", "maintenance"]), "Its part in the interface.")
            .default("\"regular\"")
            .example("\"errors\""),
        Key::new("on_interrupt", choice(&["ko", "rerun"]), "What to do when the daemon or the machine stopped under it: leave it KO, or open a new execution at once.")
            .default("\"ko\"")
            .example("\"rerun\""),
        Key::new("max_log", Kind::Size, "From so many bytes on only error lines are kept, and an event says so.")
            .default("\"1GiB\"")
            .example("\"64MiB\"")
            .also(&["max_log_bytes", "log_limit"]),
        Key::new("ping", Kind::Url, "The dead-man monitor's address for this schedule.")
            .example("\"https://hc-ping.com/00000000-0000-0000-0000-000000000000\"")
            .also(&["healthcheck", "deadman", "heartbeat", "monitor"])
            .secret(),
        Key::new("priority", Kind::Integer(-1000, 1000), "Larger ones leave the queue first.").default("0").example("5"),
        Key::later("realtime", "One execution for each local day, filled by calls from outside."),
        Key::later("sync", "A job of a connector."),
        Key::later("action", "An action of a connector."),
    ],
    one_of: &[
        Group { asks: "when it runs", keys: &["cron", "every", "at", "manual", "reboot", "after", "realtime"] },
        Group { asks: "what it runs", keys: &["command", "shell", "http", "sync", "action"] },
    ],
    required: &[],
};

/// `after = { … }`.
pub static AFTER: Table = Table {
    name: "after",
    place: "after = { … }",
    keys: &[
        Key::new(
            "schedule",
            Kind::Text,
            "The schedule that is followed, by its full name; it may be of another interface.",
        )
        .example("\"shop/sales\""),
        Key::new(
            "outcome",
            choice(&["ok", "ko", "any"]),
            "How its execution, or a re-run of it, must end.",
        )
        .default("\"ok\"")
        .example("\"any\""),
        Key::new(
            "deadline",
            Kind::Duration,
            "How long after its opening; then the slot is `skipped(dependency)`.",
        )
        .default("\"24h\"")
        .example("\"2h\""),
    ],
    one_of: &[],
    required: &["schedule"],
};

/// `http = { … }`.
pub static HTTP: Table = Table {
    name: "an HTTP call",
    place: "http = { … }",
    keys: &[
        Key::new("url", Kind::Url, "The address; may hold templates after the scheme.")
            .example("\"https://api.example/sales?day={{ slot.date }}\"")
            .also(&["uri", "address"]),
        Key::new(
            "method",
            choice(&["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
            "The method.",
        )
        .default("\"GET\"")
        .example("\"POST\"")
        .also(&["verb"]),
        Key::new(
            "headers",
            Kind::Map(Names::Header, &Kind::Secretable),
            "Headers; their values may hold templates or be read as secrets.",
        )
        .default("none")
        .example("{ authorization = { credential = \"fnac-auth\" } }")
        .also(&["header"]),
        Key::new("body", Kind::Template, "What is sent; may hold templates.")
            .example("'{\"day\": \"{{ slot.date }}\"}'")
            .also(&["data", "payload"]),
        Key::new("expect", Kind::List(&Kind::Integer(100, 599)), "Statuses that count as success.")
            .default("any 2xx")
            .example("[200, 404]")
            .also(&["status", "expected_status", "ok_status"]),
        Key::new("max_body", Kind::Size, "How much of the answer is read at most.")
            .default("\"1MiB\"")
            .example("\"8MiB\""),
    ],
    one_of: &[],
    required: &["url"],
};

/// A value of `[env]` or of a header that is read from elsewhere.
pub static SECRET: Table = Table {
    name: "a secret",
    place: "NAME = { … } in [env] and headers",
    keys: &[
        Key::new("credential", Kind::Text, "A credential by name: `$CREDENTIALS_DIRECTORY/<name>`, else `<data>/credentials/<name>` (mode 0600).").example("\"fnac-token\""),
        Key::new("file", Kind::Text, "A file that holds it.").example("\"/run/secrets/fnac\""),
        Key::new("from_env", Kind::Text, "A variable of the daemon's own environment.").example("\"FNAC_TOKEN\"").also(&["env"]),
    ],
    one_of: &[Group { asks: "where the value is read", keys: &["credential", "file", "from_env"] }],
    required: &[],
};

/// `params.<name>`.
pub static PARAM: Table = Table {
    name: "a parameter",
    place: "params.<name>",
    keys: &[Key::new(
        "default",
        Kind::Template,
        "The value unless one is given; may hold templates.",
    )
    .default("none: it must be given at each start")
    .example("\"{{ slot.date }}\"")],
    one_of: &[],
    required: &[],
};

/// `retry = { … }`.
pub static RETRY: Table = Table {
    name: "retry",
    place: "retry = { … }",
    keys: &[
        Key::new("attempts", Kind::Integer(1, 100), "All attempts, the first included.")
            .default("1")
            .example("3")
            .also(&["max", "count", "times"]),
        Key::new(
            "delay",
            Kind::Duration,
            "The wait before the second attempt; each wait is drawn between 0 and its length.",
        )
        .default("\"30s\"")
        .example("\"10s\"")
        .also(&["wait", "backoff"]),
        Key::new("factor", Kind::Number(1.0), "What each further wait is multiplied by.")
            .default("2.0")
            .example("1.5"),
        Key::new(
            "max_delay",
            Kind::Duration,
            "The longest wait. No attempt follows when the external system asks for a longer one.",
        )
        .default("\"10m\"")
        .example("\"5m\""),
        Key::new(
            "on",
            Kind::List(&choice(&["external", "configuration", "mapping", "technical", "cascade"])),
            "Classes that are tried again.",
        )
        .default("all")
        .example("[\"external\"]"),
    ],
    one_of: &[],
    required: &[],
};

/// `catch_up = { … }`.
pub static CATCH_UP: Table = Table {
    name: "catch_up",
    place: "catch_up = { … }",
    keys: &[
        Key::new(
            "mode",
            choice(&["none", "last", "all"]),
            "Which of them run: none, the newest inside the window, or all inside it up to `max`, oldest first, one after another.",
        )
        .default("\"last\"")
        .example("\"none\""),
        Key::new("window", Kind::Duration, "How far back.").default("\"24h\"").example("\"2h\""),
        Key::new("max", Kind::Integer(1, 10_000), "The newest so many in mode `all`; older ones are `missed(max)`.")
            .default("24")
            .example("100"),
        Key::new("rate", Kind::Rate, "How many of them start in a period.")
            .default("none: one after another without a pause")
            .example("\"10/min\""),
    ],
    one_of: &[],
    required: &[],
};

/// `dst = { … }`.
pub static DST: Table = Table {
    name: "dst",
    place: "dst = { … }",
    keys: &[
        Key::new("gap", choice(&["shift", "skip"]), "For a local time that does not exist: run at the first instant after the gap, or not at all.")
            .default("the pattern's own rule")
            .example("\"skip\""),
        Key::new("fold", choice(&["first", "last", "both"]), "For a local time that comes twice: on which pass.")
            .default("the pattern's own rule")
            .example("\"both\""),
    ],
    one_of: &[],
    required: &[],
};
