//! What the settings, the environment and the folder of schedules make of each part.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::error::ServeError;
use super::retention::{Care, Retention};
use super::serve::{Core, REVISION, VERSION};
use super::store::Stores;
use super::upkeep::Upkeep;
use super::wiring::Folder;
use crate::clock::Clock;
use crate::config::{Environment, LogFormat, Settings};
use crate::domain::definition;
use crate::http;
use crate::http::server::{Bind, SocketMode, TlsFiles};
use crate::jobs::probe::{Probe, system_roots};
use crate::jobs::{CredentialDirs, JobSettings, Runners};
use crate::telemetry::logging::{self, LogSettings};
use crate::telemetry::metrics::Metrics;

/// What a daemon is started with.
pub(super) struct Daemon {
    pub(super) settings: Settings,
    pub(super) folder: Folder,
    pub(super) environment: Environment,
}

impl Daemon {
    /// Where the daemon listens.
    pub(super) fn binds(&self) -> Vec<Bind> {
        let settings = &self.settings;
        // A runtime folder is the service's: its group may use the command line.
        let mode = if self.environment.filled("RUNTIME_DIRECTORY").is_some() {
            SocketMode::Group
        } else {
            SocketMode::User
        };
        let tls = settings.tls_cert.value.clone().zip(settings.tls_key.value.clone());
        vec![
            Bind::Unix { path: settings.socket.value.clone(), mode },
            Bind::Tcp {
                address: settings.listen.value,
                tls: tls.map(|(certificate, key)| TlsFiles { certificate, key }),
                insecure: settings.insecure_listen.value,
            },
        ]
    }

    /// The folder that holds the schedules folder.
    fn root(&self) -> PathBuf {
        let dir = &self.folder.dir;
        let dir = fs::canonicalize(dir).unwrap_or_else(|_| dir.clone());
        dir.parent().map_or_else(|| dir.clone(), Path::to_path_buf)
    }

    /// What jobs work with.
    ///
    /// # Errors
    /// [`ServeError::Machine`] when the data folder cannot be named.
    pub(super) fn job_settings(
        &self,
        clock: &Arc<dyn Clock>,
        metrics: &Arc<Metrics>,
    ) -> Result<JobSettings, ServeError> {
        let credentials = CredentialDirs {
            systemd: self.environment.path("CREDENTIALS_DIRECTORY"),
            data: self.settings.data.value.join("credentials"),
            root: self.root(),
            environment: Arc::new(self.environment.all()),
        };
        let settings = &self.settings;
        let (data, cgroups) = (&settings.data.value, settings.cgroups.value);
        let shared = (Arc::clone(clock), Arc::clone(metrics));
        let runners = Runners::new(data, cgroups, &credentials.environment, shared)
            .map_err(|err| ServeError::machine("the data folder", &err))?;
        let (grace, metrics) = (settings.grace.value, Arc::clone(metrics));
        Ok(JobSettings::new(self.root(), credentials, grace, metrics, runners))
    }

    /// What the HTTP side works with; it listens on `address`.
    pub(super) fn http_parts(
        &self,
        (stores, retention): (&Stores, &Retention),
        core: &Core,
        runners: &Runners,
        address: Option<SocketAddr>,
    ) -> http::Parts {
        let settings = &self.settings;
        let folder = self.folder.clone();
        let environment = self.environment.all();
        http::Parts {
            engine: core.handle.clone(),
            log: stores.log.clone(),
            store: stores.access(&settings.data.value, retention, &core.clock),
            projections: stores.projections.clone(),
            lines: stores.lines.clone(),
            space: Arc::clone(&stores.space),
            metrics: Arc::clone(&core.metrics),
            clock: Arc::clone(&core.clock),
            probe: Probe {
                root: self.root(),
                credentials_directory: self.environment.path("CREDENTIALS_DIRECTORY"),
                credentials: settings.data.value.join("credentials"),
                path: environment.get("PATH").cloned().unwrap_or_default(),
                variables: environment.keys().cloned().collect(),
                roots: Arc::new(system_roots()),
            },
            settings: http::Settings {
                data: settings.data.value.clone(),
                backups: settings.backups.value.clone(),
                base_url: address.map(|address| self.base_url(address)),
                metrics: settings.metrics.value,
                version: VERSION.to_owned(),
                revision: REVISION.map(str::to_owned),
                shown: settings.rows(),
                file: settings.file.clone(),
            },
            runners: runners.clone(),
            files: Box::new(move || folder.read()),
            memory: http::Memory::default(),
            stop: core.stop.clone(),
        }
    }

    /// Who removes history that is over.
    pub(super) fn retention(&self, core: &Core, stores: &Stores, upkeep: &Upkeep) -> Retention {
        Retention {
            upkeep: upkeep.clone(),
            lines: stores.lines.clone(),
            clock: Arc::clone(&core.clock),
            usual: usual(&self.settings),
            care: Care::Gentle,
            freeing: Arc::default(),
        }
    }

    /// The address that people open.
    pub(super) fn base_url(&self, address: SocketAddr) -> String {
        let scheme = if self.settings.tls_cert.value.is_some() { "https" } else { "http" };
        format!("{scheme}://{address}")
    }
}

/// What is kept where an interface says nothing.
pub(super) fn usual(settings: &Settings) -> definition::Retention {
    let ms = |limit: Option<Duration>| {
        limit.map(|limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX))
    };
    definition::Retention {
        ok_ms: ms(settings.retention_ok.value),
        ko_ms: ms(settings.retention_ko.value),
        lines_ms: ms(settings.retention_lines.value),
        ..definition::Retention::default()
    }
}

/// How the daemon's own log is written.
pub(super) fn log_settings(settings: &Settings, environment: &Environment) -> LogSettings {
    LogSettings {
        level: settings.log_level.value.clone(),
        format: match settings.log_format.value {
            LogFormat::Auto => logging::Format::Auto,
            LogFormat::Journald => logging::Format::Journald,
            LogFormat::Text => logging::Format::Text,
            LogFormat::Json => logging::Format::Json,
        },
        folder: settings.log_dir.value.clone(),
        journal_stream: environment.filled("JOURNAL_STREAM").map(ToOwned::to_owned),
        no_color: environment.filled("NO_COLOR").is_some(),
    }
}

/// Makes the data folder, for the daemon's user alone.
///
/// # Errors
/// [`ServeError::Machine`] when it cannot be made.
pub(super) fn make_private(data: &Path) -> Result<(), ServeError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(data);
    made.map_err(|err| {
        ServeError::Machine(format!(
            "the data folder `{}`: {err}\nhint: name another one with --data",
            data.display()
        ))
    })
}
