//! Appends to the log. What is sent may land or not, and is known by reading alone.
//!
//! **Invariant:** once a partition was given up, nothing that was appended to it before is sent any more by this
//! process; what is on the wire may still land, and no claim made later follows it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use wire::record;

use crate::client::{Health, listens};
use crate::topics::RECORD_BYTES_MAX;
use crate::{Error, Settings, Topic, traffic};

pub struct Appender {
    settings: Settings,
    topic: String,
    producer: BaseProducer<Context>,
    health: Health,
    /// Sent and not heard of, by partition.
    in_flight: BTreeMap<u32, usize>,
    /// How many producers there have been.
    producers: u64,
}

impl std::fmt::Debug for Appender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Appender").field("in_flight", &self.in_flight).finish_non_exhaustive()
    }
}

/// What the broker said of appended records.
type Reports = Arc<Mutex<Vec<(u32, Result<(), KafkaError>)>>>;

struct Context {
    reports: Reports,
    health: Health,
}

listens!(Context);

impl ProducerContext for Context {
    type DeliveryOpaque = Box<u32>;

    fn delivery(&self, result: &DeliveryResult<'_>, partition: Box<u32>) {
        let result = result.as_ref().map(drop).map_err(|(error, _)| error.clone());
        if result.is_ok() {
            self.health.went_well();
        }
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).push((*partition, result));
    }
}

impl Appender {
    /// To be opened early: the first write of a new producer waits half a second for its number.
    pub fn open(settings: &Settings) -> Result<Self, Error> {
        let health = Health::default();
        Ok(Self {
            topic: Topic::Events.name(&settings.prefix),
            producer: produce(settings, &health)?,
            settings: settings.clone(),
            health,
            in_flight: BTreeMap::new(),
            producers: 1,
        })
    }

    pub fn health(&self) -> &Health {
        &self.health
    }

    /// How many records are sent and not heard of.
    pub fn in_flight(&self) -> usize {
        self.in_flight.values().sum()
    }

    /// How many producers this has used up.
    pub fn producers(&self) -> u64 {
        self.producers
    }

    /// Sends the records to the end of the partition, in their order. Where not all could be sent, it is in doubt.
    pub fn append(&mut self, partition: u32, records: &[Vec<u8>]) -> Result<(), Error> {
        for bytes in records {
            // Unique, so that a topic compacted by mistake loses nothing.
            let key = record::hash(bytes).0;
            let record = BaseRecord::with_opaque_to(&self.topic, Box::new(partition))
                .partition(partition as i32)
                .key(&key[..])
                .payload(&bytes[..]);
            self.producer.send(record).map_err(|(error, _)| match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::QueueFull) => Error::Full,
                _ => Error::Write(error),
            })?;
            *self.in_flight.entry(partition).or_default() += 1;
        }
        Ok(())
    }

    /// Partitions of which an append failed: whether it landed is not known.
    pub fn poll(&mut self) -> Vec<(u32, KafkaError)> {
        let mut failed = vec![];
        loop {
            self.producer.poll(Duration::ZERO);
            let reports = std::mem::take(
                &mut *self.producer.context().reports.lock().unwrap_or_else(PoisonError::into_inner),
            );
            if reports.is_empty() {
                return failed;
            }
            for (partition, result) in reports {
                if let Some(count) = self.in_flight.get_mut(&partition) {
                    *count -= 1;
                }
                failed.extend(result.err().map(|error| (partition, error)));
            }
            self.in_flight.retain(|_, count| *count > 0);
        }
    }

    /// Sends nothing more of what was appended to the partition. Partitions that share the producer and wait for
    /// it are in doubt then: they are given back.
    pub fn give_up(&mut self, partition: u32) -> Result<Vec<u32>, Error> {
        // What was heard of is not sent again.
        let _failed = self.poll();
        if !self.in_flight.contains_key(&partition) && self.producer.client().fatal_error().is_none() {
            return Ok(vec![]);
        }
        let others = std::mem::take(&mut self.in_flight).into_keys().filter(|other| *other != partition);
        let others = others.collect();
        // The former one is destroyed: its queue is purged, and what is on the wire gets no second try.
        self.producer = produce(&self.settings, &self.health)?;
        self.producers += 1;
        Ok(others)
    }
}

fn produce(settings: &Settings, health: &Health) -> Result<BaseProducer<Context>, Error> {
    let context = Context { reports: Reports::default(), health: health.clone() };
    config(settings).create_with_context(context).map_err(Error::client)
}

fn config(settings: &Settings) -> ClientConfig {
    let mut config = settings.client();
    traffic::tell(&mut config);
    // Retries of the client keep the order and are written once; acknowledged is what all replicas in sync have.
    config.set("enable.idempotence", "true");
    config.set("acks", "all");
    // The engine gathers by itself while a request is under way: waiting here adds to every single run.
    config.set("linger.ms", "0");
    // Longer than `append_doubt`: by then the partition has given up, and the producer is gone.
    config.set("message.timeout.ms", "30000");
    // One record is one transition.
    config.set("message.max.bytes", RECORD_BYTES_MAX.to_string());
    config.set("socket.nagle.disable", "true");
    config
}
