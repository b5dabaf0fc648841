//! From what the view is behind by to one batch: which keys of the view appear, change and go.

use std::collections::BTreeMap;

use domain::name::StreamId;
use domain::time::Timestamp;
use engine::port::row::{self, RunRow, TargetRow};
use engine::port::store::{Commit, Error, RequestRow};
use rocksdb::{ColumnFamily, DB, WriteBatch};

use super::behind::Behind;
use super::{corrupt, keys, read, rows};
use crate::bytes::{Reader, put_bytes, put_number, u64_at};
use crate::error;

/// Batches whose answers one batch may drop: the rest waits for the next.
const ANSWERED_DROPPED_MAX: usize = 64;

/// Of how many streams it is remembered under which keys the indexes have them; of others it is read.
const PLACES_MAX: usize = 16_384;

/// Where the view stands, as whoever writes it must know.
#[derive(Debug, Clone, Default)]
pub(crate) struct Standing {
    /// By partition, the log's id and the last `seq`.
    heads: BTreeMap<u32, ([u8; 16], u64)>,
    /// By partition, the key of the first batch whose answers may still be there.
    answered_from: BTreeMap<u32, Vec<u8>>,
    /// What of a stream's row changes its keys, as it was written last.
    places: BTreeMap<StreamId, Place>,
}

/// What of a row changes its index keys in its life.
#[derive(Debug, Clone)]
struct Place {
    /// Of a run.
    state: Option<String>,
    is_open: bool,
    wake_at: Option<Timestamp>,
}

impl Place {
    fn of_run(row: &RunRow) -> Self {
        Self { state: Some(row.state.clone()), is_open: row.is_open(), wake_at: row.wake_at }
    }

    fn of_target(row: &TargetRow) -> Self {
        Self { state: None, is_open: row.is_open(), wake_at: row.wake_at }
    }
}

/// What a batch changes of [`Standing`], once it is written.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    answered_from: BTreeMap<u32, Vec<u8>>,
    /// Nothing of a run that has ended: it seldom changes again.
    places: Vec<(StreamId, Option<Place>)>,
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
        for (stream, place) in moved.places {
            match place {
                Some(place) => self.places.insert(stream, place),
                None => self.places.remove(&stream),
            };
        }
    }

    /// Refuses commits that are of another log or do not follow.
    pub(crate) fn check(&self, commits: &[Commit]) -> Result<(), Error> {
        let mut within: BTreeMap<u32, ([u8; 16], u64)> = BTreeMap::new();
        for commit in commits {
            debug_assert!(!commit.lacks_rows, "rows are added first");
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
        let stream = StreamId::Run(row.run);
        let former = match standing.places.get(&stream) {
            Some(place) => Some(place.clone()),
            // Its first record: nothing of it was written before.
            None if row.transitions == 1 => None,
            None => written(db, family, &keys::run(row.run), |bytes| {
                RunRow::from_bytes(bytes).map(|row| Place::of_run(&row))
            })?,
        };
        let place = put_run(batch, family, row, former.as_ref());
        moved.places.push((stream, (!row.ended).then_some(place)));
    }
    for row in behind.targets.values() {
        let (stream, key) = (StreamId::Target(row.target.clone()), keys::target(&row.target));
        let former = match standing.places.get(&stream) {
            Some(place) => Some(place.clone()),
            None => written(db, family, &key, |bytes| {
                TargetRow::from_bytes(bytes).map(|row| Place::of_target(&row))
            })?,
        };
        batch.put_cf(family, key, row.to_bytes());
        let place = Place::of_target(row);
        put_under_way(batch, family, row.partition, &stream, former.as_ref(), &place);
        moved.places.push((stream, Some(place)));
    }
    for ((partition, stream), kept) in &behind.kept {
        batch.put_cf(family, keys::kept(*partition, stream), rows::encode_kept(kept));
    }
    for (partition, head) in &behind.heads {
        batch.put_cf(family, keys::head(*partition), rows::encode_head(head));
    }
    Ok(moved)
}

fn written(
    db: &DB,
    family: &ColumnFamily,
    key: &[u8],
    place: impl Fn(&[u8]) -> Result<Place, row::Error>,
) -> Result<Option<Place>, Error> {
    let former = db.get_pinned_cf(family, key).map_err(read)?;
    former.map(|former| place(&former).map_err(corrupt)).transpose()
}

/// Puts the row, and of its index keys those that appear and go.
fn put_run(batch: &mut WriteBatch, family: &ColumnFamily, row: &RunRow, former: Option<&Place>) -> Place {
    batch.put_cf(family, keys::run(row.run), row.to_bytes());
    if former.is_none() {
        // What these are made of stands since the run began.
        for key in keys::lists(row) {
            batch.put_cf(family, key, []);
        }
    }
    let place = Place::of_run(row);
    let state = former.and_then(|former| former.state.as_ref());
    if state != place.state.as_ref() {
        if let Some(state) = state {
            batch.delete_cf(family, keys::state(row, state));
        }
        batch.put_cf(family, keys::state(row, &row.state), []);
    }
    put_under_way(batch, family, row.partition, &StreamId::Run(row.run), former, &place);
    place
}

/// Puts and takes away what is read at opening. These keys come and go many times in a stream's life, and are put once
/// before each time they are taken away: so the two may cancel each other out wherever they meet, and nothing is left
/// for an opening to walk over.
fn put_under_way(
    batch: &mut WriteBatch,
    family: &ColumnFamily,
    partition: u32,
    stream: &StreamId,
    former: Option<&Place>,
    place: &Place,
) {
    let was_open = former.is_some_and(|former| former.is_open);
    if was_open != place.is_open {
        let key = keys::open(partition, stream);
        if was_open {
            batch.single_delete_cf(family, key);
        } else {
            batch.put_cf(family, key, []);
        }
    }
    let woken_at = former.and_then(|former| former.wake_at);
    if woken_at != place.wake_at {
        if let Some(at) = woken_at {
            batch.single_delete_cf(family, keys::wake(partition, at, stream));
        }
        if let Some(at) = place.wake_at {
            batch.put_cf(family, keys::wake(partition, at, stream), []);
        }
    }
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
