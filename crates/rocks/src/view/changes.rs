//! From what the view is behind by to one batch: which keys of the view appear, change and go.

use std::collections::BTreeMap;

use domain::name::RunId;
use engine::port::row::RunRow;
use engine::port::store::{Commit, Error, RequestRow};
use rocksdb::{ColumnFamily, DB, WriteBatch};

use super::behind::Behind;
use super::{corrupt, keys, read, rows};
use crate::bytes::{Reader, put_bytes, put_number, u64_at};
use crate::error;

/// Batches whose answers one batch may drop: the rest waits for the next.
const ANSWERED_DROPPED_MAX: usize = 64;

/// Of how many runs it is remembered under which keys the indexes have them; of others it is read.
const PLACES_MAX: usize = 16_384;

/// Where the view stands, as whoever writes it must know.
#[derive(Debug, Clone, Default)]
pub(crate) struct Standing {
    /// By partition, the log's id and the last `seq`.
    heads: BTreeMap<u32, ([u8; 16], u64)>,
    /// By partition, the key of the first batch whose answers may still be there.
    answered_from: BTreeMap<u32, Vec<u8>>,
    /// What of a run's row changes its keys, as it was written last.
    places: BTreeMap<RunId, Place>,
}

/// What of a run's row changes its index keys in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    state: String,
    ended: bool,
}

/// What a batch changes of [`Standing`], once it is written.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    answered_from: BTreeMap<u32, Vec<u8>>,
    places: Vec<(RunId, Place)>,
}

impl Standing {
    pub(crate) fn read(db: &DB, family: &ColumnFamily) -> Result<Self, error::Error> {
        let mut standing = Self::default();
        let mut iterator = db.raw_iterator_cf(family);
        iterator.seek(keys::HEADS);
        let damaged = |_| error::Error::damaged(db.path(), "heads of the view that read back");
        while let Some((key, value)) = iterator.item() {
            let Some(partition) = key.strip_prefix(keys::HEADS) else { break };
            let partition = Reader::new(partition).array().map(u32::from_be_bytes).map_err(damaged)?;
            let head = rows::decode_head(value).map_err(damaged)?;
            standing.heads.insert(partition, (head.log_id, head.seq));
            iterator.next();
        }
        iterator.status().map_err(error::Error::Read)?;
        Ok(standing)
    }

    /// Takes over where commits lead that were accepted.
    pub(crate) fn advance(&mut self, commits: &[Commit]) {
        for commit in commits {
            self.heads.insert(commit.partition, (commit.head.log_id, commit.head.seq));
        }
    }

    /// Takes over what was written.
    pub(crate) fn follow(&mut self, moved: Moved) {
        self.answered_from.extend(moved.answered_from);
        if self.places.len() > PLACES_MAX {
            self.places.clear();
        }
        for (run, place) in moved.places {
            if place.ended {
                self.places.remove(&run);
            } else {
                self.places.insert(run, place);
            }
        }
    }

    /// Refuses commits that are of another log or do not follow.
    pub(crate) fn check(&self, commits: &[Commit]) -> Result<(), Error> {
        let mut within: BTreeMap<u32, ([u8; 16], u64)> = BTreeMap::new();
        for commit in commits {
            let partition = commit.partition;
            let stands_at = match within.get(&partition).or_else(|| self.heads.get(&partition)) {
                Some((log_id, _)) if *log_id != commit.head.log_id => {
                    return Err(Error::Foreign { partition });
                }
                Some((_, seq)) => *seq,
                None => 0,
            };
            if stands_at != commit.after {
                return Err(Error::OutOfOrder { partition, stands_at, found: commit.after });
            }
            within.insert(partition, (commit.head.log_id, commit.head.seq));
        }
        Ok(())
    }
}

/// Puts all that the view is behind by; gives what moves once the batch is written.
pub(crate) fn put(
    batch: &mut WriteBatch,
    db: &DB,
    family: &ColumnFamily,
    standing: &Standing,
    behind: &Behind,
) -> Result<Moved, Error> {
    let mut moved = Moved::default();
    // Drops come first: what is answered again must outlive the bound.
    for (partition, from) in &behind.requests_from {
        drop_answers(batch, db, family, standing, &mut moved, *partition, *from)?;
    }
    for ((partition, stream), places) in &behind.streams {
        let Some((first, _)) = places.first() else { continue };
        let mut key = keys::stream(*partition, stream);
        key.extend_from_slice(&first.to_be_bytes());
        let mut value = Vec::with_capacity(places.len() * 4);
        for (seq, offset) in places {
            put_number(&mut value, *seq);
            put_number(&mut value, *offset);
        }
        batch.put_cf(family, key, value);
    }
    for (partition, answered) in &behind.requests {
        put_answers(batch, family, *partition, behind.heads[partition].next_offset, answered);
    }
    for row in behind.runs.values() {
        let former = match standing.places.get(&row.run) {
            Some(place) => Some(place.clone()),
            // Its first record: nothing of it was written before.
            None if row.transitions == 1 => None,
            None => written_place(db, family, row)?,
        };
        moved.places.push((row.run, put_run(batch, family, row, former)));
    }
    for row in behind.targets.values() {
        batch.put_cf(family, keys::target(&row.target), row.to_bytes());
    }
    for (partition, head) in &behind.heads {
        batch.put_cf(family, keys::head(*partition), rows::encode_head(head));
    }
    Ok(moved)
}

fn written_place(db: &DB, family: &ColumnFamily, row: &RunRow) -> Result<Option<Place>, Error> {
    let former = db.get_pinned_cf(family, keys::run(row.run)).map_err(read)?;
    let former = former.map(|former| RunRow::from_bytes(&former).map_err(corrupt)).transpose()?;
    Ok(former.map(|former| Place { state: former.state, ended: former.ended }))
}

/// Puts the row, and of its index keys those that appear and go.
fn put_run(batch: &mut WriteBatch, family: &ColumnFamily, row: &RunRow, former: Option<Place>) -> Place {
    batch.put_cf(family, keys::run(row.run), row.to_bytes());
    let place = Place { state: row.state.clone(), ended: row.ended };
    if former.as_ref() == Some(&place) {
        return place;
    }
    // All else that the keys are made of stands since the run began.
    let before = former.map(|former| keys::indexes(row, &former.state, former.ended)).unwrap_or_default();
    let after = keys::indexes(row, &row.state, row.ended);
    for key in before.iter().filter(|key| !after.contains(key)) {
        batch.delete_cf(family, key);
    }
    for key in after.iter().filter(|key| !before.contains(key)) {
        batch.put_cf(family, key, []);
    }
    place
}

fn put_answers(
    batch: &mut WriteBatch,
    family: &ColumnFamily,
    partition: u32,
    next_offset: u64,
    answered: &BTreeMap<String, RequestRow>,
) {
    let mut ids = vec![];
    let mut seq = 0;
    for row in answered.values() {
        batch.put_cf(family, keys::request(partition, &row.input_id), rows::encode_request(row));
        put_bytes(&mut ids, row.input_id.as_bytes());
        seq = seq.max(row.seq);
    }
    let mut key = keys::answered(partition);
    key.extend_from_slice(&seq.to_be_bytes());
    key.extend_from_slice(&next_offset.to_be_bytes());
    batch.put_cf(family, key, ids);
}

/// Drops request rows below `requests_from`, a bounded number of batches at a time.
fn drop_answers(
    batch: &mut WriteBatch,
    db: &DB,
    family: &ColumnFamily,
    standing: &Standing,
    moved: &mut Moved,
    partition: u32,
    requests_from: u64,
) -> Result<(), Error> {
    if requests_from == 0 {
        return Ok(());
    }
    let prefix = keys::answered(partition);
    let stands_at = || standing.answered_from.get(&partition).unwrap_or(&prefix).clone();
    let from = moved.answered_from.entry(partition).or_insert_with(stands_at);
    // Nothing below the bound is left: not even a look is needed.
    if from.len() > prefix.len() && u64_at(from, prefix.len()).map_err(corrupt)? >= requests_from {
        return Ok(());
    }
    let mut iterator = db.raw_iterator_cf(family);
    iterator.seek(&*from);
    for _ in 0..ANSWERED_DROPPED_MAX {
        let Some((key, ids)) = iterator.item().filter(|(key, _)| key.starts_with(&prefix)) else { break };
        from.clear();
        from.extend_from_slice(key);
        if u64_at(key, prefix.len()).map_err(corrupt)? >= requests_from {
            break;
        }
        let mut ids = Reader::new(ids);
        while ids.end().is_err() {
            let id = ids.text().map_err(corrupt)?;
            let key = keys::request(partition, id);
            let Some(row) = db.get_pinned_cf(family, &key).map_err(read)? else { continue };
            // The same id may have been answered again since.
            let row = rows::decode_request(id, &row).map_err(corrupt)?;
            if row.seq < requests_from {
                batch.delete_cf(family, key);
            }
        }
        batch.delete_cf(family, key);
        iterator.next();
    }
    iterator.status().map_err(read)
}
