//! The worker host: takes commands, has them carried out in a bounded pool, and brings the answers home.
//!
//! ```text
//!  Command -> journal: Taken -> (room) journal: Begun -> Begin -> Finished -> journal: Answered -> Send
//!                 |                                                                            |
//!                 +-- too many waiting, or waited too long -> Declined ------------------------+
//!                                                                       Acknowledged -> journal: Closed
//! ```
//!
//! **Invariant:** an attempt is begun by this desk only after the journal says so, and its answer is sent only
//! after the journal has it; a copy of an attempt that was answered gets the same answer, and is not done again.
//! An attempt that was begun without an answer when the process ended is done again under the same effect key.
//!
//! Does not carry anything out: the driver does, on threads of its own, and reports `Finished`.

pub(crate) mod answer;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use domain::name::AttemptId;
use domain::time::{Millis, Timestamp};

use crate::partition::WorkOrder;
use crate::port::journal::{self, Entry, Journal, State};
use crate::request::{Report, WorkerAnswer};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
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
    /// How long the journal keeps closed attempts.
    pub journal_retention: Millis,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            pool: 4,
            backlog_max: 64,
            begin_within: Millis::seconds(30),
            heartbeat_every: Millis::seconds(2),
            resend_after: Millis::seconds(5),
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

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    pub attempt: AttemptId,
    pub at: Timestamp,
    /// Whether it is begun, or still waits.
    pub is_begun: bool,
}

#[derive(Debug)]
pub struct Desk {
    bounds: Bounds,
    journal: Arc<dyn Journal>,
    now: Timestamp,
    /// Taken and not begun, oldest first.
    backlog: VecDeque<(WorkOrder, Timestamp)>,
    under_way: BTreeMap<AttemptId, WorkOrder>,
    /// Answered and not acknowledged, and when they were last sent.
    unacknowledged: BTreeMap<AttemptId, (Report, Timestamp)>,
    heartbeat_at: Timestamp,
    swept_at: Timestamp,
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

    pub fn step(&mut self, signal: Signal) -> Result<Vec<Action>, journal::Error> {
        let mut actions = vec![];
        match signal {
            Signal::Command(order) => self.take(*order, &mut actions)?,
            Signal::Cancel(attempt) => self.cancel(&attempt, &mut actions)?,
            Signal::Finished { attempt, outcome } => {
                if let Some(order) = self.under_way.remove(&attempt) {
                    self.answer(&order, WorkerAnswer::Done(outcome), &mut actions)?;
                }
            }
            Signal::Acknowledged(attempt) => self.close(&attempt)?,
            Signal::Tick(now) => self.tick(now, &mut actions)?,
        }
        self.begin(&mut actions)?;
        Ok(actions)
    }

    fn take(&mut self, order: WorkOrder, actions: &mut Vec<Action>) -> Result<(), journal::Error> {
        let attempt = &order.command.attempt;
        let waits = self.backlog.iter().any(|(waiting, _)| waiting.command.attempt == *attempt);
        if waits || self.under_way.contains_key(attempt) {
            return Ok(());
        }
        let known = self.journal.get(attempt)?;
        if let Some(Entry { state: State::Answered(bytes) | State::Closed(bytes), .. }) = known {
            let answer = answer::decode(attempt, &bytes)?;
            let report = Report { attempt: attempt.clone(), token: order.token, answer };
            self.unacknowledged.insert(attempt.clone(), (report.clone(), self.now));
            actions.push(Action::Send(report));
            return Ok(());
        }
        if self.room() == 0 {
            let reason =
                format!("{} commands wait or are under way", self.under_way.len() + self.backlog.len());
            return self.answer(&order, WorkerAnswer::Declined(reason.into()), actions);
        }
        self.journal.put(&[self.entry(attempt, State::Taken)])?;
        self.backlog.push_back((order, self.now));
        Ok(())
    }

    fn begin(&mut self, actions: &mut Vec<Action>) -> Result<(), journal::Error> {
        while self.under_way.len() < self.bounds.pool
            && let Some((order, _)) = self.backlog.front()
        {
            let attempt = order.command.attempt.clone();
            self.journal.put(&[self.entry(&attempt, State::Begun)])?;
            let (order, _) = self.backlog.pop_front().expect("it was just looked at");
            actions.push(Action::Begin(Box::new(order.clone())));
            self.under_way.insert(attempt, order);
        }
        Ok(())
    }

    fn cancel(&mut self, attempt: &AttemptId, actions: &mut Vec<Action>) -> Result<(), journal::Error> {
        self.backlog.retain(|(order, _)| order.command.attempt != *attempt);
        if self.under_way.remove(attempt).is_some() {
            actions.push(Action::Abandon(attempt.clone()));
        }
        self.unacknowledged.remove(attempt);
        if let Some(entry) = self.journal.get(attempt)?
            && !matches!(entry.state, State::Closed(_))
        {
            let cancelled = WorkerAnswer::Declined("cancelled".into());
            self.journal.put(&[self.entry(attempt, State::Closed(answer::encode(&cancelled)))])?;
        }
        Ok(())
    }

    fn answer(
        &mut self,
        order: &WorkOrder,
        answer: WorkerAnswer,
        actions: &mut Vec<Action>,
    ) -> Result<(), journal::Error> {
        let attempt = &order.command.attempt;
        self.journal.put(&[self.entry(attempt, State::Answered(answer::encode(&answer)))])?;
        let report = Report { attempt: attempt.clone(), token: order.token, answer };
        self.unacknowledged.insert(attempt.clone(), (report.clone(), self.now));
        actions.push(Action::Send(report));
        Ok(())
    }

    fn close(&mut self, attempt: &AttemptId) -> Result<(), journal::Error> {
        if let Some((report, _)) = self.unacknowledged.remove(attempt) {
            self.journal.put(&[self.entry(attempt, State::Closed(answer::encode(&report.answer)))])?;
        }
        Ok(())
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
            self.answer(&order, WorkerAnswer::Declined(reason.into()), actions)?;
        }
        for (report, sent_at) in self.unacknowledged.values_mut() {
            if now - *sent_at >= self.bounds.resend_after {
                *sent_at = now;
                actions.push(Action::Send(report.clone()));
            }
        }
        if now >= self.heartbeat_at {
            self.heartbeat_at = now + self.bounds.heartbeat_every;
            self.beat(actions);
        }
        if now - self.swept_at >= self.bounds.journal_retention {
            self.swept_at = now;
            self.journal.sweep(Timestamp(now.0.saturating_sub(self.bounds.journal_retention.0)))?;
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

    fn entry(&self, attempt: &AttemptId, state: State) -> Entry {
        Entry { attempt: attempt.clone(), state, at: self.now }
    }
}
