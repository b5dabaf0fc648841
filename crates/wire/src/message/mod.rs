//! What travels between processes: things said to engines, work orders, signs of life, what gateways answered and
//! serve, each to bytes and back. `proto/modelrail/v1/message.proto` documents the bytes for other languages.
//!
//! **Invariant:** what was encoded is decoded as the same value, floats to the last bit, where it is within the bounds
//! below; no bytes make decoding panic; fields of another version are ignored. A text comes with its digest, and is
//! parsed anew by whoever decodes it.
//!
//! Does not judge, as the codec does not: whether an outcome's numbers are any is asked where it becomes an input.

mod bounds;
pub mod said;
#[cfg(test)]
mod tests;

use std::fmt;

use domain::evidence::Text;
use domain::model::Release;
use domain::name::{AttemptId, Digest, RunId, TargetId};
use domain::refusal::Refusal;
use domain::routes::{Generation, RouteTable};
use domain::time::Timestamp;
use domain::work::{Command, GatewayObserved};
use prost::Message;

use self::bounds::{Known, parse, register, whole};
use self::said::Said;
use crate::codec::{Definitions, Parsers, Place, Wire};
use crate::generated::v1;

pub use self::bounds::{
    LABEL_BYTES_MAX, LIST_MAX, MESSAGE_BYTES_MAX, RECENT_MAX, REQUEST_ID_BYTES_MAX, SIGN_OF_LIFE_BYTES_MAX,
    TEXT_BYTES_MAX,
};
pub use crate::codec::Error;

/// Shows that whoever answers an attempt was given it by the engine.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Token(pub [u8; 32]);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// A command as it is sent out.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkOrder {
    pub command: Command,
    /// To be returned with the outcome.
    pub token: Token,
    /// The claim under which it is sent.
    pub epoch: u64,
}

/// Whom an order is answered for, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addressee {
    pub attempt: AttemptId,
    pub target: TargetId,
    /// To be returned with the outcome.
    pub token: Token,
}

/// A worker's sign that an attempt is alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    pub attempt: AttemptId,
    pub at: Timestamp,
    /// Whether it is begun, or still waits.
    pub is_begun: bool,
}

/// What became of an input that leaves no record of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub partition: u32,
    /// As the input named itself.
    pub input_id: String,
    pub unrecorded: Unrecorded,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unrecorded {
    /// It was said before, in this record where that is known.
    Repeat { seq: Option<u64>, run: Option<RunId>, refused: Option<Refusal> },
    /// The engine did not take it.
    Refused(Refusal),
}

/// One answered request.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    pub target: TargetId,
    /// The join key of prediction and label.
    pub request_id: String,
    /// When the answer was given.
    pub at: Timestamp,
    pub bundle: Digest,
    pub generation: Generation,
    /// The 64-bit hash of the sticky key, to count distinct units without keeping who they are.
    pub unit: u64,
    pub latency_us: u32,
    /// The answer was an error of the release (5xx, refused, timed out); not of the caller.
    pub error: bool,
    /// The numeric inputs, in the order of the signature, when the workflow keeps them.
    pub features: Vec<f32>,
    /// The first value of the output that is the prediction: a class or a number.
    pub output: Option<f64>,
    /// The score behind it, when the model gives one.
    pub score: Option<f64>,
}

/// What the truth turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    pub target: TargetId,
    pub request_id: String,
    pub at: Timestamp,
    pub value: f64,
}

/// What one gateway serves, target by target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayReport {
    pub gateway: Text,
    /// When the gateway said so.
    pub heard_at: Timestamp,
    pub targets: Vec<TargetServed>,
}

/// One target as a gateway serves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetServed {
    pub target: TargetId,
    /// The generation that it obeys.
    pub generation: Generation,
    /// What answers instead while its kill switch is on; nothing when nobody does.
    pub override_to: Option<Release>,
    /// The bundles that its kill switch keeps everybody away from; empty while the switch is off.
    pub killed: Vec<Digest>,
}

impl GatewayReport {
    /// What the gateway said of itself, for each of its targets.
    pub fn observed(self) -> impl Iterator<Item = (TargetId, GatewayObserved)> {
        let Self { gateway, heard_at, targets } = self;
        targets.into_iter().map(move |TargetServed { target, generation, override_to, killed }| {
            let gateway = Text::clone(&gateway);
            (target, GatewayObserved { gateway, generation, override_to, killed, heard_at })
        })
    }
}

pub fn encode_said(said: &Said) -> Vec<u8> {
    Wire::<v1::Said>::put(said).encode_to_vec()
}

/// The text that a trigger or a definition brings is held against its digest, and parsed.
pub fn decode_said(bytes: &[u8], parsers: &Parsers) -> Result<Said, Error> {
    Recent::new(*parsers).decode_said(bytes)
}

/// The definitions that came last. For who reads a lane: each trigger brings its workflow, most the same.
#[derive(Debug)]
pub struct Recent {
    parsers: Parsers,
    definitions: Definitions,
}

impl Recent {
    pub fn new(parsers: Parsers) -> Self {
        Self { parsers, definitions: Definitions::new(parsers) }
    }

    /// As [`decode_said`], and a text that came lately is not parsed again.
    pub fn decode_said(&mut self, bytes: &[u8]) -> Result<Said, Error> {
        let proto: v1::Said = parse(bytes, "Said", MESSAGE_BYTES_MAX)?;
        if self.definitions.count() >= RECENT_MAX {
            self.definitions = Definitions::new(self.parsers);
        }
        register(&proto, &mut self.definitions)?;
        Wire::take(proto, &Known::definitions(&self.definitions), whole("Said"))
    }
}

pub fn encode_order(order: &WorkOrder) -> Vec<u8> {
    Wire::<v1::WorkOrder>::put(order).encode_to_vec()
}

/// The rules in it are parsed again.
pub fn decode_order(bytes: &[u8], parsers: &Parsers) -> Result<WorkOrder, Error> {
    let proto: v1::WorkOrder = parse(bytes, "WorkOrder", MESSAGE_BYTES_MAX)?;
    Wire::take(proto, &Known::rules(parsers), whole("WorkOrder"))
}

/// Whom an order is answered for, where the rest of it cannot be read: a newer engine's, say. The engine is then told
/// that it could not be done, instead of waiting for the lease.
pub fn decode_addressee(bytes: &[u8]) -> Result<Addressee, Error> {
    let proto: v1::WorkOrder = parse(bytes, "WorkOrder", MESSAGE_BYTES_MAX)?;
    let at = |message, field| Place { message, field };
    let command = proto.command.ok_or(Error::Missing(at("WorkOrder", "command")))?;
    Ok(Addressee {
        attempt: Wire::take(command.attempt, &Known::nothing(), at("Command", "attempt"))?,
        target: Wire::take(command.target, &Known::nothing(), at("Command", "target"))?,
        token: Wire::take(proto.token, &Known::nothing(), at("WorkOrder", "token"))?,
    })
}

pub fn encode_heartbeat(heartbeat: &Heartbeat) -> Vec<u8> {
    Wire::<v1::Heartbeat>::put(heartbeat).encode_to_vec()
}

pub fn decode_heartbeat(bytes: &[u8]) -> Result<Heartbeat, Error> {
    let proto: v1::Heartbeat = parse(bytes, "Heartbeat", SIGN_OF_LIFE_BYTES_MAX)?;
    Wire::take(proto, &Known::nothing(), whole("Heartbeat"))
}

pub fn encode_answer(answer: &Answer) -> Vec<u8> {
    Wire::<v1::Answer>::put(answer).encode_to_vec()
}

pub fn decode_answer(bytes: &[u8]) -> Result<Answer, Error> {
    let proto: v1::Answer = parse(bytes, "Answer", MESSAGE_BYTES_MAX)?;
    Wire::take(proto, &Known::nothing(), whole("Answer"))
}

/// The attempt is no longer wanted.
pub fn encode_cancel(attempt: &AttemptId) -> Vec<u8> {
    v1::Cancel { attempt: attempt.put() }.encode_to_vec()
}

pub fn decode_cancel(bytes: &[u8]) -> Result<AttemptId, Error> {
    let proto: v1::Cancel = parse(bytes, "Cancel", SIGN_OF_LIFE_BYTES_MAX)?;
    let at = Place { message: "Cancel", field: "attempt" };
    Wire::take(proto.attempt, &Known::nothing(), at)
}

pub fn encode_prediction(prediction: &Prediction) -> Vec<u8> {
    Wire::<v1::Prediction>::put(prediction).encode_to_vec()
}

pub fn decode_prediction(bytes: &[u8]) -> Result<Prediction, Error> {
    let proto: v1::Prediction = parse(bytes, "Prediction", MESSAGE_BYTES_MAX)?;
    Wire::take(proto, &Known::nothing(), whole("Prediction"))
}

pub fn encode_label(label: &Label) -> Vec<u8> {
    Wire::<v1::Label>::put(label).encode_to_vec()
}

/// A label that is not a number is none.
pub fn decode_label(bytes: &[u8]) -> Result<Label, Error> {
    let proto: v1::Label = parse(bytes, "Label", LABEL_BYTES_MAX)?;
    let label: Label = Wire::take(proto, &Known::nothing(), whole("Label"))?;
    if label.value.is_finite() { Ok(label) } else { Err(Error::NotFinite(bounds::LABEL_VALUE)) }
}

pub fn encode_table(table: &RouteTable) -> Vec<u8> {
    Wire::<v1::RouteTable>::put(table).encode_to_vec()
}

/// Whether the table is sound and new is the gateway's to ask.
pub fn decode_table(bytes: &[u8]) -> Result<RouteTable, Error> {
    let proto: v1::RouteTable = parse(bytes, "RouteTable", MESSAGE_BYTES_MAX)?;
    Wire::take(proto, &Known::nothing(), whole("RouteTable"))
}

pub fn encode_gateway_report(report: &GatewayReport) -> Vec<u8> {
    Wire::<v1::GatewayReport>::put(report).encode_to_vec()
}

pub fn decode_gateway_report(bytes: &[u8]) -> Result<GatewayReport, Error> {
    let proto: v1::GatewayReport = parse(bytes, "GatewayReport", MESSAGE_BYTES_MAX)?;
    Wire::take(proto, &Known::nothing(), whole("GatewayReport"))
}
