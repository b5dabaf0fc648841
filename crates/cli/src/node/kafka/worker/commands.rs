//! Takes the commands of a stage from its topic: as many as its desk has room for, each until the journal has it.
//!
//! ```text
//!  topic -> poll -> desk: journal -> offset may move -> work
//!             ^                                          |
//!             +---- pauses while there is no room <------+
//! ```
//!
//! **Invariant:** an offset moves only behind commands that the journal has. Polling never waits for work.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use domain::workflow::StageKind;
use engine::message;
use log_kafka::group::{Event, Gives};
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
/// How long the journal may take to have what was taken of partitions that are given away; what it has not comes again.
const GIVE_WITHIN: Duration = Duration::from_secs(2);

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
    held: Arc<Mutex<Held>>,
    journaled: Sender<Journaled>,
    is_paused: bool,
    committed_at: Instant,
}

/// What this worker took of its partitions, and what the journal has of it by now.
#[derive(Debug)]
struct Held {
    places: Places,
    journaled: Receiver<Journaled>,
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
        let (journaled, told) = channel();
        let held = Arc::new(Mutex::new(Held { places: Places::default(), journaled: told }));
        let gives = Gives(Arc::new({
            let held = Arc::clone(&held);
            move |partitions| lock(&held).give(partitions)
        }));
        let joining = Joining {
            group: format!("{}{}", settings.prefix, stage.as_str()),
            topics: vec![topic.clone()],
            instance,
            reads: true,
            gives: Some(gives),
        };
        let member = Member::join(settings, joining, &Bell::default()).map_err(StartError::Topics)?;
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
            held,
            journaled,
            is_paused: false,
            committed_at: Instant::now(),
        };
        let stopped = Arc::clone(&stop);
        let name = format!("take-{}", stage.as_str());
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            if taking.drive(&stopped) {
                // What it read meanwhile stays in the topic.
                taking.member.hand_over();
            }
        });
        Ok(Self { health, stop, thread: thread.map_err(StartError::Thread)? })
    }

    /// Whether it goes on; one that is a member no more ends by itself.
    pub(super) fn is_running(&self) -> bool {
        !self.thread.is_finished()
    }

    /// They take no more, and leave their groups.
    pub(super) fn stop_all(all: Vec<Self>) {
        for commands in &all {
            commands.stop.store(true, Relaxed);
        }
        for commands in all {
            if commands.thread.join().is_err() {
                tracing::error!("a thread that takes commands panicked");
            }
        }
    }
}

impl Taking {
    /// Until it is stopped; false when it ends by itself, a member no more.
    fn drive(&mut self, stopped: &AtomicBool) -> bool {
        while !stopped.load(Relaxed) {
            if let Err(error) = self.look() {
                let is_over = matches!(error, Error::Expelled(_));
                let error: &dyn std::error::Error = &error;
                if is_over {
                    tracing::error!(stage = self.stage.as_str(), error, "commands are taken no more");
                    return false;
                }
                tracing::warn!(
                    stage = self.stage.as_str(),
                    error,
                    "commands cannot be taken; it is tried again"
                );
                std::thread::sleep(AGAIN_AFTER);
            }
        }
        true
    }

    fn look(&mut self) -> Result<(), Error> {
        self.held().note();
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
            }
        }
        Ok(())
    }

    fn take(&mut self, read: &Read) {
        let (partition, offset) = (read.partition, read.offset);
        self.held().places.take(partition, offset);
        let bytes = read.value.as_deref().unwrap_or_default();
        let told = self.journaled.clone();
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
            Err(_) => self.held().places.done(partition, offset),
        }
    }

    fn commit(&mut self) -> Result<(), Error> {
        self.committed_at = Instant::now();
        let moved = self.held().places.moved();
        moved.into_iter().try_for_each(|(partition, next)| self.member.commit(&self.topic, partition, next))
    }

    /// Takes nothing while the desk has no room, until half of it is free again.
    fn pause(&mut self) -> Result<(), Error> {
        let room = self.room.now().saturating_sub(self.held().places.waiting());
        if !self.is_paused && room == 0 {
            self.member.pause()?;
            self.is_paused = true;
        } else if self.is_paused && room >= self.room.max.div_ceil(2) {
            self.member.resume()?;
            self.is_paused = false;
        }
        Ok(())
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        lock(&self.held)
    }
}

impl Held {
    /// What the journal has may be forgotten in the topic.
    fn note(&mut self) {
        for (partition, offset) in self.journaled.try_iter() {
            self.places.done(partition, offset);
        }
    }

    /// Lets the journal have what was taken of these, and says where whoever is given them next begins.
    fn give(&mut self, given: &[(String, u32)]) -> Vec<(String, u32, u64)> {
        let until = Instant::now() + GIVE_WITHIN;
        let partitions: Vec<u32> = given.iter().map(|(_, partition)| *partition).collect();
        self.note();
        while partitions.iter().any(|partition| self.places.waiting_of(*partition) > 0)
            && let Ok((partition, offset)) =
                self.journaled.recv_timeout(until.saturating_duration_since(Instant::now()))
        {
            self.places.done(partition, offset);
        }
        let left = partitions.iter().map(|partition| self.places.waiting_of(*partition)).sum::<usize>();
        if left > 0 {
            tracing::warn!(
                left,
                "commands are given away before the journal has them: another worker gets them too"
            );
        }
        let begin = |(topic, partition): &(String, u32)| {
            self.places.give(*partition).map(|next| (topic.clone(), *partition, next))
        };
        given.iter().filter_map(begin).collect()
    }
}

fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}
