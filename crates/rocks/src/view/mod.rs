//! The view in its column family: what the store port asks for, and nothing that the log does not have.
//!
//! **Invariant.** Index keys are a function of the rows and change in the same batch; records are not held here
//! but found in the log by their offset. What is not written yet is read first (see `behind`): every answer is as
//! if all were written.

mod behind;
mod changes;
pub(crate) mod keys;
pub(crate) mod rows;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use domain::name::{RunId, StreamId, TargetId};
use engine::port::log;
use engine::port::row::{self, RunRow, TargetRow};
use engine::port::store::{
    Batch, Commit, Embedded, Error, Head, KeptState, Open, Query, RequestRow, Store, Wake,
};
use rocksdb::{ColumnFamily, DB, ReadOptions, SnapshotWithThreadMode};

pub(crate) use behind::Behind;
pub(crate) use changes::{Standing, put};

use crate::bytes::{Malformed, Reader};
use crate::database::Database;
use crate::error;
use crate::folder::Keeps;

/// Rises when keys or rows change their shape: an older view is then deleted at opening, and built again.
pub(crate) const VERSION: u32 = 3;

type Snapshot<'a> = SnapshotWithThreadMode<'a, DB>;

impl Store for Database {
    fn head(&self, partition: u32) -> Result<Option<Head>, Error> {
        let behind = self.behind().heads.get(&partition).cloned();
        behind.map_or_else(|| self.row(&keys::head(partition), rows::decode_head), |head| Ok(Some(head)))
    }

    fn commit(&self, commits: &[Commit]) -> Result<(), Error> {
        for commit in commits {
            self.check_partition(commit.partition).map_err(|error| Error::Io(error.into()))?;
        }
        self.write(&[], commits)
    }

    fn stream(
        &self,
        partition: u32,
        stream: &StreamId,
        from: u64,
        records_max: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, Error> {
        let behind = self.behind().streams.get(&(partition, stream.clone())).cloned().unwrap_or_default();
        let prefix = keys::stream(partition, stream);
        let snapshot = self.db().snapshot();
        let mut iterator = snapshot.raw_iterator_cf(self.view_family());
        // The places of records before `from` may stand together with later ones.
        iterator.seek_for_prev([prefix.as_slice(), &from.to_be_bytes()].concat());
        if !iterator.key().is_some_and(|key| key.starts_with(&prefix)) {
            iterator.status().map_err(read)?;
            if iterator.valid() {
                iterator.next();
            } else {
                iterator.seek(&prefix);
            }
        }
        let mut found: Vec<(u64, u64)> = vec![];
        while let Some((key, value)) = iterator.item()
            && key.starts_with(&prefix)
            && found.len() < records_max
        {
            let mut places = Reader::new(value);
            while places.end().is_err() {
                let place = (places.number().map_err(corrupt)?, places.number().map_err(corrupt)?);
                found.extend((place.0 >= from).then_some(place));
            }
            iterator.next();
        }
        iterator.status().map_err(read)?;
        let written = found.last().map_or(0, |(seq, _)| *seq);
        found.extend(behind.into_iter().filter(|(seq, _)| *seq >= from && *seq > written));
        found.truncate(records_max);
        let places: Vec<(u64, [u8; 12])> =
            found.into_iter().map(|(seq, offset)| (seq, crate::log::key(partition, offset))).collect();
        let keys = places.iter().map(|(_, key)| key);
        let records = self.db().batched_multi_get_cf(self.log_family(), keys, true);
        let record = |((seq, _), record): (&(u64, _), Result<Option<rocksdb::DBPinnableSlice<'_>>, _>)| {
            let bytes = record.map_err(read)?.ok_or_else(|| corrupt(Malformed("the log's record")))?;
            Ok((*seq, bytes.to_vec()))
        };
        places.iter().zip(records).map(record).collect()
    }

    fn kept(&self, partition: u32, stream: &StreamId) -> Result<Option<KeptState>, Error> {
        let behind = self.behind().kept.get(&(partition, stream.clone())).cloned();
        match behind {
            Some(kept) => Ok(Some(kept)),
            None => self.row(&keys::kept(partition, stream), |bytes| rows::decode_kept(stream, bytes)),
        }
    }

    fn run(&self, run: RunId) -> Result<Option<RunRow>, Error> {
        let behind = self.behind().runs.get(&run).cloned();
        behind.map_or_else(|| self.row(&keys::run(run), RunRow::from_bytes), |row| Ok(Some(row)))
    }

    fn runs(&self, query: &Query) -> Result<Vec<RunRow>, Error> {
        let (hidden, mut found): (BTreeSet<RunId>, Vec<RunRow>) = {
            let behind = self.behind();
            let fitting = behind.runs.values().filter(|row| Behind::fits(query, row)).cloned();
            (behind.runs.keys().copied().collect(), fitting.collect())
        };
        let snapshot = self.db().snapshot();
        let prefix = keys::index_of(query);
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(prefix.clone());
        let mut iterator = snapshot.raw_iterator_cf_opt(self.view_family(), options);
        let mut last = prefix.clone();
        match query.after {
            Some((started_at, run)) => last.extend(keys::place(started_at, run)),
            None => last.extend([0xff; keys::PLACE_BYTES + 1]),
        }
        iterator.seek_for_prev(&last);
        // The place itself was shown on the page before.
        if iterator.key() == Some(&last) {
            iterator.prev();
        }
        let mut written = vec![];
        while written.len() < query.runs_max {
            let Some(key) = iterator.key().and_then(|key| key.strip_prefix(prefix.as_slice())) else { break };
            let run = keys::run_of_place(key).map_err(corrupt)?;
            if !hidden.contains(&run) {
                let row = indexed(&snapshot, self, run)?;
                written.extend(Behind::fits(query, &row).then_some(row));
            }
            iterator.prev();
        }
        iterator.status().map_err(read)?;
        found.extend(written);
        found.sort_by_key(|row| std::cmp::Reverse((row.started_at, row.run)));
        found.truncate(query.runs_max);
        Ok(found)
    }

    fn target(&self, target: &TargetId) -> Result<Option<TargetRow>, Error> {
        let behind = self.behind().targets.get(target).cloned();
        behind.map_or_else(|| self.row(&keys::target(target), TargetRow::from_bytes), |row| Ok(Some(row)))
    }

    fn targets(&self) -> Result<Vec<TargetRow>, Error> {
        let behind = self.behind().targets.clone();
        targets(self, &self.db().snapshot(), behind)
    }

    fn open(&self, partition: u32) -> Result<Open, Error> {
        let (mut runs, mut targets) = {
            let behind = self.behind();
            (behind.runs.clone(), behind.targets.clone())
        };
        let snapshot = self.db().snapshot();
        let prefix = keys::opens(partition);
        self.visit(&snapshot, &prefix, &prefix, |rest, _| {
            match keys::stream_of(rest).map_err(corrupt)? {
                StreamId::Definitions => return Err(corrupt(Malformed("a run or a target"))),
                StreamId::Run(run) => {
                    if let Entry::Vacant(place) = runs.entry(run) {
                        place.insert(indexed(&snapshot, self, run)?);
                    }
                }
                StreamId::Target(target) => {
                    let key = keys::target(&target);
                    if let Entry::Vacant(place) = targets.entry(target) {
                        place.insert(indexed_by(&snapshot, self, &key, TargetRow::from_bytes)?);
                    }
                }
            }
            Ok(true)
        })?;
        let runs = runs.into_values().filter(|row| row.partition == partition && row.is_open());
        let targets = targets.into_values().filter(|row| row.partition == partition && row.is_open());
        Ok(Open { runs: runs.collect(), targets: targets.collect() })
    }

    fn wakes(&self, partition: u32, after: Option<&Wake>, wakes_max: usize) -> Result<Vec<Wake>, Error> {
        let (hidden, mut found) = self.behind().wakes(partition, after);
        let snapshot = self.db().snapshot();
        let prefix = keys::wakes(partition);
        let first = after.map_or_else(|| prefix.clone(), |(at, stream)| keys::wake(partition, *at, stream));
        let mut written = vec![];
        self.visit(&snapshot, &prefix, &first, |rest, _| {
            let wake = keys::wake_of(rest).map_err(corrupt)?;
            if Some(&wake) != after && !hidden.contains(&wake.1) {
                written.push(wake);
            }
            Ok(written.len() < wakes_max)
        })?;
        found.extend(written);
        found.sort();
        found.truncate(wakes_max);
        Ok(found)
    }

    fn request(&self, partition: u32, input_id: &str) -> Result<Option<RequestRow>, Error> {
        let behind = self.behind().requests.get(&partition).and_then(|rows| rows.get(input_id)).cloned();
        match behind {
            Some(row) => Ok(Some(row)),
            None => {
                self.row(&keys::request(partition, input_id), |bytes| rows::decode_request(input_id, bytes))
            }
        }
    }
}

impl Embedded for Database {
    fn write_sync(&self, batch: &Batch) -> Result<(), Error> {
        if self.keeps() == Keeps::Mirror && !batch.appends.is_empty() {
            return Err(Error::Io(log::Error::Mirror.into()));
        }
        for append in &batch.appends {
            self.check_partition(append.partition).map_err(|error| Error::Io(error.into()))?;
        }
        self.write(&batch.appends, &batch.commits)
    }

    fn settle(&self) -> Result<(), Error> {
        self.settle_view()
    }
}

impl Database {
    fn row<T, E: std::error::Error + Send + Sync + 'static>(
        &self,
        key: &[u8],
        decode: impl Fn(&[u8]) -> Result<T, E>,
    ) -> Result<Option<T>, Error> {
        let bytes = self.db().get_pinned_cf(self.view_family(), key).map_err(read)?;
        bytes.map(|bytes| decode(&bytes).map_err(corrupt)).transpose()
    }

    /// Visits keys with the prefix from `first` on, without it, until the visitor has enough.
    fn visit(
        &self,
        snapshot: &Snapshot<'_>,
        prefix: &[u8],
        first: &[u8],
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let mut iterator = snapshot.raw_iterator_cf(self.view_family());
        iterator.seek(first);
        while let Some((key, value)) = iterator.item() {
            let Some(rest) = key.strip_prefix(prefix) else { break };
            if !visit(rest, value)? {
                break;
            }
            iterator.next();
        }
        iterator.status().map_err(read)
    }
}

/// The written head of a partition.
pub(crate) fn head(db: &DB, family: &ColumnFamily, partition: u32) -> Result<Option<Head>, error::Error> {
    let bytes = db.get_pinned_cf(family, keys::head(partition)).map_err(error::Error::Read)?;
    let damaged = |_| error::Error::damaged(db.path(), "heads of the view that read back");
    bytes.map(|bytes| rows::decode_head(&bytes).map_err(damaged)).transpose()
}

/// All targets, by model and then environment; `behind` counts before what is written.
fn targets(
    database: &Database,
    snapshot: &Snapshot<'_>,
    behind: BTreeMap<TargetId, TargetRow>,
) -> Result<Vec<TargetRow>, Error> {
    let mut targets = behind;
    database.visit(snapshot, keys::TARGETS, keys::TARGETS, |_, bytes| {
        let row = TargetRow::from_bytes(bytes).map_err(corrupt)?;
        targets.entry(row.target.clone()).or_insert(row);
        Ok(true)
    })?;
    Ok(targets.into_values().collect())
}

/// The row that an index names: it must be there.
fn indexed(snapshot: &Snapshot<'_>, database: &Database, run: RunId) -> Result<RunRow, Error> {
    indexed_by(snapshot, database, &keys::run(run), RunRow::from_bytes)
}

fn indexed_by<T>(
    snapshot: &Snapshot<'_>,
    database: &Database,
    key: &[u8],
    decode: impl Fn(&[u8]) -> Result<T, row::Error>,
) -> Result<T, Error> {
    let bytes = snapshot.get_pinned_cf(database.view_family(), key).map_err(read)?;
    let bytes = bytes.ok_or_else(|| corrupt(Malformed("the row that an index names")))?;
    decode(&bytes).map_err(corrupt)
}

pub(crate) fn corrupt(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Corrupt(Box::new(error))
}

pub(crate) fn read(error: rocksdb::Error) -> Error {
    Error::Io(error::Error::Read(error).into())
}
