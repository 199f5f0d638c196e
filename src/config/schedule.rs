//! Reads one schedule: when it runs and how it is treated.

use chrono::NaiveDateTime;
use toml::de::DeValue;

use super::checks::Checker;
use super::days;
use super::interface::zone;
use super::job;
use super::reader::{Fields, Item};
use super::report::{error, warning};
use crate::domain::class::Class;
use crate::domain::definition::{
    After, Awaited, CatchUp, CatchUpMode, Dst, Fold, Gap, OnInterrupt, Overlap, Retry, Role,
    Schedule, Timing,
};
use crate::instant::Instant;

/// From this many pings a minute on, a monitor may refuse some. Source: contract, section 9.
const PINGS_A_MINUTE: f64 = 5.0;

/// How long a slot waits for the schedule that it follows, unless its file says otherwise.
const AFTER_DEADLINE_MS: u64 = 24 * 3_600_000;

/// Reads `[schedules.<id>]`. After an error the value is only good for going on reading.
pub(super) fn schedule(fields: &Fields<'_>, interface_zone: &str, checker: &Checker) -> Schedule {
    let timezone = zone(fields, checker).unwrap_or_else(|| interface_zone.to_owned());
    let dst = fields.table("dst").map(|table| dst(&table)).unwrap_or_default();
    let timing = timing(fields, &timezone, dst, checker);
    let params = job::params(fields, checker);
    let schedule = Schedule {
        enabled: fields.flag("enabled").unwrap_or(true),
        job: job::job(fields, &params, checker),
        calendars: days::calendars(fields, timing.as_ref(), checker),
        timing: timing.unwrap_or(Timing::Manual),
        timezone,
        cwd: fields.text("cwd").unwrap_or_else(|| ".".to_owned()),
        params,
        ok_exit: ok_exit(fields).unwrap_or_else(|| vec![0]),
        timeout_ms: fields.period("timeout"),
        anomaly_after_ms: fields.period("anomaly_after").unwrap_or(3_600_000),
        retry: fields.table("retry").map(|table| retry(&table)).unwrap_or_default(),
        overlap: fields.choice("overlap", overlap).unwrap_or(Overlap::Skip),
        catch_up: fields.table("catch_up").map(|table| catch_up(&table)).unwrap_or_default(),
        dst,
        role: fields.choice("role", role).unwrap_or(Role::Regular),
        on_interrupt: fields.choice("on_interrupt", on_interrupt).unwrap_or(OnInterrupt::Ko),
        max_log_bytes: fields.size("max_log").unwrap_or(1 << 30),
        ping: fields.url("ping"),
        priority: fields.integer("priority").unwrap_or(0),
        lock: fields.text("lock"),
        splay_ms: fields.duration("splay").unwrap_or(0),
    };
    check_pings(fields, &schedule, checker);
    schedule
}

/// Reads a pattern as people write it: the nickname for the machine's start is a kind of its own.
pub(super) fn cron_timing(pattern: &str) -> Timing {
    let pattern = pattern.trim();
    if pattern.eq_ignore_ascii_case("@reboot") {
        Timing::Reboot
    } else {
        Timing::Cron(pattern.to_owned())
    }
}

fn timing(fields: &Fields<'_>, zone: &str, dst: Dst, checker: &Checker) -> Option<Timing> {
    let anchor = fields.get("anchor").and_then(|item| {
        if fields.get("every").is_none() {
            item.refuse("counts only beside `every`", None);
        }
        moment(&item)
    });
    let cron = fields.get("cron").and_then(|item| Some((cron_timing(&item.text()?), item)));
    let every = fields.get("every").and_then(|item| Some((every(&item, anchor)?, item)));
    let at = fields.get("at").and_then(|item| Some((Timing::At(local_time(&item)?), item)));
    let manual = fields.flag("manual").map(|_| Timing::Manual);
    let reboot = fields.flag("reboot").map(|_| Timing::Reboot);
    let after = fields.table("after").and_then(|table| after(&table)).map(Timing::After);
    let Some((timing, item)) = cron.or(every).or(at) else {
        return manual.or(reboot).or(after);
    };
    match checker.timing(&timing, zone, dst).as_ref() {
        Ok(warnings) => {
            for text in warnings {
                item.warn(text, None);
            }
        }
        Err(why) => {
            item.refuse_fault(why, "", None);
        }
    }
    Some(timing)
}

fn every(item: &Item<'_>, anchor: Option<Instant>) -> Option<Timing> {
    let period_ms = item.duration()?;
    if period_ms == 0 || period_ms % 1000 != 0 {
        item.refuse("must be whole seconds, at least 1s", None);
        return None;
    }
    Some(Timing::Every { period_ms, anchor })
}

fn after(fields: &Fields<'_>) -> Option<After> {
    let outcome = |word: &str| match word {
        "ok" => Some(Awaited::Ok),
        "ko" => Some(Awaited::Ko),
        "any" => Some(Awaited::Any),
        _ => None,
    };
    let outcome = fields.choice("outcome", outcome).unwrap_or(Awaited::Ok);
    let deadline_ms = fields.period("deadline").unwrap_or(AFTER_DEADLINE_MS);
    let item = fields.get("schedule")?;
    match item.text()?.parse() {
        Ok(schedule) => {
            item.ask_later();
            Some(After { schedule, outcome, deadline_ms })
        }
        Err(err) => {
            item.refuse(&err.to_string(), Some("such as \"shop/sales\"".to_owned()));
            None
        }
    }
}

fn moment(item: &Item<'_>) -> Option<Instant> {
    let text = match item.value() {
        DeValue::Datetime(at) => at.to_string(),
        _ => item.text()?,
    };
    match Instant::parse(&text) {
        Ok(at) => Some(at),
        Err(err) => {
            item.refuse(
                &format!("`{text}` is not an instant: {err}"),
                Some(
                    "write an RFC 3339 instant with its offset, such as \"2026-01-01T00:00:00Z\""
                        .to_owned(),
                ),
            );
            None
        }
    }
}

/// A local time in the form that the definition keeps: `2026-12-24T18:00` or `2026-12-24T18:00:30`.
fn local_time(item: &Item<'_>) -> Option<String> {
    let text = match item.value() {
        DeValue::Datetime(at) => at.to_string(),
        _ => item.text()?,
    };
    let forms = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"];
    let Some(at) = forms.iter().find_map(|form| NaiveDateTime::parse_from_str(&text, form).ok())
    else {
        let hint = if Instant::parse(&text).is_ok() {
            "leave the offset out: the time is local to the schedule's zone"
        } else {
            "write a local date and time, such as \"2026-12-24T18:00\""
        };
        item.refuse(&format!("`{text}` is not a local time"), Some(hint.to_owned()));
        return None;
    };
    let short = at.format("%Y-%m-%dT%H:%M").to_string();
    let long = at.format("%Y-%m-%dT%H:%M:%S").to_string();
    Some(if long.ends_with(":00") { short } else { long })
}

fn ok_exit(fields: &Fields<'_>) -> Option<Vec<i32>> {
    let item = fields.get("ok_exit")?;
    let mut codes: Vec<i32> = item.list()?.iter().filter_map(Item::integer).collect();
    if codes.is_empty() {
        item.refuse("is empty: no exit status could ever be a success", None);
    }
    codes.sort_unstable();
    codes.dedup();
    Some(codes)
}

fn retry(fields: &Fields<'_>) -> Retry {
    let base = Retry::default();
    let retry = Retry {
        attempts: fields.integer("attempts").unwrap_or(base.attempts),
        delay_ms: fields.duration("delay").unwrap_or(base.delay_ms),
        factor: fields.get("factor").and_then(|item| item.number()).unwrap_or(base.factor),
        max_delay_ms: fields.duration("max_delay").unwrap_or(base.max_delay_ms),
        on: fields
            .list("on")
            .unwrap_or_default()
            .iter()
            .filter_map(|item| item.choice(|word| word.parse::<Class>().ok()))
            .collect(),
    };
    if retry.delay_ms > retry.max_delay_ms {
        fields.report().add(
            error(fields.span(), fields.path(), "`retry`: `delay` is longer than `max_delay`")
                .hint("raise `max_delay` (10m unless given) or lower `delay`"),
        );
    }
    if retry.attempts == 1 {
        fields.report().add(
            warning(fields.span(), fields.path(), "`retry` does nothing while `attempts` is 1")
                .hint("`attempts` counts the first one too: write 3 for two retries"),
        );
    }
    retry
}

fn catch_up(fields: &Fields<'_>) -> CatchUp {
    let base = CatchUp::default();
    let mode = |word: &str| match word {
        "none" => Some(CatchUpMode::None),
        "last" => Some(CatchUpMode::Last),
        "all" => Some(CatchUpMode::All),
        _ => None,
    };
    let catch_up = CatchUp {
        mode: fields.choice("mode", mode).unwrap_or(base.mode),
        window_ms: fields.duration("window").unwrap_or(base.window_ms),
        max: fields.integer("max").unwrap_or(base.max),
        rate: fields.rate("rate"),
    };
    if catch_up.mode != CatchUpMode::All {
        for item in ["max", "rate"].into_iter().filter_map(|name| fields.get(name)) {
            item.warn("counts only in mode `all`", None);
        }
    }
    catch_up
}

fn dst(fields: &Fields<'_>) -> Dst {
    let gap = |word: &str| match word {
        "shift" => Some(Gap::Shift),
        "skip" => Some(Gap::Skip),
        _ => None,
    };
    let fold = |word: &str| match word {
        "first" => Some(Fold::First),
        "last" => Some(Fold::Last),
        "both" => Some(Fold::Both),
        _ => None,
    };
    Dst { gap: fields.choice("gap", gap), fold: fields.choice("fold", fold) }
}

fn overlap(word: &str) -> Option<Overlap> {
    match word {
        "skip" => Some(Overlap::Skip),
        "allow" => Some(Overlap::Allow),
        "queue" => Some(Overlap::Queue),
        "queue-all" => Some(Overlap::QueueAll),
        "cancel-running" => Some(Overlap::CancelRunning),
        _ => None,
    }
}

fn role(word: &str) -> Option<Role> {
    match word {
        "regular" => Some(Role::Regular),
        "errors" => Some(Role::Errors),
        "maintenance" => Some(Role::Maintenance),
        _ => None,
    }
}

fn on_interrupt(word: &str) -> Option<OnInterrupt> {
    match word {
        "ko" => Some(OnInterrupt::Ko),
        "rerun" => Some(OnInterrupt::Rerun),
        _ => None,
    }
}

/// Each execution pings twice: at its start and at its end.
fn check_pings(fields: &Fields<'_>, schedule: &Schedule, checker: &Checker) {
    let Some(item) = fields.get("ping").filter(|_| schedule.enabled) else { return };
    let pings = 2.0 * checker.per_minute(&schedule.timing, &schedule.timezone, schedule.dst);
    if pings > PINGS_A_MINUTE {
        item.warn(
            &format!(
                "up to {pings:.0} pings a minute; monitors refuse more than {PINGS_A_MINUTE:.0}"
            ),
            Some("ping from a schedule that runs at most twice a minute".to_owned()),
        );
    }
}
