//! From commits to one batch: which keys of the view appear, change and go.

use std::collections::BTreeMap;

use domain::name::{RunId, TargetId};
use engine::port::row::{RunRow, TargetRow};
use engine::port::store::{Commit, Error};
use rocksdb::{ColumnFamily, DB, WriteBatch};

use super::{corrupt, keys, read, rows};
use crate::bytes::{Reader, put_bytes, u64_at};
use crate::error;

/// Commits whose answers one commit may drop: the rest waits for the next.
const ANSWERED_DROPPED_MAX: usize = 64;

/// Of how many runs it is remembered under which keys the indexes have them; of others it is read.
const PLACES_MAX: usize = 16_384;

/// Where the view stands, as whoever writes it must know.
#[derive(Debug, Clone, Default)]
pub(crate) struct Standing {
    /// By partition, the log's id and the last `seq`.
    heads: BTreeMap<u32, ([u8; 16], u64)>,
    /// By partition, the key of the first commit whose answers may still be there.
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
    heads: BTreeMap<u32, ([u8; 16], u64)>,
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

    /// Takes over what was written.
    pub(crate) fn follow(&mut self, moved: Moved) {
        self.heads.extend(moved.heads);
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

/// Puts all that checked commits change; gives what moves once the batch is written.
pub(crate) fn put(
    batch: &mut WriteBatch,
    db: &DB,
    family: &ColumnFamily,
    standing: &Standing,
    commits: &[Commit],
) -> Result<Moved, Error> {
    let mut moved = Moved::default();
    let mut heads: BTreeMap<u32, &Commit> = BTreeMap::new();
    let mut runs: BTreeMap<RunId, &RunRow> = BTreeMap::new();
    let mut targets: BTreeMap<&TargetId, &TargetRow> = BTreeMap::new();
    // Drops come first: what an earlier commit of this batch answers again must outlive a later one's bound.
    for commit in commits {
        drop_answers(batch, db, family, standing, &mut moved, commit)?;
    }
    for commit in commits {
        for record in &commit.records {
            for stream in &record.streams {
                let mut key = keys::stream(commit.partition, stream);
                key.extend_from_slice(&record.seq.to_be_bytes());
                batch.put_cf(family, key, record.offset.to_be_bytes());
            }
        }
        put_answers(batch, family, commit);
        runs.extend(commit.runs.iter().map(|row| (row.run, row)));
        targets.extend(commit.targets.iter().map(|row| (&row.target, row)));
        heads.insert(commit.partition, commit);
    }
    for row in runs.into_values() {
        let former = match standing.places.get(&row.run) {
            Some(place) => Some(place.clone()),
            // Its first record: nothing of it was written before.
            None if row.transitions == 1 => None,
            None => written_place(db, family, row)?,
        };
        moved.places.push((row.run, put_run(batch, family, row, former)));
    }
    for row in targets.into_values() {
        batch.put_cf(family, keys::target(&row.target), row.to_bytes());
    }
    for (partition, commit) in heads {
        batch.put_cf(family, keys::head(partition), rows::encode_head(&commit.head));
        moved.heads.insert(partition, (commit.head.log_id, commit.head.seq));
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

fn put_answers(batch: &mut WriteBatch, family: &ColumnFamily, commit: &Commit) {
    if commit.requests.is_empty() {
        return;
    }
    let mut ids = vec![];
    let mut seq = 0;
    for row in &commit.requests {
        batch.put_cf(family, keys::request(commit.partition, &row.input_id), rows::encode_request(row));
        put_bytes(&mut ids, row.input_id.as_bytes());
        seq = seq.max(row.seq);
    }
    let mut key = keys::answered(commit.partition);
    key.extend_from_slice(&seq.to_be_bytes());
    key.extend_from_slice(&commit.head.next_offset.to_be_bytes());
    batch.put_cf(family, key, ids);
}

/// Drops request rows below `requests_from`, a bounded number of commits at a time.
fn drop_answers(
    batch: &mut WriteBatch,
    db: &DB,
    family: &ColumnFamily,
    standing: &Standing,
    moved: &mut Moved,
    commit: &Commit,
) -> Result<(), Error> {
    if commit.requests_from == 0 {
        return Ok(());
    }
    let prefix = keys::answered(commit.partition);
    let stands_at = || standing.answered_from.get(&commit.partition).unwrap_or(&prefix).clone();
    let from = moved.answered_from.entry(commit.partition).or_insert_with(stands_at);
    // Nothing below the bound is left: not even a look is needed.
    if from.len() > prefix.len() && u64_at(from, prefix.len()).map_err(corrupt)? >= commit.requests_from {
        return Ok(());
    }
    let mut iterator = db.raw_iterator_cf(family);
    iterator.seek(&*from);
    for _ in 0..ANSWERED_DROPPED_MAX {
        let Some((key, ids)) = iterator.item().filter(|(key, _)| key.starts_with(&prefix)) else { break };
        from.clear();
        from.extend_from_slice(key);
        if u64_at(key, prefix.len()).map_err(corrupt)? >= commit.requests_from {
            break;
        }
        let mut ids = Reader::new(ids);
        while ids.end().is_err() {
            let id = ids.text().map_err(corrupt)?;
            let key = keys::request(commit.partition, id);
            let Some(row) = db.get_pinned_cf(family, &key).map_err(read)? else { continue };
            // The same id may have been answered again since.
            let row = rows::decode_request(id, &row).map_err(corrupt)?;
            if row.seq < commit.requests_from {
                batch.delete_cf(family, key);
            }
        }
        batch.delete_cf(family, key);
        iterator.next();
    }
    iterator.status().map_err(read)
}
