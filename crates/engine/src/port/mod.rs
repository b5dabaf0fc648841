//! The ports: what the engine and the workers need of the world, each with a written contract, a memory
//! implementation ([`memory`]) and a contract suite ([`suite`]) that every implementation must pass.
//!
//! All are synchronous: threads and runtimes live in the drivers.

pub mod blobs;
pub mod clock;
pub mod journal;
pub mod log;
pub mod predictions;
pub mod row;
pub mod store;

pub mod memory;
pub mod suite;
