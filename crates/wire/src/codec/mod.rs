//! Between the domain's types and the messages of `proto/modelrail/v1`, both ways.
//!
//! **Invariant:** `take(put(x)) == x` for every value of the domain, floats to the last bit; and no bytes make
//! decoding panic. What cannot be read is an [`Error`] that names the message and the field.
//!
//! Does not judge: whether an event fits a state is `evolve`'s business, whether a number is sensible the edge's.

#[macro_use]
mod shapes;

mod check;
mod definition;
pub(crate) mod direct;
mod error;
mod evidence;
mod identity;
mod message;
mod model;
mod resolve;
mod run;
mod scalar;
mod state;
mod target;
mod transition;
mod work;

pub use error::{Error, Place};
pub use resolve::{Bounds, Definitions, Parsers, Resolve};
pub(crate) use scalar::exactly;
pub use state::{Canonical, STATE_VERSION, decode_run_state, decode_target_state, state_digest};

use prost::Message;

use crate::generated::v1;

/// One value of the domain and its form `P` in a message.
pub(crate) trait Wire<P>: Sized {
    fn put(&self) -> P;
    /// `at` says where `proto` stands, for the error.
    fn take(proto: P, known: &dyn Resolve, at: Place) -> Result<Self, Error>;
}

/// The names of an enum's variants, so that tests can tell that they have a sample of each.
#[cfg(test)]
pub(crate) trait Variants {
    const NAMES: &'static [&'static str];
}

fn read<T: Wire<P>, P: Message + Default>(
    bytes: &[u8],
    known: &dyn Resolve,
    message: &'static str,
) -> Result<T, Error> {
    T::take(P::decode(bytes)?, known, Place { message, field: "" })
}

/// What a worker answered, as its journal keeps it.
pub fn encode_outcome(outcome: &domain::work::Outcome) -> Vec<u8> {
    Wire::<v1::Outcome>::put(outcome).encode_to_vec()
}

pub fn decode_outcome(bytes: &[u8]) -> Result<domain::work::Outcome, Error> {
    read::<_, v1::Outcome>(bytes, &(), "Outcome")
}

/// An input of a run, as a timer keeps it.
pub fn encode_run_input(input: &domain::run::Input) -> Vec<u8> {
    Wire::<v1::RunInput>::put(input).encode_to_vec()
}

pub fn decode_run_input(bytes: &[u8], known: &dyn Resolve) -> Result<domain::run::Input, Error> {
    read::<_, v1::RunInput>(bytes, known, "RunInput")
}

/// An input of a target, as a timer keeps it.
pub fn encode_target_input(input: &domain::target::Input) -> Vec<u8> {
    Wire::<v1::TargetInput>::put(input).encode_to_vec()
}

pub fn decode_target_input(bytes: &[u8], known: &dyn Resolve) -> Result<domain::target::Input, Error> {
    read::<_, v1::TargetInput>(bytes, known, "TargetInput")
}

/// An outside input with its stream, as it waits in a lane.
pub fn encode_input(input: &domain::transition::Input) -> Vec<u8> {
    Wire::<v1::Input>::put(input).encode_to_vec()
}

pub fn decode_input(bytes: &[u8], known: &dyn Resolve) -> Result<domain::transition::Input, Error> {
    read::<_, v1::Input>(bytes, known, "Input")
}

/// One event of a run, by itself.
pub fn encode_run_event(event: &domain::run::Event) -> Vec<u8> {
    Wire::<v1::RunEvent>::put(event).encode_to_vec()
}

pub fn decode_run_event(bytes: &[u8], known: &dyn Resolve) -> Result<domain::run::Event, Error> {
    read::<_, v1::RunEvent>(bytes, known, "RunEvent")
}

/// One event of a target, by itself.
pub fn encode_target_event(event: &domain::target::Event) -> Vec<u8> {
    Wire::<v1::TargetEvent>::put(event).encode_to_vec()
}

pub fn decode_target_event(bytes: &[u8], known: &dyn Resolve) -> Result<domain::target::Event, Error> {
    read::<_, v1::TargetEvent>(bytes, known, "TargetEvent")
}

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
