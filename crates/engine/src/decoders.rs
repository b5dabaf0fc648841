//! The readers of what the engine keeps outside of the log, given any bytes: for `tests/fuzz`.
//!
//! **Invariant:** whatever the bytes are, each reader ends in a value or in an error, and what was read is written
//! and read again as the same.

use domain::name::AttemptId;

use crate::desk::answer;
use crate::port::row::{RunRow, TargetRow};

/// A worker's answer, as the journal of a desk keeps it.
pub fn answer(bytes: &[u8], attempt: &AttemptId) -> bool {
    let Ok(read) = answer::decode(attempt, bytes) else { return false };
    // Bytes and not values: a NaN is equal to nothing.
    let written = answer::encode(&read);
    let again = answer::decode(attempt, &written).expect("what was written is read");
    assert!(answer::encode(&again) == written, "an answer changed on its way: {read:?} and {again:?}");
    true
}

/// The summary row of a run or a target.
pub fn row(bytes: &[u8]) -> bool {
    let run = RunRow::from_bytes(bytes).ok().map(|row| (RunRow::from_bytes(&row.to_bytes()).ok(), row));
    let target =
        TargetRow::from_bytes(bytes).ok().map(|row| (TargetRow::from_bytes(&row.to_bytes()).ok(), row));
    if let Some((again, row)) = &run {
        assert!(again.as_ref() == Some(row), "a row changed on its way: {row:?} and {again:?}");
    }
    if let Some((again, row)) = &target {
        assert!(again.as_ref() == Some(row), "a row changed on its way: {row:?} and {again:?}");
    }
    run.is_some() || target.is_some()
}
