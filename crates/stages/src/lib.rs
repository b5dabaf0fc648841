//! (stages)
