//! A log and its view in maps, written together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use domain::name::{RunId, StreamId, TargetId};
use domain::time::Timestamp;

use crate::port::log::{self, Append, Landed, Log};
use crate::port::row::{RunRow, TargetRow};
use crate::port::store::{self, Batch, Commit, Error, Head, KeptState, Open, Query, RequestRow, Store, Wake};

/// One partition's part of the view.
#[derive(Debug, Clone, Default)]
struct View {
    head: Option<Head>,
    /// Where the stream's records are: (stream, seq) to offset.
    streams: BTreeMap<(StreamId, u64), u64>,
    /// Records by offset: a view holds its own copies, for the log may be elsewhere.
    records: BTreeMap<u64, Vec<u8>>,
    requests: BTreeMap<String, RequestRow>,
    kept: BTreeMap<StreamId, KeptState>,
}

#[derive(Debug, Clone, Default)]
struct Kept {
    logs: Vec<Vec<Vec<u8>>>,
    views: BTreeMap<u32, View>,
    runs: BTreeMap<RunId, RunRow>,
    by_start: BTreeSet<(Timestamp, RunId)>,
    targets: BTreeMap<TargetId, TargetRow>,
    failing: bool,
}

#[derive(Debug)]
pub struct Embedded(Mutex<Kept>);

impl Embedded {
    pub fn new(partitions: u32) -> Self {
        let logs = (0..partitions).map(|_| vec![]).collect();
        Self(Mutex::new(Kept { logs, ..Kept::default() }))
    }

    /// What a process that starts now would find.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self(Mutex::new(Kept { failing: false, ..self.kept().clone() }))
    }

    /// Deletes the view, and keeps the log.
    pub fn forget_view(&self) {
        let mut kept = self.kept();
        let logs = std::mem::take(&mut kept.logs);
        *kept = Kept { logs, ..Kept::default() };
    }

    /// From now on every write fails, and nothing of it lands.
    pub fn fail_writes(&self) {
        self.kept().failing = true;
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().expect("no panic while the store is held")
    }
}

impl Kept {
    fn check(&self, commits: &[Commit]) -> Result<(), Error> {
        let mut heads: BTreeMap<u32, ([u8; 16], u64)> = BTreeMap::new();
        for commit in commits {
            let partition = commit.partition;
            let stored = || self.views.get(&partition)?.head.as_ref().map(|head| (head.log_id, head.seq));
            let stands_at = match heads.get(&partition).copied().or_else(stored) {
                Some((log_id, _)) if log_id != commit.head.log_id => {
                    return Err(Error::Foreign { partition });
                }
                Some((_, seq)) => seq,
                None => 0,
            };
            if stands_at != commit.after {
                return Err(Error::OutOfOrder { partition, stands_at, found: commit.after });
            }
            heads.insert(partition, (commit.head.log_id, commit.head.seq));
        }
        Ok(())
    }

    fn append(&mut self, appends: &[Append]) -> Result<(), log::Error> {
        let partitions = self.logs.len() as u32;
        if let Some(append) = appends.iter().find(|append| append.partition >= partitions) {
            return Err(log::Error::NoSuchPartition { partition: append.partition, partitions });
        }
        if self.failing {
            return Err(log::Error::Io("the disk is full".into()));
        }
        for append in appends {
            self.logs[append.partition as usize].extend(append.records.iter().cloned());
        }
        Ok(())
    }

    fn commit(&mut self, commit: &Commit) {
        debug_assert!(!commit.lacks_rows, "rows are added first");
        let view = self.views.entry(commit.partition).or_default();
        for record in &commit.records {
            view.records.insert(record.offset, record.bytes.clone());
            for stream in &record.streams {
                view.streams.insert((stream.clone(), record.seq), record.offset);
            }
        }
        for row in &commit.requests {
            view.requests.insert(row.input_id.clone(), row.clone());
        }
        view.kept.extend(commit.kept.iter().map(|kept| (kept.stream.clone(), kept.clone())));
        view.requests.retain(|_, row| row.seq >= commit.requests_from);
        view.head = Some(commit.head.clone());
        for row in &commit.runs {
            if let Some(former) = self.runs.insert(row.run, row.clone()) {
                self.by_start.remove(&(former.started_at, former.run));
            }
            self.by_start.insert((row.started_at, row.run));
        }
        for row in &commit.targets {
            self.targets.insert(row.target.clone(), row.clone());
        }
    }
}

impl Log for Embedded {
    fn partitions(&self) -> u32 {
        self.kept().logs.len() as u32
    }

    fn end(&self, partition: u32) -> Result<u64, log::Error> {
        Ok(records(&self.kept(), partition)?.len() as u64)
    }

    fn append(&self, appends: &[Append]) -> Result<(), log::Error> {
        self.kept().append(appends)
    }

    fn read(&self, partition: u32, from: u64, records_max: usize) -> Result<Vec<Landed>, log::Error> {
        let kept = self.kept();
        let landed = (0..).zip(records(&kept, partition)?);
        let wanted = landed.skip(usize::try_from(from).unwrap_or(usize::MAX)).take(records_max);
        Ok(wanted.map(|(offset, bytes)| Landed { offset, bytes: bytes.clone() }).collect())
    }
}

fn records(kept: &Kept, partition: u32) -> Result<&Vec<Vec<u8>>, log::Error> {
    let partitions = kept.logs.len() as u32;
    kept.logs.get(partition as usize).ok_or(log::Error::NoSuchPartition { partition, partitions })
}

impl Store for Embedded {
    fn head(&self, partition: u32) -> Result<Option<Head>, Error> {
        Ok(self.kept().views.get(&partition).and_then(|view| view.head.clone()))
    }

    fn commit(&self, commits: &[Commit]) -> Result<(), Error> {
        self.write_sync_inner(&[], commits)
    }

    fn stream(
        &self,
        partition: u32,
        stream: &StreamId,
        from: u64,
        records_max: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, Error> {
        let kept = self.kept();
        let Some(view) = kept.views.get(&partition) else { return Ok(vec![]) };
        let range = (stream.clone(), from)..=(stream.clone(), u64::MAX);
        let places = view.streams.range(range).take(records_max);
        Ok(places.map(|((_, seq), offset)| (*seq, view.records[offset].clone())).collect())
    }

    fn kept(&self, partition: u32, stream: &StreamId) -> Result<Option<KeptState>, Error> {
        Ok(self.kept().views.get(&partition).and_then(|view| view.kept.get(stream).cloned()))
    }

    fn run(&self, run: RunId) -> Result<Option<RunRow>, Error> {
        Ok(self.kept().runs.get(&run).cloned())
    }

    fn runs(&self, query: &Query) -> Result<Vec<RunRow>, Error> {
        let kept = self.kept();
        let fits = |row: &&RunRow| {
            query.state.as_ref().is_none_or(|state| *state == row.state)
                && query.model.as_ref().is_none_or(|model| *model == row.model)
                && query.target.as_ref().is_none_or(|target| *target == row.target)
                && query.after.is_none_or(|after| (row.started_at, row.run) < after)
        };
        let newest = kept.by_start.iter().rev().map(|(_, run)| &kept.runs[run]);
        Ok(newest.filter(fits).take(query.runs_max).cloned().collect())
    }

    fn target(&self, target: &TargetId) -> Result<Option<TargetRow>, Error> {
        Ok(self.kept().targets.get(target).cloned())
    }

    fn targets(&self) -> Result<Vec<TargetRow>, Error> {
        Ok(self.kept().targets.values().cloned().collect())
    }

    fn open(&self, partition: u32) -> Result<Open, Error> {
        let kept = self.kept();
        let runs = kept.runs.values().filter(|row| row.partition == partition && row.is_open());
        let targets = kept.targets.values().filter(|row| row.partition == partition && row.is_open());
        Ok(Open { runs: runs.cloned().collect(), targets: targets.cloned().collect() })
    }

    fn wakes(&self, partition: u32, after: Option<&Wake>, wakes_max: usize) -> Result<Vec<Wake>, Error> {
        let kept = self.kept();
        let runs = kept.runs.values().filter(|row| row.partition == partition);
        let targets = kept.targets.values().filter(|row| row.partition == partition);
        let runs = runs.filter_map(|row| Some((row.wake_at?, StreamId::Run(row.run))));
        let targets = targets.filter_map(|row| Some((row.wake_at?, StreamId::Target(row.target.clone()))));
        let wakes: BTreeSet<Wake> =
            runs.chain(targets).filter(|wake| after.is_none_or(|after| wake > after)).collect();
        Ok(wakes.into_iter().take(wakes_max).collect())
    }

    fn request(&self, partition: u32, input_id: &str) -> Result<Option<RequestRow>, Error> {
        Ok(self.kept().views.get(&partition).and_then(|view| view.requests.get(input_id).cloned()))
    }
}

impl Embedded {
    fn write_sync_inner(&self, appends: &[Append], commits: &[Commit]) -> Result<(), Error> {
        let mut kept = self.kept();
        kept.check(commits)?;
        kept.append(appends).map_err(|error| Error::Io(error.into()))?;
        for commit in commits {
            kept.commit(commit);
        }
        Ok(())
    }
}

impl store::Embedded for Embedded {
    fn write_sync(&self, batch: &Batch) -> Result<(), Error> {
        self.write_sync_inner(&batch.appends, &batch.commits)
    }
}
