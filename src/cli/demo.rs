//! `daybook demo`: a daemon to look at, with a shop that fails.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::exit::Exit;
use super::run::{NO_COLOR, World};
use crate::demo::{self, Manner};

/// Play a ticket shop that fails as shops do: find out what is red, mend it, run it again
///
/// Runs a daemon of its own on a folder of its own, until Ctrl-C, and says what to do; with `--quiet` only where the console is. Nothing else on the machine is touched.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct Demo {
    /// The folder to play in; what was mended there stays mended [default: a new one in the folder for temporary files]
    #[arg(long, value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// Where the console is served; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
}

/// Plays; gives the exit code. It has its own runtime, and its own way to end.
pub fn run(options: &Demo, quiet: bool, world: World<'_>) -> u8 {
    let World { environment, err, .. } = world;
    let temporary = environment.path("TMPDIR").map_or_else(|| "/tmp".into(), PathBuf::from);
    let manner = Manner { quiet, colours: environment.filled(NO_COLOR).is_none() };
    match demo::play(options.folder.as_deref(), options.listen, &temporary, manner) {
        Ok(code) => code,
        Err(why) => {
            // Where even the error cannot be written, the exit code still tells.
            drop(writeln!(err, "error: {why}"));
            Exit::Failed.code()
        }
    }
}
