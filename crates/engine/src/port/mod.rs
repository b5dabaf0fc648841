//! The ports: what the engine and the workers need of the world, each with a written contract, a memory
//! implementation and a contract suite that every implementation must pass.

pub mod blobs;
pub mod predictions;
