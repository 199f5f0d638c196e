//! The tree of nouns and verbs. The doc comments are the help.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches};

use super::serve::ServeOptions;
use super::{
    check, demo, drain, event, execution, explain, import, interface, manual, schedule, schema,
    store, token,
};
use super::{exit, output};
use crate::config::parse_duration;

/// Run the exchanges with external systems on schedule, and keep them on the record
#[derive(Debug, clap::Parser)]
#[command(name = "daybook", version, max_term_width = 100, subcommand_required = true)]
#[command(arg_required_else_help = true)]
pub struct Arguments {
    /// What every verb takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that are accepted after any verb.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Global {
    /// Print JSON: one document, or JSON Lines where rows are streamed; errors are problems (RFC 9457)
    #[arg(long, global = true)]
    pub json: bool,
    /// Say nothing beside the data but errors, and show no progress
    #[arg(long, short = 'q', global = true)]
    pub quiet: bool,
    /// No colours, as with the variable NO_COLOR
    #[arg(long, global = true)]
    pub no_color: bool,
    /// The data folder, also of the daemon to talk to
    #[arg(long, global = true, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The daemon to talk to: https://HOST, http://HOST:PORT or unix:PATH
    #[arg(long, global = true, value_name = "URL")]
    pub server: Option<String>,
    /// A file with the token for `--server` (or the variable DAYBOOK_TOKEN)
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

/// The nouns, and the verbs that need none.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Run the daemon in the foreground
    Serve(Box<ServeOptions>),
    /// Validate the files; needs no daemon
    Check(check::Check),
    /// Show the daemon on one screen: interfaces, running, next, red
    Status,
    /// External systems
    #[command(subcommand)]
    Interface(interface::Verb),
    /// What runs when
    #[command(subcommand)]
    Schedule(schedule::Verb),
    /// What ran, what it said, and running it again
    #[command(subcommand)]
    Execution(execution::Verb),
    /// The event log
    #[command(subcommand)]
    Event(event::Verb),
    /// What is on disk
    #[command(subcommand)]
    Store(store::Verb),
    /// Tokens for the API
    #[command(subcommand)]
    Token(token::Verb),
    /// Take over what other schedulers do
    #[command(subcommand)]
    Import(import::Verb),
    /// Judge lines and runs that come as JSON Lines on standard input; needs no daemon
    Classify,
    /// Show the runbook page of a cause; without one, list them all
    Explain(explain::Explain),
    /// Print the JSON Schema of an interface's or a calendar's file, for editors
    Schema(schema::Schema),
    /// Print a login link for the console: it works once, for ten minutes
    Console,
    /// Play a ticket shop that fails as shops do: find out what is red, mend it, run it again
    Demo(demo::Demo),
    /// Look for what could go wrong before it does; exit code 1 when a check fails
    Doctor,
    /// Show the daemon's settings, and where each value came from
    Settings,
    /// Read the files again
    Reload,
    /// Start nothing any more, and end the daemon when nothing runs or at a deadline; slots wait for the next start
    Drain(drain::Drain),
    /// Print completions for a shell
    Completions(manual::Completions),
    /// Print the manual page, or write one for each command into a folder
    Man(manual::Man),
    /// Print the version
    Version,
}

/// The whole tree, with how output looks and the exit codes below every long help.
pub fn tree() -> clap::Command {
    with_what_all_share(Arguments::command())
}

fn with_what_all_share(command: clap::Command) -> clap::Command {
    let shared = format!("{}\n\n{}", output::HELP, exit::HELP);
    command.after_long_help(shared).mut_subcommands(with_what_all_share)
}

/// Reads a command line.
///
/// # Errors
/// It is wrong, or asks for help or the version.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Arguments, clap::Error> {
    let matches = tree().try_get_matches_from(args)?;
    Arguments::from_arg_matches(&matches).map_err(|err| err.format(&mut tree()))
}

/// Reads a duration such as `90s` or `1h30m`.
///
/// # Errors
/// It is none; the text says what one looks like.
pub fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map(Duration::from_millis).map_err(|err| match err.hint {
        Some(hint) => format!("{}: {hint}", err.why),
        None => err.why,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Arguments, clap::Error> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn the_tree_has_no_contradictions() {
        tree().debug_assert();
    }

    #[test]
    fn json_and_data_are_accepted_after_any_verb() {
        for verb in ["status", "execution list", "schedule show a/b", "store verify", "event tail"]
        {
            let arguments = parsed(&format!("daybook {verb} --json --data /d")).expect(verb);
            assert!(arguments.global.json, "{verb}");
            assert_eq!(arguments.global.data, Some(PathBuf::from("/d")), "{verb}");
        }
        assert!(parsed("daybook --json status").expect("also before it").global.json);
    }

    #[test]
    fn the_verbs_are_those_of_the_contract() {
        let tree = tree();
        let verbs = |noun: &str| -> Vec<String> {
            let noun = tree.find_subcommand(noun).expect("a noun");
            noun.get_subcommands().map(|verb| verb.get_name().to_owned()).collect()
        };
        assert_eq!(verbs("interface"), ["list", "show", "test", "pause", "resume"]);
        assert_eq!(
            verbs("schedule"),
            [
                "list",
                "show",
                "next",
                "slots",
                "why",
                "explain",
                "run",
                "backfill",
                "pause",
                "resume",
                "skip-next"
            ]
        );
        assert_eq!(
            verbs("execution"),
            ["list", "show", "log", "rerun", "cancel", "note", "export"]
        );
        assert_eq!(verbs("event"), ["list", "tail", "show"]);
        assert_eq!(
            verbs("store"),
            ["info", "verify", "backup", "restore", "compact", "export", "import"]
        );
        assert_eq!(verbs("token"), ["create", "list", "revoke"]);
        assert_eq!(verbs("import"), ["crontab"]);
    }

    #[test]
    fn wrong_usage_ends_with_2() {
        for line in [
            "daybook",
            "daybook nonsense",
            "daybook schedule show no-slash",
            "daybook execution list --status broken",
            "daybook execution list --limit 1001",
            "daybook execution rerun",
            "daybook execution rerun latest --wait --timeout soon",
        ] {
            let err = parsed(line).expect_err(line);
            assert_eq!(err.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn the_long_help_of_every_verb_tells_the_exit_codes() {
        let help = parsed("daybook execution rerun --help").expect_err("help");
        assert_eq!(help.exit_code(), 0);
        assert!(help.to_string().contains("5  the awaited execution ended KO"), "{help}");
    }
}
