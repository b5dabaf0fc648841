//! The program as people run it: the real binary, its API, its gateway and its command line, on loopback only.
//!
//! **Invariant:** nothing here waits by sleeping a fixed time and hoping: it waits for a condition, with a deadline.

pub(crate) mod asking;
mod backups;
mod bad_bytes;
mod bad_input;
mod bench;
pub(crate) mod callers;
mod commands;
mod disk;
mod drain;
mod flips;
mod folder;
mod kills;
pub(crate) mod ledger;
pub(crate) mod light;
pub(crate) mod place;
mod power;
pub(crate) mod random;
pub(crate) mod registry;
pub(crate) mod report;
mod restarts;
pub(crate) mod workload;

pub(crate) use asking::http;
pub(crate) use place::{binary, examples};
