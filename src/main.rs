//! The `daybook` program.

use std::process::ExitCode;

use daybook::{app, cli, jobs};

fn main() -> ExitCode {
    // Before anything else of the daemon or the command line: a runner is small.
    if let Some(code) = jobs::entered(std::env::args_os()) {
        return ExitCode::from(code);
    }
    let wiring = cli::Wiring {
        serve: app::serve_command,
        checks: app::checks(),
        compact: app::compact_folder,
    };
    ExitCode::from(cli::main(std::env::args_os(), wiring))
}
