//! Every reader of rows and of files of the data folder, given any bytes: for `tests/fuzz`.
//!
//! **Invariant:** whatever the bytes are, each reader ends in a value or in an error.

use domain::name::{AttemptId, StreamId, TargetId};

use crate::predictions::rows as predictions;
use crate::view::{keys, rows};
use crate::{format, guard, journal};

/// How many of the readers took the bytes for their own.
pub fn take(bytes: &[u8], attempt: &AttemptId, target: &TargetId) -> usize {
    let (place, row) = bytes.split_at(bytes.len().min(PLACE_BYTES));
    let mut prediction = predictions::blank(target);
    let taken = [
        rows::decode_head(bytes).is_ok_and(|head| rows::encode_head(&head).len() <= bytes.len()),
        rows::decode_request("someone/key", bytes).is_ok(),
        rows::decode_kept(&StreamId::Definitions, bytes).is_ok(),
        keys::stream_of(bytes).is_ok(),
        keys::wake_of(bytes).is_ok(),
        journal::decode(attempt.clone(), bytes).is_ok(),
        predictions::decode_request(bytes).is_ok(),
        predictions::decode_value(bytes).is_ok(),
        predictions::decode(&mut prediction, place, row, &[domain::name::Digest::of(b"")]).is_ok(),
        guard::decode(bytes).is_ok(),
        format::parse(&String::from_utf8_lossy(bytes)).is_ok(),
    ];
    taken.into_iter().filter(|taken| *taken).count()
}

/// The place of a prediction that is answered under a UUID.
const PLACE_BYTES: usize = 29;
