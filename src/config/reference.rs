//! The tables of keys in `docs/schedules.md`, kept true by a test.

use super::keys::{CALENDAR_TABLES, FILE_TABLES, SETTINGS, Table};
use super::words::expects;

/// All tables that the page describes.
fn tables() -> impl Iterator<Item = &'static Table> {
    FILE_TABLES.into_iter().chain(CALENDAR_TABLES).chain([&SETTINGS])
}

/// One Markdown table of a TOML table's keys; keys of a later version stand below it.
pub fn keys_in_markdown(table: &Table) -> String {
    let mut page = String::from("| key | holds | default | meaning |\n|---|---|---|---|\n");
    for key in table.accepted() {
        let required = table.required.contains(&key.name);
        let group = table.one_of.iter().any(|group| group.keys.contains(&key.name));
        let default = match (key.default, required, group) {
            ("", true, _) => "required".to_owned(),
            ("", _, true) => "one of them is required".to_owned(),
            ("", ..) => "–".to_owned(),
            (default, ..) => code(default),
        };
        let example = if key.example.is_empty() {
            String::new()
        } else {
            format!("<br>`{} = {}`", key.name, cell(key.example))
        };
        page.push_str(&format!(
            "| `{}` | {} | {default} | {}{example} |\n",
            key.name,
            cell(&expects(&key.kind)),
            cell(key.doc)
        ));
    }
    let later: Vec<String> =
        table.keys.iter().filter(|key| key.later).map(|key| format!("`{}`", key.name)).collect();
    if !later.is_empty() {
        page.push_str(&format!(
            "\nRecognised, and refused by this version: {}.\n",
            later.join(", ")
        ));
    }
    page
}

/// Puts the current tables between the markers `<!-- keys: … -->` and `<!-- end -->` of a page.
pub fn fill(page: &str) -> String {
    let mut filled = page.to_owned();
    for table in tables() {
        let begin = format!("<!-- keys: {} -->\n", table.name);
        let Some((head, rest)) = filled.split_once(&begin) else { continue };
        let Some((_, tail)) = rest.split_once("<!-- end -->") else { continue };
        filled = format!("{head}{begin}{}<!-- end -->{tail}", keys_in_markdown(table));
    }
    filled
}

/// Defaults that are TOML are shown as code, words as words.
fn code(default: &str) -> String {
    let toml = default.starts_with(['"', '[', '{'])
        || default.parse::<f64>().is_ok()
        || ["true", "false"].contains(&default);
    if toml { format!("`{}`", cell(default)) } else { cell(default) }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/schedules.md");

    #[test]
    fn the_reference_page_describes_exactly_the_keys_that_are_read() {
        let page = std::fs::read_to_string(PAGE).expect("the page exists");
        for table in tables() {
            assert!(
                page.contains(&format!("<!-- keys: {} -->", table.name)),
                "{} is not on the page",
                table.name
            );
        }
        assert!(
            page == fill(&page),
            "docs/schedules.md is out of date: cargo test -- --ignored write_the_reference_page"
        );
    }

    #[test]
    #[ignore = "writes docs/schedules.md anew"]
    fn write_the_reference_page() {
        let page = std::fs::read_to_string(PAGE).expect("the page exists");
        std::fs::write(PAGE, fill(&page)).expect("written");
    }
}
