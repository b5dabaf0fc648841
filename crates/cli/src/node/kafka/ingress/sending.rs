//! What records became, on its way: sent, heard of, and sent again where it failed.
//!
//! **Invariant:** a write that is not acknowledged is sent again until it is, or its partition is another's. How much
//! waits is bounded: beyond it no more records are to be taken.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use log_kafka::{Bell, Error, Topic, Write, Written};

use super::counts::Counts;
use super::order::{Order, Place, Ticket};
use crate::node::kafka::letter;

/// Beyond so many writes, or so many bytes of them, nothing is taken until half of it is acknowledged.
pub(super) const WRITES_WAITING_MAX: usize = 1_000;
pub(super) const BYTES_WAITING_MAX: usize = 32 << 20;
/// How long to rest after a write that failed.
pub(super) const REST: Duration = Duration::from_secs(1);

/// Told once what became of a write.
pub(super) type Hears = Box<dyn FnOnce(Result<Written, Error>) + Send>;
/// Writes to a topic. What it refuses at once nobody is told of.
pub(super) type Publish = Box<dyn Fn(&Write, Hears) -> Result<(), Error> + Send>;

pub(super) struct Sending {
    publish: Publish,
    /// The topic of dead letters.
    letters: String,
    bell: Bell,
    counts: Arc<Counts>,
    order: Order,
    /// Writes that failed, or found no room.
    again: VecDeque<(Ticket, Write)>,
    rests_until: Option<Instant>,
    /// How many writes wait to be acknowledged, and their bytes.
    writes: usize,
    bytes: usize,
    told: (Sender<Told>, Receiver<Told>),
}

/// What became of a write.
struct Told {
    ticket: Ticket,
    write: Write,
    result: Result<(), Error>,
}

impl Sending {
    pub(super) fn new(publish: Publish, prefix: &str, bell: Bell, counts: Arc<Counts>) -> Self {
        Self {
            publish,
            letters: Topic::DeadLetters.name(prefix),
            bell,
            counts,
            order: Order::default(),
            again: VecDeque::new(),
            rests_until: None,
            writes: 0,
            bytes: 0,
            told: channel(),
        }
    }

    pub(super) fn assigned(&mut self, place: Place) {
        self.order.assigned(place);
    }

    pub(super) fn revoked(&mut self, place: &Place) {
        self.order.revoked(place);
    }

    /// Sends what a record became. Whether the record was ours to take.
    pub(super) fn take(&mut self, place: Place, offset: u64, writes: Vec<Write>) -> bool {
        let Some(ticket) = self.order.take(place, offset, writes.len()) else { return false };
        for write in writes {
            self.writes += 1;
            self.bytes += size(&write);
            self.send(ticket.clone(), write);
        }
        true
    }

    /// Takes what became of writes, and sends again what failed. Whether anything happened.
    pub(super) fn hear(&mut self, now: Instant) -> bool {
        let mut heard = false;
        while let Ok(Told { ticket, write, result }) = self.told.1.try_recv() {
            heard = true;
            match result {
                Ok(()) => {
                    self.forget(&write);
                    self.order.acknowledged(&ticket);
                    self.well();
                }
                Err(error) => self.failed(ticket, write, &error),
            }
        }
        if self.rests_until.is_none_or(|until| until <= now) {
            self.rests_until = None;
            // At most what there was: what fails at once comes back to the end.
            for _ in 0..self.again.len() {
                let Some((ticket, write)) = self.again.pop_front() else { break };
                heard = true;
                if self.order.is_ours(&ticket) {
                    self.counts.again.fetch_add(1, Relaxed);
                    self.send(ticket, write);
                } else {
                    // Whoever has the partition now reads the record again.
                    self.forget(&write);
                }
            }
        }
        self.counts.waiting.store(self.order.waiting() as u64, Relaxed);
        heard
    }

    /// The offsets to commit, each given out once.
    pub(super) fn commits(&mut self) -> Vec<(Place, u64)> {
        self.order.commits()
    }

    /// How many records wait.
    pub(super) fn waiting(&self) -> usize {
        self.order.waiting()
    }

    /// Full at the bound, and until half of it is free.
    pub(super) fn is_full(&self, was_full: bool) -> bool {
        let part = if was_full { 2 } else { 1 };
        self.writes >= WRITES_WAITING_MAX / part || self.bytes >= BYTES_WAITING_MAX / part
    }

    /// Something keeps us from reading or writing. It is tried again.
    pub(super) fn troubled(&mut self, error: &Error) {
        self.rests_until = Some(Instant::now() + REST);
        if self.counts.trouble_is(Some(error.to_string())) {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                "the ingress is in trouble and tries again"
            );
        }
    }

    /// Something went well: when nothing else waits to be tried again, all is well.
    pub(super) fn well(&self) {
        if self.again.is_empty() && self.counts.trouble_is(None) {
            tracing::info!("the ingress is out of trouble");
        }
    }

    fn send(&mut self, ticket: Ticket, write: Write) {
        let (told, bell) = (self.told.0.clone(), self.bell.clone());
        let hears: Hears = {
            let (ticket, write) = (ticket.clone(), write.clone());
            Box::new(move |result| {
                // Nobody hears any more at the end of the process.
                drop(told.send(Told { ticket, write, result: result.map(drop) }));
                bell.ring();
            })
        };
        if let Err(error) = (self.publish)(&write, hears) {
            self.failed(ticket, write, &error);
        }
    }

    fn failed(&mut self, ticket: Ticket, write: Write, error: &Error) {
        self.troubled(error);
        let smaller = (error.is_too_large() && write.topic == self.letters)
            .then(|| letter::without_value(&write))
            .flatten();
        if let Some(smaller) = smaller {
            self.bytes = self.bytes + size(&smaller) - size(&write);
            self.again.push_back((ticket, smaller));
        } else {
            self.again.push_back((ticket, write));
        }
    }

    fn forget(&mut self, write: &Write) {
        self.writes -= 1;
        self.bytes -= size(write);
    }
}

fn size(write: &Write) -> usize {
    let headers: usize = write.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    write.key.len() + write.value.as_ref().map_or(0, Vec::len) + headers
}
