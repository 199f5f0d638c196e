//! A journal with a long history, for daemons that have run for years.

use std::fs;
use std::path::Path;

use daybook::domain::event::{Actor, Envelope};
use daybook::instant::Instant;
use daybook::store::journal::{JournalLog, JournalOptions};
use daybook::store::{Append, EventLog, Expected, Links, StreamAppend};

use crate::binary::Home;
use crate::history::{History, PER_EXECUTION};
use crate::{Failure, Outcome, Place};

/// A long history.
pub(crate) const MILLION: u64 = 1_000_000;

/// Executions whose appends wait for the disk together: 500 events.
const TOGETHER: u64 = 100;

/// Gives `home` the first `events` events of the made-up history, and neither index nor checkpoint. They are written once
/// for all figures.
pub(crate) fn give(home: &Home, place: &Place, events: u64) -> Outcome<()> {
    let written = place.shared.join(format!("history-{events}"));
    if !written.exists() {
        let unfinished = place.shared.join(format!("unfinished-{events}"));
        write(&unfinished, events)?;
        fs::rename(&unfinished, &written)?;
    }
    let journal = home.data().join("journal");
    fs::create_dir_all(&journal)?;
    for entry in fs::read_dir(&written)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "seg")
            && let Some(name) = path.file_name()
        {
            fs::copy(&path, journal.join(name))?;
        }
    }
    Ok(())
}

fn write(journal: &Path, events: u64) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let (log, _) = JournalLog::open(JournalOptions::new(journal))?;
    let history = History::made_up();
    let executions = events / PER_EXECUTION;
    for first in (0..executions).step_by(usize::try_from(TOGETHER)?) {
        let mut tickets = Vec::new();
        for execution in first..executions.min(first + TOGETHER) {
            let mut story: Vec<Envelope> = (1..=PER_EXECUTION)
                .map(|step| history.event(execution * PER_EXECUTION + step))
                .collect();
            // As the daemon does it: decision, opening and start in one append, both ends in another.
            let end = story.split_off(3);
            tickets.extend([log.append(append(story)), log.append(append(end))]);
        }
        runtime.block_on(async {
            for ticket in tickets {
                ticket.await?;
            }
            Ok::<(), Failure>(())
        })?;
    }
    log.close();
    Ok(())
}

/// One append with these events, in order.
fn append(events: Vec<Envelope>) -> Append {
    let at = events.first().map_or_else(Instant::default, |event| event.at);
    let mut streams: Vec<StreamAppend> = Vec::new();
    for Envelope { stream, version, event, .. } in events {
        match streams.last_mut() {
            Some(part) if part.stream == stream => part.events.push(event),
            Some(_) | None => {
                let expected = Expected::Exact(version - 1);
                streams.push(StreamAppend {
                    stream,
                    expected,
                    events: vec![event],
                    links: Links::default(),
                });
            }
        }
    }
    Append { streams, at, actor: Actor::Daybook }
}
