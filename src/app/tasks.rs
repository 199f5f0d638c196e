//! What runs beside the engine: the greeting, the watch over the files, the daemon's own ping.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::Signal;

use super::daemon::Daemon;
use super::error::ServeError;
use super::serve::Core;
use crate::config;
use crate::crash;
use crate::domain::access::Role;
use crate::domain::event::{Actor, Delivery};
use crate::engine::handle::Handle;
use crate::http;
use crate::notify::{self, Alive};
use crate::store::space::Space;
use crate::task;

/// Files that change together are read together after this time.
const FILES_QUIET: Duration = Duration::from_millis(300);

/// On the first start: an admin token in `<data>/token`, readable by the daemon's user alone.
///
/// # Errors
/// [`ServeError::Machine`] when it cannot be made or written.
pub(super) async fn admin_token(daemon: &Daemon, handle: &Handle) -> Result<(), ServeError> {
    let path = daemon.settings.data.value.join("token");
    // The file gets its name when the token is on record: whatever happens in between, the next start goes on.
    let new_path = path.with_extension("new");
    let refuse = |err: std::io::Error| ServeError::Machine(format!("`{}`: {err}", path.display()));
    if path.exists() {
        return Ok(());
    }
    if !handle.tokens().is_empty() {
        return if new_path.exists() {
            fs::rename(&new_path, &path).map_err(refuse)
        } else {
            Ok(())
        };
    }
    let new = http::auth::new_token("admin", Role::Admin)
        .map_err(|err| ServeError::machine("the admin token", &err))?;
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&new_path).map_err(refuse)?;
    writeln!(file, "{}", new.text).and_then(|()| file.sync_all()).map_err(refuse)?;
    crash::point(crash::Point::TokenWritten);
    let created = handle.create_token(Actor::Daybook, new.record).await;
    created.map_err(|err| ServeError::machine("the admin token", &err))?;
    crash::point(crash::Point::TokenRecorded);
    fs::rename(&new_path, &path).map_err(refuse)
}

/// Says where the daemon listens; a login link only to a terminal or on request.
pub(super) async fn greet(daemon: &Daemon, app: &http::App, addresses: &[std::net::SocketAddr]) {
    let socket = daemon.settings.socket.value.display();
    for address in addresses {
        tracing::info!(url = %daemon.base_url(*address), %socket, "listening");
    }
    let mut stderr = std::io::stderr();
    let terminal = std::io::IsTerminal::is_terminal(&stderr);
    if !(terminal || daemon.settings.print_login.value) {
        return;
    }
    match http::login_url(app).await {
        // Past the log, which may go to files and elsewhere: whoever has the link is in.
        Ok(url) => drop(writeln!(stderr, "log in to the console (once, within 10 minutes): {url}")),
        Err(why) => tracing::warn!(%why, "no login link could be made"),
    }
}

/// Takes changed files over, on change and on SIGHUP.
pub(super) fn watch_files(daemon: &Daemon, core: &Core, mut hangup: Signal) {
    let core = core.clone();
    let dir = daemon.folder.dir.clone();
    task::spawn("the watch of the files", async move {
        let mut watch = match config::watch(&dir, FILES_QUIET) {
            Ok(watch) => Some(watch),
            Err(err) => {
                tracing::warn!(error = %err, "changes of the files are not noticed; reload by SIGHUP or `daybook reload`");
                None
            }
        };
        loop {
            let changed = async {
                match &mut watch {
                    Some(watch) => watch.changed().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = changed => (),
                _ = hangup.recv() => (),
            }
            reload(&core).await;
        }
    });
}

async fn reload(core: &Core) {
    match core.handle.reload(Actor::Daybook).await {
        Ok(done) => tracing::info!(
            accepted = done.value.accepted.len(),
            removed = done.value.removed.len(),
            problems = done.value.problems.len(),
            "the files were read again"
        ),
        Err(err) => tracing::warn!(error = %err, "the files were not read again"),
    }
}

/// Tells the outside that the daemon is alive, when a check for it is set.
pub(super) fn keep_alive(daemon: &Daemon, core: &Core, space: &Arc<Space>) {
    let settings = &daemon.settings;
    let Some(url) = settings.ping.value.as_deref().and_then(|url| url.parse().ok()) else {
        return;
    };
    let metrics = Arc::clone(&core.metrics);
    let pinging = notify::keep_pinging(Alive {
        client: core.client.clone(),
        clock: Arc::clone(&core.clock),
        board: Arc::clone(&core.board),
        space: Arc::clone(space),
        url,
        period: settings.ping_every.value,
        counted: Box::new(move |taken| {
            metrics.ping("alive", if taken { Delivery::Sent } else { Delivery::Failed });
        }),
    });
    task::spawn("the daemon's own pings", pinging);
}
