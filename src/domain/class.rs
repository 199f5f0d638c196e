//! The five error classes and what each asks of a person; levels and streams of log lines.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Whose move it is. A closed set (seed 003; S3-8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// The communication with the external system, or the system itself.
    External,
    /// Credentials, addresses, permissions, settings.
    Configuration,
    /// A mapping, or the data of a record.
    Mapping,
    /// Our own software or machine.
    Technical,
    /// A consequence of an error above it.
    Cascade,
}

impl Class {
    /// All classes, in the order in which people list them.
    pub const ALL: [Self; 5] =
        [Self::External, Self::Configuration, Self::Mapping, Self::Technical, Self::Cascade];

    /// The lower-case name used in JSON, labels and flags.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::External => "external",
            Self::Configuration => "configuration",
            Self::Mapping => "mapping",
            Self::Technical => "technical",
            Self::Cascade => "cascade",
        }
    }

    /// The capitalised name that begins an error line (S3-6).
    pub const fn title(self) -> &'static str {
        match self {
            Self::External => "External",
            Self::Configuration => "Configuration",
            Self::Mapping => "Mapping",
            Self::Technical => "Technical",
            Self::Cascade => "Cascade",
        }
    }

    /// The required action in the contract's words (section 8; S3-9). `cause_line` is the line that a cascade points to.
    pub fn action(self, cause_line: Option<u64>) -> String {
        match self {
            Self::External => {
                "Run it again. If it fails again, contact the provider of the external system."
                    .to_owned()
            }
            Self::Configuration => {
                "Check the configuration: credentials, address, permissions, settings.".to_owned()
            }
            Self::Mapping => {
                "Check the mappings and the record's data; correct them, then run it again."
                    .to_owned()
            }
            Self::Technical => {
                "Unexpected technical error: contact support, with the export of this execution."
                    .to_owned()
            }
            Self::Cascade => cause_line.map_or_else(
                || "Consequence of an error above.".to_owned(),
                |line| format!("Consequence of an error above. Look at line {line}."),
            ),
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that is none of the five classes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a class: external, configuration, mapping, technical or cascade")]
pub struct ClassError {
    /// The word that was given.
    pub given: String,
}

impl FromStr for Class {
    type Err = ClassError;
    fn from_str(text: &str) -> Result<Self, ClassError> {
        Self::ALL
            .into_iter()
            .find(|class| class.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| ClassError { given: text.to_owned() })
    }
}

/// How serious a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Detail for whoever wrote the program.
    Debug,
    /// Ordinary progress.
    Info,
    /// Something was off and was dealt with.
    Warning,
    /// Something failed.
    Error,
}

impl Level {
    /// The lower-case name used in JSON, labels and flags.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Where a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The command's standard output.
    Stdout,
    /// The command's standard error.
    Stderr,
    /// Daybook itself.
    Daybook,
}

impl Source {
    /// The name shown as a line's `stream`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Daybook => "daybook",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S3-8.
    #[test]
    fn any_word_but_the_five_classes_is_refused() {
        for class in Class::ALL {
            assert_eq!(class.as_str().parse(), Ok(class));
        }
        for word in ["", "none", "Externals", "warning"] {
            assert!(word.parse::<Class>().is_err(), "{word:?}");
        }
        assert!(serde_json::from_str::<Class>("\"fatal\"").is_err());
    }

    /// S3-9.
    #[test]
    fn each_class_says_whose_move_it_is() {
        assert_eq!(
            Class::Cascade.action(Some(12)),
            "Consequence of an error above. Look at line 12."
        );
        assert!(Class::External.action(None).starts_with("Run it again."));
    }
}
