//! The index thrown away below a long history, while a schedule is due each second.

use std::fs;
use std::path::Path;
use std::time::Duration;

use daybook::ids::Position;
use daybook::store::journal::{JournalLog, JournalOptions};
use tokio::time::Instant as Stopwatch;

use crate::binary::{Home, until};
use crate::{Outcome, Place, ROUNDS, figure, files, past};

/// Between two looks at whether the lists answer.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// One rebuild.
struct Rebuilt {
    seconds: f64,
    /// How late each slot was decided meanwhile, in milliseconds.
    late_ms: Vec<f64>,
}

/// How long the whole journal takes to be read.
struct Scanned {
    seconds: f64,
    decoded_seconds: f64,
}

pub(crate) fn measure(place: &Place) -> Outcome<()> {
    let home = Home::new(&place.own)?;
    files::define_at_rest(&home, files::HUNDRED)?;
    home.define(
        "pulse",
        "[schedules.second]\ncron = \"* * * * * *\"\noverlap = \"allow\"\ncommand = [\"/bin/true\"]\n",
    )?;
    past::give(&home, place, past::MILLION)?;
    home.start_and_stop()?;
    let (mut ours, mut limit, mut decoded, mut late) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        fs::remove_dir_all(home.data().join("index"))?;
        let rebuilt = rebuilt(&home)?;
        ours.push(rebuilt.seconds);
        late.extend(rebuilt.late_ms);
        let scanned = scanned(&home.data().join("journal"))?;
        limit.push(scanned.seconds);
        decoded.push(scanned.decoded_seconds);
    }
    let (ours, limit) = (figure::median(&ours), figure::median(&limit));
    figure::ratio("rebuild of 1,000,000 events, s", ours, limit, "(wanted: 30 s or less)");
    figure::value("  journal scan with decoding, s", figure::median(&decoded), "");
    let slots = format!("  largest lateness of {} slots meanwhile, ms", late.len());
    figure::value(&slots, figure::worst(&late), "(wanted: not held up)");
    Ok(())
}

/// Ours: from the start of a daemon without an index until its lists answer.
fn rebuilt(home: &Home) -> Outcome<Rebuilt> {
    let began = Stopwatch::now();
    let daemon = home.start(&[])?;
    let mut client = daemon.client()?;
    // Slots that were decided before are those of the time when there was no daemon.
    let ready = client.get("/api/store")?["position"].as_u64().ok_or("no position")?;
    until(LOOK_EVERY, || {
        let store = client.get("/api/store")?;
        Ok(store["rebuilding"].is_null().then_some(()))
    })?;
    let seconds = began.elapsed().as_secs_f64();
    let slots = client.get(&format!(
        "/api/events?type=slot-started&stream=schedule/pulse/second&after={ready}&limit=1000"
    ))?;
    let slots = slots["items"].as_array().ok_or("no list of events")?;
    let late_ms = slots.iter().filter_map(|slot| slot["data"]["late_ms"].as_f64()).collect();
    daemon.stop()?;
    Ok(Rebuilt { seconds, late_ms })
}

/// The limit: the same events read from the journal, and nothing done with them.
fn scanned(journal: &Path) -> Outcome<Scanned> {
    let (log, _) = JournalLog::open(JournalOptions::new(journal))?;
    let began = Stopwatch::now();
    let mut scan = log.scan(Position(1));
    while scan.next_raw()?.is_some() {}
    let seconds = began.elapsed().as_secs_f64();
    let began = Stopwatch::now();
    let mut scan = log.scan(Position(1));
    while scan.next_envelope()?.is_some() {}
    let decoded_seconds = began.elapsed().as_secs_f64();
    log.close();
    Ok(Scanned { seconds, decoded_seconds })
}
