//! The `daybook` program.

use std::process::ExitCode;

use daybook::{app, cli};

fn main() -> ExitCode {
    let wiring = cli::Wiring { serve: app::serve_command, checks: app::checks() };
    ExitCode::from(cli::main(std::env::args_os(), wiring))
}
