//! One partition of the log: reads it, and, when it owns it, decides what is said to it.
//!
//! ```text
//!             assigned, at the end           own claim read back
//!   Reading ------------------------> Claiming -----------------> Owning
//!      ^                                 |                          |
//!      +--- in doubt, revoked, another's record, a loser of its own -+
//!
//!   hindered (disk full, log away, clock suspect, newer format): it reads on, and neither decides nor claims
//!   a broken rule: Stopped, with a named code
//!
//!   Tick:  take inputs -> decide and evolve in memory -> Append
//!   RecordRead (its own, by hash):  Commit -> Dispatch -> Reply
//! ```
//!
//! **Invariant:** nothing leaves (no command, no answer) that does not stand in an accepted record; nothing is
//! appended that its writer could not fold.
//!
//! A driver reads what there is before it ticks, carries out the actions in their order and all of them before the
//! next signal, and gives `Committed` when a commit can be read. What it cannot carry out it keeps, and says why. It may
//! gather the commits of several records, and what rests on them, but for a signal by which the partition steps back:
//! that goes to the view for everything, so the view must hold all that was accepted.

mod accept;
mod claims;
mod config;
mod decide;
mod effects;
mod hindrance;
mod intake;
mod moments;
mod open;
mod said;
mod signal;
mod streams;
mod timers;

#[cfg(test)]
mod tests;

pub use claims::Counts;
pub use config::{Bounds, CLOCK_SLACK, Config, Format, Redispatch};
pub(crate) use effects::outside;
pub use hindrance::Hindrance;
pub use open::OpenError;
pub use signal::{Action, Alarm, Answer, LaneFound, LaneInput, Reply, Signal, WorkOrder};

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use domain::name::{AttemptId, Digest, StreamId};
use domain::refusal::{Kind, Refusal};
use domain::time::{Millis, Timestamp};
use domain::transition::Input;
use wire::record::{self, Lane, Positions};

use self::claims::Claims;
use self::decide::Decide;
use self::effects::Settled;
use self::intake::{Intake, Offered};
use self::streams::{Streams, Unavailable};
use self::timers::Timers;
use crate::code::{Code, Stopped, refused};
use crate::port::clock::Reading;
use crate::port::log::Landed;
use crate::port::row::Withheld;
use crate::port::store::{self, Head, RequestRow, Store};

/// What this process is to the partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Reading,
    Claiming,
    Owning,
    Stopped,
}

#[derive(Debug)]
pub struct Partition {
    config: Config,
    store: Arc<dyn Store>,
    role: Role,
    claims: Claims,
    counts: Counts,
    lanes: [LaneFound; 3],
    /// Of the last accepted record.
    head: Head,
    /// Own records that were appended and not read back, oldest first.
    pending: VecDeque<Pending>,
    streams: Streams,
    intake: Intake,
    /// The next offset of each lane that is not taken yet.
    taken: Positions,
    timers: Timers,
    /// Moments that have been and that their stream still asks for: not given again until it changes.
    spent: BTreeMap<StreamId, Vec<(Timestamp, Input)>>,
    /// Attempts outstanding, and when each was last heard of.
    attempts: BTreeMap<AttemptId, Option<Timestamp>>,
    /// Streams with commands outstanding.
    outstanding: BTreeSet<StreamId>,
    /// Streams on which nothing is decided, as their rows say.
    withheld: BTreeMap<StreamId, Withheld>,
    /// Since when this owner dispatches: what it sent out again counts as heard then.
    owning_since: Option<Timestamp>,
    /// Up to this `seq` every command is where it cannot get lost.
    dispatched: u64,
    /// Answers to requests that are not durable in the view yet.
    recent: BTreeMap<String, RequestRow>,
    /// The clock, when it could last be trusted.
    trusted: Option<Reading>,
    /// The newest that was told.
    monotonic: Millis,
    hindrances: BTreeSet<Hindrance>,
    /// Whether the driver asks for the rows of its commits.
    rows_put_off: RowsPutOff,
    /// Whether somebody here waits for answers that others record.
    tells_of_others: bool,
    decide: Decide,
    defect: Option<Defect>,
    actions: Vec<Action>,
}

/// Which commits come without rows, and get them by [`Partition::add_rows`]: what several records change is made once then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RowsPutOff {
    #[default]
    Never,
    /// Those of others' records: rows are added before it claims.
    WhileReading,
    /// Rows are added when all that was decided is read back.
    Always,
}

/// Sees each input before its stream decides it. What panics here is a defect of the core.
pub type Defect = fn(&StreamId, &'static str);

/// An own record on its way into the log and back.
#[derive(Debug)]
struct Pending {
    hash: Digest,
    /// When it was appended.
    since: Millis,
    /// The head once it is accepted.
    head: Head,
    settled: Settled,
    replies: Vec<Reply>,
}

impl Partition {
    pub fn step(&mut self, signal: Signal) -> Vec<Action> {
        if self.role != Role::Stopped
            && let Err(stopped) = self.take_signal(signal)
        {
            self.role = Role::Stopped;
            self.actions.push(Action::Stop(stopped));
        }
        std::mem::take(&mut self.actions)
    }

    /// Has the core fail on some inputs: for those who try out what a defect costs.
    pub fn plant(&mut self, defect: Defect) {
        self.defect = Some(defect);
    }

    pub fn role(&self) -> Role {
        self.role
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What was accepted so far.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Where each lane is to be read from.
    pub fn positions(&self) -> Positions {
        self.head.positions
    }

    /// The offset that is to be given next of each lane.
    pub fn given(&self) -> Positions {
        self.intake.expected()
    }

    /// How many more inputs of the lane may be given before the next tick.
    pub fn room(&self, lane: Lane) -> usize {
        self.intake.room(lane, &self.config.bounds)
    }

    /// Whether a tick would find inputs waiting.
    pub fn is_waiting(&self) -> bool {
        !self.intake.is_empty()
    }

    /// Whether this process reads another's record here, and gives up what it decided: all commits before it must be
    /// given to the view first.
    pub fn steps_back_at(&self, landed: &Landed) -> bool {
        self.role != Role::Reading
            && self.role != Role::Stopped
            && landed.offset >= self.head.next_offset
            && self.pending.front().is_none_or(|pending| pending.hash != record::hash(&landed.bytes))
    }

    /// How many own records were appended and not read back.
    pub fn in_flight(&self) -> usize {
        self.pending.len()
    }

    /// Gives a reply for each record that another process decided, too: for a process in which somebody waits for the
    /// answer to what it said, whoever decides it.
    pub fn tell_of_others(&mut self) {
        self.tells_of_others = true;
    }

    /// Streams on which nothing is decided, and why.
    pub fn withheld(&self) -> impl Iterator<Item = &Withheld> {
        self.withheld.values()
    }

    /// When a tick is needed though nothing is said.
    pub fn wake_at(&self) -> Option<Timestamp> {
        self.timers.next()
    }

    fn take_signal(&mut self, signal: Signal) -> Result<(), Stopped> {
        match signal {
            Signal::RecordRead(landed) => self.read(&landed),
            Signal::Input(input) => {
                self.offer(*input);
                Ok(())
            }
            Signal::Heard { attempt, at } => {
                if let Some(heard) = self.attempts.get_mut(&attempt) {
                    *heard = (*heard).max(Some(at));
                }
                Ok(())
            }
            Signal::Tick(reading) => {
                self.watch_appends(reading.monotonic)?;
                self.tick(reading)
            }
            Signal::Committed { seq } => {
                self.streams.committed = self.streams.committed.max(seq.min(self.head.seq));
                let committed = self.streams.committed;
                self.recent.retain(|_, row| row.seq > committed);
                self.streams.shrink();
                self.shrink_timers();
                Ok(())
            }
            Signal::Dispatched { seq } => {
                self.dispatched = self.dispatched.max(seq.min(self.head.seq));
                Ok(())
            }
            Signal::InDoubt => self.doubt(),
            Signal::Revoked => {
                self.step_back()?;
                self.claims.revoke();
                Ok(())
            }
            Signal::LanesFound(lanes) => {
                self.lanes = lanes;
                Ok(())
            }
            Signal::Assigned { nonce } => {
                self.claims.assign(nonce);
                self.claim_when_due()
            }
            Signal::Hindered(hindrance) => {
                self.hinder(hindrance, None);
                Ok(())
            }
            Signal::Cleared(hindrance) => {
                self.unhinder(hindrance);
                Ok(())
            }
        }
    }

    fn offer(&mut self, input: LaneInput) {
        if let Offered::Full(input) = self.intake.offer(input, &self.config.bounds) {
            let answer = Answer::Refused(refusal(
                Kind::Busy,
                refused::BUSY,
                "expected room in the lane, but its queue is full",
                "try again in a moment",
            ));
            let LaneInput { lane, offset, input_id, .. } = input;
            self.actions.push(Action::Reply(Reply { lane, offset, input_id, answer }));
        }
    }

    /// Goes back to what is accepted, and reads on.
    fn step_back(&mut self) -> Result<(), Stopped> {
        if self.role == Role::Reading {
            return Ok(());
        }
        let (accepted, committed) = (self.head.seq, self.streams.committed);
        if committed < accepted {
            let text = format!(
                "expected the view to hold record {accepted}, but it was given those up to {committed}"
            );
            return Err(Stopped::new(Code::StoreFailed, text));
        }
        self.counts.claims_lost += u64::from(self.role == Role::Claiming);
        self.claims.lose(self.monotonic, &self.config.bounds);
        self.role = Role::Reading;
        self.actions.push(Action::DropProducer);
        self.pending.clear();
        self.recent.clear();
        self.spent.clear();
        self.attempts.clear();
        self.owning_since = None;
        self.taken = self.head.positions;
        self.intake.rewind(self.head.positions);
        self.streams.forget().map_err(stopped)?;
        self.recall()
    }

    /// The head that the next own record follows.
    fn tip(&self) -> &Head {
        self.pending.back().map_or(&self.head, |pending| &pending.head)
    }

    /// Answers once everything decided so far is durable.
    fn reply(&mut self, reply: Reply) {
        match self.pending.back_mut() {
            Some(pending) => pending.replies.push(reply),
            None => self.actions.push(Action::Reply(reply)),
        }
    }

    fn alarm(&mut self, code: &'static str, stream: StreamId, text: impl Into<String>) {
        self.actions.push(Action::Alarm(Alarm { code, stream, text: text.into() }));
    }
}

fn refusal(kind: Kind, code: &str, text: impl Into<String>, hint: &str) -> Refusal {
    Refusal { kind, code: code.to_owned(), text: text.into(), hint: Some(hint.to_owned()) }
}

#[expect(clippy::needless_pass_by_value, reason = "it stands where errors are mapped")]
fn stopped_by(error: store::Error) -> Stopped {
    Stopped::new(Code::StoreFailed, error.to_string())
}

#[expect(clippy::needless_pass_by_value, reason = "it stands where errors are mapped")]
fn stopped(unavailable: Unavailable) -> Stopped {
    let cause = std::error::Error::source(&unavailable).map(|source| format!(": {source}"));
    Stopped::new(Code::StoreFailed, format!("{unavailable}{}", cause.unwrap_or_default()))
}
