//! Ports in memory: for tests, the simulator, and wherever durability is not asked for.

mod blobs;
mod clock;
mod embedded;
mod journal;
mod predictions;

pub use blobs::Blobs;
pub use clock::Clock;
pub use embedded::Embedded;
pub use journal::Journal;
pub use predictions::Predictions;
