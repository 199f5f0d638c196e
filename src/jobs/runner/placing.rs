//! Puts commands into their cgroups, beside everything else.
//!
//! Moving a process makes the kernel wait for all processors, some 10 ms on a machine at rest, and it moves one at a time: so
//! one thread does it, in order, while the command runs already. What the command starts meanwhile is pulled in behind it.
//! A cgroup that is made, entered and removed costs as much as a short command: so nothing is moved before it has lived for
//! [`SHORT`].

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use super::starting::Starting;
use super::tree::{ask, end_each};
use crate::ids::ExecutionId;
use crate::jobs::cgroup::{Cgroups, Group};

/// A command that ends within this time gets no cgroup.
const SHORT: Duration = Duration::from_millis(20);

/// Whether commands get cgroups of their own, and why not, once that was tried.
type Known = Arc<OnceLock<Result<(), String>>>;

/// The way to the thread that moves processes.
pub(in crate::jobs) struct Placer {
    orders: Sender<Order>,
    young: Arc<Mutex<Young>>,
    known: Known,
}

/// Those that are to be moved if they live at these times, by time.
type Young = VecDeque<(Instant, Arc<Seat>)>;

enum Order {
    /// One has come to those that are to be moved, of whom there was none.
    Place,
    /// The attempt is over.
    Leave(Arc<Seat>),
    /// Some time has passed: what could not be removed before may be empty now.
    Tidy,
    /// Answered when all orders before it are carried out.
    Flush(Sender<()>),
}

/// Where an attempt's main process is, for as long as somebody waits for it.
pub(super) struct Seat {
    execution: ExecutionId,
    attempt: u32,
    main: i32,
    place: Mutex<Place>,
}

enum Place {
    Outside,
    /// It is being moved, or what it has started is pulled in behind it.
    OnItsWay(Group),
    Inside(Group),
    /// It is about to be collected: its number may be another process's from then on.
    Gone,
}

impl Seat {
    pub(super) const fn new(execution: ExecutionId, attempt: u32, main: i32) -> Self {
        Self { execution, attempt, main, place: Mutex::new(Place::Outside) }
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its cgroup, once it may be in it.
    pub(super) fn group(&self) -> Option<Group> {
        match &*self.place() {
            Place::OnItsWay(group) | Place::Inside(group) => Some(group.clone()),
            Place::Outside | Place::Gone => None,
        }
    }

    /// Whether it is in its cgroup with all that it has started.
    pub(super) fn is_inside(&self) -> bool {
        matches!(*self.place(), Place::Inside(_))
    }

    fn is_gone(&self) -> bool {
        matches!(*self.place(), Place::Gone)
    }

    /// From now on it is not moved any more.
    pub(super) fn stay_outside(&self) {
        let mut place = self.place();
        if let Place::Outside = *place {
            *place = Place::Gone;
        }
    }

    /// True for whoever is to move it to `group`.
    fn set_out(&self, group: &Group) -> bool {
        let mut place = self.place();
        let outside = matches!(*place, Place::Outside);
        if outside {
            *place = Place::OnItsWay(group.clone());
        }
        outside
    }
}

impl Placer {
    /// Starts the thread. It tries first whether cgroups can be used.
    pub(in crate::jobs) fn start(cgroups: Arc<Cgroups>, starting: Arc<Starting>) -> Self {
        let (orders, taken) = channel();
        let (known, young) = (Known::default(), Arc::<Mutex<Young>>::default());
        let telling = Arc::clone(&known);
        let placing =
            Placing { cgroups, starting, young: Arc::clone(&young), occupied: Vec::new() };
        let work = move || placing.run(&taken, &telling);
        if let Err(err) = thread::Builder::new().name("cgroups".to_owned()).spawn(work) {
            known.get_or_init(|| Err(format!("no thread for them: {err}")));
        }
        Self { orders, young, known }
    }

    /// Whether commands get cgroups; the error says why not. Waits until it was tried.
    pub(in crate::jobs) fn known(&self) -> Result<(), String> {
        self.known.wait().clone()
    }

    pub(super) fn place(&self, seat: &Arc<Seat>) {
        if matches!(self.known.get(), Some(Err(_))) {
            return;
        }
        let mut young = self.young.lock().unwrap_or_else(PoisonError::into_inner);
        young.push_back((Instant::now() + SHORT, Arc::clone(seat)));
        let first = young.len() == 1;
        drop(young);
        if first {
            self.order(Order::Place);
        }
    }

    /// The attempt is over.
    pub(super) fn leave(&self, seat: &Arc<Seat>) {
        seat.stay_outside();
        if !seat.is_gone() {
            self.order(Order::Leave(Arc::clone(seat)));
        }
    }

    pub(in crate::jobs) fn tidy(&self) {
        self.order(Order::Tidy);
    }

    /// Waits until everything ordered up to now is done, but not for longer than `most`.
    pub(in crate::jobs) fn flush(&self, most: Duration) {
        let (done, flushed) = channel();
        self.order(Order::Flush(done));
        // A thread that has ended has nothing more to do.
        flushed.recv_timeout(most).unwrap_or_default();
    }

    fn order(&self, order: Order) {
        if self.orders.send(order).is_err() {
            tracing::trace!("no cgroups are made");
        }
    }
}

/// What the thread works with.
struct Placing {
    cgroups: Arc<Cgroups>,
    starting: Arc<Starting>,
    young: Arc<Mutex<Young>>,
    /// What could not be removed yet.
    occupied: Vec<Occupied>,
}

/// A cgroup in which something lives although nobody waits for it.
struct Occupied {
    group: Group,
    next: Next,
}

/// What happens to those who live in it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Somebody else sees to them: they are a killed daemon's.
    Wait,
    Ask,
    Kill,
}

impl Placing {
    fn run(mut self, orders: &Receiver<Order>, known: &OnceLock<Result<(), String>>) {
        let probed = self.cgroups.probe();
        let usable = probed.is_ok();
        known.get_or_init(|| probed);
        if !usable {
            return;
        }
        let left = self.cgroups.existing().into_iter();
        self.occupied.extend(left.map(|(_, group)| Occupied { group, next: Next::Wait }));
        self.tidy();
        loop {
            let order = match self.next_due() {
                Some(due) => orders.recv_timeout(due.saturating_duration_since(Instant::now())),
                None => orders.recv().map_err(|_over| RecvTimeoutError::Disconnected),
            };
            match order {
                Ok(Order::Place) => (),
                Ok(Order::Leave(seat)) => self.leave(&seat),
                Ok(Order::Tidy) => self.tidy(),
                Ok(Order::Flush(done)) => {
                    while self.next_due().is_some() {
                        self.place_next();
                    }
                    self.occupied.retain(|occupied| occupied.group.remove().is_err());
                    // Who waited for it may have gone.
                    done.send(()).unwrap_or_default();
                }
                Err(RecvTimeoutError::Timeout) => self.place_next(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn young(&self) -> MutexGuard<'_, Young> {
        self.young.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the next one is to be moved. Those that have ended by themselves are not.
    fn next_due(&self) -> Option<Instant> {
        let mut young = self.young();
        while young.front().is_some_and(|(_, seat)| seat.is_gone()) {
            young.pop_front();
        }
        young.front().map(|(due, _)| *due)
    }

    fn place_next(&self) {
        let next = self.young().pop_front();
        if let Some((_, seat)) = next
            && !seat.is_gone()
        {
            // Of a herd that is due all start before the first is moved: moving holds starts up.
            self.starting.wait_for_all();
            self.place(&seat);
        }
    }

    fn place(&self, seat: &Seat) {
        let group = self.cgroups.of_attempt(seat.execution, seat.attempt);
        if !seat.set_out(&group) {
            return;
        }
        let taken = group.take_in(seat.main, seat.execution).unwrap_or_else(|err| {
            tracing::warn!(execution = %seat.execution, folder = group.shown(), %err, "a command gets no cgroup");
            false
        });
        *seat.place() = if taken { Place::Inside(group) } else { Place::Gone };
    }

    fn leave(&mut self, seat: &Seat) {
        if let Some(group) = seat.group()
            && group.remove().is_err()
        {
            self.occupied.push(Occupied { group, next: Next::Ask });
        }
    }

    /// Removes what is empty now. What lives in the others belongs to executions that are over: it is asked to end, and killed
    /// the next time.
    fn tidy(&mut self) {
        self.occupied.retain_mut(|Occupied { group, next }| {
            if group.remove().is_ok() {
                return false;
            }
            let processes = group.processes();
            match *next {
                Next::Wait => return true,
                Next::Ask => processes.iter().for_each(ask),
                Next::Kill => {
                    if !group.kill() {
                        end_each(&processes);
                    }
                }
            }
            tracing::warn!(
                folder = group.shown(),
                processes = processes.len(),
                "ending processes whose execution is over"
            );
            *next = Next::Kill;
            true
        });
    }
}
