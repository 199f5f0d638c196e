//! `daybook serve`: what the daemon may be told on the command line. Each flag is a setting.

use std::path::PathBuf;

use crate::config::Flags;

/// Run the daemon in the foreground
///
/// Every setting has a flag, a variable `DAYBOOK_<KEY>` and a key in daybook.toml; the flag wins over the variable, the
/// variable over the file. What the daemon says is for `--log-level` and `--log-format`: `--quiet` and `--json` change
/// nothing here.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct ServeOptions {
    /// The folder of the interfaces' files [default: ./schedules if present, else /etc/daybook/schedules]
    #[arg(long, value_name = "DIR")]
    pub schedules: Option<PathBuf>,
    /// The data folder; taken from the global `--data`.
    #[arg(skip)]
    pub data: Option<PathBuf>,
    /// Where HTTP is served: an address with a port, port 0 takes a free one [default: 127.0.0.1:7474]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// The Unix socket for the command line [default: $RUNTIME_DIRECTORY/daybook.sock, else DATA/daybook.sock]
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// The settings file [default: ~/.config/daybook/daybook.toml, else /etc/daybook/daybook.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Executions at once, of all interfaces together [default: 128]
    #[arg(long, value_name = "N")]
    pub max_concurrent: Option<String>,
    /// Between TERM and KILL when a command is ended [default: 10s]
    #[arg(long, value_name = "DURATION")]
    pub grace: Option<String>,
    /// How long the daemon waits at SIGTERM and SIGINT for what runs [default: 10s]
    #[arg(long, value_name = "DURATION")]
    pub drain_deadline: Option<String>,
    /// Whether each command gets a cgroup of its own where that is possible: true, false [default: true]
    #[arg(long, value_name = "BOOL")]
    pub cgroups: Option<String>,
    /// How often the daemon pings its own monitor [default: 1m]
    #[arg(long, value_name = "DURATION")]
    pub ping_every: Option<String>,
    /// How long executions that ended ok are kept, where an interface says nothing [default: for ever]
    #[arg(long, value_name = "DURATION")]
    pub retention_ok: Option<String>,
    /// The same for executions that ended ko [default: for ever]
    #[arg(long, value_name = "DURATION")]
    pub retention_ko: Option<String>,
    /// The same for log lines [default: for ever]
    #[arg(long, value_name = "DURATION")]
    pub retention_lines: Option<String>,
    /// How often what is over is removed [default: 1d]
    #[arg(long, value_name = "DURATION")]
    pub retention_every: Option<String>,
    /// What the daemon logs about itself: error, warn, info, debug, trace, or directives [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// The form of the daemon's own log: auto, text, json, journald [default: auto]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// A folder for daily rolling log files
    #[arg(long, value_name = "DIR")]
    pub log_dir: Option<PathBuf>,
    /// Who may read /metrics: auto, open, token [default: auto]
    #[arg(long, value_name = "WHO")]
    pub metrics: Option<String>,
    /// Allow a listener that is not loopback and has no TLS
    #[arg(long)]
    pub insecure_listen: bool,
    /// The certificate chain of the listener, PEM
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// The private key of the listener, PEM
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// The daemon's own dead-man monitor; DAYBOOK_PING keeps it out of the process list
    #[arg(long, value_name = "URL", hide = true)]
    pub ping: Option<String>,
    /// Print a login link at start even when it is not at a terminal
    #[arg(long)]
    pub print_login: bool,
}

impl ServeOptions {
    /// The same as the settings' layer of flags, by key.
    pub fn flags(&self) -> Flags {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let switch = |on: bool| on.then(|| "true".to_owned());
        let all = [
            ("schedules", path(&self.schedules)),
            ("data", path(&self.data)),
            ("listen", self.listen.clone()),
            ("socket", path(&self.socket)),
            ("config", path(&self.config)),
            ("max_concurrent", self.max_concurrent.clone()),
            ("grace", self.grace.clone()),
            ("drain_deadline", self.drain_deadline.clone()),
            ("cgroups", self.cgroups.clone()),
            ("ping", self.ping.clone()),
            ("ping_every", self.ping_every.clone()),
            ("retention_ok", self.retention_ok.clone()),
            ("retention_ko", self.retention_ko.clone()),
            ("retention_lines", self.retention_lines.clone()),
            ("retention_every", self.retention_every.clone()),
            ("log_level", self.log_level.clone()),
            ("log_format", self.log_format.clone()),
            ("log_dir", path(&self.log_dir)),
            ("metrics", self.metrics.clone()),
            ("insecure_listen", switch(self.insecure_listen)),
            ("tls_cert", path(&self.tls_cert)),
            ("tls_key", path(&self.tls_key)),
            ("print_login", switch(self.print_login)),
        ];
        all.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys::SETTINGS;

    #[test]
    fn every_flag_is_a_setting() {
        let options = ServeOptions {
            data: Some(PathBuf::from("/d")),
            listen: Some("127.0.0.1:0".to_owned()),
            insecure_listen: true,
            ..ServeOptions::default()
        };
        let flags = options.flags();
        assert_eq!(flags.get("listen").map(String::as_str), Some("127.0.0.1:0"));
        assert_eq!(flags.get("insecure_listen").map(String::as_str), Some("true"));
        assert_eq!(flags.get("print_login"), None);
        assert!(flags.keys().all(|key| SETTINGS.key(key).is_some()), "{flags:?}");
    }
}
