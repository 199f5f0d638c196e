//! A command's output: the same lines however it is cut into blocks, no line with a secret, no error that is passed over as
//! plain.
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use daybook::clock::VirtualClock;
use daybook::domain::class::{Level, Source};
use daybook::domain::classify::{Classifier, Session, surely_plain};
use daybook::ids::ExecutionId;
use daybook::instant::Instant;
use daybook::jobs::{Redactor, Scribe, ScribeParts, Secret};
use daybook::store::lines::{LineQuery, LineStore, LinesOptions};
use daybook::telemetry::metrics::Metrics;
use tokio::runtime::Runtime;

const SECRET: &str = "hunter22";

struct Parts {
    runtime: Runtime,
    store: LineStore,
    classifier: Arc<Classifier>,
    metrics: Arc<Metrics>,
    count: AtomicU64,
    _folder: tempfile::TempDir,
}

static PARTS: LazyLock<Parts> = LazyLock::new(|| {
    let runtime = Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let store = {
        let _entered = runtime.enter();
        LineStore::open(folder.path(), LinesOptions::default()).expect("a store").0
    };
    let classifier = Arc::new(Classifier::new(&[]).expect("no rules"));
    let metrics = Arc::new(Metrics::new("0", "fuzz").expect("unique names"));
    Parts { runtime, store, classifier, metrics, count: AtomicU64::new(0), _folder: folder }
});

/// The lines that the log holds after these blocks of standard error.
fn lines_of<'a>(blocks: impl Iterator<Item = &'a [u8]>) -> Vec<(u64, Level, String)> {
    let parts = &*PARTS;
    let mut entropy = [0; 10];
    entropy[2..].copy_from_slice(&parts.count.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    let execution = ExecutionId::random(Instant::from_secs(1_795_000_000), entropy);
    parts.runtime.block_on(async {
        let (seen, _news) = tokio::sync::mpsc::unbounded_channel();
        let mut scribe = Scribe::new(ScribeParts {
            writer: parts.store.writer(execution),
            classifier: Arc::clone(&parts.classifier),
            secrets: Redactor::new(&[Secret::new(SECRET)]),
            clock: Arc::new(VirtualClock::new(Instant::from_secs(1_795_000_000))),
            max_log_bytes: u64::MAX,
            metrics: Arc::clone(&parts.metrics),
            interface: "fnac".parse().expect("an id"),
            seen,
        });
        scribe.begin_attempt(1);
        for block in blocks {
            scribe.output(Source::Stderr, block).await;
        }
        scribe.finish().await.expect("written");
    });
    let mut lines = Vec::new();
    let each = &mut |line: daybook::store::lines::LineRef<'_>| {
        lines.push((line.line, line.level, line.text.to_owned()));
        ControlFlow::Continue(())
    };
    parts.store.for_each(execution, &LineQuery::default(), each).expect("read");
    lines
}

pub(crate) fn check(bytes: &[u8]) {
    // A count, so many sizes of blocks, and the output.
    let Some((count, bytes)) = bytes.split_first() else { return };
    let (sizes, output) = bytes.split_at(usize::from(*count).min(bytes.len()));
    let whole = lines_of(std::iter::once(output));
    let mut rest = output;
    let mut sizes = sizes.iter().map(|size| usize::from(*size) + 1);
    let blocks = std::iter::from_fn(|| {
        let size = sizes.next().unwrap_or(rest.len()).min(rest.len());
        let (block, after) = rest.split_at(size);
        rest = after;
        (!block.is_empty()).then_some(block)
    });
    assert_eq!(whole, lines_of(blocks), "cut differently");
    for (number, _, text) in &whole {
        assert!(!text.contains(SECRET), "line {number}: {text}");
    }
    if surely_plain(output) {
        let mut session = Session::new(Arc::clone(&PARTS.classifier));
        for (text, number) in String::from_utf8_lossy(output).lines().zip(1..) {
            let judged = session.judge(number, Source::Stderr, text);
            assert_eq!((judged.level, judged.class), (Level::Info, None), "{text}");
        }
    }
}
