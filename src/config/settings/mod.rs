//! The daemon's settings, each with its origin: flag over variable over `daybook.toml` over default.

mod layers;
mod shown;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::environment::Environment;
use super::keys::SETTINGS;
use super::problem::{Problem, Severity};
use crate::domain::space::{Amount, Watermarks};
use layers::Layers;
pub use shown::SettingRow;

/// The documented sample of `daybook.toml`, which says nothing but the defaults.
pub const DEFAULT_TOML: &str = include_str!("../default.toml");

/// Where the packaged service keeps its settings. Source: contract, section 10.
const SYSTEM_FILE: &str = "/etc/daybook/daybook.toml";

/// Values given as flags, by key (`max_concurrent`), as they were typed. `config` names the file itself.
pub type Flags = BTreeMap<&'static str, String>;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A flag of the command line.
    Flag(String),
    /// An environment variable.
    Variable(String),
    /// A line of `daybook.toml`.
    File {
        /// The file.
        path: String,
        /// From 1.
        line: usize,
    },
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => f.write_str(name),
            Self::Variable(name) => write!(f, "${name}"),
            Self::File { path, line } => write!(f, "{path}:{line}"),
            Self::Default => f.write_str("default"),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// A value with its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Where it came from.
    pub origin: Origin,
}

/// The form of the daemon's own log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// journald when it listens, else text.
    Auto,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
    /// journald's own fields.
    Journald,
}

/// Who may read `/metrics`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsAccess {
    /// Everybody on a loopback listener, else holders of a token.
    Auto,
    /// Everybody.
    Open,
    /// Holders of a token.
    Token,
}

/// All settings of the daemon. `keys::SETTINGS` documents each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The folder of log, index and credentials.
    pub data: Setting<PathBuf>,
    /// The folder below which backups are written.
    pub backups: Setting<PathBuf>,
    /// The folder of the interfaces' files.
    pub schedules: Setting<PathBuf>,
    /// Where HTTP is served.
    pub listen: Setting<SocketAddr>,
    /// The Unix socket.
    pub socket: Setting<PathBuf>,
    /// A remote daemon for the command line.
    pub server: Setting<Option<String>>,
    /// Executions at once.
    pub max_concurrent: Setting<u32>,
    /// Between TERM and KILL.
    pub grace: Setting<Duration>,
    /// How long a signal lets run what runs.
    pub drain_deadline: Setting<Duration>,
    /// Gives each command a cgroup where that is possible.
    pub cgroups: Setting<bool>,
    /// Below it only error lines are kept.
    pub disk_low: Setting<Amount>,
    /// Below it nothing new is started.
    pub disk_full: Setting<Amount>,
    /// The daemon's own dead-man monitor. A secret of sorts.
    pub ping: Setting<Option<String>>,
    /// How often it is pinged.
    pub ping_every: Setting<Duration>,
    /// How long executions that ended ok are kept where an interface says nothing; none is for ever.
    pub retention_ok: Setting<Option<Duration>>,
    /// The same for those that ended ko.
    pub retention_ko: Setting<Option<Duration>>,
    /// The same for log lines.
    pub retention_lines: Setting<Option<Duration>>,
    /// How often history is pruned.
    pub retention_every: Setting<Duration>,
    /// Directives for the daemon's own log.
    pub log_level: Setting<String>,
    /// Its form.
    pub log_format: Setting<LogFormat>,
    /// A folder for rolling files of it.
    pub log_dir: Setting<Option<PathBuf>>,
    /// Who may read `/metrics`.
    pub metrics: Setting<MetricsAccess>,
    /// Allows a listener beyond loopback without TLS.
    pub insecure_listen: Setting<bool>,
    /// Certificate chain, PEM.
    pub tls_cert: Setting<Option<PathBuf>>,
    /// Private key, PEM.
    pub tls_key: Setting<Option<PathBuf>>,
    /// Prints a login link also away from a terminal.
    pub print_login: Setting<bool>,
    /// The `daybook.toml` that was read.
    pub file: Option<PathBuf>,
}

impl Settings {
    /// Puts the layers together and checks them.
    ///
    /// # Errors
    /// All problems at once: unknown keys, values that cannot be read, settings that contradict each other.
    pub fn load(flags: &Flags, env: &Environment) -> Result<Self, Vec<Problem>> {
        let (path, required) = settings_file(flags, env);
        let text = match &path {
            Some(path) => match std::fs::read_to_string(path) {
                Ok(text) => Some(text),
                Err(err) if !required && err.kind() == std::io::ErrorKind::NotFound => None,
                Err(err) => {
                    let file = path.display().to_string();
                    return Err(vec![Problem::without_place(
                        Severity::Error,
                        file,
                        format!("cannot be read: {err}"),
                    )]);
                }
            },
            None => None,
        };
        let here = Path::new("schedules").is_dir();
        let file = path.filter(|_| text.is_some());
        let shown = file.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        let mut settings =
            Self::from_parts(flags, env, (&shown, text.as_deref().unwrap_or_default()), here)?;
        settings.file = file;
        Ok(settings)
    }

    /// The same without touching the disk: `file` is name and text of `daybook.toml`, `here` whether `./schedules` exists.
    pub(super) fn from_parts(
        flags: &Flags,
        env: &Environment,
        (file, text): (&str, &str),
        here: bool,
    ) -> Result<Self, Vec<Problem>> {
        let layers = Layers::new(flags, env, file, text);
        let data = layers.path("data").or_default(|| default_data(env));
        let data = layers.needed(data, "data", "--data DIR or DAYBOOK_DATA names the data folder; neither $STATE_DIRECTORY, $XDG_STATE_HOME nor $HOME is set");
        let settings = Self {
            backups: layers.path("backups").or(|| data.value.join("backups")),
            schedules: layers
                .path("schedules")
                .or(|| PathBuf::from(if here { "schedules" } else { "/etc/daybook/schedules" })),
            listen: layers.address("listen").or(|| SocketAddr::from(([127, 0, 0, 1], 7474))),
            socket: layers.path("socket").or(|| {
                first_folder(env, "RUNTIME_DIRECTORY")
                    .unwrap_or_else(|| data.value.clone())
                    .join("daybook.sock")
            }),
            server: layers.url("server").optional(),
            max_concurrent: layers.number("max_concurrent").or(|| 128),
            grace: layers.duration("grace").or(|| Duration::from_secs(10)),
            drain_deadline: layers.duration("drain_deadline").or(|| Duration::from_secs(10)),
            cgroups: layers.flag("cgroups").or(|| true),
            disk_low: layers.amount("disk_low").or(|| Watermarks::default().low),
            disk_full: layers.amount("disk_full").or(|| Watermarks::default().full),
            ping: layers.url("ping").optional(),
            ping_every: layers.duration("ping_every").or(|| Duration::from_secs(60)),
            retention_ok: layers.duration("retention_ok").optional(),
            retention_ko: layers.duration("retention_ko").optional(),
            retention_lines: layers.duration("retention_lines").optional(),
            retention_every: layers
                .duration("retention_every")
                .or(|| Duration::from_secs(24 * 3600)),
            log_level: layers.log_level("log_level").or(|| "info".to_owned()),
            log_format: layers.choice("log_format", log_format).or(|| LogFormat::Auto),
            log_dir: layers.path("log_dir").optional(),
            metrics: layers.choice("metrics", metrics).or(|| MetricsAccess::Auto),
            insecure_listen: layers.flag("insecure_listen").or(|| false),
            tls_cert: layers.path("tls_cert").optional(),
            tls_key: layers.path("tls_key").optional(),
            print_login: layers.flag("print_login").or(|| false),
            data,
            file: None,
        };
        settings.check(&layers);
        let problems = layers.finish();
        if problems.is_empty() { Ok(settings) } else { Err(problems) }
    }

    /// Refuses settings that contradict each other.
    fn check(&self, layers: &Layers<'_>) {
        let tls = match (&self.tls_cert.value, &self.tls_key.value) {
            (Some(_), Some(_)) => true,
            (None, None) => false,
            (Some(_), None) => {
                layers.refuse("tls_cert", "needs `tls_key` beside it", None);
                true
            }
            (None, Some(_)) => {
                layers.refuse("tls_key", "needs `tls_cert` beside it", None);
                true
            }
        };
        if !self.listen.value.ip().is_loopback() && !tls && !self.insecure_listen.value {
            layers.refuse(
                "listen",
                &format!("`{}` is not loopback, and there is no TLS", self.listen.value),
                Some("give tls_cert and tls_key, or allow it with --insecure-listen".to_owned()),
            );
        }
        let more = match (self.disk_full.value, self.disk_low.value) {
            (Amount::Bytes(full), Amount::Bytes(low)) => full > low,
            (Amount::Percent(full), Amount::Percent(low)) => full > low,
            // Which is more depends on the disk; the smaller room counts then.
            _ => false,
        };
        if more {
            let why = "is more than `disk_low`: nothing would be started while all lines are kept";
            layers.refuse("disk_full", why, None);
        }
        if self.retention_every.value < Duration::from_secs(600) {
            layers.refuse(
                "retention_every",
                "is less than 10m: each time the whole history is looked through",
                None,
            );
        }
        if self.ping_every.value < Duration::from_secs(12) {
            layers.refuse(
                "ping_every",
                "is less than 12s: monitors refuse more than 5 pings a minute",
                None,
            );
        }
    }

    /// Each key with its value as text, its origin and what it means, in the order of the reference. Secrets are masked.
    pub fn rows(&self) -> Vec<SettingRow> {
        shown::rows(self)
    }
}

/// The variables that set something: `DAYBOOK_<KEY>` for each key, and the file's own.
pub(super) fn variables() -> Vec<String> {
    let mut names: Vec<String> = SETTINGS.keys.iter().map(|key| variable(key.name)).collect();
    names.push(variable("config"));
    names
}

fn variable(key: &str) -> String {
    format!("DAYBOOK_{}", key.to_uppercase())
}

/// The settings file, and whether somebody asked for exactly it.
fn settings_file(flags: &Flags, env: &Environment) -> (Option<PathBuf>, bool) {
    if let Some(path) =
        flags.get("config").map(PathBuf::from).or_else(|| env.path("DAYBOOK_CONFIG"))
    {
        return (Some(path), true);
    }
    let home =
        env.path("XDG_CONFIG_HOME").or_else(|| env.path("HOME").map(|home| home.join(".config")));
    let own = home.map(|home| home.join("daybook/daybook.toml")).filter(|path| path.exists());
    (Some(own.unwrap_or_else(|| PathBuf::from(SYSTEM_FILE))), false)
}

/// systemd's variables may name several folders, of which the first is ours.
fn first_folder(env: &Environment, variable: &str) -> Option<PathBuf> {
    env.filled(variable).and_then(|list| list.split(':').next()).map(PathBuf::from)
}

fn default_data(env: &Environment) -> Option<PathBuf> {
    first_folder(env, "STATE_DIRECTORY")
        .or_else(|| env.path("XDG_STATE_HOME").map(|home| home.join("daybook")))
        .or_else(|| env.path("HOME").map(|home| home.join(".local/state/daybook")))
}

fn log_format(word: &str) -> Option<LogFormat> {
    match word {
        "auto" => Some(LogFormat::Auto),
        "text" => Some(LogFormat::Text),
        "json" => Some(LogFormat::Json),
        "journald" => Some(LogFormat::Journald),
        _ => None,
    }
}

fn metrics(word: &str) -> Option<MetricsAccess> {
    match word {
        "auto" => Some(MetricsAccess::Auto),
        "open" => Some(MetricsAccess::Open),
        "token" => Some(MetricsAccess::Token),
        _ => None,
    }
}
