//! `daybook import`.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::context::Context;
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::host::{self, User};
use super::text::clean;
use crate::config::crontab::{self, Format, Host, Import, Source};

/// The user of the packaged service.
const SERVICE: &str = "daybook";

/// What can be taken over.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Turn crontab files into interfaces' files; needs no daemon
    ///
    /// Prints the TOML, or writes one file for each crontab with `--to`. A line that would mean something else here is not
    /// imported, and listed with the reason. The value of a variable that promises a secret is left out, and a note says
    /// where to put it. Exit code 4 when no line could be imported.
    Crontab(Crontab),
}

/// Which crontabs.
#[derive(Debug, clap::Args)]
pub struct Crontab {
    /// The crontab files
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// `system` has a user's name before the command [default: by the path, as cron does, else by the text]
    #[arg(long, value_parser = ["user", "system"])]
    pub format: Option<String>,
    /// The user that the daemon runs as [default: `daybook` where there is one, else the one who runs this]
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Write the files into this folder instead of printing them
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
}

impl Verb {
    /// Does it.
    ///
    /// # Errors
    /// A file cannot be read or written, or nothing can be imported (4).
    pub fn run(self, context: &mut Context<'_>) -> Outcome {
        let Self::Crontab(asked) = self;
        let host = asked.host(context)?;
        let mut imports = Vec::new();
        for path in &asked.files {
            let bytes = fs::read(path).map_err(|err| cannot_read(path, &err))?;
            // `cd /etc/cron.d` makes a relative path, which tells less about its place.
            let whole = fs::canonicalize(path).unwrap_or_else(|_gone| path.to_owned());
            let format = asked.format(path, &whole, &bytes)?;
            let source = Source { path, bytes: &bytes, format, owner: crontab::owner(&whole) };
            imports.push(crontab::import(&source, &host, context.checks));
        }
        if let Some(folder) = &asked.to {
            for import in &imports {
                write(folder, import, context)?;
            }
        }
        shown(&imports, asked.to.is_none(), context)?;
        if imports.iter().all(|import| import.imported == 0) {
            return Err(Failure::new(Exit::NothingMatched, "no line could be imported"));
        }
        Ok(())
    }
}

impl Crontab {
    fn format(&self, path: &Path, whole: &Path, bytes: &[u8]) -> Outcome<Format> {
        match self.format.as_deref() {
            Some("system") => return Ok(Format::System),
            Some(_) => return Ok(Format::User),
            None => (),
        }
        if let Some(format) = Format::by_place(whole) {
            return Ok(format);
        }
        let text = String::from_utf8_lossy(bytes);
        Format::by_text(&text, |word| host::named(word).is_some()).map_err(|mixed| {
            Failure::usage(format!("`{}` can be read in two ways", path.display()))
                .because(&mixed)
                .hint("say `--format system` if a user's name stands before each command, else `--format user`")
        })
    }

    fn host(&self, context: &Context<'_>) -> Outcome<Host> {
        let user = match &self.user {
            None => daemon_user(host::named(SERVICE), host::current),
            Some(name) => host::named(name).ok_or_else(|| {
                Failure::new(Exit::NotFound, format!("there is no user `{name}` on this machine"))
            })?,
        };
        let zone = context.times.zone.name().to_owned();
        Ok(Host { user: user.name, home: user.home, zone })
    }
}

/// The user that the daemon most likely runs as: the packaged service's, once it is installed.
fn daemon_user(service: Option<User>, current: impl FnOnce() -> User) -> User {
    service.unwrap_or_else(current)
}

fn cannot_read(path: &Path, err: &std::io::Error) -> Failure {
    let exit = match err.kind() {
        std::io::ErrorKind::NotFound => Exit::NotFound,
        std::io::ErrorKind::PermissionDenied => Exit::Denied,
        _ => Exit::Failed,
    };
    Failure::new(exit, format!("`{}` cannot be read", path.display())).because(err)
}

/// Writes an import's file; one that is there already stays.
fn write(folder: &Path, import: &Import, context: &mut Context<'_>) -> Outcome {
    let Some(toml) = &import.toml else { return Ok(()) };
    let path = folder.join(format!("{}.toml", import.id));
    let file = fs::File::options().write(true).create_new(true).open(&path);
    let written = file.and_then(|mut file| file.write_all(toml.as_bytes()));
    written.map_err(|err| {
        let there = err.kind() == std::io::ErrorKind::AlreadyExists;
        let exit = if there { Exit::Conflict } else { Exit::Failed };
        Failure::new(exit, format!("`{}` cannot be written", path.display())).because(&err)
    })?;
    Ok(context.out.message(format!("wrote {}", path.display()))?)
}

fn shown(imports: &[Import], print: bool, context: &mut Context<'_>) -> Outcome {
    if context.out.json {
        return Ok(context.out.document(&json!({"items": imports, "next": null}))?);
    }
    for import in imports {
        if let (true, Some(toml)) = (print, &import.toml) {
            if imports.len() > 1 {
                context.out.line(format!("# {}.toml", import.id))?;
            }
            context.out.raw(toml.as_bytes())?;
        }
        for note in &import.notes {
            context.out.message(format!("note: {note}"))?;
        }
        for left in &import.left {
            let place = format!("{}:{}", left.file, left.line);
            context.out.message(format!("{place}: not imported: {}", clean(&left.reason)))?;
            context.out.message(format!("    {}", clean(&left.text)))?;
        }
        let left = import.left.len();
        context.out.message(format!("{}: {} imported, {left} not", import.id, import.imported))?;
    }
    if let Some(import) = imports.first() {
        let user = &import.user;
        context.out.message(format!(
            "imported for a daemon that runs as {user}; `--user` names another"
        ))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_for_the_services_user_where_it_is_installed() {
        let user = |name: &str| User { name: name.to_owned(), home: format!("/home/{name}") };
        assert_eq!(daemon_user(Some(user("daybook")), || user("root")).name, "daybook");
        assert_eq!(daemon_user(None, || user("root")).name, "root");
    }
}
