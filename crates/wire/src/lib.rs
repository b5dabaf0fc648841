//! Bytes to domain and back.

#[macro_use]
pub mod codec;
pub mod generated;
pub mod record;
