//! A million lines such as jobs write: a time, a word, numbers that differ.

pub(crate) const LINES: usize = 1_000_000;
/// With its line end.
pub(crate) const LINE_BYTES: usize = 100;

/// All of them, one after another.
pub(crate) fn output() -> Vec<u8> {
    let mut output = Vec::with_capacity(LINES * LINE_BYTES);
    for n in 0..LINES {
        let mut line = format!(
            "2026-11-22T10:{:02}:{:02}.{:03}Z INFO sale {n} of event {} integrated, seat {}, amount {}.{:02} EUR",
            n / 60_000 % 60,
            n / 1_000 % 60,
            n % 1_000,
            n.wrapping_mul(2_654_435_761) % 100_000,
            n.wrapping_mul(40_503) % 9_973,
            n.wrapping_mul(69_069) % 500,
            n % 100
        );
        while line.len() < LINE_BYTES - 1 {
            line.push('.');
        }
        line.truncate(LINE_BYTES - 1);
        line.push('\n');
        output.extend_from_slice(line.as_bytes());
    }
    output
}
