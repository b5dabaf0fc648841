//! What all clients have in common: their words go to `tracing`, and the last trouble is remembered.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;

use crate::traffic::Traffic;

/// How a client's brokers are.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    away: AtomicBool,
    last: Mutex<Option<String>>,
    traffic: Mutex<Option<Traffic>>,
}

impl Health {
    /// No broker answers, as far as the client knows.
    pub fn is_away(&self) -> bool {
        self.0.away.load(Relaxed)
    }

    /// The last trouble in words, until something went well.
    pub fn trouble(&self) -> Option<String> {
        self.0.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the client last said of its traffic; nothing in its first seconds.
    pub fn traffic(&self) -> Option<Traffic> {
        self.0.traffic.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn hear(&self, said: &Statistics) {
        *self.0.traffic.lock().unwrap_or_else(PoisonError::into_inner) = Some(Traffic::of(said));
    }

    pub(crate) fn went_well(&self) {
        if self.0.away.swap(false, Relaxed) {
            *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    fn trouble_is(&self, error: &KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.0.away.store(true, Relaxed);
        } else {
            *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
        }
    }
}

/// The context of consumers without a group, and of whatever only asks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plain {
    pub health: Health,
}

/// What a context with a field `health` does with its client's words.
macro_rules! listens {
    ($context:ty) => {
        impl rdkafka::client::ClientContext for $context {
            fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, message: &str) {
                $crate::client::log(level, facility, message);
            }

            fn error(&self, error: rdkafka::error::KafkaError, reason: &str) {
                $crate::client::note(&self.health, &error, reason);
            }

            fn stats(&self, said: rdkafka::statistics::Statistics) {
                self.health.hear(&said);
            }
        }
    };
}
pub(crate) use listens;

listens!(Plain);

impl ConsumerContext for Plain {}

/// Notes a client's trouble. The end of a partition is none.
pub(crate) fn note(health: &Health, error: &KafkaError, reason: &str) {
    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF) {
        return;
    }
    tracing::debug!(%error, reason, "Kafka client");
    health.trouble_is(error, reason);
}

pub(crate) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(facility, message, "librdkafka");
        }
        // What it says of connections it tries again by itself.
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => tracing::warn!(facility, message, "librdkafka"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
            tracing::debug!(facility, message, "librdkafka");
        }
    }
}
