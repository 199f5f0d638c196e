//! The runners that own this data folder's commands: the daemon's own, and those that former daemons left.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use tokio::sync::{Mutex as AsyncMutex, mpsc, oneshot};

use super::cgroup::Cgroups;
use super::credentials::Secret;
use super::follow::Remains;
use super::generation::{AttemptNews, Generation, Greeted};
use super::procfs::{self, MARKER};
use super::runner::{
    self, AttemptKey, Before, Ended, Folder, Kept, OnRecord, Order, Start, Way, Why, on_record,
};
use super::shared::off_the_workers;
use crate::clock::Clock;
use crate::engine::ports::{Held, HeldAttempt};
use crate::task::{self, locked};
use crate::telemetry::metrics::Metrics;

/// Below the data folder: a folder for each generation.
const RUNS: &str = "runs";

/// All runners that a daemon knows. Clones share them.
#[derive(Clone)]
pub struct Runners(Arc<Inner>);

struct Inner {
    runs: PathBuf,
    launch: Launch,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    own: AsyncMutex<Option<Arc<Generation>>>,
    /// For those who only look.
    shown: Mutex<Option<Arc<Generation>>>,
    left: Mutex<HashMap<AttemptKey, Left>>,
}

/// How a runner comes to be.
enum Launch {
    Process {
        cgroups_for: Option<PathBuf>,
        marker: Option<String>,
    },
    /// In threads of this process.
    #[cfg(any(test, fuzzing))]
    Inside(runner::Processes),
}

/// The runner in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunnerState {
    /// Its generation's name.
    pub generation: String,
    /// Its process.
    pub pid: i32,
    /// Attempts that it has: they run, or their end is about to be recorded.
    pub running: usize,
}

/// An attempt of a former daemon.
pub(super) struct Left {
    pub(super) generation: Arc<Generation>,
    pub(super) of: AttemptKey,
    pub(super) before: Before,
    /// What was replaced in its output.
    pub(super) secrets: Vec<Secret>,
    pub(super) end: LeftEnd,
}

/// What is known of its end.
pub(super) enum LeftEnd {
    /// A runner has it.
    Followed(mpsc::UnboundedReceiver<AttemptNews>),
    Known(Ended),
    /// Its runner lives, but speaks otherwise: its end is on record when that is gone.
    WhenGone,
    /// Its runner was gone before it ended.
    Never,
}

impl Left {
    /// Ends the attempt and forgets it. Resolves when nothing of it is left.
    pub(super) async fn let_go(self) {
        let remains = Remains::of(&self);
        let Self { generation, of, end, .. } = self;
        let may_run = match end {
            LeftEnd::Followed(mut news) => {
                generation.send(&Order::End { of, why: Why::LetGo });
                loop {
                    match news.recv().await {
                        Some(AttemptNews::Grew(_)) => (),
                        Some(AttemptNews::Ended(_)) => break false,
                        // Its runner is gone, or cannot be understood any more.
                        None => break true,
                    }
                }
            }
            LeftEnd::WhenGone => true,
            LeftEnd::Known(_) | LeftEnd::Never => false,
        };
        if may_run && let Err(err) = wait_until_gone(generation.folder().clone()).await {
            tracing::warn!(runner = generation.folder().name(), %err,
                "a former runner's folder cannot be read");
        }
        remains.forget();
    }
}

/// The folders of the runners that live in a data folder, with their processes (0 when it is not known yet).
///
/// # Errors
/// The file system's.
pub fn living_runners(data: &Path) -> io::Result<Vec<(PathBuf, i32)>> {
    let mut living = Vec::new();
    for folder in Folder::all(&data.join(RUNS)) {
        if folder.is_alive()? {
            let pid = folder.identity().map_or(0, |identity| identity.pid);
            living.push((folder.path().to_owned(), pid));
        }
    }
    Ok(living)
}

impl Runners {
    /// The runners of the data folder `data`. Commands get cgroups, where possible, if `cgroups`. A daemon that is itself a job
    /// hands on whose it is, which stands in its `environment`.
    ///
    /// # Errors
    /// The current folder cannot be named, and `data` is relative to it.
    pub fn new(
        data: &Path,
        cgroups: bool,
        environment: &BTreeMap<String, String>,
        (clock, metrics): (Arc<dyn Clock>, Arc<Metrics>),
    ) -> io::Result<Self> {
        // A runner keeps no folder busy that it was started in.
        let data = std::path::absolute(data)?;
        let launch = Launch::Process {
            cgroups_for: cgroups.then(|| data.clone()),
            marker: environment.get(MARKER).cloned(),
        };
        Ok(Self::launched(data.join(RUNS), launch, clock, metrics))
    }

    /// Runners in threads of this process.
    #[cfg(any(test, fuzzing))]
    pub(super) fn inside(
        runs: PathBuf,
        processes: runner::Processes,
        (clock, metrics): (Arc<dyn Clock>, Arc<Metrics>),
    ) -> Self {
        Self::launched(runs, Launch::Inside(processes), clock, metrics)
    }

    /// The same for tests of other modules.
    #[cfg(any(test, fuzzing))]
    pub fn in_this_process(data: &Path, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Self {
        let processes = runner::Processes::adopt(None).expect("Linux has subreapers");
        Self::inside(data.join(RUNS), processes, (clock, metrics))
    }

    fn launched(
        runs: PathBuf,
        launch: Launch,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (own, shown, left) = (AsyncMutex::default(), Mutex::default(), Mutex::default());
        Self(Arc::new(Inner { runs, launch, clock, metrics, own, shown, left }))
    }

    /// The cgroups in which what a runner that is gone has left may be found.
    pub(super) fn cgroups(&self) -> Option<Arc<Cgroups>> {
        match &self.0.launch {
            Launch::Process { cgroups_for, .. } => {
                Cgroups::find(cgroups_for.as_deref()?).ok().map(Arc::new)
            }
            #[cfg(any(test, fuzzing))]
            Launch::Inside(processes) => processes.cgroups().cloned(),
        }
    }

    /// How it is told whose a process is, as soon as that is known.
    pub async fn way(&self) -> Way {
        let way = match self.own().await {
            Ok(own) => own.way().await,
            Err(err) => return Way::Proc(format!("no runner can be started: {err}")),
        };
        way.unwrap_or_else(|| Way::Proc("the runner is gone".to_owned()))
    }

    /// The runner in use; none before the first one is started.
    pub fn state(&self) -> Option<RunnerState> {
        let own = locked(&self.0.shown).clone()?;
        let (generation, running) = (own.folder().name(), own.attempts());
        Some(RunnerState { generation, pid: own.pid()?, running })
    }

    /// Starts the runner, and another one whenever it is gone, for as long as the daemon runs. Collects what becomes a child of
    /// this process and is nobody's: as the first process of a container it gets them all.
    pub async fn keep_one(self) {
        loop {
            let own = match self.own().await {
                Ok(own) => own,
                Err(err) => {
                    tracing::error!(%err, "no runner can be started: commands cannot run");
                    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
                    continue;
                }
            };
            let mut every = tokio::time::interval(std::time::Duration::from_secs(5));
            loop {
                tokio::select! {
                    () = own.gone() => break,
                    _ = every.tick() => {
                        let keep = own.pid();
                        off_the_workers(move || procfs::collect_children(keep)).await;
                    }
                }
            }
            self.0.metrics.runner_lost();
            let generation = own.folder().name();
            let running = own.attempts();
            tracing::error!(
                generation,
                running,
                "the runner is gone: its commands are interrupted"
            );
        }
    }

    /// The daemon's own runner, which is started if there is none.
    ///
    /// # Errors
    /// Why there is none.
    async fn own(&self) -> io::Result<Arc<Generation>> {
        let mut own = self.0.own.lock().await;
        if let Some(own) = own.as_ref().filter(|own| !own.is_gone()) {
            return Ok(Arc::clone(own));
        }
        let new = self.launch().await?;
        *locked(&self.0.shown) = Some(Arc::clone(&new));
        Ok(Arc::clone(own.insert(new)))
    }

    async fn launch(&self) -> io::Result<Arc<Generation>> {
        let folder = Folder::make(&self.0.runs, self.0.clock.now())?;
        let (ours, theirs) = UnixStream::pair()?;
        let child = match &self.0.launch {
            Launch::Process { cgroups_for, marker } => {
                Some(process(&folder, theirs, cgroups_for.as_deref(), marker.as_deref())?)
            }
            #[cfg(any(test, fuzzing))]
            Launch::Inside(processes) => {
                runner::inside(folder.clone(), theirs, processes.clone())?;
                None
            }
        };
        let greeted = Generation::greet(folder.clone(), ours).await;
        let generation = match greeted {
            Ok(greeted) => greeted.generation,
            Err(err) => {
                let said = folder.take_said();
                if let Some(mut child) = child {
                    child.kill()?;
                    child.wait()?;
                }
                folder.remove();
                return Err(if said.is_empty() { err } else { io::Error::other(said) });
            }
        };
        if let Some(child) = child {
            task::spawn("a runner's end", collect(Arc::clone(&generation), child));
        }
        tracing::info!(
            generation = generation.folder().name(),
            pid = generation.pid(),
            "a runner was started"
        );
        Ok(generation)
    }

    /// Has the own runner start a command; its news.
    ///
    /// # Errors
    /// There is no runner.
    pub(super) async fn start(
        &self,
        start: Start,
    ) -> io::Result<(Arc<Generation>, mpsc::UnboundedReceiver<AttemptNews>)> {
        let own = self.own().await?;
        let news = own.follow(start.of);
        own.send(&Order::Start(Box::new(start)));
        Ok((own, news))
    }

    /// Finds what former daemons left. The newest attempt of each execution that runs, or whose end is on record.
    pub(super) async fn held(&self) -> Held {
        // One that is just being started is not taken for a former one's.
        let own = self.0.own.lock().await;
        let own = own.as_ref().map(|own| own.folder());
        for folder in Folder::all(&self.0.runs) {
            if own != Some(&folder) {
                self.find(folder).await;
            }
        }
        let mut left = locked(&self.0.left);
        let mut held = Held::new();
        for attempt in left.values().filter(|left| !matches!(left.end, LeftEnd::Never)) {
            let number = attempt.of.attempt;
            let ended = matches!(attempt.end, LeftEnd::Known(_));
            let this = HeldAttempt { number, ended };
            let newest = held.entry(attempt.of.execution).or_insert(this);
            if newest.number < number {
                *newest = this;
            }
        }
        // What was before the newest attempt is over, and in the log.
        let is_older = |of: &AttemptKey| {
            held.get(&of.execution).is_some_and(|newest| of.attempt < newest.number)
        };
        for (of, older) in left.extract_if(|of, _| is_older(of)) {
            older.generation.forget(of);
        }
        held
    }

    /// Finds what is in `folder`.
    async fn find(&self, folder: Folder) {
        let name = folder.name();
        folder.take_said().lines().for_each(|line| tracing::warn!(runner = name, "{line}"));
        match folder.is_alive() {
            Ok(true) => {}
            Ok(false) => return self.find_files(folder, false),
            Err(err) => {
                tracing::error!(runner = name, %err, "a former runner's folder cannot be read");
                return;
            }
        }
        let greeted = match folder.connect() {
            Ok(stream) => Generation::greet(folder.clone(), stream).await,
            Err(err) => Err(err),
        };
        match greeted {
            Ok(Greeted { generation, version, attempts }) => {
                tracing::info!(
                    runner = name,
                    pid = generation.pid(),
                    version,
                    attempts = attempts.len(),
                    "a former daemon's runner was found"
                );
                for (attempt, news) in attempts {
                    self.hold(&generation, attempt, news);
                }
            }
            // It ended while it was asked.
            Err(_) if folder.is_free().is_ok_and(|free| free) => self.find_files(folder, false),
            Err(err) => {
                tracing::error!(runner = name, %err,
                    "a former daemon's runner cannot be talked to; what it runs goes on, and is told when it has ended");
                self.find_files(folder, true);
            }
        }
    }

    fn hold(
        &self,
        generation: &Arc<Generation>,
        attempt: Kept,
        news: mpsc::UnboundedReceiver<AttemptNews>,
    ) {
        let Kept { of, before, secrets, ended } = attempt;
        let end = ended.map_or(LeftEnd::Followed(news), LeftEnd::Known);
        let secrets = secrets.iter().map(|value| Secret::new(value)).collect();
        let left = Left { generation: Arc::clone(generation), of, before, secrets, end };
        locked(&self.0.left).insert(of, left);
    }

    /// What is on record in `folder`, whose runner is gone, or `lives` and cannot be asked.
    fn find_files(&self, folder: Folder, lives: bool) {
        let found = on_record(&folder);
        if found.is_empty() && !lives {
            return folder.remove();
        }
        let generation = Generation::left(folder, found.keys().copied().collect());
        for (of, OnRecord { before, ended }) in found {
            let end = match ended {
                Some(ended) => LeftEnd::Known(ended),
                None if lives => LeftEnd::WhenGone,
                None => LeftEnd::Never,
            };
            let generation = Arc::clone(&generation);
            locked(&self.0.left)
                .insert(of, Left { generation, of, before, secrets: Vec::new(), end });
        }
    }

    /// Takes what is left of an attempt; nobody else gets it.
    pub(super) fn claim(&self, of: AttemptKey) -> Option<Left> {
        locked(&self.0.left).remove(&of)
    }

    /// Ends the attempt and forgets it. Resolves when nothing of it is left.
    pub(super) async fn let_go(&self, of: AttemptKey) {
        if let Some(left) = self.claim(of) {
            left.let_go().await;
        }
    }

    /// The start is over: an attempt without an end that nobody has asked for by now is of no execution that is open.
    pub fn forget_the_rest(&self) {
        let mut left = locked(&self.0.left);
        for (of, never) in left.extract_if(|_, left| matches!(left.end, LeftEnd::Never)) {
            never.generation.forget(of);
        }
    }
}

/// Starts a runner's process.
fn process(
    folder: &Folder,
    stream: UnixStream,
    cgroups_for: Option<&Path>,
    marker: Option<&str>,
) -> io::Result<Child> {
    // The program that runs, also when its file was replaced meanwhile.
    let mut command = Command::new("/proc/self/exe");
    command.arg0("daybook").arg(runner::ARGUMENT).arg(folder.path()).args(cgroups_for);
    command.env_clear().envs(marker.map(|marker| (MARKER, marker))).current_dir("/");
    command.stdin(OwnedFd::from(stream)).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn()
}

/// Takes note of a runner's end, so that nothing is left of its process.
async fn collect(generation: Arc<Generation>, mut child: Child) {
    generation.gone().await;
    let ended = off_the_workers(move || child.wait()).await;
    tracing::debug!(?ended, "a runner's process has ended");
}

/// Resolves when nobody lives in `folder` any more.
///
/// # Errors
/// The file system's.
pub(super) async fn wait_until_gone(folder: Folder) -> io::Result<()> {
    let (tell, told) = oneshot::channel();
    // No worker's: the end of the daemon does not wait for it.
    std::thread::Builder::new().name("a runner's end".to_owned()).spawn(move || {
        // Who waited for it may have gone.
        tell.send(folder.wait_until_free()).unwrap_or_default();
    })?;
    told.await.unwrap_or_else(|_gone| Err(io::ErrorKind::Interrupted.into()))
}

/// How the attempt `of` ended by record of a runner that is gone; none when its runner went before.
pub(super) async fn end_on_record(folder: Folder, of: AttemptKey) -> Option<Ended> {
    if let Err(err) = wait_until_gone(folder.clone()).await {
        tracing::warn!(runner = folder.name(), %err, "a former runner's folder cannot be read");
    }
    on_record(&folder).remove(&of)?.ended
}
