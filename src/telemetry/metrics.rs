//! Counters and histograms: every name and label of the contract's section 7 stands in this file or in [`super::state`].
//!
//! Labels are bounded: ids of interfaces and schedules come from files, the rest from closed enums. Never an execution id,
//! an URL or a text.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use super::state::{self, StateFigures};
use crate::domain::class::Class;
use crate::domain::event::{Delivery, EVENT_NAMES, Outcome, Trigger};
use crate::domain::line::LineCounts;
use crate::domain::slot::{Reason, Verdict};
use crate::ids::{InterfaceId, ScheduleRef};

/// Beyond so many schedules the `schedule` label is empty (contract, section 7).
pub const LABELLED_SCHEDULES: usize = 2_000;

/// The `Content-Type` of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const DURATION_BUCKETS: &[f64] =
    &[0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0];
const LATENESS_BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 3600.0];
const APPEND_BUCKETS: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0];
const REQUEST_BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// What a ping was for. A closed set, so that it can be a label.
pub const PING_KINDS: [&str; 6] = ["start", "success", "fail", "log", "notice", "alive"];

/// All counters and histograms, with a registry of their own.
pub struct Metrics {
    registry: Registry,
    build: IntGaugeVec,
    executions: IntCounterVec,
    execution_duration: HistogramVec,
    slots: IntCounterVec,
    lateness: HistogramVec,
    lines: IntCounterVec,
    pings: IntCounterVec,
    events: IntCounterVec,
    append: Histogram,
    requests: HistogramVec,
    runners_lost: IntCounter,
    unlabelled: AtomicBool,
}

fn counter(name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
    IntCounterVec::new(Opts::new(name, help), labels)
}

fn histogram(
    name: &str,
    help: &str,
    buckets: &[f64],
    labels: &[&str],
) -> Result<HistogramVec, prometheus::Error> {
    HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels)
}

impl Metrics {
    /// Registers everything, and sets to 0 what does not depend on the schedules.
    ///
    /// # Errors
    /// Two metrics share a name: a mistake in this file.
    pub fn new(version: &str, revision: &str) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            registry: Registry::new(),
            build: IntGaugeVec::new(
                Opts::new("daybook_build_info", "Version of the running program; always 1."),
                &["version", "revision"],
            )?,
            executions: counter(
                "daybook_executions_total",
                "Finished executions.",
                &["interface", "schedule", "trigger", "result"],
            )?,
            execution_duration: histogram(
                "daybook_execution_duration_seconds",
                "Time from the first attempt's start to the end.",
                DURATION_BUCKETS,
                &["interface"],
            )?,
            slots: counter(
                "daybook_slots_total",
                "Decided slots.",
                &["interface", "schedule", "outcome", "reason"],
            )?,
            lateness: histogram(
                "daybook_slot_lateness_seconds",
                "Time from a slot's nominal instant to the decision to start it.",
                LATENESS_BUCKETS,
                &["interface"],
            )?,
            lines: counter(
                "daybook_log_lines_total",
                "Lines written to executions' logs.",
                &["interface", "level", "class"],
            )?,
            pings: counter(
                "daybook_deadman_pings_total",
                "Pings and notices, by what became of them.",
                &["kind", "result"],
            )?,
            events: counter("daybook_events_appended_total", "Events on disk.", &["type"])?,
            append: Histogram::with_opts(
                HistogramOpts::new(
                    "daybook_event_append_duration_seconds",
                    "Time from handing events to the log until they are on disk.",
                )
                .buckets(APPEND_BUCKETS.to_vec()),
            )?,
            requests: histogram(
                "daybook_http_request_duration_seconds",
                "Time from a request's head to its answer's head.",
                REQUEST_BUCKETS,
                &["route", "method", "code"],
            )?,
            runners_lost: IntCounter::new(
                "daybook_runners_lost_total",
                "Runners that ended while the daemon needed them; their commands were interrupted.",
            )?,
            unlabelled: AtomicBool::new(false),
        };
        metrics.register()?;
        metrics.build.with_label_values(&[version, revision]).set(1);
        metrics.begin_at_zero();
        Ok(metrics)
    }

    fn register(&self) -> Result<(), prometheus::Error> {
        let collectors: [Box<dyn Collector>; 11] = [
            Box::new(self.build.clone()),
            Box::new(self.executions.clone()),
            Box::new(self.execution_duration.clone()),
            Box::new(self.slots.clone()),
            Box::new(self.lateness.clone()),
            Box::new(self.lines.clone()),
            Box::new(self.pings.clone()),
            Box::new(self.events.clone()),
            Box::new(self.append.clone()),
            Box::new(self.requests.clone()),
            Box::new(self.runners_lost.clone()),
        ];
        collectors.into_iter().try_for_each(|collector| self.registry.register(collector))
    }

    fn begin_at_zero(&self) {
        for (_, name) in EVENT_NAMES {
            self.events.with_label_values(&[*name]).inc_by(0);
        }
        for kind in PING_KINDS {
            for result in [Delivery::Sent, Delivery::Dropped, Delivery::Failed] {
                self.pings.with_label_values(&[kind, delivery_name(result)]).inc_by(0);
            }
        }
    }

    /// Takes note of the schedules in force, each with the trigger of its own slots, and of how many there are.
    ///
    /// Their counters begin at 0, so that the first failure is an increase that a rule sees.
    pub fn define_schedules<'a>(
        &self,
        schedules: impl Iterator<Item = (&'a ScheduleRef, Trigger)> + Clone,
    ) {
        let many = schedules.clone().nth(LABELLED_SCHEDULES).is_some();
        self.unlabelled.store(many, Ordering::Relaxed);
        for (schedule, trigger) in schedules {
            let (interface, name) = self.labels(schedule);
            for outcome in [Outcome::Ok, Outcome::Ko] {
                let labels = [interface, name, trigger.as_str(), outcome.as_str()];
                self.executions.with_label_values(&labels).inc_by(0);
            }
            for (outcome, reason) in [
                ("started", ""),
                (Verdict::Missed.as_str(), Reason::Down.as_str()),
                (Verdict::Skipped.as_str(), Reason::Overlap.as_str()),
            ] {
                self.slots.with_label_values(&[interface, name, outcome, reason]).inc_by(0);
            }
        }
    }

    /// Whether there are so many schedules that their label is empty.
    pub fn schedules_unlabelled(&self) -> bool {
        self.unlabelled.load(Ordering::Relaxed)
    }

    fn labels<'a>(&self, schedule: &'a ScheduleRef) -> (&'a str, &'a str) {
        let name = if self.schedules_unlabelled() { "" } else { schedule.schedule.as_str() };
        (schedule.interface.as_str(), name)
    }

    /// A slot was decided: its execution was opened, so long after the nominal instant.
    pub fn slot_started(&self, schedule: &ScheduleRef, late: Duration) {
        let (interface, name) = self.labels(schedule);
        self.slots.with_label_values(&[interface, name, "started", ""]).inc();
        self.lateness.with_label_values(&[interface]).observe(late.as_secs_f64());
    }

    /// So many slots were decided and started nothing.
    pub fn slots_passed(
        &self,
        schedule: &ScheduleRef,
        verdict: Verdict,
        reason: Reason,
        count: u64,
    ) {
        let (interface, name) = self.labels(schedule);
        let labels = [interface, name, verdict.as_str(), reason.as_str()];
        self.slots.with_label_values(&labels).inc_by(count);
    }

    /// An execution is over.
    pub fn execution_finished(
        &self,
        schedule: &ScheduleRef,
        trigger: Trigger,
        outcome: Outcome,
        took: Duration,
    ) {
        let (interface, name) = self.labels(schedule);
        let labels = [interface, name, trigger.as_str(), outcome.as_str()];
        self.executions.with_label_values(&labels).inc();
        self.execution_duration.with_label_values(&[interface]).observe(took.as_secs_f64());
    }

    /// A log of `interface` ended with these lines.
    pub fn log_lines(&self, interface: &InterfaceId, counts: LineCounts) {
        for (level, class, count) in counts.iter() {
            let class = class.map_or("none", Class::as_str);
            let labels = [interface.as_str(), level.as_str(), class];
            self.lines.with_label_values(&labels).inc_by(count);
        }
    }

    /// A ping or notice ended. A kind outside [`PING_KINDS`] is counted as `notice`.
    pub fn ping(&self, kind: &str, result: Delivery) {
        let kind = PING_KINDS.into_iter().find(|known| *known == kind).unwrap_or("notice");
        self.pings.with_label_values(&[kind, delivery_name(result)]).inc();
    }

    /// The daemon's runner ended, and not because it was told to.
    pub fn runner_lost(&self) {
        self.runners_lost.inc();
    }

    /// So many events with this name are on disk.
    pub fn events_appended(&self, name: &'static str, count: u64) {
        self.events.with_label_values(&[name]).inc_by(count);
    }

    /// An append took so long, until it was on disk.
    pub fn append_took(&self, took: Duration) {
        self.append.observe(took.as_secs_f64());
    }

    /// A request was answered. `route` is a route's pattern, never a path.
    pub fn request_answered(&self, route: &str, method: &str, status: u16, took: Duration) {
        let mut digits = [0u8; 3];
        let code = status_text(status, &mut digits);
        self.requests.with_label_values(&[route, method, code]).observe(took.as_secs_f64());
    }

    /// Everything as Prometheus reads it: what was counted, `state` as it is now, and the process.
    ///
    /// # Errors
    /// Two metrics share a name: a mistake in this module.
    pub fn text(&self, state: &StateFigures) -> Result<String, prometheus::Error> {
        let now = Registry::new();
        state::register(&now, state, self.schedules_unlabelled())?;
        state::register_process(&now, &super::process::figures())?;
        let mut families = self.registry.gather();
        families.extend(now.gather());
        families.sort_by(|a, b| a.name().cmp(b.name()));
        let mut text = String::new();
        TextEncoder::new().encode_utf8(&families, &mut text)?;
        Ok(text)
    }
}

const fn delivery_name(result: Delivery) -> &'static str {
    match result {
        Delivery::Sent => "sent",
        Delivery::Dropped => "dropped",
        Delivery::Failed => "failed",
    }
}

fn status_text(status: u16, digits: &mut [u8; 3]) -> &str {
    for (digit, by) in digits.iter_mut().zip([100, 10, 1]) {
        *digit = b'0' + u8::try_from(status / by % 10).unwrap_or(0);
    }
    std::str::from_utf8(digits).unwrap_or("000")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::class::Level;

    fn metrics() -> Metrics {
        Metrics::new("0.1.0", "abc").expect("names are unique")
    }

    fn schedule(text: &str) -> ScheduleRef {
        text.parse().expect("a name")
    }

    fn text(metrics: &Metrics) -> String {
        metrics.text(&StateFigures::default()).expect("names are unique")
    }

    #[test]
    fn a_schedule_has_its_counters_at_zero_before_it_ever_ran() {
        let metrics = metrics();
        let sales = schedule("fnac/sales");
        metrics.define_schedules([(&sales, Trigger::Cron)].into_iter());
        let text = text(&metrics);
        for line in [
            r#"daybook_executions_total{interface="fnac",result="ko",schedule="sales",trigger="cron"} 0"#,
            r#"daybook_executions_total{interface="fnac",result="ok",schedule="sales",trigger="cron"} 0"#,
            r#"daybook_slots_total{interface="fnac",outcome="started",reason="",schedule="sales"} 0"#,
            r#"daybook_slots_total{interface="fnac",outcome="missed",reason="down",schedule="sales"} 0"#,
            r#"daybook_slots_total{interface="fnac",outcome="skipped",reason="overlap",schedule="sales"} 0"#,
        ] {
            assert!(text.contains(line), "{line} is not in:\n{text}");
        }
    }

    #[test]
    fn beyond_2000_schedules_the_label_is_empty() {
        let metrics = metrics();
        let names: Vec<ScheduleRef> =
            (0..=LABELLED_SCHEDULES).map(|n| schedule(&format!("fnac/s{n}"))).collect();
        metrics.define_schedules(names.iter().map(|name| (name, Trigger::Every)));
        metrics.slot_started(&names[7], Duration::from_millis(3));
        let text = text(&metrics);
        let line =
            r#"daybook_slots_total{interface="fnac",outcome="started",reason="",schedule=""} 1"#;
        assert!(metrics.schedules_unlabelled());
        assert!(text.contains(line), "{line} is not in:\n{text}");
        assert!(!text.contains("\"s7\""));
    }

    #[test]
    fn what_is_counted_is_shown() {
        let metrics = metrics();
        let sales = schedule("fnac/sales");
        metrics.execution_finished(&sales, Trigger::Rerun, Outcome::Ok, Duration::from_secs(2));
        metrics.slots_passed(&sales, Verdict::Missed, Reason::TooLate, 12);
        let mut counts = LineCounts::default();
        counts.add(Level::Error, Some(Class::Mapping), 3);
        counts.add(Level::Warning, None, 1);
        metrics.log_lines(&sales.interface, counts);
        metrics.ping("fail", Delivery::Sent);
        metrics.events_appended("opened", 4);
        metrics.append_took(Duration::from_millis(1));
        metrics.request_answered("/api/status", "GET", 200, Duration::from_millis(2));
        let text = text(&metrics);
        for line in [
            r#"daybook_build_info{revision="abc",version="0.1.0"} 1"#,
            r#"daybook_executions_total{interface="fnac",result="ok",schedule="sales",trigger="rerun"} 1"#,
            r#"daybook_execution_duration_seconds_bucket{interface="fnac",le="5"} 1"#,
            r#"daybook_slots_total{interface="fnac",outcome="missed",reason="too-late",schedule="sales"} 12"#,
            r#"daybook_log_lines_total{class="mapping",interface="fnac",level="error"} 3"#,
            r#"daybook_log_lines_total{class="none",interface="fnac",level="warning"} 1"#,
            r#"daybook_deadman_pings_total{kind="fail",result="sent"} 1"#,
            r#"daybook_deadman_pings_total{kind="start",result="failed"} 0"#,
            r#"daybook_events_appended_total{type="opened"} 4"#,
            r#"daybook_events_appended_total{type="closed"} 0"#,
            "daybook_event_append_duration_seconds_count 1",
            r#"daybook_http_request_duration_seconds_count{code="200",method="GET",route="/api/status"} 1"#,
        ] {
            assert!(text.contains(line), "{line} is not in:\n{text}");
        }
    }
}
