//! Where a registry keeps ours: `https://host/name`.

use std::net::IpAddr;

use reqwest::Url;

/// The specification's own advice: host and name together.
const NAME_CHARACTERS_MAX: usize = 255;

/// Who may be called without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plain {
    /// A registry on this machine only.
    Loopback,
    /// Any, since somebody said so in words.
    Anywhere,
}

/// A repository of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Such as `https://host/v2/name/`.
    base: Url,
    name: String,
    plain: Plain,
}

/// An address that is none of a repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a repository such as https://registry.example/models, but {0}")]
pub struct BadRepository(String);

impl Repository {
    pub fn parse(text: &str, plain: Plain) -> Result<Self, BadRepository> {
        let bad = |why: &str| BadRepository(why.to_owned());
        // The text itself may hold a password, so it is never repeated.
        let url = Url::parse(text).map_err(|error| bad(&format!("it is none: {error}")))?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(bad(&format!("its scheme is `{}`", url.scheme())));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad(
                "it carries a user or a password: `blobs.user` and `blobs.password` are for them",
            ));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(bad("something stands behind its name"));
        }
        if !may_be_plain(&url, plain) {
            return Err(bad("`http` leads outside of this machine"));
        }
        let name = url.path().trim_start_matches('/').to_owned();
        if !is_name(&name) {
            let letters = "lower-case letters and digits, with `.`, `_`, `-` and `/` between them";
            return Err(bad(&format!("its name `{name}` is not of {letters}")));
        }
        let mut base = url;
        base.set_path(&format!("/v2/{name}/"));
        Ok(Self { base, name, plain })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What is below the repository, such as `manifests/latest`.
    pub(crate) fn at(&self, path: &str) -> Url {
        self.base.join(path).expect("digests, tags and words of the specification need no escape")
    }

    /// Whether this is the registry itself, which alone gets what entitles us.
    pub(crate) fn is_at(&self, url: &Url) -> bool {
        self.base.origin() == url.origin()
    }

    /// Whether this may be called, which the registry named.
    pub(crate) fn admits(&self, url: &Url) -> bool {
        matches!(url.scheme(), "https" | "http") && may_be_plain(url, self.plain)
    }
}

fn may_be_plain(url: &Url, plain: Plain) -> bool {
    url.scheme() == "https"
        || match plain {
            Plain::Anywhere => true,
            Plain::Loopback => is_loopback(url.host_str().unwrap_or_default()),
        }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn is_name(name: &str) -> bool {
    let plain = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let is_part = |part: &str| {
        let bytes = part.as_bytes();
        bytes.first().is_some_and(|first| plain(*first))
            && bytes.last().is_some_and(|last| plain(*last))
            && bytes.iter().all(|letter| plain(*letter) || b"._-".contains(letter))
            && !part.contains("..")
    };
    name.len() <= NAME_CHARACTERS_MAX && name.split('/').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_a_host_and_a_name() {
        let repository = Repository::parse("https://registry.example/team/models", Plain::Loopback).unwrap();
        assert_eq!(repository.name(), "team/models");
        let at = repository.at("blobs/sha256:ab");
        assert_eq!(at.as_str(), "https://registry.example/v2/team/models/blobs/sha256:ab");
        for good in ["http://127.0.0.1:5000/m", "http://[::1]:5000/m", "http://localhost/a-b/c_d/e.f"] {
            assert!(Repository::parse(good, Plain::Loopback).is_ok(), "{good}");
        }
    }

    #[test]
    fn what_is_none_is_refused_and_no_password_repeated() {
        for (text, told) in [
            ("registry.example/models", "it is none"),
            ("ftp://registry.example/models", "scheme"),
            ("https://a:hunter2@registry.example/models", "carries"),
            ("https://registry.example/models?x=1", "behind"),
            ("https://registry.example/models#x", "behind"),
            ("https://registry.example", "not of lower-case"),
            ("https://registry.example/models/", "not of lower-case"),
            ("https://registry.example/Models", "not of lower-case"),
            ("https://registry.example/a%2fb", "not of lower-case"),
            ("https://registry.example/a/.b", "not of lower-case"),
            ("http://registry.example/models", "outside of this machine"),
            ("http://10.0.0.1/models", "outside of this machine"),
        ] {
            let error = Repository::parse(text, Plain::Loopback).unwrap_err().to_string();
            assert!(error.contains(told) && !error.contains("hunter2"), "{text}: {error}");
        }
        let long = format!("https://registry.example/{}", "a".repeat(NAME_CHARACTERS_MAX + 1));
        assert!(Repository::parse(&long, Plain::Loopback).is_err());
    }

    #[test]
    fn without_tls_only_by_words_and_never_somewhere_else() {
        let text = "http://registry.example/models";
        let said = Repository::parse(text, Plain::Anywhere).unwrap();
        let encrypted = Repository::parse("https://registry.example/models", Plain::Loopback).unwrap();
        let elsewhere = Url::parse("http://other.example/x").unwrap();
        assert!(said.admits(&elsewhere) && !encrypted.admits(&elsewhere));
        assert!(encrypted.is_at(&Url::parse("https://registry.example:443/v2/").unwrap()));
        assert!(!encrypted.is_at(&Url::parse("https://registry.example:8443/v2/").unwrap()));
        assert!(!encrypted.is_at(&Url::parse("http://registry.example/v2/").unwrap()));
    }
}
