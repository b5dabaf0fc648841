//! What a registry asks of whom it does not know: a name and a password (Basic), or a token that somebody else gives
//! (Bearer, with where to ask for it).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// Who we are to a registry. Its password is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    user: String,
    password: String,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Account {
    pub fn new(user: String, password: String) -> Self {
        Self { user, password }
    }

    /// The value of the header `Authorization`.
    pub(crate) fn basic(&self) -> String {
        format!("Basic {}", BASE64.encode(format!("{}:{}", self.user, self.password)))
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

/// Reads the headers `WWW-Authenticate`; a token is preferred, since it is worth less to whoever steals it.
pub(crate) fn read<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    let mut found: Vec<Challenge> = headers.filter_map(one).collect();
    let bearer = found.iter().position(|it| matches!(it, Challenge::Bearer { .. }));
    match bearer {
        Some(at) => Some(found.swap_remove(at)),
        None => found.pop(),
    }
}

fn one(header: &str) -> Option<Challenge> {
    let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let parameters = parameters(rest);
    let of = |name: &str| {
        let found = parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.clone())
    };
    Some(Challenge::Bearer { realm: of("realm")?, service: of("service"), scope: of("scope") })
}

/// `a="b, c",d=e` as pairs. Commas within quotes are of the value.
fn parameters(text: &str) -> Vec<(String, String)> {
    let (mut pairs, mut rest) = (vec![], text.trim());
    while let Some((name, value)) = rest.split_once('=') {
        let name = name.trim_matches(|letter: char| letter == ',' || letter.is_whitespace()).to_owned();
        let (value, behind) = if let Some(quoted) = value.trim_start().strip_prefix('"') {
            unquote(quoted)
        } else {
            let (value, behind) = value.split_once(',').unwrap_or((value, ""));
            (value.trim().to_owned(), behind)
        };
        pairs.push((name, value));
        rest = behind;
    }
    pairs
}

/// Up to the closing quote, and what stands behind it.
fn unquote(text: &str) -> (String, &str) {
    let (mut value, mut letters) = (String::new(), text.char_indices());
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.extend(letters.next().map(|(_, escaped)| escaped)),
            _ => value.push(letter),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Challenge::Bearer { realm: realm.to_owned(), service: owned(service), scope: owned(scope) }
    }

    #[test]
    fn challenges_as_registries_write_them() {
        let scope = "repository:team/models:pull,push";
        let full =
            format!("Bearer realm=\"https://auth.example/token\",service=\"registry\",scope=\"{scope}\"");
        let spaced =
            format!("bearer scope=\"{scope}\" , service=registry, realm=\"https://auth.example/token\"");
        for header in [&full, &spaced] {
            let expected = bearer("https://auth.example/token", Some("registry"), Some(scope));
            assert_eq!(read([header.as_str()].into_iter()), Some(expected), "{header}");
        }
        for (headers, expected) in [
            (vec!["Basic realm=\"basic-realm\""], Some(Challenge::Basic)),
            (vec!["basic"], Some(Challenge::Basic)),
            (vec!["Basic realm=x", "Bearer realm=\"y\""], Some(bearer("y", None, None))),
            (vec!["Bearer realm=\"a\\\"b\""], Some(bearer("a\"b", None, None))),
            (vec!["Bearer service=\"x\""], None),
            (vec!["Negotiate"], None),
            (vec!["Bearer realm=\"never closed"], Some(bearer("never closed", None, None))),
            (vec![""], None),
            (vec![], None),
        ] {
            assert_eq!(read(headers.iter().copied()), expected, "{headers:?}");
        }
    }

    #[test]
    fn a_password_is_sent_and_not_shown() {
        let account = Account::new("alice".into(), "open sesame".into());
        assert_eq!(account.basic(), "Basic YWxpY2U6b3BlbiBzZXNhbWU=");
        assert!(!format!("{account:?}").contains("sesame"));
    }
}
