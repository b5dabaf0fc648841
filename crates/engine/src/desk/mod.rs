//! The worker host: takes commands, has them carried out in a bounded pool, and brings the answers home.
//!
//! ```text
//!  Command -> journal: Taken -> (room) journal: Begun -> Begin -> Finished -> journal: Answered -> Send
//!                 |                                                                            |
//!                 +-- too many waiting, or waited too long -> Declined ------------------------+
//!                                                                       Acknowledged -> journal: Closed
//! ```
//!
//! Where nobody brings commands again (a worker on Kafka, whose place in the topic moves once they are journaled), the
//! journal holds what was ordered, and a desk that opens takes up what it finds there.
//!
//! Where the engine brings commands again (embedded mode), only answers to long work are journaled, until it has
//! them: what was quick is done again just as quickly.
//!
//! **Invariant:** where nobody brings commands again, an attempt is begun by this desk only after the journal has it,
//! and its answer is sent only after the journal has it; a copy of an attempt that was answered gets the same answer,
//! and is not done again. An attempt without an answer in the journal when the process ended is done again under the
//! same effect key. While the process lives, an attempt whose answer the engine has not acknowledged is never done
//! again.
//!
//! Does not carry anything out: the driver does, on threads of its own, and reports `Finished`.

pub(crate) mod answer;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use domain::name::{AttemptId, TargetId};
use domain::time::{Millis, Timestamp};
use domain::work::{Command, Outcome};
use domain::workflow::StageKind;
use wire::definitions;
pub use wire::message::Heartbeat;

use crate::fail::{self, Point};
use crate::message::{self, Addressee};
use crate::partition::WorkOrder;
use crate::port::journal::{self, Entry, Journal, State};
use crate::request::{Report, WorkerAnswer};
use crate::token::Token;

/// The code of what cannot be told since the order could not be read: it is a newer engine's, say.
pub const ORDER_UNREADABLE: &str = "ORDER_UNREADABLE";

/// How many attempts wait to be closed or forgotten until there is something to write.
const FORGOTTEN_MAX: usize = 256;

/// Who brings a command again that a crash cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redelivery {
    /// Nobody: once it is journaled, it is taken from its topic for good. The journal holds the order until the engine
    /// has the answer, and copies of what was closed are answered for a while.
    Nobody,
    /// The engine, for as long as it has no answer: only answers on their way to it are journaled, and of these only
    /// what took longer than [`Bounds::journal_from`].
    TheEngine,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    pub redelivery: Redelivery,
    /// How many commands are carried out at once.
    pub pool: usize,
    /// How many wait beyond those.
    pub backlog_max: usize,
    /// What waits longer is handed back.
    pub begin_within: Millis,
    /// The interval of signs of life for what waits and what is under way.
    pub heartbeat_every: Millis,
    /// An answer that is not acknowledged is sent again after this.
    pub resend_after: Millis,
    /// Where the engine brings commands again, the answer to shorter work is not journaled.
    pub journal_from: Millis,
    /// How long the journal keeps closed attempts.
    pub journal_retention: Millis,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            redelivery: Redelivery::Nobody,
            pool: 4,
            backlog_max: 64,
            begin_within: Millis::seconds(30),
            heartbeat_every: Millis::seconds(2),
            resend_after: Millis::seconds(5),
            journal_from: Millis::seconds(1),
            journal_retention: Millis::days(1),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Signal {
    Command(Box<WorkOrder>),
    /// A command that this binary cannot read, but for whom it is: the engine is told at once, instead of waiting for the
    /// lease.
    Unreadable {
        addressee: Addressee,
        bytes: Vec<u8>,
        /// Why, for people.
        why: String,
    },
    /// The attempt is no longer wanted.
    Cancel(AttemptId),
    /// The driver has carried it out, or found that it cannot be told.
    Finished {
        attempt: AttemptId,
        outcome: Outcome,
    },
    /// The engine has the answer.
    Acknowledged(AttemptId),
    Tick(Timestamp),
    /// This process is to end: begin nothing more. What is not begun goes back; what is under way ends.
    Drain,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Carry it out now, and report `Finished`.
    Begin(Box<WorkOrder>),
    /// Stop carrying it out before its next outside step; `Finished` of it is ignored.
    Abandon(AttemptId),
    /// Give the engine this answer, where the target is decided, and report `Acknowledged`.
    Send { target: TargetId, report: Report },
    /// Tell the engine that the attempt is alive.
    Heartbeat(Heartbeat),
}

#[derive(Debug)]
pub struct Desk {
    bounds: Bounds,
    journal: Arc<dyn Journal>,
    now: Timestamp,
    /// Taken and not begun, oldest first.
    backlog: VecDeque<Waiting>,
    under_way: BTreeMap<AttemptId, UnderWay>,
    unacknowledged: BTreeMap<AttemptId, Unacknowledged>,
    heartbeat_at: Timestamp,
    swept_at: Timestamp,
    /// What the journal is told next; nothing of an attempt that it is to forget.
    entries: BTreeMap<AttemptId, Option<Entry>>,
    /// Of whom the journal knows something, where only this desk and former ones of this folder write to it; read when
    /// it is first asked for.
    journaled: Option<BTreeSet<AttemptId>>,
}

/// A desk that was opened.
#[derive(Debug)]
pub struct Opened {
    pub desk: Desk,
    /// What it does first: of what the journal holds.
    pub actions: Vec<Action>,
    /// What the journal holds in a way in which this binary cannot even read whom it is for. It is forgotten: the engine
    /// hears nothing of these attempts, and issues the next.
    pub forgotten: Vec<AttemptId>,
}

/// What was taken.
#[derive(Debug)]
struct Waiting {
    order: WorkOrder,
    /// As the journal keeps it.
    bytes: Vec<u8>,
    since: Timestamp,
}

/// What was begun.
#[derive(Debug)]
struct UnderWay {
    ordered: Ordered,
    since: Timestamp,
}

/// What is kept of an order while it is carried out: where its answer goes, and what the journal keeps.
#[derive(Debug)]
struct Ordered {
    token: Token,
    target: TargetId,
    bytes: Vec<u8>,
}

/// An answer that the engine may not have.
#[derive(Debug)]
struct Unacknowledged {
    target: TargetId,
    report: Report,
    sent_at: Timestamp,
}

impl Desk {
    /// Where nobody brings commands again, begins with what the journal holds for these stages. Elsewhere that only
    /// decides how copies are answered.
    pub fn open(
        bounds: Bounds,
        journal: Arc<dyn Journal>,
        stages: &[StageKind],
        now: Timestamp,
    ) -> Result<Opened, journal::Error> {
        let mut desk = Self::new(bounds, journal, now);
        let (actions, forgotten) = match bounds.redelivery {
            Redelivery::Nobody => desk.take_up(stages)?,
            Redelivery::TheEngine => (vec![], vec![]),
        };
        Ok(Opened { desk, actions, forgotten })
    }

    fn new(bounds: Bounds, journal: Arc<dyn Journal>, now: Timestamp) -> Self {
        Self {
            bounds,
            journal,
            now,
            backlog: VecDeque::new(),
            under_way: BTreeMap::new(),
            unacknowledged: BTreeMap::new(),
            heartbeat_at: now + bounds.heartbeat_every,
            swept_at: now,
            entries: BTreeMap::new(),
            journaled: None,
        }
    }

    /// How many more commands may be given before the desk hands some back.
    pub fn room(&self) -> usize {
        let held = self.backlog.len() + self.under_way.len();
        (self.bounds.pool + self.bounds.backlog_max).saturating_sub(held)
    }

    pub fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// Whether nothing is under way, and every answer is where it cannot get lost.
    pub fn is_idle(&self) -> bool {
        self.backlog.is_empty() && self.under_way.is_empty() && self.unacknowledged.is_empty()
    }

    pub fn step(&mut self, signal: Signal) -> Result<Vec<Action>, journal::Error> {
        self.steps([signal])
    }

    /// Takes several signals at once, in their order: the journal is written once for all of them, before any
    /// action is given out.
    pub fn steps(
        &mut self,
        signals: impl IntoIterator<Item = Signal>,
    ) -> Result<Vec<Action>, journal::Error> {
        let mut actions = vec![];
        for signal in signals {
            self.take_signal(signal, &mut actions)?;
        }
        self.write()?;
        if actions.iter().any(|action| matches!(action, Action::Begin(_))) {
            fail::at(Point::E2);
        }
        Ok(actions)
    }

    /// Answers are sent again, the rest waits again, in the order in which it was taken.
    fn take_up(&mut self, stages: &[StageKind]) -> Result<(Vec<Action>, Vec<AttemptId>), journal::Error> {
        let (mut actions, mut forgotten) = (vec![], vec![]);
        // They were not heard of for as long as there was no desk.
        self.heartbeat_at = self.now;
        let mut entries = self.journal.open()?;
        entries.sort_by_key(|entry| entry.at);
        for Entry { attempt, state, order: bytes, at } in entries {
            let answer = match &state {
                State::Taken | State::Begun => None,
                // One that cannot be read is worked out again.
                State::Answered(answer) | State::Closed(answer) => answer::decode(&attempt, answer).ok(),
            };
            match (message::decode_order(&bytes, &definitions::parsers()), answer) {
                // Another desk's.
                (Ok(order), _) if !stages.contains(&order.command.stage()) => {}
                (Ok(order), None) => self.backlog.push_back(Waiting { order, bytes, since: at }),
                (Ok(order), Some(answer)) => {
                    let report = Report { attempt, token: order.token, answer };
                    self.send(order.command.target, report, &mut actions);
                }
                // Of which stage is not known: each desk that opens answers, and the first answer counts.
                (Err(why), answer) => match (message::decode_addressee(&bytes), answer) {
                    (Ok(Addressee { target, token, .. }), Some(answer)) => {
                        self.send(target, Report { attempt, token, answer }, &mut actions);
                    }
                    (Ok(addressee), None) => {
                        self.could_not_read(addressee, bytes, &why.to_string(), &mut actions);
                    }
                    (Err(_), _) => {
                        self.entries.insert(attempt.clone(), None);
                        forgotten.push(attempt);
                    }
                },
            }
        }
        self.begin(&mut actions);
        self.forget()?;
        Ok((actions, forgotten))
    }

    /// Tells the journal what it must know before anybody acts on it; what it may forget goes along, or waits, and so does
    /// what was closed: until the journal says so, the answer would be sent again, and is known.
    fn write(&mut self) -> Result<(), journal::Error> {
        let must = |entry: &Option<Entry>| match entry.as_ref().map(|entry| &entry.state) {
            Some(State::Taken | State::Begun | State::Answered(_)) => true,
            Some(State::Closed(_)) | None => false,
        };
        if self.entries.values().any(must) || self.entries.len() >= FORGOTTEN_MAX {
            self.forget()?;
        }
        Ok(())
    }

    fn forget(&mut self) -> Result<(), journal::Error> {
        let (mut entries, mut gone) = (vec![], vec![]);
        for (attempt, entry) in std::mem::take(&mut self.entries) {
            match entry {
                Some(entry) => entries.push(entry),
                None => gone.push(attempt),
            }
        }
        self.journal.put(&entries, &gone)
    }

    fn take_signal(&mut self, signal: Signal, actions: &mut Vec<Action>) -> Result<(), journal::Error> {
        match signal {
            Signal::Command(order) => self.take(*order, actions)?,
            Signal::Unreadable { addressee, bytes, why } => {
                if !self.is_copy(&addressee, actions)? {
                    self.could_not_read(addressee, bytes, &why, actions);
                }
            }
            Signal::Cancel(attempt) => self.cancel(&attempt, actions)?,
            Signal::Finished { attempt, outcome } => {
                if let Some(UnderWay { ordered, since }) = self.under_way.remove(&attempt) {
                    let took = self.now - since;
                    self.answer(attempt, ordered, took, WorkerAnswer::Done(outcome), actions);
                }
            }
            Signal::Acknowledged(attempt) => self.close(&attempt),
            Signal::Tick(now) => self.tick(now, actions)?,
            Signal::Drain => self.drain(actions),
        }
        self.begin(actions);
        Ok(())
    }

    fn take(&mut self, order: WorkOrder, actions: &mut Vec<Action>) -> Result<(), journal::Error> {
        let Command { attempt, target, .. } = &order.command;
        let addressee = Addressee { attempt: attempt.clone(), target: target.clone(), token: order.token };
        if self.is_copy(&addressee, actions)? {
            return Ok(());
        }
        let bytes = match self.bounds.redelivery {
            Redelivery::Nobody => message::encode_order(&order),
            Redelivery::TheEngine => vec![],
        };
        if self.room() == 0 {
            let held = self.under_way.len() + self.backlog.len();
            let waiting = Waiting { order, bytes, since: self.now };
            self.hand_back(waiting, format!("{held} commands wait or are under way"), actions);
            return Ok(());
        }
        fail::at(Point::E1);
        self.note(&addressee.attempt, State::Taken, bytes.clone());
        self.backlog.push_back(Waiting { order, bytes, since: self.now });
        Ok(())
    }

    /// Whether the attempt is known; what was answered is answered again.
    fn is_copy(&mut self, addressee: &Addressee, actions: &mut Vec<Action>) -> Result<bool, journal::Error> {
        let Addressee { attempt, target, token } = addressee;
        let waits = self.backlog.iter().any(|waiting| waiting.order.command.attempt == *attempt);
        if waits || self.under_way.contains_key(attempt) {
            return Ok(true);
        }
        if let Some(Unacknowledged { report, .. }) = self.unacknowledged.get(attempt) {
            // The engine was started again and this process was not: whatever the journal was told, it is not done again.
            let report = Report { token: *token, ..report.clone() };
            self.send(target.clone(), report, actions);
            return Ok(true);
        }
        let known = self.known(attempt)?;
        if let Some(Entry { state: State::Answered(bytes) | State::Closed(bytes), .. }) = known {
            let answer = answer::decode(attempt, &bytes)?;
            let report = Report { attempt: attempt.clone(), token: *token, answer };
            self.send(target.clone(), report, actions);
            return Ok(true);
        }
        Ok(false)
    }

    /// No decline: then the engine would issue the next at once, to whoever cannot read that either.
    fn could_not_read(&mut self, addressee: Addressee, bytes: Vec<u8>, why: &str, actions: &mut Vec<Action>) {
        let Addressee { attempt, target, token } = addressee;
        let reason = format!("expected an order that this worker can read: {why}");
        let outcome =
            Outcome::CouldNotTell { code: ORDER_UNREADABLE.into(), reason: reason.into(), retry_after: None };
        let ordered = Ordered { token, target, bytes };
        self.answer(attempt, ordered, Millis(0), WorkerAnswer::Done(outcome), actions);
    }

    /// It is not begun here, and the engine may give its next attempt to another.
    fn hand_back(&mut self, waiting: Waiting, reason: String, actions: &mut Vec<Action>) {
        let Waiting { order: WorkOrder { command, token, .. }, bytes, .. } = waiting;
        let ordered = Ordered { token, target: command.target, bytes };
        let answer = WorkerAnswer::Declined(reason.into());
        self.answer(command.attempt, ordered, Millis(0), answer, actions);
    }

    /// An engine that brings commands again gives them to whoever comes next.
    fn drain(&mut self, actions: &mut Vec<Action>) {
        for waiting in std::mem::take(&mut self.backlog) {
            match self.bounds.redelivery {
                Redelivery::Nobody => self.hand_back(waiting, "the worker ends".into(), actions),
                Redelivery::TheEngine => {}
            }
        }
    }

    fn begin(&mut self, actions: &mut Vec<Action>) {
        while self.under_way.len() < self.bounds.pool
            && let Some(Waiting { order, bytes, .. }) = self.backlog.pop_front()
        {
            let attempt = order.command.attempt.clone();
            // Where the journal says `Taken` already, a crash from here on leads to the same.
            if let Some(Some(taken)) = self.entries.get_mut(&attempt) {
                taken.state = State::Begun;
            }
            let ordered = Ordered { token: order.token, target: order.command.target.clone(), bytes };
            self.under_way.insert(attempt, UnderWay { ordered, since: self.now });
            actions.push(Action::Begin(Box::new(order)));
        }
    }

    fn cancel(&mut self, attempt: &AttemptId, actions: &mut Vec<Action>) -> Result<(), journal::Error> {
        self.backlog.retain(|waiting| waiting.order.command.attempt != *attempt);
        if self.under_way.remove(attempt).is_some() {
            actions.push(Action::Abandon(attempt.clone()));
        }
        self.unacknowledged.remove(attempt);
        if let Some(entry) = self.known(attempt)?
            && !matches!(entry.state, State::Closed(_))
        {
            let cancelled = WorkerAnswer::Declined("cancelled".into());
            self.note(attempt, State::Closed(answer::encode(&cancelled)), vec![]);
        }
        Ok(())
    }

    /// `took` is how long the work of it took.
    fn answer(
        &mut self,
        attempt: AttemptId,
        ordered: Ordered,
        took: Millis,
        answer: WorkerAnswer,
        actions: &mut Vec<Action>,
    ) {
        fail::at(Point::E4);
        let Ordered { token, target, bytes } = ordered;
        if self.bounds.redelivery == Redelivery::Nobody || took >= self.bounds.journal_from {
            self.note(&attempt, State::Answered(answer::encode(&answer)), bytes);
        }
        self.send(target, Report { attempt, token, answer }, actions);
    }

    fn send(&mut self, target: TargetId, report: Report, actions: &mut Vec<Action>) {
        let unacknowledged =
            Unacknowledged { target: target.clone(), report: report.clone(), sent_at: self.now };
        self.unacknowledged.insert(report.attempt.clone(), unacknowledged);
        actions.push(Action::Send { target, report });
    }

    fn close(&mut self, attempt: &AttemptId) {
        if let Some(Unacknowledged { report, .. }) = self.unacknowledged.remove(attempt) {
            fail::at(Point::E6);
            let kept = match self.bounds.redelivery {
                Redelivery::Nobody => answer::encode(&report.answer),
                Redelivery::TheEngine => vec![],
            };
            self.note(attempt, State::Closed(kept), vec![]);
        }
    }

    fn tick(&mut self, now: Timestamp, actions: &mut Vec<Action>) -> Result<(), journal::Error> {
        self.now = self.now.max(now);
        let now = self.now;
        // What waited too long goes back, unless there is room for it now.
        let begin_within = self.bounds.begin_within;
        let mut room = self.bounds.pool.saturating_sub(self.under_way.len());
        for waiting in std::mem::take(&mut self.backlog) {
            if room == 0 && now - waiting.since > begin_within {
                self.hand_back(waiting, format!("not begun within {begin_within}"), actions);
            } else {
                room = room.saturating_sub(1);
                self.backlog.push_back(waiting);
            }
        }
        for Unacknowledged { target, report, sent_at } in self.unacknowledged.values_mut() {
            if now - *sent_at >= self.bounds.resend_after {
                *sent_at = now;
                actions.push(Action::Send { target: target.clone(), report: report.clone() });
            }
        }
        if now >= self.heartbeat_at {
            self.heartbeat_at = now + self.bounds.heartbeat_every;
            self.beat(actions);
        }
        self.forget()?;
        if now - self.swept_at >= self.bounds.journal_retention {
            self.swept_at = now;
            let before = Timestamp(now.0.saturating_sub(self.bounds.journal_retention.0));
            self.journal.sweep(before)?;
            if self.bounds.redelivery == Redelivery::TheEngine {
                // An answer that a crash kept from being forgotten, and that nobody asked for since.
                let old = self.journal.open()?.into_iter().filter(|entry| entry.at < before);
                self.journal.put(&[], &old.map(|entry| entry.attempt).collect::<Vec<_>>())?;
            }
        }
        Ok(())
    }

    fn beat(&self, actions: &mut Vec<Action>) {
        let at = self.now;
        let beat = |attempt: &AttemptId, is_begun| {
            Action::Heartbeat(Heartbeat { attempt: attempt.clone(), at, is_begun })
        };
        actions.extend(self.under_way.keys().map(|attempt| beat(attempt, true)));
        actions.extend(self.backlog.iter().map(|waiting| beat(&waiting.order.command.attempt, false)));
    }

    /// What the journal says of the attempt, or will say at the end of this step.
    fn known(&mut self, attempt: &AttemptId) -> Result<Option<Entry>, journal::Error> {
        if let Some(entry) = self.entries.get(attempt) {
            return Ok(entry.clone());
        }
        if self.bounds.redelivery == Redelivery::TheEngine && !self.journaled()?.contains(attempt) {
            return Ok(None);
        }
        self.journal.get(attempt)
    }

    /// Little: answers that were on their way when a process ended, and that this one has not yet forgotten.
    fn journaled(&mut self) -> Result<&mut BTreeSet<AttemptId>, journal::Error> {
        if self.journaled.is_none() {
            self.journaled = Some(self.journal.open()?.into_iter().map(|entry| entry.attempt).collect());
        }
        Ok(self.journaled.as_mut().expect("it was just read"))
    }

    fn note(&mut self, attempt: &AttemptId, state: State, order: Vec<u8>) {
        if self.bounds.redelivery == Redelivery::Nobody {
            let entry = Entry { attempt: attempt.clone(), state, order, at: self.now };
            self.entries.insert(attempt.clone(), Some(entry));
            return;
        }
        match state {
            State::Taken | State::Begun => {}
            State::Answered(_) => {
                let entry = Entry { attempt: attempt.clone(), state, order, at: self.now };
                self.entries.insert(attempt.clone(), Some(entry));
                if let Some(journaled) = &mut self.journaled {
                    journaled.insert(attempt.clone());
                }
            }
            State::Closed(_) => {
                let is_journaled = self.journaled.as_mut().is_none_or(|journaled| journaled.remove(attempt));
                if is_journaled {
                    self.entries.insert(attempt.clone(), None);
                }
            }
        }
    }
}
