//! The prediction log: a database of its own without syncs, so that traffic never waits for the log's disk nor
//! the log for traffic. A killed process loses nothing, a power cut the last moments.
//!
//! ```text
//!  predictions  place                    -> what was answered        place = target(4) at(8) request id
//!  labels       place                    -> label's value
//!  requests     target(4) request id     -> at of its prediction, or the label that waits for it
//!  names        kind(1) number(4)        -> a target's name, a bundle's digest
//!               source                   -> the next offset to be read of it
//! ```
//!
//! A label is put beside its prediction when it arrives, so that a scan joins two sorted lists instead of
//! looking up each row. Targets and bundles are written out once and then named by number.
//!
//! **Invariant.** `requests` has exactly one row for each prediction kept, naming its place; a row older than
//! the horizon counts as absent and goes at a compaction.

mod names;
pub(crate) mod rows;
mod scan;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use domain::name::{Digest, TargetId};
use domain::time::Timestamp;
use engine::port::predictions::{self, Error, Label, Prediction};
use rocksdb::compaction_filter::Decision;
use rocksdb::{
    Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBPinnableSlice, DBRecoveryMode, MemtableFactory,
    Options, SliceTransform, WriteBatch, WriteOptions,
};

use crate::bytes::Malformed;
use crate::database::{common_options, opening, tables};
use crate::error;
use crate::folder::{Lock, lock};
use names::Names;
use rows::Request;

const PREDICTIONS: &str = "predictions";
const LABELS: &str = "labels";
const REQUESTS: &str = "requests";
const NAMES: &str = "names";

const BLOCK_CACHE_BYTES: usize = 64 << 20;
/// Buckets of the requests in memory: about as many as there are requests before they are written out.
const REQUEST_BUCKETS: usize = 1 << 19;
/// Tables are rewritten at least so often, which is when swept request rows go.
const REWRITE_EVERY_S: u64 = 24 * 3600;

/// Predictions and labels, by target and time.
pub struct Predictions {
    db: DB,
    /// Held while writing: what replaces what is decided by reading first.
    names: Mutex<Names>,
    /// What is older was swept.
    horizon: Arc<AtomicU64>,
    _lock: Lock,
}

impl std::fmt::Debug for Predictions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Predictions").field("path", &self.db.path()).finish_non_exhaustive()
    }
}

impl Predictions {
    /// Opens a prediction log in a folder of its own, without the rest of a data folder.
    pub fn open_alone(path: &Path) -> Result<Self, error::Error> {
        std::fs::create_dir_all(path)
            .map_err(|source| error::Error::Unusable { path: path.to_owned(), source })?;
        Self::open(&path.join("log"), lock(path)?)
    }

    /// How far each source was read, as [`Self::note`] was told: the offset of the next record.
    pub fn positions(&self) -> BTreeMap<String, u64> {
        self.names().positions().clone()
    }

    /// Notes how far sources were read. What was appended and labelled before is not lost without this: both are in
    /// one sequence of writes, of which a crash keeps a beginning.
    pub fn note(&self, read: &BTreeMap<String, u64>) -> Result<(), Error> {
        let mut names = self.names();
        let mut batch = WriteBatch::default();
        for (source, next) in read {
            names::put_position(&mut batch, self.family(NAMES), source, *next);
        }
        self.write(batch)?;
        for (source, next) in read {
            names.set_position(source, *next);
        }
        Ok(())
    }

    pub(crate) fn open(path: &Path, lock: Lock) -> Result<Self, error::Error> {
        let horizon = Arc::new(AtomicU64::new(0));
        let mut options = common_options();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        // Nothing here was promised: the last good prefix is the best there is.
        options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        options.set_atomic_flush(true);
        // One thread writes; tables in memory that are found by hash bear no more.
        options.set_allow_concurrent_memtable_write(false);
        let db = DB::open_cf_descriptors(&options, path, families(&horizon))
            .map_err(|error| opening(path, error))?;
        let names = Names::read(&db, family(&db, NAMES))?;
        horizon.store(names.horizon().0, Ordering::Release);
        Ok(Self { db, names: Mutex::new(names), horizon, _lock: lock })
    }

    pub(crate) fn db(&self) -> &DB {
        &self.db
    }

    pub(crate) fn flush(&self) -> Result<(), error::Error> {
        let families = [PREDICTIONS, LABELS, REQUESTS, NAMES].map(|name| self.family(name));
        self.db.flush_cfs_opt(&families, &rocksdb::FlushOptions::default()).map_err(error::Error::Write)
    }

    fn family(&self, name: &str) -> &ColumnFamily {
        family(&self.db, name)
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().expect("no panic while predictions are written")
    }

    fn target_number(&self, names: &mut Names, target: &TargetId) -> Result<u32, Error> {
        names.target(&self.db, self.family(NAMES), target).map_err(failed)
    }

    fn bundle_number(&self, names: &mut Names, bundle: Digest) -> Result<u32, Error> {
        names.bundle(&self.db, self.family(NAMES), bundle).map_err(failed)
    }

    /// What the database knows of request ids, each in its place. Asked together they cost a third less.
    fn requests(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Request>>, Error> {
        let horizon = self.horizon.load(Ordering::Acquire);
        let decode = |found: Result<Option<DBPinnableSlice<'_>>, rocksdb::Error>| {
            let found = found.map_err(read)?;
            let request = found.map(|bytes| rows::decode_request(&bytes).map_err(malformed)).transpose()?;
            Ok(request.filter(|request| request.at().0 >= horizon))
        };
        self.db.batched_multi_get_cf(self.family(REQUESTS), keys, false).into_iter().map(decode).collect()
    }

    /// The value of the label beside a prediction: from this batch, else from the database.
    fn label_at(&self, moved: &HashMap<Vec<u8>, f64>, place: &[u8]) -> Result<Option<f64>, Error> {
        if let Some(value) = moved.get(place) {
            return Ok(Some(*value));
        }
        let found = self.db.get_pinned_cf(self.family(LABELS), place).map_err(read)?;
        found.map(|bytes| rows::decode_value(&bytes).map_err(malformed)).transpose()
    }
}

impl predictions::Predictions for Predictions {
    fn append(&self, predictions: &[Prediction]) -> Result<(), Error> {
        let mut names = self.names();
        let mut batch = WriteBatch::default();
        let mut known = HashMap::with_capacity(predictions.len());
        let mut moved = HashMap::new();
        let (rows, labels, requests) = (self.family(PREDICTIONS), self.family(LABELS), self.family(REQUESTS));
        let keys = (predictions.iter())
            .map(|it| Ok(rows::request_key(self.target_number(&mut names, &it.target)?, &it.request_id)))
            .collect::<Result<Vec<_>, Error>>()?;
        let before = self.requests(&keys)?;
        for ((prediction, key), before) in predictions.iter().zip(keys).zip(before) {
            let target = self.target_number(&mut names, &prediction.target)?;
            let bundle = self.bundle_number(&mut names, prediction.bundle)?;
            let place = rows::place(target, prediction.at, &key);
            match known.get(&key).copied().or(before) {
                Some(Request::Answered { at }) if at != prediction.at => {
                    let former = rows::place(target, at, &key);
                    if let Some(value) = self.label_at(&moved, &former)? {
                        batch.put_cf(labels, &place, value.to_be_bytes());
                        batch.delete_cf(labels, &former);
                        moved.insert(place.clone(), value);
                    }
                    batch.delete_cf(rows, &former);
                }
                Some(Request::Waiting { value, .. }) => {
                    batch.put_cf(labels, &place, value.to_be_bytes());
                    moved.insert(place.clone(), value);
                }
                Some(Request::Answered { .. }) | None => {}
            }
            batch.put_cf(rows, &place, rows::encode(prediction, bundle));
            let request = Request::Answered { at: prediction.at };
            batch.put_cf(requests, &key, rows::encode_request(request));
            known.insert(key, request);
        }
        self.write(batch)
    }

    fn label(&self, given: &[Label]) -> Result<(), Error> {
        let mut names = self.names();
        let mut batch = WriteBatch::default();
        let (labels, requests) = (self.family(LABELS), self.family(REQUESTS));
        let keys = (given.iter())
            .map(|it| Ok(rows::request_key(self.target_number(&mut names, &it.target)?, &it.request_id)))
            .collect::<Result<Vec<_>, Error>>()?;
        let before = self.requests(&keys)?;
        for ((label, key), before) in given.iter().zip(keys).zip(before) {
            let target = self.target_number(&mut names, &label.target)?;
            if let Some(Request::Answered { at }) = before {
                batch.put_cf(labels, rows::place(target, at, &key), label.value.to_be_bytes());
            } else {
                let waiting = Request::Waiting { at: label.at, value: label.value };
                batch.put_cf(requests, &key, rows::encode_request(waiting));
            }
        }
        self.write(batch)
    }

    fn scan(
        &self,
        target: &TargetId,
        from: Timestamp,
        to: Timestamp,
        visit: &mut dyn FnMut(&Prediction, Option<f64>),
    ) -> Result<(), Error> {
        let (number, bundles) = {
            let names = self.names();
            (names.number_of(target), names.bundles())
        };
        let Some(number) = number else { return Ok(()) };
        let from = from.max(Timestamp(self.horizon.load(Ordering::Acquire)));
        let families = (self.family(PREDICTIONS), self.family(LABELS));
        scan::scan(&self.db, families, &scan::Range { target, number, from, to, bundles: &bundles }, visit)
    }

    fn sweep(&self, before: Timestamp) -> Result<(), Error> {
        let mut names = self.names();
        if before <= names.horizon() {
            return Ok(());
        }
        let mut batch = WriteBatch::default();
        for target in names.targets() {
            let (first, last) = (rows::edge(target, Timestamp(0)), rows::edge(target, before));
            batch.delete_range_cf(self.family(PREDICTIONS), first, last);
            batch.delete_range_cf(self.family(LABELS), first, last);
        }
        names::put_horizon(&mut batch, self.family(NAMES), before);
        self.write(batch)?;
        names.set_horizon(before);
        self.horizon.store(before.0, Ordering::Release);
        Ok(())
    }
}

impl Predictions {
    fn write(&self, batch: WriteBatch) -> Result<(), Error> {
        self.db.write_opt(batch, &WriteOptions::default()).map_err(|error| failed(error::Error::Write(error)))
    }
}

fn family<'a>(db: &'a DB, name: &str) -> &'a ColumnFamily {
    db.cf_handle(name).expect("all families are opened with the database")
}

fn families(horizon: &Arc<AtomicU64>) -> Vec<ColumnFamilyDescriptor> {
    let cache = Cache::new_lru_cache(BLOCK_CACHE_BYTES);
    let tabled = || -> Options {
        let mut options = common_options();
        options.set_block_based_table_factory(&tables(&cache));
        options
    };
    let mut requests = tabled();
    // Nobody asks for requests in their order, so they are found by hash while they are in memory.
    requests.set_prefix_extractor(SliceTransform::create_noop());
    requests.set_memtable_factory(MemtableFactory::HashLinkList { bucket_count: REQUEST_BUCKETS });
    // Most request ids are new: a filter in the memtable answers that without a search.
    requests.set_memtable_prefix_bloom_ratio(0.1);
    requests.set_memtable_whole_key_filtering(true);
    requests.set_periodic_compaction_seconds(REWRITE_EVERY_S);
    let horizon = Arc::clone(horizon);
    requests.set_compaction_filter("swept requests", move |_, _, bytes| {
        let swept = |request: Request| request.at().0 < horizon.load(Ordering::Acquire);
        if rows::decode_request(bytes).is_ok_and(swept) { Decision::Remove } else { Decision::Keep }
    });
    vec![
        ColumnFamilyDescriptor::new(PREDICTIONS, tabled()),
        ColumnFamilyDescriptor::new(LABELS, tabled()),
        ColumnFamilyDescriptor::new(REQUESTS, requests),
        ColumnFamilyDescriptor::new(NAMES, tabled()),
    ]
}

fn failed(error: error::Error) -> Error {
    Error(error.into())
}

fn read(error: rocksdb::Error) -> Error {
    failed(error::Error::Read(error))
}

fn malformed(error: Malformed) -> Error {
    Error(error.into())
}
