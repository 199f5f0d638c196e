//! What every command works with.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::args::Global;
use super::client::{Address, Client, Parts, Rebuild, shaped};
use super::endpoint::{Named, candidates, is_named, server};
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::messages::Messages;
use super::meter::Meter;
use super::output::Output;
use super::render;
use super::times::Times;
use crate::config::{Checks, Environment, Flags, Problem, Settings};
use crate::http::parts::{StoreInfo, StorePruned};
use crate::ids::ExecutionId;
use crate::instant::Instant;

/// Between two looks at how far the daemon has come.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Between two words on an answer that has not come.
const BREATH: Duration = Duration::from_millis(250);

/// Compacts a data folder, or only plans it; gives the exit code and the reason when it cannot.
pub type CompactFolder = fn(&Path, &Settings, bool) -> Result<StorePruned, (u8, String)>;

/// The way out, the way to the daemon, and what is known about the caller.
pub struct Context<'a> {
    /// Where results go.
    pub out: Output<'a>,
    /// Now and here.
    pub times: Times,
    /// The caller's variables.
    pub environment: Environment,
    /// The judges of values in the files.
    pub checks: Checks,
    /// Compacts a data folder that no daemon works on.
    pub compact: CompactFolder,
    /// `--data`.
    pub data: Option<PathBuf>,
    /// The daemon's settings as they stand here; none when something is wrong with them, which is for `serve` to tell.
    pub settings: Option<Settings>,
    /// Whether a daemon far away was asked for.
    pub remote: bool,
    client: Outcome<Client>,
}

/// What a context is made of.
pub struct Parcel<'a> {
    /// Where results go.
    pub out: Output<'a>,
    /// Now and here.
    pub times: Times,
    /// The caller's variables.
    pub environment: Environment,
    /// The judges of values in the files.
    pub checks: Checks,
    /// Compacts a data folder that no daemon works on.
    pub compact: CompactFolder,
}

impl<'a> Context<'a> {
    /// A context for the global flags. Nothing is connected yet.
    pub fn new(parcel: Parcel<'a>, global: Global) -> Self {
        let Parcel { out, times, environment, checks, compact } = parcel;
        let settings = settings(&environment);
        let named = Named { server: global.server.as_deref(), data: global.data.as_deref() };
        let (settings, broken) = match settings {
            Ok(settings) => (Some(settings), None),
            Err(problems) => (None, Some(unreadable(&problems))),
        };
        let remote = server(named, &environment, settings.as_ref()).is_some();
        let places = match broken.filter(|_| !is_named(named, &environment)) {
            // Another daemon must not answer in the stead of the one that the settings name.
            Some(broken) => Err(broken),
            None => candidates(named, &environment, settings.as_ref()),
        };
        let client = places.and_then(|places| {
            Ok(Client::new(places, token(global.token_file.as_deref(), &environment)?))
        });
        let data = global.data;
        Self { out, times, environment, checks, compact, data, settings, remote, client }
    }

    /// The daemon's client, and whoever waits for its answers.
    fn ends(&mut self) -> Outcome<(&mut Client, &mut Messages<'a>)> {
        let client = self.client.as_mut().map_err(|failure| failure.clone())?;
        Ok((client, &mut self.out.messages))
    }

    /// Asks the daemon, and says meanwhile that its answer is awaited.
    async fn ask<T>(&mut self, ask: impl AsyncFnOnce(&mut Client) -> Outcome<T>) -> Outcome<T> {
        let (client, messages) = self.ends()?;
        let rebuild = client.rebuild();
        awaited(ask(client), &rebuild, messages).await
    }

    /// Reads what is at `address`.
    ///
    /// # Errors
    /// The daemon cannot be reached, or answers with a problem.
    pub async fn get(&mut self, address: &Address) -> Outcome<Value> {
        self.ask(async |client| client.get(address.as_str()).await).await
    }

    /// Sends `body` to `address`.
    ///
    /// # Errors
    /// The daemon cannot be reached, or answers with a problem.
    pub async fn post(&mut self, address: &Address, body: &Value) -> Outcome<Value> {
        self.ask(async |client| client.post(address.as_str(), body).await).await
    }

    /// Sends `body` to `address`, and tells meanwhile how far the daemon has come with the store.
    ///
    /// # Errors
    /// The daemon cannot be reached, or answers with a problem.
    pub async fn post_at_work(&mut self, address: &Address, body: &Value) -> Outcome<Value> {
        let (client, messages) = self.ends()?;
        let mut beside = client.clone();
        let answer = client.post(address.as_str(), body);
        let mut answer = std::pin::pin!(answer);
        let store = Address::of(&["api", "store"]);
        let mut meter = Meter::begin();
        loop {
            tokio::select! {
                biased;
                answer = &mut answer => return answer,
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
            let told = beside.get(store.as_str()).await.and_then(|value| shaped(&value));
            match told {
                Ok(StoreInfo { work: Some(work), .. }) => {
                    meter.show(messages, &work.what, (work.done, work.total));
                }
                Ok(_) | Err(_) => meter.wait(messages, "waiting for the daemon"),
            }
        }
    }

    /// Deletes what is at `address`.
    ///
    /// # Errors
    /// The daemon cannot be reached, or answers with a problem.
    pub async fn delete(&mut self, address: &Address) -> Outcome {
        self.ask(async |client| client.delete(address.as_str()).await).await
    }

    /// Reads `address` as JSON Lines.
    ///
    /// # Errors
    /// The daemon cannot be reached, or answers with a problem.
    pub async fn lines(&mut self, address: &Address) -> Outcome<Parts> {
        self.ask(async |client| client.lines(address.as_str()).await).await
    }

    /// Reads the file at `address`.
    ///
    /// # Errors
    /// The daemon cannot be reached, or answers with a problem.
    pub async fn file(&mut self, address: &Address) -> Outcome<Parts> {
        self.ask(async |client| client.file(address.as_str()).await).await
    }

    /// Follows `address` from the event after `last`.
    ///
    /// # Errors
    /// The daemon cannot be reached, or answers with a problem.
    pub async fn follow(&mut self, address: &Address, last: Option<u64>) -> Outcome<Parts> {
        self.ask(async |client| client.follow(address.as_str(), last).await).await
    }

    /// All pages of a list that is never long, as one.
    ///
    /// # Errors
    /// The daemon cannot be reached, or answers with a problem.
    pub async fn all(&mut self, address: &Address) -> Outcome<Value> {
        let mut items: Vec<Value> = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let page = address.clone().with("limit", "1000").with_some("cursor", cursor.as_deref());
            let mut page = self.get(&page).await?;
            if let Some(Value::Array(more)) = page.get_mut("items").map(Value::take) {
                items.extend(more);
            }
            cursor = page.get("next").and_then(Value::as_str).map(str::to_owned);
            if cursor.is_none() {
                return Ok(serde_json::json!({"items": items, "next": null}));
            }
        }
    }

    /// An execution's id for a table: short for a person, whole for a program.
    pub fn id(&self, id: ExecutionId) -> String {
        if self.out.terminal { render::short_id(&id.to_string()) } else { id.to_string() }
    }

    /// An instant for a table: from now for a person, whole for a program.
    pub fn when(&self, at: Option<Instant>) -> String {
        match at {
            None => "-".to_owned(),
            Some(at) if self.out.terminal => render::relative(at, self.times.now),
            Some(at) => render::moment(at),
        }
    }
}

/// Waits for an answer, and says so to whoever waits at a terminal.
async fn awaited<T>(
    answer: impl Future<Output = T>,
    rebuild: &Rebuild,
    messages: &mut Messages<'_>,
) -> T {
    let mut answer = std::pin::pin!(answer);
    let mut meter = Meter::begin();
    loop {
        tokio::select! {
            biased;
            answer = &mut answer => return answer,
            () = tokio::time::sleep(BREATH) => {}
        }
        match rebuild.percent() {
            Some(percent) => {
                meter.wait(messages, &format!("the daemon rebuilds its lists: {percent} %"));
            }
            None => meter.wait(messages, "waiting for the daemon"),
        }
    }
}

/// The daemon's settings as they stand here. That no data folder is named is no fault here: nothing is written to it.
fn settings(environment: &Environment) -> Result<Settings, Vec<Problem>> {
    Settings::load(&Flags::new(), environment).or_else(|problems| {
        let mut variables = environment.all();
        variables.insert("XDG_STATE_HOME".to_owned(), "/".to_owned());
        Settings::load(&Flags::new(), &variables.into_iter().collect()).map_err(|_same| problems)
    })
}

fn unreadable(problems: &[Problem]) -> Failure {
    let what = "the settings that may name the daemon's place are not accepted";
    let failure = Failure::new(Exit::Configuration, what)
        .hint("mend them, or name the daemon with `--data DIR` or `--server URL`");
    problems.iter().fold(failure, Failure::reason)
}

fn token(file: Option<&Path>, environment: &Environment) -> Outcome<Option<String>> {
    let Some(path) = file else {
        return Ok(environment.filled("DAYBOOK_TOKEN").map(str::to_owned));
    };
    let text = std::fs::read_to_string(path).map_err(|err| {
        let what = format!("`{}` cannot be read", path.display());
        Failure::new(Exit::Usage, what).because(&err)
    })?;
    Ok(Some(text.trim().to_owned()))
}
