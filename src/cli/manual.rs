//! `daybook man`, `completions` and `version`: what the program says about itself.

use std::path::PathBuf;

use super::args::tree;
use super::context::Context;
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::run::version_document;

/// Where the manual goes.
#[derive(Debug, clap::Args)]
pub struct Man {
    /// Write a page for each command into this folder
    #[arg(value_name = "DIR")]
    pub folder: Option<PathBuf>,
}

impl Man {
    /// Prints or writes the pages.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn run(self, context: &mut Context<'_>) -> Outcome {
        let Some(folder) = self.folder else {
            return Ok(clap_mangen::Man::new(tree()).render(context.out.data())?);
        };
        let cannot = |err: &std::io::Error| {
            let message = format!("the pages cannot be written to `{}`", folder.display());
            Failure::new(Exit::Failed, message).because(err)
        };
        std::fs::create_dir_all(&folder).map_err(|err| cannot(&err))?;
        clap_mangen::generate_to(tree(), &folder).map_err(|err| cannot(&err))?;
        Ok(context.out.message(format!("wrote the pages to {}", folder.display()))?)
    }
}

/// For which shell.
#[derive(Debug, clap::Args)]
pub struct Completions {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

impl Completions {
    /// Prints the script.
    ///
    /// # Errors
    /// Nothing can be written.
    pub fn run(self, context: &mut Context<'_>) -> Outcome {
        // The generator panics when its writer fails, as a closed pipe does.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut tree(), "daybook", &mut script);
        Ok(context.out.raw(&script)?)
    }
}

/// Prints the version.
///
/// # Errors
/// Nothing can be written.
pub fn version(context: &mut Context<'_>) -> Outcome {
    let document = version_document();
    if context.out.json {
        return Ok(context.out.document(&document)?);
    }
    let revision = document.get("revision").and_then(serde_json::Value::as_str);
    let revision = revision.map(|revision| format!(" ({revision})")).unwrap_or_default();
    Ok(context.out.line(format!("daybook {}{revision}", env!("CARGO_PKG_VERSION")))?)
}
