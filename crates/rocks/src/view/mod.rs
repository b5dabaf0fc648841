//! The view in its column family: what the store port asks for, and nothing that the log does not have.
//!
//! **Invariant.** Index keys are a function of the rows and change in the same batch; records are not held here
//! but found in the log by their offset. Rows of one batch are coalesced: a run that changed ten times in a
//! pass is written once.

mod changes;
mod keys;
pub(crate) mod rows;

use domain::name::{RunId, StreamId, TargetId};
use engine::port::row::{RunRow, TargetRow};
use engine::port::store::{Batch, Commit, Embedded, Error, Head, Open, Query, RequestRow, Store};
use rocksdb::{ReadOptions, SnapshotWithThreadMode};

pub(crate) use changes::{Standing, put};

use crate::bytes::{Malformed, u64_at};
use crate::database::Database;
use crate::error;

/// Rises when keys or rows change their shape: an older view is then deleted at opening, and built again.
pub(crate) const VERSION: u32 = 1;

type Snapshot<'a> = SnapshotWithThreadMode<'a, rocksdb::DB>;

impl Store for Database {
    fn head(&self, partition: u32) -> Result<Option<Head>, Error> {
        self.row(&keys::head(partition), rows::decode_head)
    }

    fn commit(&self, commits: &[Commit]) -> Result<(), Error> {
        self.write(&[], commits)
    }

    fn stream(
        &self,
        partition: u32,
        stream: &StreamId,
        from: u64,
        records_max: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, Error> {
        let prefix = keys::stream(partition, stream);
        let mut places: Vec<(u64, [u8; 12])> = vec![];
        let mut first = prefix.clone();
        first.extend_from_slice(&from.to_be_bytes());
        self.visit(&self.db().snapshot(), &prefix, &first, |rest, value| {
            if places.len() < records_max {
                let offset = u64_at(value, 0).map_err(corrupt)?;
                places.push((u64_at(rest, 0).map_err(corrupt)?, crate::log::key(partition, offset)));
            }
            Ok(places.len() < records_max)
        })?;
        let keys = places.iter().map(|(_, key)| key);
        let records = self.db().batched_multi_get_cf(self.log_family(), keys, true);
        let record = |((seq, _), record): (&(u64, _), Result<Option<rocksdb::DBPinnableSlice<'_>>, _>)| {
            let bytes = record.map_err(read)?.ok_or_else(|| corrupt(Malformed("the log's record")))?;
            Ok((*seq, bytes.to_vec()))
        };
        places.iter().zip(records).map(record).collect()
    }

    fn run(&self, run: RunId) -> Result<Option<RunRow>, Error> {
        self.row(&keys::run(run), RunRow::from_bytes)
    }

    fn runs(&self, query: &Query) -> Result<Vec<RunRow>, Error> {
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
        let mut found = vec![];
        while found.len() < query.runs_max {
            let Some(key) = iterator.key().and_then(|key| key.strip_prefix(prefix.as_slice())) else { break };
            let run = keys::run_of_place(key).map_err(corrupt)?;
            let row = indexed(&snapshot, self, run)?;
            let fits = query.state.as_ref().is_none_or(|state| *state == row.state)
                && query.model.as_ref().is_none_or(|model| *model == row.model)
                && query.target.as_ref().is_none_or(|target| *target == row.target);
            if fits {
                found.push(row);
            }
            iterator.prev();
        }
        iterator.status().map_err(read)?;
        Ok(found)
    }

    fn target(&self, target: &TargetId) -> Result<Option<TargetRow>, Error> {
        self.row(&keys::target(target), TargetRow::from_bytes)
    }

    fn targets(&self) -> Result<Vec<TargetRow>, Error> {
        targets(self, &self.db().snapshot())
    }

    fn open(&self, partition: u32) -> Result<Open, Error> {
        let snapshot = self.db().snapshot();
        let prefix = keys::open(partition);
        let mut runs = vec![];
        self.visit(&snapshot, &prefix, &prefix, |rest, _| {
            let run = rest.try_into().map(RunId).map_err(|_| corrupt(Malformed("the id of a run")))?;
            runs.push(indexed(&snapshot, self, run)?);
            Ok(true)
        })?;
        let mut targets = targets(self, &snapshot)?;
        targets.retain(|row| row.partition == partition);
        Ok(Open { runs, targets })
    }

    fn request(&self, partition: u32, input_id: &str) -> Result<Option<RequestRow>, Error> {
        self.row(&keys::request(partition, input_id), |bytes| rows::decode_request(input_id, bytes))
    }
}

impl Embedded for Database {
    fn write_sync(&self, batch: &Batch) -> Result<(), Error> {
        for append in &batch.appends {
            self.check_partition(append.partition).map_err(|error| Error::Io(error.into()))?;
        }
        self.write(&batch.appends, &batch.commits)
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

fn targets(database: &Database, snapshot: &Snapshot<'_>) -> Result<Vec<TargetRow>, Error> {
    let mut targets = vec![];
    database.visit(snapshot, keys::TARGETS, keys::TARGETS, |_, bytes| {
        targets.push(TargetRow::from_bytes(bytes).map_err(corrupt)?);
        Ok(true)
    })?;
    // `TargetId` orders by model, then environment; the text has `@` between them, which sorts after `.` and `-`.
    targets.sort_by(|a, b| a.target.cmp(&b.target));
    Ok(targets)
}

/// The row that an index names: it must be there.
fn indexed(snapshot: &Snapshot<'_>, database: &Database, run: RunId) -> Result<RunRow, Error> {
    let bytes = snapshot.get_pinned_cf(database.view_family(), keys::run(run)).map_err(read)?;
    let bytes = bytes.ok_or_else(|| corrupt(Malformed("the run that an index names")))?;
    RunRow::from_bytes(&bytes).map_err(corrupt)
}

pub(crate) fn corrupt(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Corrupt(Box::new(error))
}

pub(crate) fn read(error: rocksdb::Error) -> Error {
    Error::Io(error::Error::Read(error).into())
}
