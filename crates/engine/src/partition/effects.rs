//! What one transition changes around its streams: rows, timers, commands to send and to withdraw.
//!
//! The same for records of its own, when they are decided, and for those read of others.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::evidence::Text;
use domain::name::{AttemptId, RunId, StreamId, TargetId};
use domain::transition::{Changed, Input, Step, Transition};
use domain::work::Command;
use domain::{run, target};
use wire::record::{Lane, Recorded};

use super::signal::WorkOrder;
use super::{Partition, Role, RowsPutOff, stopped};
use crate::chain;
use crate::code::Stopped;
use crate::fold;
use crate::port::row::{RunRow, TargetRow, Withheld};
use crate::port::store::{Accepted, Commit, KeptState, RequestRow};
use crate::request::Request;
use crate::token;

/// All that follows from one record, once it is accepted.
#[derive(Debug, Default)]
pub(super) struct Settled {
    pub streams: Vec<StreamId>,
    pub runs: Vec<RunRow>,
    pub targets: Vec<TargetRow>,
    pub requests: Vec<RequestRow>,
    pub kept: Vec<KeptState>,
    pub orders: Vec<WorkOrder>,
    pub cancels: Vec<AttemptId>,
    /// Rows and states are added later, see [`Partition::add_rows`].
    pub lacks_rows: bool,
}

impl Settled {
    /// Its part of a commit; the place in the log is the caller's to fill in.
    pub(super) fn commit(self) -> Commit {
        let identity = chain::Identity { log_id: None, partition: 0, partitions: 0 };
        Commit {
            partition: 0,
            after: 0,
            head: chain::before_first(identity),
            records: vec![Accepted { seq: 0, offset: 0, bytes: vec![], streams: self.streams }],
            runs: self.runs,
            targets: self.targets,
            requests: self.requests,
            kept: self.kept,
            requests_from: 0,
            lacks_rows: self.lacks_rows,
        }
    }
}

impl Partition {
    /// Takes the transition into the streams' states, as decided (`changed`) or by folding its events.
    pub(super) fn settle(
        &mut self,
        seq: u64,
        recorded: &Recorded,
        changed: Option<Changed>,
    ) -> Result<Settled, Stopped> {
        let mut settled = Settled { lacks_rows: self.puts_rows_off(), ..Settled::default() };
        let transition = &recorded.transition;
        for step in &transition.steps {
            let stream = step.stream();
            if !settled.streams.contains(&stream) {
                settled.streams.push(stream);
            }
        }
        for (stream, _) in &recorded.unread {
            if !settled.streams.contains(stream) {
                settled.streams.push(stream.clone());
            }
        }
        let changed = changed.unwrap_or_default();
        let streams = std::mem::take(&mut settled.streams);
        for stream in &streams {
            match stream {
                StreamId::Definitions => {
                    let state = changed.definitions.clone().unwrap_or_else(|| {
                        fold::definitions_after(&self.streams.definitions, &transition.steps)
                    });
                    self.streams.define(state, seq);
                }
                StreamId::Run(run) => {
                    let state = changed.runs.get(run).cloned();
                    self.settle_run(&mut settled, *run, state, seq, recorded)?;
                }
                StreamId::Target(target) => {
                    let state = changed.targets.get(target).cloned();
                    self.settle_target(&mut settled, target, state, seq, recorded)?;
                }
            }
            self.spent.remove(stream).map_or(Ok(()), |spent| self.keep_spent(stream, spent))?;
            self.schedule(stream)?;
        }
        settled.streams = streams;
        if let Some(row) = request_row(seq, recorded) {
            settled.requests.push(row);
        }
        Ok(settled)
    }

    fn settle_run(
        &mut self,
        settled: &mut Settled,
        id: RunId,
        decided: Option<Arc<run::Run>>,
        seq: u64,
        recorded: &Recorded,
    ) -> Result<(), Stopped> {
        let partition = self.config.partition;
        let slot = self.streams.run(id).map_err(stopped)?;
        let after = slot.folded.and(&StreamId::Run(id), seq, recorded, |state, steps, now| {
            decided.unwrap_or_else(|| fold::run_after(state, id, steps, now))
        });
        let (commands, gone) = fold::difference(slot.folded.effects(), after.effects());
        if !settled.lacks_rows {
            settled.runs.extend(fold::run_row(partition, &after));
        }
        let outstanding = fold::commands(after.effects()).next().is_some();
        let withheld = fold::withheld(&*after.state, after.parked.as_deref());
        slot.folded = after;
        if !settled.lacks_rows {
            settled.kept.extend(self.streams.keep(&StreamId::Run(id)));
        }
        self.note_withheld(StreamId::Run(id), &withheld);
        self.outstand(settled, StreamId::Run(id), commands, gone, outstanding, &recorded.transition);
        Ok(())
    }

    fn settle_target(
        &mut self,
        settled: &mut Settled,
        id: &TargetId,
        decided: Option<Arc<target::Target>>,
        seq: u64,
        recorded: &Recorded,
    ) -> Result<(), Stopped> {
        let partition = self.config.partition;
        let slot = self.streams.target(id).map_err(stopped)?;
        let after = slot.folded.and(&StreamId::Target(id.clone()), seq, recorded, |state, steps, now| {
            decided.unwrap_or_else(|| fold::target_after(state, id, steps, now))
        });
        let (mut commands, gone) = fold::difference(slot.folded.effects(), after.effects());
        if !settled.lacks_rows {
            settled.targets.extend(fold::target_row(partition, id, &after));
        }
        let outstanding = fold::commands(after.effects()).next().is_some();
        let withheld = fold::withheld(&*after.state, after.parked.as_deref());
        slot.folded = after;
        if !settled.lacks_rows {
            settled.kept.extend(self.streams.keep(&StreamId::Target(id.clone())));
        }
        self.note_withheld(StreamId::Target(id.clone()), &withheld);
        // An errand belongs to the trace of the run that moves in the same transition.
        let trace = self.trace_of(&recorded.transition)?;
        for command in &mut commands {
            command.traceparent = command.traceparent.take().or_else(|| trace.clone());
        }
        self.outstand(
            settled,
            StreamId::Target(id.clone()),
            commands,
            gone,
            outstanding,
            &recorded.transition,
        );
        Ok(())
    }

    /// What an older binary could not read: its rows as this one folds them, written with the claim.
    pub(super) fn unpark(&mut self) -> Result<Settled, Stopped> {
        let mut settled = Settled::default();
        let parked = self.withheld.iter().filter(|(_, withheld)| withheld.parked.is_some());
        for stream in parked.map(|(stream, _)| stream.clone()).collect::<Vec<_>>() {
            let partition = self.config.partition;
            let outstanding = match &stream {
                StreamId::Definitions => false,
                StreamId::Run(run) => {
                    let folded = &self.streams.run(*run).map_err(stopped)?.folded;
                    settled.runs.extend(fold::run_row(partition, folded));
                    fold::commands(folded.effects()).next().is_some()
                }
                StreamId::Target(target) => {
                    let folded = &self.streams.target(target).map_err(stopped)?.folded;
                    settled.targets.extend(fold::target_row(partition, target, folded));
                    fold::commands(folded.effects()).next().is_some()
                }
            };
            if outstanding {
                self.outstanding.insert(stream.clone());
            }
            self.schedule(&stream)?;
        }
        self.note_rows(&settled);
        Ok(settled)
    }

    /// Puts off the rows of commits until [`Self::add_rows`]: for a driver that commits several records at once.
    pub fn put_rows_off(&mut self, rows: RowsPutOff) {
        self.rows_put_off = rows;
    }

    fn puts_rows_off(&self) -> bool {
        match self.rows_put_off {
            RowsPutOff::Never => false,
            RowsPutOff::WhileReading => self.role == Role::Reading,
            RowsPutOff::Always => true,
        }
    }

    /// Adds the rows and states of the streams that the commit touches, as they are now, when it lacks them. Not while
    /// something decided is on its way: it would be in the rows, and may never be in the log.
    pub fn add_rows(&mut self, commit: &mut Commit) -> Result<(), Stopped> {
        if !std::mem::take(&mut commit.lacks_rows) {
            return Ok(());
        }
        debug_assert!(self.pending.is_empty(), "rows of what is not read back");
        let partition = self.config.partition;
        let streams: BTreeSet<&StreamId> = commit.records.iter().flat_map(|record| &record.streams).collect();
        for stream in streams {
            match stream {
                StreamId::Definitions => {}
                StreamId::Run(run) => {
                    let slot = self.streams.run(*run).map_err(stopped)?;
                    commit.runs.extend(fold::run_row(partition, &slot.folded));
                }
                StreamId::Target(target) => {
                    let slot = self.streams.target(target).map_err(stopped)?;
                    commit.targets.extend(fold::target_row(partition, target, &slot.folded));
                }
            }
            commit.kept.extend(self.streams.keep(stream));
        }
        Ok(())
    }

    fn note_rows(&mut self, settled: &Settled) {
        for row in &settled.runs {
            self.note_withheld(StreamId::Run(row.run), &row.withheld);
        }
        for row in &settled.targets {
            self.note_withheld(StreamId::Target(row.target.clone()), &row.withheld);
        }
    }

    /// Keeps account of the streams on which nothing is decided.
    pub(super) fn note_withheld(&mut self, stream: StreamId, withheld: &Withheld) {
        if *withheld != Withheld::default() {
            self.withheld.insert(stream, withheld.clone());
        } else if !self.withheld.is_empty() {
            self.withheld.remove(&stream);
        }
    }

    /// The trace of the first run in the transition that has one.
    fn trace_of(&mut self, transition: &Transition) -> Result<Option<Text>, Stopped> {
        for step in &transition.steps {
            if let Step::Run { run, .. } = step {
                let state = &self.streams.run(*run).map_err(stopped)?.folded.state;
                let trace = state.start.as_ref().and_then(|start| start.trained.traceparent.clone());
                if trace.is_some() {
                    return Ok(trace);
                }
            }
        }
        Ok(None)
    }

    /// Keeps account of what is outstanding. What disappears without its worker having answered is withdrawn.
    fn outstand(
        &mut self,
        settled: &mut Settled,
        stream: StreamId,
        commands: Vec<Command>,
        gone: Vec<AttemptId>,
        outstanding: bool,
        transition: &Transition,
    ) {
        if outstanding {
            self.outstanding.insert(stream);
        } else {
            self.outstanding.remove(&stream);
        }
        for attempt in gone {
            self.attempts.remove(&attempt);
            if !transition.steps.iter().any(|step| answers(step, &attempt)) {
                settled.cancels.push(attempt);
            }
        }
        for command in commands {
            self.attempts.insert(command.attempt.clone(), None);
            let order = self.order(command);
            settled.orders.push(order);
        }
    }

    pub(super) fn order(&self, command: Command) -> WorkOrder {
        let token = token::sign(self.config.key, &command.attempt);
        WorkOrder { token, epoch: self.head.epoch, command }
    }
}

/// Whether the step's input is the worker's answer to the attempt.
fn answers(step: &Step, attempt: &AttemptId) -> bool {
    match step {
        Step::Definitions { .. } => false,
        Step::Run { input, .. } => matches!(
            input,
            run::Input::Report { attempt: answered, .. } | run::Input::Decline { attempt: answered, .. }
                if answered == attempt
        ),
        Step::Target { input, .. } => matches!(
            input,
            target::Input::Report { attempt: answered, .. } | target::Input::Decline { attempt: answered, .. }
                if answered == attempt
        ),
    }
}

/// The answer to remember, when the record holds a request that named itself.
fn request_row(seq: u64, recorded: &Recorded) -> Option<RequestRow> {
    let (Some(Lane::Requests), Some(input_id)) = (recorded.lane, &recorded.input_id) else { return None };
    let content = Request::of(&outside(&recorded.transition)?)?.content();
    let refused = recorded.transition.refused.clone();
    Some(RequestRow { input_id: input_id.clone(), content, seq, refused })
}

/// The input that a transition began with.
pub(crate) fn outside(transition: &Transition) -> Option<Input> {
    transition.steps.first().map(|step| match step {
        Step::Definitions { input, .. } => Input::Define(input.clone()),
        Step::Run { run, input, .. } => Input::Run(*run, input.clone()),
        Step::Target { target, input, .. } => Input::Target(target.clone(), input.clone()),
    })
}
