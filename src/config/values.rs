//! The small languages of values: durations, sizes, rates, addresses, names of variables.

use crate::domain::definition::Rate;

/// Why a value's text was refused; reads on after "`key` ".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct ValueError {
    /// What is wrong with it.
    pub why: String,
    /// How to mend it, when that is known.
    pub hint: Option<String>,
}

impl ValueError {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), hint: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

const UNITS: [(&str, u64); 6] = [
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Reads a duration in milliseconds: whole numbers with units, largest first (`45m`, `1h30m`, `90s`, `250ms`).
///
/// # Errors
/// Another form, a repeated or smaller-before-larger unit, or more than 64 bits of milliseconds.
pub fn parse_duration(text: &str) -> Result<u64, ValueError> {
    let text = text.trim();
    let form = || {
        ValueError::new(format!("`{text}` is not a duration")).hint(
            "write whole numbers with the units w, d, h, m, s or ms: \"45m\", \"1h30m\", \"90s\"",
        )
    };
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(ValueError::new(format!("`{text}` has no unit")).hint(format!(
            "write \"{text}s\" for seconds, \"{text}m\" for minutes, \"{text}h\" for hours"
        )));
    }
    let mut rest = text;
    let mut total: u64 = 0;
    let mut last = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at_checked(digits).ok_or_else(form)?;
        let letters = tail.len() - tail.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (unit, tail) = tail.split_at_checked(letters).ok_or_else(form)?;
        let size = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, size)| *size);
        let size = size.filter(|size| *size < last).ok_or_else(form)?;
        let number: u64 = number.parse().ok().ok_or_else(form)?;
        total = number
            .checked_mul(size)
            .and_then(|part| total.checked_add(part))
            .ok_or_else(|| ValueError::new(format!("`{text}` is too long a duration")))?;
        last = size;
        rest = tail;
    }
    if last == u64::MAX { Err(form()) } else { Ok(total) }
}

/// Shows milliseconds the way [`parse_duration`] reads them: `1h30m`, `0s`.
pub fn show_duration(ms: u64) -> String {
    let mut rest = ms;
    let mut shown = String::new();
    for (unit, size) in UNITS {
        // Weeks read badly beside the days that people write.
        if unit != "w" && rest >= size {
            shown.push_str(&format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    if shown.is_empty() { "0s".to_owned() } else { shown }
}

/// Calls that are remembered for one rate at most.
const RATE_COUNT_MAX: u32 = 100_000;

/// The words for a period of one unit.
const PERIODS: [(&str, u64); 4] =
    [("s", 1_000), ("min", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads how many in which period: `60/min`, `5/s`, `100/15m`.
///
/// # Errors
/// Another form, none at all, more than 100,000, or a period of zero.
pub fn parse_rate(text: &str) -> Result<Rate, ValueError> {
    let form = |why: &str| {
        ValueError::new(format!("`{text}` {why}")).hint(
            "write how many, a slash, and a period (s, min, h, d or a duration): \"60/min\", \"100/15m\"",
        )
    };
    let (count, period) = text.split_once('/').ok_or_else(|| form("is not a rate"))?;
    let (count, period) = (count.trim(), period.trim());
    let count: u32 = match count.parse() {
        Ok(count) => count,
        Err(_) => return Err(form("is not a rate")),
    };
    if !(1..=RATE_COUNT_MAX).contains(&count) {
        return Err(form(&format!("is out of range: it expects 1 to {RATE_COUNT_MAX} calls")));
    }
    let unit = PERIODS.iter().find(|(word, _)| *word == period).map(|(_, ms)| *ms);
    match unit.or_else(|| parse_duration(period).ok()) {
        Some(per_ms @ 1..) => Ok(Rate { count, per_ms }),
        Some(0) | None => Err(form("names no period")),
    }
}

/// Shows a rate the way [`parse_rate`] reads it.
pub fn show_rate(rate: Rate) -> String {
    let unit = PERIODS.iter().find(|(_, ms)| *ms == rate.per_ms);
    let period = unit.map_or_else(|| show_duration(rate.per_ms), |(word, _)| (*word).to_owned());
    format!("{}/{period}", rate.count)
}

const SIZES: [(&str, u64); 9] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

/// Reads a size in bytes: a whole number with `B`, `KiB`, `MiB`, `GiB`, `TiB`, `kB`, `MB`, `GB` or `TB`.
///
/// # Errors
/// Another form, or more than 64 bits of bytes.
pub fn parse_size(text: &str) -> Result<u64, ValueError> {
    let form = || {
        ValueError::new(format!("`{text}` is not a size"))
            .hint("write a whole number with a unit: \"1GiB\", \"64KiB\", \"500MB\"")
    };
    let trimmed = text.trim();
    let unit = trimmed.trim_start_matches(|c: char| c.is_ascii_digit());
    let number = trimmed.strip_suffix(unit).ok_or_else(form)?;
    let factor = SIZES.iter().find(|(name, _)| *name == unit.trim_start()).ok_or_else(form)?.1;
    let number: u64 = number.parse().ok().ok_or_else(form)?;
    number
        .checked_mul(factor)
        .ok_or_else(|| ValueError::new(format!("`{text}` is too large a size")))
}

/// Shows bytes the way [`parse_size`] reads them, exactly: `1GiB`, `1500B`.
pub fn show_size(bytes: u64) -> String {
    let binary = [("TiB", 1u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    binary
        .into_iter()
        .find(|(_, size)| bytes >= *size && bytes.is_multiple_of(*size))
        .map_or_else(|| format!("{bytes}B"), |(unit, size)| format!("{}{unit}", bytes / size))
}

/// Checks an `http` or `https` address. Templates may stand after the scheme. The address is not repeated in errors.
///
/// # Errors
/// Another scheme, no host, or characters that an address cannot have.
pub(super) fn check_url(text: &str) -> Result<(), ValueError> {
    let refuse = |why: &str| {
        ValueError::new(why.to_owned()).hint("an address looks like \"https://host.example/path\"")
    };
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
        .ok_or_else(|| refuse("does not begin with `https://` or `http://`"))?;
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.is_empty() {
        return Err(refuse("names no host"));
    }
    if text.contains("{{") {
        return Ok(());
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(refuse("holds white space or a control character"));
    }
    match text.parse::<http::Uri>() {
        Ok(_) => Ok(()),
        Err(err) => Err(refuse(&format!("is not an address: {err}"))),
    }
}

/// Whether `name` may name an environment variable: `[A-Za-z_][A-Za-z0-9_]*`.
pub(super) fn is_variable(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The candidate that `given` most resembles, if any comes close.
pub(super) fn nearest<'a>(
    given: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let given = given.to_lowercase();
    candidates
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&given, &name.to_lowercase()), name))
        .filter(|(distance, name)| {
            *distance <= 1 + name.chars().count().max(given.chars().count()) / 4
                && *distance < name.chars().count()
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Joins names for a sentence: `a`, `b` or `c`.
pub(super) fn one_of(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_whole_numbers_with_units_largest_first() {
        for (text, ms) in [
            ("45m", 2_700_000),
            ("1h30m", 5_400_000),
            ("90s", 90_000),
            ("250ms", 250),
            ("90d", 7_776_000_000),
            ("2w", 1_209_600_000),
            ("0s", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(ms), "{text}");
        }
        for text in [
            "",
            "h",
            "1.5h",
            "30m1h",
            "1h1h",
            "1 h",
            "-5m",
            "5x",
            "99999999999999999999s",
            "9999999999999999w",
        ] {
            assert!(parse_duration(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_bare_number_is_answered_with_the_units_that_it_may_have_meant() {
        let refused = parse_duration("45").expect_err("no unit");
        assert_eq!(refused.why, "`45` has no unit");
        assert_eq!(
            refused.hint.as_deref(),
            Some("write \"45s\" for seconds, \"45m\" for minutes, \"45h\" for hours")
        );
    }

    #[test]
    fn durations_and_sizes_are_shown_as_they_are_written() {
        assert_eq!(show_duration(5_400_000), "1h30m");
        assert_eq!(show_duration(7_776_000_250), "90d250ms");
        assert_eq!(show_duration(0), "0s");
        assert_eq!(show_size(1 << 30), "1GiB");
        assert_eq!(show_size(1500), "1500B");
        assert_eq!(show_size(0), "0B");
    }

    #[test]
    fn a_rate_is_a_number_in_a_period() {
        for (text, count, per_ms) in [
            ("60/min", 60, 60_000),
            ("5/s", 5, 1_000),
            ("100 / 15m", 100, 900_000),
            ("1/d", 1, 86_400_000),
        ] {
            assert_eq!(parse_rate(text), Ok(Rate { count, per_ms }), "{text}");
        }
        assert_eq!(show_rate(Rate { count: 60, per_ms: 60_000 }), "60/min");
        assert_eq!(show_rate(Rate { count: 100, per_ms: 900_000 }), "100/15m");
        for text in
            ["", "60", "60/", "/min", "0/min", "-1/s", "1.5/s", "60/0s", "60/minute", "200000/s"]
        {
            assert!(parse_rate(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_size_has_a_binary_or_a_decimal_unit() {
        assert_eq!(parse_size("1GiB"), Ok(1_073_741_824));
        assert_eq!(parse_size("64 KiB"), Ok(65_536));
        assert_eq!(parse_size("500MB"), Ok(500_000_000));
        for text in ["", "1", "GiB", "1gib", "1.5GiB", "-1B", "99999999999TiB"] {
            assert!(parse_size(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_address_is_http_with_a_host_and_may_hold_templates_after_the_scheme() {
        for text in [
            "https://a.example",
            "http://127.0.0.1:8080/x?y=1",
            "https://a.example/{{ slot.date }}",
            "http://[::1]:80/",
        ] {
            assert_eq!(check_url(text), Ok(()), "{text}");
        }
        for text in [
            "",
            "a.example",
            "ftp://a.example",
            "https://",
            "https:///x",
            "https://a b/",
            "{{ param.url }}",
        ] {
            assert!(check_url(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_nearest_name_is_offered_only_when_it_is_near() {
        let keys = ["timezone", "timeout", "cron", "command"];
        assert_eq!(nearest("timezon", keys), Some("timezone"));
        assert_eq!(nearest("comand", keys), Some("command"));
        assert_eq!(nearest("corn", keys), Some("cron"));
        assert_eq!(nearest("banana", keys), None);
    }
}
