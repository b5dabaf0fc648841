//! The section `[kafka]`: how the brokers are reached, and what the topics should be.

use std::collections::BTreeMap;
use std::path::PathBuf;

use log_kafka::topics::{Durability, Wanted};
use log_kafka::{Identity, Mechanism, Password, Sasl, Security, Settings, Tls};
use serde::Deserialize;
use toml::Value;

use super::Error;
use super::merge::{Origin, Problem};
use super::secret::Reference;

/// The key whose value nobody may see.
pub(super) const PASSWORD: &str = "kafka.password";
/// Kafka's own bound is 249 characters for a whole name; ours begin with the prefix.
const NAME_CHARACTERS_MAX: usize = 200;

const DURABILITIES: [&str; 2] = ["replicated", "single-broker"];
const PROTOCOLS: [&str; 4] = ["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"];

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kafka {
    pub brokers: String,
    pub prefix: String,
    pub model_trained: String,
    pub instance: String,
    pub durability: String,
    pub command_partitions: u32,
    pub check_seconds: u64,
    pub protocol: String,
    pub ca: String,
    pub certificate: String,
    pub key: String,
    pub mechanism: String,
    pub user: String,
    pub password: String,
}

impl Kafka {
    /// Without brokers everything runs in one process, on its own log.
    pub fn is_embedded(&self) -> bool {
        self.brokers.is_empty()
    }

    /// How the brokers are reached by a process of this role, which their logs and quotas know by it. Reads the secret.
    pub fn settings(&self, role: &str) -> Result<Settings, Error> {
        let client_id = match self.instance.as_str() {
            "" => role.to_owned(),
            instance => format!("{role}.{instance}"),
        };
        Ok(Settings {
            brokers: self.brokers.clone(),
            client_id,
            prefix: self.prefix.clone(),
            security: Security { tls: self.tls(), sasl: self.sasl()? },
        })
    }

    /// What the topics should be, with so many partitions of the log.
    pub fn wanted(&self, partitions: u32) -> Wanted {
        let durability = match self.durability.as_str() {
            "single-broker" => Durability::SingleBroker,
            _ => Durability::Replicated,
        };
        Wanted { partitions, command_partitions: self.command_partitions, durability }
    }

    fn tls(&self) -> Option<Tls> {
        let path = |text: &String| (!text.is_empty()).then(|| PathBuf::from(text));
        let identity = path(&self.certificate).zip(path(&self.key));
        let identity = identity.map(|(certificate, key)| Identity { certificate, key });
        self.protocol.ends_with("ssl").then(|| Tls { ca: path(&self.ca), identity })
    }

    fn sasl(&self) -> Result<Option<Sasl>, Error> {
        if !self.protocol.starts_with("sasl") {
            return Ok(None);
        }
        let secret = |source| Error::Secret { key: PASSWORD, source };
        let password = Reference::parse(&self.password).and_then(|place| place.read()).map_err(secret)?;
        let mechanism = Mechanism::ALL.into_iter().find(|mechanism| mechanism.as_str() == self.mechanism);
        Ok(Some(Sasl {
            mechanism: mechanism.unwrap_or(Mechanism::ScramSha512),
            user: self.user.clone(),
            password: Password::new(password),
        }))
    }
}

/// What of the section cannot be used, or would not be used though it is set.
pub(super) fn check(values: &BTreeMap<String, (Value, Origin)>, problems: &mut Vec<Problem>) {
    let text = |key: &str| values.get(key).and_then(|(value, _)| value.as_str()).unwrap_or_default();
    let mut problem = |key: &str, text: String| {
        let origin = values.get(key).map_or(Origin::Default, |(_, origin)| origin.clone());
        problems.push(Problem { key: key.to_owned(), text, origin });
    };
    let mechanisms = Mechanism::ALL.map(Mechanism::as_str);
    let one_of: [(&str, &[&str]); 3] = [
        ("kafka.durability", &DURABILITIES),
        ("kafka.protocol", &PROTOCOLS),
        ("kafka.mechanism", &mechanisms),
    ];
    for (key, known) in one_of {
        if !known.contains(&text(key)) {
            problem(key, format!("expected one of {}, but found `{}`", known.join(", "), text(key)));
        }
    }
    let is_legal = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    for (key, least) in [("kafka.prefix", 1), ("kafka.model_trained", 1), ("kafka.instance", 0)] {
        let name = text(key);
        if !(least..=NAME_CHARACTERS_MAX).contains(&name.len()) || !name.chars().all(is_legal) {
            let of = "letters, digits, `.`, `_` and `-`";
            problem(key, format!("expected {least} to {NAME_CHARACTERS_MAX} of {of}, but found `{name}`"));
        }
    }
    let protocol = text("kafka.protocol");
    let (encrypted, named) = (protocol.ends_with("ssl"), protocol.starts_with("sasl"));
    for key in ["kafka.ca", "kafka.certificate", "kafka.key"] {
        if !text(key).is_empty() && !encrypted {
            problem(
                key,
                format!("expected `kafka.protocol` to be ssl or sasl_ssl with it, but it is `{protocol}`"),
            );
        }
    }
    for (key, other) in [("kafka.certificate", "kafka.key"), ("kafka.key", "kafka.certificate")] {
        if text(key).is_empty() && !text(other).is_empty() {
            problem(key, format!("expected a file, since `{other}` is set"));
        }
    }
    for key in ["kafka.user", PASSWORD] {
        match (named, text(key).is_empty()) {
            (true, true) => {
                problem(key, format!("expected it to be set, since `kafka.protocol` is `{protocol}`"));
            }
            (false, false) => problem(
                key,
                format!(
                    "expected `kafka.protocol` to be sasl_ssl or sasl_plaintext with it, but it is `{protocol}`"
                ),
            ),
            (true, false) | (false, true) => {}
        }
    }
    if !text(PASSWORD).is_empty()
        && let Err(error) = Reference::parse(text(PASSWORD))
    {
        problem(PASSWORD, error.to_string());
    }
    if protocol == "sasl_plaintext" && text("kafka.mechanism") == Mechanism::Plain.as_str() {
        let why = "anybody on the way could read the password";
        problem("kafka.mechanism", format!("expected SCRAM, or `kafka.protocol` to be sasl_ssl: {why}"));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Effective, secret};
    use super::*;

    fn effective(text: &str) -> Effective {
        let mut effective = Effective::defaults();
        effective.merge_file(Path::new("x.toml"), &format!("[kafka]\n{text}")).unwrap();
        effective
    }

    fn problems(text: &str) -> Vec<String> {
        match effective(text).parse() {
            Err(Error::Problems(problems)) => problems.iter().map(ToString::to_string).collect(),
            Err(other) => panic!("{other:?}"),
            Ok(_) => vec![],
        }
    }

    #[test]
    fn nothing_said_is_embedded_and_three_copies() {
        let config = effective("").parse().unwrap();
        assert!(config.kafka.is_embedded());
        assert_eq!(config.kafka.wanted(16).durability, Durability::Replicated);
        assert_eq!(config.kafka.settings("test").unwrap().security, Security::default());
    }

    #[test]
    fn what_is_missing_or_would_be_ignored_is_told() {
        for (text, told) in [
            ("durability = \"none\"", "kafka.durability (x.toml): expected one of replicated, single-broker"),
            ("protocol = \"tls\"", "kafka.protocol (x.toml): expected one of plaintext, ssl"),
            ("prefix = \"a b\"", "kafka.prefix (x.toml): expected 1 to 200"),
            ("prefix = \"\"", "kafka.prefix (x.toml): expected 1 to 200"),
            ("model_trained = \"a/b\"", "kafka.model_trained (x.toml): expected 1 to 200"),
            ("instance = \"a b\"", "kafka.instance (x.toml): expected 0 to 200"),
            ("ca = \"x.pem\"", "kafka.ca (x.toml): expected `kafka.protocol` to be ssl"),
            ("protocol = \"ssl\"\nkey = \"x.pem\"", "kafka.certificate (default): expected a file"),
            ("user = \"alice\"", "kafka.user (x.toml): expected `kafka.protocol` to be sasl_ssl"),
            ("command_partitions = 0", "kafka.command_partitions (x.toml): expected at least 1"),
            (
                "protocol = \"sasl_plaintext\"\nuser = \"a\"\npassword = \"secret://env/P\"\nmechanism = \"PLAIN\"",
                "kafka.mechanism (x.toml): expected SCRAM",
            ),
        ] {
            let found = problems(text);
            assert!(found.len() == 1 && found[0].starts_with(told), "{text}: {found:?}");
        }
        let found = problems("protocol = \"sasl_ssl\"");
        assert_eq!(found.len(), 2, "user and password: {found:?}");
    }

    #[test]
    fn a_password_in_the_file_is_refused_and_not_repeated() {
        for password in ["\"hunter2\"", "2222"] {
            let found = problems(&format!("protocol = \"sasl_ssl\"\nuser = \"a\"\npassword = {password}"));
            assert!(!found.is_empty(), "{password}");
            assert!(!found.join(" ").contains("2222") && !found.join(" ").contains("hunter2"), "{found:?}");
        }
    }

    #[test]
    fn everything_said_reaches_the_client() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, "open sesame\n").unwrap();
        let text = format!(
            "instance = \"host-1\"\nprotocol = \"sasl_ssl\"\nca = \"ca.pem\"\ncertificate = \"c.pem\"\nkey = \"k.pem\"\nuser = \"alice\"\n\
             password = \"secret://file{}\"\nmechanism = \"SCRAM-SHA-256\"\ndurability = \"single-broker\"",
            file.display()
        );
        let kafka = effective(&text).parse().unwrap().kafka;
        let settings = kafka.settings("engine").unwrap();
        assert_eq!(settings.client_id, "engine.host-1");
        let sasl = Sasl {
            mechanism: Mechanism::ScramSha256,
            user: "alice".into(),
            password: Password::new("open sesame".into()),
        };
        let identity = Identity { certificate: "c.pem".into(), key: "k.pem".into() };
        let tls = Tls { ca: Some("ca.pem".into()), identity: Some(identity) };
        assert_eq!(settings.security, Security { tls: Some(tls), sasl: Some(sasl) });
        assert_eq!(kafka.wanted(4).durability, Durability::SingleBroker);
        std::fs::remove_file(&file).unwrap();
        assert!(matches!(
            kafka.settings("engine"),
            Err(Error::Secret { source: secret::Error::Unreadable { .. }, .. })
        ));
    }
}
