//! Where the daemon may write backups: below one folder, in folders of plain names.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// Folders below the allowed one at most.
const DEPTH_MAX: usize = 4;
/// Bytes of a folder's name at most.
const NAME_MAX: usize = 63;

/// The folder that `asked` names, which is `allowed` or lies below it. A relative one counts from there.
///
/// The path is put together from `allowed` and names that were looked at, never from what came from outside.
///
/// # Errors
/// In words: it lies elsewhere, also by a link, or is named with other signs.
pub fn backup_folder(allowed: &Path, asked: Option<&str>) -> Result<PathBuf, String> {
    let Some(asked) = asked.filter(|asked| !asked.is_empty()) else {
        return Ok(allowed.to_owned());
    };
    let elsewhere = || {
        format!(
            "`{asked}` does not lie below `{}`, the one folder that backups are written to (setting `backups`)",
            allowed.display()
        )
    };
    let asked_path = Path::new(asked);
    let whole = fs::canonicalize(allowed)
        .or_else(|_missing| std::path::absolute(allowed))
        .unwrap_or_else(|_| allowed.to_owned());
    let rest = if asked_path.is_absolute() {
        let below = asked_path.strip_prefix(allowed).or_else(|_| asked_path.strip_prefix(&whole));
        below.map_err(|_elsewhere| elsewhere())?
    } else {
        asked_path
    };
    let mut folder = allowed.to_owned();
    for (depth, component) in rest.components().enumerate() {
        let name = match component {
            Component::Normal(name) => name.to_str().unwrap_or_default(),
            Component::CurDir => continue,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(elsewhere());
            }
        };
        if depth >= DEPTH_MAX || !is_plain(name) {
            return Err(format!(
                "`{asked}`: folders of backups have plain names (letters, digits, `-`, `_`, `.`), at most {DEPTH_MAX} below each other"
            ));
        }
        folder.push(name);
        // A link leads elsewhere, whatever it is called.
        if fs::canonicalize(&folder).is_ok_and(|real| !real.starts_with(&whole)) {
            return Err(elsewhere());
        }
    }
    Ok(folder)
}

fn is_plain(name: &str) -> bool {
    let sign = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    !name.is_empty() && name.len() <= NAME_MAX && !name.starts_with('.') && name.chars().all(sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backups_go_below_the_allowed_folder_and_nowhere_else() {
        let root = tempfile::tempdir().unwrap();
        let allowed = root.path().join("backups");
        fs::create_dir(&allowed).unwrap();
        std::os::unix::fs::symlink(root.path(), allowed.join("out")).unwrap();
        let at = |asked: &str| backup_folder(&allowed, Some(asked));
        assert_eq!(backup_folder(&allowed, None), Ok(allowed.clone()));
        assert_eq!(at("daily"), Ok(allowed.join("daily")));
        assert_eq!(at(allowed.join("a/b").to_str().unwrap()), Ok(allowed.join("a/b")));
        let outside = root.path().join("other");
        for asked in ["/etc", "../x", "a/../../x", outside.to_str().unwrap(), "out", "out/x"] {
            let refused = at(asked).unwrap_err();
            assert!(refused.contains("setting `backups`"), "{asked}: {refused}");
        }
        for asked in [".hidden", "a b", "a/b/c/d/e", "x\u{0}y", "é"] {
            assert!(at(asked).unwrap_err().contains("plain names"), "{asked}");
        }
    }
}
