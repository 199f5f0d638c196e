//! From the process's arguments to its exit code.

use std::ffi::OsString;
use std::io::{self, BufRead, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use serde_json::json;

use super::args::{self, Arguments, Command};
use super::context::{CompactFolder, Context, Parcel};
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::messages::{Manner, Messages, Voice};
use super::output::{Look, Output};
use super::render::Palette;
use super::serve::ServeOptions;
use super::times::{Times, host_zone};
use super::{
    classify, console, demo, doctor, event, execution, interface, manual, reload, schedule,
    settings, status, store, token,
};
use crate::civil;
use crate::clock::{Clock, SystemClock};
use crate::config::{Checks, Environment};
use crate::domain::classify::Classifier;

/// Columns of a terminal that does not tell how many it has.
const COLUMNS: u16 = 80;
/// The variable that `--no-color` sets for this process.
pub const NO_COLOR: &str = "NO_COLOR";
/// After an interrupt, work that waits for something ends by itself within this; work that does not is ended.
const INTERRUPT_GRACE: Duration = Duration::from_millis(500);

/// What the command line is handed by the program that it belongs to.
#[derive(Clone, Copy)]
pub struct Wiring {
    /// Runs the daemon; gives the exit code.
    pub serve: fn(&ServeOptions, Environment) -> u8,
    /// The judges of values in the files.
    pub checks: Checks,
    /// Compacts a data folder that no daemon works on.
    pub compact: CompactFolder,
}

/// What surrounds the process.
pub struct World<'a> {
    /// Its variables.
    pub environment: Environment,
    /// The clock.
    pub clock: &'a dyn Clock,
    /// Its input.
    pub input: &'a mut dyn BufRead,
    /// Where data goes.
    pub out: &'a mut dyn Write,
    /// Where messages go.
    pub err: &'a mut dyn Write,
    /// Whether a person reads the data.
    pub out_terminal: bool,
    /// Whether a person reads the messages.
    pub err_terminal: bool,
    /// Columns of the terminal, if it tells.
    pub columns: Option<u16>,
}

impl World<'_> {
    /// Columns to write in, at a terminal.
    fn width(&self) -> usize {
        let named = self.environment.filled("COLUMNS").and_then(|text| text.parse().ok());
        let width = named.filter(|columns| *columns > 0).or(self.columns);
        usize::from(width.unwrap_or(COLUMNS))
    }

    /// How messages look for whoever asked for these flags.
    fn manner(&self, voice: Voice) -> Manner {
        Manner {
            voice,
            palette: Palette::choose(self.err_terminal, &self.environment),
            width: self.err_terminal.then(|| self.width()),
            lively: self.environment.get("TERM") != Some("dumb"),
        }
    }
}

/// Runs a command line in this process; gives its exit code.
pub fn main(args: impl IntoIterator<Item = OsString>, wiring: Wiring) -> u8 {
    let (stdout, stderr) = (io::stdout(), io::stderr());
    let (out_terminal, err_terminal) = (stdout.is_terminal(), stderr.is_terminal());
    let columns = columns_of(&stdout).or_else(|| columns_of(&stderr));
    // Standard output is written by the line by default, which costs a system call for each line of a log.
    let mut out = BufWriter::with_capacity(64 * 1024, stdout);
    let clock = SystemClock::new();
    let environment = Environment::from_process();
    if let Some(directory) = environment.path("TZDIR") {
        civil::look_in(directory);
    }
    let world = World {
        environment,
        clock: &clock,
        input: &mut io::stdin().lock(),
        out: &mut out,
        // Not locked: `serve` logs to it from other threads for as long as this runs.
        err: &mut io::stderr(),
        out_terminal,
        err_terminal,
        columns,
    };
    run(args, world, wiring)
}

/// Columns of a terminal; none of anything else, and of a terminal that does not know.
fn columns_of(stream: &impl AsFd) -> Option<u16> {
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    Some(size.ws_col).filter(|columns| *columns > 0)
}

/// Runs a command line; gives its exit code.
pub fn run(args: impl IntoIterator<Item = OsString>, world: World<'_>, wiring: Wiring) -> u8 {
    let args: Vec<OsString> = args.into_iter().collect();
    let mut world = world;
    let arguments = match args::parse(args.iter().cloned()) {
        Ok(arguments) => arguments,
        Err(err) => return refused(&err, &args, world),
    };
    let Arguments { global, command } = arguments;
    if global.no_color {
        world.environment = world.environment.with(NO_COLOR, "1");
    }
    if let Command::Serve(options) = command {
        let options = ServeOptions { data: global.data, ..*options };
        return (wiring.serve)(&options, world.environment);
    }
    if let Command::Demo(options) = command {
        return demo::run(&options, global.quiet, world);
    }
    let json = global.json;
    let manner = world.manner(match (json, global.quiet) {
        (true, _) => Voice::Json,
        (false, true) => Voice::Quiet,
        (false, false) => Voice::Aloud,
    });
    let look = Look {
        json,
        palette: Palette::choose(world.out_terminal, &world.environment),
        width: world.out_terminal.then(|| world.width()),
    };
    let times = Times { now: world.clock.now(), zone: host_zone(&world.environment) };
    let World { environment, input, out, err, .. } = world;
    let out = Output::new(out, Messages::new(err, manner), look);
    let Wiring { checks, compact, .. } = wiring;
    let parcel = Parcel { out, times, environment, checks, compact };
    let mut context = Context::new(parcel, global);
    let outcome = perform(command, input, &mut context);
    let flushed = context.out.flush().map_err(Failure::from);
    match outcome.and(flushed) {
        Ok(()) => Exit::Ok.code(),
        Err(failure) => told(&failure, json, &mut context.out.messages),
    }
}

/// Shows a failure; gives the exit code.
fn told(failure: &Failure, json: bool, messages: &mut Messages<'_>) -> u8 {
    // Where even the error cannot be written, the exit code still tells.
    drop(failure.show(messages, json));
    failure.exit().code()
}

/// Shows help where it was asked for, and what is wrong with a command line.
fn refused(err: &clap::Error, args: &[OsString], mut world: World<'_>) -> u8 {
    let given = |flag: &str| args.iter().any(|arg| arg == flag);
    if given("--no-color") {
        world.environment = world.environment.with(NO_COLOR, "1");
    }
    let json = given("--json");
    let code = u8::try_from(err.exit_code()).unwrap_or(Exit::Usage.code());
    let wrong = err.use_stderr();
    let manner = world.manner(Voice::Aloud);
    let styled = err.render();
    if wrong && json {
        return told(&of_usage(&styled.to_string()), json, &mut Messages::new(world.err, manner));
    }
    let terminal = if wrong { world.err_terminal } else { world.out_terminal };
    let colours = Palette::choose(terminal, &world.environment) == Palette::coloured();
    let text = if colours { styled.ansi().to_string() } else { styled.to_string() };
    let to: &mut dyn Write = if wrong { &mut *world.err } else { world.out };
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()).map_err(Failure::from) {
        Ok(()) => code,
        // Not even that it is wrong can be told.
        Err(_unheard) if wrong => code,
        Err(failure) => told(&failure, json, &mut Messages::new(world.err, manner)),
    }
}

/// What clap says, as a failure: its sentence, and as the hint what it says about the values and names that there are.
fn of_usage(text: &str) -> Failure {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default().trim_start_matches("error: ");
    let about: Vec<&str> = lines
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"))
        .collect();
    let failure = Failure::usage(first);
    if about.is_empty() { failure } else { failure.hint(about.join("; ")) }
}

/// Runs a command on a runtime of its own, until it is done or interrupted.
fn perform(command: Command, input: &mut dyn BufRead, context: &mut Context<'_>) -> Outcome {
    // The command has this thread; the other one hears interrupts, also while the command reads a store or its input.
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_all().build();
    let runtime = runtime
        .map_err(|err| Failure::new(Exit::Failed, "the program cannot run here").because(&err))?;
    let (interrupt, interrupted) = tokio::sync::oneshot::channel();
    runtime.spawn(heed_interrupts(interrupt));
    let outcome = runtime.block_on(async {
        tokio::select! {
            biased;
            outcome = Box::pin(dispatch(command, input, context)) => outcome,
            Ok(()) = interrupted => Err(Failure::silent(Exit::Interrupted)),
        }
    });
    // Whoever interrupted does not want to wait for a name that is still looked up.
    runtime.shutdown_background();
    outcome
}

/// Hands an interrupt on; when nobody heeds it, ends the process, as the signal would by itself. What commands write is
/// written to be ended at any time.
#[expect(clippy::exit, reason = "the thread that would give the exit code is busy")]
async fn heed_interrupts(interrupt: tokio::sync::oneshot::Sender<()>) {
    // Where it cannot be heard, the signal ends the process by itself.
    if tokio::signal::ctrl_c().await.is_err() {
        return;
    }
    // Nobody listens any more when the command is over.
    interrupt.send(()).unwrap_or_default();
    tokio::time::sleep(INTERRUPT_GRACE).await;
    std::process::exit(i32::from(Exit::Interrupted.code()));
}

async fn dispatch(command: Command, input: &mut dyn BufRead, context: &mut Context<'_>) -> Outcome {
    match command {
        // Handled before there is a context; they have their own runtimes.
        Command::Serve(_) | Command::Demo(_) => Ok(()),
        Command::Check(check) => check.run(context).await,
        Command::Status => status::run(context).await,
        Command::Interface(verb) => interface::run(verb, context).await,
        Command::Schedule(verb) => schedule::run(verb, context).await,
        Command::Execution(verb) => execution::run(verb, context).await,
        Command::Event(verb) => event::run(verb, context).await,
        Command::Store(verb) => store::run(verb, context).await,
        Command::Token(verb) => token::run(verb, context).await,
        Command::Import(verb) => verb.run(context),
        Command::Classify => judge(input, context),
        Command::Explain(explain) => explain.run(context),
        Command::Schema(schema) => schema.run(context),
        Command::Console => console::run(context).await,
        Command::Doctor => doctor::run(context).await,
        Command::Settings => settings::run(context).await,
        Command::Reload => reload::run(context).await,
        Command::Drain(drain) => drain.run(context).await,
        Command::Completions(shell) => shell.run(context),
        Command::Man(man) => man.run(context),
        Command::Version => manual::version(context),
    }
}

fn judge(input: &mut dyn BufRead, context: &mut Context<'_>) -> Outcome {
    let classifier = Classifier::new(&[])
        .map_err(|err| Failure::new(Exit::Failed, "the built-in rules are wrong").because(&err))?;
    classify::run(input, context.out.data(), &classifier).map_err(|err| match err {
        classify::ClassifyError::Io(err) => Failure::from(err),
        classify::ClassifyError::Input { .. } => Failure::usage(err.to_string()),
    })
}

/// What this program is.
pub fn version_document() -> serde_json::Value {
    json!({"version": env!("CARGO_PKG_VERSION"), "revision": option_env!("DAYBOOK_REVISION")})
}

#[cfg(test)]
mod scripted;
#[cfg(test)]
mod tests;
