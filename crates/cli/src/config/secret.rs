//! Secrets stand in no configuration: it names where they are.

use std::path::{Path, PathBuf};

const SCHEME: &str = "secret://";
/// A file that is longer is none of ours.
const BYTES_MAX: usize = 4096;

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    Environment(String),
    File(PathBuf),
}

/// Why there is no secret. No text of it is in any of them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("expected a reference such as `secret://env/NAME` or `secret://file/run/secrets/kafka`")]
    NoReference,
    #[error("expected `{0}` in the environment, but it is not there or not UTF-8")]
    NotSet(String),
    #[error("failed to read `{}`", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("expected at most {BYTES_MAX} bytes in `{}`", .0.display())]
    Long(PathBuf),
    #[error("expected a secret there, but it is empty")]
    Empty,
}

impl Reference {
    pub fn parse(text: &str) -> Result<Self, Error> {
        let place = text.strip_prefix(SCHEME).and_then(|rest| rest.split_once('/'));
        match place {
            Some(("env", name)) if !name.is_empty() => Ok(Self::Environment(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(Path::new("/").join(path))),
            Some(_) | None => Err(Error::NoReference),
        }
    }

    /// The secret itself, without the line's end that an editor puts behind it.
    pub fn read(&self) -> Result<String, Error> {
        let text = match self {
            Self::Environment(name) => std::env::var(name).map_err(|_| Error::NotSet(name.clone()))?,
            Self::File(path) => std::fs::read_to_string(path)
                .map_err(|source| Error::Unreadable { path: path.clone(), source })?,
        };
        if let Self::File(path) = self
            && text.len() > BYTES_MAX
        {
            return Err(Error::Long(path.clone()));
        }
        let secret = text.strip_suffix('\n').unwrap_or(&text);
        let secret = secret.strip_suffix('\r').unwrap_or(secret);
        if secret.is_empty() { Err(Error::Empty) } else { Ok(secret.to_owned()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_names_a_place_and_nothing_else_is_one() {
        assert_eq!(Reference::parse("secret://env/PW").unwrap(), Reference::Environment("PW".into()));
        assert_eq!(
            Reference::parse("secret://file/run/secrets/kafka").unwrap(),
            Reference::File("/run/secrets/kafka".into())
        );
        for text in
            ["", "hunter2", "secret://", "secret://env", "secret://env/", "secret://vault/x", "env/PW"]
        {
            let error = Reference::parse(text).unwrap_err();
            assert!(!error.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn a_file_is_read_without_its_last_line_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Reference::File(path.clone()).read()
        };
        for (text, secret) in
            [("open sesame\n", "open sesame"), ("a\r\n", "a"), (" a ", " a "), ("a\n\n", "a\n")]
        {
            assert_eq!(read(text).unwrap(), secret);
        }
        assert!(matches!(read("\n"), Err(Error::Empty)));
        assert!(matches!(read(&"x".repeat(BYTES_MAX + 1)), Err(Error::Long(_))));
        assert!(matches!(Reference::File(folder.path().join("none")).read(), Err(Error::Unreadable { .. })));
        assert!(matches!(Reference::Environment("MODELRAIL_TEST_NONE".into()).read(), Err(Error::NotSet(_))));
    }
}
