//! What goes from one process to another goes as bytes, as over a real broker.
//!
//! **Invariant:** what arrives is what was sent.

use std::fmt::Debug;

use domain::name::AttemptId;
use engine::desk::Heartbeat;
use engine::message::{self, Error};
use engine::partition::WorkOrder;
use engine::request::Said;
use wire::definitions::parsers;

use crate::checker::chain_of;

pub(super) fn said(said: &Said) -> Result<Said, String> {
    arrived(said, message::decode_said(&message::encode_said(said), &parsers()))
}

pub(super) fn order(order: &WorkOrder) -> Result<WorkOrder, String> {
    arrived(order, message::decode_order(&message::encode_order(order), &parsers()))
}

pub(super) fn heartbeat(beat: &Heartbeat) -> Result<Heartbeat, String> {
    arrived(beat, message::decode_heartbeat(&message::encode_heartbeat(beat)))
}

pub(super) fn cancel(attempt: &AttemptId) -> Result<AttemptId, String> {
    arrived(attempt, message::decode_cancel(&message::encode_cancel(attempt)))
}

fn arrived<T: PartialEq + Debug>(sent: &T, read: Result<T, Error>) -> Result<T, String> {
    match read {
        Ok(read) if read == *sent => Ok(read),
        Ok(read) => Err(format!("{sent:?} was sent, and {read:?} arrived")),
        Err(error) => Err(format!("{sent:?} was sent, and cannot be read: {}", chain_of(&error))),
    }
}
