//! The folded streams of a partition: loaded when asked for by folding their records, kept while in flight, and
//! a bounded number of others besides.
//!
//! **Invariant:** a stream whose latest record is not durable in the view stays in memory, for folding again
//! would miss that record.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::chapter::{self, Chaptered};
use domain::decider::Decider;
use domain::definition;
use domain::name::{RunId, StreamId, TargetId};
use domain::run::Run;
use domain::target::Target;
use domain::time::Timestamp;
use domain::transition;
use wire::codec;
use wire::record::{self, Body, Recorded};

use super::config::Config;
use crate::fold::{self, Folded};
use crate::port::row::ChapterAt;
use crate::port::store::{self, Store};

/// How many records of a stream are read at once.
const STREAM_RECORDS_MAX: usize = 256;

/// Why a stream cannot be decided on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unavailable {
    #[error("stream {stream} needs an upgrade: {why}")]
    Parked { stream: StreamId, why: String },
    #[error("failed to read stream {stream}")]
    Store {
        stream: StreamId,
        #[source]
        source: store::Error,
    },
}

pub(super) struct Slot<D: Decider> {
    pub folded: Folded<D>,
    used: u64,
}

impl<D: Decider> std::fmt::Debug for Slot<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { folded, used } = self;
        write!(f, "Slot(to {}, parked {:?}, used {used})", folded.last_seq, folded.parked)
    }
}

#[derive(Debug)]
pub(super) struct Streams {
    partition: u32,
    store: Arc<dyn Store>,
    cached_max: usize,
    chapters: chapter::Bounds,
    /// Up to this record the view is durable.
    pub committed: u64,
    /// The texts that this partition's records name, parsed.
    pub known: codec::Definitions,
    pub definitions: Arc<definition::Definitions>,
    definitions_seq: u64,
    runs: BTreeMap<RunId, Slot<Run>>,
    targets: BTreeMap<TargetId, Slot<Target>>,
    uses: u64,
}

impl Streams {
    /// With the definitions folded, which every other record needs.
    pub(super) fn open(config: &Config, store: Arc<dyn Store>, committed: u64) -> Result<Self, Unavailable> {
        let mut streams = Self {
            partition: config.partition,
            store,
            cached_max: config.bounds.streams_cached_max,
            chapters: config.bounds.chapters,
            committed,
            known: codec::Definitions::new(config.parsers),
            definitions: Arc::default(),
            definitions_seq: 0,
            runs: BTreeMap::new(),
            targets: BTreeMap::new(),
            uses: 0,
        };
        streams.reload_definitions()?;
        Ok(streams)
    }

    /// Forgets what is not accepted: everything is folded again from the view, which must hold all that is.
    pub(super) fn forget(&mut self) -> Result<(), Unavailable> {
        self.runs.clear();
        self.targets.clear();
        if self.definitions_seq > self.committed {
            self.reload_definitions()?;
        }
        Ok(())
    }

    fn reload_definitions(&mut self) -> Result<(), Unavailable> {
        self.definitions = Arc::default();
        self.definitions_seq = 0;
        let stream = StreamId::Definitions;
        let mut from = Some(0);
        while let Some(next) = from {
            let records = self.read(&stream, next)?;
            from = next_page(&records);
            for (seq, bytes) in records {
                let recorded = self.recorded(&stream, &bytes)?;
                self.definitions = fold::definitions_after(&self.definitions, &recorded.transition.steps);
                self.definitions_seq = seq;
            }
        }
        Ok(())
    }

    pub(super) fn run(&mut self, run: RunId) -> Result<&mut Slot<Run>, Unavailable> {
        if !self.runs.contains_key(&run) {
            let folded = self.run_at(run, u64::MAX)?;
            self.runs.insert(run, Slot { folded, used: 0 });
        }
        self.uses += 1;
        let slot = self.runs.get_mut(&run).expect("it was just put there");
        slot.used = self.uses;
        Ok(slot)
    }

    pub(super) fn target(&mut self, target: &TargetId) -> Result<&mut Slot<Target>, Unavailable> {
        if !self.targets.contains_key(target) {
            let folded = self.target_at(target, u64::MAX)?;
            self.targets.insert(target.clone(), Slot { folded, used: 0 });
        }
        self.uses += 1;
        let slot = self.targets.get_mut(target).expect("it was just put there");
        slot.used = self.uses;
        Ok(slot)
    }

    /// The run as it was after record `upto`.
    pub(super) fn run_at(&mut self, run: RunId, upto: u64) -> Result<Folded<Run>, Unavailable> {
        let fold = |state: &_, steps: &_, now| fold::run_after(state, run, steps, now);
        self.load(&StreamId::Run(run), upto, fold)
    }

    /// The target as it was after record `upto`.
    pub(super) fn target_at(&mut self, target: &TargetId, upto: u64) -> Result<Folded<Target>, Unavailable> {
        let fold = |state: &_, steps: &_, now| fold::target_after(state, target, steps, now);
        self.load(&StreamId::Target(target.clone()), upto, fold)
    }

    pub(super) fn define(&mut self, definitions: Arc<definition::Definitions>, seq: u64) {
        self.definitions = definitions;
        self.definitions_seq = seq;
    }

    /// Drops the streams that were not used for longest, when there are too many.
    pub(super) fn shrink(&mut self) {
        let committed = self.committed;
        if self.runs.len() > self.cached_max {
            let kept = keep_from(self.runs.values().map(|slot| slot.used), self.cached_max);
            self.runs.retain(|_, slot| slot.used >= kept || slot.is_held(committed));
        }
        if self.targets.len() > self.cached_max {
            let kept = keep_from(self.targets.values().map(|slot| slot.used), self.cached_max);
            self.targets.retain(|_, slot| slot.used >= kept || slot.is_held(committed));
        }
    }

    /// Whether its latest record is not durable in the view.
    pub(super) fn is_held(&self, stream: &StreamId) -> bool {
        let committed = self.committed;
        match stream {
            StreamId::Definitions => self.definitions_seq > committed,
            StreamId::Run(run) => self.runs.get(run).is_some_and(|slot| slot.is_held(committed)),
            StreamId::Target(target) => self.targets.get(target).is_some_and(|slot| slot.is_held(committed)),
        }
    }

    #[cfg(test)]
    pub(super) fn cached(&self) -> usize {
        self.runs.len() + self.targets.len()
    }

    /// Folds the stream's records from its last chapter on, as far as they can be read.
    fn load<D: Chaptered>(
        &mut self,
        stream: &StreamId,
        upto: u64,
        fold: impl Fn(&Arc<D>, &[transition::Step], Timestamp) -> Arc<D>,
    ) -> Result<Folded<D>, Unavailable> {
        let chapter = self.chapter_of(stream)?.filter(|chapter| chapter.seq <= upto);
        let mut folded = Folded::before(chapter);
        let mut from = Some(chapter.map_or(0, |chapter| chapter.seq));
        while let Some(next) = from {
            let records = self.read(stream, next)?;
            from = next_page(&records);
            for (seq, bytes) in records.into_iter().filter(|(seq, _)| *seq <= upto) {
                let recorded = match self.recorded(stream, &bytes) {
                    Ok(recorded) => recorded,
                    Err(Unavailable::Parked { why, .. }) => {
                        folded.parked = Some(why.into());
                        return Ok(folded);
                    }
                    Err(other) => return Err(other),
                };
                folded = folded.and(stream, seq, &recorded, &fold);
            }
        }
        Ok(folded)
    }

    /// Where the last chapter begins of a stream that is whole in the view.
    fn chapter_of(&self, stream: &StreamId) -> Result<Option<ChapterAt>, Unavailable> {
        let chapter = match stream {
            StreamId::Definitions => Ok(None),
            StreamId::Run(run) => self.store.run(*run).map(|row| row?.chapter),
            StreamId::Target(target) => self.store.target(target).map(|row| row?.chapter),
        };
        chapter.map_err(|source| Unavailable::Store { stream: stream.clone(), source })
    }

    fn read(&self, stream: &StreamId, from: u64) -> Result<Vec<(u64, Vec<u8>)>, Unavailable> {
        self.store
            .stream(self.partition, stream, from, STREAM_RECORDS_MAX)
            .map_err(|source| Unavailable::Store { stream: stream.clone(), source })
    }

    fn recorded(&mut self, stream: &StreamId, bytes: &[u8]) -> Result<Recorded, Unavailable> {
        let parked = |why: String| Unavailable::Parked { stream: stream.clone(), why };
        let opened = record::open(bytes).map_err(|error| parked(error.to_string()))?;
        if *stream == StreamId::Definitions {
            opened.register(&mut self.known).map_err(|error| parked(error.to_string()))?;
        }
        let record = opened.decode(&self.known).map_err(|error| parked(error.to_string()))?;
        match record.body {
            Body::Transition(recorded) => Ok(*recorded),
            _ => Err(parked(format!("record {} is no transition", record.seq))),
        }
    }
}

impl<D: Decider> Slot<D> {
    fn is_held(&self, committed: u64) -> bool {
        self.folded.last_seq > committed
    }
}

/// Where the page after this one begins; nothing after the last.
fn next_page(records: &[(u64, Vec<u8>)]) -> Option<u64> {
    let (last, _) = records.last()?;
    (records.len() == STREAM_RECORDS_MAX).then_some(last + 1)
}

/// The least use to keep, so that at most three quarters of the bound stay: shrinking is rare, then.
fn keep_from(uses: impl Iterator<Item = u64>, cached_max: usize) -> u64 {
    let mut uses: Vec<u64> = uses.collect();
    uses.sort_unstable_by(|a, b| b.cmp(a));
    uses.get(cached_max * 3 / 4).map_or(0, |used| used + 1)
}

impl transition::Streams for Streams {
    type Error = Unavailable;

    fn is_parked(error: &Unavailable) -> bool {
        matches!(error, Unavailable::Parked { .. })
    }

    fn definitions(&mut self) -> Result<Arc<definition::Definitions>, Unavailable> {
        Ok(Arc::clone(&self.definitions))
    }

    fn chapters(&self) -> chapter::Bounds {
        self.chapters
    }

    fn run(&mut self, run: RunId) -> Result<Arc<Run>, Unavailable> {
        let slot = Self::run(self, run)?;
        match &slot.folded.parked {
            Some(why) => Err(Unavailable::Parked { stream: StreamId::Run(run), why: why.to_string() }),
            None => Ok(Arc::clone(&slot.folded.state)),
        }
    }

    fn target(&mut self, target: &TargetId) -> Result<Arc<Target>, Unavailable> {
        let slot = Self::target(self, target)?;
        match &slot.folded.parked {
            Some(why) => {
                let stream = StreamId::Target(target.clone());
                Err(Unavailable::Parked { stream, why: why.to_string() })
            }
            None => Ok(Arc::clone(&slot.folded.state)),
        }
    }
}
