//! Contract suites: one function per port, run against every implementation. Each takes a factory that gives a
//! fresh, empty one, and panics with the clause that was broken.

mod blobs;
mod embedded;
mod journal;
mod log;
mod predictions;
mod samples;
mod store;

pub use blobs::blobs;
pub use embedded::embedded;
pub use journal::journal;
pub use log::log;
pub use predictions::predictions;
pub use store::{mirror, store};

#[cfg(test)]
mod tests {
    use crate::port::memory;

    #[test]
    fn memory_keeps_every_contract() {
        super::blobs(memory::Blobs::default);
        super::journal(memory::Journal::default);
        super::predictions(memory::Predictions::default);
        super::log(|| memory::Embedded::new(2));
        super::store(|| memory::Embedded::new(2));
        super::embedded(|| memory::Embedded::new(2));
    }
}
