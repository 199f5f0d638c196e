//! One interface's life: its definitions and pauses.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

use super::definition;
use super::event::Event;
use super::schedule::Pause;
use crate::instant::Instant;

/// An interface, folded from its stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Interface {
    /// The stream's version: events applied so far.
    pub version: u64,
    /// The definition version in force; 0 before the first.
    pub definition_version: u32,
    /// The definition in force, and those that open executions still run with.
    pub definitions: BTreeMap<u32, Definition>,
    /// A person paused it.
    pub paused: Option<Box<Pause>>,
    /// Its file is gone.
    pub removed: bool,
}

/// A definition, shared by all that run with it. Serialised as JSON text, so that a new key needs a serde default only.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition(pub Arc<definition::Interface>);

impl Serialize for Definition {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&serde_json::to_string(&*self.0).map_err(ser::Error::custom)?)
    }
}

impl<'de> Deserialize<'de> for Definition {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::read(&text).map_err(de::Error::custom)
    }
}

impl Definition {
    fn read(text: &str) -> serde_json::Result<Self> {
        let mut interface: definition::Interface = serde_json::from_str(text)?;
        // Entry by entry in ascending order leaves the nodes of the map half empty; made at once they are full.
        interface.schedules = mem::take(&mut interface.schedules).into_iter().collect();
        for schedule in interface.schedules.values_mut() {
            if let definition::Job::Command(words) = &mut schedule.job {
                words.shrink_to_fit();
            }
        }
        Ok(Self(Arc::new(interface)))
    }
}

impl Interface {
    /// The definition in force, if its file was ever accepted and this program can read it.
    pub fn definition(&self) -> Option<&Arc<definition::Interface>> {
        self.definitions.get(&self.definition_version).map(|definition| &definition.0)
    }

    /// Folds one recorded fact of its stream.
    ///
    /// A definition that this program cannot read (written by a newer one) leaves none in force; start-up then defines
    /// it again from the file.
    pub fn apply(&mut self, at: Instant, event: &Event) {
        self.version += 1;
        match event {
            Event::InterfaceDefined(defined) => {
                self.definition_version = defined.definition_version;
                self.removed = false;
                if let Ok(definition) = Definition::read(&defined.definition) {
                    self.definitions.insert(defined.definition_version, definition);
                }
            }
            Event::InterfaceRemoved(_) => self.removed = true,
            Event::InterfacePaused(paused) => {
                let (note, until) = (paused.note.clone(), paused.until);
                self.paused = Some(Box::new(Pause { at, actor: None, note, until }));
            }
            Event::InterfaceResumed(_) => self.paused = None,
            other => debug_assert!(false, "{} in an interface's stream", other.name()),
        }
    }
}
