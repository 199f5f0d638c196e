//! What a raw line looks like as a whole: a setting, a commit, a tool's report; and the names in it.

/// The line without the names in it, if it holds any: `failed-orders-replay`, `error_log`, `errors.csv`, `"exceptions"` name
/// things and report nothing. A name in front of `=` or `:` is a key and stays, and so does what holds a capital.
pub(super) fn without_names(line: &str) -> Option<String> {
    let mut out = String::with_capacity(line.len());
    let mut found = false;
    let mut rest = line;
    while !rest.is_empty() {
        let stop = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/'));
        let end = rest.find(stop).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let next = after.chars().next();
        let key = after.trim_start_matches(['"', '\'']).starts_with(['=', ':']);
        // A state stands between quotes too ("failed"), but not in the plural.
        let quoted =
            word.ends_with('s') && out.ends_with(['"', '`']) && next == out.chars().next_back();
        if !key && !word.is_empty() && (quoted || is_name(word)) {
            found = true;
            out.push_str("name");
        } else {
            out.push_str(word);
        }
        rest = after;
        if let Some(c) = next {
            out.push(c);
            rest = rest.get(c.len_utf8()..).unwrap_or("");
        }
    }
    found.then_some(out)
}

/// Whether a word in lower case is joined from others, or ends as a file does.
fn is_name(word: &str) -> bool {
    let word = word.trim_end_matches(['.', '/', '-']);
    let lower = word.bytes().all(|b| !b.is_ascii_uppercase());
    let joint = |join: char| {
        word.split_once(join).is_some_and(|(left, right)| {
            left.ends_with(|c: char| c.is_ascii_alphanumeric())
                && right.starts_with(|c: char| c.is_ascii_alphanumeric())
        })
    };
    lower && (joint('_') || joint('-') && !word.starts_with("non-") || joint('.'))
}

/// Whether the line is one setting, figure or heading: `retry.on.error=true`, `on_failure: continue`, `##[group]Run x`.
pub(super) fn is_setting(line: &str) -> bool {
    const COMMANDS: &[&str] =
        &["##[group]", "##[section]", "##[command]", "##[endgroup]", "::group::", "[command]"];
    let line = line.trim();
    if COMMANDS.iter().any(|command| line.starts_with(command))
        || line.starts_with(['\'', '"']) && is_statistic(line)
    {
        return true;
    }
    // `ERROR_THRESHOLD=5 MAX_FAILURES=10`
    let capitals = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    let limit = |word: &str| {
        word.split_once('=').is_some_and(|(key, value)| {
            key.contains('_')
                && key.bytes().all(capitals)
                && !value.is_empty()
                && value.bytes().all(|b| b.is_ascii_digit())
        })
    };
    if line.split_whitespace().all(limit) {
        return !line.is_empty();
    }
    if is_empty_element(line) {
        return true;
    }
    let Some(at) = line.find(['=', ':']) else { return false };
    let (key, value) = line.split_at(at);
    let key = key.trim_end();
    let value = value.trim_start_matches(['=', ':']).trim();
    let plain =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
    key.bytes().all(plain)
        && key.bytes().any(|b| matches!(b, b'.' | b'_' | b'-'))
        && !value.contains([' ', '&', '%'])
        && !key.ends_with("failed")
        && !["err", "exc", "oauth", "status", "fault"].iter().any(|word| key.starts_with(word))
        && (line.contains('=') || value.bytes().all(plain))
}

/// `<errors/>`, `<error></error>`: room for an error, and none.
fn is_empty_element(line: &str) -> bool {
    let Some(inner) = line.strip_prefix('<').and_then(|line| line.strip_suffix('>')) else {
        return false;
    };
    match inner.split_once('>') {
        None => inner.ends_with('/') && !inner.contains('='),
        Some((name, rest)) => rest.trim_start().strip_prefix("</") == Some(name),
    }
}

/// `'requests/failed': 12,`: one figure of a printed dictionary.
fn is_statistic(line: &str) -> bool {
    let Some((key, value)) = line.rsplit_once("': ").or_else(|| line.rsplit_once("\": ")) else {
        return false;
    };
    let figure = value.trim_end_matches(',');
    key.contains('/') && figure.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

/// Whether the line shows a commit as git prints it: `[main 1a2b3c4] Fix the crash`, `commit 1a2b3c4 Fix the crash`.
pub(super) fn is_commit(line: &str) -> bool {
    let id = match line.strip_prefix("commit ") {
        Some(rest) => rest.split(' ').next(),
        None => line
            .strip_prefix('[')
            .and_then(|line| line.split_once("] "))
            .and_then(|(head, _)| head.rsplit_once(' '))
            .map(|(_, id)| id),
    };
    id.is_some_and(|id| (6..=40).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// The line without the job, the step and the time that a build server puts in front: `build⇥Run tests⇥2031-01-05T10:00:00Z text`.
pub(super) fn without_job(line: &str) -> &str {
    let Some((_, rest)) = line.split_once('\t').and_then(|(_, rest)| rest.split_once('\t')) else {
        return line;
    };
    match rest.split_once("Z ") {
        Some((time, text))
            if time.len() <= 30 && time.starts_with(|c: char| c.is_ascii_digit()) =>
        {
            text
        }
        _ => line,
    }
}

/// Whether the line begins as the tools of a shell report: with their name, `wget: missing URL`, `./load.sh: bad date`.
pub(super) fn names_tool(line: &str) -> bool {
    const LONGEST: usize = 24;
    line.split_once(": ").is_some_and(|(name, _)| {
        let name = name
            .strip_suffix(']')
            .and_then(|name| name.split_once('['))
            .map_or(name, |(name, _)| name);
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-/".contains(&b);
        name.len() <= LONGEST
            && name.bytes().all(plain)
            && name.starts_with(|c: char| c.is_ascii_lowercase() || c == '.')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_settings_file_is_told_from_an_error() {
        for line in ["retry.on.error=true", "on_failure: continue", "socket.timeout.ms = 30000"] {
            assert!(is_setting(line), "{line}");
        }
        for line in [
            "error: refused",
            "error_code=5",
            "java.lang.NullPointerException: null",
            "oauth_problem=token_expired",
            "sales.csv: No such file or directory",
        ] {
            assert!(!is_setting(line), "{line}");
        }
    }

    #[test]
    fn the_names_in_a_line_are_no_reports() {
        for line in ["Starting failed-orders-replay", "rows of error_log", "Created \"exceptions\""]
        {
            let rest = without_names(line).unwrap();
            assert!(
                !rest.contains("fail") && !rest.contains("err") && !rest.contains("exc"),
                "{rest}"
            );
        }
        for line in ["load_orders failed", "status \"failed\"", "exit_error: 5", "RATE_LIMIT_ERROR"]
        {
            let rest = without_names(line).unwrap_or_else(|| line.to_owned());
            assert!(
                rest.to_lowercase().contains("fail") || rest.to_lowercase().contains("error"),
                "{rest}"
            );
        }
        assert_eq!(without_names("nothing joined here"), None);
    }

    #[test]
    fn an_empty_element_holds_no_error() {
        for line in ["<errors/>", "<error></error>", "<error>  </error>"] {
            assert!(is_setting(line), "{line}");
        }
        for line in ["<error>5</error>", "<error code=\"5\"/>", "<a></b>"] {
            assert!(!is_setting(line), "{line}");
        }
    }

    #[test]
    fn a_tool_reports_with_its_name_in_front() {
        for line in ["wget: missing URL", "./load.sh: bad date", "cron[12]: bad minute"] {
            assert!(names_tool(line), "{line}");
        }
        for line in ["Error: x", "a sentence with words: x", "no colon"] {
            assert!(!names_tool(line), "{line}");
        }
    }

    #[test]
    fn what_a_build_server_puts_in_front_is_no_part_of_the_line() {
        assert_eq!(without_job("build\tRun tests\t2031-01-05T10:00:00.1Z text"), "text");
        assert_eq!(without_job("a\tb\tc"), "a\tb\tc");
        assert_eq!(without_job("text"), "text");
    }
}
