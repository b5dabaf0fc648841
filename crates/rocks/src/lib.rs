//! (rocks)
