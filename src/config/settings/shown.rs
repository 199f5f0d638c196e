//! Settings as people see them.

use serde::Serialize;

use super::{LogFormat, MetricsAccess, Origin, Setting, Settings};
use crate::config::keys::SETTINGS;
use crate::config::values::{show_duration, show_size};
use crate::domain::space::Amount;

/// One setting with its value as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SettingRow {
    /// The key.
    pub key: &'static str,
    /// The value; none when it is not set. Secrets are masked.
    pub value: Option<String>,
    /// Where it came from.
    pub origin: Origin,
    /// What it means.
    pub doc: &'static str,
}

pub(super) fn rows(settings: &Settings) -> Vec<SettingRow> {
    let row = |key: &'static crate::config::keys::Key| {
        let (value, origin) = shown(settings, key.name)?;
        let value = if key.secret { value.map(|_| "***".to_owned()) } else { value };
        Some(SettingRow { key: key.name, value, origin, doc: key.doc })
    };
    SETTINGS.keys.iter().filter_map(row).collect()
}

fn shown(settings: &Settings, key: &str) -> Option<(Option<String>, Origin)> {
    let duration = |one: &Setting<std::time::Duration>| {
        plain(one, |value| show_duration(u64::try_from(value.as_millis()).unwrap_or(u64::MAX)))
    };
    let maybe_duration = |one: &Setting<Option<std::time::Duration>>| {
        maybe(one, |value| show_duration(u64::try_from(value.as_millis()).unwrap_or(u64::MAX)))
    };
    Some(match key {
        "data" => plain(&settings.data, |path| path.display().to_string()),
        "backups" => plain(&settings.backups, |path| path.display().to_string()),
        "schedules" => plain(&settings.schedules, |path| path.display().to_string()),
        "listen" => plain(&settings.listen, ToString::to_string),
        "socket" => plain(&settings.socket, |path| path.display().to_string()),
        "server" => maybe(&settings.server, Clone::clone),
        "max_concurrent" => plain(&settings.max_concurrent, ToString::to_string),
        "grace" => duration(&settings.grace),
        "drain_deadline" => duration(&settings.drain_deadline),
        "cgroups" => plain(&settings.cgroups, ToString::to_string),
        "disk_low" => plain(&settings.disk_low, amount),
        "disk_full" => plain(&settings.disk_full, amount),
        "ping" => maybe(&settings.ping, Clone::clone),
        "ping_every" => duration(&settings.ping_every),
        "retention_ok" => maybe_duration(&settings.retention_ok),
        "retention_ko" => maybe_duration(&settings.retention_ko),
        "retention_lines" => maybe_duration(&settings.retention_lines),
        "retention_every" => duration(&settings.retention_every),
        "log_level" => plain(&settings.log_level, Clone::clone),
        "log_format" => plain(&settings.log_format, |form| {
            match form {
                LogFormat::Auto => "auto",
                LogFormat::Text => "text",
                LogFormat::Json => "json",
                LogFormat::Journald => "journald",
            }
            .to_owned()
        }),
        "log_dir" => maybe(&settings.log_dir, |path| path.display().to_string()),
        "metrics" => plain(&settings.metrics, |access| {
            match access {
                MetricsAccess::Auto => "auto",
                MetricsAccess::Open => "open",
                MetricsAccess::Token => "token",
            }
            .to_owned()
        }),
        "insecure_listen" => plain(&settings.insecure_listen, ToString::to_string),
        "tls_cert" => maybe(&settings.tls_cert, |path| path.display().to_string()),
        "tls_key" => maybe(&settings.tls_key, |path| path.display().to_string()),
        "print_login" => plain(&settings.print_login, ToString::to_string),
        _ => return None,
    })
}

fn amount(amount: &Amount) -> String {
    match *amount {
        Amount::Bytes(bytes) => show_size(bytes),
        Amount::Percent(percent) => format!("{percent}%"),
        Amount::Smaller { bytes, percent } => {
            format!("{} or {percent}%, whichever is less", show_size(bytes))
        }
    }
}

fn plain<T>(one: &Setting<T>, show: impl Fn(&T) -> String) -> (Option<String>, Origin) {
    (Some(show(&one.value)), one.origin.clone())
}

fn maybe<T>(one: &Setting<Option<T>>, show: impl Fn(&T) -> String) -> (Option<String>, Origin) {
    (one.value.as_ref().map(show), one.origin.clone())
}
