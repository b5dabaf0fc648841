//! The data plane: leads callers to releases as the route table says, and logs what they were answered.
//!
//! ```text
//! HTTP -> listen -> connection -> plain -----> infer -> protocol (id, sticky key, features)
//!                       |                        |----> tables   (which release: read without a lock)
//!                       +----> hyper -> paths ---+----> backend  (the release answers: over HTTP or in process)
//!                                         |      +----> log      (a prediction, by a bounded queue, to `Predictions`)
//!                                         |----> kill -> tables, overrides (disk)
//!                                         +----> labels -> `Predictions`
//! rollout worker --------------------> Gateway::apply, Gateway::observed
//! ```
//!
//! Invariant: a caller is led only to a release that the table of its target names and that was ready when the
//! table was taken; a table of an older generation is never taken; a killed release answers nobody until a newer
//! table no longer names it. Waiting for anything but the release itself is never in the way of an answer.
//! Does not decide shares, load models, or judge what it logs. No TLS.

mod gateway;
mod limits;

mod kill;
mod overrides;
mod tables;

mod listen;
mod paths;

mod connection;
mod plain;

mod infer;
mod labels;
mod lanes;
mod protocol;

mod answer;
mod elements;

mod backend;

mod instant;
mod log;
mod metrics;
mod refusal;
mod rows;

pub mod decoders;

#[cfg(test)]
mod tests;

pub use backend::{Ask, Backend, Call, Direct, Fault, Http, Reply, SERVERS_MAX, Several};
pub use gateway::{Gateway, OpenError, Settings};
pub use kill::{Credential, KillError};
pub use limits::Limits;
pub use metrics::{Counts, ReleaseCounts};
pub use overrides::{Override, OverridesError};
pub use tables::{Observed, Refused};
