//! Threads for commands: one for each that runs, used again for the next.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// A thread without work goes after this time.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// What a thread for a command needs of the stack, with room to spare.
const STACK_BYTES: usize = 256 << 10;

/// Jobs that begin at once at most. A thousand threads would only take turns; with a few, each start waits until the thread of the
/// next one gets its turn among all others, and those whose programs lie on a disk that does not answer hold up the rest.
const BEGINNING_MAX: usize = 64;

/// Threads that wait for jobs, and jobs that wait for threads. Jobs begin in the order in which they came.
pub(super) struct Pool<J> {
    waiting: Mutex<Waiting<J>>,
    more: Condvar,
}

struct Waiting<J> {
    jobs: VecDeque<J>,
    /// Threads without a job, of which so many are told of one.
    idle: usize,
    called: usize,
    /// Threads whose job has not begun yet, those included that are about to take one.
    beginning: usize,
}

/// What a thread does: it takes job after job, and says of each when it has begun.
pub(super) type Work<J> = Arc<dyn Fn(&mut dyn FnMut() -> Option<J>, &dyn Fn()) + Send + Sync>;

impl<J: Send + 'static> Pool<J> {
    pub(super) const fn new() -> Self {
        let waiting = Waiting { jobs: VecDeque::new(), idle: 0, called: 0, beginning: 0 };
        Self { waiting: Mutex::new(waiting), more: Condvar::new() }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting<J>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `job` done by a thread that does `work`, or gives it back when there is none to be had.
    ///
    /// # Errors
    /// The system's, with the job.
    pub(super) fn give(self: &Arc<Self>, job: J, work: &Work<J>) -> Result<(), (J, io::Error)> {
        self.waiting().jobs.push_back(job);
        match self.call(work) {
            Ok(()) => Ok(()),
            // Unless somebody became free and took it.
            Err(err) => self.waiting().jobs.pop_back().map_or(Ok(()), |job| Err((job, err))),
        }
    }

    /// Has a thread take the next job, if there is one and it may begin.
    fn call(self: &Arc<Self>, work: &Work<J>) -> io::Result<()> {
        let mut waiting = self.waiting();
        if waiting.beginning >= BEGINNING_MAX || waiting.jobs.is_empty() {
            return Ok(());
        }
        waiting.beginning += 1;
        if waiting.idle > waiting.called {
            waiting.called += 1;
            drop(waiting);
            self.more.notify_one();
            return Ok(());
        }
        drop(waiting);
        let (pool, work) = (Arc::clone(self), Arc::clone(work));
        let thread = thread::Builder::new().name("command".to_owned()).stack_size(STACK_BYTES);
        let spawned = thread.spawn(move || {
            let mut called = true;
            let begun = || {
                pool.waiting().beginning -= 1;
                if let Err(err) = pool.call(&work) {
                    tracing::warn!(%err, "a command waits for a thread");
                }
            };
            work(&mut || pool.next(std::mem::take(&mut called)), &begun);
        });
        if spawned.is_err() {
            self.waiting().beginning -= 1;
        }
        spawned.map(drop)
    }

    /// The next job, which counts as beginning; none when there was none for a while. A thread that was `called` for one, and
    /// comes too late for it, waits for the next: to start another thread costs more.
    fn next(&self, mut called: bool) -> Option<J> {
        let mut waiting = self.waiting();
        loop {
            if called && let Some(job) = waiting.take() {
                return Some(job);
            }
            if waiting.beginning < BEGINNING_MAX
                && let Some(job) = waiting.jobs.pop_front()
            {
                waiting.beginning += 1;
                return Some(job);
            }
            waiting.idle += 1;
            let nobody = |waiting: &mut Waiting<J>| waiting.called == 0;
            let waited = self.more.wait_timeout_while(waiting, IDLE_MAX, nobody);
            waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
            waiting.idle -= 1;
            if waiting.called == 0 {
                return None;
            }
            waiting.called -= 1;
            called = true;
        }
    }
}

impl<J> Waiting<J> {
    /// The job that a thread was called for; none when another one has taken it.
    fn take(&mut self) -> Option<J> {
        let job = self.jobs.pop_front();
        if job.is_none() {
            self.beginning -= 1;
        }
        job
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn jobs_begin_in_order_a_few_at_once_whoever_else_is_busy() {
        let pool = Arc::new(Pool::<u8>::new());
        let (seen, begins) = mpsc::channel();
        let (go, gate) = mpsc::channel::<()>();
        let gate = Mutex::new(gate);
        let (end, held) = mpsc::channel::<()>();
        let held = Mutex::new(held);
        let work: Work<u8> = Arc::new(move |next, begun| {
            while let Some(job) = next() {
                seen.send(job).expect("the test waits");
                gate.lock().expect("no panic").recv().expect("the test lets it begin");
                begun();
                held.lock().expect("no panic").recv().expect("the test lets it end");
            }
        });
        let most = u8::try_from(BEGINNING_MAX).expect("a few");
        for job in 0..most + 6 {
            pool.give(job, &work).expect("a thread");
        }
        let mut begun: Vec<u8> = (0..most).map(|_| begins.recv().expect("one")).collect();
        begun.sort_unstable();
        assert_eq!(begun, Vec::from_iter(0..most), "the first ones");
        for expected in most..most + 6 {
            assert!(begins.try_recv().is_err(), "no more at once");
            // All that have begun go on: nobody waits for their end.
            go.send(()).expect("it waits");
            assert_eq!(begins.recv().expect("the next one"), expected);
        }
        for _ in 0..most {
            go.send(()).expect("it waits");
        }
        for _ in 0..most + 6 {
            end.send(()).expect("it waits");
        }
        pool.give(200, &work).expect("a thread");
        assert_eq!(begins.recv().expect("one"), 200);
        go.send(()).expect("it waits");
        end.send(()).expect("it waits");
    }
}
