//! `daybook demo`: the daemon on a folder of its own, with a ticket shop beside it that fails as shops do.
//!
//! What a newcomer sees is the real thing: real calls, real commands, the files that say them. Only the shop is played, by
//! `shop.rs`, on addresses of this machine.

mod shop;

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use shop::Shop;
use tokio::signal::unix::{SignalKind, signal};

/// What is written for the demo: files of schedules, and what their jobs read.
const FILES: [(&str, &str); 7] = [
    ("schedules/shop.toml", include_str!("files/shop.toml")),
    ("schedules/partner.toml", include_str!("files/partner.toml")),
    ("schedules/customers.toml", include_str!("files/customers.toml")),
    ("schedules/reports.toml", include_str!("files/reports.toml")),
    ("files/ca.pem", include_str!("files/ca.pem")),
    ("files/customers.csv", include_str!("files/customers.csv")),
    ("files/countries.csv", include_str!("files/countries.csv")),
];

/// The token that the shop gave out before it changed it, which is why tickets fail.
const OLD_TOKEN: &str = "ticket-shop-token-of-last-year";

/// How it is told what is played.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Only the daemon's login link, and what is wrong.
    pub quiet: bool,
    /// Whether the daemon may colour what it logs.
    pub colours: bool,
}

/// Plays until it is told to stop. Gives the daemon's exit code.
///
/// # Errors
/// The demo cannot be set up, or its daemon not be started; in words.
pub fn play(
    folder: Option<&Path>,
    listen: SocketAddr,
    temporary: &Path,
    manner: Manner,
) -> Result<u8, String> {
    let say = |text: &str| match manner.quiet {
        true => Ok(()),
        false => io::stderr().write_all(text.as_bytes()).map_err(|err| err.to_string()),
    };
    let runtime = tokio::runtime::Runtime::new().map_err(|err| err.to_string())?;
    runtime.block_on(async {
        let shop = Shop::open().await.map_err(|err| format!("the shop cannot be opened: {err}"))?;
        let folder = set_up(folder, temporary, &shop)?;
        say(&tour(&folder))?;
        let code = serve(&folder, listen, manner.colours).await?;
        let folder = folder.display();
        say(&format!("what was played is in {folder}; remove it when you like\n"))?;
        Ok(code)
    })
}

/// Runs the daemon as a process of its own, as it always is. It hears Ctrl-C by itself; TERM is handed on.
async fn serve(folder: &Path, listen: SocketAddr, colours: bool) -> Result<u8, String> {
    let cannot = |err: io::Error| format!("the daemon cannot be started: {err}");
    let mut interrupts = signal(SignalKind::interrupt()).map_err(cannot)?;
    let mut terms = signal(SignalKind::terminate()).map_err(cannot)?;
    let mut daemon = Command::new(std::env::current_exe().map_err(cannot)?);
    daemon
        .args(["serve", "--print-login", "--log-level", "warn", "--drain-deadline", "0s"])
        .args(["--listen", &listen.to_string(), "--data"])
        .arg(folder.join("data"))
        .arg("--schedules")
        .arg(folder.join("schedules"))
        // So that nothing is wrong with the partner's certificate but its date.
        .env("SSL_CERT_FILE", folder.join("files/ca.pem"));
    if !colours {
        daemon.arg("--no-color");
    }
    let mut daemon = daemon.spawn().map_err(cannot)?;
    let pid = Pid::from_child(&daemon);
    let mut ended = tokio::task::spawn_blocking(move || daemon.wait());
    loop {
        tokio::select! {
            status = &mut ended => {
                let status = status.map_err(|err| err.to_string())?.map_err(|err| err.to_string())?;
                return Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1));
            }
            _ = interrupts.recv() => {}
            // One that has ended already needs no signal.
            _ = terms.recv() => drop(kill_process(pid, Signal::TERM)),
        }
    }
}

/// Writes the files, where they are not there yet: what somebody mended stays mended.
fn set_up(wanted: Option<&Path>, temporary: &Path, shop: &Shop) -> Result<PathBuf, String> {
    let folder = wanted.map_or_else(|| fresh(temporary), |folder| Ok(folder.to_owned()))?;
    let why = |path: &Path, err: io::Error| {
        format!("{} cannot be written ({err}); name another folder with --folder", path.display())
    };
    for part in ["schedules", "files", "data/credentials"] {
        let path = folder.join(part);
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(|err| why(&path, err))?;
    }
    let folder = folder.canonicalize().map_err(|err| why(&folder, err))?;
    for (name, text) in FILES {
        let path = folder.join(name);
        // Those of the schedules name the shop's addresses, which are new each time.
        if name.starts_with("schedules/") || !path.exists() {
            let text = text
                .replace("SHOP", &shop.plain.to_string())
                .replace("PARTNER", &shop.expired.to_string())
                .replace("FILES", &folder.join("files").display().to_string());
            fs::write(&path, text).map_err(|err| why(&path, err))?;
        }
    }
    let token = folder.join("data/credentials/shop-token");
    if !token.exists() {
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&token);
        let written = file.and_then(|mut file| write!(file, "Bearer {OLD_TOKEN}"));
        written.map_err(|err| why(&token, err))?;
    }
    Ok(folder)
}

/// A new folder below `parent`, which nobody else may enter.
fn fresh(parent: &Path) -> Result<PathBuf, String> {
    for n in 1..1_000 {
        let folder = parent.join(format!("daybook-demo-{n}"));
        match fs::DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => return Ok(folder),
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {}
            Err(err) => {
                let folder = folder.display();
                return Err(format!("{folder} cannot be made ({err}); name one with --folder"));
            }
        }
    }
    Err(format!("{} holds a thousand demos; name a folder with --folder", parent.display()))
}

/// What to do in five minutes.
fn tour(folder: &Path) -> String {
    include_str!("files/tour.txt")
        .replace("FOLDER", &folder.display().to_string())
        .replace("TOKEN", shop::TOKEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn set_up_in(folder: &Path) -> Result<PathBuf, String> {
        let shop = Shop::open().await.expect("addresses");
        set_up(Some(folder), Path::new("/nowhere"), &shop)
    }

    #[tokio::test]
    async fn what_was_mended_stays_mended() {
        let scratch = tempfile::tempdir().expect("a folder");
        let folder = set_up_in(scratch.path()).await.expect("it is set up");
        for name in ["data/credentials/shop-token", "files/countries.csv"] {
            fs::write(folder.join(name), "mended").expect("written");
        }
        set_up_in(scratch.path()).await.expect("it is set up again");
        for name in ["data/credentials/shop-token", "files/countries.csv"] {
            assert_eq!(fs::read_to_string(folder.join(name)).expect("read"), "mended");
        }
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_made_is_named() {
        let err = set_up_in(Path::new("/proc/nowhere")).await.expect_err("no folder");
        assert!(err.starts_with("/proc/nowhere"), "{err}");
    }

    #[test]
    fn two_demos_have_two_folders() {
        let scratch = tempfile::tempdir().expect("a folder");
        let one = fresh(scratch.path()).expect("a folder");
        assert_ne!(one, fresh(scratch.path()).expect("another"));
    }

    #[test]
    fn the_tour_names_the_folder_and_the_token() {
        let told = tour(Path::new("/tmp/demo"));
        assert!(told.contains("/tmp/demo/data/credentials/shop-token"), "{told}");
        assert!(told.contains(shop::TOKEN) && !told.contains("FOLDER"), "{told}");
    }
}
