//! Distributed mode against a real Apache Kafka: topics, security, faults of brokers.
//!
//! **Invariant:** nothing here waits by sleeping a fixed time and hoping: it waits for a condition, with a deadline.

pub(crate) mod cluster;

mod commands;
mod conformance;
mod engines;
mod fleet;
mod matrix;
mod members;
mod moving;
mod nodes;
mod planes;
mod proxy;
mod publishing;
mod python;
mod refused;
mod registry;
mod security;
mod strangers;
mod topics;
mod vandal;
mod workers;
