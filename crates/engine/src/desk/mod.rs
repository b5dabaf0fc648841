//! The worker host: takes commands, has them carried out in a bounded pool, and brings the answers home.
//!
//! ```text
//!  Command -> journal: Taken -> (room) journal: Begun -> Begin -> Finished -> journal: Answered -> Send
//!                 |                                                                            |
//!                 +-- too many waiting, or waited too long -> Declined ------------------------+
//!                                                                       Acknowledged -> journal: Closed
//! ```
//!
//! Where the engine brings commands again (embedded mode), only answers to long work are journaled, until it has
//! them: what was quick is done again just as quickly.
//!
//! **Invariant:** where nobody brings commands again, an attempt is begun by this desk only after the journal says so,
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

use domain::name::AttemptId;
use domain::time::{Millis, Timestamp};
pub use wire::message::Heartbeat;

use crate::fail::{self, Point};
use crate::partition::WorkOrder;
use crate::port::journal::{self, Entry, Journal, State};
use crate::request::{Report, WorkerAnswer};
use crate::token::Token;

/// How many attempts wait to be forgotten until there is something to write.
const FORGOTTEN_MAX: usize = 256;

/// Who brings a command again that a crash cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redelivery {
    /// Nobody: taking it from its topic ended that. What was taken is journaled, and copies of what was closed are
    /// answered for a while.
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
#[expect(clippy::large_enum_variant, reason = "one exists at a time")]
pub enum Signal {
    Command(Box<WorkOrder>),
    /// The attempt is no longer wanted.
    Cancel(AttemptId),
    /// The driver has carried it out, or found that it cannot be told.
    Finished {
        attempt: AttemptId,
        outcome: domain::work::Outcome,
    },
    /// The engine has the answer.
    Acknowledged(AttemptId),
    Tick(Timestamp),
}

#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "few exist, and not for long")]
pub enum Action {
    /// Carry it out now, and report `Finished`.
    Begin(Box<WorkOrder>),
    /// Stop carrying it out before its next outside step; `Finished` of it is ignored.
    Abandon(AttemptId),
    /// Give the engine this answer, and report `Acknowledged`.
    Send(Report),
    /// Tell the engine that the attempt is alive.
    Heartbeat(Heartbeat),
}

#[derive(Debug)]
pub struct Desk {
    bounds: Bounds,
    journal: Arc<dyn Journal>,
    now: Timestamp,
    /// Taken and not begun, oldest first.
    backlog: VecDeque<(WorkOrder, Timestamp)>,
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

/// What was begun.
#[derive(Debug)]
struct UnderWay {
    token: Token,
    since: Timestamp,
}

/// An answer that the engine may not have.
#[derive(Debug)]
struct Unacknowledged {
    report: Report,
    sent_at: Timestamp,
}

impl Desk {
    /// What the journal holds decides how copies are answered; commands themselves come again from the engine.
    pub fn new(bounds: Bounds, journal: Arc<dyn Journal>, now: Timestamp) -> Self {
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

    /// Forgets what is not begun: the engine gives it again to whoever comes next. What is under way ends.
    pub fn drain(&mut self) {
        self.backlog.clear();
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

    /// Tells the journal what it must know before anybody acts on it; what it may forget goes along, or waits.
    fn write(&mut self) -> Result<(), journal::Error> {
        if self.entries.values().any(Option::is_some) || self.entries.len() >= FORGOTTEN_MAX {
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
            Signal::Cancel(attempt) => self.cancel(&attempt, actions)?,
            Signal::Finished { attempt, outcome } => {
                if let Some(UnderWay { token, since }) = self.under_way.remove(&attempt) {
                    let took = self.now - since;
                    self.answer(attempt, token, took, WorkerAnswer::Done(outcome), actions);
                }
            }
            Signal::Acknowledged(attempt) => self.close(&attempt),
            Signal::Tick(now) => self.tick(now, actions)?,
        }
        self.begin(actions);
        Ok(())
    }

    fn take(&mut self, order: WorkOrder, actions: &mut Vec<Action>) -> Result<(), journal::Error> {
        let attempt = &order.command.attempt;
        let waits = self.backlog.iter().any(|(waiting, _)| waiting.command.attempt == *attempt);
        if waits || self.under_way.contains_key(attempt) {
            return Ok(());
        }
        if let Some(Unacknowledged { report, .. }) = self.unacknowledged.get(attempt) {
            // The engine was started again and this process was not: whatever the journal was told, it is not done again.
            let report = Report { token: order.token, ..report.clone() };
            self.send(report, actions);
            return Ok(());
        }
        let known = self.known(attempt)?;
        if let Some(Entry { state: State::Answered(bytes) | State::Closed(bytes), .. }) = known {
            let answer = answer::decode(attempt, &bytes)?;
            let report = Report { attempt: attempt.clone(), token: order.token, answer };
            self.send(report, actions);
            return Ok(());
        }
        if self.room() == 0 {
            let reason =
                format!("{} commands wait or are under way", self.under_way.len() + self.backlog.len());
            let (attempt, token) = (attempt.clone(), order.token);
            self.answer(attempt, token, Millis(0), WorkerAnswer::Declined(reason.into()), actions);
            return Ok(());
        }
        fail::at(Point::E1);
        self.note(attempt, State::Taken);
        self.backlog.push_back((order, self.now));
        Ok(())
    }

    fn begin(&mut self, actions: &mut Vec<Action>) {
        while self.under_way.len() < self.bounds.pool
            && let Some((order, _)) = self.backlog.pop_front()
        {
            let attempt = order.command.attempt.clone();
            self.note(&attempt, State::Begun);
            self.under_way.insert(attempt, UnderWay { token: order.token, since: self.now });
            actions.push(Action::Begin(Box::new(order)));
        }
    }

    fn cancel(&mut self, attempt: &AttemptId, actions: &mut Vec<Action>) -> Result<(), journal::Error> {
        self.backlog.retain(|(order, _)| order.command.attempt != *attempt);
        if self.under_way.remove(attempt).is_some() {
            actions.push(Action::Abandon(attempt.clone()));
        }
        self.unacknowledged.remove(attempt);
        if let Some(entry) = self.known(attempt)?
            && !matches!(entry.state, State::Closed(_))
        {
            let cancelled = WorkerAnswer::Declined("cancelled".into());
            self.note(attempt, State::Closed(answer::encode(&cancelled)));
        }
        Ok(())
    }

    /// `took` is how long the work of it took.
    fn answer(
        &mut self,
        attempt: AttemptId,
        token: Token,
        took: Millis,
        answer: WorkerAnswer,
        actions: &mut Vec<Action>,
    ) {
        fail::at(Point::E4);
        if self.bounds.redelivery == Redelivery::Nobody || took >= self.bounds.journal_from {
            self.note(&attempt, State::Answered(answer::encode(&answer)));
        }
        self.send(Report { attempt, token, answer }, actions);
    }

    fn send(&mut self, report: Report, actions: &mut Vec<Action>) {
        let unacknowledged = Unacknowledged { report: report.clone(), sent_at: self.now };
        self.unacknowledged.insert(report.attempt.clone(), unacknowledged);
        actions.push(Action::Send(report));
    }

    fn close(&mut self, attempt: &AttemptId) {
        if let Some(Unacknowledged { report, .. }) = self.unacknowledged.remove(attempt) {
            fail::at(Point::E6);
            let kept = match self.bounds.redelivery {
                Redelivery::Nobody => answer::encode(&report.answer),
                Redelivery::TheEngine => vec![],
            };
            self.note(attempt, State::Closed(kept));
        }
    }

    fn tick(&mut self, now: Timestamp, actions: &mut Vec<Action>) -> Result<(), journal::Error> {
        self.now = self.now.max(now);
        let now = self.now;
        let late = |(_, since): &(WorkOrder, Timestamp)| now - *since > self.bounds.begin_within;
        // What waited too long goes back, unless there is room for it now.
        let room = self.bounds.pool.saturating_sub(self.under_way.len());
        let handed_back: Vec<WorkOrder> = self
            .backlog
            .iter()
            .skip(room)
            .filter(|waiting| late(waiting))
            .map(|(order, _)| order.clone())
            .collect();
        for order in handed_back {
            self.backlog.retain(|(waiting, _)| waiting.command.attempt != order.command.attempt);
            let reason = format!("not begun within {}", self.bounds.begin_within);
            let WorkOrder { command, token, .. } = order;
            self.answer(command.attempt, token, Millis(0), WorkerAnswer::Declined(reason.into()), actions);
        }
        for Unacknowledged { report, sent_at } in self.unacknowledged.values_mut() {
            if now - *sent_at >= self.bounds.resend_after {
                *sent_at = now;
                actions.push(Action::Send(report.clone()));
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
        actions.extend(self.backlog.iter().map(|(order, _)| beat(&order.command.attempt, false)));
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

    fn note(&mut self, attempt: &AttemptId, state: State) {
        if self.bounds.redelivery == Redelivery::Nobody {
            let entry = Entry { attempt: attempt.clone(), state, at: self.now };
            self.entries.insert(attempt.clone(), Some(entry));
            return;
        }
        match state {
            State::Taken | State::Begun => {}
            State::Answered(_) => {
                let entry = Entry { attempt: attempt.clone(), state, at: self.now };
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
