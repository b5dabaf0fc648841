//! Reaching the brokers, and saying within seconds why they were not reached: librdkafka itself tries for ever, and
//! what it found it says only to a callback.

use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::metadata::Metadata;
use rdkafka::producer::{BaseProducer, Producer as _, ProducerContext};

use crate::Settings;

/// How long brokers may take to answer at all. A broker that starts takes a few seconds.
pub const REACHED_WITHIN: Duration = Duration::from_secs(10);
/// How often it is looked whether what was heard means that waiting is in vain.
const LOOK: Duration = Duration::from_millis(250);
/// What callbacks have waiting is taken for so long.
const CALLED: Duration = Duration::from_millis(5);

/// Why there is no use of the brokers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to reach Kafka at `{brokers}`: {why}")]
pub struct NotReached {
    pub brokers: String,
    pub cause: Cause,
    /// The last that the client library said.
    pub why: String,
}

impl NotReached {
    /// Stable.
    pub fn code(&self) -> &'static str {
        self.cause.code()
    }

    pub fn hint(&self) -> &'static str {
        self.cause.hint()
    }

    /// Of an error that a creation gave.
    pub(crate) fn of_creation(settings: &Settings, error: &KafkaError) -> Self {
        let why = match error {
            // The text of the error has the value in it, which may be the password.
            KafkaError::ClientConfig(_, why, key, _) => format!("{key}: {why}"),
            other => other.to_string(),
        };
        Self { brokers: settings.brokers.clone(), cause: Cause::Settings, why }
    }
}

/// What kind of thing stands in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Nobody answers there, or not yet.
    Silent,
    /// Somebody answers and hangs up.
    HungUp,
    /// The brokers' certificate is not one that we trust for this host.
    Untrusted,
    /// The brokers want a certificate of ours, or another one.
    NoIdentity,
    /// User or password.
    Password,
    /// The configuration of the client cannot be used.
    Settings,
}

impl Cause {
    fn code(self) -> &'static str {
        match self {
            Self::Silent => "KAFKA_SILENT",
            Self::HungUp => "KAFKA_HUNG_UP",
            Self::Untrusted => "KAFKA_UNTRUSTED",
            Self::NoIdentity => "KAFKA_NO_IDENTITY",
            Self::Password => "KAFKA_PASSWORD",
            Self::Settings => "KAFKA_SETTINGS",
        }
    }

    fn hint(self) -> &'static str {
        match self {
            Self::Silent => "is `kafka.brokers` right, and does a broker listen there?",
            Self::HungUp => {
                "does `kafka.protocol` fit the listener, and does it ask for a certificate (`kafka.certificate`)?"
            }
            Self::Untrusted => {
                "`kafka.ca` names who must have signed the brokers' certificates, and those must name the hosts of \
                 `kafka.brokers`"
            }
            Self::NoIdentity => {
                "`kafka.certificate` and `kafka.key` say who we are; the brokers must trust it"
            }
            Self::Password => {
                "check `kafka.user`, `kafka.password` and `kafka.mechanism` against the brokers' users"
            }
            Self::Settings => "see `[kafka]` in `deploy/modelrail.toml`",
        }
    }

    /// Whether trying on is in vain.
    fn is_final(self) -> bool {
        match self {
            Self::Silent | Self::HungUp => false,
            Self::Untrusted | Self::NoIdentity | Self::Password | Self::Settings => true,
        }
    }

    /// librdkafka has one code for all that can be wrong with TLS: which it is, OpenSSL's text says.
    fn of(code: RDKafkaErrorCode, reason: &str) -> Self {
        let says = |words: &[&str]| words.iter().any(|word| reason.contains(word));
        match code {
            RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed => Self::Password,
            _ if says(&[
                "certificate required",
                "bad certificate",
                "alert unknown ca",
                "handshake failure",
            ]) =>
            {
                Self::NoIdentity
            }
            _ if says(&["verify failed", "self-signed", "self signed", "hostname mismatch"]) => {
                Self::Untrusted
            }
            RDKafkaErrorCode::SSL => Self::HungUp,
            _ if says(&["Disconnected", "isconnected while"]) => Self::HungUp,
            _ => Self::Silent,
        }
    }
}

/// Keeps what the client library says of its connections.
#[derive(Default)]
pub(crate) struct Heard(Mutex<Option<(Cause, String)>>);

impl fmt::Debug for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heard").finish_non_exhaustive()
    }
}

impl Heard {
    pub(crate) fn hear(&self, error: &KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        // It says only that no connection works, after the errors of each that say why.
        if code == Some(RDKafkaErrorCode::AllBrokersDown) {
            return;
        }
        let heard = (code.map_or(Cause::Silent, |code| Cause::of(code, reason)), reason.to_owned());
        let mut last = self.0.lock().expect("nobody panics with it");
        // A wrong password is followed by the closed connection, which says less.
        if last.as_ref().is_none_or(|(cause, _)| !cause.is_final() || heard.0.is_final()) {
            *last = Some(heard);
        }
    }

    fn last(&self) -> Option<(Cause, String)> {
        self.0.lock().expect("nobody panics with it").clone()
    }
}

impl ClientContext for Heard {
    /// A connection that was closed on the way is only logged, not called an error.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, message, "librdkafka");
        if facility == "FAIL" {
            let said = message.split_once("]: ").map_or(message, |(_, said)| said);
            self.hear(&KafkaError::Global(RDKafkaErrorCode::BrokerTransportFailure), said);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka");
        self.hear(&error, reason);
    }
}

impl ProducerContext for Heard {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): Self::DeliveryOpaque) {}
}

/// librdkafka's own words for a file that is not there do not name it.
fn unreadable(settings: &Settings) -> Option<NotReached> {
    let tls = settings.security.tls.as_ref()?;
    let own = tls.identity.iter().flat_map(|identity| [&identity.certificate, &identity.key]);
    own.chain(&tls.ca).find_map(|path| {
        let error = std::fs::File::open(path).err()?;
        let why = format!("failed to read `{}`: {error}", path.display());
        Some(NotReached { brokers: settings.brokers.clone(), cause: Cause::Settings, why })
    })
}

/// A client that was answered, and what the cluster looks like. It writes nothing.
pub(crate) struct Reached {
    pub(crate) client: BaseProducer<Heard>,
    pub(crate) metadata: Metadata,
}

/// Asks the brokers until they answer, it is in vain, or [`REACHED_WITHIN`] is over.
pub(crate) fn reach(settings: &Settings) -> Result<Reached, NotReached> {
    if let Some(unreadable) = unreadable(settings) {
        return Err(unreadable);
    }
    let client: BaseProducer<Heard> = settings
        .client()
        // What is logged is heard, whatever this process logs itself.
        .set_log_level(RDKafkaLogLevel::Info)
        .create_with_context(Heard::default())
        .map_err(|error| NotReached::of_creation(settings, &error))?;
    let began = Instant::now();
    loop {
        let asked = client.client().fetch_metadata(None, LOOK);
        let error = match asked {
            Ok(metadata) => return Ok(Reached { client, metadata }),
            Err(error) => error,
        };
        client.poll(CALLED);
        let heard = client.context().last();
        let in_vain = heard.as_ref().is_some_and(|(cause, _)| cause.is_final());
        if in_vain || began.elapsed() > REACHED_WITHIN {
            let (cause, why) = heard.unwrap_or_else(|| (Cause::Silent, error.to_string()));
            return Err(NotReached { brokers: settings.brokers.clone(), cause, why });
        }
    }
}
