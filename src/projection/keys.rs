//! The keys of all rows: one byte for the kind, then what names the row, numbers big-endian.

use crate::domain::class::Class;
use crate::domain::event::Trigger;
use crate::ids::{ExecutionId, InterfaceId, Position, ScheduleRef, StreamId};
use crate::instant::Instant;

use super::codes::{class_code, status_code, trigger_code};
use super::view::Status;

/// The checkpoint.
pub(super) const META: &[u8] = &[0x00];
const EXECUTION: u8 = 0x01;
const EXECUTION_PART: u8 = 0x02;
const ID: u8 = 0x03;
const LIST: u8 = 0x04;
const LEDGER: u8 = 0x05;
const OK_SLOTS: u8 = 0x06;
const CHAIN: u8 = 0x07;
const SCHEDULE: u8 = 0x08;
const KO_SCHEDULE: u8 = 0x09;
const VERSION: u8 = 0x0a;
const DAY: u8 = 0x0b;
const PRUNED: u8 = 0x0c;
const PRUNED_OF: u8 = 0x0d;
const PRUNED_SLOTS: u8 = 0x0e;

/// What a row's value may have at most: sled splits a leaf above 16 items, and a page above 128 KiB leaves the log
/// for a file of its own that is never synced.
pub(super) const VALUE_MAX_BYTES: usize = 7 * 1024;

/// Ends a name inside a key. Names cannot hold it.
const END: u8 = 0;

fn keyed(kind: u8, number: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(9);
    key.push(kind);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// Milliseconds in an order that bytes have too: the past before 1970 comes first.
pub(super) const fn ordered(at: Instant) -> u64 {
    (at.millis() as u64) ^ (1 << 63)
}

pub(super) const fn unordered(number: u64) -> Instant {
    Instant::from_millis((number ^ (1 << 63)) as i64)
}

/// The number in a key's last eight bytes.
pub(super) fn last_number(key: &[u8]) -> Option<u64> {
    key.last_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes))
}

/// An execution, by the position of its opening.
pub(super) fn execution(opened: Position) -> Vec<u8> {
    keyed(EXECUTION, opened.0)
}

/// All executions.
pub(super) fn executions() -> (Vec<u8>, Vec<u8>) {
    (vec![EXECUTION], vec![EXECUTION + 1])
}

/// A further part of an execution that is too large for one row.
pub(super) fn execution_part(opened: Position, part: u16) -> Vec<u8> {
    let mut key = keyed(EXECUTION_PART, opened.0);
    key.extend_from_slice(&part.to_be_bytes());
    key
}

/// An execution's id.
pub(super) fn id(id: ExecutionId) -> Vec<u8> {
    id_bytes(id.uuid().as_bytes())
}

/// An id's bytes, also those of a bound that is no id.
pub(super) fn id_bytes(bytes: &[u8; 16]) -> Vec<u8> {
    let mut key = Vec::with_capacity(17);
    key.push(ID);
    key.extend_from_slice(bytes);
    key
}

/// A sorted set of positions: one posting list.
pub(super) enum List<'a> {
    /// Executions by status.
    Status(Status),
    /// Executions by class.
    Class(Class),
    /// Executions by trigger.
    Trigger(Trigger),
    /// Executions of an interface.
    Interface(&'a InterfaceId),
    /// Executions of a schedule.
    Schedule(&'a ScheduleRef),
    /// Executions with this external reference.
    Reference(&'a str),
    /// Events of a kind, by code.
    EventKind(u16),
    /// Events of a stream other than an execution's, which holds its own.
    Stream(&'a StreamId),
    /// Events of an actor other than the daemon itself, as people see it.
    Actor(&'a str),
    /// Events of all of those.
    People,
}

impl List<'_> {
    /// The prefix of the list's chunks.
    pub(super) fn prefix(&self) -> Vec<u8> {
        match self {
            Self::Status(status) => vec![LIST, 0, status_code(*status)],
            Self::Class(class) => vec![LIST, 1, class_code(*class)],
            Self::Trigger(trigger) => vec![LIST, 2, trigger_code(*trigger)],
            Self::Interface(interface) => named(&[LIST, 3], interface.as_str()),
            Self::Schedule(schedule) => schedule_named(&[LIST, 4], schedule),
            // Free text of any length: its hash names the list, and the row itself is asked again.
            Self::Reference(reference) => hashed(&[LIST, 5], reference),
            Self::EventKind(code) => {
                let mut key = vec![LIST, 6];
                key.extend_from_slice(&code.to_be_bytes());
                key
            }
            Self::Stream(stream) => named(&[LIST, 7], &stream.to_string()),
            Self::Actor(actor) => hashed(&ACTORS, actor),
            Self::People => vec![LIST, 9],
        }
    }
}

/// What the lists of actors begin with; a hash follows.
const ACTORS: [u8; 2] = [LIST, 8];

/// The list of an actor that a chunk's key is of.
pub(super) fn actor_list_of(chunk: &[u8]) -> Option<&[u8]> {
    chunk.starts_with(&ACTORS).then(|| chunk.get(..ACTORS.len() + HASH)).flatten()
}

/// The chunks of all actors' lists behind that of `list`, or of all.
pub(super) fn actor_lists(behind: Option<&[u8]>) -> (Vec<u8>, Vec<u8>) {
    let from = behind.map_or_else(|| ACTORS.to_vec(), |list| [list, &[0xff; 9]].concat());
    (from, vec![LIST, ACTORS[1] + 1])
}

/// Bytes of a name's hash.
const HASH: usize = 16;

fn hashed(head: &[u8], name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(head.len() + HASH + 8);
    key.extend_from_slice(head);
    key.extend_from_slice(&blake3::hash(name.as_bytes()).as_bytes()[..HASH]);
    key
}

fn named(head: &[u8], name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(head.len() + name.len() + 9);
    key.extend_from_slice(head);
    key.extend_from_slice(name.as_bytes());
    key.push(END);
    key
}

fn schedule_named(head: &[u8], schedule: &ScheduleRef) -> Vec<u8> {
    let (interface, bare) = (schedule.interface.as_str(), schedule.schedule.as_str());
    let mut key = Vec::with_capacity(head.len() + interface.len() + bare.len() + 10);
    key.extend_from_slice(head);
    key.extend_from_slice(interface.as_bytes());
    key.push(b'/');
    key.extend_from_slice(bare.as_bytes());
    key.push(END);
    key
}

/// A schedule's ledger.
pub(super) fn ledger(schedule: &ScheduleRef) -> Vec<u8> {
    schedule_named(&[LEDGER], schedule)
}

/// A schedule's slots that ended ok.
pub(super) fn ok_slots(schedule: &ScheduleRef) -> Vec<u8> {
    schedule_named(&[OK_SLOTS], schedule)
}

/// A schedule's newest things.
pub(super) fn schedule(schedule: &ScheduleRef) -> Vec<u8> {
    schedule_named(&[SCHEDULE], schedule)
}

/// A mark: the schedule's newest finished execution is a KO.
pub(super) fn ko_schedule(schedule: &ScheduleRef) -> Vec<u8> {
    schedule_named(&[KO_SCHEDULE], schedule)
}

/// The schedule rows of one interface.
pub(super) fn schedules_of(interface: &InterfaceId) -> (Vec<u8>, Vec<u8>) {
    between(SCHEDULE, Some(interface))
}

/// The KO marks of one interface, or of all.
pub(super) fn ko_schedules(interface: Option<&InterfaceId>) -> (Vec<u8>, Vec<u8>) {
    between(KO_SCHEDULE, interface)
}

fn between(kind: u8, interface: Option<&InterfaceId>) -> (Vec<u8>, Vec<u8>) {
    let Some(interface) = interface else {
        return (vec![kind], vec![kind + 1]);
    };
    let mut from = vec![kind];
    from.extend_from_slice(interface.as_str().as_bytes());
    let mut to = from.clone();
    from.push(b'/');
    to.push(b'/' + 1);
    (from, to)
}

/// The schedule that a key made by [`schedule`] or [`ko_schedule`] names.
pub(super) fn schedule_of(key: &[u8]) -> Option<ScheduleRef> {
    let name = key.get(1..key.len().checked_sub(1)?)?;
    std::str::from_utf8(name).ok()?.parse().ok()
}

/// A re-run chain's members after its root, in parts.
pub(super) fn chain(root: ExecutionId) -> Vec<u8> {
    let mut key = Vec::with_capacity(25);
    key.push(CHAIN);
    key.extend_from_slice(root.uuid().as_bytes());
    key
}

/// The newest version of a stream that has no other row for it.
pub(super) fn version(stream: &StreamId) -> Vec<u8> {
    named(&[VERSION], &stream.to_string())
}

/// The first and last position opened on a UTC day.
pub(super) fn day(at: Instant) -> Vec<u8> {
    keyed(DAY, ordered(Instant::from_millis(day_of(at))))
}

/// The UTC day of an instant, counted from 1970.
pub(super) const fn day_of(at: Instant) -> i64 {
    at.millis().div_euclid(86_400_000)
}

/// The key after all days.
pub(super) fn days_end() -> Vec<u8> {
    vec![DAY + 1]
}

/// What an event of retention forgot, by the lowest instant in an id and the event's position.
pub(super) fn pruned(lowest: Instant, position: Position) -> Vec<u8> {
    numbered(&keyed(PRUNED, ordered(lowest)), position.0)
}

/// The rows of [`pruned`] whose lowest instant is at most `at`.
pub(super) fn pruned_up_to(at: Instant) -> (Vec<u8>, Vec<u8>) {
    let mut to = pruned(at, Position(u64::MAX));
    to.push(0);
    (vec![PRUNED], to)
}

/// How much retention took of an interface.
pub(super) fn pruned_of(interface: &InterfaceId) -> Vec<u8> {
    named(&[PRUNED_OF], interface.as_str())
}

/// The rows of [`pruned_of`].
pub(super) fn pruned_of_all() -> (Vec<u8>, Vec<u8>) {
    (vec![PRUNED_OF], vec![PRUNED_OF + 1])
}

/// Up to where retention took a schedule's slots.
pub(super) fn pruned_slots(schedule: &ScheduleRef) -> Vec<u8> {
    schedule_named(&[PRUNED_SLOTS], schedule)
}

/// The interface that a key made by [`pruned_of`] names.
pub(super) fn interface_of(key: &[u8]) -> Option<InterfaceId> {
    std::str::from_utf8(key.get(1..key.len().checked_sub(1)?)?).ok()?.parse().ok()
}

/// Content that is divided among the rows of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Divided {
    /// Positions.
    Positions,
    /// A schedule's decisions.
    Ledger,
    /// A schedule's slots that ended ok.
    OkSlots,
}

/// Of which list the row at `key` is a part; none when it stands for itself.
pub(super) fn divided(key: &[u8]) -> Option<(Divided, &[u8])> {
    let divided = match *key.first()? {
        LIST => Divided::Positions,
        LEDGER => Divided::Ledger,
        OK_SLOTS => Divided::OkSlots,
        _ => return None,
    };
    Some((divided, key.split_last_chunk::<8>()?.0))
}

/// Whether the row says where a day's openings stand.
pub(super) fn is_day(key: &[u8]) -> bool {
    key.first() == Some(&DAY)
}

/// What a key names, for people.
pub(super) fn told(key: &[u8]) -> String {
    let kind = match key.first() {
        Some(&EXECUTION) => "execution",
        Some(&EXECUTION_PART) => "further part of an execution",
        Some(&ID) => "execution's id",
        Some(&LIST) => "posting list",
        Some(&LEDGER) => "ledger of slots",
        Some(&OK_SLOTS) => "slots that ended ok",
        Some(&CHAIN) => "chain of re-runs",
        Some(&SCHEDULE) => "schedule",
        Some(&KO_SCHEDULE) => "schedule that is red",
        Some(&VERSION) => "stream's version",
        Some(&DAY) => "day",
        Some(&PRUNED) => "what retention forgot",
        Some(&PRUNED_OF) => "what retention took of an interface",
        Some(&PRUNED_SLOTS) => "up to where retention took a schedule's slots",
        _ => "row of an unknown kind",
    };
    let rest = key.get(1..).unwrap_or_default();
    let printable = rest.iter().take_while(|byte| byte.is_ascii_graphic()).count();
    let (name, number) = rest.split_at(printable);
    let name = String::from_utf8_lossy(name);
    let number = last_number(number).map_or_else(
        || number.iter().map(|byte| format!("{byte:02x}")).collect(),
        |number| number.to_string(),
    );
    format!("{kind} {name} {number}").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `prefix` with a number behind it.
pub(super) fn numbered(prefix: &[u8], number: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(prefix.len() + 8);
    key.extend_from_slice(prefix);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// The end of a range whose last key is [`numbered`] with `number`.
pub(super) fn after_numbered(prefix: &[u8], number: u64) -> Vec<u8> {
    let mut key = numbered(prefix, number);
    key.push(0);
    key
}
