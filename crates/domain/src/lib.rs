//! The pure core: what a delivery of a model is, decided and folded without clock, I/O or chance.
//!
//! Reads like the specification of a delivery process. `decide` says what shall happen, `evolve` what is true,
//! `effects` what the world must be doing about it.
//!
//! **Invariant:** the same log folds to the same state, and the same input on the same state gives the same
//! decision, on every machine. Nothing here reads a clock, an environment, a file or a hash map.

pub mod chapter;
pub mod check;
pub mod decider;
pub mod definition;
pub mod effect;
pub mod evidence;
pub mod invariant;
pub mod model;
pub mod name;
pub mod quarantine;
pub mod refusal;
pub mod roles;
pub mod routes;
pub mod rule;
pub mod run;
pub mod target;
pub mod time;
pub mod transition;

#[cfg(test)]
mod tests;
pub mod verdict;
pub mod weight;
pub mod work;
pub mod workflow;
