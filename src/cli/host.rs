//! Whose machine this is: users by their number, as `/etc/passwd` has them.

/// A user of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The login name.
    pub name: String,
    /// The home folder.
    pub home: String,
}

/// The user that this process runs as; by its number when it has no name.
pub fn current() -> User {
    let uid = rustix::process::getuid().as_raw();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    find(&users, |_name, number| number == uid)
        .unwrap_or_else(|| User { name: uid.to_string(), home: "/".to_owned() })
}

/// The user called `name`.
pub fn named(name: &str) -> Option<User> {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    find(&users, |candidate, _number| candidate == name)
}

fn find(users: &str, fits: impl Fn(&str, u32) -> bool) -> Option<User> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number, home) = (fields.next()?, fields.nth(1)?, fields.nth(2)?);
        fits(name, number.parse().ok()?)
            .then(|| User { name: name.to_owned(), home: home.to_owned() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str =
        "root:x:0:0:root:/root:/bin/bash\nbroken\ndaybook:x:990:990::/var/lib/daybook:/bin/false\n";

    #[test]
    fn a_user_is_found_by_name_and_by_number() {
        let daybook =
            Some(User { name: "daybook".to_owned(), home: "/var/lib/daybook".to_owned() });
        assert_eq!(find(USERS, |name, _| name == "daybook"), daybook);
        assert_eq!(find(USERS, |_, number| number == 990), daybook);
        assert_eq!(find(USERS, |_, number| number == 7), None);
    }
}
