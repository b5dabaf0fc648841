//! Joins predictions and labels of a target: both are sorted by the same place, so one step of each suffices.

use domain::name::{Digest, TargetId};
use domain::time::Timestamp;
use engine::port::predictions::{Error, Prediction};
use rocksdb::{ColumnFamily, DB, ReadOptions};

use super::{malformed, read, rows};

/// Read ahead of the place in the table, for ranges that are longer than the cache.
const READ_AHEAD_BYTES: usize = 1 << 20;

/// What to visit.
#[derive(Debug)]
pub(super) struct Range<'a> {
    pub(super) target: &'a TargetId,
    pub(super) number: u32,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) bundles: &'a [Digest],
}

pub(super) fn scan(
    db: &DB,
    (predictions, labels): (&ColumnFamily, &ColumnFamily),
    range: &Range<'_>,
    visit: &mut dyn FnMut(&Prediction, Option<f64>),
) -> Result<(), Error> {
    let snapshot = db.snapshot();
    let options = || {
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(rows::edge(range.number, range.to));
        options.set_readahead_size(READ_AHEAD_BYTES);
        // A scan of days must not push out what request ids need.
        options.fill_cache(false);
        options
    };
    let first = rows::edge(range.number, range.from);
    let mut found = snapshot.raw_iterator_cf_opt(predictions, options());
    let mut beside = snapshot.raw_iterator_cf_opt(labels, options());
    found.seek(first);
    beside.seek(first);
    let mut row = rows::blank(range.target);
    while let Some((place, bytes)) = found.item() {
        rows::decode(&mut row, place, bytes, range.bundles).map_err(malformed)?;
        while beside.key().is_some_and(|label| label < place) {
            beside.next();
        }
        let label = match beside.item() {
            Some((key, value)) if key == place => Some(rows::decode_value(value).map_err(malformed)?),
            _ => None,
        };
        visit(&row, label);
        found.next();
    }
    beside.status().map_err(read)?;
    found.status().map_err(read)
}
