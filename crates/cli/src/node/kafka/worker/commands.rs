//! Takes the commands of a stage from its topic: as many as its desk has room for, each until the journal has it.
//!
//! ```text
//!  topic -> poll -> desk: journal -> offset may move -> work
//!             ^                                          |
//!             +---- pauses while there is no room <------+
//! ```
//!
//! **Invariant:** an offset moves only behind commands that the journal has. Polling never waits for work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use domain::workflow::StageKind;
use engine::message;
use log_kafka::group::Event;
use log_kafka::{Bell, Error, Health, Joining, Member, Publisher, Read, Settings, Topic};

use super::places::Places;
use crate::node::StartError;
use crate::node::desks::{DeskMessage, Room};
use crate::node::kafka::outside;

/// How long a look waits for a record.
const LOOK: Duration = Duration::from_millis(50);
/// How often offsets move: what was taken since comes again after a crash, and is known.
const COMMIT_EVERY: Duration = Duration::from_millis(200);
/// How long a member that failed rests.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How long the last offsets may take to arrive when this process ends.
const LEAVE: Duration = Duration::from_millis(300);

/// The thread that polls.
#[derive(Debug)]
pub(super) struct Commands {
    pub(super) health: Health,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

struct Taking {
    stage: StageKind,
    member: Member,
    topic: String,
    prefix: String,
    publisher: Publisher,
    desk: Sender<DeskMessage>,
    room: Room,
    places: Places,
    /// What the journal has by now.
    journaled: (Sender<Journaled>, Receiver<Journaled>),
    is_paused: bool,
    committed_at: Instant,
}

/// A place in the topic: partition and offset.
type Journaled = (u32, u64);

impl Commands {
    /// Joins the stage's group. `instance` is the same for every life of this process, where it has a name.
    pub(super) fn start(
        settings: &Settings,
        stage: StageKind,
        instance: Option<String>,
        publisher: &Publisher,
        (desk, room): (Sender<DeskMessage>, Room),
    ) -> Result<Self, StartError> {
        let topic = Topic::Commands(stage).name(&settings.prefix);
        let joining = Joining {
            group: format!("{}{}", settings.prefix, stage.as_str()),
            topics: std::slice::from_ref(&topic),
            instance,
            reads: true,
        };
        let member = Member::join(settings, &joining, &Bell::default()).map_err(StartError::Topics)?;
        let health = member.health().clone();
        let stop = Arc::new(AtomicBool::new(false));
        let mut taking = Taking {
            stage,
            member,
            topic,
            prefix: settings.prefix.clone(),
            publisher: publisher.clone(),
            desk,
            room,
            places: Places::default(),
            journaled: channel(),
            is_paused: false,
            committed_at: Instant::now(),
        };
        let stopped = Arc::clone(&stop);
        let name = format!("take-{}", stage.as_str());
        let thread = std::thread::Builder::new().name(name).spawn(move || taking.drive(&stopped));
        Ok(Self { health, stop, thread: thread.map_err(StartError::Thread)? })
    }

    /// Takes no more, and leaves the group.
    pub(super) fn stop(self) {
        self.stop.store(true, Relaxed);
        if self.thread.join().is_err() {
            tracing::error!("a thread that takes commands panicked");
        }
    }
}

impl Taking {
    fn drive(&mut self, stopped: &AtomicBool) {
        while !stopped.load(Relaxed) {
            if let Err(error) = self.look() {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(
                    stage = self.stage.as_str(),
                    error,
                    "commands cannot be taken; it is tried again"
                );
                std::thread::sleep(AGAIN_AFTER);
            }
        }
        self.leave();
    }

    fn look(&mut self) -> Result<(), Error> {
        self.note();
        if self.committed_at.elapsed() >= COMMIT_EVERY {
            self.commit()?;
        }
        self.pause()?;
        match self.member.next(LOOK)? {
            None => {}
            Some(Event::Record(read)) => self.take(&read),
            Some(Event::Assigned(partitions)) => {
                tracing::info!(stage = self.stage.as_str(), ?partitions, "commands are given to this worker");
                // What is new is not paused yet; and what was taken away while it was paused comes back as it went.
                if self.is_paused { self.member.pause()? } else { self.member.resume()? }
            }
            Some(Event::Revoked(partitions)) => {
                tracing::info!(
                    stage = self.stage.as_str(),
                    ?partitions,
                    "commands are another's from here on"
                );
                self.note();
                let committed = self.commit();
                for (_, partition) in &partitions {
                    self.places.lose(*partition);
                }
                committed?;
            }
        }
        Ok(())
    }

    fn take(&mut self, read: &Read) {
        let (partition, offset) = (read.partition, read.offset);
        self.places.take(partition, offset);
        let bytes = read.value.as_deref().unwrap_or_default();
        let told = self.journaled.0.clone();
        // Whoever has ended commits nothing more.
        let journaled = Box::new(move || {
            let _ended = told.send((partition, offset));
        });
        let error = match message::decode_order(bytes, &wire::definitions::parsers()) {
            Ok(order) => {
                // A desk that has ended has said why; the command stays in the topic.
                drop(self.desk.send(DeskMessage::Command { order: Box::new(order), journaled }));
                return;
            }
            Err(error) => error,
        };
        let why = error.to_string();
        outside::bury(&self.publisher, &self.prefix, read, &why);
        match message::decode_addressee(bytes) {
            Ok(addressee) => {
                let bytes = bytes.to_vec();
                drop(self.desk.send(DeskMessage::Unreadable { addressee, bytes, why, journaled }));
            }
            // Nobody can answer: the engine issues the next attempt when the lease is over.
            Err(_) => self.places.done(partition, offset),
        }
    }

    /// What the journal has may be forgotten in the topic.
    fn note(&mut self) {
        for (partition, offset) in self.journaled.1.try_iter() {
            self.places.done(partition, offset);
        }
    }

    fn commit(&mut self) -> Result<(), Error> {
        self.committed_at = Instant::now();
        self.places
            .moved()
            .into_iter()
            .try_for_each(|(partition, next)| self.member.commit(&self.topic, partition, next))
    }

    /// Takes nothing while the desk has no room, until half of it is free again.
    fn pause(&mut self) -> Result<(), Error> {
        let room = self.room.now().saturating_sub(self.places.waiting());
        if !self.is_paused && room == 0 {
            self.member.pause()?;
            self.is_paused = true;
        } else if self.is_paused && room >= self.room.max.div_ceil(2) {
            self.member.resume()?;
            self.is_paused = false;
        }
        Ok(())
    }

    /// Lets the journal have what was given to the desk, and the brokers the last offsets. What is read meanwhile stays in
    /// the topic.
    fn leave(&mut self) {
        let until = Instant::now() + LEAVE;
        let left = loop {
            self.note();
            let committed = self.commit();
            // The answer to a commit arrives while the member is looked after.
            let looked_after = committed.and_then(|()| self.member.next(LOOK));
            match looked_after {
                Ok(_) if Instant::now() < until => {}
                other => break other.map(drop),
            }
        };
        if let Err(error) = left {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "the last offsets may be lost: another worker gets some commands again");
        }
    }
}
