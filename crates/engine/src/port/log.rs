//! The log: the truth. Records by partition, in the order in which they landed.
//!
//! Contract:
//! 1. Offsets of a partition begin at 0 and are dense. A record once landed never changes, moves or disappears.
//! 2. When `append` returned, all its records are durable, in the given order within each partition, without
//!    another's between those of one partition. When it failed, each may have landed or not (the caller is in
//!    doubt and reads).
//! 3. `read` gives records in order, from the offset on, without a hole, at most `records_max`; none only at the
//!    end. A record that `read` gave once is there for ever, after a crash too.
//! 4. The log knows nothing of what is in a record: it neither parses nor refuses.
//!
//! A **mirror** of a log that is elsewhere has its accepted records only, at their offsets there. In it offsets ascend
//! and are not dense (1, 3), its end is where the last accepted record was read, and `append` is refused.

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("expected partition {partition} of {partitions}")]
    NoSuchPartition { partition: u32, partitions: u32 },
    #[error("expected to append to the log, but this is its mirror")]
    Mirror,
    #[error("failed to reach the log")]
    Io(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A record and where it landed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Landed {
    pub offset: u64,
    pub bytes: Vec<u8>,
}

/// Records for the end of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    pub partition: u32,
    pub records: Vec<Vec<u8>>,
}

pub trait Log: Send + Sync + std::fmt::Debug {
    /// How many partitions there are, fixed for the log's life.
    fn partitions(&self) -> u32;
    /// The offset that the next record of the partition will get.
    fn end(&self, partition: u32) -> Result<u64, Error>;
    fn append(&self, appends: &[Append]) -> Result<(), Error>;
    fn read(&self, partition: u32, from: u64, records_max: usize) -> Result<Vec<Landed>, Error>;
    /// Whether only one process at a time can write to it. Such a log ends with a record that was accepted: one at its
    /// end that does not follow is damage, not somebody's who was replaced.
    fn has_one_writer(&self) -> bool {
        false
    }
}
