//! The independent reader: folds whatever lands by the rule of the chain, and holds what every process does against
//! it. Processes read later than it does, so what they act on must be there already.

use std::collections::{BTreeMap, BTreeSet};

use domain::name::{AttemptId, Digest, StreamId};
use domain::quarantine::HELD_INPUTS_MAX;
use domain::transition::Step;
use domain::work::{Command, Order};
use engine::partition::{Answer, Reply, WorkOrder};
use engine::port::row::{RunRow, TargetRow};
use engine::port::store::Commit;
use engine::request::{Report, Request, Said};
use wire::record::{self, Body, Lane, Positions, Recorded};

use super::broker::{Broker, Entry};
use crate::checker::{Checker, in_words};

#[derive(Debug)]
struct Issued {
    partition: u32,
    seq: u64,
    command: Command,
}

/// What an accepted record is, for those who read it later.
#[derive(Debug, Default)]
struct Known {
    hash: Option<Digest>,
    runs: Vec<RunRow>,
    targets: Vec<TargetRow>,
}

#[derive(Debug)]
pub(super) struct Audit {
    pub checker: Checker,
    /// By partition, then `seq - 1`.
    chains: Vec<Vec<Known>>,
    positions: Vec<Positions>,
    epochs: BTreeSet<(u32, u64)>,
    issued: BTreeMap<AttemptId, Issued>,
    /// Attempts whose command lies in its topic.
    pub in_topic: BTreeSet<AttemptId>,
    /// Ids of requests that a record holds.
    requests: BTreeSet<(u32, String)>,
    pub formats_raised: u64,
}

impl Audit {
    pub(super) fn new(log_id: [u8; 16], partitions: u32) -> Self {
        Self {
            checker: Checker::new(log_id, partitions),
            chains: (0..partitions).map(|_| vec![]).collect(),
            positions: vec![[0; 3]; partitions as usize],
            epochs: BTreeSet::new(),
            issued: BTreeMap::new(),
            in_topic: BTreeSet::new(),
            requests: BTreeSet::new(),
            formats_raised: 0,
        }
    }

    /// The last accepted record's `seq` and hash.
    pub(super) fn head(&self, partition: u32) -> (u64, Option<Digest>) {
        let chain = &self.chains[partition as usize];
        (chain.len() as u64, chain.last().and_then(|known| known.hash))
    }

    pub(super) fn is_accepted(&self, partition: u32, seq: u64, hash: Digest) -> bool {
        let known = (seq as usize).checked_sub(1).and_then(|at| self.chains[partition as usize].get(at));
        known.is_some_and(|known| known.hash == Some(hash))
    }

    pub(super) fn positions(&self, partition: u32) -> Positions {
        self.positions[partition as usize]
    }

    /// Reads what has landed. Gives its line of the trace.
    pub(super) fn read(&mut self, partition: u32, bytes: &[u8], broker: &Broker) -> Result<String, String> {
        // What an input was skipped for is judged by the state before the record.
        let before = self.positions(partition);
        let outstanding: Vec<AttemptId> = self.checker.outstanding().cloned().collect();
        let peek = record::peek(bytes).map_err(|error| error.to_string())?;
        let skipped = match &peek.kind {
            record::Kind::Transition { after, .. } => self.unrecordable(partition, before, *after, broker),
            _ => vec![],
        };
        let Some(record) = self.checker.read(partition, bytes)? else {
            return Ok(format!("{partition}: record {} is a loser", peek.seq));
        };
        let place = format!("{partition}/{}", record.seq);
        let mut known = Known { hash: Some(record::hash(bytes)), ..Known::default() };
        let line = match &record.body {
            Body::Created { .. } => format!("{place} created"),
            Body::Claimed { nonce, .. } => {
                self.epochs.insert((partition, record.seq));
                format!("{place} claimed {:02x}", nonce[0])
            }
            Body::FormatRaised { format } => {
                self.formats_raised += 1;
                format!("{place} raised to format {format}")
            }
            Body::Transition(recorded) => {
                self.expect_dispatched(&place, partition, recorded, &outstanding)?;
                self.expect_inputs(&place, partition, recorded, &skipped, broker)?;
                let streams: BTreeSet<StreamId> =
                    recorded.transition.steps.iter().map(Step::stream).collect();
                (known.runs, known.targets) = self.checker.rows(partition, &streams);
                for stream in &streams {
                    for command in self.checker.commands(stream) {
                        let seq = record.seq;
                        let issued = || Issued { partition, seq, command: command.clone() };
                        self.issued.entry(command.attempt.clone()).or_insert_with(issued);
                    }
                }
                self.positions[partition as usize] = recorded.after;
                format!("{place} {}", in_words(recorded))
            }
        };
        self.chains[partition as usize].push(known);
        Ok(line)
    }

    /// `dispatched` is never above what is in its topic.
    fn expect_dispatched(
        &self,
        place: &str,
        partition: u32,
        recorded: &Recorded,
        outstanding: &[AttemptId],
    ) -> Result<(), String> {
        let told = |attempt: &&AttemptId| {
            self.issued
                .get(*attempt)
                .is_some_and(|issued| issued.partition == partition && issued.seq <= recorded.dispatched)
        };
        match outstanding.iter().filter(told).find(|attempt| !self.in_topic.contains(attempt)) {
            Some(attempt) => Err(format!(
                "record {place} says that all is dispatched up to {}, but attempt {attempt} is in no topic",
                recorded.dispatched
            )),
            None => Ok(()),
        }
    }

    /// Inputs between the positions that should have been recorded by themselves.
    fn unrecordable(
        &self,
        partition: u32,
        before: Positions,
        after: Positions,
        broker: &Broker,
    ) -> Vec<(Lane, u64, String)> {
        let mut found = vec![];
        for lane in Lane::ALL {
            let (from, to) = (before[lane.index()], after[lane.index()]);
            for (offset, entry) in broker.inputs(partition, lane, from, to) {
                if !self.may_go_unrecorded(partition, entry) {
                    found.push((lane, *offset, what(&entry.said)));
                }
            }
        }
        found
    }

    /// Each input that a record passes is the one that it holds, or one that leaves no record.
    fn expect_inputs(
        &mut self,
        place: &str,
        partition: u32,
        recorded: &Recorded,
        skipped: &[(Lane, u64, String)],
        broker: &Broker,
    ) -> Result<(), String> {
        let own = recorded.lane.map(|lane| (lane, recorded.after[lane.index()].wrapping_sub(1)));
        if let Some((lane, offset)) = own {
            let entry = broker.inputs(partition, lane, offset, offset + 1).next();
            let Some((_, entry)) = entry else {
                return Err(format!("record {place} holds an input of {lane:?} at {offset}, where none is"));
            };
            if recorded.input_id != entry.input_id || !holds(recorded, &entry.said) {
                return Err(format!(
                    "record {place} does not hold the input of {lane:?} at {offset}: {}",
                    what(&entry.said)
                ));
            }
            if let (Lane::Requests, Some(id)) = (lane, &recorded.input_id) {
                self.requests.insert((partition, id.clone()));
            }
        }
        match skipped.iter().find(|(lane, offset, _)| own != Some((*lane, *offset))) {
            Some((lane, offset, what)) => {
                Err(format!("record {place} passes the input of {lane:?} at {offset}, which is lost: {what}"))
            }
            None => Ok(()),
        }
    }

    /// Whether the input leaves no record in the state as it is.
    fn may_go_unrecorded(&self, partition: u32, entry: &Entry) -> bool {
        if self.is_full(&entry.said) {
            return true;
        }
        match &entry.said {
            Said::Observed { .. } => true,
            Said::Report(_) => false,
            Said::Trigger(trigger) => self.checker.run(trigger.run()).is_some_and(|run| run.start.is_some()),
            Said::Request(request) => {
                let is_repeat = entry
                    .input_id
                    .as_ref()
                    .is_some_and(|id| self.requests.contains(&(partition, id.clone())));
                let is_nothing = match &**request {
                    Request::Define(_) => true,
                    Request::Run { run, .. } => self.checker.run(*run).is_none(),
                    Request::Target { .. } => false,
                };
                is_repeat || is_nothing || !self.checker.has_roles(partition)
            }
        }
    }

    /// Whether its stream is quarantined, and holds as much as it may: whoever says it is told to try again.
    fn is_full(&self, said: &Said) -> bool {
        let stream = match said {
            Said::Trigger(trigger) => StreamId::Run(trigger.run()),
            Said::Observed { target, .. } => StreamId::Target(target.clone()),
            Said::Report(report) => report.attempt.owner.clone(),
            Said::Request(request) => match &**request {
                Request::Define(_) => StreamId::Definitions,
                Request::Run { run, .. } => StreamId::Run(*run),
                Request::Target { target, .. } => StreamId::Target(target.clone()),
            },
        };
        let held = match &stream {
            StreamId::Definitions => None,
            StreamId::Run(run) => {
                let holding = self.checker.run(*run).and_then(|run| run.holding.as_ref());
                holding.map(|holding| holding.held.len())
            }
            StreamId::Target(target) => {
                let holding = self.checker.target(target).and_then(|target| target.holding.as_ref());
                holding.map(|holding| holding.held.len())
            }
        };
        held.is_some_and(|held| held >= HELD_INPUTS_MAX)
    }

    /// An input that must still be recorded.
    pub(super) fn waiting(&self, partition: u32, broker: &Broker) -> Option<String> {
        let left = self.unrecordable(partition, self.positions(partition), [u64::MAX; 3], broker);
        left.into_iter().next().map(|(lane, offset, what)| format!("{what} waits in {lane:?} at {offset}"))
    }

    /// A process accepts what the log accepts, and its rows are what it folds to.
    pub(super) fn expect_commit(&self, partition: u32, commit: &Commit) -> Result<(), String> {
        let (after, seq) = (commit.after as usize, commit.head.seq);
        let known = self.chains[partition as usize].get(after..seq as usize).unwrap_or_default();
        if known.last().is_none_or(|last| last.hash != Some(commit.head.hash)) {
            return Err(format!("accepts a record {partition}/{seq} that the log does not"));
        }
        // Of several records the last one that touches a stream says how it is.
        let runs = known.iter().flat_map(|known| &known.runs).map(|row| (row.run, row));
        let targets = known.iter().flat_map(|known| &known.targets).map(|row| (&row.target, row));
        let found_runs = commit.runs.iter().map(|row| (row.run, row));
        let found_targets = commit.targets.iter().map(|row| (&row.target, row));
        let (runs, targets): (BTreeMap<_, _>, BTreeMap<_, _>) = (runs.collect(), targets.collect());
        if (runs, targets) == (found_runs.collect(), found_targets.collect()) {
            Ok(())
        } else {
            Err(format!("the rows of record {partition}/{seq} are not what the log folds to"))
        }
    }

    /// No command leaves for a record that is not accepted.
    pub(super) fn expect_order(&self, partition: u32, order: &WorkOrder) -> Result<(), String> {
        let attempt = &order.command.attempt;
        if !self.epochs.contains(&(partition, order.epoch)) {
            return Err(format!("sends attempt {attempt} under epoch {}, which is none", order.epoch));
        }
        match self.issued.get(attempt) {
            Some(issued)
                if timeless(&issued.command.order) == timeless(&order.command.order)
                    && issued.command.effect_key == order.command.effect_key =>
            {
                Ok(())
            }
            Some(_) => Err(format!("sends another command as attempt {attempt} than the log holds")),
            None => Err(format!("sends attempt {attempt}, which no accepted record issues")),
        }
    }

    pub(super) fn expect_reply(&self, partition: u32, reply: &Reply) -> Result<(), String> {
        match &reply.answer {
            Answer::Recorded { seq, .. } => {
                self.checker.expect_recorded(partition, *seq, reply.lane, reply.input_id.as_deref())
            }
            Answer::Repeat { .. } | Answer::Refused(_) => Ok(()),
        }
    }
}

/// Without what a command that is sent again names as it is then: the live release, and what follows from there being
/// one.
fn timeless(order: &Order) -> Order {
    let mut order = order.clone();
    match &mut order {
        Order::Package(package) => package.live = None,
        Order::Test(test) => test.live = None,
        Order::Plan(plan) => {
            plan.live = None;
            plan.with.steps.clear();
        }
        Order::Notify(_) | Order::Measure(_) | Order::Watch(_) | Order::Prepare(_) | Order::Apply(_) => {}
    }
    order
}

/// Whether the record's input is what was said.
fn holds(recorded: &Recorded, said: &Said) -> bool {
    let Some(input) = Checker::outside(recorded) else { return false };
    match said {
        Said::Request(request) => {
            Request::of(&input).is_some_and(|found| found.content() == request.content())
        }
        Said::Report(report) => Report::clone(report).bind() == Some(input),
        Said::Trigger(trigger) => matches!(
            input,
            domain::transition::Input::Run(run, domain::run::Input::Start(_)) if run == trigger.run()
        ),
        Said::Observed { target, what } => what.clone().bind(target.clone()) == input,
    }
}

fn what(said: &Said) -> String {
    match said {
        Said::Request(request) => format!("{request:?}"),
        Said::Report(report) => format!("the answer to {}", report.attempt),
        Said::Trigger(trigger) => format!("version {} of {}", trigger.trained.version, trigger.target),
        Said::Observed { target, .. } => format!("what machines of {target} do"),
    }
}
