//! One generation as the daemon sees it: the runner that answers, or the folder that one has left behind.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::unix::net::UnixStream as StdStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::runner::{
    AttemptKey, Ended, Folder, Greeting, Inbox, Order, PROTOCOL, Place, Tale, Way, Why, framed,
};
use crate::task;

/// A runner that does not answer within this time is taken for one that cannot be talked to.
const HELLO_MAX: Duration = Duration::from_secs(5);

/// What a runner tells of one attempt.
#[derive(Debug)]
pub(super) enum AttemptNews {
    /// There is output up to here.
    Grew(Place),
    Ended(Ended),
}

/// A generation. The last attempt that is forgotten takes the folder of a gone one along.
pub(super) struct Generation {
    folder: Folder,
    /// None when its runner is gone, or cannot be talked to.
    talk: Option<Talk>,
    /// What is not forgotten yet.
    attempts: Mutex<HashSet<AttemptKey>>,
    /// Those that nobody follows any more, and that are forgotten as soon as they have ended.
    abandoned: Mutex<HashSet<AttemptKey>>,
    gone: CancellationToken,
}

/// The connection to a runner.
struct Talk {
    pid: i32,
    stream: UnixStream,
    unsent: Mutex<Vec<u8>>,
    more: Notify,
    routes: Mutex<HashMap<AttemptKey, mpsc::UnboundedSender<AttemptNews>>>,
    way: watch::Sender<Option<Way>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Generation {
    /// What a runner that is gone has left in `folder`: these attempts.
    pub(super) fn left(folder: Folder, attempts: HashSet<AttemptKey>) -> Arc<Self> {
        let gone = CancellationToken::new();
        gone.cancel();
        let (attempts, abandoned) = (Mutex::new(attempts), Mutex::default());
        Arc::new(Self { folder, talk: None, attempts, abandoned, gone })
    }

    /// Greets the runner at `stream`, and hears it from now on.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] when it speaks another protocol; else the system's.
    pub(super) async fn greet(
        folder: Folder,
        stream: StdStream,
    ) -> io::Result<(Arc<Self>, Greeting)> {
        stream.set_nonblocking(true)?;
        let stream = UnixStream::from_std(stream)?;
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let mut unsent = framed(&Order::Hello { protocol: PROTOCOL, version });
        let mut inbox = Inbox::default();
        let answered = tokio::time::timeout(HELLO_MAX, async {
            while !unsent.is_empty() {
                stream.writable().await?;
                send(&stream, &mut unsent)?;
            }
            loop {
                if let Some(Tale::Hello(greeting)) = inbox.next()? {
                    return Ok::<_, io::Error>(greeting);
                }
                stream.readable().await?;
                receive(&stream, &mut inbox)?;
            }
        });
        let greeting: Greeting =
            answered.await.unwrap_or_else(|_late| Err(io::ErrorKind::TimedOut.into()))?;
        if greeting.protocol != PROTOCOL {
            let text =
                format!("it speaks protocol {}, and this daemon {PROTOCOL}", greeting.protocol);
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        let talk = Talk {
            pid: greeting.pid,
            stream,
            unsent: Mutex::default(),
            more: Notify::new(),
            routes: Mutex::default(),
            way: watch::Sender::new(None),
        };
        let attempts = greeting.attempts.iter().map(|attempt| attempt.of).collect();
        let (attempts, gone) = (Mutex::new(attempts), CancellationToken::new());
        let abandoned = Mutex::default();
        let talk = Some(talk);
        let generation = Arc::new(Self { folder, talk, attempts, abandoned, gone });
        task::spawn("a runner's ear", Arc::clone(&generation).hear(inbox));
        task::spawn("a runner's mouth", Arc::clone(&generation).flush());
        Ok((generation, greeting))
    }

    pub(super) const fn folder(&self) -> &Folder {
        &self.folder
    }

    /// The runner's process; none of one that cannot be talked to.
    pub(super) fn pid(&self) -> Option<i32> {
        self.talk.as_ref().map(|talk| talk.pid)
    }

    /// How many attempts are not forgotten.
    pub(super) fn attempts(&self) -> usize {
        locked(&self.attempts).len()
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone.is_cancelled()
    }

    /// Resolves when the runner is gone.
    pub(super) async fn gone(&self) {
        self.gone.cancelled().await;
    }

    /// How it tells processes apart, as soon as that is known; none when it goes before.
    pub(super) async fn way(&self) -> Option<Way> {
        let mut way = self.talk.as_ref()?.way.subscribe();
        tokio::select! {
            way = way.wait_for(Option::is_some) => way.ok()?.clone(),
            () = self.gone.cancelled() => None,
        }
    }

    /// Hears of the attempt `of` from now on. The end of the news is the end of the runner.
    pub(super) fn follow(&self, of: AttemptKey) -> mpsc::UnboundedReceiver<AttemptNews> {
        let (tell, news) = mpsc::unbounded_channel();
        locked(&self.attempts).insert(of);
        if let Some(talk) = &self.talk {
            locked(&talk.routes).insert(of, tell);
            // Whoever is gone by now has cleared the routes before.
            if self.is_gone() {
                locked(&talk.routes).remove(&of);
            }
        }
        news
    }

    /// The attempt's end is on record: nobody needs what is left of it.
    pub(super) fn forget(&self, of: AttemptKey) {
        let mut attempts = locked(&self.attempts);
        let last = attempts.remove(&of) && attempts.is_empty();
        drop(attempts);
        if let Some(talk) = &self.talk {
            locked(&talk.routes).remove(&of);
        }
        if !self.is_gone() {
            self.send(&Order::Forget { of });
        } else if last {
            self.folder.remove();
        }
    }

    /// Ends an attempt that nobody follows any more.
    pub(super) fn abandon(&self, of: AttemptKey) {
        locked(&self.abandoned).insert(of);
        self.send(&Order::End { of, why: Why::LetGo });
    }

    /// Sends `order`, or as much as the socket takes; the rest follows.
    pub(super) fn send(&self, order: &Order) {
        let Some(talk) = &self.talk else { return };
        let mut unsent = locked(&talk.unsent);
        let waits = !unsent.is_empty();
        unsent.extend(framed(order));
        // A failure is seen by whoever reads.
        if !waits && send(&talk.stream, &mut unsent).is_ok() && !unsent.is_empty() {
            talk.more.notify_one();
        }
    }

    async fn flush(self: Arc<Self>) {
        let Some(talk) = &self.talk else { return };
        loop {
            tokio::select! {
                () = talk.more.notified() => (),
                () = self.gone.cancelled() => return,
            }
            while !locked(&talk.unsent).is_empty() {
                if talk.stream.writable().await.is_err() {
                    return;
                }
                if send(&talk.stream, &mut locked(&talk.unsent)).is_err() {
                    return;
                }
            }
        }
    }

    async fn hear(self: Arc<Self>, mut inbox: Inbox) {
        let Some(talk) = &self.talk else { return };
        let why = loop {
            match inbox.next() {
                Ok(Some(tale)) => self.told(talk, tale),
                Err(err) => break err,
                Ok(None) => {
                    let read = match talk.stream.readable().await {
                        Ok(()) => receive(&talk.stream, &mut inbox),
                        Err(err) => Err(err),
                    };
                    if let Err(err) = read {
                        break err;
                    }
                }
            }
        };
        tracing::debug!(generation = self.folder.name(), %why, "a runner is gone");
        self.gone.cancel();
        locked(&talk.routes).clear();
        if locked(&self.attempts).is_empty() {
            // Its runner has removed it, if it ended in order.
            self.folder.remove();
        }
    }

    fn told(&self, talk: &Talk, tale: Tale) {
        let (of, news) = match tale {
            Tale::Hello(_) => return,
            Tale::Way(way) => {
                let way = way.map_or_else(Way::Proc, |folder| Way::Cgroups(PathBuf::from(folder)));
                match &way {
                    Way::Cgroups(folder) => {
                        tracing::info!(folder = %folder.display(), "each command gets a cgroup of its own");
                    }
                    Way::Proc(why) => tracing::info!(%why, "commands get no cgroups of their own"),
                }
                talk.way.send_replace(Some(way));
                return;
            }
            Tale::Said(text) => {
                tracing::warn!(runner = self.folder.name(), "{text}");
                return;
            }
            Tale::Grew { of, to } => (of, AttemptNews::Grew(to)),
            Tale::Ended(ended) => (ended.of, AttemptNews::Ended(*ended)),
        };
        let ended = matches!(news, AttemptNews::Ended(_));
        let routes = locked(&talk.routes);
        let heard = routes.get(&of).is_some_and(|route| route.send(news).is_ok());
        drop(routes);
        if !heard && ended && locked(&self.abandoned).remove(&of) {
            self.forget(of);
        }
    }
}

/// Sends what the socket takes now.
fn send(stream: &UnixStream, unsent: &mut Vec<u8>) -> io::Result<()> {
    while !unsent.is_empty() {
        match stream.try_write(unsent) {
            Ok(sent) => drop(unsent.drain(..sent)),
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => break,
            Err(err) => return Err(err),
        }
    }
    Ok(())
}

/// Takes what there is.
fn receive(stream: &UnixStream, inbox: &mut Inbox) -> io::Result<()> {
    match stream.try_read_buf(&mut inbox.bytes) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(_) => Ok(()),
        Err(err) if err.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Err(err) => Err(err),
    }
}
