//! Reading streams from the view: records decoded, runs and targets folded up to a record or a moment.
//!
//! **Invariant:** a state is folded from recorded events, never from a row. Decoding needs the definitions that
//! records name; those are kept per partition and read on, so that a definition recorded since is known. A state of
//! the last chapter is folded from there; an earlier one from the stream's first record.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use domain::chapter::Chaptered;
use domain::name::{Digest, RunId, StreamId, TargetId};
use domain::run::Run;
use domain::target::Target;
use domain::time::Timestamp;
use domain::transition::Step;
use engine::fold;
use engine::port::row::ChapterAt;
use engine::port::store::Store;
use wire::codec::{Definitions, Parsers};
use wire::record::{self, Body, Recorded};

use crate::problem::Problem;

/// How many records are read from the view at once.
const RECORDS_MAX: usize = 256;

#[derive(Debug)]
pub(crate) struct Reader {
    store: Arc<dyn Store>,
    parsers: Parsers,
    known: Mutex<BTreeMap<u32, Known>>,
}

/// The definitions of a partition, up to a record.
#[derive(Debug)]
struct Known {
    upto: u64,
    definitions: Arc<Definitions>,
}

/// One record of a stream.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) seq: u64,
    pub(crate) hash: Digest,
    pub(crate) recorded: Recorded,
}

/// Up to where to fold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Upto {
    Latest,
    /// This record included.
    Seq(u64),
    /// What was recorded at this moment included.
    Moment(Timestamp),
}

/// A folded state, and what it was folded from.
#[derive(Debug, Clone)]
pub(crate) struct StateAt<S> {
    pub(crate) state: Arc<S>,
    /// The last record folded.
    pub(crate) seq: u64,
    pub(crate) transitions: u64,
    pub(crate) updated_at: Timestamp,
    /// Why it cannot be folded further.
    pub(crate) parked: Option<String>,
}

impl Upto {
    fn includes(self, entry: &Entry) -> bool {
        match self {
            Self::Latest => true,
            Self::Seq(seq) => entry.seq <= seq,
            Self::Moment(at) => entry.recorded.now <= at,
        }
    }
}

impl Reader {
    pub(crate) fn new(store: Arc<dyn Store>, parsers: Parsers) -> Self {
        Self { store, parsers, known: Mutex::default() }
    }

    /// At most `entries_max` records of a stream, from `from` on.
    pub(crate) fn entries(
        &self,
        partition: u32,
        stream: &StreamId,
        from: u64,
        entries_max: usize,
    ) -> Result<Vec<Entry>, Problem> {
        let records = self.store.stream(partition, stream, from, entries_max)?;
        if records.is_empty() {
            return Ok(vec![]);
        }
        // After the records: what they name was recorded before them.
        let known = self.known(partition)?;
        records.into_iter().map(|(seq, bytes)| decoded(seq, &bytes, &known)).collect()
    }

    pub(crate) fn run(&self, partition: u32, run: RunId, upto: Upto) -> Result<StateAt<Run>, Problem> {
        let step = |state: &_, steps: &_, now| fold::run_after(state, run, steps, now);
        let chapter = self.store.run(run)?.and_then(|row| row.chapter);
        self.fold(partition, &StreamId::Run(run), chapter, upto, step)
    }

    pub(crate) fn target(
        &self,
        partition: u32,
        target: &TargetId,
        upto: Upto,
    ) -> Result<StateAt<Target>, Problem> {
        let stream = StreamId::Target(target.clone());
        let step = |state: &_, steps: &_, now| fold::target_after(state, target, steps, now);
        let chapter = self.store.target(target)?.and_then(|row| row.chapter);
        self.fold(partition, &stream, chapter, upto, step)
    }

    /// From the last chapter on, when that is early enough.
    fn fold<S: Chaptered>(
        &self,
        partition: u32,
        stream: &StreamId,
        chapter: Option<ChapterAt>,
        upto: Upto,
        step: impl Fn(&Arc<S>, &[Step], Timestamp) -> Arc<S>,
    ) -> Result<StateAt<S>, Problem> {
        let chapter = match (chapter, upto) {
            (None, _) => None,
            (Some(chapter), Upto::Latest) => Some(chapter),
            (Some(chapter), Upto::Seq(_) | Upto::Moment(_)) => {
                let first = self.entries(partition, stream, chapter.seq, 1)?;
                first.first().is_some_and(|entry| upto.includes(entry)).then_some(chapter)
            }
        };
        let mut folded = StateAt {
            state: Arc::new(S::default()),
            seq: 0,
            transitions: chapter.map_or(0, |chapter| chapter.before),
            updated_at: Timestamp::default(),
            parked: None,
        };
        let mut from = chapter.map_or(0, |chapter| chapter.seq);
        loop {
            let entries = self.entries(partition, stream, from, RECORDS_MAX)?;
            let Some(last) = entries.last().map(|entry| entry.seq) else { return Ok(folded) };
            for entry in entries {
                if !upto.includes(&entry) {
                    return Ok(folded);
                }
                let recorded = &entry.recorded;
                let unread = recorded.unread.iter().find(|(unread, _)| unread == stream);
                if let Some((_, why)) = unread {
                    folded.parked = folded.parked.or_else(|| Some(why.clone()));
                } else {
                    let state = step(&folded.state, &recorded.transition.steps, recorded.now);
                    // A chapter that can be read is all that is needed.
                    let opens = state.chapter().opened != folded.state.chapter().opened;
                    if folded.parked.is_none() || opens {
                        (folded.state, folded.parked) = (state, None);
                    }
                }
                folded.seq = entry.seq;
                folded.transitions += 1;
                folded.updated_at = entry.recorded.now;
            }
            from = last + 1;
        }
    }

    /// The definitions of a partition, read on to its latest.
    fn known(&self, partition: u32) -> Result<Arc<Definitions>, Problem> {
        let mut all = self.known.lock().expect("nothing panics while it holds this lock");
        let known = all
            .entry(partition)
            .or_insert_with(|| Known { upto: 0, definitions: Arc::new(Definitions::new(self.parsers)) });
        loop {
            let records =
                self.store.stream(partition, &StreamId::Definitions, known.upto + 1, RECORDS_MAX)?;
            let Some((last, _)) = records.last() else { return Ok(Arc::clone(&known.definitions)) };
            let last = *last;
            let definitions = Arc::make_mut(&mut known.definitions);
            for (_, bytes) in &records {
                definitions.register(bytes).map_err(|error| Problem::internal(&error))?;
            }
            known.upto = last;
        }
    }
}

fn decoded(seq: u64, bytes: &[u8], known: &Definitions) -> Result<Entry, Problem> {
    let record = record::decode(bytes, known).map_err(|error| Problem::internal(&error))?;
    match record.body {
        Body::Transition(recorded) => Ok(Entry { seq, hash: record::hash(bytes), recorded: *recorded }),
        Body::Created { .. } | Body::Claimed { .. } | Body::FormatRaised { .. } => {
            Err(Problem::internal(&NoTransition(seq)))
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("expected a transition in a stream, but record {0} is none")]
struct NoTransition(u64);
