//! An interface's file: read, or refused with places that lie in it. What is accepted, written out and read again, is the
//! same definition.
use daybook::config::{Checks, Paint, load_text, render_all};
use daybook::ids::InterfaceId;

pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let id: InterfaceId = "fnac".parse().expect("an id");
    let checks: Checks = daybook::app::checks();
    let (interface, problems) = load_text(&id, "fnac.toml", text, checks);
    for problem in &problems {
        let lines = text.lines().count() + 1;
        assert!(problem.line.is_none_or(|line| (1..=lines).contains(&line)), "{problem:?}");
    }
    let shown = render_all(&problems, Paint::Plain);
    assert_eq!(shown.is_empty(), problems.is_empty());
    let refused = problems.iter().any(daybook::config::Problem::is_error);
    assert!(interface.is_some() || refused, "neither accepted nor refused");
}
