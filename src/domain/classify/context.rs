//! What stands around a statement and changes what it means: negations, settings, the names of variables and files.

use std::sync::LazyLock;

use regex::bytes::{Regex, RegexBuilder};

use super::phrase::Phrases;
use super::rules::{self, Strength};
use super::text::head;
use crate::domain::cause::Cause;
use crate::domain::class::Class;

/// Whether the words at `start` are said not to have happened: `no timeouts`, `without errors`, `0 failures`.
pub(super) fn negated(normal: &str, start: usize) -> bool {
    const BEFORE: &[&str] = &[
        "no ",
        "0 ",
        "zero ",
        "without ",
        "without any ",
        "no more ",
        "not an ",
        "never ",
        "any ",
    ];
    let before = normal.get(..start).unwrap_or("").trim_end_matches(['\'', '[']);
    let goes_on = |rest: &str| rest.ends_with(|c: char| c.is_alphanumeric() || ".=,".contains(c));
    let stands = |text: &str, words: &[&str]| {
        words.iter().any(|word| text.strip_suffix(word).is_some_and(|rest| !goes_on(rest)))
    };
    // `0 rows rejected`, `no more records failed`: what is counted may stand between.
    let counted = before.trim_end().rsplit_once(' ').map_or("", |(rest, noun)| {
        if noun.bytes().all(|b| b.is_ascii_alphabetic()) { rest } else { "" }
    });
    stands(before, BEFORE) || stands(counted, &["0", "zero"])
}

/// Whether the words from `start` to `end` are given a value that says no: `errors: 0`, `'failed': false`, or hold it: `0 rows failed`.
pub(super) fn denied(normal: &str, start: usize, end: usize) -> bool {
    let words = normal.get(start..end).unwrap_or("");
    let zero = words.starts_with("0 ")
        || words.contains(" 0 ")
        || ["=0", " 0", ":0", "(0"].iter().any(|zero| words.ends_with(zero));
    // `error count=0`, `failed rows: 0`: what is counted may stand between.
    let counted = normal.get(end..).map_or(end, |rest| end + nouns(rest));
    let none = |at| value(normal, at).is_some_and(|value| is_nothing(value, |n| n == "0"));
    // `失败 0 条`: scripts without letters put the number right behind.
    let behind = !words.is_ascii()
        && normal
            .get(end..)
            .and_then(|rest| rest.trim_start().strip_prefix('0'))
            .is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit() || c == '.'));
    zero || behind
        || none(counted)
        || value(normal, end).is_some_and(|value| {
            is_nothing(value, |digits| digits == "0")
                || ["[]", "{}", "''"].iter().any(|empty| value.starts_with(empty))
                || is_measure(value)
        })
}

/// How long the one or two words are that come next.
fn nouns(rest: &str) -> usize {
    let word = |rest: &str| match rest.strip_prefix(' ') {
        Some(rest) => match rest.bytes().take_while(u8::is_ascii_alphabetic).count() {
            0 => 0,
            length => length + 1,
        },
        None => 0,
    };
    let first = word(rest);
    first + if first > 0 { word(rest.get(first..).unwrap_or("")) } else { 0 }
}

/// Whether a value is a figure of a statistic: `0.12`, `1.2%`.
fn is_measure(value: &str) -> bool {
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let mut rest = value.bytes().skip(digits);
    digits > 0
        && match rest.next() {
            Some(b'%') => true,
            Some(b'.') => rest.next().is_some_and(|b| b.is_ascii_digit()),
            _ => false,
        }
}

/// Whether the words that end at `end` name a setting or a figure: `timeout = 30`, `rate limit: 60/min`, `retries=none`. A
/// statement of a cause is taken for one only when its value is 0 or none: `request timed out: 30000 ms` is none.
pub(super) fn is_figure(normal: &str, end: usize, strength: Strength) -> bool {
    let number = |digits: &str| strength < Strength::Stated || digits == "0";
    value(normal, end).is_some_and(|value| is_nothing(value, number))
}

/// The value that the words before `end` are given.
fn value(normal: &str, end: usize) -> Option<&str> {
    let rest = normal.get(end..).unwrap_or("");
    if normal.get(..end).is_some_and(|words| words.ends_with([':', '='])) {
        return Some(rest.trim_start());
    }
    let quoted = rest.starts_with('\'');
    let rest = rest.trim_start_matches('\'').trim_start();
    let cell = |rest: &'_ str| {
        rest.starts_with("| ") && rest.as_bytes().get(2).is_some_and(u8::is_ascii_digit)
    };
    if cell(rest) {
        return rest.get(2..);
    }
    let value = rest.strip_prefix(['=', '\u{ff1a}']).or_else(|| {
        rest.strip_prefix(':').filter(|value| quoted || !value.starts_with(char::is_alphabetic))
    })?;
    Some(value.trim_start())
}

/// Whether a value says "none", or is a number with at most a unit behind it.
fn is_nothing(value: &str, number: impl Fn(&str) -> bool) -> bool {
    const AFTER: &[char] = &['s', 'm', ',', ')', '}', 'h', ';', '/', '|', ']'];
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let (figure, unit) = value.split_at(digits);
    if digits > 0 {
        let unit = unit.trim_start();
        return number(figure) && (unit.is_empty() || unit.starts_with(AFTER) || figure == "0");
    }
    let word = value.trim_start_matches(['\'', '"']);
    let end = word.find(|c: char| !c.is_alphanumeric()).unwrap_or(word.len());
    let (word, after) = word.split_at(end);
    match word {
        "none" | "null" | "false" | "nil" | "no" => {
            !after.starts_with(' ') || after.trim().is_empty()
        }
        _ => false,
    }
}

/// How the elements and members begin that answers of external systems put their reason in.
pub(super) const ANSWERS: &[&str] = &[
    "<message",
    "<detail",
    "<description",
    "<reason",
    "<text",
    "<error",
    "<err ",
    "<fault",
    "<soap",
    "<title",
    "<h1",
    "<h2",
    "<p>",
    "<string>",
    "<longmessage",
    "<shortmessage",
    "<s:text",
    "<s:reason",
    "<statusdescription",
    "\"message",
    "\"usermessage\"",
    "\"statusmessage\"",
    "\"developermessage\"",
    "<statusmessage",
    "\"error",
    "\"detail",
    "\"reason\"",
    "\"description\"",
    "\"title\"",
    "\"fault",
    "\"msg\"",
    "\"code\"",
    "error=",
    "error_description=",
    "oauth_problem",
];

/// Whether the line begins with one of [`ANSWERS`]: `<Message>…`, `"errorMessage": …`, `{"errors": …`, `<ns1:Message>…`.
pub(super) fn answer(line: &str) -> bool {
    let text = line.trim_start_matches(|c: char| c.is_whitespace() || "[{".contains(c));
    let begins = |text: &[u8]| {
        ANSWERS.iter().any(|name| {
            text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()))
        })
    };
    // The gate knows an element with a namespace by the bracket at the very beginning.
    let local = line.strip_prefix('<').and_then(|element| {
        let (space, local) = head(element, 60).split_once(':')?;
        space.bytes().all(|b| b.is_ascii_alphanumeric()).then(|| format!("<{local}"))
    });
    // `<Response><Code>9</Code><Message>…`: the reason may stand further in.
    let inside = line.starts_with('<')
        && ["<message>", "<error>", "<errormessage>", "<faultstring>", "<reason>", "<description>"]
            .iter()
            .any(|name| head(line, 400).to_ascii_lowercase().contains(name));
    begins(text.as_bytes()) || local.is_some_and(|local| begins(local.as_bytes())) || inside
}

/// Whether a message says only that something failed: `Nightly sync failed`, `load failed after 3 seconds`.
pub(super) fn only_reports(message: &str) -> bool {
    const VERDICTS: &[&str] = &[
        "failed",
        "failure",
        "unsuccessful",
        "unsuccessfully",
        "aborted",
        "fehlgeschlagen",
        "fallido",
        "fallida",
        "falló",
        "fallaron",
        "échoué",
        "fallito",
        "fallita",
        "falhou",
        "mislukt",
        "gagal",
        "失败",
        "失敗",
        "실패",
    ];
    let end = |text: &str| {
        let text = text.trim_end_matches(|c: char| !c.is_alphanumeric());
        VERDICTS.iter().any(|verdict| {
            text.strip_suffix(verdict).is_some_and(|rest| rest.chars().any(char::is_alphanumeric))
        })
    };
    let body = message.trim();
    // `FAILED: sales.csv` names what failed, not why.
    let file = |name: &str| {
        name.rsplit_once('.').is_some_and(|(name, kind)| kind.len() <= 5 && !name.contains(": "))
    };
    if body.strip_prefix("failed: ").is_some_and(|name| !name.contains(' ') || file(name)) {
        return true;
    }
    let body = body
        .strip_suffix(')')
        .and_then(|body| body.rsplit_once('('))
        .map_or(body, |(body, _)| body);
    let body = ["after", "in"]
        .iter()
        .find_map(|word| {
            let (body, time) = body.rsplit_once(&format!(" {word} "))?;
            time.starts_with(|c: char| c.is_ascii_digit()).then_some(body)
        })
        .unwrap_or(body);
    end(body) && !body.contains("not ")
}

static SERVED: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r#""(?:GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS) [^"]*" [123]\d\d\b"#));

/// Whether the line is a server's note of a request that it answered well: `"GET /errors HTTP/1.1" 200 512`.
pub(super) fn served(line: &str) -> bool {
    SERVED.as_ref().is_some_and(|regex| regex.is_match(line.as_bytes()))
}

/// A pattern over bytes: names are ASCII, and Unicode classes would take most of the time to build.
fn pattern(text: &str) -> Option<Regex> {
    RegexBuilder::new(text).unicode(false).build().ok()
}

/// Names of exceptions, as languages write them in front of a message.
static EXCEPTION: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(
        r"\b[A-Z][A-Za-z0-9]*[a-z0-9](?:Error|Exception|Timeout|Violation|Failure|Failed|Fault|NotFound|Invalid|Refused|Denied|Unavailable|Mismatch|Exceeded|Expired|Unauthorized|Forbidden)(?:$|[:()]| with #)|(?:^|[\s(])(?:\w+\.)+(?:errors?|exceptions?|exc)\.[A-Z]\w+(?:$|:|\()",
    )
});

/// Whether the line names an exception: `Net::ReadTimeout with #<…>`, `psycopg2.errors.CheckViolation: …`.
pub(super) fn names_exception(line: &str) -> bool {
    EXCEPTION.as_ref().is_some_and(|regex| regex.is_match(line.as_bytes()))
}

/// Names of variables that hold an address, a credential or a place.
static VARIABLE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(
        r"\b[A-Z][A-Z0-9]*_(?:[A-Z0-9]+_)*(?:KEY|TOKEN|SECRET|URL|URI|HOST|HOSTNAME|PORT|PASSWORD|PASSWD|PASS|PWD|USER|USERNAME|DSN|PATH|DIR|HOME|REGION|BUCKET|DATABASE|DB|ENDPOINT|CREDENTIALS|WEBHOOK|PROXY|SERVER|DOMAIN|EMAIL_FROM|CLIENT_ID|APP_ID|CHAT_ID|PROJECT_ID|TENANT_ID|WORKSPACE_ID|ACCOUNT_ID|ENV|MODE|MODULE|CONFIG|FILE)\b|\b(?:\w*[a-z])?(?:ApiKey|api_?key|Secret|_secret|secret_key|SecretKey|AccessKey|access_key|PrivateKey|private_key|accessToken|access_token|AccessToken|botToken|bot_token|clientId|client_id|connectionString|ConnectionString|connection_string|databaseUrl|database_url|dbUrl|supabaseUrl|baseUrl|base_url|apiUrl|api_url|webhookUrl|webhook_url|smtpHost|dbHost)\b",
    )
});

/// Names of files that hold settings.
static FILE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(
        r"(?i)[\w-]*(?:config|settings|credentials|secrets)[\w-]*\.(?:js|ts|json|ya?ml|toml|ini|conf|cfg|properties|xml|py|php|rb)\b|\.(?:toml|ini|conf|cfg|properties)(?:[^\w.]|\.?$)|\.env\b",
    )
});

static SETTINGS: LazyLock<Phrases> =
    LazyLock::new(|| Phrases::new(rules::words("settings").iter().map(|text| (0, *text))));

/// Names of files that hold records.
static RECORDS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(r"(?i)[\w)-]\.(?:csv|tsv|xlsx?|xml|edi|ndjson|jsonl|parquet|avro|dbf|ods)\b")
});

/// The cause in the light of the rest: a value that is missing or wrong in the settings is no fault of a record.
pub(super) fn settled(cause: Cause, strength: Strength, line: &str, message: &str) -> Cause {
    let doubtful =
        cause == Cause::ExtContract || cause.class() == Class::Mapping && strength < Strength::Sure;
    if !doubtful {
        return cause;
    }
    let named =
        |regex: &Option<Regex>| regex.as_ref().is_some_and(|regex| regex.is_match(line.as_bytes()));
    if SETTINGS.any(message) || named(&VARIABLE) || named(&FILE) {
        Cause::CfgLocal
    } else if cause == Cause::ExtContract && named(&RECORDS) {
        // What cannot be read is a file of records, no answer.
        Cause::MapMissing
    } else {
        cause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(line: &str, word: &str) -> usize {
        line.find(word).unwrap() + word.len()
    }

    #[test]
    fn what_is_denied_did_not_happen() {
        for (line, word) in [
            ("errors: 0", "errors"),
            ("'failed': false", "failed"),
            ("'error':null", "error"),
            ("error: 1.2%", "error"),
            ("0 rows failed", "0 rows failed"),
        ] {
            assert!(denied(line, line.find(word).unwrap(), after(line, word)), "{line}");
        }
        for (line, word) in [
            ("errors: 3", "errors"),
            ("10 rows failed", "10 rows failed"),
            ("failed: no such file", "failed"),
            ("error: none of the rows fits", "error"),
        ] {
            assert!(!denied(line, line.find(word).unwrap(), after(line, word)), "{line}");
        }
        for line in ["12 rows, no errors", "done without errors", "0 errors", "no errors"] {
            assert!(negated(line, line.find("errors").unwrap()), "{line}");
        }
        for line in ["10 errors", "casino errors", "v1.0 errors"] {
            assert!(!negated(line, line.find("errors").unwrap()), "{line}");
        }
    }

    #[test]
    fn a_number_makes_a_setting() {
        for (line, word) in [("timeout = 30", "timeout"), ("rate limit: 60/min", "rate limit")] {
            assert!(is_figure(line, after(line, word), Strength::Topic), "{line}");
        }
        assert!(!is_figure("timeout: refused", 7, Strength::Topic));
        assert!(!is_figure("timed out: 30000 ms", 9, Strength::Stated));
        assert!(is_figure("timed out: 0", 9, Strength::Stated));
    }

    #[test]
    fn a_verdict_without_a_reason_is_told_from_a_reason() {
        for message in [
            "nightly sync failed",
            "❌ load failed after 3.2 seconds",
            "import process failed:",
            "sync failed (consecutive failures: 2)",
        ] {
            assert!(only_reports(message), "{message}");
        }
        for message in ["failed: disk full", "sync failed: refused", "failed", "it went wrong"] {
            assert!(!only_reports(message), "{message}");
        }
    }

    #[test]
    fn a_missing_setting_is_configuration_and_a_missing_field_is_not() {
        let settle =
            |line: &str| settled(Cause::MapField, Strength::Stated, line, &line.to_lowercase());
        assert_eq!(settle("SHOP_API_KEY is missing"), Cause::CfgLocal);
        assert_eq!(settle("missing field `url` in sales.toml"), Cause::CfgLocal);
        assert_eq!(settle("configuration: field `url` is required"), Cause::CfgLocal);
        assert_eq!(settle("field `price` is required"), Cause::MapField);
    }
}
