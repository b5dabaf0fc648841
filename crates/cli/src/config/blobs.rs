//! The section `[blobs]`: where bundles and evidence are kept, in a folder or in a registry behind it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use oci::{Account, Plain, Registry, Repository};
use serde::Deserialize;
use toml::Value;

use super::Error;
use super::merge::{Origin, Problem};
use super::secret::Reference;

const REGISTRY: &str = "blobs.registry";
const EXPOSED: &str = "blobs.exposed";
const USER: &str = "blobs.user";
/// The key whose value nobody may see.
pub(super) const PASSWORD: &str = "blobs.password";
/// What has to be said before a registry on another machine is called without TLS.
const WORDS: &str = "without TLS";

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blobs {
    pub folder: PathBuf,
    pub registry: String,
    pub exposed: String,
    pub user: String,
    pub password: String,
}

impl Blobs {
    /// The registry, which is not called yet; nothing without one. Reads the secret.
    pub fn registry(&self) -> Result<Option<Registry>, Error> {
        if self.registry.is_empty() {
            return Ok(None);
        }
        let repository = Repository::parse(&self.registry, plain(&self.exposed)).map_err(|bad| {
            let (key, text) = (REGISTRY.to_owned(), bad.to_string());
            Error::Problems(vec![Problem { key, text, origin: Origin::Default }])
        })?;
        let account = if self.user.is_empty() {
            None
        } else {
            let secret = |source| Error::Secret { key: PASSWORD, source };
            let password = Reference::parse(&self.password).and_then(|place| place.read()).map_err(secret)?;
            Some(Account::new(self.user.clone(), password))
        };
        Ok(Some(Registry::new(repository, account)))
    }
}

fn plain(exposed: &str) -> Plain {
    if exposed == WORDS { Plain::Anywhere } else { Plain::Loopback }
}

/// What of the section cannot be used, or would not be used though it is set.
pub(super) fn check(values: &BTreeMap<String, (Value, Origin)>, problems: &mut Vec<Problem>) {
    let text = |key: &str| values.get(key).and_then(|(value, _)| value.as_str()).unwrap_or_default();
    let mut problem = |key: &str, text: String| {
        let origin = values.get(key).map_or(Origin::Default, |(_, origin)| origin.clone());
        problems.push(Problem { key: key.to_owned(), text, origin });
    };
    if text(REGISTRY).is_empty() {
        for key in [EXPOSED, USER, PASSWORD] {
            if !text(key).is_empty() {
                problem(key, format!("expected `{REGISTRY}` with it, but it is not set"));
            }
        }
        return;
    }
    let exposed = text(EXPOSED);
    if !exposed.is_empty() && exposed != WORDS {
        problem(EXPOSED, format!("expected nothing or \"{WORDS}\", but found \"{exposed}\""));
    }
    if let Err(bad) = Repository::parse(text(REGISTRY), plain(exposed)) {
        problem(REGISTRY, bad.to_string());
    }
    for (key, other) in [(USER, PASSWORD), (PASSWORD, USER)] {
        if text(key).is_empty() && !text(other).is_empty() {
            problem(key, format!("expected it to be set, since `{other}` is"));
        }
    }
    if !text(PASSWORD).is_empty()
        && let Err(error) = Reference::parse(text(PASSWORD))
    {
        problem(PASSWORD, error.to_string());
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Effective;
    use super::*;

    fn effective(text: &str) -> Effective {
        let mut effective = Effective::defaults();
        effective.merge_file(Path::new("x.toml"), &format!("[blobs]\n{text}")).unwrap();
        effective
    }

    #[test]
    fn what_is_missing_or_would_be_ignored_is_told_and_no_password_repeated() {
        let registry = "registry = \"https://registry.example/models\"";
        for (text, told) in [
            ("user = \"a\"", "blobs.user (x.toml): expected `blobs.registry` with it"),
            ("exposed = \"without TLS\"", "blobs.exposed (x.toml): expected `blobs.registry` with it"),
            ("registry = \"registry.example/m\"", "blobs.registry (x.toml): expected a repository such as"),
            ("registry = \"http://registry.example/m\"", "blobs.registry (x.toml): expected a repository"),
            (&format!("{registry}\nexposed = \"yes\""), "blobs.exposed (x.toml): expected nothing or"),
            (&format!("{registry}\nuser = \"a\""), "blobs.password (default): expected it to be set"),
            (
                &format!("{registry}\npassword = \"secret://env/P\""),
                "blobs.user (default): expected it to be set",
            ),
            (
                &format!("{registry}\nuser = \"a\"\npassword = \"hunter2\""),
                "blobs.password (x.toml): expected a reference",
            ),
            (
                &format!("{registry}\nuser = \"a\"\npassword = 2222"),
                "blobs.password (x.toml): expected string, but found integer",
            ),
        ] {
            let Err(Error::Problems(found)) = effective(text).parse() else { panic!("{text}: no problem") };
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            assert!(found[0].starts_with(told), "{text}: {found:?}");
            assert!(!found.join(" ").contains("hunter2") && !found.join(" ").contains("2222"), "{found:?}");
        }
    }

    #[test]
    fn a_registry_is_one_that_is_set_with_its_secret() {
        assert!(effective("").parse().unwrap().blobs.registry().unwrap().is_none());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        let text = format!(
            "registry = \"http://registry.example/m\"\nexposed = \"without TLS\"\nuser = \"a\"\npassword = \"secret://file{}\"",
            file.display()
        );
        let blobs = effective(&text).parse().unwrap().blobs;
        assert!(matches!(blobs.registry(), Err(Error::Secret { key: PASSWORD, .. })));
        std::fs::write(&file, "open sesame\n").unwrap();
        let registry = format!("{:?}", blobs.registry().unwrap().unwrap());
        assert!(registry.contains("\"a\"") && !registry.contains("sesame"), "{registry}");
    }
}
