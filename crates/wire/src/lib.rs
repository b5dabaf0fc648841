//! Bytes to domain and back.

// Before the others: its shapes of conversion are macros.
#[macro_use]
pub mod codec;
pub mod generated;
pub mod record;
mod fields;
pub mod definitions;
pub mod problem;
pub mod roles;
pub mod rule;
pub mod trained;
mod tree;
pub mod workflow;
mod yaml;
