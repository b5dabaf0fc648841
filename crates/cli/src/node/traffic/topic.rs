//! One topic, as those who write it and those who follow it need it: a topic of Kafka, or one in memory for tests.
//!
//! Contract:
//! 1. After `publish` returned, every follower that begins at the beginning gets the record, and those that follow.
//! 2. `send` returns at once; what finds no room is refused, and nothing of it is sent. `told` hears whether it
//!    landed. What is told to have failed may have landed.
//! 3. A follower gets the records of one key in the order in which they landed, and `End` once, when it has what was
//!    there when it began.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::Duration;

use log_kafka::{Begin, Bell, Error, Followed, Follower, Publisher, Settings, Topic, Write};

/// How long the brokers may take to name a topic's partitions.
const OPEN_WITHIN: Duration = Duration::from_secs(5);

/// Told whether a record landed. It must not wait.
pub type Told = Box<dyn FnOnce(Result<(), Error>) + Send>;

pub trait Publish: Send + Sync + std::fmt::Debug {
    fn send(&self, key: &str, value: Vec<u8>, told: Told) -> Result<(), Error>;

    /// Waits until it landed.
    fn publish(&self, key: &str, value: Vec<u8>) -> Result<(), Error> {
        let (told, hears) = std::sync::mpsc::sync_channel(1);
        self.send(key, value, Box::new(move |result| drop(told.send(result))))?;
        // Whoever is told nothing knows nothing: as if it had not landed.
        hears.recv().unwrap_or(Err(Error::Full))
    }
}

pub trait Follow: Send {
    /// What is there, waiting at most so long.
    fn next(&mut self, at_most: Duration) -> Result<Option<Followed>, Error>;
}

/// Opens a follower, again after it failed.
pub type Opens = Box<dyn FnMut(&Begin) -> Result<Box<dyn Follow>, Error> + Send>;

/// What records of a topic are called in their headers.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    pub topic: Topic,
    pub name: &'static str,
}

/// A topic of a cluster, to be written to.
#[derive(Debug, Clone)]
pub struct KafkaTopic {
    publisher: Publisher,
    name: String,
    headers: Vec<(String, Vec<u8>)>,
}

impl KafkaTopic {
    pub fn new(settings: &Settings, publisher: &Publisher, kind: Kind, source: &str) -> Self {
        let header = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
        Self {
            publisher: publisher.clone(),
            name: kind.topic.name(&settings.prefix),
            headers: vec![
                header("ce_specversion", "1.0"),
                header("ce_type", kind.name),
                header("ce_source", source),
                header("content-type", "application/protobuf"),
            ],
        }
    }
}

impl Publish for KafkaTopic {
    fn send(&self, key: &str, value: Vec<u8>, told: Told) -> Result<(), Error> {
        let write = Write {
            topic: self.name.clone(),
            partition: None,
            key: key.as_bytes().to_vec(),
            value: Some(value),
            headers: self.headers.clone(),
        };
        self.publisher.publish(&write, |result| told(result.map(drop)))
    }
}

impl Follow for Follower {
    fn next(&mut self, at_most: Duration) -> Result<Option<Followed>, Error> {
        Follower::next(self, at_most)
    }
}

/// Follows a topic of a cluster.
pub fn opens(settings: &Settings, topic: Topic) -> Opens {
    let (settings, name) = (settings.clone(), topic.name(&settings.prefix));
    Box::new(move |from| {
        let follower = Follower::open(&settings, &name, from, &Bell::default(), OPEN_WITHIN)?;
        Ok(Box::new(follower))
    })
}

/// Where to go on from, by what was noted of each partition.
pub fn begin_at(positions: &BTreeMap<String, u64>, topic: &str) -> Begin {
    let of_topic = |(source, next): (&String, &u64)| {
        let partition = source.strip_prefix(topic)?.strip_prefix('/')?.parse().ok()?;
        Some((partition, *next))
    };
    Begin::Offsets(positions.iter().filter_map(of_topic).collect())
}

/// How long a follower that failed is left alone.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How long a look waits for a record.
const LOOK: Duration = Duration::from_millis(100);

/// A thread that follows a topic.
#[derive(Debug)]
pub struct Following {
    stop: std::sync::mpsc::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl Following {
    /// Starts it. `take` gets what is read, and nothing when there was nothing for a moment. A follower that fails is
    /// opened again where it was, or at the end when it began there; `End` is then said again.
    pub fn start(
        name: &str,
        mut opens: Opens,
        from: Begin,
        mut take: impl FnMut(Option<Followed>) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = std::sync::mpsc::channel();
        let mut from = from;
        let topic = name.to_owned();
        let drive = move || {
            loop {
                let Err(error) = follow(&mut opens, &mut from, &stopped, &mut take) else { return };
                tracing::warn!(
                    topic,
                    error = &error as &dyn std::error::Error,
                    "a topic cannot be followed; it is tried again"
                );
                if stopped.recv_timeout(AGAIN_AFTER) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(drive)?;
        Ok(Self { stop, thread })
    }

    pub fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("a thread that follows a topic panicked");
        }
    }
}

/// Until it is to stop. `from` moves along.
fn follow(
    opens: &mut Opens,
    from: &mut Begin,
    stopped: &Receiver<()>,
    take: &mut impl FnMut(Option<Followed>),
) -> Result<(), Error> {
    let mut follower = opens(from)?;
    while stopped.try_recv() == Err(TryRecvError::Empty) {
        let seen = follower.next(LOOK)?;
        if let Some(Followed::Record(record)) = &seen {
            let (partition, next) = (record.partition, record.offset + 1);
            match from {
                Begin::End => {}
                Begin::Offsets(offsets) => drop(offsets.insert(partition, next)),
                Begin::Beginning | Begin::Last(_) | Begin::Time(_) => {
                    *from = Begin::Offsets([(partition, next)].into());
                }
            }
        }
        take(seen);
    }
    Ok(())
}
