//! One event of each kind with every field filled in: what the golden bytes hold.

use std::collections::BTreeMap;

use crate::domain::cause::Cause;
use crate::domain::class::Class;
use crate::domain::definition::Rate;
use crate::domain::event::*;
use crate::domain::slot::{Reason, Verdict};
use crate::domain::space::Room;
use crate::ids::{EventId, ExecutionId, Position, ScheduleRef, StreamId};
use crate::instant::Instant;

pub(crate) fn at() -> Instant {
    Instant::from_secs(1_795_428_000)
}

fn later() -> Instant {
    Instant::from_secs(at().secs() + 3_600)
}

pub(super) fn schedule() -> ScheduleRef {
    "fnac/integrate-sales".parse().unwrap()
}

pub(super) fn execution() -> ExecutionId {
    ExecutionId::for_slot(&schedule(), at())
}

/// The stream that an event with `code` belongs to.
pub(crate) fn stream_of(code: u16) -> StreamId {
    match code {
        ..20 => StreamId::Daemon,
        20..40 => StreamId::Interface(schedule().interface),
        40..60 => StreamId::Schedule(schedule()),
        60.. => StreamId::Execution(execution()),
    }
}

/// One event for each code, in the order of the codes.
pub(crate) fn all() -> Vec<Event> {
    [daemon(), upkeep(), definitions(), slots(), executions()].concat()
}

fn daemon() -> Vec<Event> {
    vec![
        DaemonStarted {
            version: "0.1.0".to_owned(),
            boot_id: "5e3b1d9c-0000-4000-8000-0123456789ab".to_owned(),
            zone_data: "2026b".to_owned(),
            interrupted: 3,
            taken_over: 2,
        }
        .into(),
        DaemonStopped { reason: "SIGTERM".to_owned(), running: 2 }.into(),
        ClockStepped { from: at(), to: Instant::from_millis(at().millis() - 7_200_001) }.into(),
        TokenCreated {
            id: "k3f9".to_owned(),
            name: "grafana".to_owned(),
            role: "viewer".to_owned(),
            hash: "ab".repeat(32),
        }
        .into(),
        TokenRevoked { id: "k3f9".to_owned() }.into(),
        LoginLinkCreated { id: "p7".to_owned(), expires: at() }.into(),
        RequestAnswered {
            key: "order-77".to_owned(),
            fingerprint: "cd".repeat(32),
            status: 201,
            location: Some("/api/executions/1".to_owned()),
            body: "{\"id\":\"1\"}".to_owned(),
        }
        .into(),
        FilesRefused { problems: vec!["fnac.toml:3:8: unknown key `crn`".to_owned()] }.into(),
        ZonesRead {
            zone_data: "2026b".to_owned(),
            before: Some("2026a".to_owned()),
            zones: vec![ZoneRules {
                name: "Europe/Paris".to_owned(),
                first_offset: 3_600,
                shifts: vec![(1_774_746_000, 7_200), (1_792_890_000, 3_600)],
            }],
            changed: vec!["Europe/Paris".to_owned()],
            moved: vec![MovedSlot {
                schedule: schedule(),
                before: Some(at()),
                after: Some(later()),
            }],
        }
        .into(),
    ]
}

/// The daemon's as well: how it ends, and what it does for its store.
fn upkeep() -> Vec<Event> {
    vec![
        DrainAsked { by: "drain".to_owned(), deadline: Some(later()) }.into(),
        DiskLow { room: Room::Low, free_bytes: 1_000_000_000, total_bytes: 40_000_000_000 }.into(),
        DiskRecovered {
            room: Room::Enough,
            free_bytes: 9_000_000_000,
            total_bytes: 40_000_000_000,
            lines_dropped: 77,
        }
        .into(),
        HistoryPruned {
            pass: 3,
            step: PruneStep::Forgotten(vec![Forgotten {
                schedule: schedule(),
                executions: vec![execution()],
                lines: vec![execution()],
                slots_until: Some(Instant::from_millis(at().millis() - 1)),
                decided_until: Some(at()),
            }]),
        }
        .into(),
        BackupMade {
            position: Position(4_711),
            head: "ef".repeat(32),
            path: "/var/lib/daybook/backups/backup-00000000000000004711".to_owned(),
            bytes: 1_048_576,
            removed: vec!["backup-00000000000000000815".to_owned()],
        }
        .into(),
    ]
}

fn definitions() -> Vec<Event> {
    vec![
        InterfaceDefined {
            definition_version: 2,
            definition: "{\"name\":\"FNAC sales\"}".to_owned(),
            changes: vec![Change {
                path: "schedules.sales.cron".to_owned(),
                from: None,
                to: Some("\"0 * * * *\"".to_owned()),
            }],
        }
        .into(),
        InterfaceRemoved {}.into(),
        InterfacePaused { note: Some("maintenance".to_owned()), until: Some(at()) }.into(),
        InterfaceResumed {}.into(),
    ]
}

fn slots() -> Vec<Event> {
    vec![
        ScheduleAnchored { cursor: at(), definition_version: 2, why: Anchor::Edited }.into(),
        SlotStarted { slot: at(), execution: execution(), definition_version: 2, late_ms: 1_250 }
            .into(),
        SlotsPassed {
            first: at(),
            last: later(),
            count: 2,
            verdict: Verdict::Missed,
            reason: Reason::Coalesced,
            definition_version: 2,
            zone_data: "2026b".to_owned(),
            instants: vec![at(), later()],
            execution: Some(execution()),
        }
        .into(),
        SchedulePaused { note: None, until: Some(at()) }.into(),
        ScheduleResumed {}.into(),
        ScheduleRemoved {}.into(),
        SlotAwaited {
            slot: at(),
            execution: execution(),
            deadline: later(),
            definition_version: 2,
        }
        .into(),
        SkipNextAsked { slot: later(), definition_version: 2 }.into(),
        SkipNextUndone { slot: later() }.into(),
        BackfillAsked {
            from: at(),
            to: later(),
            count: 12,
            rate: Some(Rate { count: 10, per_ms: 60_000 }),
        }
        .into(),
    ]
}

fn first_error() -> FirstError {
    FirstError {
        line: 12,
        class: Class::Mapping,
        cause: Cause::MapMissing,
        text: "no product for code FNAC-77, é".to_owned(),
    }
}

fn executions() -> Vec<Event> {
    vec![
        Opened {
            schedule: schedule(),
            slot: Some(at()),
            trigger: Trigger::CatchUp,
            definition_version: 2,
            params: BTreeMap::from([("day".to_owned(), "2026-11-22".to_owned())]),
            rerun_of: Some(execution()),
            root: execution(),
            idempotency_key: "fnac/integrate-sales@2026-11-22T10:00:00Z".to_owned(),
            previous_slot: Some(Instant::from_secs(at().secs() - 3_600)),
            last_ok_slot: Some(Instant::from_secs(at().secs() - 7_200)),
            priority: -5,
            forced: true,
        }
        .into(),
        AttemptStarted { attempt: 1 }.into(),
        AttemptEnded {
            attempt: 1,
            exit_code: Some(-1),
            signal: Some(9),
            usage: Some(Usage { user_ms: 120, system_ms: 30, max_rss_bytes: 9_437_184 }),
            outcome: Outcome::Ko,
            cause: Some(Cause::TecSignal),
        }
        .into(),
        RetryPlanned { attempt: 2, at: at(), delay_ms: 30_000, asked: true }.into(),
        ErrorSeen { error: first_error() }.into(),
        AnomalySeen { after_ms: 3_600_000 }.into(),
        CancelRequested { note: Some("wrong day".to_owned()) }.into(),
        LogLimited { line: 1_000_000, max_bytes: 1 << 30 }.into(),
        closed().into(),
        Noted {
            text: Some("called the provider".to_owned()),
            reference: Some("FD-4711".to_owned()),
            acknowledged: true,
        }
        .into(),
        LogCurtailed { line: 12, room: Room::Full }.into(),
        DeliveryEnded {
            cause: EventId::derive(&StreamId::Daemon, 1, at()),
            kind: "success".to_owned(),
            result: Delivery::Dropped,
            tries: 4,
            reason: Some("older than a later one".to_owned()),
        }
        .into(),
    ]
}

fn closed() -> Closed {
    Closed {
        outcome: Outcome::Ko,
        class: Some(Class::Mapping),
        cause: Some(Cause::MapMissing),
        exit_code: Some(3),
        attempts: 2,
        lines: 300,
        errors: ErrorCounts { external: 1, configuration: 2, mapping: 3, technical: 4, cascade: 5 },
        first_error: Some(first_error()),
        log_hash: [7; 32],
        duration_ms: 61_000,
    }
}
