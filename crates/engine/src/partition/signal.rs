//! What a partition is told, and what it wants done.

use domain::name::{AttemptId, RunId, StreamId};
use domain::refusal::Refusal;
use domain::time::Timestamp;
pub use wire::message::WorkOrder;
use wire::record::{Lane, Positions};

use super::hindrance::Hindrance;
use crate::code::Stopped;
use crate::port::clock::Reading;
use crate::port::log::Landed;
use crate::port::store::Commit;
use crate::request::Said;

#[derive(Debug, Clone, PartialEq)]
pub enum Signal {
    /// The next record of the log, in its order, losers too.
    RecordRead(Landed),
    /// Something waits in a lane. Kept until a tick decides it.
    Input(Box<LaneInput>),
    /// A worker gave a sign of life.
    Heard {
        attempt: AttemptId,
        at: Timestamp,
    },
    /// Time passed: what waits is decided.
    Tick(Reading),
    /// The view is durable up to this record.
    Committed {
        seq: u64,
    },
    /// Every command of records up to this one is where it cannot get lost (embedded: handed over; else: its topic
    /// has acknowledged it). A driver gives them for the records of `Dispatch` actions, in their order.
    Dispatched {
        seq: u64,
    },
    /// An append may or may not have landed, and the driver knows before [`super::Bounds::append_doubt`] has passed.
    InDoubt,
    /// The lanes' topics as the driver found them, before it gives `Assigned`. Without it they have none (embedded).
    LanesFound([LaneFound; 3]),
    /// The partition is this process's to own; the log was read to its end. The nonce is drawn by the driver; all
    /// randomness of the partition comes from it.
    Assigned {
        nonce: [u8; 16],
    },
    Revoked,
    /// The driver cannot carry out what it is told: nothing is decided, and no claim made, until `Cleared`. It keeps
    /// the actions that it could not carry out, and carries them out first.
    Hindered(Hindrance),
    Cleared(Hindrance),
}

/// A lane's topic, as it is now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LaneFound {
    /// Its id, which a topic created anew does not share with the former one; empty in embedded mode.
    pub topic: String,
    /// The offset of its first input.
    pub begins_at: u64,
}

/// An input and the place in its lane.
#[derive(Debug, Clone, PartialEq)]
pub struct LaneInput {
    pub lane: Lane,
    pub offset: u64,
    /// The id under which the answer is remembered.
    pub input_id: Option<String>,
    pub traceparent: Option<String>,
    pub said: Said,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Add these records to the end of the log, in this order.
    Append(Vec<Vec<u8>>),
    /// What was appended and not read back is given up: destroy the producer, so that it sends nothing more.
    DropProducer,
    /// Owning begins: give the inputs of each lane from these positions on, those given before too.
    ReadLanes(Positions),
    /// Add to the view what an accepted record says.
    Commit(Box<Commit>),
    /// Once the commit of `seq` is durable: send these orders out, and withdraw those attempts.
    Dispatch {
        seq: u64,
        orders: Vec<WorkOrder>,
        cancels: Vec<AttemptId>,
    },
    /// Once the commit before it is durable: answer.
    Reply(Reply),
    /// Something that people should look at; the partition goes on.
    Alarm(Alarm),
    /// Nothing is decided and nothing claimed until `Resume`; reading goes on. Again when the reason changes.
    Suspend {
        code: &'static str,
        text: String,
    },
    Resume,
    /// Nothing is done any more.
    Stop(Stopped),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    pub lane: Lane,
    pub offset: u64,
    pub input_id: Option<String>,
    pub answer: Answer,
}

/// What became of an input.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// It stands in this record, decided or refused.
    Recorded { seq: u64, run: Option<RunId>, refused: Option<Refusal> },
    /// It was recorded before, in this record where that is known.
    Repeat { seq: Option<u64>, run: Option<RunId>, refused: Option<Refusal> },
    /// The engine did not take it; it is not recorded.
    Refused(Refusal),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Alarm {
    pub code: &'static str,
    pub stream: StreamId,
    pub text: String,
}
