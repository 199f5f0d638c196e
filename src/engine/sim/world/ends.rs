//! How a daemon ends in a story, and what is left for the next one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{
    Actor, Bench, Checked, Daemon, Down, How, Job, Lived, World, edit_files, ensure, go_on, mixed,
};
use crate::clock::Clock;

impl World {
    /// Ends the process, lets time pass, and starts the next one.
    pub(super) async fn die(&mut self, down: &Down) -> Checked {
        let refused = self.disk.is_refused();
        if let Some(Daemon { engine, committer, mut failed, .. }) = self.daemon.take() {
            if refused {
                let told = failed.wait_for(Option::is_some);
                tokio::time::timeout(Duration::from_secs(1), told)
                    .await
                    .map_err(|_late| "a refused append did not end the daemon")?
                    .map_err(|_gone| "the committer is gone")?;
            }
            engine.abort();
            committer.abort();
            if let Err(err) = engine.await {
                ensure(err.is_cancelled(), || format!("the engine ended: {err}"))?;
            }
            drop(committer.await);
        }
        self.read_log()?;
        self.outlive(down)?;
        self.disk = Arc::new(self.disk.restarted());
        let mut held: BTreeMap<_, _> =
            self.jobs.iter().filter_map(|job| Some((job.execution, job.held()?))).collect();
        let forgets = mixed(&[self.story.seed, self.starts]).is_multiple_of(2);
        if let (true, Some((id, attempt))) = (forgets && !down.reboot, self.remembered.take()) {
            held.entry(id).or_insert(attempt);
        }
        self.bench = Arc::new(Bench::new(Arc::clone(&self.disk), self.story.real_jobs, held));
        let durable = self.disk.durable_count();
        ensure(self.answered.0 <= durable, || {
            format!("{:?} was acknowledged and only {durable} is on disk", self.answered)
        })?;
        if let Some((id, edit)) = &down.edit {
            edit_files(&mut self.ledger.files, &self.story, (id, edit));
        }
        self.set_clock(down.set_clock_s);
        self.boot += u64::from(down.reboot);
        let clock = Arc::clone(&self.clock);
        clock.sleep_until(clock.now() + Duration::from_secs(down.secs)).await;
        if let Some((after, how)) = down.fault {
            self.disk.arm(after, how);
            self.armed = Some((how, Down { secs: down.secs, ..Down::default() }));
        }
        self.start(down.from_checkpoint).await
    }

    pub(super) async fn stop(&mut self, drain_s: u64, down: &Down) -> Checked {
        self.ledger.draining = true;
        let deadline = self.clock.now() + Duration::from_secs(drain_s);
        go_on(&self.daemon()?.news, move |engine| engine.stop("the story", deadline));
        let lived = self.pass(drain_s).await;
        self.end_in_order(lived, down).await
    }

    /// Somebody asks for a drain, and for nothing else: slots are decided and wait.
    pub(super) async fn drain(&mut self, drain_s: u64, down: &Down) -> Checked {
        let mut lived = self.settle().await;
        if lived.is_ok() {
            self.ledger.turns.draining = true;
            lived = self.ask_for_a_drain().await;
        }
        if lived.is_ok() {
            // What waits for its next attempt is left to the next start.
            self.jobs.retain(|job| job.held().is_some());
            lived = self.pass(drain_s).await;
        }
        self.end_in_order(lived, down).await
    }

    async fn ask_for_a_drain(&mut self) -> Lived {
        let handle = self.daemon()?.handle.clone();
        let done = self.wait(handle.drain(Actor::Daybook, None)).await?;
        let done = done.map_err(|refused| format!("a drain is refused: {refused}"))?;
        self.answered = done.position;
        self.settle().await
    }

    async fn end_in_order(&mut self, mut lived: Lived, down: &Down) -> Checked {
        if lived.is_ok() {
            go_on(&self.daemon()?.news, |engine| engine.record_stop("the story"));
            lived = self.settle().await;
        }
        match lived {
            Ok(()) => {
                self.armed = None;
                self.die(down).await?;
                self.finish(Ok(())).await
            }
            died => self.finish(died).await,
        }
    }

    /// What is left of the jobs when the daemon has died. A start that the log has may have reached them or not.
    fn outlive(&mut self, down: &Down) -> Checked {
        let begun = self.bench.take()?;
        if !down.jobs_live || down.reboot {
            self.jobs.clear();
            return Ok(());
        }
        for taken in begun {
            let reached = mixed(&[self.story.seed, self.read]).is_multiple_of(2);
            if taken.how == How::Begins && reached {
                self.jobs.push(Job::new(self.story.seed, taken, self.clock.elapsed()));
            }
        }
        self.jobs.retain(|job| job.held().is_some());
        Ok(())
    }

    /// What runs the jobs dies, and the daemon tells.
    pub(super) async fn lose(&mut self) -> Lived {
        self.settle().await?;
        let lost = self.jobs.iter_mut().filter_map(|job| job.lose().then_some(job.execution));
        self.ledger.turns.lives.lose(lost);
        self.report().await
    }
}
