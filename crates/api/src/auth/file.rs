//! The list of users on disk: JSON, replaced whole, readable by its owner only.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use domain::name::{Digest, Role, Subject};
use serde::{Deserialize, Serialize};

use super::users::{Error, User};

/// The version of the file's shape.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    version: u32,
    users: Vec<Entry>,
    /// SHA-256 of `users`: a role or a token that a bad disk changed must not count. Absent in older files.
    check: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    subject: String,
    name: String,
    roles: Vec<String>,
    tool: bool,
    token_sha256: String,
}

const LOCK_FILE: &str = "users.lock";

/// Held by whoever changes the list, until it is dropped.
pub(super) fn lock(folder: &Path) -> Result<fs::File, Error> {
    let path = folder.join(LOCK_FILE);
    let open = || -> io::Result<fs::File> {
        fs::create_dir_all(folder)?;
        let file = fs::OpenOptions::new().write(true).create(true).truncate(false).open(&path)?;
        file.lock()?;
        Ok(file)
    };
    open().map_err(|source| Error::Write { path: path.clone(), source })
}

/// What tells one list from the one that replaced it, without reading either.
pub(super) type Stamp = (std::time::SystemTime, u64);

/// Nothing where there is no list.
pub(super) fn stamp(path: &Path) -> Result<Option<Stamp>, Error> {
    let found = fs::metadata(path).and_then(|found| Ok((found.modified()?, found.len())));
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Read { path: path.to_owned(), source }),
    }
}

/// Nothing where there is no such file.
pub(super) fn text(path: &Path) -> Result<Option<String>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Read { path: path.to_owned(), source }),
    }
}

pub(super) fn read(path: &Path) -> Result<Vec<User>, Error> {
    let Some(text) = text(path)? else { return Ok(vec![]) };
    parse(text.as_bytes()).map_err(|source| Error::Malformed { path: path.to_owned(), source })
}

pub(super) fn parse(bytes: &[u8]) -> Result<Vec<User>, Box<dyn std::error::Error + Send + Sync>> {
    let listed: Listed = serde_json::from_slice(bytes)?;
    if listed.version != VERSION {
        return Err(format!("expected version {VERSION}, but found {}", listed.version).into());
    }
    let check = check(&listed.users);
    if listed.check.is_some_and(|kept| kept != check) {
        return Err(
            "expected users that fit the file's `check`: they were changed, by hand or by a bad disk".into(),
        );
    }
    let user = |entry: Entry| -> Result<User, domain::name::BadName> {
        Ok(User {
            subject: Subject::parse(&entry.subject)?,
            name: entry.name,
            roles: entry.roles.iter().map(|role| Role::parse(role)).collect::<Result<_, _>>()?,
            tool: entry.tool,
            token_sha256: Digest::parse(&entry.token_sha256)?,
        })
    };
    Ok(listed.users.into_iter().map(user).collect::<Result<_, _>>()?)
}

pub(super) fn write(path: &Path, users: &[User]) -> Result<(), Error> {
    let entry = |user: &User| Entry {
        subject: user.subject.to_string(),
        name: user.name.clone(),
        roles: user.roles.iter().map(Role::to_string).collect(),
        tool: user.tool,
        token_sha256: user.token_sha256.to_string(),
    };
    let users: Vec<Entry> = users.iter().map(entry).collect();
    let listed = Listed { version: VERSION, check: Some(check(&users)), users };
    let json = serde_json::to_vec_pretty(&listed).expect("texts and flags can be written as JSON");
    write_private(path, &json)
}

fn check(users: &[Entry]) -> String {
    let json = serde_json::to_vec(users).expect("texts and flags can be written as JSON");
    Digest::of(&json).to_string()
}

/// Replaces a file at once, durably, with mode 0600: a reader sees the old bytes or the new ones.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let failed = |source| Error::Write { path: path.to_owned(), source };
    let folder = path.parent().unwrap_or(Path::new("."));
    let beside = path.with_extension("new");
    let write = || -> io::Result<()> {
        fs::create_dir_all(folder)?;
        // A file left by a crash may have another mode.
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = private().open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        fs::File::open(folder)?.sync_all()
    };
    write().map_err(failed)
}

#[cfg(unix)]
fn private() -> fs::OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options
}

#[cfg(not(unix))]
fn private() -> fs::OpenOptions {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_was_changed_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.json");
        let user = User {
            subject: Subject::parse("01J").unwrap(),
            name: "ada".into(),
            roles: [Role::parse("ml").unwrap()].into(),
            tool: false,
            token_sha256: Digest::of(b"token"),
        };
        write(&path, std::slice::from_ref(&user)).unwrap();
        assert_eq!(read(&path).unwrap(), std::slice::from_ref(&user));
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("\"ml\"", "\"admin\"")).unwrap();
        assert_eq!(read(&path).unwrap_err().code(), "USERS_MALFORMED");
        // As former releases wrote it.
        let lines: Vec<&str> = text.lines().filter(|line| !line.contains("\"check\"")).collect();
        fs::write(&path, lines.join("\n").replace("],\n}", "]\n}")).unwrap();
        assert_eq!(read(&path).unwrap(), [user]);
    }
}
