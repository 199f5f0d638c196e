//! Recognises the lines of a multi-line trace: Python, Java, Node, Go, Rust, Ruby, PHP, .NET.

/// What a line is in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// `Traceback (most recent call last):`; the error itself stands at the end.
    PythonHead,
    /// `thread 'main' panicked at src/x.rs:1:2:`; the error itself stands on the next line.
    RustHead,
    /// A frame, a source line, a separator: detail.
    Frame,
    /// `Caused by: …`, ` ---> …`: the next inner cause.
    CausedBy,
    /// Nothing of a trace.
    None,
}

/// What `line` is in a trace.
pub(super) fn part(line: &str) -> Part {
    let text = line.trim_start();
    let indented = text.len() < line.len();
    // A service name in front, as container tools print it.
    let text = text
        .split_once(" | ")
        .filter(|(name, _)| name.len() <= 30 && !name.contains(": "))
        .map_or(text, |(_, rest)| rest.trim_start());
    if let Some((_, rest)) = text.split_once("Traceback (most recent call last)") {
        // A whole trace may stand in one line, with the error at its end.
        let head = !rest.contains(|c: char| c.is_alphanumeric());
        return if head { Part::PythonHead } else { Part::None };
    }
    if text.starts_with("thread '") && text.contains("panicked at") {
        return if text.trim_end().ends_with(':') { Part::RustHead } else { Part::None };
    }
    if text.starts_with("Caused by:")
        || text.starts_with("---> ")
        || text.starts_with("Suppressed:")
    {
        return Part::CausedBy;
    }
    if frame(text, indented) { Part::Frame } else { Part::None }
}

fn frame(text: &str, indented: bool) -> bool {
    const STARTS: &[&str] = &[
        "File \"",
        "goroutine ",
        "created by ",
        "--- End of ",
        "Stack trace:",
        "stack backtrace:",
        "note: run with",
        "note: Some details",
        "During handling of the above exception",
        "The above exception was the direct cause",
        "[stacktrace]",
        "thrown in ",
    ];
    if STARTS.iter().any(|start| text.starts_with(start)) {
        return true;
    }
    if text.starts_with("at ") && (indented || text.contains('(')) {
        return true;
    }
    if let Some(rest) = text.strip_prefix("... ") {
        return rest.ends_with("more") || rest.contains("frames omitted");
    }
    if text.strip_prefix('#').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        && (text.contains('(') || text.contains("{main}"))
    {
        return true;
    }
    if indented
        && (text.starts_with("from ") && text.contains(":in ")
            || text.starts_with('/') && text.contains(" +0x"))
    {
        return true;
    }
    !text.is_empty() && text.bytes().all(|b| matches!(b, b'^' | b'~' | b' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frames_of_eight_languages_are_detail() {
        for line in [
            "  File \"/srv/x.py\", line 3, in run",
            "\tat org.example.Sales.run(Sales.java:12)",
            "\t... 71 more",
            "    at async run (/srv/x.js:3:1)",
            "goroutine 1 [running]:",
            "\t/srv/x.go:12 +0x1d",
            "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace",
            "\tfrom /srv/x.rb:3:in `run'",
            "#0 /srv/x.php(12): run()",
            "   at Sales.Run() in /srv/Sales.cs:line 3",
            "    ^^^^^^^",
        ] {
            assert_eq!(part(line), Part::Frame, "{line}");
        }
    }

    #[test]
    fn heads_and_inner_causes_are_told_apart() {
        assert_eq!(part("Traceback (most recent call last):"), Part::PythonHead);
        assert_eq!(part("thread 'main' panicked at src/main.rs:2:5:"), Part::RustHead);
        assert_eq!(part("Caused by: java.io.IOException: x"), Part::CausedBy);
        assert_eq!(part(" ---> System.Exception: x"), Part::CausedBy);
        for line in ["at noon we stop", "... and more to come", "# 3 items", "from here on"] {
            assert_eq!(part(line), Part::None, "{line}");
        }
    }
}
