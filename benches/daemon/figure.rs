//! How figures are made of measurements, and shown.

/// Shows ours beside the limit of the same run.
pub(crate) fn ratio(name: &str, ours: f64, limit: f64, wanted: &str) {
    let (shown_ours, shown_limit) = (shown(ours), shown(limit));
    println!("{name:<46} {shown_ours:>10} {shown_limit:>10} {:>7.2}  {wanted}", ours / limit);
}

/// Shows a value that has no limit beside it.
pub(crate) fn value(name: &str, ours: f64, wanted: &str) {
    println!("{name:<46} {:>10} {:>10} {:>7}  {wanted}", shown(ours), "–", "–");
}

/// As many digits as say something.
fn shown(value: f64) -> String {
    match value.abs() {
        small if small < 10.0 => format!("{value:.3}"),
        middle if middle < 1_000.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// The value in the middle.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The largest value.
pub(crate) fn worst(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NAN, f64::max)
}

/// The smallest value that `percent` of the values do not exceed.
pub(crate) fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}
