//! `HEAD`: how far each partition of the log was acknowledged, kept outside the database.
//!
//! ```text
//!  HEAD = slot | slot      slot (4 KiB) = check(8) generation(8) length(4) { end(8) hash(32) } per partition
//! ```
//!
//! After every acknowledged write the newest slot is overwritten (no sync), and at most every
//! [`SYNC_EVERY`] and on closing it is synced; only then does the next write go to the other slot. So at any
//! moment at least one slot is whole on the disk, and after `kill -9` the newest one is exact.
//!
//! **What it protects.** RocksDB tolerates a torn tail of its write-ahead log, for such a tail was never
//! acknowledged; it cannot tell that from a log which lost acknowledged records: a WAL file deleted or cut at a
//! record's border, `log/` put back from an older copy, a disk that swallowed a sync. At opening a log that does
//! not hold the guarded record of each partition is refused.
//!
//! **What it does not.** After a power cut the guard may be [`SYNC_EVERY`] (and the writes of that moment)
//! behind: a loss of just these is not seen. Nor is a whole folder put back together, `HEAD` included; a
//! consumer that remembers a greater `seq` than the log has sees that.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use domain::name::Digest;

use engine::fail::{self, Point, Safety};

use crate::bytes::{Malformed, Reader};
use crate::error::Error;

/// The longest time for which an acknowledged write may be unguarded after a power cut, while writes go on.
const SYNC_EVERY: Duration = Duration::from_millis(200);
/// The file's name in the data folder.
pub(crate) const NAME: &str = "HEAD";
const SLOT_BYTES: usize = 4096;
const ENTRY_BYTES: usize = 40;
/// So many fit into a slot.
pub(crate) const PARTITIONS_MAX: u32 = ((SLOT_BYTES - 20) / ENTRY_BYTES) as u32;

/// How far one partition is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    /// The offset behind the last acknowledged record.
    pub(crate) end: u64,
    /// The SHA-256 of that record; of nothing when there is none.
    pub(crate) hash: Digest,
}

#[derive(Debug)]
pub(crate) struct Guard {
    file: File,
    path: PathBuf,
    generation: u64,
    synced_at: Instant,
    dirty: bool,
}

impl Guard {
    /// Opens the guard, with what it guards: nothing when it was never written.
    pub(crate) fn open(folder: &Path) -> Result<(Self, Option<Vec<Acknowledged>>), Error> {
        let path = folder.join(NAME);
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = opened.map_err(|source| Error::Unusable { path: path.clone(), source })?;
        // The next write goes to the other slot: what was read must be on the disk first.
        let read = file.sync_data().and_then(|()| newest(&file));
        let newest = read.map_err(|source| Error::Unusable { path: path.clone(), source })?;
        let empty = file.metadata().is_ok_and(|meta| meta.len() == 0);
        if newest.is_none() && !empty {
            return Err(Error::damaged(path, "an acknowledged head that reads back"));
        }
        let (generation, acknowledged) = newest.unzip();
        let generation = generation.unwrap_or_default() + 1;
        Ok((Self { file, path, generation, synced_at: Instant::now(), dirty: false }, acknowledged))
    }

    /// Notes what is acknowledged from now on.
    pub(crate) fn note(&mut self, partitions: &[Acknowledged]) -> Result<(), Error> {
        let slot = encode(self.generation, partitions);
        let place = self.generation % 2 * SLOT_BYTES as u64;
        self.file.write_all_at(&slot, place).map_err(|source| self.failed(source))?;
        self.dirty = true;
        if self.synced_at.elapsed() >= SYNC_EVERY { self.sync() } else { Ok(()) }
    }

    /// Makes the last note durable.
    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        if self.dirty {
            fail::at(Point::G1);
            if !fail::is_off(Safety::Sync) {
                self.file.sync_data().map_err(|source| self.failed(source))?;
            }
            self.generation += 1;
            self.dirty = false;
        }
        self.synced_at = Instant::now();
        Ok(())
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::Head { path: self.path.clone(), source }
    }
}

/// What a folder's guard says, without touching it; nothing when it was never written.
pub(crate) fn read(folder: &Path) -> Result<Option<Vec<Acknowledged>>, Error> {
    let path = folder.join(NAME);
    let read = File::open(&path).and_then(|file| newest(&file));
    let newest = read.map_err(|source| Error::Unusable { path, source })?;
    Ok(newest.map(|(_, acknowledged)| acknowledged))
}

/// A guard of its own for a copy of the log.
pub(crate) fn write_new(folder: &Path, partitions: &[Acknowledged]) -> Result<(), Error> {
    let (mut guard, _) = Guard::open(folder)?;
    guard.note(partitions)?;
    guard.sync()
}

fn newest(file: &File) -> io::Result<Option<(u64, Vec<Acknowledged>)>> {
    let mut slots = vec![];
    for place in [0, SLOT_BYTES as u64] {
        let mut slot = vec![0; SLOT_BYTES];
        let read = read_up_to(file, &mut slot, place)?;
        slots.extend(decode(&slot[..read]).ok());
    }
    Ok(slots.into_iter().max_by_key(|(generation, _)| *generation))
}

fn read_up_to(file: &File, slot: &mut [u8], place: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < slot.len() {
        match file.read_at(&mut slot[filled..], place + filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

fn encode(generation: u64, partitions: &[Acknowledged]) -> Vec<u8> {
    let mut body = Vec::with_capacity(12 + partitions.len() * ENTRY_BYTES);
    body.extend_from_slice(&generation.to_be_bytes());
    body.extend_from_slice(&(partitions.len() as u32).to_be_bytes());
    for partition in partitions {
        body.extend_from_slice(&partition.end.to_be_bytes());
        body.extend_from_slice(&partition.hash.0);
    }
    let mut slot = check(&body).to_vec();
    slot.extend_from_slice(&body);
    slot
}

pub(crate) fn decode(slot: &[u8]) -> Result<(u64, Vec<Acknowledged>), Malformed> {
    let mut reader = Reader::new(slot);
    let expected = reader.array::<8>()?;
    let mut ahead = Reader::new(&slot[8..]);
    let generation = u64::from_be_bytes(ahead.array()?);
    let count = u32::from_be_bytes(ahead.array()?);
    if count > PARTITIONS_MAX {
        return Err(Malformed("fewer partitions"));
    }
    let body = reader.take(12 + count as usize * ENTRY_BYTES)?;
    if check(body) != expected {
        return Err(Malformed("a matching check"));
    }
    let entry =
        |_| Ok(Acknowledged { end: u64::from_be_bytes(ahead.array()?), hash: Digest(ahead.array()?) });
    Ok((generation, (0..count).map(entry).collect::<Result<_, _>>()?))
}

fn check(body: &[u8]) -> [u8; 8] {
    let mut check = [0; 8];
    check.copy_from_slice(&Digest::of(body).0[..8]);
    check
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acknowledged(end: u64) -> Vec<Acknowledged> {
        vec![Acknowledged { end, hash: Digest::of(&end.to_be_bytes()) }; 3]
    }

    #[test]
    fn the_last_note_comes_back_and_a_torn_one_falls_back_to_the_synced_one() {
        let folder = tempfile::tempdir().unwrap();
        let (mut guard, before) = Guard::open(folder.path()).unwrap();
        assert_eq!(before, None);
        guard.note(&acknowledged(1)).unwrap();
        guard.sync().unwrap();
        guard.note(&acknowledged(2)).unwrap();
        guard.note(&acknowledged(3)).unwrap();
        let torn = guard.generation % 2 * SLOT_BYTES as u64 + 30;
        drop(guard);
        let (guard, found) = Guard::open(folder.path()).unwrap();
        assert_eq!(found, Some(acknowledged(3)));
        guard.file.write_all_at(b"torn", torn).unwrap();
        let (guard, found) = Guard::open(folder.path()).unwrap();
        assert_eq!(found, Some(acknowledged(1)));
        guard.file.write_all_at(&[7; 2 * SLOT_BYTES], 0).unwrap();
        assert_eq!(Guard::open(folder.path()).unwrap_err().code(), "DATA_DAMAGED");
    }
}
