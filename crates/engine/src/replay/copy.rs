//! Copies a partition from one log to another: its accepted records, byte for byte, checked by the rule of every reader.
//!
//! **Invariant:** whenever it ends, what is in the other log is the beginning of this one. So a copy that was cut short
//! goes on when it is called again, and one that met another log changed nothing.

use wire::codec::Parsers;

use super::read::{Step, landed};
use super::{ReadError, Reader};
use crate::chain::{self, Identity};
use crate::port::log::{self, Append, Landed, Log};
use crate::port::store::Head;

/// How many records are written at once.
const RECORDS_MAX: usize = 256;

/// What was copied of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// Of the log that was read.
    pub head: Head,
    /// How many records were not there yet.
    pub records: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("failed to reach the log that is copied to")]
    Write(#[from] log::Error),
    #[error(
        "expected the beginning of the log that is copied, but record {seq} of partition {partition} is another"
    )]
    Differs { partition: u32, seq: u64 },
    #[error(
        "expected at most the {known} records of partition {partition} that are copied, but there are {found}"
    )]
    Ahead { partition: u32, known: u64, found: u64 },
}

/// Copies what the other log does not have of the partition. `told` hears after each piece how many records it has.
pub fn copy(
    from: &dyn Log,
    to: &dyn Log,
    partition: u32,
    parsers: Parsers,
    mut told: impl FnMut(u64),
) -> Result<Copied, CopyError> {
    let identity = Identity { log_id: None, partition, partitions: from.partitions() };
    let mut reader = Reader::new(identity, parsers);
    let found = to.end(partition)?;
    let mut there = landed(to, partition);
    let mut piece = vec![];
    let mut copied = 0;
    for record in landed(from, partition) {
        let Landed { offset, bytes } = record.map_err(ReadError::from)?;
        if reader.read_at(offset, &bytes)? == Step::Loser {
            continue;
        }
        let seq = reader.head().seq;
        if seq <= found {
            let same = there.next().transpose()?.is_some_and(|landed| landed.bytes == bytes);
            if !same {
                return Err(CopyError::Differs { partition, seq });
            }
            continue;
        }
        piece.push(bytes);
        if piece.len() == RECORDS_MAX {
            copied += append(to, partition, &mut piece)?;
            told(seq);
        }
    }
    let head = reader.head().clone();
    if found > head.seq {
        return Err(CopyError::Ahead { partition, known: head.seq, found });
    }
    if from.has_one_writer() {
        let broken = |source| ReadError::Broken { after: head.seq, source };
        chain::one_writer_ends(head.seq, reader.losers_at_end()).map_err(broken)?;
    }
    copied += append(to, partition, &mut piece)?;
    told(head.seq);
    Ok(Copied { head, records: copied })
}

fn append(to: &dyn Log, partition: u32, piece: &mut Vec<Vec<u8>>) -> Result<u64, log::Error> {
    let records = std::mem::take(piece);
    let count = records.len() as u64;
    if count > 0 {
        to.append(&[Append { partition, records }])?;
    }
    Ok(count)
}
