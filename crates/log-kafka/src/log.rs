//! The log as a port: for whoever copies a partition or reads it once, not for engines, which follow it.

use std::sync::Mutex;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use engine::port::log::{self, Append, Landed, Log};
use wire::record;

use crate::{Bell, Error, LogReader, Publisher, Seen, Settings, Topic, Write};

/// How long the brokers may take to answer.
const ASK_MAX: Duration = Duration::from_secs(30);
/// How long to wait for records between looks.
const LOOK: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub struct KafkaLog {
    settings: Settings,
    partitions: u32,
    publisher: Publisher,
    /// Reads nothing: asks.
    asker: LogReader,
    /// The reader of the last call: whoever reads on does so where it stands.
    reading: Mutex<Option<Reading>>,
}

#[derive(Debug)]
struct Reading {
    reader: LogReader,
    bell: Bell,
    partition: u32,
    next: u64,
}

impl KafkaLog {
    pub fn open(settings: &Settings, partitions: u32) -> Result<Self, Error> {
        let publisher = Publisher::open(settings)?;
        let asker = LogReader::open(settings, &[], &Bell::default())?;
        Ok(Self { settings: settings.clone(), partitions, publisher, asker, reading: Mutex::default() })
    }

    fn check(&self, partition: u32) -> Result<(), log::Error> {
        let partitions = self.partitions;
        if partition < partitions {
            Ok(())
        } else {
            Err(log::Error::NoSuchPartition { partition, partitions })
        }
    }

    fn bounds(&self, partition: u32) -> Result<(u64, u64), Error> {
        self.asker.bounds_of(partition, ASK_MAX)
    }

    fn reading(&self, partition: u32, from: u64) -> Result<Reading, Error> {
        let bell = Bell::default();
        let reader = LogReader::of_one(&self.settings, partition, from, &bell)?;
        Ok(Reading { reader, bell, partition, next: from })
    }

    fn read_on(&self, reading: &mut Reading, end: u64, records_max: usize) -> Result<Vec<Landed>, Error> {
        let mut records = vec![];
        let deadline = std::time::Instant::now() + ASK_MAX;
        while records.len() < records_max && reading.next < end {
            match reading.reader.next()? {
                Some(Seen::Record { landed, .. }) => {
                    reading.next = landed.offset + 1;
                    records.push(landed);
                }
                // What is left of the offsets are records that brokers write for themselves.
                Some(Seen::End { .. }) => break,
                Some(Seen::Gone) => {
                    let (low, high) = self.bounds(reading.partition)?;
                    let topic = Topic::Events.name(&self.settings.prefix);
                    let (partition, offset) = (reading.partition, reading.next);
                    return Err(Error::Gone { topic, partition, offset, low, high });
                }
                None if std::time::Instant::now() < deadline => reading.bell.wait(LOOK),
                None => {
                    let why = reading.reader.health().trouble();
                    let why = why.unwrap_or_else(|| "it did not answer in time".to_owned());
                    return Err(Error::NotReached { brokers: self.settings.brokers.clone(), why });
                }
            }
        }
        Ok(records)
    }
}

impl Log for KafkaLog {
    fn partitions(&self) -> u32 {
        self.partitions
    }

    fn end(&self, partition: u32) -> Result<u64, log::Error> {
        self.check(partition)?;
        self.bounds(partition).map(|(_, high)| high).map_err(failed)
    }

    /// All are sent at once, and waited for.
    fn append(&self, appends: &[Append]) -> Result<(), log::Error> {
        appends.iter().try_for_each(|append| self.check(append.partition))?;
        let records = appends.iter().map(|append| append.records.len()).sum();
        let (told, hears) = sync_channel(records);
        for append in appends {
            for bytes in &append.records {
                let write = Write {
                    topic: Topic::Events.name(&self.settings.prefix),
                    partition: Some(append.partition),
                    key: record::hash(bytes).0.to_vec(),
                    value: Some(bytes.clone()),
                    headers: vec![],
                };
                let told = told.clone();
                self.publisher.publish(&write, move |result| drop(told.send(result))).map_err(failed)?;
            }
        }
        drop(told);
        for result in hears {
            result.map_err(failed)?;
        }
        Ok(())
    }

    fn read(&self, partition: u32, from: u64, records_max: usize) -> Result<Vec<Landed>, log::Error> {
        let end = self.end(partition)?;
        if from >= end || records_max == 0 {
            return Ok(vec![]);
        }
        let kept = self.reading.lock().expect("no panic while the log is read").take();
        let kept = kept.filter(|kept| kept.partition == partition && kept.next == from);
        let mut reading = kept.map_or_else(|| self.reading(partition, from), Ok).map_err(failed)?;
        let records = self.read_on(&mut reading, end, records_max).map_err(failed)?;
        *self.reading.lock().expect("no panic while the log is read") = Some(reading);
        Ok(records)
    }
}

fn failed(error: Error) -> log::Error {
    log::Error::Io(error.into())
}
