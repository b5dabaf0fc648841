//! Reads the log: every partition, each from its own offset, to the end and on.

use std::time::{Duration, Instant};

use engine::port::log::Landed;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::client::{Health, Plain};
use crate::patience::{note_passing, passes, patiently};
use crate::{Bell, Error, Settings, Topic, traffic};

/// How long the broker waits with an answer when it has nothing: bounds how late the end of a partition is noticed.
const FETCH_WAIT_MS: &str = "200";

/// What a look at the log found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    Record {
        partition: u32,
        landed: Landed,
    },
    /// There is nothing more for now.
    End {
        partition: u32,
    },
    /// Some partition does not have the offset that was asked for: [`LogReader::bounds`] tells which.
    Gone,
}

#[derive(Debug)]
pub struct LogReader {
    consumer: Consumer,
    topic: String,
    partitions: u32,
    brokers: String,
}

/// Without a Debug of its own in rdkafka.
struct Consumer(BaseConsumer<Plain>);

impl std::fmt::Debug for Consumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Consumer")
    }
}

impl LogReader {
    /// Reads each partition from the offset at its place. The bell is rung when there is something.
    pub fn open(settings: &Settings, from: &[u64], bell: &Bell) -> Result<Self, Error> {
        Self::assigned(settings, (0..).zip(from.iter().copied()), from.len() as u32, bell)
    }

    /// Reads one partition alone.
    pub fn of_one(settings: &Settings, partition: u32, from: u64, bell: &Bell) -> Result<Self, Error> {
        Self::assigned(settings, [(partition, from)], partition + 1, bell)
    }

    fn assigned(
        settings: &Settings,
        from: impl IntoIterator<Item = (u32, u64)>,
        partitions: u32,
        bell: &Bell,
    ) -> Result<Self, Error> {
        let topic = Topic::Events.name(&settings.prefix);
        let mut consumer: BaseConsumer<Plain> =
            config(settings).create_with_context(Plain::default()).map_err(Error::client)?;
        let bell = bell.clone();
        consumer.set_nonempty_callback(move || bell.ring());
        let mut assignment = TopicPartitionList::new();
        for (partition, offset) in from {
            assignment
                .add_partition_offset(&topic, partition as i32, Offset::Offset(offset as i64))
                .map_err(Error::client)?;
        }
        consumer.assign(&assignment).map_err(Error::client)?;
        let brokers = settings.brokers.clone();
        Ok(Self { consumer: Consumer(consumer), topic, partitions, brokers })
    }

    pub fn health(&self) -> &Health {
        &self.consumer.0.client().context().health
    }

    /// What is there, without waiting for more.
    pub fn next(&self) -> Result<Option<Seen>, Error> {
        // A poll that served an event of the client itself says that there is nothing: only twice is nothing.
        let polled = self.consumer.0.poll(Duration::ZERO).or_else(|| self.consumer.0.poll(Duration::ZERO));
        match polled {
            None => Ok(None),
            Some(Ok(message)) => {
                self.health().went_well();
                let partition = message.partition() as u32;
                let bytes = message.payload().unwrap_or_default().to_vec();
                let landed = Landed { offset: message.offset() as u64, bytes };
                Ok(Some(Seen::Record { partition, landed }))
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                self.health().went_well();
                Ok(Some(Seen::End { partition: partition as u32 }))
            }
            Some(Err(error)) => match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                    Ok(Some(Seen::Gone))
                }
                _ if passes(&error) => {
                    note_passing("the log", &error);
                    Ok(None)
                }
                _ => Err(Error::Asking { what: "records of the log", source: error }),
            },
        }
    }

    /// The first offset that each partition holds, and the next one that it will give.
    pub fn bounds(&self, within: Duration) -> Result<Vec<(u64, u64)>, Error> {
        (0..self.partitions).map(|partition| self.bounds_of(partition, within)).collect()
    }

    pub fn bounds_of(&self, partition: u32, within: Duration) -> Result<(u64, u64), Error> {
        let ask = |within: Duration| self.consumer.0.fetch_watermarks(&self.topic, partition as i32, within);
        let bounds = patiently(within, ask);
        let (low, high) = bounds.map_err(|source| self.asking("the ends of the log", source))?;
        self.health().went_well();
        Ok((low as u64, high as u64))
    }

    /// The first record that each partition holds; nothing where there is none. `within` bounds the whole.
    pub fn first_records(
        settings: &Settings,
        partitions: u32,
        within: Duration,
    ) -> Result<Vec<Option<Landed>>, Error> {
        let deadline = Instant::now() + within;
        let bell = Bell::default();
        let reader = Self::open(settings, &vec![0; partitions as usize], &bell)?;
        let bounds = reader.bounds(within)?;
        let from: Vec<u64> = bounds.iter().map(|(low, _)| *low).collect();
        let reader = Self::open(settings, &from, &bell)?;
        let mut found = vec![None; partitions as usize];
        let mut left = bounds.iter().filter(|(low, high)| low < high).count();
        while left > 0 {
            match reader.next()? {
                Some(Seen::Record { partition, landed }) if found[partition as usize].is_none() => {
                    found[partition as usize] = Some(landed);
                    left -= 1;
                }
                Some(_) => {}
                None if Instant::now() < deadline => bell.wait(Duration::from_millis(50)),
                None => {
                    let why =
                        reader.health().trouble().unwrap_or_else(|| "it did not answer in time".to_owned());
                    return Err(Error::NotReached { brokers: settings.brokers.clone(), why });
                }
            }
        }
        Ok(found)
    }

    fn asking(&self, what: &'static str, source: KafkaError) -> Error {
        match self.health().trouble() {
            Some(why) => Error::NotReached { brokers: self.brokers.clone(), why },
            None => Error::Asking { what, source },
        }
    }
}

fn config(settings: &Settings) -> ClientConfig {
    let mut config = settings.consumer();
    traffic::tell(&mut config);
    // Never joined: a consumer without the name of a group cannot be assigned anything.
    config.set("group.id", format!("{}reader", settings.prefix));
    // What was read is known from the records themselves.
    config.set("enable.auto.commit", "false");
    config.set("enable.auto.offset.store", "false");
    // An offset that is not there is a gap in history, and nothing to be skipped.
    config.set("auto.offset.reset", "error");
    // Every reader sees the same records, those of a foreign transaction that was aborted too.
    config.set("isolation.level", "read_uncommitted");
    config.set("enable.partition.eof", "true");
    config.set("fetch.wait.max.ms", FETCH_WAIT_MS);
    // A broker that refused a fetch is asked again soon: the default of half a second is all of a takeover's time.
    config.set("fetch.error.backoff.ms", "50");
    config.set("check.crcs", "true");
    config
}
