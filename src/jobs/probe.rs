//! Whether an interface's jobs could run: programs, folders, credentials, and DNS, TCP and TLS of the hosts they call.
//!
//! Nothing is run and nothing is requested; a ping's URL is not even resolved. What depends on a template can only be told
//! when a job runs, and is marked so.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use utoipa::ToSchema;

use crate::domain::definition::{EnvValue, Interface, Job, Schedule};

/// Where systems keep the issuers that they trust.
const CA_FILES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// One step to a host must be done within this time.
const STEP: Duration = Duration::from_secs(5);

/// What an interface's jobs need, and whether it is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Report {
    /// Nothing failed.
    pub ok: bool,
    /// What was looked at.
    pub findings: Vec<Finding>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// `program`, `folder`, `credential`, `dns`, `tcp` or `tls`.
    pub what: String,
    /// Its name: a program, a credential's name, a host with its port. Never a secret.
    pub name: String,
    /// Whether it is as it should be.
    pub state: State,
    /// What was found.
    pub detail: String,
}

/// Whether a thing is as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is.
    Ok,
    /// It is not: the job would end KO.
    Failed,
    /// It can only be told when the job runs.
    Unknown,
}

impl Finding {
    fn new(what: &str, name: impl Into<String>, state: State, detail: impl Into<String>) -> Self {
        Self { what: what.to_owned(), name: name.into(), state, detail: detail.into() }
    }
}

/// Where jobs find what they need.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The folder that holds the schedules folder.
    pub root: PathBuf,
    /// `$CREDENTIALS_DIRECTORY`, when systemd hands credentials in.
    pub credentials_directory: Option<PathBuf>,
    /// `<data>/credentials`.
    pub credentials: PathBuf,
    /// The `PATH` that commands get unless their interface sets one.
    pub path: String,
    /// Names of the daemon's own variables, for `from_env`.
    pub variables: BTreeSet<String>,
    /// The issuers to trust.
    pub roots: Arc<RootCertStore>,
}

/// The issuers that this system trusts; none when it has no list in a usual place.
pub fn system_roots() -> RootCertStore {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    let mut roots = RootCertStore::empty();
    for file in CA_FILES {
        let Ok(certificates) = CertificateDer::pem_file_iter(file) else { continue };
        roots.add_parsable_certificates(certificates.filter_map(Result::ok));
        if !roots.is_empty() {
            break;
        }
    }
    roots
}

/// A host to call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Host {
    name: String,
    port: u16,
    tls: bool,
}

impl Probe {
    /// Everything, hosts included.
    pub async fn interface(&self, interface: &Interface) -> Report {
        let mut findings = self.on_this_machine(interface).await;
        let mut hosts = BTreeSet::new();
        for schedule in interface.schedules.values() {
            let Job::Http(http) = &schedule.job else { continue };
            match host(&http.url) {
                Ok(host) => drop(hosts.insert(host)),
                Err(finding) => findings.push(finding),
            }
        }
        for host in hosts {
            findings.extend(self.host(&host).await);
        }
        let ok = findings.iter().all(|finding| finding.state != State::Failed);
        Report { ok, findings }
    }

    /// What can be told without a network: programs, folders, credentials.
    pub async fn on_this_machine(&self, interface: &Interface) -> Vec<Finding> {
        let (probe, interface) = (self.clone(), interface.clone());
        let looked = tokio::task::spawn_blocking(move || probe.look(&interface)).await;
        looked.unwrap_or_else(|err| {
            vec![Finding::new(
                "program",
                "",
                State::Unknown,
                format!("could not be looked at: {err}"),
            )]
        })
    }

    fn look(&self, interface: &Interface) -> Vec<Finding> {
        let path = match interface.env.get("PATH") {
            Some(EnvValue::Text(path)) => path,
            _ => &self.path,
        };
        let mut findings: BTreeMap<(String, String), Finding> = BTreeMap::new();
        let mut add = |f: Finding| drop(findings.insert((f.what.clone(), f.name.clone()), f));
        for schedule in interface.schedules.values() {
            self.job(schedule, path).into_iter().for_each(&mut add);
            if let Job::Http(http) = &schedule.job {
                http.headers.values().filter_map(|value| self.secret(value)).for_each(&mut add);
            }
        }
        interface.env.values().filter_map(|value| self.secret(value)).for_each(&mut add);
        findings.into_values().collect()
    }

    fn job(&self, schedule: &Schedule, path: &str) -> Vec<Finding> {
        let program = match &schedule.job {
            Job::Http(_) => return Vec::new(),
            Job::Shell(_) => "/bin/sh",
            Job::Command(words) => words.first().map_or("", String::as_str),
        };
        if program.contains("{{") || schedule.cwd.contains("{{") {
            let detail = "holds a template: it can only be told when it runs";
            return vec![Finding::new("program", program, State::Unknown, detail)];
        }
        let folder = self.root.join(&schedule.cwd);
        let mut findings = Vec::with_capacity(2);
        if !folder.is_dir() {
            let name = folder.display().to_string();
            findings.push(Finding::new("folder", name, State::Failed, "is no folder"));
        }
        findings.push(executable(program, &folder, path));
        findings
    }

    fn secret(&self, value: &EnvValue) -> Option<Finding> {
        let (name, looked) = match value {
            EnvValue::Text(_) => return None,
            EnvValue::Credential(name) => (name.clone(), self.credential(name)),
            EnvValue::File(file) => (file.clone(), readable(&self.root.join(file))),
            EnvValue::FromEnv(name) if self.variables.contains(name) => {
                (name.clone(), Ok("the variable is set".to_owned()))
            }
            EnvValue::FromEnv(name) => {
                (name.clone(), Err("the daemon has no such variable".to_owned()))
            }
        };
        let (state, detail) = match looked {
            Ok(detail) => (State::Ok, detail),
            Err(detail) => (State::Failed, detail),
        };
        Some(Finding::new("credential", name, state, detail))
    }

    /// `$CREDENTIALS_DIRECTORY/x`, else `<data>/credentials/x`, which must be the user's alone (contract, section 3).
    fn credential(&self, name: &str) -> Result<String, String> {
        if let Some(folder) = &self.credentials_directory
            && folder.join(name).exists()
        {
            return readable(&folder.join(name));
        }
        let file = self.credentials.join(name);
        let metadata =
            std::fs::metadata(&file).map_err(|err| format!("`{}`: {err}", file.display()))?;
        if metadata.mode() & 0o077 != 0 {
            let mode = metadata.mode() & 0o7777;
            return Err(format!("`{}` has mode {mode:04o}, it must be 0600", file.display()));
        }
        readable(&file)
    }

    async fn host(&self, host: &Host) -> Vec<Finding> {
        let name = format!("{}:{}", host.name, host.port);
        let mut findings = Vec::with_capacity(3);
        let addresses = match resolve(host).await {
            Ok(addresses) => addresses,
            Err(why) => {
                findings.push(Finding::new("dns", name, State::Failed, why));
                return findings;
            }
        };
        let list: Vec<String> = addresses.iter().map(|a| a.ip().to_string()).collect();
        findings.push(Finding::new("dns", name.as_str(), State::Ok, list.join(", ")));
        let stream = match connect(&addresses).await {
            Ok(stream) => stream,
            Err(why) => {
                findings.push(Finding::new("tcp", name, State::Failed, why));
                return findings;
            }
        };
        let peer =
            stream.peer_addr().map_or_else(|_| String::new(), |a| format!("connected to {a}"));
        findings.push(Finding::new("tcp", name.as_str(), State::Ok, peer));
        if host.tls {
            let (state, detail) = match self.handshake(host, stream).await {
                Ok(detail) => (State::Ok, detail),
                Err(why) => (State::Failed, why),
            };
            findings.push(Finding::new("tls", name, state, detail));
        }
        findings
    }

    async fn handshake(&self, host: &Host, stream: TcpStream) -> Result<String, String> {
        if self.roots.is_empty() {
            return Err("this system has no list of issuers to trust (package `ca-certificates`)"
                .to_owned());
        }
        let server = ServerName::try_from(host.name.clone()).map_err(|err| err.to_string())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|err| err.to_string())?
            .with_root_certificates(Arc::clone(&self.roots))
            .with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(config));
        let stream = timeout(STEP, connector.connect(server, stream))
            .await
            .map_err(|_elapsed| late())?
            .map_err(|err| err.to_string())?;
        let version = stream.get_ref().1.protocol_version();
        Ok(version
            .map_or_else(String::new, |version| format!("{version:?}, the certificate is valid")))
    }
}

fn late() -> String {
    format!("no answer within {} s", STEP.as_secs())
}

async fn resolve(host: &Host) -> Result<Vec<SocketAddr>, String> {
    let looked = timeout(STEP, tokio::net::lookup_host((host.name.as_str(), host.port))).await;
    let addresses: Vec<SocketAddr> =
        looked.map_err(|_elapsed| late())?.map_err(|err| err.to_string())?.collect();
    if addresses.is_empty() { Err("the name has no address".to_owned()) } else { Ok(addresses) }
}

async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, String> {
    let mut why = String::new();
    for address in addresses {
        match timeout(STEP, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(err)) => why = format!("{address}: {err}"),
            Err(_) => why = format!("{address}: {}", late()),
        }
    }
    Err(why)
}

fn readable(file: &Path) -> Result<String, String> {
    match std::fs::File::open(file).and_then(|file| file.metadata()) {
        Ok(metadata) if metadata.is_file() => Ok("can be read".to_owned()),
        Ok(_) => Err(format!("`{}` is no file", file.display())),
        Err(err) => Err(format!("`{}`: {err}", file.display())),
    }
}

/// A program with a slash is relative to the job's folder, one without is looked for in `PATH`.
fn executable(program: &str, folder: &Path, path: &str) -> Finding {
    let runs = |file: &Path| {
        file.is_file() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok()
    };
    let finding = |state, detail: String| Finding::new("program", program, state, detail);
    if program.contains('/') {
        let file = folder.join(program);
        return if runs(&file) {
            finding(State::Ok, format!("`{}` is executable", file.display()))
        } else if file.exists() {
            finding(State::Failed, format!("`{}` is not executable", file.display()))
        } else {
            finding(State::Failed, format!("`{}` does not exist", file.display()))
        };
    }
    let found =
        path.split(':').filter(|dir| !dir.is_empty()).map(|dir| Path::new(dir).join(program));
    found.into_iter().find(|file| !program.is_empty() && runs(file)).map_or_else(
        || finding(State::Failed, format!("is not in PATH ({path})")),
        |file| finding(State::Ok, format!("`{}`", file.display())),
    )
}

/// The host in an URL. A template before the path leaves it open.
fn host(url: &str) -> Result<Host, Finding> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    // What stands before the `@` may be a password.
    let place = authority.rsplit('@').next().unwrap_or_default();
    let unknown = |detail: &str| Err(Finding::new("dns", place, State::Unknown, detail));
    if scheme.contains("{{") || authority.contains("{{") {
        return unknown("holds a template: it can only be told when it runs");
    }
    let tls = match scheme {
        "https" => true,
        "http" => false,
        _ => return unknown("is no http or https address"),
    };
    let (name, port) = match place.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, port.parse().ok()),
        _ => (place, Some(if tls { 443 } else { 80 })),
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    match port {
        Some(port) if !name.is_empty() => Ok(Host { name: name.to_owned(), port, tls }),
        _ => Err(Finding::new("dns", place, State::Failed, "is no host with a port")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn probe(root: &Path) -> Probe {
        Probe {
            root: root.to_owned(),
            credentials_directory: None,
            credentials: root.join("credentials"),
            path: "/usr/bin:/bin".to_owned(),
            variables: BTreeSet::from(["SET".to_owned()]),
            roots: Arc::new(RootCertStore::empty()),
        }
    }

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a folder")
    }

    fn write(file: &Path, mode: u32) {
        std::fs::write(file, "x").expect("writable");
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).expect("a mode");
    }

    #[test]
    fn a_program_is_looked_for_as_a_job_would() {
        let folder = folder();
        write(&folder.path().join("plain"), 0o600);
        write(&folder.path().join("tool"), 0o700);
        let state = |program| executable(program, folder.path(), "/usr/bin:/bin").state;
        assert_eq!(state("./tool"), State::Ok);
        assert_eq!(state("./plain"), State::Failed);
        assert_eq!(state("./absent"), State::Failed);
        assert_eq!(state("sh"), State::Ok);
        assert_eq!(state("no-such-program"), State::Failed);
        assert_eq!(state(""), State::Failed);
    }

    #[test]
    fn a_credential_that_others_can_read_is_refused() {
        let folder = folder();
        let probe = probe(folder.path());
        std::fs::create_dir(&probe.credentials).expect("a folder");
        write(&probe.credentials.join("open"), 0o644);
        write(&probe.credentials.join("closed"), 0o600);
        let state = |value: EnvValue| probe.secret(&value).map(|finding| finding.state);
        assert_eq!(state(EnvValue::Credential("closed".to_owned())), Some(State::Ok));
        assert_eq!(state(EnvValue::Credential("open".to_owned())), Some(State::Failed));
        assert_eq!(state(EnvValue::Credential("absent".to_owned())), Some(State::Failed));
        assert_eq!(state(EnvValue::FromEnv("SET".to_owned())), Some(State::Ok));
        assert_eq!(state(EnvValue::FromEnv("UNSET".to_owned())), Some(State::Failed));
        assert_eq!(state(EnvValue::Text("t".to_owned())), None);
    }

    #[test]
    fn the_host_is_what_stands_between_scheme_and_path() {
        let found = |url| host(url).map(|h| (h.name, h.port, h.tls)).map_err(|f| f.state);
        assert_eq!(
            found("https://api.fnac.example/v1?x"),
            Ok(("api.fnac.example".to_owned(), 443, true))
        );
        assert_eq!(found("http://u:p@[::1]:8080/"), Ok(("::1".to_owned(), 8080, false)));
        assert_eq!(found("http://h/{{ slot.date }}"), Ok(("h".to_owned(), 80, false)));
        assert_eq!(found("{{ param.url }}/x"), Err(State::Unknown));
        assert_eq!(found("https://{{ param.host }}/"), Err(State::Unknown));
        assert_eq!(found("http://h:port/"), Err(State::Failed));
    }

    #[test]
    fn a_password_in_an_address_is_never_shown() {
        let finding = host("http://user:hunter2@h:port/").expect_err("no port");
        assert!(!format!("{finding:?}").contains("hunter2"));
    }

    #[tokio::test]
    async fn a_closed_port_fails_at_tcp_and_an_open_one_is_only_connected_to() {
        let open = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = open.local_addr().expect("an address").port();
        let folder = folder();
        let probe = probe(folder.path());
        let host = Host { name: "127.0.0.1".to_owned(), port, tls: false };
        let findings = probe.host(&host).await;
        let states: Vec<_> = findings.iter().map(|f| (f.what.as_str(), f.state)).collect();
        assert_eq!(states, [("dns", State::Ok), ("tcp", State::Ok)]);
        drop(open);
        let findings = probe.host(&host).await;
        assert_eq!(
            findings.last().map(|f| (f.what.as_str(), f.state)),
            Some(("tcp", State::Failed))
        );
    }
}
