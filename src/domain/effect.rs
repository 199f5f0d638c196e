//! What Daybook owes the outside after an event: pings of dead-man monitors and notices to people.
//!
//! Effects are data, derived from events alone, so that replay rebuilds the outbox and sends nothing (contract, rule 7).

use serde::{Deserialize, Serialize};

use super::slot::Reason;
use crate::ids::{EventId, ExecutionId, ScheduleRef};
use crate::instant::Instant;

/// A delivery that is still owed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// The event that it follows from; with `kind` the key of the delivery.
    pub cause: EventId,
    /// When that event was recorded.
    pub at: Instant,
    /// Whose monitor or notice.
    pub schedule: ScheduleRef,
    /// The execution that it tells of.
    pub execution: Option<ExecutionId>,
    /// The slot that it tells of.
    pub slot: Option<Instant>,
    /// Why the slot was missed.
    pub reason: Option<Reason>,
    /// What is sent.
    pub kind: EffectKind,
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EffectKind {
    /// The execution began: `<ping>/start`.
    PingStart,
    /// It ended ok: `<ping>`.
    PingSuccess,
    /// It ended ko: `<ping>/fail`.
    PingFail,
    /// It was cancelled: `<ping>/log`.
    PingLog,
    /// The first KO in a row.
    NoticeKo,
    /// The first OK after a KO.
    NoticeRecovery,
    /// It runs for longer than it should.
    NoticeAnomaly,
    /// Slots were missed.
    NoticeMissed,
}

impl EffectKind {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::PingStart,
        Self::PingSuccess,
        Self::PingFail,
        Self::PingLog,
        Self::NoticeKo,
        Self::NoticeRecovery,
        Self::NoticeAnomaly,
        Self::NoticeMissed,
    ];

    /// The name used in events and as the `kind` label of metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PingStart => "start",
            Self::PingSuccess => "success",
            Self::PingFail => "fail",
            Self::PingLog => "log",
            Self::NoticeKo => "ko",
            Self::NoticeRecovery => "recovery",
            Self::NoticeAnomaly => "anomaly",
            Self::NoticeMissed => "missed",
        }
    }

    /// Whether it goes to the dead-man monitor; the others go to the interface's `notify` address.
    pub const fn is_ping(self) -> bool {
        match self {
            Self::PingStart | Self::PingSuccess | Self::PingFail | Self::PingLog => true,
            Self::NoticeKo | Self::NoticeRecovery | Self::NoticeAnomaly | Self::NoticeMissed => {
                false
            }
        }
    }
}
