//! A crontab: what is imported is a file that is accepted, and each line is imported, left with a reason, or no entry.
use std::path::Path;

use daybook::config::crontab::{Format, Host, Source, import};
use daybook::config::load_text;

pub(crate) fn check(bytes: &[u8]) {
    let Some((format, bytes)) = bytes.split_first() else { return };
    let format = if *format == b's' { Format::System } else { Format::User };
    let source = Source { path: Path::new("/tmp/backups"), bytes, format, owner: None };
    let host = Host {
        user: "daybook".to_owned(),
        home: "/var/lib/daybook".to_owned(),
        zone: "Europe/Paris".to_owned(),
    };
    let import = import(&source, &host, daybook::app::checks());
    let entries = bytes.split(|byte| *byte == b'\n').count();
    assert!(import.left.iter().all(|left| (1..=entries).contains(&left.line)));
    match &import.toml {
        None => assert_eq!(import.imported, 0),
        Some(toml) => {
            let (interface, problems) =
                load_text(&import.id, "backups.toml", toml, daybook::app::checks());
            let errors: Vec<_> = problems.iter().filter(|problem| problem.is_error()).collect();
            assert!(errors.is_empty(), "{errors:?}\n{toml}");
            let schedules = interface.map_or(0, |interface| interface.schedules.len());
            assert_eq!(schedules, import.imported, "{toml}");
        }
    }
}
