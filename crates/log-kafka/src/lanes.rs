//! Reads the lanes of the partitions that this process owns, each from the position that the log says.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use wire::record::{Lane, Positions};

use crate::client::{Health, Plain};
use crate::patience::{note_passing, passes, patiently};
use crate::record::Read;
use crate::{Bell, Error, Settings, Topic, traffic};

/// What a reader of lanes comes upon.
#[derive(Debug)]
pub enum LaneSeen {
    Input(Lane, Read),
    /// Some lane does not hold the offset that comes next, and nothing more of it is given until it is begun again: its
    /// retention dropped inputs that nobody had taken, or the brokers lost the newest ones.
    Gone,
}

pub struct LaneReader {
    consumer: BaseConsumer<Plain>,
    topics: [String; 3],
}

impl std::fmt::Debug for LaneReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LaneReader").field("topics", &self.topics).finish_non_exhaustive()
    }
}

impl LaneReader {
    /// Reads nothing at first.
    pub fn open(settings: &Settings, bell: &Bell) -> Result<Self, Error> {
        let mut consumer: BaseConsumer<Plain> =
            config(settings).create_with_context(Plain::default()).map_err(Error::client)?;
        let bell = bell.clone();
        consumer.set_nonempty_callback(move || bell.ring());
        Ok(Self { consumer, topics: Lane::ALL.map(|lane| Topic::Lane(lane).name(&settings.prefix)) })
    }

    pub fn health(&self) -> &Health {
        &self.consumer.context().health
    }

    /// Reads the partition's lanes from these positions on. What was read of them before is not given any more.
    pub fn begin(&self, partition: u32, positions: &Positions) -> Result<(), Error> {
        self.end(partition)?;
        let mut lanes = TopicPartitionList::with_capacity(3);
        for lane in Lane::ALL {
            let offset = Offset::Offset(positions[lane.index()] as i64);
            lanes
                .add_partition_offset(&self.topics[lane.index()], partition as i32, offset)
                .map_err(|source| Error::Asking { what: "lanes", source })?;
        }
        let asking = |source| Error::Asking { what: "lanes", source };
        self.consumer.incremental_assign(&lanes).map_err(asking)?;
        // A pause of former times is not meant any more.
        self.consumer.resume(&self.lanes(partition)).map_err(asking)
    }

    /// Reads the partition's lanes no more.
    pub fn end(&self, partition: u32) -> Result<(), Error> {
        let asking = |source| Error::Asking { what: "an end of reading lanes", source };
        let assigned = self.consumer.assignment().map_err(asking)?;
        let lanes = self.lanes(partition);
        if lanes
            .elements()
            .iter()
            .all(|lane| assigned.find_partition(lane.topic(), lane.partition()).is_none())
        {
            return Ok(());
        }
        self.consumer.incremental_unassign(&lanes).map_err(asking)
    }

    /// Gives nothing more of the lane until [`Self::resume`].
    pub fn pause(&self, partition: u32, lane: Lane) -> Result<(), Error> {
        let asking = |source| Error::Asking { what: "a pause of a lane", source };
        self.consumer.pause(&self.one(partition, lane)).map_err(asking)
    }

    pub fn resume(&self, partition: u32, lane: Lane) -> Result<(), Error> {
        let asking = |source| Error::Asking { what: "an end of a lane's pause", source };
        self.consumer.resume(&self.one(partition, lane)).map_err(asking)
    }

    /// What is there, without waiting for more.
    pub fn next(&self) -> Result<Option<LaneSeen>, Error> {
        let polled = self.consumer.poll(Duration::ZERO).or_else(|| self.consumer.poll(Duration::ZERO));
        match polled {
            None => Ok(None),
            Some(Ok(message)) => {
                self.health().went_well();
                let read = Read::of(&message);
                let lane = Lane::ALL.into_iter().find(|lane| self.topics[lane.index()] == read.topic);
                Ok(lane.map(|lane| LaneSeen::Input(lane, read)))
            }
            Some(Err(error)) => match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                    Ok(Some(LaneSeen::Gone))
                }
                _ if passes(&error) => {
                    note_passing("lanes", &error);
                    Ok(None)
                }
                _ => Err(Error::Asking { what: "inputs of the lanes", source: error }),
            },
        }
    }

    /// The first offset that each lane of the partition holds, and the next one it will give.
    pub fn bounds(&self, partition: u32, within: Duration) -> Result<[(u64, u64); 3], Error> {
        let mut bounds = [(0, 0); 3];
        for lane in Lane::ALL {
            let topic = &self.topics[lane.index()];
            let ask = |within: Duration| self.consumer.fetch_watermarks(topic, partition as i32, within);
            let found = patiently(within, ask);
            let (low, high) = found.map_err(|source| Error::Asking { what: "the ends of lanes", source })?;
            bounds[lane.index()] = (low as u64, high as u64);
        }
        Ok(bounds)
    }

    fn lanes(&self, partition: u32) -> TopicPartitionList {
        let mut lanes = TopicPartitionList::with_capacity(3);
        for topic in &self.topics {
            lanes.add_partition(topic, partition as i32);
        }
        lanes
    }

    fn one(&self, partition: u32, lane: Lane) -> TopicPartitionList {
        let mut lanes = TopicPartitionList::with_capacity(1);
        lanes.add_partition(&self.topics[lane.index()], partition as i32);
        lanes
    }
}

fn config(settings: &Settings) -> ClientConfig {
    let mut config = settings.consumer();
    traffic::tell(&mut config);
    // Never joined: a consumer without the name of a group cannot be assigned anything.
    config.set("group.id", format!("{}lanes", settings.prefix));
    // How far the lanes are done stands in the log.
    config.set("enable.auto.commit", "false");
    config.set("enable.auto.offset.store", "false");
    // An offset that is not there is for the driver to judge: what was dropped before it was taken, or lost after.
    config.set("auto.offset.reset", "error");
    config.set("isolation.level", "read_uncommitted");
    config.set("fetch.error.backoff.ms", "50");
    // Inputs wait in their topics: the engine pauses a lane whose queue is full.
    config.set("queued.min.messages", "1000");
    config.set("queued.max.messages.kbytes", "16384");
    config
}
