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

/// Where the view stands, as whoever writes it must know.
#[derive(Debug, Clone, Default)]
pub(crate) struct Standing {
    /// By partition, the log's id and the last `seq`.
    heads: BTreeMap<u32, ([u8; 16], u64)>,
    /// By partition, the key of the first commit whose answers may still be there.
    answered_from: BTreeMap<u32, Vec<u8>>,
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

/// Puts all that checked commits change; gives where the view stands once the batch is written.
pub(crate) fn put(
    batch: &mut WriteBatch,
    db: &DB,
    family: &ColumnFamily,
    standing: &Standing,
    commits: &[Commit],
) -> Result<Standing, Error> {
    let mut next = standing.clone();
    let mut heads: BTreeMap<u32, &Commit> = BTreeMap::new();
    let mut runs: BTreeMap<RunId, &RunRow> = BTreeMap::new();
    let mut targets: BTreeMap<&TargetId, &TargetRow> = BTreeMap::new();
    // Drops come first: what an earlier commit of this batch answers again must outlive a later one's bound.
    for commit in commits {
        drop_answers(batch, db, family, &mut next, commit)?;
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
        put_run(batch, db, family, row)?;
    }
    for row in targets.into_values() {
        batch.put_cf(family, keys::target(&row.target), row.to_bytes());
    }
    for (partition, commit) in heads {
        batch.put_cf(family, keys::head(partition), rows::encode_head(&commit.head));
        next.heads.insert(partition, (commit.head.log_id, commit.head.seq));
    }
    Ok(next)
}

fn put_run(batch: &mut WriteBatch, db: &DB, family: &ColumnFamily, row: &RunRow) -> Result<(), Error> {
    let key = keys::run(row.run);
    let bytes = row.to_bytes();
    let former = db.get_pinned_cf(family, key).map_err(read)?;
    if former.as_deref() == Some(&bytes) {
        return Ok(());
    }
    let former = former.map(|former| RunRow::from_bytes(&former).map_err(corrupt)).transpose()?;
    batch.put_cf(family, key, bytes);
    let same_places = |former: &RunRow| {
        (&former.state, former.ended, former.partition, former.started_at, &former.model, &former.target)
            == (&row.state, row.ended, row.partition, row.started_at, &row.model, &row.target)
    };
    if former.as_ref().is_some_and(same_places) {
        return Ok(());
    }
    let (before, after) =
        (former.map(|former| keys::indexes(&former)).unwrap_or_default(), keys::indexes(row));
    for key in before.iter().filter(|key| !after.contains(key)) {
        batch.delete_cf(family, key);
    }
    for key in after.iter().filter(|key| !before.contains(key)) {
        batch.put_cf(family, key, []);
    }
    Ok(())
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
    standing: &mut Standing,
    commit: &Commit,
) -> Result<(), Error> {
    if commit.requests_from == 0 {
        return Ok(());
    }
    let prefix = keys::answered(commit.partition);
    let from = standing.answered_from.entry(commit.partition).or_insert_with(|| prefix.clone());
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
