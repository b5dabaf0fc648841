//! One record of the log: the outermost bytes, hashed as a whole.
//!
//! **Invariant:** a record is what its bytes are. They are kept, hashed and forwarded as they came; nothing that
//! was decoded is encoded again. Whether a record is accepted (its `prev` is the hash of the one before) is the
//! reader's decision, not this module's.

mod decode;
mod direct;
mod encode;
mod peek;
mod repeats;

pub use decode::{Opened, decode, open};
pub use encode::encode;
pub use peek::{Kind, Peek, peek};

use domain::name::{Digest, StreamId};
use domain::time::Timestamp;
use domain::transition::Transition;

pub use crate::codec::Error;

/// The format that this binary writes.
pub const FORMAT: u32 = 1;

/// `prev` of record 1.
pub const NO_PREV: Digest = Digest([0; 32]);

#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Accepted records are counted densely from 1.
    pub seq: u64,
    /// The hash of the record before; all zero in record 1.
    pub prev: Digest,
    pub body: Body,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// Record 1.
    Created {
        log_id: [u8; 16],
        partition: u32,
        partitions: u32,
        format: u32,
        in_flight_records_max: u32,
    },
    /// Who owns the partition from here on.
    Claimed {
        nonce: [u8; 16],
        binary: String,
        lanes: Vec<LaneClaim>,
    },
    Transition(Box<Recorded>),
    /// The binaries of this log all know this format.
    FormatRaised {
        format: u32,
    },
}

/// A lane as the new owner found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneClaim {
    pub lane: Lane,
    /// The id of the lane's topic; empty in embedded mode.
    pub topic: String,
    /// The next offset, when it is not the one that the log says.
    pub rebased_to: Option<u64>,
}

/// By whom inputs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// The api.
    Requests,
    /// Workers.
    Outcomes,
    /// Ingress.
    Triggers,
}

impl Lane {
    pub const ALL: [Self; 3] = [Self::Requests, Self::Outcomes, Self::Triggers];

    /// Its place in [`Positions`].
    pub fn index(self) -> usize {
        match self {
            Self::Requests => 0,
            Self::Outcomes => 1,
            Self::Triggers => 2,
        }
    }
}

/// The next offset of each lane, by [`Lane::index`].
pub type Positions = [u64; 3];

/// One outside input and all that followed from it, with what surrounded it.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// The clock, or the last recorded time when the clock is behind.
    pub now: Timestamp,
    /// The `seq` of the owner's claim.
    pub epoch: u64,
    pub engine_version: String,
    /// Grows when a decision changes.
    pub decide_revision: u32,
    /// Where the input came from; nothing for a moment that has come.
    pub lane: Option<Lane>,
    pub before: Positions,
    pub after: Positions,
    /// Up to this `seq` every effect is acknowledged.
    pub dispatched: u64,
    /// The id of the request, outcome or trigger, to answer it and to know it again.
    pub input_id: Option<String>,
    /// W3C trace context of the input.
    pub traceparent: Option<String>,
    pub transition: Transition,
    /// Steps that this binary cannot read, since a newer one wrote them: whose they are, and why. They are not in
    /// `transition`, and are never written.
    pub unread: Vec<(StreamId, String)>,
}

/// The hash of a record's whole value: `prev` of the next one.
pub fn hash(bytes: &[u8]) -> Digest {
    Digest::of(bytes)
}

#[cfg(test)]
mod tests;
