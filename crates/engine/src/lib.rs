//! The engine: `Partition` and `Desk` as synchronous state machines, and the ports they need.
//!
//! **Invariant:** no threads, no runtime and no clock in here. A driver gives signals and carries out actions;
//! the same code runs embedded, on Kafka and in the simulator.

pub mod port;

pub mod partition;

pub mod chain;
pub mod code;
pub mod decoders;
pub mod desk;
pub mod embedded;
pub mod fail;
pub mod fold;
pub mod message;
pub mod placement;
pub mod replay;
pub mod token;
pub mod workflows;

pub use wire::message::said as request;

#[cfg(test)]
mod samples;

/// The version of this binary, as records name it.
pub const ENGINE_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Raised whenever `decide` may answer a recorded input differently than before.
pub const DECIDE_REVISION: u32 = 4;

/// The revision that began to cut streams into chapters.
pub const CHAPTERS_SINCE: u32 = 2;

/// The revision that began to remember which attempts at loading are not fenced off (ADR 40).
pub const UNFENCED_SINCE: u32 = 4;
