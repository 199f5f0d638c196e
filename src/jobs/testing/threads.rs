//! Threads that wait for each other, without a clock.

use std::fs;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

/// Starts `work` in a thread of its own, and comes back when that waits for something or is over.
pub(in crate::jobs) fn started<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    let (tell, told) = mpsc::channel();
    let working = thread::spawn(move || {
        tell.send(rustix::thread::gettid().as_raw_nonzero()).expect("somebody waits for it");
        work()
    });
    let number = told.recv().expect("its number");
    while !working.is_finished() && !sleeps(&format!("/proc/self/task/{number}/stat")) {
        thread::yield_now();
    }
    working
}

fn sleeps(stat: &str) -> bool {
    let stat = fs::read_to_string(stat).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, fields)| fields.starts_with('S'))
}
