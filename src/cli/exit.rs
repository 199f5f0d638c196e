//! What the process says when it ends. Scripts rely on these numbers. Source: contract, section 5.

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Exit {
    /// All is well.
    Ok = 0,
    /// It failed.
    Failed = 1,
    /// The command line or a value on it is wrong.
    Usage = 2,
    /// There is no such thing.
    NotFound = 3,
    /// A query fits nothing.
    NothingMatched = 4,
    /// The awaited execution ended KO.
    Ko = 5,
    /// Waiting took too long, also for a rebuild.
    TimedOut = 6,
    /// It does not fit what is so now, or another daemon works on the same data.
    Conflict = 7,
    /// No daemon answers.
    Unreachable = 8,
    /// The caller may not do that.
    Denied = 9,
    /// A file or setting is wrong. Source: `EX_CONFIG` of sysexits.h.
    Configuration = 78,
    /// The user interrupted it: 128 and the number of SIGINT.
    Interrupted = 130,
}

/// The table of exit codes for the long help and the manual.
pub const HELP: &str = "\
Exit codes:
    0  ok
    1  failed
    2  wrong usage
    3  not found
    4  nothing matched
    5  the awaited execution ended KO
    6  timed out waiting, also for a rebuild
    7  conflict, or a second daemon on the same data
    8  the daemon cannot be reached
    9  denied
   78  configuration error
  130  interrupted";

impl Exit {
    /// All of them, by number.
    pub const ALL: [Self; 12] = [
        Self::Ok,
        Self::Failed,
        Self::Usage,
        Self::NotFound,
        Self::NothingMatched,
        Self::Ko,
        Self::TimedOut,
        Self::Conflict,
        Self::Unreachable,
        Self::Denied,
        Self::Configuration,
        Self::Interrupted,
    ];

    /// The process's exit status.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The name in the `code` of a problem that the command line itself reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::NotFound => "not-found",
            Self::NothingMatched => "nothing-matched",
            Self::Ko => "ko",
            Self::TimedOut => "timed-out",
            Self::Conflict => "conflict",
            Self::Unreachable => "unreachable",
            Self::Denied => "denied",
            Self::Configuration => "configuration",
            Self::Interrupted => "interrupted",
        }
    }

    /// What an HTTP status and the problem's code mean for the caller.
    pub fn of_problem(status: u16, code: &str) -> Self {
        match status {
            400 | 413 | 415 | 422 => Self::Usage,
            401 | 403 | 429 => Self::Denied,
            404 => Self::NotFound,
            409 => Self::Conflict,
            503 if code == "rebuilding" => Self::TimedOut,
            _ => Self::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_those_of_the_contract() {
        let codes: Vec<u8> = Exit::ALL.iter().map(|exit| exit.code()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 78, 130]);
    }

    #[test]
    fn the_help_names_every_code() {
        for exit in Exit::ALL {
            let number = format!("{:>5}  ", exit.code());
            assert!(HELP.lines().any(|line| line.starts_with(&number)), "{number}");
        }
    }

    #[test]
    fn a_problem_is_told_by_its_status() {
        let cases = [
            (404, "not-found", Exit::NotFound),
            (409, "conflict", Exit::Conflict),
            (409, "ambiguous", Exit::Conflict),
            (401, "unauthenticated", Exit::Denied),
            (403, "denied", Exit::Denied),
            (400, "bad-json", Exit::Usage),
            (422, "invalid", Exit::Usage),
            (503, "rebuilding", Exit::TimedOut),
            (503, "unavailable", Exit::Failed),
            (500, "internal", Exit::Failed),
        ];
        for (status, code, exit) in cases {
            assert_eq!(Exit::of_problem(status, code), exit, "{status} {code}");
        }
    }
}
