//! The orders of a rollout: say what it will take, prepare servers, move traffic, measure both arms.
//!
//! **Invariant:** each order is absolute and takes seconds: a rollback never stands behind a wait.

pub(crate) mod apply;
pub(crate) mod measure;
pub(crate) mod plan;
pub(crate) mod prepare;

#[cfg(test)]
mod tests;
