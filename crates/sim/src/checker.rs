//! What must hold after every write: the log folded by its own rules, apart from the engine, and held against what
//! the engine says, against its view, and against the invariants of the core.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::chapter::{self, Chaptered};
use domain::invariant::{self, Broken};
use domain::name::{AttemptId, Digest, RunId, StreamId, TargetId, Version};
use domain::routes::{Generation, RouteTable};
use domain::time::Timestamp;
use domain::transition::{Input, Step};
use domain::weight::Weight;
use domain::work::Command;
use domain::{run, target};
use engine::chain::Identity;
use engine::fold::{self, Folded};
use engine::port::log::Log as _;
use engine::port::row::{ChapterAt, RunRow, TargetRow};
use engine::port::store::Store;
use engine::replay::{self, ReadError, Reader, Report, States};
use engine::request::Request;
use wire::record::{self, Body, Lane, Record, Recorded};

use crate::defects::PLANTED;
use crate::disk::Disk;

/// Streams are cut all the time; the first chapters are what whole streams are.
pub(crate) const CHAPTERS: chapter::Bounds = chapter::Bounds { target_events_max: 12, run_events_max: 8 };

/// One partition, folded.
#[derive(Debug)]
struct Part {
    reader: Reader,
    states: States,
    next: u64,
    /// Where the input of a record came from, by `seq`.
    origins: BTreeMap<u64, (Option<Lane>, Option<String>)>,
}

#[derive(Debug)]
pub(crate) struct Checker {
    parts: Vec<Part>,
    identity: Identity,
    pub(crate) transitions: u64,
    /// Chapters that were opened.
    pub(crate) chapters: u64,
    /// When each attempt was last heard of by its desk, in this life of the process.
    pub(crate) heard: BTreeMap<AttemptId, Timestamp>,
    outstanding: BTreeMap<StreamId, Vec<AttemptId>>,
    /// Requests by what they ask, and the answers of workers that counted.
    decided: BTreeSet<Digest>,
    answered: BTreeSet<AttemptId>,
    started: BTreeSet<(TargetId, Version)>,
    /// Every table that was ever raised.
    tables: BTreeMap<(TargetId, Generation), RouteTable>,
    /// The most of the traffic that a run ever asked for.
    shares: BTreeMap<RunId, Weight>,
}

impl Checker {
    pub(crate) fn new(log_id: [u8; 16], partitions: u32) -> Self {
        let identity = Identity { log_id: Some(log_id), partition: 0, partitions };
        let part = |partition| Part {
            reader: Reader::new(Identity { partition, ..identity }, wire::definitions::parsers()),
            states: States::default(),
            next: 0,
            origins: BTreeMap::new(),
        };
        Self {
            parts: (0..partitions).map(part).collect(),
            identity,
            transitions: 0,
            chapters: 0,
            heard: BTreeMap::new(),
            outstanding: BTreeMap::new(),
            decided: BTreeSet::new(),
            answered: BTreeSet::new(),
            started: BTreeSet::new(),
            tables: BTreeMap::new(),
            shares: BTreeMap::new(),
        }
    }

    pub(crate) fn runs(&self) -> impl Iterator<Item = (RunId, &run::Run)> {
        self.parts.iter().flat_map(|part| part.states.runs.iter().map(|(id, folded)| (*id, &*folded.state)))
    }

    pub(crate) fn run(&self, run: RunId) -> Option<&run::Run> {
        self.parts.iter().find_map(|part| part.states.runs.get(&run)).map(|folded| &*folded.state)
    }

    pub(crate) fn targets(&self) -> impl Iterator<Item = (&TargetId, &target::Target)> {
        self.parts.iter().flat_map(|part| part.states.targets.iter().map(|(id, folded)| (id, &*folded.state)))
    }

    pub(crate) fn target(&self, target: &TargetId) -> Option<&target::Target> {
        self.parts.iter().find_map(|part| part.states.targets.get(target)).map(|folded| &*folded.state)
    }

    pub(crate) fn losers(&self) -> u64 {
        self.parts.iter().map(|part| part.reader.head().losers).sum()
    }

    /// Attempts that the log says are outstanding.
    pub(crate) fn outstanding(&self) -> impl Iterator<Item = &AttemptId> {
        self.outstanding.values().flatten()
    }

    /// The commands of a stream that are outstanding.
    pub(crate) fn commands(&self, stream: &StreamId) -> Vec<Command> {
        let find = |part: &Part| match stream {
            StreamId::Definitions => None,
            StreamId::Run(run) => {
                let folded = part.states.runs.get(run)?;
                Some(fold::commands(folded.effects()).cloned().collect())
            }
            StreamId::Target(target) => {
                let folded = part.states.targets.get(target)?;
                Some(fold::commands(folded.effects()).cloned().collect())
            }
        };
        self.parts.iter().find_map(find).unwrap_or_default()
    }

    /// The rows of some streams, sorted.
    pub(crate) fn rows(&self, partition: u32, streams: &BTreeSet<StreamId>) -> (Vec<RunRow>, Vec<TargetRow>) {
        let states = &self.parts[partition as usize].states;
        let (mut runs, mut targets) = (vec![], vec![]);
        for stream in streams {
            match stream {
                StreamId::Definitions => {}
                StreamId::Run(run) => runs.extend(fold::run_row(partition, &states.runs[run])),
                StreamId::Target(target) => {
                    targets.extend(fold::target_row(partition, target, &states.targets[target]));
                }
            }
        }
        (runs, targets)
    }

    pub(crate) fn has_roles(&self, partition: u32) -> bool {
        self.parts[partition as usize].states.definitions.roles.is_some()
    }

    /// The texts that a partition's records have defined.
    pub(crate) fn known(&self, partition: u32) -> &wire::codec::Definitions {
        self.parts[partition as usize].reader.known()
    }

    /// Reads what is new on the disk, and looks at everything it touches. Gives a line of each record for the trace.
    /// Nobody sees the view of a process that is not up, which may be behind.
    pub(crate) fn catch_up(&mut self, disk: &Disk, is_up: bool) -> Result<Vec<String>, String> {
        let mut lines = vec![];
        for index in 0..self.parts.len() {
            let partition = index as u32;
            let end = disk.end(partition).map_err(|error| error.to_string())?;
            let next = self.parts[index].next;
            if end < next {
                return Err(format!(
                    "partition {partition} lost records: it ends at {end}, and was read to {next}"
                ));
            }
            let mut touched = BTreeSet::new();
            for landed in disk.read(partition, next, usize::MAX).map_err(|error| error.to_string())? {
                self.parts[index].next = landed.offset + 1;
                let Some(record) = self.read(partition, &landed.bytes)? else {
                    return Err(format!("record at {} of partition {partition} does not fit", landed.offset));
                };
                let Body::Transition(recorded) = record.body else { continue };
                touched.extend(recorded.transition.steps.iter().map(Step::stream));
                lines.push(format!("{partition}/{} {}", record.seq, in_words(&recorded)));
            }
            if is_up {
                self.compare_rows(index, disk, &touched)?;
            }
        }
        Ok(lines)
    }

    /// Every row of the view is what the log folds to.
    pub(crate) fn compare_all(&self, disk: &Disk) -> Result<(), String> {
        for (index, part) in self.parts.iter().enumerate() {
            let runs = part.states.runs.keys().map(|run| StreamId::Run(*run));
            let targets = part.states.targets.keys().cloned().map(StreamId::Target);
            self.compare_rows(index, disk, &runs.chain(targets).collect())?;
        }
        Ok(())
    }

    /// Reads one more record by the rule of every reader, and looks at all that it changes; nothing for a loser.
    pub(crate) fn read(&mut self, partition: u32, bytes: &[u8]) -> Result<Option<Record>, String> {
        let index = partition as usize;
        let read = self.parts[index].reader.read(bytes).map_err(|error| chain_of(&error))?;
        let replay::Step::Accepted(record) = read else { return Ok(None) };
        if let Body::Transition(recorded) = &record.body {
            self.take(index, record.seq, recorded)?;
        }
        Ok(Some(*record))
    }

    fn take(&mut self, index: usize, seq: u64, recorded: &Recorded) -> Result<(), String> {
        self.transitions += 1;
        Self::expect_news(seq, recorded)?;
        self.expect_once(recorded)?;
        self.expect_lease(index, recorded)?;
        let part = &mut self.parts[index];
        part.origins.insert(seq, (recorded.lane, recorded.input_id.clone()));
        let streams: BTreeSet<StreamId> = recorded.transition.steps.iter().map(Step::stream).collect();
        let mut before: BTreeMap<TargetId, Arc<target::Target>> = BTreeMap::new();
        for stream in &streams {
            if let StreamId::Target(target) = stream
                && let Some(folded) = part.states.targets.get(target)
            {
                before.insert(target.clone(), Arc::clone(&folded.state));
            }
        }
        part.states.apply(seq, recorded);
        // No decision of this binary fails but where a defect was planted, and no event of its log does not fit.
        for stream in &streams {
            let quarantine = match stream {
                StreamId::Definitions => None,
                StreamId::Run(run) => part.states.runs[run].state.quarantine(),
                StreamId::Target(target) => part.states.targets[target].state.quarantine(),
            };
            if let Some(quarantine) = quarantine
                && !quarantine.why.contains(PLANTED)
            {
                return Err(format!("{stream} is quarantined: {}", quarantine.why));
            }
        }
        for step in &recorded.transition.steps {
            self.remember(step);
            self.chapters +=
                step.event_names().iter().filter(|name| **name == "ChapterOpened").count() as u64;
        }
        let part = &self.parts[index];
        let mut broken = vec![];
        for stream in &streams {
            match stream {
                StreamId::Definitions => {}
                StreamId::Run(run) => {
                    let state = &part.states.runs[run].state;
                    broken.extend(invariant::of_run(state));
                    if let Some(start) = &state.start
                        && let Some(target) = part.states.targets.get(&start.target)
                    {
                        broken.extend(invariant::of_both(state, &target.state));
                    }
                    let open = fold::commands(part.states.runs[run].effects());
                    let open = open.map(|command| command.attempt.clone()).collect();
                    self.outstanding.insert(stream.clone(), open);
                }
                StreamId::Target(target) => {
                    let after = &part.states.targets[target];
                    broken.extend(invariant::of_target(&after.state));
                    let former = before.get(target).cloned().unwrap_or_default();
                    broken.extend(invariant::between(&former, &after.state));
                    for entry in &after.state.under_way {
                        if let Some(run) = part.states.runs.get(&entry.run) {
                            broken.extend(invariant::of_both(&run.state, &after.state));
                        }
                    }
                    let open =
                        fold::commands(after.effects()).map(|command| command.attempt.clone()).collect();
                    self.outstanding.insert(stream.clone(), open);
                }
            }
        }
        match broken.first() {
            None => Ok(()),
            Some(Broken { number, text }) => Err(format!("invariant {number} at record {seq}: {text}")),
        }
    }

    /// A lease is looked at outside of the log: only its end is recorded, and then something follows.
    fn expect_news(seq: u64, recorded: &Recorded) -> Result<(), String> {
        let transition = &recorded.transition;
        let of_a_lease = transition.steps.first().is_some_and(|step| step.input_name() == "LeaseEnded");
        let says_nothing = transition.steps.iter().all(|step| step.event_names().is_empty());
        if of_a_lease && says_nothing {
            return Err(format!("record {seq} says nothing: {}", in_words(recorded)));
        }
        Ok(())
    }

    /// Nothing is decided twice: a request, a trigger, an attempt.
    fn expect_once(&mut self, recorded: &Recorded) -> Result<(), String> {
        let refused = recorded.transition.refused.is_some();
        let Some(input) = Self::outside(recorded) else { return Ok(()) };
        // What is held is not decided yet.
        let is_held = recorded.transition.steps[0].event_names().contains(&"InputHeld");
        if recorded.lane == Some(Lane::Requests)
            && let Some(request) = Request::of(&input)
            && !matches!(request, Request::Define(_))
            && !self.decided.insert(request.content())
        {
            return Err(format!("a request was decided twice: {request:?}"));
        }
        match input {
            Input::Run(_, run::Input::Start(start))
                if !refused
                    && !self.started.insert((start.target.clone(), start.trained.version.clone())) =>
            {
                Err(format!("version {} of {} has two runs", start.trained.version, start.target))
            }
            Input::Run(_, run::Input::Report { attempt, .. })
                if !refused && !is_held && !self.answered.insert(attempt.clone()) =>
            {
                Err(format!("two answers to attempt {attempt} counted"))
            }
            _ => Ok(()),
        }
    }

    /// The input that a transition began with.
    pub(crate) fn outside(recorded: &Recorded) -> Option<Input> {
        recorded.transition.steps.first().map(|step| match step {
            Step::Definitions { input, .. } => Input::Define(input.clone()),
            Step::Run { run, input, .. } => Input::Run(*run, input.clone()),
            Step::Target { target, input, .. } => Input::Target(target.clone(), input.clone()),
        })
    }

    /// A lease ends only when nothing was heard of its attempt for all of it.
    fn expect_lease(&self, index: usize, recorded: &Recorded) -> Result<(), String> {
        let states = &self.parts[index].states;
        let find = |attempt: &AttemptId| match &attempt.owner {
            StreamId::Definitions => None,
            StreamId::Run(run) => {
                fold::commands(states.runs.get(run)?.effects()).find(|command| command.attempt == *attempt)
            }
            StreamId::Target(target) => fold::commands(states.targets.get(target)?.effects())
                .find(|command| command.attempt == *attempt),
        };
        let Some(
            Step::Run { input: run::Input::LeaseEnded { attempt: ended, .. }, .. }
            | Step::Target { input: target::Input::LeaseEnded { attempt: ended, .. }, .. },
        ) = recorded.transition.steps.first()
        else {
            return Ok(());
        };
        let (Some(heard), Some(command)) = (self.heard.get(ended), find(ended)) else { return Ok(()) };
        if recorded.now < *heard + command.lease {
            return Err(format!(
                "the lease of {ended} ended {} after it was heard of",
                recorded.now - *heard
            ));
        }
        Ok(())
    }

    fn remember(&mut self, step: &Step) {
        match step {
            Step::Definitions { .. } => {}
            Step::Run { run, events, .. } => {
                for event in events {
                    if let run::Event::StepEntered { weight, .. } = event {
                        let share = self.shares.entry(*run).or_default();
                        *share = (*share).max(*weight);
                    }
                }
            }
            Step::Target { target, events, .. } => {
                for event in events {
                    if let target::Event::GenerationRaised { table, .. } = event {
                        self.tables.insert((target.clone(), table.generation), table.clone());
                    }
                }
            }
        }
    }

    /// Rows of the view equal a fresh fold, and the view's head the log's.
    fn compare_rows(&self, index: usize, disk: &Disk, streams: &BTreeSet<StreamId>) -> Result<(), String> {
        let (partition, part) = (index as u32, &self.parts[index]);
        let text = |error: engine::port::store::Error| error.to_string();
        for stream in streams {
            let same = match stream {
                StreamId::Definitions => true,
                StreamId::Run(run) => {
                    disk.run(*run).map_err(text)? == fold::run_row(partition, &part.states.runs[run])
                }
                StreamId::Target(target) => {
                    let row = fold::target_row(partition, target, &part.states.targets[target]);
                    disk.target(target).map_err(text)? == row
                }
            };
            if !same {
                return Err(format!("the row of {stream} is not what the log folds to"));
            }
        }
        let head = disk.head(partition).map_err(text)?;
        let seq = part.reader.head().seq;
        if head.as_ref().map_or(0, |head| head.seq) != seq {
            return Err(format!("the view of partition {partition} does not stand at record {seq}"));
        }
        Ok(())
    }

    /// What was answered is durable, and is what was said.
    pub(crate) fn expect_recorded(
        &self,
        partition: u32,
        seq: u64,
        lane: Lane,
        input_id: Option<&str>,
    ) -> Result<(), String> {
        match self.parts[partition as usize].origins.get(&seq) {
            Some((found, id)) if *found == Some(lane) && id.as_deref() == input_id => Ok(()),
            found => {
                Err(format!("record {partition}/{seq} was acknowledged to {input_id:?}, but is {found:?}"))
            }
        }
    }

    /// A gateway is told only what the log holds, and nobody gets more than a step of its run asked for.
    pub(crate) fn may_route(&self, target: &TargetId, table: &RouteTable) -> Result<(), String> {
        let generation = table.generation;
        if self.tables.get(&(target.clone(), generation)) != Some(table) {
            return Err(format!(
                "a gateway of {target} is told generation {generation}, which no record holds"
            ));
        }
        for route in &table.routes {
            let Some(run) = route.release.run else { continue };
            let most = self.shares.get(&run).copied().unwrap_or_default();
            if route.weight > most {
                return Err(format!(
                    "run {run} gets {} of {target}, but asked for {most} at most",
                    route.weight
                ));
            }
        }
        Ok(())
    }

    /// At the end: the whole log read again from its first record, every input decided again.
    pub(crate) fn verify(&self, disk: &Disk) -> Result<(), String> {
        for partition in 0..self.parts.len() as u32 {
            self.verify_partition(partition, replay::from_log(disk, partition), &[disk])?;
        }
        Ok(())
    }

    /// A partition's records, from its first, and the views that were made of them.
    pub(crate) fn verify_partition<E: Into<ReadError>>(
        &self,
        partition: u32,
        records: impl IntoIterator<Item = Result<Vec<u8>, E>>,
        views: &[&dyn Store],
    ) -> Result<(), String> {
        let reader = Reader::new(Identity { partition, ..self.identity }, wire::definitions::parsers());
        let report = replay::verify_with(records, reader, CHAPTERS).map_err(|error| chain_of(&error))?;
        if let Some(broken) = report.chapters.broken_first.first() {
            return Err(format!("a chapter does not begin with what the one before ended with: {broken:?}"));
        }
        if let Some(difference) = report.differences.first() {
            return Err(format!("decided differently when decided again: {difference:?}"));
        }
        if report.state != self.parts[partition as usize].states.hash() {
            return Err(format!("partition {partition} folds to another state the second time"));
        }
        for view in views {
            let rows = report.rows_differing(partition, *view).map_err(|error| error.to_string())?;
            if let Some(row) = rows.first() {
                return Err(format!("the row of {row} is not what the log folds to"));
            }
            self.begin_at_chapters(partition, *view, &report)?;
        }
        Ok(())
    }

    /// A reader that begins where the view says that the last chapter does comes to the same state.
    fn begin_at_chapters(&self, partition: u32, view: &dyn Store, report: &Report) -> Result<(), String> {
        let text = |error: engine::port::store::Error| error.to_string();
        let known = self.known(partition);
        for (id, whole) in &report.states.runs {
            let chapter = view.run(*id).map_err(text)?.and_then(|row| row.chapter);
            let stream = StreamId::Run(*id);
            let fold = |state: &_, steps: &[Step], now| fold::run_after(state, *id, steps, now);
            from_chapter(partition, view, &stream, chapter, known, whole, fold)?;
        }
        for (id, whole) in &report.states.targets {
            let chapter = view.target(id).map_err(text)?.and_then(|row| row.chapter);
            let stream = StreamId::Target(id.clone());
            let fold = |state: &_, steps: &[Step], now| fold::target_after(state, id, steps, now);
            from_chapter(partition, view, &stream, chapter, known, whole, fold)?;
        }
        Ok(())
    }
}

fn from_chapter<D: Chaptered + PartialEq>(
    partition: u32,
    view: &dyn Store,
    stream: &StreamId,
    chapter: Option<ChapterAt>,
    known: &wire::codec::Definitions,
    whole: &Folded<D>,
    fold: impl Fn(&Arc<D>, &[Step], Timestamp) -> Arc<D>,
) -> Result<(), String> {
    let mut folded = Folded::before(chapter);
    let from = chapter.map_or(0, |chapter| chapter.seq);
    let records = view.stream(partition, stream, from, usize::MAX).map_err(|error| error.to_string())?;
    for (seq, bytes) in records {
        let record = record::decode(&bytes, known).map_err(|error| error.to_string())?;
        let Body::Transition(recorded) = record.body else { continue };
        folded = folded.and(stream, seq, &recorded, &fold);
    }
    let same = folded.state == whole.state && folded.chapter == whole.chapter;
    if !same || folded.transitions != whole.transitions {
        return Err(format!("{stream} is another when it is read from its last chapter on, {chapter:?}"));
    }
    Ok(())
}

/// A record as a line of the trace.
pub(crate) fn in_words(recorded: &Recorded) -> String {
    let step = |step: &Step| format!("{}({}) {:?}", step.input_name(), step.stream(), step.event_names());
    let steps: Vec<_> = recorded.transition.steps.iter().map(step).collect();
    format!("{} {}", recorded.now.0, steps.join("; "))
}

/// An error with its causes.
pub(crate) fn chain_of(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain_of(source)),
        None => error.to_string(),
    }
}
