//! Where the daemon may be. Source: contract, section 5.

use std::fmt;
use std::path::{Path, PathBuf};

use super::failure::{Failure, Outcome};
use crate::config::{Environment, Origin, Setting, Settings};

/// The packaged service's socket.
const SYSTEM_SOCKET: &str = "/run/daybook/daybook.sock";
/// The socket's name in a data folder.
const SOCKET: &str = "daybook.sock";

/// A place where the daemon may answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A Unix socket.
    Socket(PathBuf),
    /// A host.
    Host {
        /// Its name or address, without brackets.
        name: String,
        /// Its port.
        port: u16,
        /// Whether the connection is encrypted.
        tls: bool,
        /// What stands before `/api` behind a proxy; empty or `/…` without a slash at its end.
        base: String,
    },
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "{}", path.display()),
            Self::Host { tls, base, .. } => {
                let scheme = if *tls { "https" } else { "http" };
                write!(f, "{scheme}://{}{base}", self.authority())
            }
        }
    }
}

impl Endpoint {
    /// The `Host` header.
    pub fn authority(&self) -> String {
        match self {
            Self::Socket(_) => "localhost".to_owned(),
            Self::Host { name, port, .. } if name.contains(':') => format!("[{name}]:{port}"),
            Self::Host { name, port, .. } => format!("{name}:{port}"),
        }
    }

    /// Reads `http://host:port`, `https://host` or `unix:PATH`.
    fn parse(text: &str) -> Outcome<Self> {
        let wrong = |why: &str| {
            Failure::usage(format!("`{text}` is not the address of a daemon: {why}"))
                .hint("write `https://daybook.example`, `http://127.0.0.1:7474` or `unix:/run/daybook/daybook.sock`")
        };
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self::Socket(PathBuf::from(path.trim_start_matches("//"))));
        }
        let uri =
            text.parse::<http::Uri>().map_err(|err| wrong("it cannot be read").because(&err))?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) | None => return Err(wrong("it begins with neither http:// nor https://")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("it holds a user name; a token goes into --token-file"));
        }
        let name = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let base = uri.path().trim_end_matches('/').to_owned();
        Ok(Self::Host { name, port, tls, base })
    }
}

/// A place to try, and who named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The place.
    pub endpoint: Endpoint,
    /// `--server`, `$DAYBOOK_DATA`, and so on.
    pub named_by: &'static str,
}

/// What the command line says about the daemon's place.
#[derive(Clone, Copy, Debug, Default)]
pub struct Named<'a> {
    /// `--server`.
    pub server: Option<&'a str>,
    /// `--data`.
    pub data: Option<&'a Path>,
}

/// Whether the command line or a variable says where the daemon is: then the settings are not asked.
pub fn is_named(named: Named<'_>, environment: &Environment) -> bool {
    let variables = ["DAYBOOK_SERVER", "DAYBOOK_SOCKET", "DAYBOOK_DATA"];
    named.server.is_some()
        || named.data.is_some()
        || variables.iter().any(|name| environment.filled(name).is_some())
}

/// The daemon's address that somebody gave, and who. A place on this machine that was named nearer by wins over it.
pub fn server<'a>(
    named: Named<'a>,
    environment: &'a Environment,
    settings: Option<&'a Settings>,
) -> Option<(&'a str, &'static str)> {
    if let Some(server) = named.server {
        return Some((server, "--server"));
    }
    if named.data.is_some() {
        return None;
    }
    if let Some(server) = environment.filled("DAYBOOK_SERVER") {
        return Some((server, "$DAYBOOK_SERVER"));
    }
    if ["DAYBOOK_SOCKET", "DAYBOOK_DATA"].iter().any(|name| environment.filled(name).is_some()) {
        return None;
    }
    Some((settings?.server.value.as_deref()?, "`server` in daybook.toml"))
}

/// The places to try, in order. A place that somebody named is the only one: another daemon must not answer in its stead.
///
/// # Errors
/// The address that somebody gave is none.
pub fn candidates(
    named: Named<'_>,
    environment: &Environment,
    settings: Option<&Settings>,
) -> Outcome<Vec<Candidate>> {
    let one = |endpoint, named_by| Ok(vec![Candidate { endpoint, named_by }]);
    if let Some((address, named_by)) = server(named, environment, settings) {
        return one(Endpoint::parse(address)?, named_by);
    }
    if let Some(data) = named.data {
        return one(Endpoint::Socket(data.join(SOCKET)), "--data");
    }
    if let Some(socket) = environment.path("DAYBOOK_SOCKET") {
        return one(Endpoint::Socket(socket), "$DAYBOOK_SOCKET");
    }
    if let Some(data) = environment.path("DAYBOOK_DATA") {
        return one(Endpoint::Socket(data.join(SOCKET)), "$DAYBOOK_DATA");
    }
    if let Some(socket) = settings.and_then(|settings| in_file(&settings.socket)) {
        return one(Endpoint::Socket(socket.clone()), "`socket` in daybook.toml");
    }
    let service = Endpoint::Socket(PathBuf::from(SYSTEM_SOCKET));
    let mut places = vec![Candidate { endpoint: service, named_by: "the service's socket" }];
    if let Some((folder, named_by)) = usual_data(environment, settings) {
        places.push(Candidate { endpoint: Endpoint::Socket(folder.join(SOCKET)), named_by });
    }
    Ok(places)
}

/// The data folder that somebody named, or the user's own; none when there is no home.
pub fn data_folder(
    named: Option<&Path>,
    environment: &Environment,
    settings: Option<&Settings>,
) -> Option<PathBuf> {
    named
        .map(Path::to_path_buf)
        .or_else(|| environment.path("DAYBOOK_DATA"))
        .or_else(|| usual_data(environment, settings).map(|(folder, _)| folder))
}

/// The value of a setting that `daybook.toml` has.
fn in_file<T>(setting: &Setting<T>) -> Option<&T> {
    matches!(setting.origin, Origin::File { .. }).then_some(&setting.value)
}

/// The data folder of `daybook.toml`, or the user's own.
fn usual_data(
    environment: &Environment,
    settings: Option<&Settings>,
) -> Option<(PathBuf, &'static str)> {
    let written = settings.and_then(|settings| in_file(&settings.data));
    written
        .map(|folder| (folder.clone(), "`data` in daybook.toml"))
        .or_else(|| user_data(environment))
}

/// `$STATE_DIRECTORY` may name several folders, of which the first is ours.
fn user_data(environment: &Environment) -> Option<(PathBuf, &'static str)> {
    let state = environment.filled("STATE_DIRECTORY").and_then(|list| list.split(':').next());
    state
        .map(|folder| (PathBuf::from(folder), "$STATE_DIRECTORY"))
        .or_else(|| Some((environment.path("XDG_STATE_HOME")?.join("daybook"), "$XDG_STATE_HOME")))
        .or_else(|| {
            Some((environment.path("HOME")?.join(".local/state/daybook"), "the user's data folder"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(named: Named<'_>, variables: &[(&str, &str)]) -> Vec<String> {
        let environment: Environment =
            variables.iter().map(|(name, value)| (*name, *value)).collect();
        let found = candidates(named, &environment, None).expect("addresses");
        found.into_iter().map(|place| place.endpoint.to_string()).collect()
    }

    /// Settings whose `daybook.toml` holds `text`.
    fn settings(text: &str) -> Settings {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("daybook.toml");
        std::fs::write(&file, text).expect("written");
        let flags = crate::config::Flags::from([("config", file.display().to_string())]);
        let environment: Environment = [("HOME", "/home/a")].into_iter().collect();
        Settings::load(&flags, &environment).expect("valid settings")
    }

    #[test]
    fn without_a_word_the_service_is_tried_and_then_the_users_own() {
        assert_eq!(
            places(Named::default(), &[("HOME", "/home/a")]),
            ["/run/daybook/daybook.sock", "/home/a/.local/state/daybook/daybook.sock"]
        );
        assert_eq!(
            places(Named::default(), &[("HOME", "/home/a"), ("XDG_STATE_HOME", "/s")]),
            ["/run/daybook/daybook.sock", "/s/daybook/daybook.sock"]
        );
        assert_eq!(
            places(Named::default(), &[("STATE_DIRECTORY", "/var/lib/daybook:/x")]),
            ["/run/daybook/daybook.sock", "/var/lib/daybook/daybook.sock"]
        );
    }

    #[test]
    fn a_place_that_somebody_named_is_the_only_one() {
        let variables = [("DAYBOOK_SERVER", "https://far.example/"), ("DAYBOOK_DATA", "/d")];
        assert_eq!(places(Named::default(), &variables), ["https://far.example:443"]);
        let data = Named { data: Some(Path::new("/mine")), ..Named::default() };
        assert_eq!(places(data, &variables), ["/mine/daybook.sock"]);
        let both = Named { server: Some("unix:/a.sock"), ..data };
        assert_eq!(places(both, &variables), ["/a.sock"]);
        assert_eq!(places(Named::default(), &[("DAYBOOK_DATA", "/d")]), ["/d/daybook.sock"]);
        let socket = [("DAYBOOK_SOCKET", "/s.sock"), ("DAYBOOK_DATA", "/d")];
        assert_eq!(places(Named::default(), &socket), ["/s.sock"]);
    }

    #[test]
    fn the_settings_file_says_where_the_daemon_is_unless_somebody_says_it_nearer_by() {
        let shown = |text: &str, variables: &[(&str, &str)]| -> Vec<String> {
            let environment: Environment =
                variables.iter().map(|(name, value)| (*name, *value)).collect();
            let settings = settings(text);
            let found = candidates(Named::default(), &environment, Some(&settings));
            let found = found.expect("addresses").into_iter();
            found.map(|place| place.endpoint.to_string()).collect()
        };
        let home = [("HOME", "/home/a")];
        assert_eq!(shown("socket = \"/s.sock\"\n", &home), ["/s.sock"]);
        assert_eq!(shown("server = \"https://far.example\"\n", &home), ["https://far.example:443"]);
        assert_eq!(
            shown("data = \"/srv/daybook\"\n", &home),
            ["/run/daybook/daybook.sock", "/srv/daybook/daybook.sock"]
        );
        let data = [("DAYBOOK_DATA", "/d")];
        assert_eq!(shown("server = \"https://far.example\"\n", &data), ["/d/daybook.sock"]);
    }

    #[test]
    fn an_address_has_a_scheme_a_host_and_perhaps_a_port_and_a_path() {
        let host = |text: &str| Endpoint::parse(text).expect("an address").to_string();
        assert_eq!(host("http://127.0.0.1:7474"), "http://127.0.0.1:7474");
        assert_eq!(host("https://[::1]:7474/daybook/"), "https://[::1]:7474/daybook");
        for wrong in ["127.0.0.1:7474", "ftp://a", "https://me:secret@a", "daybook"] {
            let failure = Endpoint::parse(wrong).expect_err(wrong);
            assert_eq!(failure.exit().code(), 2);
        }
    }
}
