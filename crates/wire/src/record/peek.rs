//! What a reader must know of a record before it decodes it: where it stands, and whom it touches.
//!
//! Reads the same bytes as `decode` through messages that know only a few of the fields; the others are skipped.
//! So a record with an event of a newer format can still be accepted, hashed, and laid aside for its stream.

use domain::name::{Digest, RunId, StreamId, TargetId};
use prost::Message;

use super::{Error, Positions};
use crate::codec::{Place, Wire, exactly};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peek {
    pub seq: u64,
    pub prev: Digest,
    pub kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Created,
    Claimed {
        nonce: [u8; 16],
    },
    /// The positions, and the streams touched, each once, in the order of the steps.
    Transition {
        before: Positions,
        after: Positions,
        streams: Vec<StreamId>,
    },
    FormatRaised {
        format: u32,
    },
}

/// Reads the head of a record.
pub fn peek(bytes: &[u8]) -> Result<Peek, Error> {
    let head = Head::decode(bytes)?;
    let prev = Digest::take(head.prev, &(), Place { message: "Record", field: "prev" })?;
    let kind = match head.body {
        None => return Err(Error::UnknownVariant("Record")),
        Some(HeadBody::Created(_)) => Kind::Created,
        Some(HeadBody::Claimed(claimed)) => {
            Kind::Claimed { nonce: exactly(&claimed.nonce, Place { message: "Claimed", field: "nonce" })? }
        }
        Some(HeadBody::Transition(transition)) => {
            let at = |field| Place { message: "Transition", field };
            Kind::Transition {
                before: super::decode::positions(&transition.before, at("before"))?,
                after: super::decode::positions(&transition.after, at("after"))?,
                streams: streams(transition.steps)?,
            }
        }
        Some(HeadBody::FormatRaised(raised)) => Kind::FormatRaised { format: raised.format },
    };
    Ok(Peek { seq: head.seq, prev, kind })
}

fn streams(steps: Vec<HeadStep>) -> Result<Vec<StreamId>, Error> {
    let mut streams: Vec<StreamId> = Vec::with_capacity(2);
    for step in steps {
        let stream = match step.step {
            None => return Err(Error::UnknownVariant("Step")),
            Some(HeadOf::Definitions(_)) => StreamId::Definitions,
            Some(HeadOf::Run(step)) => {
                StreamId::Run(RunId::take(step.run, &(), Place { message: "RunStep", field: "run" })?)
            }
            Some(HeadOf::Target(step)) => {
                let place = Place { message: "TargetStep", field: "target" };
                StreamId::Target(TargetId::take(step.target, &(), place)?)
            }
        };
        if !streams.contains(&stream) {
            streams.push(stream);
        }
    }
    Ok(streams)
}

// The numbers are those of `record.proto`.

#[derive(Clone, PartialEq, Message)]
struct Head {
    #[prost(uint64, tag = "1")]
    seq: u64,
    #[prost(bytes = "vec", tag = "2")]
    prev: Vec<u8>,
    #[prost(oneof = "HeadBody", tags = "3, 4, 5, 6")]
    body: Option<HeadBody>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum HeadBody {
    #[prost(message, tag = "3")]
    Created(Skipped),
    #[prost(message, tag = "4")]
    Claimed(HeadClaimed),
    #[prost(message, tag = "5")]
    Transition(HeadTransition),
    #[prost(message, tag = "6")]
    FormatRaised(HeadFormat),
}

#[derive(Clone, PartialEq, Message)]
struct Skipped {}

#[derive(Clone, PartialEq, Message)]
struct HeadClaimed {
    #[prost(bytes = "vec", tag = "1")]
    nonce: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct HeadFormat {
    #[prost(uint32, tag = "1")]
    format: u32,
}

#[derive(Clone, PartialEq, Message)]
struct HeadTransition {
    #[prost(uint64, repeated, tag = "6")]
    before: Vec<u64>,
    #[prost(uint64, repeated, tag = "7")]
    after: Vec<u64>,
    #[prost(message, repeated, tag = "11")]
    steps: Vec<HeadStep>,
}

#[derive(Clone, PartialEq, Message)]
struct HeadStep {
    #[prost(oneof = "HeadOf", tags = "1, 2, 3")]
    step: Option<HeadOf>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum HeadOf {
    #[prost(message, tag = "1")]
    Definitions(Skipped),
    #[prost(message, tag = "2")]
    Run(HeadRun),
    #[prost(message, tag = "3")]
    Target(HeadTarget),
}

#[derive(Clone, PartialEq, Message)]
struct HeadRun {
    #[prost(bytes = "vec", tag = "1")]
    run: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct HeadTarget {
    #[prost(string, tag = "1")]
    target: String,
}
