//! The data folder against the contracts of its ports, against `kill -9` and failing writes, and against every
//! way in which a folder can be wrong. The binary starts itself again as the process that is killed.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

#[path = "rocks/backups.rs"]
mod backups;
#[path = "rocks/contracts.rs"]
mod contracts;
#[path = "rocks/folders.rs"]
mod folders;
#[path = "rocks/kills.rs"]
mod kills;
#[path = "rocks/mirrors.rs"]
mod mirrors;
#[path = "rocks/replays.rs"]
mod replays;
#[path = "rocks/samples.rs"]
mod samples;
