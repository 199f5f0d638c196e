//! PLACEHOLDER with the seams' signatures; the real one replaces it.

use std::sync::Arc;

use super::cause::Cause;
use super::class::{Class, Level, Source};
use super::definition::Rule;

/// Compiled rules.
pub struct Classifier {
    own: bool,
}

/// Why a rule was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rule {index}")]
pub struct RuleError {
    /// Which.
    pub index: usize,
}

impl Classifier {
    /// Compiles.
    ///
    /// # Errors
    /// Never.
    pub fn new(rules: &[Rule]) -> Result<Self, RuleError> {
        Ok(Self { own: !rules.is_empty() })
    }

    /// Whether the interface has rules of its own.
    pub fn has_own_rules(&self) -> bool {
        self.own
    }
}

/// What a line is.
pub struct Judgement {
    /// How serious.
    pub level: Level,
    /// Whose move.
    pub class: Option<Class>,
    /// Why.
    pub cause: Option<Cause>,
    /// Marked by the program.
    pub marked: bool,
    /// The causing line.
    pub cascade_of: Option<u64>,
    /// Replaces the text.
    pub text: Option<String>,
    /// Further fields.
    pub fields: Option<serde_json::Value>,
}

/// The memory of one attempt.
pub struct Session {}

impl Session {
    /// Empty.
    pub fn new(_classifier: Arc<Classifier>) -> Self {
        Self {}
    }

    /// Judges a line.
    pub fn judge(&mut self, _number: u64, source: Source, text: &str) -> Judgement {
        let words = [
            ("ERROR Mapping: ", Class::Mapping, Cause::MapOther),
            ("ERROR External: ", Class::External, Cause::ExtOther),
            ("ERROR Configuration: ", Class::Configuration, Cause::CfgOther),
            ("ERROR Cascade: ", Class::Cascade, Cause::CasOther),
        ];
        for (prefix, class, cause) in words {
            if text.starts_with(prefix) {
                return Judgement {
                    level: Level::Error,
                    class: Some(class),
                    cause: Some(cause),
                    marked: true,
                    cascade_of: None,
                    text: None,
                    fields: None,
                };
            }
        }
        let error = text.contains("refused") && source == Source::Stderr;
        Judgement {
            level: if error { Level::Error } else { Level::Info },
            class: error.then_some(Class::External),
            cause: error.then_some(Cause::ExtNetRefused),
            marked: false,
            cascade_of: None,
            text: None,
            fields: None,
        }
    }

    /// Forgets.
    pub fn next_attempt(&mut self) {}
}

/// Whether no line of the block can be anything but plain information.
pub fn surely_plain(bytes: &[u8]) -> bool {
    memchr::memmem::find(bytes, b"ERROR").is_none()
        && memchr::memmem::find(bytes, b"refused").is_none()
}
