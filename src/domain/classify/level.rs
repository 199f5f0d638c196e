//! Reads how serious a line says it is, in the shapes that loggers write.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, OnceLock};

use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};

use super::text::head;
use crate::domain::class::Level;

/// How far into a line a level is looked for, in bytes.
const HEADER_BYTES: usize = 180;

/// The level that the line states, and where its message begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stated {
    pub(super) level: Level,
    /// Offset of what follows the level, in bytes.
    pub(super) message: usize,
}

/// The level of a word in any case: `WARN`, `critical`, `E`, `Error`.
pub(super) fn named(word: &str) -> Option<Level> {
    let mut lower = [0_u8; 12];
    let lower = lower.get_mut(..word.len())?;
    lower.copy_from_slice(word.as_bytes());
    lower.make_ascii_lowercase();
    Some(match &*lower {
        b"trace" | b"trce" | b"dbug" | b"trc" | b"debug" | b"dbg" | b"debu" | b"verbose"
        | b"verb" | b"fine" | b"finer" | b"finest" | b"silly" | b"config" => Level::Debug,
        b"info" | b"inf" | b"information" | b"notice" | b"note" | b"http" | b"success" | b"ok"
        | b"log" | b"hint" => Level::Info,
        b"warn" | b"warning" | b"wrn" | b"warnung" | b"advertencia" => Level::Warning,
        b"error" | b"fail" | b"err" | b"eror" | b"erro" | b"fatal" | b"ftl" | b"critical"
        | b"crit" | b"severe" | b"emerg" | b"emergency" | b"alert" | b"panic" | b"dpanic"
        | b"failure" | b"failed" | b"err!" | b"fehler" | b"erreur" => Level::Error,
        _ => return None,
    })
}

/// How many lines are read before one pass over all shapes is worth its building.
const WARM_LINES: usize = 200;

/// The shapes, in the order in which they are tried. Each captures the level's word as `l`, and begins with what a line must hold
/// to have it, in lower case and with 0 for each digit; any line will do if that is nothing.
static SHAPES: LazyLock<Shapes> = LazyLock::new(|| {
    const WORD: &str = r"(?P<l>(?i:trace|debug|verbose|info|information|note|notice|warn|warning|error|erro|err|fatal|critical|crit|severe|emerg|emergency|alert|panic|dpanic|dbg|inf|wrn|ftl|fine|finer|finest|config))";
    const UPPER: &str = r"(?P<l>TRACE|DEBUG|VERBOSE|INFO|NOTICE|WARN|WARNING|ERROR|ERRO|ERR|FATAL|CRITICAL|CRIT|SEVERE|EMERG|EMERGENCY|ALERT|PANIC|DPANIC|DBG|INF|WRN|FTL|FINE|FINER|FINEST|CONFIG)";
    // A time of day, then anything short without a sentence, then the level in capitals.
    let shapes: [(&'static [&'static str], String); 19] = [
        // logfmt: level=error lvl=warn severity=ERROR "level":"error"
        (&["level", "lvl", "severity"], format!(r#"(?i:\b(?:level|lvl|severity|loglevel|log\.level|levelname)"?\s?[=:]\s?"?){WORD}\b"?"#)),
        // CI commands: ##[error] ::error:: ::warning file=…::
        (&["##["], format!(r"^[^:]{{0,80}}(?:[\d:.TZ-]{{0,40}}\s)?##\[{WORD}\]")),
        (&["::"], format!(r"^::{WORD}(?: [^:]*)?::")),
        // [error] [ERROR] <error> (ERROR) |ERROR|, possibly after a time and a name: also channel.ERROR of Monolog.
        (&["[", "<", "(", "|"], format!(r"(?:^|[\s\]\[|)>:-])[\[<(|]\s{{0,3}}{WORD}\s{{0,4}}[\]>)|]:?")),
        (&["."], format!(r"(?:^|\s)[A-Za-z_][\w-]{{0,30}}\.{UPPER}:")),
        // ERROR:root: and 'ERROR - ', 'ERROR | ', 'ERROR 2024-…', 'ERROR [main]' at the beginning or after a header of short words.
        (&[":"], format!(r"^\W{{0,18}}{WORD}\s?:(?:\s|[\w.]+:|$)")),
        (&[], format!(r"^\W{{0,18}}{UPPER}(?:\s+|$|[-|:\[(])")),
        (&["00:00"], format!(r"\d\d:\d\d(?::\d\d)?\S{{0,16}}(?:[\s|,;\]-]+[^\s:]\S{{0,60}}){{0,6}}?[\s|,;\]-]+{UPPER}(?:[\s:|,;\])\[(-]|$)")),
        (&["00:00"], format!(r"\d\d:\d\d(?::\d\d)?\S{{0,16}}\s+\W{{0,9}}{WORD}\s*[:|-]")),
        (&["00:00:00,"], format!(r"\d\d:\d\d:\d\d,\s+{WORD}\s")),
        (&["0000-00-00", "0000.00.00", "0000-00.00", "0000.00-00"], format!(r"\d{{4}}[.-]\d\d[.-]\d\d(?:\s+[\w.:-]{{1,40}}){{0,6}}?\s+{UPPER}\s")),
        // PostgreSQL's own log.
        (&["log:"], r"^(?:\d{4}-\d\d-\d\d [\d:.]+ \S+ (?:\S+ ){0,3})?(?P<l>LOG):\s".to_owned()),
        // npm ERR!, yarn error, cargo error[E0001]:, gradle 'e: ', docker compose 'web_1  | ERROR …'
        (&["npm "], r"^npm (?P<l>(?i:err!|error|warn|notice|info|http|verb))(?:\s|$)".to_owned()),
        (&["|"], r"^[\w.-]{1,40}\s*\|\s+(?:[\d:.,TZ+ -]{0,40})?\[?(?P<l>TRACE|DEBUG|INFO|WARN|WARNING|ERROR|FATAL|SEVERE|CRITICAL)\]?\b".to_owned()),
        (&["0 "], r"^\d{1,5} (?P<l>error|warn|info|verbose|http|silly|notice) ".to_owned()),
        (&["php "], r"^(?i:php (?:\w+ )?)(?P<l>(?i:fatal|notice|warning|deprecated|error))\b(?: error)?:".to_owned()),
        // The console logger of .NET: 'fail: Shop.Sync[0] …'
        (&["trce: ", "dbug: ", "info: ", "warn: ", "fail: ", "crit: "], r"^(?P<l>trce|dbug|info|warn|fail|crit): [A-Z]\w*(?:\.\w+)+".to_owned()),
        // Minecraft, Forge, and others that name thread and level together: '[main/WARN]: …'
        (&["["], format!(r"^(?:\[[^\]]{{1,30}}\] ?){{0,2}}\[[\w .#-]{{1,40}}/{UPPER}\]")),
        // Names in front: 'org.apache.x ERROR', 'main ERROR '
        (&[], format!(r"^[\w.\[\]/:,*#-]{{1,60}}\s+{UPPER}(?:\s|:|$)")),
    ];
    let shapes =
        shapes.into_iter().map(|(holds, text)| Shape { holds, text, regex: OnceLock::new() });
    Shapes { each: shapes.collect(), seen: AtomicUsize::new(0), any: OnceLock::new() }
});

/// A pattern over bytes: levels are ASCII in all languages, and Unicode classes would make the automaton a hundred times larger.
fn pattern(text: &str) -> Option<Regex> {
    RegexBuilder::new(text).unicode(false).build().ok()
}

struct Shape {
    holds: &'static [&'static str],
    text: String,
    /// Compiled when a line asks for it: most programs write one shape.
    regex: OnceLock<Option<Regex>>,
}

struct Shapes {
    each: Vec<Shape>,
    /// How many lines were read without the set.
    seen: AtomicUsize,
    /// The shapes as one set, which says in one pass which of them are worth asking for their captures.
    any: OnceLock<Option<RegexSet>>,
}

impl Shapes {
    /// The numbers of the shapes that `header` may have.
    fn of(&self, header: &str) -> Vec<usize> {
        if self.seen.fetch_add(1, Ordering::Relaxed) >= WARM_LINES
            && let Some(any) = self.set()
        {
            return any.matches(header.as_bytes()).into_iter().collect();
        }
        self.held(header)
    }

    /// The numbers of the shapes for which `header` holds what they ask for.
    fn held(&self, header: &str) -> Vec<usize> {
        let folded = |c: char| if c.is_ascii_digit() { '0' } else { c.to_ascii_lowercase() };
        let lower: String = header.chars().map(folded).collect();
        let may = |shape: &Shape| {
            shape.holds.is_empty() || shape.holds.iter().any(|text| lower.contains(text))
        };
        (0..).zip(&self.each).filter(|(_, shape)| may(shape)).map(|(at, _)| at).collect()
    }

    fn set(&self) -> Option<&RegexSet> {
        let texts = || self.each.iter().map(|shape| shape.text.as_str());
        self.any.get_or_init(|| RegexSetBuilder::new(texts()).unicode(false).build().ok()).as_ref()
    }

    fn get(&self, at: usize) -> Option<&Regex> {
        let shape = self.each.get(at)?;
        shape.regex.get_or_init(|| pattern(&shape.text)).as_ref()
    }
}

/// klog and glog: `E0422 10:00:00.123456  1 file.go:12] text`; apt: `E: text`.
static LETTER: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(
        r"^(?P<l>[IWEFD])\d{4} \d\d:\d\d:\d\d|(?:^|\s)\[(?P<m>[IWEFD])[\s\]]|^\S+ \S+ +\d+ +\d+ (?P<n>[VDIWEF]) |^(?P<o>[EW]): ",
    )
});

/// syslog's number in front: `<3>text`, also as systemd reads it from a service's output, or `%3|…` of librdkafka.
fn syslog(line: &str) -> Option<Stated> {
    let (rest, close) = match line.strip_prefix('<') {
        Some(rest) => (rest, '>'),
        None => (line.strip_prefix('%')?, '|'),
    };
    let end = rest.find(close).filter(|&end| (1..=3).contains(&end))?;
    let number: u16 = rest.get(..end)?.parse().ok()?;
    let level = match number % 8 {
        0..=3 => Level::Error,
        4 => Level::Warning,
        5 | 6 => Level::Info,
        _ => Level::Debug,
    };
    Some(Stated { level, message: end + 2 })
}

/// The level that a line of text states, if it states one.
pub(super) fn of_line(line: &str) -> Option<Stated> {
    if let Some(found) = syslog(line) {
        return Some(found);
    }
    let header = head(line, HEADER_BYTES);
    let mut best: Option<(usize, Stated)> = None;
    for shape in SHAPES.of(header).into_iter().filter_map(|at| SHAPES.get(at)) {
        let Some(captures) = shape.captures(header.as_bytes()) else { continue };
        let (Some(whole), Some(word)) = (captures.get(0), captures.name("l")) else { continue };
        let Some(level) =
            str::from_utf8(word.as_bytes()).ok().and_then(|word| php(word).or_else(|| named(word)))
        else {
            continue;
        };
        if best.is_none_or(|(at, _)| word.start() < at) {
            best = Some((word.start(), Stated { level, message: whole.end() }));
        }
    }
    let stated = best.map(|(_, stated)| stated).or_else(|| by_letter(header))?;
    Some(if stated.level == Level::Info { relabelled(line, stated) } else { stated })
}

/// `INFO - [ERROR] x`: the output of another program, logged as information.
fn relabelled(line: &str, stated: Stated) -> Stated {
    const MARKS: &[&str] = &["[ERROR]", "[FATAL]", "[CRITICAL]", "ERROR:", "FATAL:", "CRITICAL:"];
    let rest = line.get(stated.message..).unwrap_or("");
    let message = rest.trim_start_matches([' ', '-', ':', '|', '\t']);
    MARKS.iter().find(|mark| message.starts_with(**mark)).map_or(stated, |mark| Stated {
        level: Level::Error,
        message: stated.message + (rest.len() - message.len()) + mark.len(),
    })
}

/// `PHP Deprecated:` asks for nothing now.
fn php(word: &str) -> Option<Level> {
    word.eq_ignore_ascii_case("deprecated").then_some(Level::Info)
}

fn by_letter(header: &str) -> Option<Stated> {
    let captures = LETTER.as_ref()?.captures(header.as_bytes())?;
    let letter = ["l", "m", "n", "o"].into_iter().find_map(|name| captures.name(name))?;
    let level = match letter.as_bytes() {
        b"E" | b"F" => Level::Error,
        b"W" => Level::Warning,
        b"I" => Level::Info,
        _ => Level::Debug,
    };
    Some(Stated { level, message: letter.end() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(line: &str) -> Option<Level> {
        of_line(line).map(|stated| stated.level)
    }

    #[test]
    fn the_shapes_of_common_loggers_are_read() {
        for line in [
            "2031-01-05 10:00:00,123 - sales - ERROR - it broke",
            "ERROR:root:it broke",
            "2031-01-05 10:00:00.123 [main] ERROR c.e.Sales - it broke",
            "[2031-01-05T10:00:00.000Z] [ERROR] it broke",
            "2031-01-05T10:00:00Z [error]: it broke",
            "[2031-01-05 10:00:00] local.ERROR: it broke",
            "time=\"2031-01-05T10:00:00Z\" level=error msg=\"it broke\"",
            "E0105 10:00:00.123456       1 sales.go:12] it broke",
            "05-Jan-2031 10:00:00.123 SEVERE [main] org.example.Sales it broke",
            "<3>it broke",
            "npm ERR! it broke",
            "::error::it broke",
            "2031-01-05 10:00:00 | CRITICAL | main | it broke",
            "[2031-01-05, 10:00:00 UTC] {sales.py:12} ERROR - it broke",
            "web_1  | 2031-01-05 10:00:00 ERROR it broke",
        ] {
            assert_eq!(level(line), Some(Level::Error), "{line}");
        }
        for line in [
            "2031-01-05 10:00:00 WARN  it hums",
            "[warning] it hums",
            "WARNING: it hums",
            "<4>it hums",
        ] {
            assert_eq!(level(line), Some(Level::Warning), "{line}");
        }
        for line in [
            "INFO: done",
            "2031-01-05 10:00:00 INFO Error page loaded",
            "I0105 10:00:00.1 1 x.go:1] error budget",
        ] {
            assert_eq!(level(line), Some(Level::Info), "{line}");
        }
    }

    #[test]
    fn the_set_of_all_shapes_finds_no_other_than_those_tried_one_by_one() {
        let corpus =
            [include_str!("tests/corpus/fourth.txt"), include_str!("tests/corpus/sixth.txt")];
        for line in corpus.iter().flat_map(|file| file.lines()) {
            let header = head(line, HEADER_BYTES);
            let matches =
                |at: &usize| SHAPES.get(*at).is_some_and(|regex| regex.is_match(header.as_bytes()));
            let single: Vec<usize> = SHAPES.held(header).into_iter().filter(matches).collect();
            let set: Vec<usize> =
                SHAPES.set().unwrap().matches(header.as_bytes()).into_iter().collect();
            assert_eq!(single, set, "{line}");
        }
    }

    #[test]
    fn a_sentence_about_errors_states_no_level() {
        for line in ["no errors were found", "Errors: 0", "the error handler is loaded"] {
            assert_eq!(level(line), None, "{line}");
        }
    }
}
