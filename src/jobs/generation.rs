//! One generation as the daemon sees it: the runner that answers, or the folder that one has left behind.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::unix::net::UnixStream as StdStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::net::{SendFlags, Shutdown, shutdown};
use tokio::net::UnixStream;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::runner::{
    AttemptKey, Ended, Folder, Greeting, Inbox, Kept, Order, PROTOCOL, Place, Tale, Way, Why,
    framed,
};
use crate::task::{self, locked};

/// A runner that does not answer within this time is taken for one that cannot be talked to.
const HELLO_MAX: Duration = Duration::from_secs(5);

/// What a runner tells of one attempt.
#[derive(Debug)]
pub(super) enum AttemptNews {
    /// There is output up to here.
    Grew(Place),
    Ended(Ended),
}

/// A runner that has answered.
pub(super) struct Greeted {
    pub(super) generation: Arc<Generation>,
    /// The runner's.
    pub(super) version: String,
    /// What it has, with what it tells of each from now on.
    pub(super) attempts: Vec<(Kept, mpsc::UnboundedReceiver<AttemptNews>)>,
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
    pub(super) async fn greet(folder: Folder, stream: StdStream) -> io::Result<Greeted> {
        stream.set_nonblocking(true)?;
        let stream = UnixStream::from_std(stream)?;
        let (mut inbox, mut before) = (Inbox::default(), Vec::new());
        let answered =
            tokio::time::timeout(HELLO_MAX, answer(&stream, &mut inbox, &mut before)).await;
        let greeting = answered.unwrap_or_else(|_late| Err(io::ErrorKind::TimedOut.into()))?;
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
        let (attempts, abandoned) = (Mutex::default(), Mutex::default());
        let (talk, gone) = (Some(talk), CancellationToken::new());
        let generation = Arc::new(Self { folder, talk, attempts, abandoned, gone });
        // Before it is heard: an end may follow at once.
        let followed = |attempt: Kept| {
            let news = generation.follow(attempt.of);
            (attempt, news)
        };
        let attempts = greeting.attempts.into_iter().map(followed).collect();
        before.into_iter().for_each(|tale| generation.pass_on(tale));
        task::spawn("a runner's ear", Arc::clone(&generation).hear(inbox));
        task::spawn("a runner's mouth", Arc::clone(&generation).flush());
        Ok(Greeted { generation, version: greeting.version, attempts })
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
            self.send_soon(&Order::Forget { of });
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
        unsent.extend(framed(order));
        // A failure is seen by whoever reads.
        if send(&talk.stream, &mut unsent).is_ok() && !unsent.is_empty() {
            talk.more.notify_one();
        }
    }

    /// Sends `order` with what else comes until the runtime gets to it.
    fn send_soon(&self, order: &Order) {
        let Some(talk) = &self.talk else { return };
        locked(&talk.unsent).extend(framed(order));
        talk.more.notify_one();
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
                Ok(Some(tale)) => self.pass_on(tale),
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
        // One that lives, and cannot be understood, must know that nobody listens. One that is gone has shut it before.
        shutdown(&talk.stream, Shutdown::Both).unwrap_or_default();
        self.gone.cancel();
        locked(&talk.routes).clear();
        if locked(&self.attempts).is_empty() {
            // Its runner has removed it, if it ended in order.
            self.folder.remove();
        }
    }

    fn pass_on(&self, tale: Tale) {
        let Some(talk) = &self.talk else { return };
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

impl Drop for Talk {
    /// What waits to be sent along with more goes by itself in the end.
    fn drop(&mut self) {
        let unsent = self.unsent.get_mut().unwrap_or_else(PoisonError::into_inner);
        if !unsent.is_empty() {
            // A runner that is not told forgets with its next daemon.
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            rustix::net::send(&self.stream, unsent, flags).unwrap_or_default();
        }
    }
}

/// Says hello, and waits for the answer; what else came until then goes to `before`.
async fn answer(
    stream: &UnixStream,
    inbox: &mut Inbox,
    before: &mut Vec<Tale>,
) -> io::Result<Greeting> {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let mut unsent = framed(&Order::Hello { protocol: PROTOCOL, version });
    while !unsent.is_empty() {
        stream.writable().await?;
        send(stream, &mut unsent)?;
    }
    loop {
        match inbox.next()? {
            Some(Tale::Hello(greeting)) => return Ok(greeting),
            Some(tale) => before.push(tale),
            None => {
                stream.readable().await?;
                receive(stream, inbox)?;
            }
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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;
    use crate::ids::ExecutionId;
    use crate::instant::Instant;
    use crate::jobs::runner::{Before, How};
    use crate::jobs::runners::{Left, LeftEnd};

    fn key(n: u8) -> AttemptKey {
        AttemptKey { execution: ExecutionId::random(Instant::from_secs(5), [n; 10]), attempt: 1 }
    }

    fn ended(of: AttemptKey) -> Tale {
        let spooled = Place::default();
        Tale::Ended(Box::new(Ended { of, how: How::Lost, spooled, lost_bytes: 0, took_ms: 0 }))
    }

    fn hello(attempts: &[AttemptKey]) -> Tale {
        let kept = |of: &AttemptKey| {
            let before = Before::default();
            Kept { of: *of, before, secrets: Vec::new(), ended: None }
        };
        let (version, attempts) = ("0.1.0".to_owned(), attempts.iter().map(kept).collect());
        Tale::Hello(Greeting { protocol: PROTOCOL, version, pid: 1, attempts })
    }

    /// What comes of a runner that says these things at once, and its end of the socket.
    async fn greeted(tales: &[Tale]) -> (tempfile::TempDir, Greeted, StdStream) {
        let runs = tempfile::tempdir().expect("a folder");
        let folder = Folder::make(runs.path(), Instant::default()).expect("made");
        let (ours, mut theirs) = StdStream::pair().expect("a pair");
        let said: Vec<u8> = tales.iter().flat_map(framed).collect();
        theirs.write_all(&said).expect("it hears");
        (runs, Generation::greet(folder, ours).await.expect("it is greeted"), theirs)
    }

    #[tokio::test]
    async fn an_end_is_heard_whether_it_comes_before_the_greeting_or_right_after_it() {
        let [first, second] = [key(1), key(2)];
        let tales = [ended(first), hello(&[first, second]), ended(second)];
        let (_runs, greeted, _theirs) = greeted(&tales).await;
        for (attempt, mut news) in greeted.attempts {
            let Some(AttemptNews::Ended(ended)) = news.recv().await else { panic!("no end") };
            assert_eq!(ended.of, attempt.of);
        }
    }

    #[tokio::test]
    async fn a_runner_that_cannot_be_understood_learns_that_nobody_listens() {
        let (_runs, greeted, mut theirs) = greeted(&[hello(&[])]).await;
        theirs.write_all(&[u8::MAX; 8]).expect("it hears");
        greeted.generation.gone().await;
        theirs.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
        theirs.read_to_end(&mut Vec::new()).expect("it ends");
    }

    #[test]
    fn what_is_to_be_forgotten_is_told_also_when_the_daemon_ends_at_once() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let (_runs, mut theirs) = runtime.block_on(async {
            let (runs, greeted, theirs) = greeted(&[hello(&[key(1)])]).await;
            greeted.generation.forget(key(1));
            (runs, theirs)
        });
        drop(runtime);
        let mut inbox = Inbox::default();
        theirs.read_to_end(&mut inbox.bytes).expect("it ends");
        assert!(matches!(inbox.next(), Ok(Some(Order::Hello { .. }))));
        let told = inbox.next().expect("an order");
        assert!(matches!(told, Some(Order::Forget { of }) if of == key(1)), "{told:?}");
    }

    #[tokio::test]
    async fn nothing_is_let_go_of_while_a_runner_lives_that_cannot_be_understood() {
        let (_runs, mut greeted, mut theirs) = greeted(&[hello(&[key(1)])]).await;
        let generation = greeted.generation;
        let lives = generation.folder().lock().expect("a lock");
        let (Kept { of, before, .. }, news) = greeted.attempts.remove(0);
        let (secrets, end) = (Vec::new(), LeftEnd::Followed(news));
        let left = Left { generation: Arc::clone(&generation), of, before, secrets, end };
        let let_go = tokio::spawn(left.let_go());
        theirs.write_all(&[u8::MAX; 8]).expect("it hears");
        generation.gone().await;
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        assert!(!let_go.is_finished(), "it may run on");
        drop(lives);
        let_go.await.expect("no panic");
        assert!(!generation.folder().path().exists());
    }
}
