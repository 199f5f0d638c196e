//! How one event stands on disk: a small header laid out by hand, then the payload.
//!
//! | bytes | field |
//! |---|---|
//! | 2 | event code |
//! | 2 | event version |
//! | 1 | codec of the payload: 1 is bincode 2 with its standard configuration |
//! | 1 + n | stream: kind, then its names (one length byte each) or the 16 bytes of its UUID |
//! | 8 | version in the stream |
//! | 16 | event id |
//! | 8 | recorded instant, milliseconds since 1970, signed |
//! | 1 + n | actor: kind, then 4 bytes of user id or a text (four length bytes) |
//! | 1 + n | which of correlation (1) and causation (2) follow, 16 bytes each |
//! | rest | payload |
//!
//! Numbers are little-endian. An event's hash is BLAKE3 over exactly these bytes; its position is not among them, since
//! the frame around them says it. The layout is frozen by the files in `tests/golden/`.

use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::upcast;
use crate::domain::event::{Actor, EVENT_NAMES, Envelope, Event};
use crate::ids::{EventId, ExecutionId, InterfaceId, Position, ScheduleId, ScheduleRef, StreamId};
use crate::instant::Instant;

/// The largest stored event, in bytes.
pub const MAX_EVENT_BYTES: usize = 32 << 20;

/// The payload is bincode 2, standard configuration.
const BINCODE: u8 = 1;
/// Stops a damaged length inside a payload from allocating more than this many bytes.
const DECODE_LIMIT: usize = 8 * MAX_EVENT_BYTES;
/// The code of the event that ends an execution.
const CLOSED: u16 = 68;

/// Why bytes are no event, or an event cannot become bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes end inside a header field.
    #[error("the event ends inside its {field}")]
    Short {
        /// The field.
        field: &'static str,
    },
    /// A header field holds something that Daybook never writes.
    #[error("the event's {field} is not readable: {found}")]
    Field {
        /// The field.
        field: &'static str,
        /// What stands there.
        found: String,
    },
    /// The code is none of ours.
    #[error(
        "event code {code} (version {version}) is not known here: a newer daybook wrote it, so run that version"
    )]
    UnknownEvent {
        /// The code.
        code: u16,
        /// The version.
        version: u16,
    },
    /// The event is known, this version of it is not.
    #[error(
        "version {version} of event `{name}` is not known here, the newest is {newest}: a newer daybook wrote it, so run that version"
    )]
    UnknownVersion {
        /// The event's name.
        name: &'static str,
        /// The version found.
        version: u16,
        /// The newest version known here.
        newest: u16,
    },
    /// The payload is in a codec that is none of ours.
    #[error(
        "payload codec {codec} is not known here: a newer daybook wrote it, so run that version"
    )]
    UnknownCodec {
        /// The codec byte.
        codec: u8,
    },
    /// The payload does not hold what its code and version promise.
    #[error("the payload of event `{name}` version {version} is not readable: {why}")]
    Payload {
        /// The event's name.
        name: &'static str,
        /// The version.
        version: u16,
        /// bincode's words.
        why: String,
    },
    /// The event is too large to be stored.
    #[error("event `{name}` takes {bytes} bytes, the limit is {MAX_EVENT_BYTES}")]
    TooLarge {
        /// The event's name.
        name: &'static str,
        /// Its size.
        bytes: usize,
    },
    /// The payload cannot be written.
    #[error("the payload of event `{name}` cannot be written: {why}")]
    Unwritable {
        /// The event's name.
        name: &'static str,
        /// bincode's words.
        why: String,
    },
}

/// An event with everything that its stored bytes hold.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    /// The stream.
    pub stream: &'a StreamId,
    /// Place in the stream, from 1.
    pub version: u64,
    /// When it was recorded.
    pub at: Instant,
    /// Who caused it.
    pub actor: &'a Actor,
    /// The first event of the story.
    pub correlation: Option<EventId>,
    /// The event that led to it.
    pub causation: Option<EventId>,
    /// The fact.
    pub event: &'a Event,
}

/// What stands before the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Which event.
    pub code: u16,
    /// Which form of its payload.
    pub event_version: u16,
    /// How the payload is written.
    pub codec: u8,
    /// The stream.
    pub stream: StreamId,
    /// Place in the stream, from 1.
    pub version: u64,
    /// Its id.
    pub id: EventId,
    /// When it was recorded.
    pub at: Instant,
    /// Who caused it.
    pub actor: Actor,
    /// The first event of the story.
    pub correlation: Option<EventId>,
    /// The event that led to it.
    pub causation: Option<EventId>,
}

impl Header {
    /// Whether this is the event that ends an execution.
    pub const fn closes(&self) -> bool {
        self.code == CLOSED
    }
}

/// Writes `stored` behind what `into` already holds. The id follows from stream, version and instant.
///
/// # Errors
/// [`CodecError::TooLarge`] and [`CodecError::Unwritable`]; `into` is then as it was.
pub fn encode(stored: &Stored<'_>, into: &mut Vec<u8>) -> Result<(), CodecError> {
    let start = into.len();
    let event = stored.event;
    into.extend_from_slice(&event.code().to_le_bytes());
    into.extend_from_slice(&upcast::newest_of(event).to_le_bytes());
    into.push(BINCODE);
    put_stream(stored.stream, into);
    into.extend_from_slice(&stored.version.to_le_bytes());
    let id = EventId::derive(stored.stream, stored.version, stored.at);
    into.extend_from_slice(id.0.as_bytes());
    into.extend_from_slice(&stored.at.millis().to_le_bytes());
    put_actor(stored.actor, into);
    let flags =
        u8::from(stored.correlation.is_some()) | (u8::from(stored.causation.is_some()) << 1);
    into.push(flags);
    for id in [stored.correlation, stored.causation].into_iter().flatten() {
        into.extend_from_slice(id.0.as_bytes());
    }
    let written = upcast::encode_payload(event, into)
        .map_err(|why| CodecError::Unwritable { name: event.name(), why });
    let bytes = into.len() - start;
    let checked = written.and_then(|()| {
        if bytes <= MAX_EVENT_BYTES {
            Ok(())
        } else {
            Err(CodecError::TooLarge { name: event.name(), bytes })
        }
    });
    if checked.is_err() {
        into.truncate(start);
    }
    checked
}

/// Reads the header alone, for those who need no payload.
///
/// # Errors
/// [`CodecError::Short`] and [`CodecError::Field`].
pub fn header(bytes: &[u8]) -> Result<Header, CodecError> {
    split(bytes).map(|(header, _)| header)
}

/// Reads one event back, whatever version it was written in.
///
/// # Errors
/// [`CodecError`].
pub fn decode(position: Position, bytes: &[u8]) -> Result<Envelope, CodecError> {
    let (header, payload) = split(bytes)?;
    let event = decode_event(&header, payload)?;
    Ok(Envelope {
        position,
        stream: header.stream,
        version: header.version,
        id: header.id,
        at: header.at,
        actor: header.actor,
        correlation: header.correlation,
        causation: header.causation,
        hash: hash(bytes),
        event,
    })
}

/// BLAKE3 over an event's stored bytes. Source: contract, rule 10.
pub fn hash(bytes: &[u8]) -> [u8; 32] {
    *blake3::hash(bytes).as_bytes()
}

/// Packs rebuildable data (checkpoints, projection rows) in the payload codec.
///
/// # Errors
/// bincode's words.
pub fn pack<T: Serialize>(value: &T, into: &mut Vec<u8>) -> Result<(), String> {
    bincode::serde::encode_into_std_write(value, into, configuration())
        .map(|_| ())
        .map_err(|err| err.to_string())
}

/// Reads what [`pack`] wrote, all of it.
///
/// # Errors
/// bincode's words, or how many bytes were left over.
pub fn unpack<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let (value, used) = bincode::serde::decode_from_slice::<T, _>(bytes, configuration())
        .map_err(|err| err.to_string())?;
    if used == bytes.len() {
        Ok(value)
    } else {
        Err(format!("{} bytes are left over", bytes.len() - used))
    }
}

const fn configuration() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<DECODE_LIMIT>()
}

fn decode_event(header: &Header, payload: &[u8]) -> Result<Event, CodecError> {
    let (code, version) = (header.code, header.event_version);
    let Some((_, name)) = EVENT_NAMES.iter().find(|(known, _)| *known == code) else {
        return Err(CodecError::UnknownEvent { code, version });
    };
    if header.codec != BINCODE {
        return Err(CodecError::UnknownCodec { codec: header.codec });
    }
    upcast::decode_payload(code, version, payload).map_err(|unread| match unread {
        upcast::Unread::Code => CodecError::UnknownEvent { code, version },
        upcast::Unread::Version { newest } => CodecError::UnknownVersion { name, version, newest },
        upcast::Unread::Payload(why) => CodecError::Payload { name, version, why },
    })
}

fn split(bytes: &[u8]) -> Result<(Header, &[u8]), CodecError> {
    let mut from = Fields { rest: bytes };
    let code = from.u16("code")?;
    let event_version = from.u16("version")?;
    let codec = from.u8("codec")?;
    let stream = from.stream()?;
    let version = from.u64("stream version")?;
    let id = from.id("id")?;
    let at = Instant::from_millis(from.i64("instant")?);
    let actor = from.actor()?;
    let flags = from.u8("flags")?;
    if flags > 3 {
        return Err(CodecError::Field { field: "flags", found: flags.to_string() });
    }
    let correlation = if flags & 1 == 0 { None } else { Some(from.id("correlation")?) };
    let causation = if flags & 2 == 0 { None } else { Some(from.id("causation")?) };
    let header = Header {
        code,
        event_version,
        codec,
        stream,
        version,
        id,
        at,
        actor,
        correlation,
        causation,
    };
    Ok((header, from.rest))
}

const DAEMON: u8 = 0;
const INTERFACE: u8 = 1;
const SCHEDULE: u8 = 2;
const EXECUTION: u8 = 3;

fn put_stream(stream: &StreamId, into: &mut Vec<u8>) {
    let mut name = |kind: Option<u8>, text: &str| {
        into.extend(kind);
        // A name has at most 63 bytes.
        into.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
        into.extend_from_slice(text.as_bytes());
    };
    match stream {
        StreamId::Daemon => into.push(DAEMON),
        StreamId::Interface(id) => name(Some(INTERFACE), id.as_str()),
        StreamId::Schedule(id) => {
            name(Some(SCHEDULE), id.interface.as_str());
            name(None, id.schedule.as_str());
        }
        StreamId::Execution(id) => {
            into.push(EXECUTION);
            into.extend_from_slice(id.uuid().as_bytes());
        }
    }
}

const DAYBOOK: u8 = 0;
const LOCAL: u8 = 1;
const TOKEN: u8 = 2;
const SESSION: u8 = 3;

fn put_actor(actor: &Actor, into: &mut Vec<u8>) {
    let mut text = |kind: u8, text: &str| {
        into.push(kind);
        // More than 4 GiB fails at the limit for the whole event.
        into.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
        into.extend_from_slice(text.as_bytes());
    };
    match actor {
        Actor::Daybook => into.push(DAYBOOK),
        Actor::Local(uid) => {
            into.push(LOCAL);
            into.extend_from_slice(&uid.to_le_bytes());
        }
        Actor::Token(name) => text(TOKEN, name),
        Actor::Session(id) => text(SESSION, id),
    }
}

/// The header's fields, read one after the other.
struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize, field: &'static str) -> Result<&'a [u8], CodecError> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(CodecError::Short { field })?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], CodecError> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(CodecError::Short { field })?;
        self.rest = rest;
        Ok(*head)
    }

    fn u8(&mut self, field: &'static str) -> Result<u8, CodecError> {
        self.array(field).map(|[byte]| byte)
    }

    fn u16(&mut self, field: &'static str) -> Result<u16, CodecError> {
        self.array(field).map(u16::from_le_bytes)
    }

    fn u32(&mut self, field: &'static str) -> Result<u32, CodecError> {
        self.array(field).map(u32::from_le_bytes)
    }

    fn u64(&mut self, field: &'static str) -> Result<u64, CodecError> {
        self.array(field).map(u64::from_le_bytes)
    }

    fn i64(&mut self, field: &'static str) -> Result<i64, CodecError> {
        self.array(field).map(i64::from_le_bytes)
    }

    fn id(&mut self, field: &'static str) -> Result<EventId, CodecError> {
        self.array(field).map(|bytes| EventId(Uuid::from_bytes(bytes)))
    }

    fn text(&mut self, count: usize, field: &'static str) -> Result<&'a str, CodecError> {
        str::from_utf8(self.take(count, field)?)
            .map_err(|err| CodecError::Field { field, found: err.to_string() })
    }

    fn name(&mut self) -> Result<&'a str, CodecError> {
        let count = self.u8("stream")?;
        self.text(usize::from(count), "stream")
    }

    fn interface(&mut self) -> Result<InterfaceId, CodecError> {
        InterfaceId::new(self.name()?).map_err(|err| no_stream(&err))
    }

    fn stream(&mut self) -> Result<StreamId, CodecError> {
        match self.u8("stream")? {
            DAEMON => Ok(StreamId::Daemon),
            INTERFACE => self.interface().map(StreamId::Interface),
            SCHEDULE => {
                let interface = self.interface()?;
                let schedule = ScheduleId::new(self.name()?).map_err(|err| no_stream(&err))?;
                Ok(StreamId::Schedule(ScheduleRef { interface, schedule }))
            }
            EXECUTION => self
                .array("stream")
                .map(|bytes| StreamId::Execution(ExecutionId::from_uuid(Uuid::from_bytes(bytes)))),
            kind => Err(CodecError::Field { field: "stream", found: format!("kind {kind}") }),
        }
    }

    fn actor(&mut self) -> Result<Actor, CodecError> {
        let kind = self.u8("actor")?;
        match kind {
            DAYBOOK => Ok(Actor::Daybook),
            LOCAL => self.u32("actor").map(Actor::Local),
            TOKEN | SESSION => {
                let count = usize::try_from(self.u32("actor")?).unwrap_or(usize::MAX);
                let text = self.text(count, "actor")?.to_owned();
                Ok(if kind == TOKEN { Actor::Token(text) } else { Actor::Session(text) })
            }
            _ => Err(CodecError::Field { field: "actor", found: format!("kind {kind}") }),
        }
    }
}

fn no_stream(err: &crate::ids::NameError) -> CodecError {
    CodecError::Field { field: "stream", found: err.to_string() }
}
