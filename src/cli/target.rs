//! A file that a command writes: it has its name when it is complete, and not before.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::context::Context;
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::meter::Meter;

/// Where something is written: a file, or standard output. A file that does not become complete is removed.
pub struct Target {
    file: Option<Partial>,
    meter: Meter,
    written: u64,
}

/// A file beside the one that it becomes.
struct Partial {
    file: File,
    path: PathBuf,
    complete: bool,
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.complete
            && let Err(err) = fs::remove_file(&self.path)
        {
            tracing::debug!(file = %self.path.display(), %err, "what is not complete stays");
        }
    }
}

impl Target {
    /// Begins to write to `path`; `-` is standard output.
    ///
    /// # Errors
    /// It is there already, or cannot be written.
    pub fn begin(path: &Path) -> Outcome<Self> {
        if path.as_os_str() == "-" {
            return Ok(Self { file: None, meter: Meter::begin(), written: 0 });
        }
        if path.exists() {
            let message = format!("`{}` is there already", path.display());
            return Err(Failure::new(Exit::Conflict, message).hint("name another file"));
        }
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let mut options = File::options();
        // What jobs said and how they are defined is their owner's alone.
        options.write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(&partial).map_err(|err| cannot_write(&partial, &err))?;
        let file = Some(Partial { file, path: partial, complete: false });
        Ok(Self { file, meter: Meter::begin(), written: 0 })
    }

    /// The file; none for standard output.
    pub fn file(&self) -> Option<&File> {
        self.file.as_ref().map(|partial| &partial.file)
    }

    /// Whether progress has a place: not where the data itself is shown.
    pub fn lets_progress_show(&self, context: &Context<'_>) -> bool {
        self.file.is_some() || !context.out.terminal
    }

    /// Writes the next part, and tells how much that is by now.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&mut self, part: &[u8], context: &mut Context<'_>) -> Outcome {
        match &mut self.file {
            Some(Partial { file, path, .. }) => {
                file.write_all(part).map_err(|err| cannot_write(path, &err))?;
            }
            None => context.out.piece(part)?,
        }
        self.written += part.len() as u64;
        if self.lets_progress_show(context) {
            self.meter.show(&mut context.out.messages, "exporting", (self.written, 0));
        }
        Ok(())
    }

    /// All is written: the file gets its name.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(self, path: &Path) -> Outcome {
        let Some(mut partial) = self.file else { return Ok(()) };
        let named = partial.file.sync_all().and_then(|()| fs::rename(&partial.path, path));
        partial.complete = named.is_ok();
        named.map_err(|err| cannot_write(path, &err))
    }
}

fn cannot_write(path: &Path, err: &io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("`{}` cannot be written", path.display())).because(err)
}
