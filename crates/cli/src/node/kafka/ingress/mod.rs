//! Events from a topic: each record becomes triggers in their lane, or a dead letter.
//!
//! ```text
//!   model-trained --read--> judge --> triggers, or a dead letter --acknowledged--> order --in order--> offset committed
//!        ^                                   |  failed: again, after a rest
//!        +------ paused while too much waits +
//! ```
//!
//! **Invariant:** the offset of a record is committed only when everything that it became is acknowledged. So nothing is
//! lost, and after a crash some of it is said again, under the same ids: the engine knows repeats.

mod judge;

mod order;
mod sending;

mod counts;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use api::auth::Users;
use engine::workflows::Workflows;
use log_kafka::{Bell, Error, Health, Joining, Member, Publisher, Read, Settings, group};

pub use self::counts::Counts;
use self::sending::Sending;
use super::letter::{self, Why};
use super::traffic::Clients;

/// How long to wait for something to happen, until it is looked whether somebody wants an end.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long offsets gather until they are committed: each commit is a request, and a late one costs a repeat after a crash.
const COMMIT_EVERY: Duration = Duration::from_millis(100);
/// How long what was taken may take to be acknowledged at the end. What is not is said again after the next start.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// Why an ingress did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("failed to work with Kafka")]
    Kafka(#[from] Error),
    #[error("failed to start a thread")]
    Thread(#[source] std::io::Error),
}

/// What an ingress is started with.
#[derive(Debug)]
pub struct Ingress {
    pub settings: Settings,
    /// Where events come from.
    pub topic: String,
    /// Of the lanes.
    pub partitions: u32,
    /// The same for every life of this process; nothing makes it a stranger each time.
    pub instance: Option<String>,
    pub workflows: Arc<Workflows>,
    /// Whose names events give as their owners.
    pub users: Arc<Users>,
    pub counts: Arc<Counts>,
}

/// An ingress on its thread.
#[derive(Debug)]
pub struct Running {
    shown: Shown,
    stop: Arc<AtomicBool>,
    bell: Bell,
    thread: JoinHandle<()>,
}

impl Ingress {
    /// Joins the group, and begins.
    pub fn start(self) -> Result<Running, StartError> {
        let Self { settings, topic, partitions, instance, workflows, users, counts } = self;
        let bell = Bell::default();
        let publisher = Publisher::open(&settings)?;
        let group = format!("{}ingress", settings.prefix);
        let joining = Joining { group, topics: vec![topic], instance, reads: true, gives: None };
        let member = Member::join(&settings, joining, &bell)?;
        let mut clients = Clients::default();
        clients.add("triggers", publisher.health());
        clients.add("model-trained", member.health());
        let shown = Shown { counts: Arc::clone(&counts), health: member.health().clone(), clients };
        let publish = Box::new(move |write: &_, hears| publisher.publish(write, hears));
        let sending = Sending::new(publish, &settings.prefix, bell.clone(), Arc::clone(&counts));
        let prefix = settings.prefix;
        let mut reader = Reader {
            member,
            sending,
            is_paused: false,
            is_over: false,
            committed_at: Instant::now(),
            prefix,
            partitions,
            workflows,
            users,
            counts,
        };
        let stop = Arc::<AtomicBool>::default();
        let thread = std::thread::Builder::new().name("ingress".into()).spawn({
            let (stop, bell) = (Arc::clone(&stop), bell.clone());
            move || {
                while !stop.load(Relaxed) && !reader.is_over {
                    if !reader.turn() {
                        bell.wait(LOOK_EVERY);
                    }
                }
                reader.drain(&bell);
            }
        });
        Ok(Running { shown, stop, bell, thread: thread.map_err(StartError::Thread)? })
    }
}

/// What an ingress shows of itself.
#[derive(Debug, Clone)]
pub struct Shown {
    counts: Arc<Counts>,
    health: Health,
    clients: Clients,
}

impl Shown {
    /// Whether brokers answer.
    pub fn ready(&self) -> Result<(), String> {
        let trouble = || self.health.trouble().unwrap_or_else(|| "nobody answers".to_owned());
        if self.health.is_away() { Err(format!("no broker answers: {}", trouble())) } else { Ok(()) }
    }

    /// In OpenMetrics.
    pub fn render(&self) -> String {
        self.counts.render() + &self.clients.render()
    }
}

impl Running {
    pub fn shown(&self) -> Shown {
        self.shown.clone()
    }

    pub fn is_running(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Ends: what was taken is finished if that is quick, and the group is left.
    pub fn stop(self) {
        self.stop.store(true, Relaxed);
        self.bell.ring();
        if self.thread.join().is_err() {
            tracing::error!("the thread of the ingress panicked");
        }
    }
}

/// Reads, has it judged and sent, and commits what is done.
struct Reader {
    member: Member,
    sending: Sending,
    is_paused: bool,
    /// It is a member no more.
    is_over: bool,
    committed_at: Instant,
    prefix: String,
    partitions: u32,
    workflows: Arc<Workflows>,
    users: Arc<Users>,
    counts: Arc<Counts>,
}

impl Reader {
    /// Whether anything happened.
    fn turn(&mut self) -> bool {
        let now = Instant::now();
        let heard = self.sending.hear(now);
        if now - self.committed_at >= COMMIT_EVERY {
            self.committed_at = now;
            self.commit();
        }
        self.pause_or_resume();
        let event = match self.member.next(Duration::ZERO) {
            Ok(event) => event,
            Err(error) => {
                self.is_over = matches!(error, Error::Expelled(_));
                self.sending.troubled(&error);
                return heard;
            }
        };
        let Some(event) = event else { return heard };
        self.sending.well();
        match event {
            group::Event::Assigned(places) => {
                tracing::info!(?places, "events are given to this ingress");
                for place in places {
                    self.sending.assigned(place);
                }
                // What is given is not paused, whatever the others are.
                self.is_paused = false;
                self.pause_or_resume();
            }
            group::Event::Revoked(places) => {
                for place in places {
                    self.sending.revoked(&place);
                }
            }
            group::Event::Record(read) => self.take(&read),
        }
        true
    }

    fn take(&mut self, read: &Read) {
        if let Err(error) = self.users.refresh() {
            tracing::warn!(error = &error as &dyn std::error::Error, "the users could not be read again");
        }
        let place = (read.topic.clone(), read.partition);
        let triggers = match judge::judge(read, &self.workflows, |owner| self.users.as_subject(owner)) {
            Ok(triggers) => triggers,
            Err(problems) => {
                let why = Why::of(&problems);
                let letter = letter::bury(&self.prefix, read, &why);
                if self.sending.take(place, read.offset, vec![letter]) {
                    self.counts.buried(&why.code);
                    tracing::warn!(
                        topic = read.topic,
                        partition = read.partition,
                        offset = read.offset,
                        code = why.code,
                        why = why.reason,
                        "an event that cannot be used becomes a dead letter"
                    );
                }
                return;
            }
        };
        let number = triggers.len() as u64;
        let write = |trigger| judge::to_lane(&self.prefix, self.partitions, trigger);
        let writes = triggers.into_iter().map(write).collect();
        if self.sending.take(place, read.offset, writes) {
            self.counts.taken(number);
        }
    }

    /// An offset that could not be kept costs a repeat.
    fn commit(&mut self) {
        for ((topic, partition), next) in self.sending.commits() {
            if let Err(error) = self.member.commit(&topic, partition, next) {
                tracing::warn!(topic, partition, next, %error, "an offset was not kept");
            }
        }
    }

    fn pause_or_resume(&mut self) {
        let wants = self.sending.is_full(self.is_paused);
        if wants == self.is_paused {
            return;
        }
        let done = if wants { self.member.pause() } else { self.member.resume() };
        match done {
            Ok(()) => self.is_paused = wants,
            Err(error) => self.sending.troubled(&error),
        }
        self.counts.is_paused.store(self.is_paused, Relaxed);
    }

    /// Until what was taken is done, or it takes too long.
    fn drain(mut self, bell: &Bell) {
        let until = Instant::now() + DRAIN_MAX;
        while self.sending.waiting() > 0 && Instant::now() < until {
            if !self.sending.hear(Instant::now()) {
                bell.wait(LOOK_EVERY);
            }
        }
        self.commit();
        let waiting = self.sending.waiting();
        if waiting > 0 {
            tracing::warn!(waiting, "the ingress ends before all is acknowledged; it is said again later");
        }
        if !self.is_over {
            self.member.hand_over();
        }
    }
}
