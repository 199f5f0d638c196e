//! Gauges: what is so at the moment of the scrape. Built anew for each, so that nothing stale stays.

use std::collections::BTreeMap;

use prometheus::{Counter, Gauge, GaugeVec, Opts, Registry};

use super::process::ProcessFigures;
use crate::domain::space::Room;
use crate::ids::{InterfaceId, ScheduleRef};
use crate::instant::Instant;
use crate::store::space::Seen;

/// What the gauges show.
#[derive(Clone, Debug, Default)]
pub struct StateFigures {
    /// Whether all files are accepted.
    pub config_ok: bool,
    /// Executions that run.
    pub running: u64,
    /// Executions that wait.
    pub queued: u64,
    /// Events that the lists do not show yet.
    pub projection_lag: u64,
    /// Bytes of journal, lines and index.
    pub store_bytes: u64,
    /// The room on the data folder's disk.
    pub disk: Seen,
    /// Lines that were not kept for want of room.
    pub lines_dropped: u64,
    /// Interfaces, and whether each is red.
    pub interfaces: Vec<(InterfaceId, bool)>,
    /// Schedules with their instants.
    pub schedules: Vec<ScheduleTimes>,
}

/// A schedule's instants; none when there was or will be none.
#[derive(Clone, Debug)]
pub struct ScheduleTimes {
    /// Its name.
    pub schedule: ScheduleRef,
    /// When an execution last ended ok.
    pub last_success: Option<Instant>,
    /// When an execution last ran.
    pub last_run: Option<Instant>,
    /// The next nominal instant.
    pub next_slot: Option<Instant>,
}

fn gauge(to: &Registry, name: &str, help: &str, value: f64) -> Result<(), prometheus::Error> {
    let gauge = Gauge::with_opts(Opts::new(name, help))?;
    gauge.set(value);
    to.register(Box::new(gauge))
}

/// Registers the gauges of `state` in `to`. `unlabelled` leaves the `schedule` label empty; then a gauge shows the newest
/// success, the newest run and the nearest slot of the interface's schedules.
///
/// # Errors
/// Two metrics share a name: a mistake in this file.
pub fn register(
    to: &Registry,
    state: &StateFigures,
    unlabelled: bool,
) -> Result<(), prometheus::Error> {
    let ok = f64::from(u8::from(state.config_ok));
    gauge(to, "daybook_config_ok", "1 while all files are accepted.", ok)?;
    gauge(to, "daybook_executions_running", "Executions that run.", state.running as f64)?;
    gauge(to, "daybook_executions_queued", "Executions that wait.", state.queued as f64)?;
    gauge(
        to,
        "daybook_projection_lag_events",
        "Events on disk that the lists do not show yet.",
        state.projection_lag as f64,
    )?;
    gauge(
        to,
        "daybook_store_size_bytes",
        "Bytes of journal, lines and index on disk.",
        state.store_bytes as f64,
    )?;
    register_disk(to, state)?;
    let red = GaugeVec::new(
        Opts::new(
            "daybook_interface_red",
            "1 while the newest finished execution of one of its schedules is an open KO.",
        ),
        &["interface"],
    )?;
    for (interface, is_red) in &state.interfaces {
        red.with_label_values(&[interface.as_str()]).set(f64::from(u8::from(*is_red)));
    }
    to.register(Box::new(red))?;
    register_schedules(to, &state.schedules, unlabelled)
}

fn register_disk(to: &Registry, state: &StateFigures) -> Result<(), prometheus::Error> {
    let disk = &state.disk;
    for (name, help, value) in [
        (
            "daybook_disk_free_bytes",
            "Bytes that are free for the data folder, without what the reserve lacks.",
            disk.measured.free,
        ),
        (
            "daybook_disk_size_bytes",
            "Bytes that the data folder's file system has.",
            disk.measured.total,
        ),
        ("daybook_disk_reserve_bytes", "Bytes that only the event log may take.", disk.reserve),
        (
            "daybook_disk_append_waits",
            "1 while the event log waits for room and acknowledges nothing.",
            u64::from(disk.log_waits),
        ),
    ] {
        gauge(to, name, help, value as f64)?;
    }
    let states = GaugeVec::new(
        Opts::new(
            "daybook_disk_state",
            "1 for what the room on the disk means: enough, low (only error lines are kept), full (nothing new is started).",
        ),
        &["state"],
    )?;
    for room in Room::ALL {
        states.with_label_values(&[room.as_str()]).set(f64::from(u8::from(room == disk.room())));
    }
    to.register(Box::new(states))?;
    let dropped = Counter::new(
        "daybook_log_lines_dropped_total",
        "Lines that were not kept for want of room on the disk.",
    )?;
    dropped.inc_by(state.lines_dropped as f64);
    to.register(Box::new(dropped))
}

type Labels<'a> = (&'a str, &'a str);

fn register_schedules(
    to: &Registry,
    schedules: &[ScheduleTimes],
    unlabelled: bool,
) -> Result<(), prometheus::Error> {
    let mut success: BTreeMap<Labels<'_>, Instant> = BTreeMap::new();
    let mut run: BTreeMap<Labels<'_>, Instant> = BTreeMap::new();
    let mut next: BTreeMap<Labels<'_>, Instant> = BTreeMap::new();
    for times in schedules {
        let name = if unlabelled { "" } else { times.schedule.schedule.as_str() };
        let labels = (times.schedule.interface.as_str(), name);
        for (rows, at) in [(&mut success, times.last_success), (&mut run, times.last_run)] {
            if let Some(at) = at {
                let newest = rows.entry(labels).or_insert(at);
                *newest = at.max(*newest);
            }
        }
        if let Some(at) = times.next_slot {
            let nearest = next.entry(labels).or_insert(at);
            *nearest = at.min(*nearest);
        }
    }
    for (name, help, rows) in [
        (
            "daybook_schedule_last_success_timestamp_seconds",
            "When an execution of the schedule last ended ok.",
            success,
        ),
        (
            "daybook_schedule_last_run_timestamp_seconds",
            "When an execution of the schedule last ran.",
            run,
        ),
        (
            "daybook_schedule_next_slot_timestamp_seconds",
            "The next nominal instant of the schedule.",
            next,
        ),
    ] {
        let gauges = GaugeVec::new(Opts::new(name, help), &["interface", "schedule"])?;
        for ((interface, schedule), at) in rows {
            gauges.with_label_values(&[interface, schedule]).set(at.millis() as f64 / 1000.0);
        }
        to.register(Box::new(gauges))?;
    }
    Ok(())
}

/// Registers the `process_*` metrics in `to`.
///
/// # Errors
/// Two metrics share a name: a mistake in this file.
pub fn register_process(to: &Registry, figures: &ProcessFigures) -> Result<(), prometheus::Error> {
    if let Some(seconds) = figures.cpu_seconds {
        let help = "Processor time in user and kernel mode, in seconds.";
        let counter = Counter::with_opts(Opts::new("process_cpu_seconds_total", help))?;
        counter.inc_by(seconds.max(0.0));
        to.register(Box::new(counter))?;
    }
    for (name, help, value) in [
        (
            "process_start_time_seconds",
            "When the process started, in seconds since 1970.",
            figures.start_time_seconds,
        ),
        ("process_virtual_memory_bytes", "Virtual memory in bytes.", figures.virtual_bytes),
        ("process_resident_memory_bytes", "Memory in RAM in bytes.", figures.resident_bytes),
        ("process_threads", "Threads of the process.", figures.threads),
        ("process_open_fds", "Open file descriptors.", figures.open_fds),
        ("process_max_fds", "The limit on open file descriptors.", figures.max_fds),
    ] {
        if let Some(value) = value {
            gauge(to, name, help, value)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::metrics::Metrics;
    use super::*;

    fn times(name: &str, next: i64) -> ScheduleTimes {
        ScheduleTimes {
            schedule: name.parse().expect("a name"),
            last_success: Some(Instant::from_secs(50)),
            last_run: Some(Instant::from_millis(next * 100)),
            next_slot: Some(Instant::from_secs(next)),
        }
    }

    fn state() -> StateFigures {
        StateFigures {
            config_ok: true,
            running: 2,
            queued: 1,
            projection_lag: 3,
            store_bytes: 4096,
            disk: Seen { room: Room::Low, reserve: 7, ..Seen::default() },
            lines_dropped: 9,
            interfaces: vec![("fnac".parse().expect("a name"), true)],
            schedules: vec![times("fnac/a", 900), times("fnac/b", 600)],
        }
    }

    fn lines(unlabelled: bool) -> String {
        let registry = Registry::new();
        register(&registry, &state(), unlabelled).expect("names are unique");
        prometheus::TextEncoder::new().encode_to_string(&registry.gather()).expect("text")
    }

    #[test]
    fn each_schedule_shows_its_instants() {
        let text = lines(false);
        for line in [
            "daybook_config_ok 1",
            "daybook_executions_running 2",
            "daybook_executions_queued 1",
            "daybook_projection_lag_events 3",
            "daybook_store_size_bytes 4096",
            r#"daybook_interface_red{interface="fnac"} 1"#,
            r#"daybook_disk_state{state="low"} 1"#,
            r#"daybook_disk_state{state="full"} 0"#,
            "daybook_disk_reserve_bytes 7",
            "daybook_log_lines_dropped_total 9",
            r#"daybook_schedule_next_slot_timestamp_seconds{interface="fnac",schedule="b"} 600"#,
            r#"daybook_schedule_last_run_timestamp_seconds{interface="fnac",schedule="b"} 60"#,
        ] {
            assert!(text.contains(line), "{line} is not in:\n{text}");
        }
    }

    #[test]
    fn without_labels_an_interface_shows_its_nearest_slot_and_newest_run() {
        let text = lines(true);
        for line in [
            r#"daybook_schedule_next_slot_timestamp_seconds{interface="fnac",schedule=""} 600"#,
            r#"daybook_schedule_last_run_timestamp_seconds{interface="fnac",schedule=""} 90"#,
        ] {
            assert!(text.contains(line), "{line} is not in:\n{text}");
        }
    }

    #[test]
    fn a_scrape_shows_the_process_too() {
        let text = Metrics::new("1", "2").and_then(|m| m.text(&state())).expect("unique names");
        assert!(text.contains("process_resident_memory_bytes "), "{text}");
    }
}
