//! Numbers that name a cause: HTTP statuses, SQLSTATEs, database error numbers, mail replies.

use std::sync::{LazyLock, OnceLock};

use regex::{Regex, RegexBuilder};

use super::rules::Strength;
use crate::domain::cause::Cause;

/// A cause that a number names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Coded {
    pub(super) cause: Cause,
    pub(super) strength: Strength,
    /// Where the number stands in the normalised line.
    pub(super) at: usize,
}

/// Compiles a pattern of this module; none only if the pattern were wrong, which the tests would show.
///
/// Without Unicode classes, which would cost most of the time it takes to build them.
fn pattern(text: &str) -> Option<Regex> {
    RegexBuilder::new(text).unicode(false).build().or_else(|_| Regex::new(text)).ok()
}

/// A way to print a status.
struct Shape {
    /// One of these stands in the line too; any line will do if there is none.
    near: &'static [&'static str],
    text: &'static str,
    /// Whether the words around it leave no doubt that it is a status.
    strength: Strength,
    /// Compiled when a line first needs it.
    regex: OnceLock<Option<Regex>>,
}

const fn shape(near: &'static [&'static str], text: &'static str, strength: Strength) -> Shape {
    Shape { near, text, strength, regex: OnceLock::new() }
}

/// Where a status stands.
static STATUS: [Shape; 12] = [
    shape(
        &["http"],
        r"\bhttp(?:/[\d.]+)?(?: (?:status|error|code|response|request|failure|was|returned|with)){0,3}[ :=(\[#]{1,3}([45]\d\d)\b",
        Strength::Stated,
    ),
    shape(
        &["status", "状态码", "код", "código", "codigo", "statut", "estado"],
        r"(?:\bstatus(?: ?code)?|状态码|код(?: ответа)?|c[oó]digo(?: de estado)?|statut|estado)(?: (?:is|was|of|text|returned))?['\]]?[ :=(\['#]{1,4}([45]\d\d)\b",
        Strength::Stated,
    ),
    shape(
        &[],
        r"\b([45]\d\d)[ :,'-]{1,3}(?:client error|server error|bad request|unauthorized|unauthorised|payment required|forbidden|not found|method not allowed|not acceptable|proxy auth|request time|conflict|gone|length required|precondition|payload too|request entity|request uri|uri too|unsupported media|unprocessable|locked|failed dep|too many|internal server|internal err|not implemented|bad gateway|service (?:temporarily )?unavail|gateway|error responses?|http version|insufficient storage|rate limit)",
        Strength::Stated,
    ),
    shape(
        &["err", "respond", "answer", "repli"],
        r"\b(?:error|responded|responded with|answered|answered with|replied|replied with|errcode|error code|statuscode)(?: code)?['\]]? ?[:=(\['#]* ?'?([45]\d\d)\b",
        Strength::Stated,
    ),
    shape(
        &["return", "response", "code", "got", "received", "failed with", "rc", "result"],
        r"\b(?:returned|response|code|got|received|failed with|rc|result)(?: code)?['\]]? ?[:=(\['#]* ?'?([45]\d\d)\b",
        Strength::Topic,
    ),
    shape(
        &["fail", "reject", "unsuccessful", "gagal", "fallo", "échec", "失败"],
        r"\b(?:failed|failure|rejected|unsuccessful|gagal|fallo|échec|失败)(?: \w+)? ?[:=(\[]{1,2} ?'?(?:http )?([45]\d\d)\b",
        Strength::Stated,
    ),
    shape(&[], r"(?:: |[(\[] ?)([45]\d\d)(?:$|[)\]]|[,:]? *(?:[-–:] |[{<\[]))", Strength::Topic),
    shape(
        // A request and what came back: `POST /v3/orders 429 {…}`.
        &["get ", "post ", "put ", "patch ", "delete "],
        r"\b(?:get|post|put|patch|delete)(?: (?:path|url|/\S*)){1,2}[ :]{1,2}([45]\d\d)\b",
        Strength::Stated,
    ),
    shape(&["->", "=>", "→"], r"(?:->|=>|→) ?(?:http )?([45]\d\d)\b", Strength::Topic),
    shape(
        &["got", "received", "returned", "gave"],
        r"\b(?:got|received|returned|gave)(?: http| status| a)? ([45]\d\d)(?:[,;.:)]|$| from\b| for url)",
        Strength::Stated,
    ),
    shape(&[" http "], r"\b([45]\d\d) http (?:response|status|error|code)", Strength::Stated),
    shape(&["api error"], r"\bapi error:? \(?([45]\d\d)\b", Strength::Stated),
];

/// What a status asks for. `entity` is whether the address ends in the id of a record.
///
/// Source: rows 7 to 16 and 20 of the rule table.
const fn of_status(status: u16, entity: bool) -> Option<(Cause, Strength)> {
    Some(match status {
        401 => (Cause::CfgAuth, Strength::Stated),
        402 | 403 | 451 => (Cause::CfgPerm, Strength::Stated),
        407 => (Cause::CfgProxy, Strength::Stated),
        408 | 425 | 500..=599 => (Cause::Ext5xx, Strength::Stated),
        429 => (Cause::ExtRate, Strength::Stated),
        404 | 410 if entity => (Cause::MapRef, Strength::Topic),
        404 | 410 | 405 | 426 => (Cause::CfgEndpoint, Strength::Topic),
        400 | 422 => (Cause::MapField, Strength::Topic),
        409 | 412 | 423 => (Cause::ExtConflict, Strength::Topic),
        413..=415 | 431 => (Cause::TecSize, Strength::Stated),
        _ => return None,
    })
}

/// Whether the line's last address ends in something that looks like a record's id.
fn names_entity(line: &str) -> bool {
    let Some(at) = line.rfind("http://").or_else(|| line.rfind("https://")) else { return false };
    let address = line.get(at..).unwrap_or("");
    let end = address
        .find(|c: char| c.is_whitespace() || matches!(c, '?' | '"' | '\'' | ')' | '#' | '>'))
        .unwrap_or(address.len());
    let path = address.get(..end).unwrap_or("").trim_end_matches(['/', '.', ',', ':']);
    let mut parts = path.rsplit('/');
    let last = parts.next().unwrap_or("");
    let depth = parts.count();
    let last = last.strip_suffix(".json").unwrap_or(last);
    let digits = last.bytes().filter(u8::is_ascii_digit).count();
    let version = last.len() <= 3 && last.starts_with('v');
    depth >= 3 && !version && (last.bytes().all(|b| b.is_ascii_digit()) || digits >= 3)
}

static SQLSTATE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(
        r"\b(?:sqlstate|sql state|odbc)[ :=(\['#]{1,4}([0-9a-z]{2})([0-9a-z]{3})\b|\(([0-9a-z]{2})([0-9]{2}[0-9a-z])\)|\['?([0-9]{2}|hy|im)([0-9a-z]{3})'?\]|'code': ?'([0-9]{2})([0-9p][0-9]{2})'",
    )
});

/// The class of an SQLSTATE (ISO/IEC 9075, appendix of codes; the `HY`/`IM` classes are ODBC's).
fn of_sqlstate(class: &str, rest: &str) -> Option<Cause> {
    Some(match (class, rest) {
        ("08", _) => Cause::ExtNetClosed,
        ("28", _) => Cause::CfgAuth,
        ("42", "501") => Cause::CfgPerm,
        ("42", "601" | "000") => Cause::TecProgram,
        ("42" | "3d" | "3f", _) => Cause::CfgDatabase,
        ("22", _) => Cause::MapMissing,
        ("23", _) => Cause::MapField,
        ("40", _) => Cause::TecStore,
        ("53", "100") => Cause::TecDisk,
        ("53", "200") => Cause::TecOom,
        ("53", "300") => Cause::ExtRate,
        ("57", "p03") => Cause::Ext5xx,
        ("hy", "t00" | "t01") => Cause::ExtNetTimeout,
        ("im", "002" | "003") => Cause::CfgLocal,
        _ => return None,
    })
}

static DATABASE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(
        r"\bora ?(\d{5})\b|\b(?:sql error|error|mysql error|errno|error code)[ :=(\['#]{1,4}(\d{4})\b|error: \((\d{4}),|^\((\d{4}),|[:-] \((\d{4}), ?'",
    )
});

/// Oracle's `ORA-` numbers, and those of MySQL and MariaDB (server error references of the two vendors).
const fn of_number(oracle: bool, number: u32) -> Option<Cause> {
    Some(match (oracle, number) {
        (true, 1 | 1400 | 12899 | 2290) | (false, 1048 | 1062 | 1169 | 1264 | 1364 | 1406) => {
            Cause::MapField
        }
        (true, 1722 | 1830..=1863 | 6502) | (false, 1265 | 1292 | 1366 | 1411) => Cause::MapMissing,
        (true, 2291 | 2292 | 1403) | (false, 1216 | 1217 | 1451 | 1452) => Cause::MapRef,
        (true, 942 | 904 | 4043) | (false, 1046 | 1049 | 1051 | 1054 | 1146) => Cause::CfgDatabase,
        (true, 1017 | 28000 | 28001 | 28002) | (false, 1045) => Cause::CfgAuth,
        (true, 1031) | (false, 1044 | 1142 | 1143 | 1227 | 1130) => Cause::CfgPerm,
        (true, 12154 | 12505 | 12514 | 12545) => Cause::CfgEndpoint,
        (true, 12541) | (false, 2002 | 2003) => Cause::ExtNetRefused,
        (true, 12170 | 12535) => Cause::ExtNetTimeout,
        (true, 3113 | 3114 | 3135) | (false, 2006 | 2013) => Cause::ExtNetClosed,
        (false, 2005) => Cause::ExtDns,
        (true, 20) | (false, 1040 | 1203 | 1226) => Cause::ExtRate,
        (true, 54) => Cause::ExtConflict,
        (true, 60 | 1555) | (false, 1205 | 1213 | 1206) => Cause::TecStore,
        (true, 1652..=1655) | (false, 1114 | 1021) => Cause::TecDisk,
        (true, 4031) => Cause::TecOom,
        (true, 600 | 7445) => Cause::Ext5xx,
        (true, 900..=939 | 6512 | 6550) | (false, 1064 | 1136) => Cause::TecProgram,
        _ => return None,
    })
}

static MAIL: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"\b([45]\d\d)[ -]\#?([45])\.(\d)\.\d{1,3}\b"));

/// Enhanced mail status codes (RFC 3463).
fn of_mail(reply: &str, class: &str, subject: &str) -> Cause {
    match (reply, class, subject) {
        ("530" | "534" | "535" | "454", ..) => Cause::CfgAuth,
        (_, "4", _) | (_, _, "3" | "4") => Cause::Ext5xx,
        (_, _, "1" | "2") => Cause::MapRef,
        (_, _, "6") => Cause::MapField,
        _ => Cause::CfgPerm,
    }
}

/// Whether a number between 400 and 599 stands in the line.
fn holds_status(normal: &str) -> bool {
    let bytes = normal.as_bytes();
    let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
    bytes.windows(3).enumerate().any(|(at, three)| {
        matches!(three.first(), Some(b'4' | b'5'))
            && three.iter().all(u8::is_ascii_digit)
            && !digit(at.checked_sub(1))
            && !digit(Some(at + 3))
    })
}

/// Calls `with` for each number that names a cause. `line` is the raw line, `normal` its normalised form.
pub(super) fn find(line: &str, normal: &str, mut with: impl FnMut(Coded)) {
    if !normal.bytes().any(|b| b.is_ascii_digit()) {
        return;
    }
    let hit = |cause, strength, at| Coded { cause, strength, at };
    let told = ["error", "fail", "exception"].iter().any(|word| normal.contains(word));
    let near = |shape: &&Shape| {
        shape.near.is_empty() || shape.near.iter().any(|word| normal.contains(word))
    };
    let shapes = if holds_status(normal) { STATUS.as_slice() } else { &[] };
    for shape in shapes.iter().filter(near) {
        let Some(regex) = shape.regex.get_or_init(|| pattern(shape.text)) else { continue };
        let most = if told { Strength::Stated } else { shape.strength };
        for captures in regex.captures_iter(normal) {
            let Some(number) = captures.get(1) else { continue };
            let found = number
                .as_str()
                .parse()
                .ok()
                .and_then(|status| of_status(status, names_entity(line)));
            if let Some((cause, strength)) = found {
                with(hit(cause, strength.min(most), number.start()));
            }
        }
    }
    let has = |words: &[&str]| words.iter().any(|word| normal.contains(word));
    // The expressions are compiled when a line first needs them.
    let sql = has(&["sql", "odbc", "'code'"]).then(|| SQLSTATE.as_ref()).flatten();
    for captures in sql.iter().flat_map(|regex| regex.captures_iter(normal)) {
        let mut groups = captures.iter().skip(1).flatten();
        if let (Some(class), Some(rest)) = (groups.next(), groups.next())
            && let Some(cause) = of_sqlstate(class.as_str(), rest.as_str())
        {
            with(hit(cause, Strength::Stated, class.start()));
        }
    }
    let database = has(&["ora", "err", "("]).then(|| DATABASE.as_ref()).flatten();
    for captures in database.iter().flat_map(|regex| regex.captures_iter(normal)) {
        let oracle = captures.get(1).is_some();
        if let Some(number) = captures.iter().skip(1).flatten().next()
            && let Some(cause) = number.as_str().parse().ok().and_then(|n| of_number(oracle, n))
        {
            with(hit(cause, Strength::Stated, number.start()));
        }
    }
    let mail = has(&["4.", "5."]).then(|| MAIL.as_ref()).flatten();
    for captures in mail.iter().flat_map(|regex| regex.captures_iter(normal)) {
        if let (Some(reply), Some(class), Some(subject)) =
            (captures.get(1), captures.get(2), captures.get(3))
        {
            with(hit(
                of_mail(reply.as_str(), class.as_str(), subject.as_str()),
                Strength::Stated,
                reply.start(),
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::text::normalise;
    use super::*;

    fn causes(line: &str) -> Vec<Cause> {
        let mut normal = String::new();
        normalise(line, 0, &mut normal);
        let mut all = Vec::new();
        find(line, &normal, |coded| all.push(coded.cause));
        all.dedup();
        all
    }

    #[test]
    fn a_status_is_found_in_the_ways_that_clients_print_it() {
        for (line, cause) in [
            ("requests.exceptions.HTTPError: 503 Server Error: x", Cause::Ext5xx),
            ("Request failed with status code 401", Cause::CfgAuth),
            ("upload: HTTP 413", Cause::TecSize),
            ("The requested URL returned error: 403", Cause::CfgPerm),
            ("statusCode=429", Cause::ExtRate),
            ("{\"status\":502,\"x\":1}", Cause::Ext5xx),
            ("sync failed (422): {\"a\":1}", Cause::MapField),
            (
                "404 Client Error: Not Found for url: https://api.shop.example/v1/orders/88231",
                Cause::MapRef,
            ),
            (
                "404 Client Error: Not Found for url: https://api.shop.example/v3/order",
                Cause::CfgEndpoint,
            ),
        ] {
            assert_eq!(causes(line), [cause], "{line}");
        }
    }

    #[test]
    fn ordinary_numbers_are_no_status() {
        for line in ["read 404 rows", "took 500 ms", "port: 443", "\"GET /x HTTP/1.1\" 200 512"] {
            assert_eq!(causes(line), [], "{line}");
        }
    }

    #[test]
    fn database_and_mail_numbers_name_their_cause() {
        assert_eq!(causes("ORA-01017: x"), [Cause::CfgAuth]);
        assert_eq!(causes("ERROR 1062 (23000): x"), [Cause::MapField]);
        assert_eq!(causes("SQLSTATE[40001]: x"), [Cause::TecStore]);
        assert_eq!(causes("550 5.1.1 x"), [Cause::MapRef]);
        assert_eq!(causes("451 4.3.0 x"), [Cause::Ext5xx]);
    }
}
