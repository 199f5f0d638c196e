//! The closed list of causes: finer than a class, each with a runbook page.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::class::Class;

/// Declares [`Cause`]: variant, stored number (append only), code, class, one-line meaning.
macro_rules! causes {
    ($($variant:ident = $number:literal, $code:literal, $class:ident, $meaning:literal;)*) => {
        /// A finer code under a class. A closed set; stored as its number, shown as its code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Cause {
            $(#[doc = $meaning] $variant,)*
        }

        impl Cause {
            /// All causes, in table order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The number written to disk. Never reused.
            pub const fn number(self) -> u16 {
                match self { $(Self::$variant => $number,)* }
            }

            /// The code that people see and type.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// The class whose required action applies.
            pub const fn class(self) -> Class {
                match self { $(Self::$variant => Class::$class,)* }
            }

            /// What it means, in one line.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }

            /// The cause with this stored number.
            pub const fn from_number(number: u16) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

causes! {
    ExtDns = 1, "EXT-DNS", External, "The name of a known external system does not resolve.";
    ExtNetRefused = 2, "EXT-NET-REFUSED", External, "The external system refused the connection.";
    ExtNetUnreachable = 3, "EXT-NET-UNREACHABLE", External, "There is no route to the external system.";
    ExtNetReset = 4, "EXT-NET-RESET", External, "The connection was reset while it was in use.";
    ExtNetClosed = 5, "EXT-NET-CLOSED", External, "The external system closed the connection before it answered.";
    ExtNetTimeout = 6, "EXT-NET-TIMEOUT", External, "The external system did not answer in time.";
    ExtNetTruncated = 7, "EXT-NET-TRUNCATED", External, "The answer ended before it was complete.";
    ExtTlsExpired = 8, "EXT-TLS-EXPIRED", External, "The external system's certificate is not valid at this time.";
    ExtRate = 9, "EXT-RATE", External, "The external system limits the rate of calls.";
    Ext5xx = 10, "EXT-5XX", External, "The external system reports a fault of its own.";
    ExtConflict = 11, "EXT-CONFLICT", External, "Somebody else changed the record at the same time.";
    ExtContract = 12, "EXT-CONTRACT", External, "The answer is not of the agreed form.";
    ExtOther = 13, "EXT-OTHER", External, "The program says that the external system is at fault.";
    ExtTls = 14, "EXT-TLS", External, "The secure connection to the external system broke off.";
    CfgLocal = 20, "CFG-LOCAL", Configuration, "A program, file, folder, variable or credential is missing or unusable.";
    CfgDns = 21, "CFG-DNS", Configuration, "The host name has never resolved: probably a typing error.";
    CfgTls = 22, "CFG-TLS", Configuration, "The certificate does not fit the name, or its issuer is not trusted.";
    CfgProxy = 23, "CFG-PROXY", Configuration, "The proxy refused.";
    CfgAuth = 24, "CFG-AUTH", Configuration, "The credentials are missing, wrong or expired.";
    CfgPerm = 25, "CFG-PERM", Configuration, "The credentials lack a permission, a scope or a plan.";
    CfgEndpoint = 26, "CFG-ENDPOINT", Configuration, "The address or the version of the interface is wrong.";
    CfgSig = 27, "CFG-SIG", Configuration, "A signature is absent, wrong or too old.";
    CfgOther = 28, "CFG-OTHER", Configuration, "The program says that the configuration is at fault.";
    CfgDatabase = 29, "CFG-DATABASE", Configuration, "A database, table or column that the program expects has not been set up.";
    MapRef = 40, "MAP-REF", Mapping, "A mapping or record refers to something that does not exist there.";
    MapField = 41, "MAP-FIELD", Mapping, "A field of a record is missing or has a value that is not accepted.";
    MapMissing = 42, "MAP-MISSING", Mapping, "There is no mapping for a value, or it cannot be converted.";
    MapOther = 43, "MAP-OTHER", Mapping, "The program says that a mapping or a record is at fault.";
    TecSize = 60, "TEC-SIZE", Technical, "What we sent was too large or of the wrong kind.";
    TecDisk = 61, "TEC-DISK", Technical, "A disk is full or fails.";
    TecTimeout = 62, "TEC-TIMEOUT", Technical, "The attempt took longer than its timeout and was ended.";
    TecSignal = 63, "TEC-SIGNAL", Technical, "The command was ended by a signal.";
    TecOom = 64, "TEC-OOM", Technical, "The machine ran out of memory.";
    TecExit = 65, "TEC-EXIT", Technical, "The command ended with a status that is not accepted.";
    TecInterrupted = 66, "TEC-INTERRUPTED", Technical, "The daemon or the machine stopped while it ran.";
    TecCrash = 67, "TEC-CRASH", Technical, "The program stopped on an error of its own.";
    TecStore = 68, "TEC-STORE", Technical, "A database or store of ours failed.";
    TecUnclassified = 69, "TEC-UNCLASSIFIED", Technical, "No rule knows this error.";
    TecProgram = 70, "TEC-PROGRAM", Technical, "The program contains a mistake: a wrong name, type, index or syntax.";
    TecDependency = 71, "TEC-DEPENDENCY", Technical, "A library or module that the program needs is missing or does not fit.";
    TecResource = 72, "TEC-RESOURCE", Technical, "The machine ran out of files, processes or another limited resource.";
    CasStep = 80, "CAS-STEP", Cascade, "A step failed because an earlier one did.";
    CasExit = 81, "CAS-EXIT", Cascade, "A program reports that another one that it started has failed.";
    CasAborted = 82, "CAS-ABORTED", Cascade, "Work was given up because of an earlier error.";
    CasBreaker = 83, "CAS-BREAKER", Cascade, "Calls are held back after earlier failures.";
    CasOther = 84, "CAS-OTHER", Cascade, "The program says that an earlier error is the reason.";
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

/// A word that is no cause.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a cause")]
pub struct CauseError {
    /// The word that was given.
    pub given: String,
}

impl FromStr for Cause {
    type Err = CauseError;
    fn from_str(text: &str) -> Result<Self, CauseError> {
        Self::ALL
            .iter()
            .copied()
            .find(|cause| cause.code().eq_ignore_ascii_case(text))
            .ok_or_else(|| CauseError { given: text.to_owned() })
    }
}

impl Serialize for Cause {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() {
            to.serialize_str(self.code())
        } else {
            to.serialize_u16(self.number())
        }
    }
}

impl<'de> Deserialize<'de> for Cause {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if from.is_human_readable() {
            String::deserialize(from)?.parse().map_err(de::Error::custom)
        } else {
            let number = u16::deserialize(from)?;
            Self::from_number(number)
                .ok_or_else(|| de::Error::custom(format!("{number} is not the number of a cause")))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// S3-8.
    #[test]
    fn each_cause_has_a_number_and_a_code_of_its_own_under_its_class() {
        let mut numbers = BTreeSet::new();
        let mut codes = BTreeSet::new();
        for &cause in Cause::ALL {
            assert!(numbers.insert(cause.number()), "{cause}: number used twice");
            assert!(codes.insert(cause.code()), "{cause}: code used twice");
            assert_eq!(Cause::from_number(cause.number()), Some(cause));
            assert_eq!(cause.code().parse(), Ok(cause));
            let prefix = match cause.class() {
                Class::External => "EXT-",
                Class::Configuration => "CFG-",
                Class::Mapping => "MAP-",
                Class::Technical => "TEC-",
                Class::Cascade => "CAS-",
            };
            assert!(cause.code().starts_with(prefix), "{cause}");
        }
    }

    #[test]
    fn the_numbers_on_disk_do_not_move() {
        assert_eq!(Cause::ExtDns.number(), 1);
        assert_eq!(Cause::CfgLocal.number(), 20);
        assert_eq!(Cause::MapRef.number(), 40);
        assert_eq!(Cause::TecUnclassified.number(), 69);
        assert_eq!(Cause::CasStep.number(), 80);
    }

    /// S3-8.
    #[test]
    fn a_word_that_is_no_cause_is_refused() {
        assert!("EXT-NOTHING".parse::<Cause>().is_err());
        assert!(serde_json::from_str::<Cause>("\"network\"").is_err());
        assert_eq!(Cause::from_number(19), None);
    }
}
