//! Tests of the whole: `house` holds the repository to what its documents say, `process` runs the real binary,
//! `kafka` starts brokers, `corpus` replays what fuzzing kept.

#[cfg(test)]
#[path = "../../crates/cli/src/config/mod.rs"]
#[allow(dead_code, unreachable_pub, reason = "the command line, whose it is, uses all of it")]
mod config;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod house;
#[cfg(test)]
mod kafka;
#[cfg(test)]
mod process;
