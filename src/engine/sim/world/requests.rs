//! What people ask for in a story, and which answer is the right one.

use std::fmt::Debug;

use super::{
    Actor, BTreeMap, Checked, Cut, Done, Duration, Edit, Lived, Order, Pause, Refusal, ScheduleRef,
    Step, Target, World, edit_files, ensure,
};
use crate::clock::Clock;

/// How a request should be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Done,
    NotFound,
    Conflict,
}

fn answer<T>(answered: &Result<Done<T>, Refusal>) -> Option<Answer> {
    match answered {
        Ok(_) => Some(Answer::Done),
        Err(Refusal::NotFound { .. }) => Some(Answer::NotFound),
        Err(Refusal::Conflict { .. }) => Some(Answer::Conflict),
        Err(_) => None,
    }
}

impl World {
    /// Changes a file and has it read again.
    pub(super) async fn reload(&mut self, id: &ScheduleRef, edit: &Edit) -> Lived {
        self.settle().await?;
        edit_files(&mut self.ledger.files, &self.story, (id, edit));
        self.write_files()?;
        let handle = self.daemon()?.handle.clone();
        let done = self.wait(handle.reload(Actor::Daybook)).await?;
        let done = self.answered(done, Answer::Done)?;
        let problems = done.map(|report| report.problems).unwrap_or_default();
        Ok(ensure(problems.is_empty(), || format!("the files are refused: {problems:?}"))?)
    }

    pub(super) async fn request(&mut self, step: &Step) -> Lived {
        self.settle().await?;
        match step {
            Step::Pause { target, for_s } => self.pause(target, *for_s).await,
            Step::Resume { target } => self.resume(target).await,
            Step::Run { schedule, force } => self.run(schedule, *force).await,
            Step::Rerun { back, force } => self.rerun(*back, *force).await,
            Step::Cancel { which } => self.cancel(*which).await,
            _ => Ok(()),
        }
    }

    fn expected_for(&self, target: &Target) -> Answer {
        match target {
            Target::Schedule(id) if self.ledger.in_force(id).is_none() => Answer::NotFound,
            Target::Schedule(_) => Answer::Done,
            Target::Interface(id) if self.ledger.files.contains_key(id) => Answer::Done,
            Target::Interface(_) => Answer::NotFound,
        }
    }

    /// Compares an answer with the right one; what it acknowledges must be on disk.
    fn answered<T: Debug>(
        &mut self,
        answered: Result<Done<T>, Refusal>,
        expected: Answer,
    ) -> Checked<Option<T>> {
        ensure(answer(&answered) == Some(expected), || {
            format!("answered with {answered:?}, expected {expected:?}")
        })?;
        let Ok(done) = answered else { return Ok(None) };
        let durable = self.disk.durable_count();
        ensure(done.position.0 <= durable, || format!("{done:?} of which {durable} is on disk"))?;
        self.answered = done.position;
        Ok(Some(done.value))
    }

    async fn pause(&mut self, target: &Target, for_s: Option<u64>) -> Lived {
        let until = for_s.map(|secs| self.clock.now() + Duration::from_secs(secs));
        let pause = Pause { target: asked(target), note: None, until };
        let handle = self.daemon()?.handle.clone();
        let done = self.wait(handle.pause(Actor::Daybook, pause)).await?;
        let expected = self.expected_for(target);
        self.answered(done, expected)?;
        Ok(())
    }

    async fn resume(&mut self, target: &Target) -> Lived {
        self.ledger.turns.asked.resumes.push(match target {
            Target::Interface(id) => id.to_string(),
            Target::Schedule(id) => id.to_string(),
        });
        let handle = self.daemon()?.handle.clone();
        let done = self.wait(handle.resume(Actor::Daybook, asked(target))).await?;
        let expected = self.expected_for(target);
        self.answered(done, expected)?;
        self.settle().await?;
        self.ledger.turns.asked.resumes.clear();
        Ok(())
    }

    /// Whether a schedule may run for a person now.
    fn may_run(&self, id: &ScheduleRef, force: bool) -> Option<bool> {
        let spec = self.ledger.in_force(id)?;
        let open = self.ledger.turns.open_of(id).next().is_some();
        Some(force || !open || spec.overlap == "allow")
    }

    async fn run(&mut self, id: &ScheduleRef, force: bool) -> Lived {
        let expected = match self.may_run(id, force) {
            Some(true) => Answer::Done,
            Some(false) => Answer::Conflict,
            None => Answer::NotFound,
        };
        if expected == Answer::Done {
            self.ledger.turns.asked.runs.push((id.clone(), force));
        }
        let handle = self.daemon()?.handle.clone();
        let order = Order { schedule: id.clone(), params: BTreeMap::new(), force };
        let done = self.wait(handle.run(Actor::Daybook, order)).await?;
        self.answered(done, expected)?;
        self.settle().await?;
        let left = &self.ledger.turns.asked.runs;
        Ok(ensure(left.is_empty(), || format!("{left:?} does not run"))?)
    }

    async fn rerun(&mut self, back: usize, force: bool) -> Lived {
        let Some((id, schedule)) = self.ledger.turns.newest_ended(back) else { return Ok(()) };
        let may = self.may_run(schedule, force).unwrap_or(false);
        if may {
            self.ledger.turns.asked.reruns.push((id, force));
        }
        let handle = self.daemon()?.handle.clone();
        let done = self.wait(handle.rerun(Actor::Daybook, vec![id], force)).await?;
        let reruns = self.answered(done, Answer::Done)?.unwrap_or_default();
        let told = matches!(reruns.as_slice(), [one] if one.of == id && one.answer.is_ok() == may);
        ensure(told, || format!("answered with {reruns:?}, expected success: {may}"))?;
        self.settle().await?;
        let left = &self.ledger.turns.asked.reruns;
        Ok(ensure(left.is_empty(), || format!("{left:?} does not run again"))?)
    }

    async fn cancel(&mut self, which: usize) -> Lived {
        let all: Vec<_> = self.ledger.turns.all().map(|(id, _)| *id).collect();
        let Some(id) = which.checked_rem(all.len()).map(|which| all[which]) else { return Ok(()) };
        self.ledger.turns.asked.cancels.insert(id);
        let handle = self.daemon()?.handle.clone();
        let done = self.wait(handle.cancel(Actor::Daybook, id, None)).await?;
        self.answered(done, Answer::Done)?;
        self.settle().await?;
        self.ledger.turns.asked.cancels.clear();
        Ok(())
    }
}

fn asked(target: &Target) -> crate::engine::handle::Target {
    match target {
        Target::Interface(id) => crate::engine::handle::Target::Interface(id.clone()),
        Target::Schedule(id) => crate::engine::handle::Target::Schedule(id.clone()),
    }
}

impl From<Cut> for String {
    fn from(cut: Cut) -> Self {
        match cut {
            Cut::Died => "the daemon ended".to_owned(),
            Cut::Wrong(why) => why,
        }
    }
}
