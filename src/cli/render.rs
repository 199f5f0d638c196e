//! How results look: tables that fit 80 columns, colours that nobody needs, times that people read.

use std::borrow::Cow;

use anstyle::{AnsiColor, Style};
use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};

use crate::config::{Environment, Paint};
use crate::domain::class::Level;
use crate::instant::Instant;
use crate::projection::view::{SlotOutcome, State, Status};

/// What a colour says. The text says it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// KO, refused, failed.
    Bad,
    /// As it should be.
    Good,
    /// Somebody should look.
    Odd,
    /// Under way.
    Busy,
    /// Less important than what stands beside it.
    Faint,
    /// A heading.
    Strong,
    /// Nothing in particular.
    Plain,
}

impl Tone {
    const fn style(self) -> Style {
        match self {
            Self::Bad => AnsiColor::Red.on_default().bold(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Odd => AnsiColor::Yellow.on_default(),
            Self::Busy => AnsiColor::Cyan.on_default(),
            Self::Faint => Style::new().dimmed(),
            Self::Strong => Style::new().bold(),
            Self::Plain => Style::new(),
        }
    }

    /// The tone of an execution's status; KO is red (S3-5).
    pub const fn of_status(status: Status) -> Self {
        match status {
            Status::Ok => Self::Good,
            Status::Ko => Self::Bad,
            Status::Running => Self::Busy,
            Status::Queued => Self::Faint,
            Status::Cancelled => Self::Odd,
        }
    }

    /// The tone of a line's level.
    pub const fn of_level(level: Level) -> Self {
        match level {
            Level::Error => Self::Bad,
            Level::Warning => Self::Odd,
            Level::Info => Self::Plain,
            Level::Debug => Self::Faint,
        }
    }

    /// The tone of a slot's outcome.
    pub const fn of_outcome(outcome: SlotOutcome) -> Self {
        match outcome {
            SlotOutcome::Started => Self::Good,
            SlotOutcome::Skipped => Self::Odd,
            SlotOutcome::Missed => Self::Bad,
            SlotOutcome::Pending => Self::Faint,
        }
    }

    /// The tone of a schedule's or interface's state.
    pub const fn of_state(state: State) -> Self {
        match state {
            State::Active => Self::Plain,
            State::Paused => Self::Odd,
            State::Disabled | State::Removed => Self::Faint,
        }
    }
}

/// Whether colours are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Palette {
    coloured: bool,
}

impl Palette {
    /// Text only.
    pub const fn plain() -> Self {
        Self { coloured: false }
    }

    /// With colours.
    pub const fn coloured() -> Self {
        Self { coloured: true }
    }

    /// Colours at a terminal that wants them.
    pub fn choose(terminal: bool, environment: &Environment) -> Self {
        match Paint::choose(terminal, environment) {
            Paint::Styled => Self::coloured(),
            Paint::Plain => Self::plain(),
        }
    }

    /// The same choice for problems in files.
    pub const fn of_problems(self) -> Paint {
        if self.coloured { Paint::Styled } else { Paint::Plain }
    }

    /// The text in the colour of `tone`.
    pub fn paint<'a>(self, tone: Tone, text: &'a str) -> Cow<'a, str> {
        if !self.coloured || tone == Tone::Plain {
            return Cow::Borrowed(text);
        }
        let style = tone.style();
        Cow::Owned(format!("{style}{text}{style:#}"))
    }
}

/// Invisible characters of no width that mark where a colour begins and ends while a table is laid out: the layout
/// counts the columns of a text, and an escape sequence would count as some.
const MARKS: [(char, Tone); 6] = [
    ('\u{2061}', Tone::Bad),
    ('\u{2062}', Tone::Good),
    ('\u{2063}', Tone::Odd),
    ('\u{2064}', Tone::Busy),
    ('\u{200b}', Tone::Faint),
    ('\u{200c}', Tone::Strong),
];
const END: char = '\u{2060}';

/// Rows below a heading, laid out in columns. The last column gives way: ids and names must stay in one piece.
#[derive(Debug)]
pub struct Rows {
    headings: Vec<Cell>,
    rows: Vec<Vec<Cell>>,
}

/// Columns between two cells.
const GAP: u16 = 2;
/// A last column of fewer columns is no pleasure to read: its cells go below the others.
const LAST_MIN: u16 = 24;
/// How far they stand in there.
const INDENT: &str = "    ";

/// One cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A cell in the colour of `tone`.
    pub fn toned(tone: Tone, text: impl AsRef<str>) -> Self {
        Self { text: clean(text.as_ref()).into_owned(), tone }
    }

    fn marked(&self) -> String {
        let mark = MARKS.iter().find(|(_, tone)| *tone == self.tone);
        mark.map_or_else(|| self.text.clone(), |(mark, _)| format!("{mark}{}{END}", self.text))
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(Tone::Plain, text)
    }
}

impl Rows {
    /// A table with these headings.
    pub fn new(headings: &[&str]) -> Self {
        let headings = headings.iter().map(|text| Cell::toned(Tone::Strong, text)).collect();
        Self { headings, rows: Vec::new() }
    }

    /// Adds a row.
    pub fn add(&mut self, cells: &[Cell]) {
        self.rows.push(cells.to_vec());
    }

    /// Lays the table out in `width` columns; without a width every row is one line.
    pub fn show(self, palette: Palette, width: Option<u16>) -> String {
        let all = self.headings.len();
        let mut table = self.table(all);
        let widths = table.column_max_content_widths();
        let (last, others) =
            widths.split_last().map_or((0, &[][..]), |(last, others)| (*last, others));
        let taken: u16 = others.iter().map(|width| width.saturating_add(GAP)).sum();
        let left = width.map_or(u16::MAX, |width| width.saturating_sub(taken));
        if last > left && left < LAST_MIN {
            return self.folded(palette, width.unwrap_or(u16::MAX));
        }
        if last > left {
            table.set_content_arrangement(ContentArrangement::Dynamic);
            table.set_width(taken.saturating_add(left));
            for (place, column) in table.column_iter_mut().enumerate() {
                let fixed = ColumnConstraint::Absolute(Width::Fixed(left));
                let is_last = place + 1 == all;
                column.set_constraint(if is_last { fixed } else { ColumnConstraint::ContentWidth });
            }
        }
        painted(&table, palette)
    }

    /// The first `columns` columns, each row on one line.
    fn table(&self, columns: usize) -> Table {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_content_arrangement(ContentArrangement::Disabled);
        let marked = |cells: &[Cell]| -> Vec<String> {
            cells.iter().take(columns).map(Cell::marked).collect()
        };
        table.set_header(marked(&self.headings));
        for row in &self.rows {
            table.add_row(marked(row));
        }
        for (place, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, if place + 1 == columns { 0 } else { GAP }));
        }
        table
    }

    /// The last cell of each row on a line of its own, cut to `width`.
    fn folded(&self, palette: Palette, width: u16) -> String {
        let others = painted(&self.table(self.headings.len().saturating_sub(1)), palette);
        let mut lines = others.lines();
        let mut shown = lines.next().unwrap_or_default().to_owned();
        shown.push('\n');
        let room = usize::from(width).saturating_sub(INDENT.len());
        for (line, row) in lines.zip(&self.rows) {
            shown.push_str(line);
            shown.push('\n');
            if let Some(Cell { text, tone }) = row.last().filter(|cell| cell.text != "-") {
                let text = palette.paint(*tone, &brief(text, room)).into_owned();
                shown.push_str(&format!("{INDENT}{text}\n"));
            }
        }
        shown
    }
}

fn painted(table: &Table, palette: Palette) -> String {
    let mut shown = String::new();
    for line in table.lines() {
        push_painted(&mut shown, line.trim_end_matches([' ', END]), palette);
        shown.push('\n');
    }
    shown
}

/// Replaces the marks of a line by colours. A colour that is open at its end is closed there.
fn push_painted(shown: &mut String, line: &str, palette: Palette) {
    let mut open: Option<Style> = None;
    for c in line.chars() {
        let begun = MARKS.iter().find(|(mark, _)| *mark == c).map(|(_, tone)| tone.style());
        if begun.is_none() && c != END {
            shown.push(c);
            continue;
        }
        if let Some(style) = open.take() {
            shown.push_str(&format!("{style:#}"));
        }
        if let Some(style) = begun.filter(|_| palette.coloured) {
            shown.push_str(&style.to_string());
            open = Some(style);
        }
    }
    if let Some(style) = open {
        shown.push_str(&format!("{style:#}"));
    }
}

/// Text that cannot move the cursor, change colours or forge a row: control characters are shown as escapes.
pub fn clean(text: &str) -> Cow<'_, str> {
    let hidden = |c: char| {
        c.is_control() || c == END || MARKS.iter().any(|(mark, _)| *mark == c) || is_direction(c)
    };
    if !text.chars().any(hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\t' => shown.push_str("    "),
            c if hidden(c) => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// Characters that turn the direction of writing, and so can show another text than the one that is there.
const fn is_direction(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The first line of a text, cut to so many characters.
pub fn brief(text: &str, most: usize) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= most {
        return line.to_owned();
    }
    let cut: String = line.chars().take(most.saturating_sub(1)).collect();
    format!("{}…", cut.trim_end())
}

/// The part of an id that people read and type: a prefix that every command takes.
///
/// The first two groups are an instant, which all slots of a minute share; the next two tell a thousand of them apart.
pub fn short_id(id: &str) -> String {
    id.chars().take(23).collect()
}

/// Milliseconds as people say them: `850 ms`, `12.3 s`, `4 min 10 s`, `2 h 5 min`, `3 d 4 h`.
pub fn duration(ms: u64) -> String {
    let secs = ms / 1000;
    match secs {
        0 => format!("{ms} ms"),
        1..60 => format!("{}.{} s", secs, ms % 1000 / 100),
        60..3600 => two(secs / 60, "min", secs % 60, "s"),
        3600..86_400 => two(secs / 3600, "h", secs % 3600 / 60, "min"),
        _ => two(secs / 86_400, "d", secs % 86_400 / 3600, "h"),
    }
}

fn two(large: u64, unit: &str, small: u64, small_unit: &str) -> String {
    if small == 0 {
        format!("{large} {unit}")
    } else {
        format!("{large} {unit} {small} {small_unit}")
    }
}

/// An instant from where one stands: `12 s ago`, `in 5 min`, `now`.
pub fn relative(at: Instant, now: Instant) -> String {
    let coarse = |ms: u64| match ms / 1000 {
        secs @ 0..60 => format!("{secs} s"),
        secs @ 60..3600 => format!("{} min", secs / 60),
        secs @ 3600..172_800 => format!("{} h", secs / 3600),
        secs => format!("{} d", secs / 86_400),
    };
    let distance = at.millis().abs_diff(now.millis());
    match distance {
        0..1000 => "now".to_owned(),
        _ if at < now => format!("{} ago", coarse(distance)),
        _ => format!("in {}", coarse(distance)),
    }
}

/// The same, or `-` when it is not known.
pub fn relative_or_dash(at: Option<Instant>, now: Instant) -> String {
    at.map_or_else(|| "-".to_owned(), |at| relative(at, now))
}

/// An instant without its milliseconds: `2026-11-22 10:00:00Z`.
pub fn moment(at: Instant) -> String {
    at.utc().format("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// Bytes as people say them.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut tenths = u128::from(count) * 10;
    let mut unit = "B";
    for next in UNITS {
        if tenths < 10_240 {
            break;
        }
        tenths /= 1024;
        unit = next;
    }
    if unit == "B" {
        format!("{count} B")
    } else {
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Rows {
        let mut rows = Rows::new(&["STATUS", "SCHEDULE", "FIRST ERROR"]);
        rows.add(&[
            Cell::toned(Tone::Bad, "ko"),
            Cell::from("fnac/sales"),
            Cell::from("x ".repeat(60)),
        ]);
        rows.add(&[Cell::toned(Tone::Good, "ok"), Cell::from("fnac/refunds"), Cell::from("-")]);
        rows
    }

    #[test]
    fn a_table_fits_80_columns() {
        let shown = table().show(Palette::plain(), Some(80));
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
        assert!(shown.contains("fnac/refunds"), "{shown}");
    }

    /// Whoever copies an id or a name gets all of it.
    #[test]
    fn ids_and_names_stay_in_one_piece_and_the_last_column_gives_way() {
        let (id, name) =
            ("0193522b-6a00-8000-8000-000000000001", "fnac/integrate-sales-of-the-day");
        let shown = |headings: &[&str], cells: &[&str]| {
            let mut rows = Rows::new(headings);
            rows.add(&cells.iter().map(Cell::from).collect::<Vec<_>>());
            rows.show(Palette::plain(), Some(80))
        };
        let error = "no product for code FNAC-77, nor for FNAC-78";
        let wrapped = shown(&["EXECUTION", "FIRST ERROR"], &[id, error]);
        assert_eq!(
            wrapped,
            "EXECUTION                             FIRST ERROR\n\
             0193522b-6a00-8000-8000-000000000001  no product for code FNAC-77, nor for\n\
             \x20                                     FNAC-78\n"
        );
        let below = shown(&["EXECUTION", "SCHEDULE", "FIRST ERROR"], &[id, name, error]);
        assert_eq!(
            below,
            "EXECUTION                             SCHEDULE\n\
             0193522b-6a00-8000-8000-000000000001  fnac/integrate-sales-of-the-day\n\
             \x20   no product for code FNAC-77, nor for FNAC-78\n"
        );
    }

    #[test]
    fn a_row_for_a_pipe_is_one_line_without_colours() {
        let shown = table().show(Palette::plain(), None);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[2], "ok      fnac/refunds  -");
        assert!(!shown.contains('\u{1b}') && !shown.contains(END), "{shown:?}");
    }

    /// S3-5.
    #[test]
    fn ko_is_red_at_a_terminal() {
        let shown = table().show(Palette::coloured(), Some(80));
        let row = shown.lines().nth(1).expect("a row");
        assert!(row.starts_with("\u{1b}[1m\u{1b}[31mko\u{1b}[0m"), "{row:?}");
        assert_eq!(Tone::of_status(Status::Ko), Tone::Bad);
    }

    #[test]
    fn output_of_jobs_cannot_drive_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\nc"), "a\\u{1b}[2Jb\\nc");
        assert_eq!(clean("plain é"), "plain é");
    }

    #[test]
    fn durations_read_as_people_say_them() {
        let cases = [
            (0, "0 ms"),
            (850, "850 ms"),
            (12_345, "12.3 s"),
            (250_000, "4 min 10 s"),
            (7_500_000, "2 h 5 min"),
            (86_400_000, "1 d"),
        ];
        for (ms, text) in cases {
            assert_eq!(duration(ms), text);
        }
    }

    #[test]
    fn times_are_told_from_now() {
        let now = Instant::from_secs(1_000_000);
        assert_eq!(relative(Instant::from_secs(999_988), now), "12 s ago");
        assert_eq!(relative(Instant::from_secs(1_000_300), now), "in 5 min");
        assert_eq!(relative(now, now), "now");
        assert_eq!(relative_or_dash(None, now), "-");
    }

    #[test]
    fn sizes_have_one_decimal() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(5 << 30), "5.0 GiB");
    }

    #[test]
    fn a_long_text_is_cut_to_its_first_line() {
        assert_eq!(brief("one two\nthree", 20), "one two");
        assert_eq!(brief("one two three", 8), "one two…");
    }
}
