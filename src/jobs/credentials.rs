//! Credentials by reference: where a variable's value is read, and a type that never shows it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::domain::definition::EnvValue;

/// The longest credential that is read, in bytes: a program's variable could not hold much more.
const CREDENTIAL_MAX_BYTES: u64 = 64 * 1024;

/// A value that must not be shown. `Debug` prints `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Wraps a value.
    pub fn new(value: &str) -> Self {
        Self(Arc::from(value))
    }

    /// The value, for handing it to the program or the call that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where credentials lie.
#[derive(Clone, Debug, Default)]
pub struct CredentialDirs {
    /// `$CREDENTIALS_DIRECTORY`, which systemd fills; asked first.
    pub systemd: Option<PathBuf>,
    /// `<data>/credentials`; its files must be closed to everybody else (0600).
    pub data: PathBuf,
    /// What the path of a `file` is relative to: the folder that holds the schedules folder.
    pub root: PathBuf,
    /// The daemon's own environment, for `from_env`, and for `PATH`, `HOME` and `LANG` of commands.
    pub environment: Arc<BTreeMap<String, String>>,
}

/// A variable's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text of the definition; may hold templates.
    Text(String),
    /// A secret; never a template.
    Secret(Secret),
}

/// Why a credential cannot be had. Never holds its value.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The name could lead out of the folder.
    #[error(
        "credential name `{name}` may hold letters, digits, `.`, `_` and `-` only, and not begin with `.`"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// No file has that name.
    #[error("credential `{name}` is missing: looked for {tried}; write it there with mode 0600")]
    Missing {
        /// The name.
        name: String,
        /// The paths that were tried.
        tried: String,
    },
    /// Others may read it.
    #[error(
        "credential file `{path}` has mode {mode:04o}, which lets others read it; run `chmod 600` on it"
    )]
    Open {
        /// The file.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// The operating system refused.
    #[error("cannot read `{path}`: {err}")]
    Io {
        /// The file.
        path: String,
        /// The system's words.
        #[source]
        err: io::Error,
    },
    /// The content cannot be a variable's value.
    #[error("`{path}` {why}")]
    Content {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The daemon lacks the variable.
    #[error(
        "the daemon's environment has no variable `{name}`; set it for the service, or use a credential"
    )]
    Variable {
        /// The variable.
        name: String,
    },
}

impl CredentialDirs {
    /// Reads what `value` refers to. One line end after the last line of a file is no part of the secret.
    ///
    /// # Errors
    /// [`CredentialError`]: the attempt does not start (`CFG-LOCAL`).
    pub fn resolve(&self, value: &EnvValue) -> Result<Value, CredentialError> {
        match value {
            EnvValue::Text(text) => Ok(Value::Text(text.clone())),
            EnvValue::Credential(name) => self.credential(name).map(Value::Secret),
            EnvValue::File(path) => read(&self.root.join(path), Modes::Any).and_then(|found| {
                found.map(Value::Secret).ok_or_else(|| CredentialError::Io {
                    path: path.clone(),
                    err: io::ErrorKind::NotFound.into(),
                })
            }),
            EnvValue::FromEnv(name) => self
                .environment
                .get(name)
                .map(|value| Value::Secret(Secret::new(value)))
                .ok_or_else(|| CredentialError::Variable { name: name.clone() }),
        }
    }

    fn credential(&self, name: &str) -> Result<Secret, CredentialError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
            return Err(CredentialError::Name { name: name.to_owned() });
        }
        let mut tried = Vec::new();
        // systemd's folder is its own: it already gives these files to the service alone.
        let places = self.systemd.iter().map(|dir| (dir, Modes::Any));
        for (dir, modes) in places.chain([(&self.data, Modes::OwnerOnly)]) {
            let path = dir.join(name);
            if let Some(secret) = read(&path, modes)? {
                return Ok(secret);
            }
            tried.push(format!("`{}`", path.display()));
        }
        Err(CredentialError::Missing { name: name.to_owned(), tried: tried.join(" and ") })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Modes {
    Any,
    OwnerOnly,
}

/// Reads one file; none when it does not exist. The mode is that of the opened file, so it cannot be swapped between.
fn read(path: &Path, modes: Modes) -> Result<Option<Secret>, CredentialError> {
    let shown = || path.display().to_string();
    let io = |err| CredentialError::Io { path: shown(), err };
    let content = |why| CredentialError::Content { path: shown(), why };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(err) => return Err(io(err)),
    };
    let meta = file.metadata().map_err(io)?;
    if !meta.is_file() {
        return Err(content("is no regular file"));
    }
    let mode = meta.permissions().mode() & 0o7777;
    if modes == Modes::OwnerOnly && mode & 0o077 != 0 {
        return Err(CredentialError::Open { path: shown(), mode });
    }
    let mut text = String::new();
    match file.take(CREDENTIAL_MAX_BYTES + 1).read_to_string(&mut text) {
        Ok(_) => (),
        Err(err) if err.kind() == io::ErrorKind::InvalidData => {
            return Err(content("is not UTF-8, which a variable needs"));
        }
        Err(err) => return Err(io(err)),
    }
    if text.len() as u64 > CREDENTIAL_MAX_BYTES {
        return Err(content("is longer than 64 KiB"));
    }
    if text.contains('\0') {
        return Err(content("holds a zero byte, which a variable cannot"));
    }
    let value = text.strip_suffix('\n').unwrap_or(&text);
    let value = value.strip_suffix('\r').unwrap_or(value);
    if value.is_empty() {
        return Err(content("is empty"));
    }
    Ok(Some(Secret::new(value)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::fs::Permissions;

    use super::*;

    fn place(dir: &Path, name: &str, content: &str, mode: u32) {
        fs::create_dir_all(dir).expect("folder");
        fs::write(dir.join(name), content).expect("file");
        fs::set_permissions(dir.join(name), Permissions::from_mode(mode)).expect("mode");
    }

    fn dirs(root: &Path) -> CredentialDirs {
        CredentialDirs {
            systemd: Some(root.join("systemd")),
            data: root.join("credentials"),
            root: root.to_owned(),
            environment: Arc::new(BTreeMap::from([("TOKEN".to_owned(), "from-env".to_owned())])),
        }
    }

    fn credential(name: &str) -> EnvValue {
        EnvValue::Credential(name.to_owned())
    }

    fn secret(value: &str) -> Value {
        Value::Secret(Secret::new(value))
    }

    #[test]
    fn systemds_folder_is_asked_before_the_data_folder() {
        let root = tempfile::tempdir().expect("folder");
        let dirs = dirs(root.path());
        place(&root.path().join("credentials"), "fnac", "from-data\n", 0o600);
        assert_eq!(dirs.resolve(&credential("fnac")).expect("read"), secret("from-data"));
        place(&root.path().join("systemd"), "fnac", "from-systemd\r\n", 0o440);
        assert_eq!(dirs.resolve(&credential("fnac")).expect("read"), secret("from-systemd"));
    }

    #[test]
    fn a_credential_that_others_may_read_is_refused_with_the_remedy() {
        let root = tempfile::tempdir().expect("folder");
        place(&root.path().join("credentials"), "fnac", "hunter2", 0o640);
        let error = dirs(root.path()).resolve(&credential("fnac")).expect_err("open to the group");
        let text = error.to_string();
        assert!(text.contains("has mode 0640") && text.contains("chmod 600"), "{text}");
        assert!(!text.contains("hunter2"));
    }

    #[test]
    fn a_missing_credential_names_every_place_that_was_tried() {
        let root = tempfile::tempdir().expect("folder");
        let text = dirs(root.path()).resolve(&credential("nope")).expect_err("missing").to_string();
        for place in ["systemd/nope", "credentials/nope"] {
            assert!(text.contains(place), "{text}");
        }
    }

    #[test]
    fn a_name_cannot_lead_out_of_the_folder() {
        let root = tempfile::tempdir().expect("folder");
        for name in ["", "..", ".hidden", "a/b", "/etc/passwd"] {
            let error = dirs(root.path()).resolve(&credential(name)).expect_err(name);
            assert!(matches!(error, CredentialError::Name { .. }), "{name}: {error}");
        }
    }

    #[test]
    fn files_and_variables_of_the_daemon_are_secrets_too() {
        let root = tempfile::tempdir().expect("folder");
        place(root.path(), "key.pem", "one\ntwo\n", 0o644);
        let dirs = dirs(root.path());
        let file = dirs.resolve(&EnvValue::File("key.pem".to_owned()));
        assert_eq!(file.expect("read"), secret("one\ntwo"));
        let variable = dirs.resolve(&EnvValue::FromEnv("TOKEN".to_owned()));
        assert_eq!(variable.expect("read"), secret("from-env"));
        let missing = dirs.resolve(&EnvValue::FromEnv("NONE".to_owned())).expect_err("missing");
        assert!(missing.to_string().contains("`NONE`"));
    }

    #[test]
    fn a_secret_does_not_show_itself() {
        assert_eq!(format!("{:?}", secret("hunter2")), "Secret(***)");
    }
}
