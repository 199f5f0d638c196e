//! What is different for all imported lines.

use super::Host;
use super::read::Read;
use super::secrets::Secret;

/// The notes, each a sentence without its full stop.
pub(super) fn of(read: &Read, secrets: &[Secret], host: &Host) -> Vec<String> {
    let mut notes = vec![
        "commands run with umask 077 and without standard input; cron's umask is usually 022"
            .to_owned(),
        "an exit status other than 0 makes an execution KO; cron ignores it".to_owned(),
        mail(read.mail.as_deref()),
    ];
    if read.entries.iter().any(|entry| entry.zone.is_some()) {
        notes.push(
            "CRON_TZ became the schedule's zone, as in cronie; Debian's cron ignores it".to_owned(),
        );
    }
    if read.carriage_returns {
        notes.push(
            "lines end in CR LF: cron hands the CR on to the command; here it is left out"
                .to_owned(),
        );
    }
    notes.extend(secrets.iter().map(|secret| told(secret, host)));
    notes
}

fn mail(to: Option<&str>) -> String {
    match to {
        Some("") => {
            "MAILTO is empty: cron dropped the output; Daybook keeps it in the log".to_owned()
        }
        Some(to) => format!(
            "cron mailed the output to {to}; Daybook keeps it in the log (`notify` tells a person of a KO)"
        ),
        None => "cron mailed the output to the user; Daybook keeps it in the log".to_owned(),
    }
}

fn told(secret: &Secret, host: &Host) -> String {
    let Secret { name, credential, line, not_for_all } = secret;
    let mut note = format!(
        "{name} (line {line}) may be a secret, so its value was left out: write it, without quotes, to <data>/credentials/{credential} (mode 0600, owner {})",
        host.user
    );
    if *not_for_all {
        note.push_str("; it is set for all lines, in cron only for those below it");
    }
    note
}
