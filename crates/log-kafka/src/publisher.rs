//! Writes to topics that are not the log: inputs, commands, signs of life, tables. Many threads share one.

use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};

use crate::client::{Health, listens};
use crate::record::{self, Headers};
use crate::topics::RECORD_BYTES_MAX;
use crate::{Error, Settings, traffic};

/// A record to be written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Write {
    pub topic: String,
    /// Nothing leaves it to the key.
    pub partition: Option<u32>,
    /// Empty is none.
    pub key: Vec<u8>,
    /// Nothing is a tombstone.
    pub value: Option<Vec<u8>>,
    pub headers: Headers,
}

/// Where a record landed, once all replicas in sync have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    pub partition: u32,
    pub offset: u64,
}

/// Told once what became of a record. Called on a thread of the client: it must not wait.
type Told = Box<dyn FnOnce(Result<Written, Error>) + Send>;

/// The publisher, to be cloned.
#[derive(Clone)]
pub struct Publisher(Arc<ThreadedProducer<Context>>);

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Publisher")
    }
}

struct Context {
    health: Health,
}

listens!(Context);

impl ProducerContext for Context {
    // In a mutex because the client asks for what may be shared; nobody else has it.
    type DeliveryOpaque = Box<Mutex<Told>>;

    fn delivery(&self, result: &DeliveryResult<'_>, told: Box<Mutex<Told>>) {
        let told = told.into_inner().unwrap_or_else(PoisonError::into_inner);
        told(match result {
            Ok(message) => {
                self.health.went_well();
                Ok(Written { partition: message.partition() as u32, offset: message.offset() as u64 })
            }
            Err((error, _)) => Err(Error::Write(error.clone())),
        });
    }
}

impl Publisher {
    pub fn open(settings: &Settings) -> Result<Self, Error> {
        Self::lingering(settings, "0")
    }

    pub(crate) fn lingering(settings: &Settings, linger_ms: &str) -> Result<Self, Error> {
        let context = Context { health: Health::default() };
        let producer = config(settings, linger_ms).create_with_context(context).map_err(Error::client)?;
        Ok(Self(Arc::new(producer)))
    }

    pub fn health(&self) -> &Health {
        &self.0.context().health
    }

    /// How many records are on their way.
    pub fn in_flight(&self) -> usize {
        self.0.in_flight_count().try_into().unwrap_or_default()
    }

    /// Sends it. `told` hears what became of it, on another thread; not when this fails.
    pub fn publish(
        &self,
        write: &Write,
        told: impl FnOnce(Result<Written, Error>) + Send + 'static,
    ) -> Result<(), Error> {
        let told: Told = Box::new(told);
        let mut sent = BaseRecord::with_opaque_to(&write.topic, Box::new(Mutex::new(told)));
        sent.key = (!write.key.is_empty()).then_some(&write.key[..]);
        sent.payload = write.value.as_deref();
        sent.partition = write.partition.map(|partition| partition as i32);
        if !write.headers.is_empty() {
            sent.headers = Some(record::headers(&write.headers));
        }
        self.0.send(sent).map_err(|(error, _)| match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::QueueFull) => Error::Full,
            _ => Error::Write(error),
        })
    }

    /// Sends it, and waits until it landed. Not to be called where callbacks run.
    pub fn publish_and_wait(&self, write: &Write) -> Result<Written, Error> {
        let (told, hears) = std::sync::mpsc::sync_channel(1);
        self.publish(write, move |result| drop(told.send(result)))?;
        // The client tells of every record, at the latest after `message.timeout.ms`.
        hears.recv().unwrap_or(Err(Error::Write(KafkaError::Canceled)))
    }
}

fn config(settings: &Settings, linger_ms: &str) -> ClientConfig {
    let mut config = settings.client();
    traffic::tell(&mut config);
    config.set("enable.idempotence", "true");
    config.set("acks", "all");
    config.set("linger.ms", linger_ms);
    // Then whoever said it hears that it may not have landed, and says it again under the same id.
    config.set("message.timeout.ms", "30000");
    config.set("message.max.bytes", RECORD_BYTES_MAX.to_string());
    // What waits here is lost with the process: a bound, beyond which callers are told to come back.
    config.set("queue.buffering.max.messages", "20000");
    // As the client of the Java platform does, so that anybody's publisher agrees on the partition of a key.
    config.set("partitioner", "murmur2_random");
    config.set("socket.nagle.disable", "true");
    config
}
