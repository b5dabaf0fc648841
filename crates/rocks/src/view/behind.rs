//! What the view knows and has not written yet.
//!
//! ```text
//!  log     ......................|   written and synced, every step
//!  view    ..............|           written now and then, in one batch
//!  behind                |.......|   here, and seen by every reader
//! ```
//!
//! A run changes its row several times in its life, and its target's each time: written later, most of that is
//! written once. A crash costs what is here, and the next start reads it from the log again.
//!
//! **Invariant:** what is here is durable in the log, and is read before what is written: a reader sees a commit
//! from the moment it is acknowledged, whole.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use domain::name::{RunId, StreamId, TargetId};
use engine::port::row::{RunRow, TargetRow};
use engine::port::store::{Commit, Head, KeptState, Query, RequestRow, Wake};

/// Behind by more records than this, the view is written with the next step: what a start after a crash reads again.
const RECORDS_MAX: usize = 1_024;
/// What is here for longer is written with the next step, or when there is nothing to do.
const TIME_MAX: Duration = Duration::from_millis(250);

#[derive(Debug, Default)]
pub(crate) struct Behind {
    /// When the oldest of it came.
    since: Option<Instant>,
    records: usize,
    pub(super) heads: BTreeMap<u32, Head>,
    pub(super) requests_from: BTreeMap<u32, u64>,
    /// Where the records of each stream are: `seq` and offset, ascending.
    pub(super) streams: BTreeMap<(u32, StreamId), Vec<(u64, u64)>>,
    pub(super) runs: BTreeMap<RunId, RunRow>,
    pub(super) targets: BTreeMap<TargetId, TargetRow>,
    pub(super) requests: BTreeMap<u32, BTreeMap<String, RequestRow>>,
    pub(super) kept: BTreeMap<(u32, StreamId), KeptState>,
}

impl Behind {
    pub(crate) fn is_empty(&self) -> bool {
        self.since.is_none()
    }

    /// Whether it is time to write it.
    pub(crate) fn is_due(&self) -> bool {
        self.records >= RECORDS_MAX || self.since.is_some_and(|since| since.elapsed() >= TIME_MAX)
    }

    /// Adds what was written to the log.
    pub(crate) fn take(&mut self, commits: &[Commit]) {
        if commits.is_empty() {
            return;
        }
        self.since.get_or_insert_with(Instant::now);
        for commit in commits {
            self.records += commit.records.len();
            self.heads.insert(commit.partition, commit.head.clone());
            self.requests_from.insert(commit.partition, commit.requests_from);
            for record in &commit.records {
                for stream in &record.streams {
                    let places = self.streams.entry((commit.partition, stream.clone())).or_default();
                    places.push((record.seq, record.offset));
                }
            }
            self.runs.extend(commit.runs.iter().map(|row| (row.run, row.clone())));
            self.targets.extend(commit.targets.iter().map(|row| (row.target.clone(), row.clone())));
            let kept = commit.kept.iter();
            self.kept.extend(kept.map(|kept| ((commit.partition, kept.stream.clone()), kept.clone())));
            if !commit.requests.is_empty() {
                let answered = self.requests.entry(commit.partition).or_default();
                answered.extend(commit.requests.iter().map(|row| (row.input_id.clone(), row.clone())));
            }
        }
    }

    /// The partition's streams that have a row here, which hides the written one, and when they are to be woken.
    pub(super) fn wakes(&self, partition: u32, after: Option<&Wake>) -> (BTreeSet<StreamId>, Vec<Wake>) {
        let runs = self.runs.values().map(|row| (row.partition, StreamId::Run(row.run), row.wake_at));
        let targets = self.targets.values();
        let targets = targets.map(|row| (row.partition, StreamId::Target(row.target.clone()), row.wake_at));
        let (mut here, mut wakes) = (BTreeSet::new(), vec![]);
        for (_, stream, wake_at) in runs.chain(targets).filter(|(of, _, _)| *of == partition) {
            let wake = wake_at.map(|at| (at, stream.clone()));
            wakes.extend(wake.filter(|wake| after.is_none_or(|after| wake > after)));
            here.insert(stream);
        }
        (here, wakes)
    }

    /// Whether the row belongs to the answer; one that is here hides the written one, whether it fits or not.
    pub(super) fn fits(query: &Query, row: &RunRow) -> bool {
        query.state.as_ref().is_none_or(|state| *state == row.state)
            && query.model.as_ref().is_none_or(|model| *model == row.model)
            && query.target.as_ref().is_none_or(|target| *target == row.target)
            && query.after.is_none_or(|after| (row.started_at, row.run) < after)
    }
}
