//! The log in its column family, or a mirror of it: key = partition, offset; value = the record's bytes and nothing else.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::Ordering;

use domain::name::Digest;
use engine::port::log::{Append, Error, Landed, Log};
use engine::port::store;
use rocksdb::{ColumnFamily, DB, ReadOptions, WriteBatch};

use crate::bytes::u64_at;
use crate::database::Database;
use crate::error;
use crate::folder::Keeps;
use crate::guard::Acknowledged;

/// Of one call of `read`, whatever was asked for, so that a caller's `usize::MAX` does not reserve memory.
const RESERVED_RECORDS_MAX: usize = 4096;

/// Whoever asks for so many reads the log from one end to the other.
const SCAN_RECORDS_MIN: usize = 64;
/// Such a reader gets this much from the operating system at once.
const READAHEAD_BYTES: usize = 256 << 10;

pub(crate) fn key(partition: u32, offset: u64) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&partition.to_be_bytes());
    key[4..].copy_from_slice(&offset.to_be_bytes());
    key
}

/// How far a partition goes, as the database has it.
pub(crate) fn last(db: &DB, family: &ColumnFamily, partition: u32) -> Result<Acknowledged, error::Error> {
    let mut iterator = db.raw_iterator_cf(family);
    iterator.seek_for_prev(key(partition, u64::MAX));
    iterator.status().map_err(error::Error::Read)?;
    match iterator.item() {
        Some((found, record)) if found.starts_with(&partition.to_be_bytes()) => {
            let offset = u64_at(found, 4).map_err(|_| error::Error::damaged(db.path(), "keys of the log"))?;
            Ok(Acknowledged { end: offset + 1, hash: Digest::of(record) })
        }
        _ => Ok(Acknowledged { end: 0, hash: Digest::of(&[]) }),
    }
}

/// Puts records behind the acknowledged ones; gives the new ends and last records of the partitions touched.
pub(crate) fn put<'a>(
    batch: &mut WriteBatch,
    family: &ColumnFamily,
    acknowledged: &[Acknowledged],
    appends: &'a [Append],
) -> BTreeMap<u32, (u64, &'a [u8])> {
    let mut ends: BTreeMap<u32, (u64, &[u8])> = BTreeMap::new();
    for append in appends {
        for record in &append.records {
            let partition = append.partition;
            let former = ends.get(&partition).map(|(end, _)| *end);
            let offset = former.unwrap_or_else(|| acknowledged[partition as usize].end);
            batch.put_cf(family, key(partition, offset), record);
            ends.insert(partition, (offset + 1, record));
        }
    }
    ends
}

impl Database {
    /// Refuses a partition that the log does not have.
    pub(crate) fn check_partition(&self, partition: u32) -> Result<(), Error> {
        let partitions = self.ends().len() as u32;
        if partition < partitions { Ok(()) } else { Err(Error::NoSuchPartition { partition, partitions }) }
    }
}

impl Log for Database {
    fn partitions(&self) -> u32 {
        self.ends().len() as u32
    }

    fn end(&self, partition: u32) -> Result<u64, Error> {
        self.check_partition(partition)?;
        Ok(self.ends()[partition as usize].load(Ordering::Acquire))
    }

    fn has_one_writer(&self) -> bool {
        self.keeps() == Keeps::Log
    }

    fn append(&self, appends: &[Append]) -> Result<(), Error> {
        appends.iter().try_for_each(|append| self.check_partition(append.partition))?;
        if self.keeps() == Keeps::Mirror {
            return Err(Error::Mirror);
        }
        match self.write(appends, &[]) {
            Err(store::Error::Io(source)) => Err(Error::Io(source)),
            other => other.map_err(|error| Error::Io(error.into())),
        }
    }

    fn read(&self, partition: u32, from: u64, records_max: usize) -> Result<Vec<Landed>, Error> {
        let end = self.end(partition)?;
        read(self.db(), self.log_family(), partition, from..end, records_max, self.keeps())
            .map_err(|error| Error::Io(error.into()))
    }
}

/// The records of a partition at these offsets, at most so many. Only a mirror may have holes.
pub(crate) fn read(
    db: &DB,
    family: &ColumnFamily,
    partition: u32,
    offsets: Range<u64>,
    records_max: usize,
    keeps: Keeps,
) -> Result<Vec<Landed>, error::Error> {
    let Range { start: from, end } = offsets;
    let wanted = usize::try_from(end.saturating_sub(from)).unwrap_or(usize::MAX).min(records_max);
    let mut records = Vec::with_capacity(wanted.min(RESERVED_RECORDS_MAX));
    if wanted == 0 {
        return Ok(records);
    }
    let mut options = ReadOptions::default();
    options.set_iterate_upper_bound(key(partition, end));
    if wanted >= SCAN_RECORDS_MIN {
        // Whoever reads a log does so once: in large pieces, and without driving out what others read again.
        options.set_readahead_size(READAHEAD_BYTES);
        options.fill_cache(false);
    }
    let mut iterator = db.raw_iterator_cf_opt(family, options);
    iterator.seek(key(partition, from));
    while records.len() < wanted
        && let Some((found, bytes)) = iterator.item()
    {
        let offset = u64_at(found, 4).map_err(|_| error::Error::damaged(db.path(), "keys of the log"))?;
        if keeps == Keeps::Log && offset != from + records.len() as u64 {
            break;
        }
        records.push(Landed { offset, bytes: bytes.to_vec() });
        iterator.next();
    }
    iterator.status().map_err(error::Error::Read)?;
    if keeps == Keeps::Log && records.len() < wanted {
        return Err(error::Error::damaged(db.path(), "a log without holes"));
    }
    Ok(records)
}
