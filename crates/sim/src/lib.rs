//! The simulator: the real engine and the real worker hosts over a simulated world, driven by one queue of
//! (virtual time, event).
//!
//! ```text
//!   chance(seed) -> script: workflows, triggers, people, faults
//!        |
//!   queue -> driver -> Engine (real) -> Disk (loses, fails)      every write -> checker: folds the log by itself
//!               |        Desk (real)  -> fake gateways, servers  every effect -> ledger: fences, counts
//!               +-- calm phase: no faults, people approve: every run must end or be live
//! ```
//!
//! **Invariant:** one seed gives one trace. No clock, no threads, no randomness but the seed's.
//!
//! Each guard has a run without it ([`Sabotage`]) that must be found out.

mod calm;
mod chance;
mod checker;
mod clients;
mod cluster;
mod defects;
mod disk;
mod journal;
mod options;
mod outside;
mod people;
mod process;
mod script;
mod storm;
mod workers;
mod world;

#[cfg(test)]
mod tests;

pub use options::{Fault, Options, Report, Sabotage, Violation};

/// Plays the story of a seed with one embedded process, and says what happened in it, or what did not hold.
pub fn embedded(seed: u64, options: &Options) -> Result<Report, Box<Violation>> {
    world::World::new(seed, *options).play()
}

/// The same with several processes over one log.
pub fn cluster(seed: u64, options: &Options) -> Result<Report, Box<Violation>> {
    cluster::Cluster::new(seed, *options).play()
}
