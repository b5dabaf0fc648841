//! Appends to the log. What is sent may land or not, and is known by reading alone.
//!
//! **Invariant:** once a partition was given up, nothing that was appended to it before is sent any more by this
//! process; what is on the wire may still land, and no claim made later follows it.
//!
//! One record leaves at once. Of many, given one by one to a client that sends at once, five leave as requests of their own, and
//! what is behind them waits for an answer while the client's thread looks without rest: an idempotent client has at most five
//! records under way beside what it sends. So many leave by another client, which waits a moment for the last of them. A
//! partition goes from one to the other only while nothing of it is under way, which keeps the order.

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

/// How long many records wait for the last of them, in milliseconds: the least that a client sleeps for.
const GATHER_MS: &str = "1";

pub struct Appender {
    settings: Settings,
    topic: String,
    /// In the order of [`Way`].
    producers: [BaseProducer<Context>; 2],
    health: [Health; 2],
    /// Sent and not heard of, by partition.
    in_flight: BTreeMap<u32, InFlight>,
}

/// By which client records leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Prompt,
    Gathering,
}

#[derive(Debug, Clone, Copy)]
struct InFlight {
    way: Way,
    records: usize,
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
        let health = [Health::default(), Health::default()];
        Ok(Self {
            topic: Topic::Events.name(&settings.prefix),
            producers: produce(settings, &health)?,
            settings: settings.clone(),
            health,
            in_flight: BTreeMap::new(),
        })
    }

    /// Of the client by which one record leaves, and of that by which many do.
    pub fn health(&self) -> [&Health; 2] {
        self.health.each_ref()
    }

    /// How many records are sent and not heard of.
    pub fn in_flight(&self) -> usize {
        self.in_flight.values().map(|it| it.records).sum()
    }

    /// Sends the records to the end of the partition, in their order. Where not all could be sent, it is in doubt.
    pub fn append(&mut self, partition: u32, records: &[Vec<u8>]) -> Result<(), Error> {
        let way = way(self.in_flight.get(&partition), records.len());
        let producer = &self.producers[way as usize];
        for bytes in records {
            // Unique, so that a topic compacted by mistake loses nothing.
            let key = record::hash(bytes).0;
            let record = BaseRecord::with_opaque_to(&self.topic, Box::new(partition))
                .partition(partition as i32)
                .key(&key[..])
                .payload(&bytes[..]);
            producer.send(record).map_err(|(error, _)| match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::QueueFull) => Error::Full,
                _ => Error::Write(error),
            })?;
            self.in_flight.entry(partition).or_insert(InFlight { way, records: 0 }).records += 1;
        }
        Ok(())
    }

    /// Partitions of which an append failed: whether it landed is not known.
    pub fn poll(&mut self) -> Vec<(u32, KafkaError)> {
        let mut failed = vec![];
        for producer in &self.producers {
            loop {
                producer.poll(Duration::ZERO);
                let reports = &producer.context().reports;
                let reports = std::mem::take(&mut *reports.lock().unwrap_or_else(PoisonError::into_inner));
                if reports.is_empty() {
                    break;
                }
                for (partition, result) in reports {
                    if let Some(it) = self.in_flight.get_mut(&partition) {
                        it.records -= 1;
                    }
                    failed.extend(result.err().map(|error| (partition, error)));
                }
            }
        }
        self.in_flight.retain(|_, it| it.records > 0);
        failed
    }

    /// Sends nothing more of what was appended to the partition. Partitions that share the clients and wait for
    /// them are in doubt then: they are given back.
    pub fn give_up(&mut self, partition: u32) -> Result<Vec<u32>, Error> {
        // What was heard of is not sent again.
        let _failed = self.poll();
        let is_broken = self.producers.iter().any(|producer| producer.client().fatal_error().is_some());
        if !self.in_flight.contains_key(&partition) && !is_broken {
            return Ok(vec![]);
        }
        let others = std::mem::take(&mut self.in_flight).into_keys().filter(|other| *other != partition);
        let others = others.collect();
        // The former ones are destroyed: their queues are purged, and what is on the wire gets no second try.
        self.producers = produce(&self.settings, &self.health)?;
        Ok(others)
    }
}

/// What follows on something that is under way goes the same way.
fn way(under_way: Option<&InFlight>, records: usize) -> Way {
    match under_way {
        Some(before) => before.way,
        None if records == 1 => Way::Prompt,
        None => Way::Gathering,
    }
}

fn produce(settings: &Settings, health: &[Health; 2]) -> Result<[BaseProducer<Context>; 2], Error> {
    let one = |way: Way| {
        let context = Context { reports: Reports::default(), health: health[way as usize].clone() };
        config(settings, way).create_with_context(context).map_err(Error::client)
    };
    Ok([one(Way::Prompt)?, one(Way::Gathering)?])
}

fn config(settings: &Settings, way: Way) -> ClientConfig {
    let mut config = settings.client();
    traffic::tell(&mut config);
    // Retries of the client keep the order and are written once; acknowledged is what all replicas in sync have.
    config.set("enable.idempotence", "true");
    config.set("acks", "all");
    // The engine gathers by itself while a request is under way: waiting here adds to every single run. Of many records the
    // first waits for the last, which is there in a fraction of it.
    config.set(
        "linger.ms",
        match way {
            Way::Prompt => "0",
            Way::Gathering => GATHER_MS,
        },
    );
    // Longer than `append_doubt`: by then the partition has given up, and the producer is gone.
    config.set("message.timeout.ms", "30000");
    // One record is one transition.
    config.set("message.max.bytes", RECORD_BYTES_MAX.to_string());
    config.set("socket.nagle.disable", "true");
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_record_leaves_at_once_many_together_and_nothing_overtakes() {
        assert_eq!((way(None, 1), way(None, 2)), (Way::Prompt, Way::Gathering));
        for before in [Way::Prompt, Way::Gathering] {
            let under_way = InFlight { way: before, records: 1 };
            assert_eq!([1, 2].map(|records| way(Some(&under_way), records)), [before; 2]);
        }
    }
}
