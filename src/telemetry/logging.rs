//! Daybook's own log: to the terminal or journald, and to rolling files when asked.

use std::fmt;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use tracing_appender::non_blocking::WorkerGuard;
use tracing_appender::rolling;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt as layer};

/// Rolling files kept; the oldest goes when another day begins.
const KEPT_FILES: usize = 14;

/// A crate that tells of its own start as if that were news.
const TALKATIVE: &str = "tokio_cron_scheduler";

/// How a record is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Journald's fields when standard error goes there, else text.
    #[default]
    Auto,
    /// One line of text, coloured on a terminal.
    Text,
    /// One JSON object.
    Json,
    /// Journald's fields, wherever standard error goes.
    Journald,
}

/// What the log is to be.
#[derive(Clone, Debug, Default)]
pub struct LogSettings {
    /// A level, or directives such as `info,daybook::engine=debug`.
    pub level: String,
    /// How records are written.
    pub format: Format,
    /// Where daily files go; none writes none.
    pub folder: Option<PathBuf>,
    /// The value of `JOURNAL_STREAM`, if set.
    pub journal_stream: Option<String>,
    /// Whether `NO_COLOR` is set.
    pub no_color: bool,
}

/// Why the log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level is none.
    #[error(
        "log level `{given}`: {source}\nhint: error, warn, info, debug, trace, or info,daybook::engine=debug"
    )]
    Level {
        /// The text that was given.
        given: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// The folder cannot be written to.
    #[error("log folder `{path}`: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: tracing_appender::rolling::InitError,
    },
    /// Journald does not answer.
    #[error("journald: {0}\nhint: log_format = \"auto\" takes it only where it is there")]
    Journal(io::Error),
    /// A log has been set up before.
    #[error("the log is set up already")]
    Twice,
}

/// Keeps the files' writer alive; what is buffered is written when it is dropped.
#[must_use = "the log's last records are lost when this is dropped early"]
pub struct LogGuard {
    _files: Option<WorkerGuard>,
}

impl fmt::Debug for LogGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogGuard")
    }
}

type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Sets the process's log up, once.
///
/// # Errors
/// [`LogError`].
pub fn init(settings: &LogSettings) -> Result<LogGuard, LogError> {
    let filter = filter(&settings.level)?;
    let mut layers: Vec<BoxedLayer> = Vec::with_capacity(2);
    layers.push(main_layer(settings)?.with_filter(filter.clone()).boxed());
    let mut files = None;
    if let Some(folder) = &settings.folder {
        let (file_layer, guard) = file_layer(folder)?;
        layers.push(file_layer.with_filter(filter).boxed());
        files = Some(guard);
    }
    tracing_subscriber::registry().with(layers).try_init().map_err(|_err| LogError::Twice)?;
    Ok(LogGuard { _files: files })
}

fn filter(level: &str) -> Result<EnvFilter, LogError> {
    let level = if level.is_empty() { "info" } else { level };
    let refuse = |source| LogError::Level { given: level.to_owned(), source };
    let filter = EnvFilter::builder().parse(level).map_err(refuse)?;
    let most = filter.max_level_hint().unwrap_or(LevelFilter::TRACE);
    if level.contains(TALKATIVE) || most <= LevelFilter::WARN {
        return Ok(filter);
    }
    Ok(filter.add_directive(format!("{TALKATIVE}=warn").parse().map_err(refuse)?))
}

fn main_layer(settings: &LogSettings) -> Result<BoxedLayer, LogError> {
    let to_journal = match settings.format {
        Format::Auto => settings.journal_stream.as_deref().is_some_and(stderr_is_journal),
        Format::Journald => true,
        Format::Text | Format::Json => false,
    };
    if to_journal {
        return tracing_journald::layer().map(Layer::boxed).map_err(LogError::Journal);
    }
    let colour = io::stderr().is_terminal() && !settings.no_color;
    let base = layer::layer().with_writer(io::stderr).with_ansi(colour);
    Ok(match settings.format {
        Format::Json => base.json().flatten_event(true).boxed(),
        Format::Auto | Format::Text | Format::Journald => base.boxed(),
    })
}

/// `JOURNAL_STREAM` names device and inode of the stream that goes to journald; a redirected standard error has others
/// (systemd.exec(5)).
fn stderr_is_journal(stream: &str) -> bool {
    let Some((device, inode)) = stream.split_once(':') else { return false };
    let Ok(stat) = rustix::fs::fstat(io::stderr()) else { return false };
    device.parse() == Ok(stat.st_dev) && inode.parse() == Ok(stat.st_ino)
}

fn file_layer(folder: &Path) -> Result<(BoxedLayer, WorkerGuard), LogError> {
    let files = rolling::RollingFileAppender::builder()
        .rotation(rolling::Rotation::DAILY)
        .filename_prefix("daybook")
        .filename_suffix("log")
        .max_log_files(KEPT_FILES)
        .build(folder)
        .map_err(|source| LogError::Folder { path: folder.to_owned(), source })?;
    let (writer, guard) = tracing_appender::non_blocking(files);
    let layer = layer::layer().with_writer(writer).with_ansi(false).json().flatten_event(true);
    Ok((layer.boxed(), guard))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_is_none_is_named_with_a_hint() {
        let err = filter("chatty,=").expect_err("no level").to_string();
        assert!(err.contains("chatty") && err.contains("hint:"), "{err}");
        assert!(filter("info,daybook::engine=debug").is_ok());
        assert!(filter("").is_ok());
    }

    #[test]
    fn a_talkative_crate_is_heard_only_when_the_level_names_it() {
        let shown = |level| filter(level).expect("a level").to_string();
        assert!(shown("info").contains("tokio_cron_scheduler=warn"), "{}", shown("info"));
        assert!(shown("debug,daybook=trace").contains("tokio_cron_scheduler=warn"));
        assert!(!shown("info,tokio_cron_scheduler=debug").contains("=warn"));
        assert!(!shown("error").contains("tokio_cron_scheduler"));
    }

    #[test]
    fn a_stream_that_is_not_the_journals_is_no_journal() {
        assert!(!stderr_is_journal("1:1"));
        assert!(!stderr_is_journal("nonsense"));
        let stat = rustix::fs::fstat(io::stderr()).expect("standard error is open");
        assert!(stderr_is_journal(&format!("{}:{}", stat.st_dev, stat.st_ino)));
    }

    #[test]
    fn rolling_files_get_what_is_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let (layer, guard) = file_layer(folder.path()).expect("a writable folder");
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(interface = "fnac", "reloaded");
        });
        drop(guard);
        let file = std::fs::read_dir(folder.path()).expect("readable").next().expect("a file");
        let text = std::fs::read_to_string(file.expect("an entry").path()).expect("text");
        assert!(text.contains("\"message\":\"reloaded\"") && text.contains("\"fnac\""), "{text}");
    }

    #[test]
    fn a_folder_that_cannot_be_written_to_is_named() {
        let err = file_layer(Path::new("/dev/null/logs")).err().expect("no folder").to_string();
        assert!(err.starts_with("log folder `/dev/null/logs`:"), "{err}");
    }
}
