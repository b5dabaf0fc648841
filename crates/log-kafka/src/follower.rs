//! Follows a whole topic without a group: every process that needs all of it reads all of it.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::client::{Health, Plain};
use crate::patience::{note_passing, passes, patiently};
use crate::record::Read;
use crate::{Bell, Error, Settings};

/// Where to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begin {
    Beginning,
    End,
    /// So many before the end of each partition.
    Last(u32),
    /// The first record stamped at this time or later, by milliseconds since the epoch.
    Time(u64),
    /// By partition; others from the beginning.
    Offsets(BTreeMap<u32, u64>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    Record(Box<Read>),
    /// All partitions were read to their ends, as they were then. Said once.
    End,
}

pub struct Follower {
    consumer: BaseConsumer<Plain>,
    topic: String,
    /// Partitions that were not read to their ends yet.
    behind: std::cell::RefCell<Option<std::collections::BTreeSet<i32>>>,
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl Follower {
    /// Follows all partitions that the topic has now. `within` bounds how long the brokers may take to answer.
    pub fn open(
        settings: &Settings,
        topic: &str,
        from: &Begin,
        bell: &Bell,
        within: Duration,
    ) -> Result<Self, Error> {
        let mut consumer: BaseConsumer<Plain> =
            config(settings).create_with_context(Plain::default()).map_err(Error::client)?;
        let bell = bell.clone();
        consumer.set_nonempty_callback(move || bell.ring());
        let partitions = partitions(settings, &consumer, topic, within)?;
        let mut assignment = TopicPartitionList::with_capacity(partitions.len());
        let asking = |source| Error::Asking { what: "a topic's offsets", source };
        for partition in &partitions {
            let offset = match from {
                Begin::Beginning => Offset::Beginning,
                Begin::End => Offset::End,
                Begin::Last(records) => Offset::OffsetTail(i64::from(*records)),
                Begin::Time(at) => Offset::Offset(*at as i64),
                Begin::Offsets(offsets) => offsets
                    .get(&(*partition as u32))
                    .map_or(Offset::Beginning, |it| Offset::Offset(*it as i64)),
            };
            assignment.add_partition_offset(topic, *partition, offset).map_err(asking)?;
        }
        if let Begin::Time(_) = from {
            let ask = |within: Duration| consumer.offsets_for_times(assignment.clone(), within);
            assignment = patiently(within, ask).map_err(asking)?;
        }
        consumer.assign(&assignment).map_err(Error::client)?;
        let behind = std::cell::RefCell::new(Some(partitions.into_iter().collect()));
        Ok(Self { consumer, topic: topic.to_owned(), behind })
    }

    pub fn health(&self) -> &Health {
        &self.consumer.context().health
    }

    /// The offset after the last record that each partition has now.
    pub fn ends(&self, within: Duration) -> Result<BTreeMap<u32, u64>, Error> {
        let asking = |source| Error::Asking { what: "the ends of a topic", source };
        let assigned = self.consumer.assignment().map_err(asking)?;
        let end = |place: TopicPartitionListElem<'_>| {
            let (_, high) =
                self.consumer.fetch_watermarks(&self.topic, place.partition(), within).map_err(asking)?;
            Ok((place.partition() as u32, high as u64))
        };
        assigned.elements().into_iter().map(end).collect()
    }

    /// What is there, waiting at most so long.
    pub fn next(&self, at_most: Duration) -> Result<Option<Seen>, Error> {
        let polled = self.consumer.poll(at_most).or_else(|| self.consumer.poll(Duration::ZERO));
        match polled {
            None => Ok(None),
            Some(Ok(message)) => {
                self.health().went_well();
                Ok(Some(Seen::Record(Box::new(Read::of(&message)))))
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                self.health().went_well();
                let mut behind = self.behind.borrow_mut();
                let Some(partitions) = &mut *behind else { return Ok(None) };
                partitions.remove(&partition);
                if !partitions.is_empty() {
                    return Ok(None);
                }
                *behind = None;
                Ok(Some(Seen::End))
            }
            Some(Err(error)) if passes(&error) => {
                note_passing("a topic", &error);
                Ok(None)
            }
            Some(Err(error)) => Err(Error::Asking { what: "records of a topic", source: error }),
        }
    }
}

fn partitions(
    settings: &Settings,
    consumer: &BaseConsumer<Plain>,
    topic: &str,
    within: Duration,
) -> Result<Vec<i32>, Error> {
    let not_reached = |why: String| Error::NotReached { brokers: settings.brokers.clone(), why };
    let found = patiently(within, |within: Duration| consumer.fetch_metadata(Some(topic), within));
    let metadata = found.map_err(|error| {
        not_reached(consumer.context().health.trouble().unwrap_or_else(|| error.to_string()))
    })?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let found = found.ok_or_else(|| not_reached(format!("no topic {topic}")))?;
    if let Some(error) = found.error() {
        let source = KafkaError::MetadataFetch(error.into());
        return Err(Error::Asking { what: "the partitions of a topic", source });
    }
    Ok(found.partitions().iter().map(rdkafka::metadata::MetadataPartition::id).collect())
}

fn config(settings: &Settings) -> ClientConfig {
    let mut config = settings.consumer();
    // Never joined: a consumer without the name of a group cannot be assigned anything.
    config.set("group.id", format!("{}follower", settings.prefix));
    config.set("enable.auto.commit", "false");
    config.set("enable.auto.offset.store", "false");
    // What the topic's retention dropped is gone for good.
    config.set("auto.offset.reset", "earliest");
    config.set("isolation.level", "read_uncommitted");
    config.set("enable.partition.eof", "true");
    config.set("fetch.wait.max.ms", "100");
    config
}
