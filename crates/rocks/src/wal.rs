//! Write-ahead logs that are behind another: none of them may end too early.
//!
//! RocksDB takes a last record that is longer than its file for one that was never acknowledged, in every log that it
//! recovers, and goes on with the next log. In the newest log `guard` sees what such a record hides. In an older one a
//! flipped bit in a length would drop acknowledged batches from the middle, and the view would be wrong from then on.
//! Their numbers tell: a log that ends in mid-record and is not followed by the next number lost something.
//!
//! ```text
//!  log = blocks of 32 KiB of pieces       piece = check(4) length(2) kind(1) bytes      batch = number(8) count(4) ..
//! ```
//!
//! Knows the oldest form of pieces only, which is what we write; anything else is left to RocksDB.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Error;

const BLOCK_BYTES: usize = 32 << 10;
const HEAD_BYTES: usize = 7;
/// Number and count of a batch.
const BATCH_BYTES: usize = 12;

const WHOLE: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;

/// What the batches of a log say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Numbers {
    /// Of the first batch.
    first: Option<u64>,
    /// Of the batch that must follow the last whole one.
    next: Option<u64>,
    /// It ends within a piece.
    is_torn: bool,
}

/// Refuses logs of which one lost its end though another follows.
pub(crate) fn check(folder: &Path) -> Result<(), Error> {
    let unusable = |source| Error::Unusable { path: folder.to_owned(), source };
    let mut logs: Vec<(u64, PathBuf)> = vec![];
    for entry in fs::read_dir(folder).map_err(unusable)? {
        let path = entry.map_err(unusable)?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        if let Some(number) = number.filter(|_| path.extension().is_some_and(|extension| extension == "log"))
        {
            logs.push((number, path));
        }
    }
    logs.sort();
    let mut former: Option<(PathBuf, u64)> = None;
    for (_, path) in logs {
        let numbers = numbers(&fs::read(&path).map_err(unusable)?);
        if let (Some((torn, next)), Some(first)) = (former.take(), numbers.first)
            && first > next
        {
            return Err(Error::damaged(torn, "a write-ahead log that is whole, for another follows it"));
        }
        former = numbers.next.filter(|_| numbers.is_torn).map(|next| (path, next));
    }
    Ok(())
}

fn numbers(log: &[u8]) -> Numbers {
    let mut numbers = Numbers::default();
    let mut begun = None;
    let mut at = 0;
    while at < log.len() {
        let left = BLOCK_BYTES - at % BLOCK_BYTES;
        if left < HEAD_BYTES {
            at += left;
            continue;
        }
        let Some(head) = log.get(at..at + HEAD_BYTES) else {
            numbers.is_torn = true;
            break;
        };
        let (length, kind) = (usize::from(u16::from_le_bytes([head[4], head[5]])), head[6]);
        if kind == 0 && length == 0 {
            break;
        }
        let piece = log.get(at + HEAD_BYTES..at + HEAD_BYTES + length);
        let Some(piece) = piece.filter(|_| HEAD_BYTES + length <= left) else {
            numbers.is_torn = true;
            break;
        };
        if matches!(kind, WHOLE | FIRST) {
            begun = batch(piece);
            numbers.first = numbers.first.or(begun.map(|(number, _)| number));
        }
        match kind {
            WHOLE | LAST => numbers.next = begun.take().map(|(number, count)| number + u64::from(count)),
            FIRST | MIDDLE => {}
            _ => return Numbers::default(),
        }
        at += HEAD_BYTES + length;
    }
    numbers
}

fn batch(piece: &[u8]) -> Option<(u64, u32)> {
    let (number, count) = piece.get(..BATCH_BYTES)?.split_at(8);
    Some((u64::from_le_bytes(number.try_into().ok()?), u32::from_le_bytes(count.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(kind: u8, number: u64, count: u32) -> Vec<u8> {
        let body = [&number.to_le_bytes()[..], &count.to_le_bytes(), b"puts"].concat();
        [&[0; 4][..], &(body.len() as u16).to_le_bytes(), &[kind], &body].concat()
    }

    #[test]
    fn a_torn_log_is_refused_only_when_the_next_one_does_not_follow() {
        let whole = [piece(WHOLE, 5, 2), piece(WHOLE, 7, 3)].concat();
        assert_eq!(numbers(&whole), Numbers { first: Some(5), next: Some(10), is_torn: false });
        let torn = &whole[..whole.len() - 1];
        assert_eq!(numbers(torn), Numbers { first: Some(5), next: Some(7), is_torn: true });
        assert_eq!(numbers(&[torn, &[0; 50]].concat()).next, Some(10), "its length fits again");
        assert_eq!(numbers(&piece(130, 1, 1)), Numbers::default(), "a form that is not ours");

        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
        put("000009.log", torn);
        assert!(check(folder.path()).is_ok(), "the newest one may be torn");
        put("000010.log", &[]);
        assert!(check(folder.path()).is_ok(), "nothing was written behind it");
        put("000010.log", &piece(WHOLE, 7, 1));
        assert!(check(folder.path()).is_ok(), "what was torn was never acknowledged");
        put("000010.log", &piece(WHOLE, 10, 1));
        assert_eq!(check(folder.path()).unwrap_err().code(), "DATA_DAMAGED");
        put("000009.log", &whole);
        assert!(check(folder.path()).is_ok());
    }
}
