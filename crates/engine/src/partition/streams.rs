//! The folded streams of a partition: loaded when asked for by folding their records, kept while in flight, and
//! a bounded number of others besides.
//!
//! Folding begins at the state that the view keeps, at the last chapter, or at the first record, whichever comes last.
//! A long stream's state is kept now and then, so that a start after a crash, which needs many streams at once, folds
//! little of each.
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
use wire::codec::{self, Canonical};
use wire::record::{self, Body, Recorded};

use super::config::Config;
use crate::ENGINE_VERSION;
use crate::fold::{self, Folded};
use crate::port::row::ChapterAt;
use crate::port::store::{self, KeptState, Store};

/// How many records of a stream are read at once.
const STREAM_RECORDS_MAX: usize = 256;
/// A state is kept the less often the larger it is: so many bytes for each record at most.
const KEPT_BYTES_PER_RECORD: u64 = 256;

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
    /// Its state is kept again once so many records touch it.
    keep_at: u64,
}

impl<D: Decider> std::fmt::Debug for Slot<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { folded, used, keep_at: _ } = self;
        write!(f, "Slot(to {}, parked {:?}, used {used})", folded.last_seq, folded.parked)
    }
}

#[derive(Debug)]
pub(super) struct Streams {
    partition: u32,
    store: Arc<dyn Store>,
    cached_max: usize,
    keep_every: u64,
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
            keep_every: config.bounds.keep_every,
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
            let (folded, keep_at) = self.load(&StreamId::Run(run), u64::MAX, fold_run(run))?;
            self.runs.insert(run, Slot { folded, used: 0, keep_at });
        }
        self.uses += 1;
        let slot = self.runs.get_mut(&run).expect("it was just put there");
        slot.used = self.uses;
        Ok(slot)
    }

    pub(super) fn target(&mut self, target: &TargetId) -> Result<&mut Slot<Target>, Unavailable> {
        if !self.targets.contains_key(target) {
            let stream = StreamId::Target(target.clone());
            let (folded, keep_at) = self.load(&stream, u64::MAX, fold_target(target))?;
            self.targets.insert(target.clone(), Slot { folded, used: 0, keep_at });
        }
        self.uses += 1;
        let slot = self.targets.get_mut(target).expect("it was just put there");
        slot.used = self.uses;
        Ok(slot)
    }

    /// The run as it was after record `upto`.
    pub(super) fn run_at(&mut self, run: RunId, upto: u64) -> Result<Folded<Run>, Unavailable> {
        Ok(self.load(&StreamId::Run(run), upto, fold_run(run))?.0)
    }

    /// The target as it was after record `upto`.
    pub(super) fn target_at(&mut self, target: &TargetId, upto: u64) -> Result<Folded<Target>, Unavailable> {
        Ok(self.load(&StreamId::Target(target.clone()), upto, fold_target(target))?.0)
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

    /// The stream's state, when it is time to keep it.
    pub(super) fn keep(&mut self, stream: &StreamId) -> Option<KeptState> {
        let keep_every = self.keep_every;
        match stream {
            StreamId::Definitions => None,
            StreamId::Run(run) => self.runs.get_mut(run)?.keep(stream, keep_every),
            StreamId::Target(target) => self.targets.get_mut(target)?.keep(stream, keep_every),
        }
    }

    /// Folds the stream's records from its last chapter or the kept state on, as far as they can be read. Says, too, by
    /// how many records its state is to be kept again.
    fn load<D: Keepable>(
        &mut self,
        stream: &StreamId,
        upto: u64,
        fold: impl Fn(&Arc<D>, &[transition::Step], Timestamp) -> Arc<D>,
    ) -> Result<(Folded<D>, u64), Unavailable> {
        let (chapter, transitions) = self.written(stream)?;
        let chapter = chapter.filter(|chapter| chapter.seq <= upto);
        let begins = chapter.map_or(0, |chapter| chapter.seq);
        let before = chapter.map_or(0, |chapter| chapter.before);
        // What is short was never kept since.
        let is_short = transitions.saturating_sub(before) < self.keep_every;
        let kept = if is_short { None } else { self.kept(stream, begins, upto)? };
        let (mut folded, from, keep_at) = match kept {
            Some((folded, bytes)) => {
                let (from, keep_at) =
                    (folded.last_seq + 1, keep_at(folded.transitions, bytes, self.keep_every));
                (folded, from, keep_at)
            }
            None => (Folded::before(chapter), begins, before + self.keep_every),
        };
        let mut from = Some(from);
        while let Some(next) = from {
            let records = self.read(stream, next)?;
            from = next_page(&records);
            for (seq, bytes) in records.into_iter().filter(|(seq, _)| *seq <= upto) {
                let recorded = match self.recorded(stream, &bytes) {
                    Ok(recorded) => recorded,
                    Err(Unavailable::Parked { why, .. }) => {
                        folded.parked = Some(why.into());
                        return Ok((folded, keep_at));
                    }
                    Err(other) => return Err(other),
                };
                folded = folded.and(stream, seq, &recorded, &fold);
            }
        }
        Ok((folded, keep_at))
    }

    /// Where the last chapter begins of a stream that is whole in the view, and how many records it has.
    fn written(&self, stream: &StreamId) -> Result<(Option<ChapterAt>, u64), Unavailable> {
        let written = match stream {
            StreamId::Definitions => Ok(None),
            StreamId::Run(run) => {
                self.store.run(*run).map(|row| row.map(|row| (row.chapter, row.transitions)))
            }
            StreamId::Target(target) => {
                self.store.target(target).map(|row| row.map(|row| (row.chapter, row.transitions)))
            }
        };
        let written = written.map_err(|source| Unavailable::Store { stream: stream.clone(), source })?;
        Ok(written.unwrap_or_default())
    }

    /// The state that is kept of a record between these two, and how many bytes it has. One that this release cannot
    /// read, or that another one folded, is none.
    fn kept<D: Keepable>(
        &self,
        stream: &StreamId,
        from: u64,
        upto: u64,
    ) -> Result<Option<(Folded<D>, u64)>, Unavailable> {
        let kept = self.store.kept(self.partition, stream);
        let kept = kept.map_err(|source| Unavailable::Store { stream: stream.clone(), source })?;
        let fits = |kept: &KeptState| kept.version == ENGINE_VERSION && (from..=upto).contains(&kept.seq);
        let Some(kept) = kept.filter(fits) else { return Ok(None) };
        Ok(D::read_back(&kept.state, &self.known).ok().map(|state| {
            let mut folded = Folded::before(kept.chapter).with(Arc::new(state), kept.seq, kept.updated_at);
            (folded.transitions, folded.chapter) = (kept.transitions, kept.chapter);
            (folded, kept.state.len() as u64)
        }))
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

impl<D: Keepable> Slot<D> {
    fn keep(&mut self, stream: &StreamId, keep_every: u64) -> Option<KeptState> {
        let Folded { updated_at, last_seq, transitions, chapter, .. } = self.folded;
        if transitions < self.keep_at || self.folded.parked.is_some() {
            return None;
        }
        let state = self.folded.state.canonical();
        self.keep_at = keep_at(transitions, state.len() as u64, keep_every);
        let (stream, version) = (stream.clone(), ENGINE_VERSION.to_owned());
        Some(KeptState { stream, version, seq: last_seq, transitions, updated_at, chapter, state })
    }
}

/// By how many records a state is kept again that was kept after so many, with so many bytes.
fn keep_at(transitions: u64, bytes: u64, keep_every: u64) -> u64 {
    transitions + keep_every.max(bytes / KEPT_BYTES_PER_RECORD)
}

/// A state that can be kept.
pub(super) trait Keepable: Chaptered + Canonical {
    fn read_back(bytes: &[u8], known: &codec::Definitions) -> Result<Self, codec::Error>;
}

impl Keepable for Run {
    fn read_back(bytes: &[u8], known: &codec::Definitions) -> Result<Self, codec::Error> {
        codec::decode_run_state(bytes, known)
    }
}

impl Keepable for Target {
    fn read_back(bytes: &[u8], known: &codec::Definitions) -> Result<Self, codec::Error> {
        codec::decode_target_state(bytes, known)
    }
}

fn fold_run(run: RunId) -> impl Fn(&Arc<Run>, &[transition::Step], Timestamp) -> Arc<Run> {
    move |state, steps, now| fold::run_after(state, run, steps, now)
}

fn fold_target(target: &TargetId) -> impl Fn(&Arc<Target>, &[transition::Step], Timestamp) -> Arc<Target> {
    move |state, steps, now| fold::target_after(state, target, steps, now)
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
