//! The engine on the host's clock and a real journal, and nothing else of the daemon: slots need no other scheduler.

#[path = "../benches/common/at_once.rs"]
mod at_once;

use std::path::Path;
use std::sync::Arc;

use at_once::{AtOnce, Nobody};
use daybook::app::checks;
use daybook::clock::SystemClock;
use daybook::config::{self, load_text};
use daybook::domain::definition::Interface;
use daybook::domain::event::{Change, Event};
use daybook::engine::board::Board;
use daybook::engine::commit::Committer;
use daybook::engine::handle::Handle;
use daybook::engine::ports::{Definitions, Files};
use daybook::engine::state::State;
use daybook::engine::{Engine, Identity, Parts};
use daybook::ids::{InterfaceId, Position};
use daybook::store::EventLog;
use daybook::store::journal::{JournalLog, JournalOptions};
use tokio::sync::{mpsc, watch};

const SHOP: &str = "[schedules.sales]\ncron = \"* * * * * *\"\ncommand = [\"true\"]\n";

struct Shop;

impl Definitions for Shop {
    fn load(&self) -> Files {
        let id: InterfaceId = "shop".parse().expect("a name");
        // With a warning: so often is rarely meant.
        let (interface, _warned) = load_text(&id, "shop.toml", SHOP, checks());
        let interface = interface.expect("accepted");
        Files { accepted: [(id, interface)].into(), ..Files::default() }
    }

    fn changes(&self, old: Option<&Interface>, new: Option<&Interface>) -> Vec<Change> {
        config::diff(old, new)
    }
}

fn parts(log: &Arc<JournalLog>, board: &Arc<Board>) -> Parts {
    let named = || "test".to_owned();
    Parts {
        log: Arc::clone(log) as _,
        clock: Arc::new(SystemClock::new()),
        performer: Arc::new(AtOnce),
        courier: Arc::new(Nobody),
        definitions: Arc::new(Shop),
        board: Arc::clone(board),
        observers: Vec::new(),
        entropy: Box::new(|| [0; 10]),
        max_concurrent: 16,
        identity: Identity { version: named(), boot_id: named(), zone_data: named() },
    }
}

/// Starts an engine on the journal in `folder`; it ends with the handle.
async fn start(folder: &Path) -> (Arc<JournalLog>, Handle) {
    let (log, _) = JournalLog::open(JournalOptions::new(folder)).expect("a journal");
    let (log, board) = (Arc::new(log), Arc::new(Board::default()));
    let (news, mut heard) = mpsc::unbounded_channel();
    let (commits, committed) = mpsc::unbounded_channel();
    let (failed, _) = watch::channel(None);
    let committer = Committer {
        performer: Arc::new(AtOnce),
        courier: Arc::new(Nobody),
        board: Arc::clone(&board),
        failed,
    };
    tokio::spawn(committer.run(committed, Position(0)));
    let (handle, requests) = Handle::new(Arc::clone(&board), 1);
    let mut engine = Engine::new(parts(&log, &board), State::default(), commits, news);
    engine.start(Shop.load(), &mut heard).await;
    tokio::spawn(engine.run(requests, heard));
    (log, handle)
}

/// S3-13 and decision 5: nothing here knows tokio-cron-scheduler, and user schedules fire.
#[tokio::test(flavor = "multi_thread")]
async fn slots_fire_on_the_hosts_clock_without_the_upkeeps_scheduler() {
    let folder = tempfile::tempdir().expect("a folder");
    let (log, _handle) = start(folder.path()).await;
    let mut durable = log.durable();
    let (mut seen, mut slots, mut closed) = (Position(0), Vec::new(), 0);
    while closed < 2 {
        durable.wait_for(|position| *position > seen).await.expect("the log goes on");
        for envelope in log.read(seen, 1_000).expect("readable") {
            seen = envelope.position;
            match envelope.event {
                Event::SlotStarted(started) => slots.push(started.slot),
                Event::Closed(_) => closed += 1,
                _ => (),
            }
        }
    }
    // The log was read while the daemon's day went on: each second has its slot, one after the other.
    let steps: Vec<_> = slots.windows(2).map(|pair| pair[1].since(pair[0]).as_secs()).collect();
    assert!(steps.iter().all(|seconds| *seconds == 1), "{slots:?}");
}
