//! Tables: what fits a terminal of any width, and one line for each row in a pipe.
//!
//! At a terminal the columns stand side by side as far as they fit; those that do not go below, further in. A column alone
//! on its line needs no heading and no dash, and a cell of it that fits beside the others stands there. In a pipe every row
//! is one line, and every cell is whole.

use super::render::{Palette, Tone};
use super::text::{brief, clean, columns, pieces, short_name, wrapped};

/// Columns between two cells.
const GAP: usize = 2;
/// How far in stands what goes below.
pub const INDENT: usize = 4;
/// Narrower than this, no terminal is.
const WIDTH_MIN: usize = 20;
/// A narrower column of wrapped text is no pleasure to read.
const TEXT_MIN: usize = 24;
/// An error that is cut shorter than this says too little.
pub const ERROR_MIN: usize = 48;

/// A column, and how it gives way where the terminal is narrow.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    heading: &'static str,
    yields: Yields,
}

#[derive(Clone, Copy, Debug)]
enum Yields {
    /// It is copied or compared: in one piece.
    Whole,
    /// Cut in its middle, to so many columns at least.
    Short(usize),
    /// Wrapped.
    Text,
    /// Cut at its end, to so many columns at least.
    Gist(usize),
}

/// An id, a name, a word, a time: in one piece, below the others if need be.
pub const fn whole(heading: &'static str) -> Column {
    Column { heading, yields: Yields::Whole }
}

/// A name that another command tells whole: cut in its middle, to so many columns at least.
pub const fn short(heading: &'static str, least: usize) -> Column {
    Column { heading, yields: Yields::Short(least) }
}

/// A text that has to be read whole: wrapped.
pub const fn text(heading: &'static str) -> Column {
    Column { heading, yields: Yields::Text }
}

/// A text whose beginning is enough: cut at its end, to so many columns at least.
pub const fn gist(heading: &'static str, least: usize) -> Column {
    Column { heading, yields: Yields::Gist(least) }
}

impl Column {
    /// The fewest columns for cells of which the widest has `natural`.
    fn least(self, natural: usize) -> usize {
        match self.yields {
            Yields::Whole => natural,
            Yields::Short(least) | Yields::Gist(least) => natural.min(least),
            Yields::Text => natural.min(TEXT_MIN),
        }
    }

    /// Whether more room is worth more to it than to a name.
    const fn is_read(self) -> bool {
        match self.yields {
            Yields::Text | Yields::Gist(_) => true,
            Yields::Whole | Yields::Short(_) => false,
        }
    }

    /// The lines of a cell in so many columns.
    fn lines(self, text: &str, width: usize) -> Vec<String> {
        if columns(text) <= width {
            return vec![text.to_owned()];
        }
        match self.yields {
            Yields::Whole | Yields::Short(_) => vec![short_name(text, width)],
            Yields::Gist(_) => vec![brief(text, width)],
            Yields::Text => {
                wrapped(text, width).iter().flat_map(|row| pieces(row, width)).collect()
            }
        }
    }
}

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

    /// The columns that it takes.
    pub fn columns(&self) -> usize {
        columns(&self.text)
    }

    /// With its colour.
    pub fn painted(&self, palette: Palette) -> String {
        palette.paint(self.tone, &self.text).into_owned()
    }

    fn says_nothing(&self) -> bool {
        self.text.is_empty() || self.text == "-"
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(Tone::Plain, text)
    }
}

/// Rows below a heading.
#[derive(Debug)]
pub struct Rows {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

/// Columns that stand side by side: which, and how wide.
#[derive(Clone, Debug, Default)]
struct Band {
    indent: usize,
    places: Vec<(usize, usize)>,
}

impl Band {
    fn taken(&self) -> usize {
        let wide: usize = self.places.iter().map(|(_, width)| width).sum();
        self.indent + wide + GAP * self.places.len().saturating_sub(1)
    }

    /// Gives the columns for which `wants` holds the room that is left, the first of them first.
    fn widen(&mut self, natural: &[usize], width: usize, wants: impl Fn(usize) -> bool) {
        let mut left = width.saturating_sub(self.taken());
        for (place, taken) in self.places.iter_mut().filter(|(place, _)| wants(*place)) {
            let wanted = natural.get(*place).map_or(0, |natural| natural.saturating_sub(*taken));
            let more = wanted.min(left);
            *taken += more;
            left -= more;
        }
    }

    /// The same for one row: a long name alone on its line is worth more than its place.
    fn of_row(&self, row: &[Cell], width: usize) -> Self {
        let mut own = self.clone();
        if let [(place, most)] = self.places.as_slice() {
            let wide = row.get(*place).map_or(0, Cell::columns).min(*most);
            own.indent = self.indent.min(width.saturating_sub(wide));
        }
        own
    }

    /// The same with one more column.
    fn and(&self, place: usize, width: usize) -> Self {
        let mut wider = self.clone();
        wider.places.push((place, width));
        wider
    }
}

impl Rows {
    /// A table of these columns.
    pub fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row, with a cell for each column.
    pub fn add(&mut self, cells: &[Cell]) {
        self.rows.push(cells.to_vec());
    }

    /// Lays the table out in `width` columns; without a width every row is one line, and nothing is cut.
    pub fn show(&self, palette: Palette, width: Option<usize>) -> String {
        let width = width.map(|width| width.max(WIDTH_MIN));
        let bands = self.bands(width);
        let headings: Vec<Cell> =
            self.columns.iter().map(|column| Cell::toned(Tone::Strong, column.heading)).collect();
        let headed = of_row(&bands, &headings, width, true).len() < bands.len();
        let of_row = |row: &[Cell]| of_row(&bands, row, width, headed);
        let laid_out: Vec<(&[Cell], Vec<Band>)> =
            self.rows.iter().map(|row| (row.as_slice(), of_row(row))).collect();
        let beside = laid_out.iter().any(|(_, own)| own.len() < bands.len());
        let above = if beside { of_row(&headings) } else { bands.clone() };
        let mut shown = String::new();
        for (number, band) in above.iter().enumerate() {
            if number == 0 || band.places.len() > 1 {
                self.push(&mut shown, band, &headings, palette);
            }
        }
        for (row, bands) in &laid_out {
            for (number, band) in bands.iter().enumerate() {
                let says = |(place, _): &(usize, usize)| {
                    row.get(*place).is_some_and(|cell| !cell.says_nothing())
                };
                if number == 0 || band.places.iter().any(says) {
                    self.push(&mut shown, band, row, palette);
                }
            }
        }
        shown
    }

    /// The columns that each cell of a column fits in.
    fn natural(&self) -> Vec<usize> {
        let widest = |(place, column): (usize, &Column)| {
            let cells = self.rows.iter().filter_map(|row| row.get(place)).map(Cell::columns);
            cells.max().unwrap_or(0).max(columns(column.heading))
        };
        self.columns.iter().enumerate().map(widest).collect()
    }

    fn bands(&self, width: Option<usize>) -> Vec<Band> {
        let natural = self.natural();
        let Some(width) = width else {
            return vec![Band { indent: 0, places: natural.into_iter().enumerate().collect() }];
        };
        let mut bands: Vec<Band> = Vec::new();
        let mut band = Band::default();
        for (place, (column, natural)) in self.columns.iter().zip(&natural).enumerate() {
            let most = if column.is_read() { width - INDENT } else { width };
            let least = column.least((*natural).min(most));
            if !band.places.is_empty() && band.taken() + GAP + least > width {
                let below = Band { indent: INDENT, places: Vec::new() };
                bands.push(std::mem::replace(&mut band, below));
            }
            band.places.push((place, least));
        }
        bands.push(band);
        let is_read = |place: usize| self.columns.get(place).is_some_and(|column| column.is_read());
        for band in &mut bands {
            band.widen(&natural, width, is_read);
            band.widen(&natural, width, |place| !is_read(place));
        }
        bands
    }

    /// The cells of a row that stand in `band`, on as many lines as the longest of them takes.
    fn push(&self, shown: &mut String, band: &Band, row: &[Cell], palette: Palette) {
        let cells: Vec<(Tone, Vec<String>, usize)> = band
            .places
            .iter()
            .filter_map(|(place, width)| {
                let (column, cell) = (self.columns.get(*place)?, row.get(*place)?);
                Some((cell.tone, column.lines(&cell.text, *width), *width))
            })
            .collect();
        let height = cells.iter().map(|(_, lines, _)| lines.len()).max().unwrap_or(0);
        for line in 0..height {
            shown.extend(std::iter::repeat_n(' ', band.indent));
            let mut owed = 0;
            for (tone, lines, width) in &cells {
                let piece = lines.get(line).map_or("", String::as_str);
                if !piece.is_empty() {
                    shown.extend(std::iter::repeat_n(' ', owed));
                    shown.push_str(&palette.paint(*tone, piece));
                    owed = 0;
                }
                owed += width.saturating_sub(columns(piece)) + GAP;
            }
            shown.push('\n');
        }
    }
}

/// The bands of one row: where headings may, a cell that would stand alone below and fits beside the others is beside them.
fn of_row(bands: &[Band], row: &[Cell], width: Option<usize>, headed: bool) -> Vec<Band> {
    let Some(width) = width else { return bands.to_vec() };
    let mut own: Vec<Band> = bands.iter().map(|band| band.of_row(row, width)).collect();
    let beside = match own.as_slice() {
        [first, below, ..] if headed => match below.places.as_slice() {
            [(place, _)] => Some(first.and(*place, row.get(*place).map_or(0, Cell::columns))),
            _ => None,
        },
        _ => None,
    };
    if let Some(wider) = beside.filter(|wider| wider.taken() <= width) {
        own.splice(0..2, [wider]);
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projection::view::Status;

    const ID: &str = "0193522b-6a00-8000-8000-000000000001";
    const NAME: &str = "fnac/integrate-sales-of-the-day";
    const ERROR: &str = "no product for code FNAC-77, nor for FNAC-78";

    fn laid_out(columns: &[Column], cells: &[&str], width: Option<usize>) -> String {
        let mut rows = Rows::new(columns);
        rows.add(&cells.iter().map(Cell::from).collect::<Vec<_>>());
        rows.show(Palette::plain(), width)
    }

    fn table() -> Rows {
        let mut rows =
            Rows::new(&[whole("STATUS"), whole("SCHEDULE"), gist("FIRST ERROR", ERROR_MIN)]);
        let long = Cell::from("x ".repeat(60));
        rows.add(&[Cell::toned(Tone::Bad, "ko"), Cell::from("fnac/sales"), long]);
        rows.add(&[Cell::toned(Tone::Good, "ok"), Cell::from("fnac/refunds"), Cell::from("-")]);
        rows
    }

    #[test]
    fn a_table_fits_any_terminal() {
        for width in [1, 20, 40, 79, 80, 81, 200] {
            let shown = table().show(Palette::plain(), Some(width));
            assert!(shown.lines().all(|line| columns(line) <= width.max(20)), "{width}:\n{shown}");
            assert!(shown.contains("fnac/refunds"), "{width}:\n{shown}");
        }
    }

    /// Whoever copies an id or a name gets all of it.
    #[test]
    fn ids_and_names_stay_in_one_piece_and_texts_give_way() {
        let wrapped = laid_out(&[whole("EXECUTION"), text("FOUND")], &[ID, ERROR], Some(80));
        assert_eq!(
            wrapped,
            "EXECUTION                             FOUND\n\
             0193522b-6a00-8000-8000-000000000001  no product for code FNAC-77, nor for\n\
             \x20                                     FNAC-78\n"
        );
        let three = [whole("EXECUTION"), whole("SCHEDULE"), gist("FIRST ERROR", ERROR_MIN)];
        assert_eq!(
            laid_out(&three, &[ID, NAME, ERROR], Some(80)),
            "EXECUTION                             SCHEDULE\n\
             0193522b-6a00-8000-8000-000000000001  fnac/integrate-sales-of-the-day\n\
             \x20   no product for code FNAC-77, nor for FNAC-78\n"
        );
    }

    #[test]
    fn what_does_not_fit_goes_below_and_several_of_it_have_headings() {
        let columns = [whole("SCHEDULE"), whole("STATE"), whole("LAST"), whole("NEXT")];
        assert_eq!(
            laid_out(&columns, &[NAME, "active", "-", "in 5 min"], Some(40)),
            "SCHEDULE                         STATE\n\
             \x20   LAST  NEXT\n\
             fnac/integrate-sales-of-the-day  active\n\
             \x20   -     in 5 min\n"
        );
    }

    #[test]
    fn a_name_as_wide_as_the_terminal_stays_whole() {
        let columns = [whole("STATUS"), whole("SCHEDULE")];
        let shown = |width| laid_out(&columns, &["ko", NAME], Some(width));
        assert_eq!(shown(80), format!("STATUS  SCHEDULE\nko      {NAME}\n"));
        assert_eq!(shown(33), format!("STATUS\nko\n  {NAME}\n"));
        assert_eq!(shown(31), format!("STATUS\nko\n{NAME}\n"));
        assert_eq!(shown(30), "STATUS\nko\nfnac/integrate-…les-of-the-day\n");
    }

    #[test]
    fn a_cell_that_fits_beside_the_others_stands_there() {
        let mut rows = Rows::new(&[whole("WHEN"), whole("SCHEDULE")]);
        rows.add(&["in 1 h", "fnac/sales"].map(Cell::from));
        rows.add(&["in 2 h", NAME].map(Cell::from));
        rows.add(&["in 3 h", "-"].map(Cell::from));
        assert_eq!(
            rows.show(Palette::plain(), Some(36)),
            "WHEN    SCHEDULE\nin 1 h  fnac/sales\nin 2 h\n    fnac/integrate-sales-of-the-day\nin 3 h  -\n"
        );
    }

    #[test]
    fn a_name_that_is_told_elsewhere_is_cut_in_its_middle() {
        let columns = [whole("EVENT"), short("STREAM", 10)];
        let shown = laid_out(&columns, &["12", &format!("schedule/{NAME}")], Some(30));
        assert_eq!(shown, "EVENT  STREAM\n12     schedule/fn…-of-the-day\n");
    }

    #[test]
    fn wide_characters_take_two_columns() {
        let columns = [whole("STATUS"), whole("NAME"), text("TEXT")];
        let mut rows = Rows::new(&columns);
        rows.add(&["ko", "請求書", "取込に失敗しました"].map(Cell::from));
        rows.add(&["ko", "sales", "none"].map(Cell::from));
        assert_eq!(
            rows.show(Palette::plain(), Some(80)),
            "STATUS  NAME    TEXT\nko      請求書  取込に失敗しました\nko      sales   none\n"
        );
    }

    #[test]
    fn a_row_for_a_pipe_is_one_line_without_colours() {
        let shown = table().show(Palette::plain(), None);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[1].ends_with(&"x ".repeat(60)), "{shown}");
        assert_eq!(lines[2], "ok      fnac/refunds  -");
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
    }

    /// S3-5.
    #[test]
    fn ko_is_red_at_a_terminal() {
        let shown = table().show(Palette::coloured(), Some(80));
        let row = shown.lines().nth(1).expect("a row");
        assert!(row.starts_with("\u{1b}[1m\u{1b}[31mko\u{1b}[0m      fnac"), "{row:?}");
        assert_eq!(Tone::of_status(Status::Ko), Tone::Bad);
    }
}
