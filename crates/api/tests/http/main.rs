//! The whole API in one process: requests against the router, over an engine and its ports in memory.

#![expect(clippy::unwrap_used, reason = "a test may end by it; the lint knows test functions only")]

mod access;
mod delivery;
mod refusals;
mod stream;
mod world;
