//! How Kafka is reached, and what its clients are told. Every setting of librdkafka that differs from its default
//! is argued where it stands.

use std::fmt;
use std::path::PathBuf;

use rdkafka::ClientConfig;

/// How the brokers are reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `host:port`, separated by commas.
    pub brokers: String,
    /// How this process names itself to the brokers' logs and quotas.
    pub client_id: String,
    /// What the names of our own topics begin with, such as `modelrail.`.
    pub prefix: String,
    pub security: Security,
}

/// How the connection is protected, and who we say we are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Security {
    /// Without it everything that is said can be read and changed on the way.
    pub tls: Option<Tls>,
    pub sasl: Option<Sasl>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// Who must have signed the brokers' certificates, as PEM; otherwise whom this system trusts.
    pub ca: Option<PathBuf>,
    /// Who we are to brokers that ask for a certificate.
    pub identity: Option<Identity>,
}

/// A certificate and its key, as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sasl {
    pub mechanism: Mechanism,
    pub user: String,
    pub password: Password,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// The password itself is sent.
    Plain,
    ScramSha256,
    ScramSha512,
}

impl Mechanism {
    pub const ALL: [Self; 3] = [Self::Plain, Self::ScramSha256, Self::ScramSha512];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// Nobody sees it who does not ask for it by name.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    pub fn new(password: String) -> Self {
        Self(password)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Settings {
    /// What every client has in common.
    pub(crate) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config.set("client.id", &self.client_id);
        // A broker that comes back is to be found at once: the default lets the wait grow to ten seconds.
        config.set("reconnect.backoff.ms", "50");
        config.set("reconnect.backoff.max.ms", "1000");
        // A broker whose machine is gone does not answer at all. The default waits 30 s before another is asked; a
        // handshake of TLS with a loaded broker takes less than a second.
        config.set("socket.connection.setup.timeout.ms", "10000");
        self.security.tell(&mut config);
        config
    }

    /// What every client that reads has in common.
    pub(crate) fn consumer(&self) -> ClientConfig {
        let mut config = self.client();
        // One that has as many records waiting as it may (`queued.min.messages`) asks for none, and by default looks again a
        // second later: whatever comes meanwhile waits for that second, though what waited is taken within milliseconds.
        config.set("fetch.queue.backoff.ms", "10");
        config
    }
}

impl Security {
    fn tell(&self, config: &mut ClientConfig) {
        let protocol = match (&self.tls, &self.sasl) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        };
        config.set("security.protocol", protocol);
        // That the certificate is for the host that was asked, and that somebody trusted signed it, is the default of
        // librdkafka (`ssl.endpoint.identification.algorithm`, `enable.ssl.certificate.verification`): there is no key
        // to switch it off.
        if let Some(tls) = &self.tls {
            if let Some(ca) = &tls.ca {
                config.set("ssl.ca.location", ca.to_string_lossy());
            }
            if let Some(Identity { certificate, key }) = &tls.identity {
                config.set("ssl.certificate.location", certificate.to_string_lossy());
                config.set("ssl.key.location", key.to_string_lossy());
            }
        }
        if let Some(sasl) = &self.sasl {
            config.set("sasl.mechanism", sasl.mechanism.as_str());
            config.set("sasl.username", &sasl.user);
            config.set("sasl.password", &sasl.password.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(security: Security) -> Settings {
        Settings { brokers: "127.0.0.1:9".into(), client_id: "test".into(), prefix: "test.".into(), security }
    }

    fn sasl() -> Sasl {
        Sasl {
            mechanism: Mechanism::ScramSha512,
            user: "alice".into(),
            password: Password::new("open sesame".into()),
        }
    }

    #[test]
    fn a_password_is_not_in_any_text() {
        let settings = settings(Security { tls: None, sasl: Some(sasl()) });
        let text = format!("{settings:?} {:?}", settings.client());
        assert!(text.contains("alice") && !text.contains("sesame"), "{text}");
        assert_eq!(settings.client().get("sasl.password"), Some("open sesame"));
    }

    #[test]
    fn the_protocol_follows_from_what_is_there() {
        for (tls, sasl, protocol) in [
            (None, None, "plaintext"),
            (Some(Tls::default()), None, "ssl"),
            (None, Some(sasl()), "sasl_plaintext"),
            (Some(Tls::default()), Some(sasl()), "sasl_ssl"),
        ] {
            let client = settings(Security { tls, sasl }).client();
            assert_eq!(client.get("security.protocol"), Some(protocol));
        }
    }
}
