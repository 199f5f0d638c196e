//! People at work: they run, note, cancel, pause and run again, and remember what they were promised.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};

use crate::Dice;
use crate::http::ask;

/// What an answer promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    /// An execution with this id was opened.
    Opened(String),
    /// An execution has a note with this text.
    Noted(String),
    /// The end of this execution was asked for.
    Cancelled(String),
    /// Something was paused with this note.
    Paused(String),
    /// What was paused goes on.
    Resumed,
}

/// A promise, and up to where the log was on disk when it was made.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) promise: Promise,
    pub(crate) position: u64,
}

/// Several people at once, until they are told to stop or the daemon is gone.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    people: Vec<JoinHandle<Vec<Kept>>>,
}

impl Load {
    /// Begins; the same seed does the same things.
    pub(crate) fn begin(socket: &Path, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let people = (0..3).map(|person| {
            let (socket, stop) = (socket.to_owned(), Arc::clone(&stop));
            let dice = Dice::of(seed * 10 + person);
            thread::spawn(move || {
                let mut one =
                    Person { socket, dice, mark: format!("{seed}-{person}"), kept: vec![] };
                while !stop.load(Ordering::Relaxed) && one.does_something().is_some() {}
                one.kept
            })
        });
        Self { people: people.collect(), stop }
    }

    /// What was promised, once nobody asks for anything any more.
    pub(crate) fn end(self) -> Vec<Kept> {
        self.stop.store(true, Ordering::Relaxed);
        self.people.into_iter().flat_map(|person| person.join().expect("no panic")).collect()
    }
}

struct Person {
    socket: PathBuf,
    dice: Dice,
    mark: String,
    kept: Vec<Kept>,
}

impl Person {
    /// One thing; none when the daemon is gone.
    fn does_something(&mut self) -> Option<()> {
        let what = self.dice.below(12);
        match what {
            0..5 => {
                self.run("by-hand")?;
            }
            5..8 => {
                let id = self.run("by-hand")?;
                let text = format!("note {} {}", self.mark, self.kept.len());
                let body = json!({ "text": text });
                self.tell(&format!("executions/{}/notes", id?), &body, |_| Promise::Noted(text))?;
            }
            8 => {
                let id = self.run("noisy")??;
                let note = format!("cancel {} {}", self.mark, self.kept.len());
                let body = json!({ "note": note });
                let path = format!("executions/{id}/cancel");
                self.tell(&path, &body, |_| Promise::Cancelled(id))?;
            }
            9 => {
                let note = format!("pause {} {}", self.mark, self.kept.len());
                let body = json!({ "note": note });
                self.tell("schedules/shop/paused/pause", &body, |_| Promise::Paused(note))?;
                self.tell("schedules/shop/paused/resume", &json!({}), |_| Promise::Resumed)?;
            }
            _ => {
                let again = self.kept.iter().rev().find_map(|kept| match &kept.promise {
                    Promise::Opened(id) => Some(id.clone()),
                    _ => None,
                });
                let Some(id) = again else { return Some(()) };
                self.tell("executions/rerun", &json!({ "ids": [id], "force": true }), |body| {
                    let id = &body["items"][0]["id"];
                    Promise::Opened(id.as_str().unwrap_or("no id").to_owned())
                })?;
            }
        }
        Some(())
    }

    /// Runs a schedule; the inner none when it was refused.
    fn run(&mut self, schedule: &str) -> Option<Option<String>> {
        let path = format!("schedules/shop/{schedule}/run");
        let id = |body: &Value| body["id"].as_str().unwrap_or("no id").to_owned();
        let done = self.tell(&path, &json!({}), |body| Promise::Opened(id(body)))?;
        Some(done.map(|body| id(&body)))
    }

    /// Asks for something and remembers the promise, if it was made. The outer none when the daemon is gone.
    fn tell(
        &mut self,
        path: &str,
        body: &Value,
        promise: impl FnOnce(&Value) -> Promise,
    ) -> Option<Option<Value>> {
        let answer = ask(&self.socket, "POST", &format!("/api/{path}"), body).ok()?;
        let made = (200..300).contains(&answer.status);
        let Some(position) = answer.position.filter(|_| made) else { return Some(None) };
        self.kept.push(Kept { promise: promise(&answer.body), position });
        Some(Some(answer.body))
    }
}
