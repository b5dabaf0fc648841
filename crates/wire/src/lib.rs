//! Bytes to domain and back.

// Before the others: its shapes of conversion are macros.
#[macro_use]
pub mod codec;
pub mod definitions;
mod fields;
pub mod generated;
pub mod message;
pub mod problem;
pub mod record;
pub mod roles;
pub mod rule;
pub mod trained;
mod tree;
pub mod workflow;
mod yaml;
