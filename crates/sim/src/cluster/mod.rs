//! The second world: several engine processes over one shared, faulty log.
//!
//! ```text
//!   people, training, workers --> lanes (durable, with copies and gaps) --+
//!                                                                         v
//!   oracle: who should own (may be wrong) ------------------> node: Partition (real) x partitions, its own view
//!                                                               |  reads: log      | appends: fates
//!            audit: folds all that lands by itself <--- log <---+                  +--> commands --> crew: Desk (real)
//! ```
//!
//! **Invariant:** whatever a process does was accepted by the audit before. One seed gives one trace.

mod audit;
mod broker;
mod calm;
mod crew;
mod drive;
mod forge;
mod node;
mod oracle;
mod storm;
mod transit;

use std::collections::{BTreeMap, VecDeque};

use domain::name::{AttemptId, Digest, TargetId};
use domain::time::{Millis, Timestamp};
use engine::partition::{Counts, WorkOrder};
use engine::placement::partition_of;
use engine::port::clock::Reading;
use engine::request::{Report as Answered, Request, Said};
use wire::record::Lane;

use self::audit::Audit;
use self::broker::{Broker, Entry};
use self::crew::Worker;
use self::node::Node;
use crate::chance::Chance;
use crate::defects;
use crate::options::{Fault, Options, Report, Sabotage, Violation};
use crate::outside::Outside;
use crate::people::{Cast, Deed};
use crate::script;

const LOG_ID: [u8; 16] = [6; 16];
const PARTITIONS: u32 = 2;
const BEGIN: Timestamp = Timestamp(1_800_000_000_000);
/// How long people, training and faults go on.
const STORM_MS: u64 = 6 * 60_000;
/// More events than this mean that something goes round in circles.
const STEPS_MAX: u64 = 200_000;

#[derive(Debug)]
enum Event {
    /// A process looks around.
    Poll(usize),
    /// A record lands in the log.
    Land {
        from: Sender,
        bytes: Vec<u8>,
        is_aborted: bool,
    },
    /// A process learns that it does not know whether its append landed.
    Doubt(Sender),
    /// Something lands in a lane.
    Say(u32, Lane, Box<Entry>),
    /// An answer of a worker does, and its worker learns of it.
    Answer(crew::Answering),
    Send(Sender, u64, Box<WorkOrder>),
    /// The topic has the command, and says so.
    Acknowledge(Sender, u64, AttemptId),
    Deliver(usize, Box<WorkOrder>),
    Cancel(usize, AttemptId),
    DeskTick(usize),
    Finish {
        worker: usize,
        life: u64,
        order: Box<WorkOrder>,
    },
    /// A worker that was not heard of for long answers.
    AnswerLate {
        worker: usize,
        life: u64,
        report: Box<Answered>,
    },
    WorkerStart(usize),
    Start(usize),
    Assign(usize, u32),
    Revoke(usize, u32),
    Oracle,
    Act,
    Fail(Fault),
    /// What hindered a process is over.
    Mend(usize, Fault),
    Observe,
    Calm,
}

/// One producer of one life of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sender {
    node: usize,
    life: u64,
    partition: u32,
    producer: u64,
}

#[derive(Debug)]
pub(crate) struct Cluster {
    seed: u64,
    options: Options,
    chance: Chance,
    queue: BTreeMap<(u64, u64), Event>,
    pushed: u64,
    steps: u64,
    now_ms: u64,
    is_calm: bool,
    has_deleted: bool,
    broker: Broker,
    nodes: Vec<Node>,
    workers: Vec<Worker>,
    outside: Outside,
    audit: Audit,
    cast: Cast,
    /// Of processes that are gone.
    counts: Counts,
    faults: BTreeMap<Fault, u64>,
    planned: BTreeMap<Fault, u64>,
    trace: Digest,
    tail: VecDeque<String>,
}

impl Cluster {
    pub(crate) fn new(seed: u64, options: Options) -> Self {
        let mut chance = Chance::new(seed ^ 0x0063_6c75_7374_6572);
        let cast = Cast::new(&mut chance);
        let nodes = (0..chance.between(2, 3)).map(|_| Node::new(&mut chance)).collect();
        defects::mend();
        let outside = Outside::with_topic(options.sabotage == Some(Sabotage::RoutesKeyedByTarget));
        let workers = (0..2).map(|_| Worker::new(options.sabotage)).collect();
        Self {
            seed,
            options,
            queue: BTreeMap::new(),
            pushed: 0,
            steps: 0,
            now_ms: 0,
            is_calm: false,
            has_deleted: false,
            broker: Broker::new(PARTITIONS),
            nodes,
            workers,
            outside,
            audit: Audit::new(LOG_ID, PARTITIONS),
            cast,
            counts: Counts::default(),
            faults: BTreeMap::new(),
            planned: BTreeMap::new(),
            trace: Digest([0; 32]),
            tail: VecDeque::new(),
            chance,
        }
    }

    pub(crate) fn play(mut self) -> Result<Report, Box<Violation>> {
        match self.tell() {
            Ok(()) => Ok(self.report()),
            Err(text) => {
                let trace = self.tail.into_iter().collect();
                Err(Box::new(Violation { seed: self.seed, step: self.steps, text, trace }))
            }
        }
    }

    fn tell(&mut self) -> Result<(), String> {
        self.plan();
        while let Some(((at, _), event)) = self.queue.pop_first() {
            self.now_ms = self.now_ms.max(at);
            self.steps += 1;
            if self.steps > STEPS_MAX {
                return Err(format!("no end after {STEPS_MAX} steps"));
            }
            if matches!(event, Event::Calm) {
                if self.calm_down()? {
                    return self.verify();
                }
                continue;
            }
            self.take(event)?;
        }
        Err("nothing is left to happen, and not every run has ended".into())
    }

    fn take(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Poll(node) => self.poll(node),
            Event::Land { from, bytes, is_aborted } => self.land(from, bytes, is_aborted),
            Event::Doubt(from) => self.told_of_doubt(from),
            Event::Say(partition, lane, entry) => self.say(partition, lane, *entry),
            Event::Answer(answering) => self.answered(answering),
            Event::Send(from, seq, order) => self.send_order(from, seq, *order),
            Event::Acknowledge(from, seq, attempt) => {
                self.acknowledged(from, seq, &attempt);
                Ok(())
            }
            Event::Deliver(worker, order) => self.deliver(worker, *order),
            Event::Cancel(worker, attempt) => self.cancel(worker, &attempt),
            Event::DeskTick(worker) => self.desk_tick(worker),
            Event::Finish { worker, life, order } => self.finish(worker, life, &order),
            Event::AnswerLate { worker, life, report } => self.answer_late(worker, life, report),
            Event::WorkerStart(worker) => self.start_worker(worker),
            Event::Start(node) => self.start(node),
            Event::Assign(node, partition) => {
                self.assign(node, partition);
                Ok(())
            }
            Event::Revoke(node, partition) => {
                self.revoke(node, partition);
                Ok(())
            }
            Event::Oracle => {
                self.look_after_owners();
                Ok(())
            }
            Event::Act => {
                let wall = self.time();
                for deed in self.cast.act(&mut self.chance, &self.audit.checker, wall) {
                    self.carry_out_deed(deed)?;
                }
                Ok(())
            }
            Event::Fail(fault) => self.fail(fault),
            Event::Mend(node, fault) => self.mend(node, fault),
            Event::Observe => self.observe(),
            Event::Calm => Ok(()),
        }
    }

    fn carry_out_deed(&mut self, deed: Deed) -> Result<(), String> {
        match deed {
            Deed::Ask { said, id, words } => {
                self.line(&words);
                let partition = self.partition_for(&said);
                self.push_say(partition, said, Some(id));
            }
            Deed::Train { said, version, is_doubled } => {
                let partition = self.partition_for(&said);
                if is_doubled {
                    self.note(Fault::DuplicateInput, &version);
                    self.push_say(partition, said.clone(), None);
                }
                self.push_say(partition, said, None);
            }
            Deed::Define { said, id } => {
                for partition in 0..PARTITIONS {
                    self.push_say(partition, said.clone(), Some(format!("{id}-{partition}")));
                }
            }
            Deed::Lose { target, gateways, servers } => self.lose_outside(&target, gateways, servers)?,
            Deed::ActIn(wait) => self.push_in(wait, Event::Act),
        }
        Ok(())
    }

    fn lose_outside(&mut self, target: &TargetId, gateways: bool, servers: bool) -> Result<(), String> {
        if gateways || servers {
            self.note(Fault::OutsideLost, &format!("{target} {gateways} {servers}"));
            self.outside.lose(target, gateways, servers)?;
        }
        Ok(())
    }

    /// Produces into a lane; a lost acknowledgement makes a copy.
    fn push_say(&mut self, partition: u32, said: Said, input_id: Option<String>) {
        let lane = match &said {
            Said::Trigger(_) => Lane::Triggers,
            Said::Request(_) => Lane::Requests,
            Said::Report(_) | Said::Observed { .. } => Lane::Outcomes,
        };
        let entry = Box::new(Entry { said, input_id });
        if !self.is_calm && self.chance.one_in(6) {
            self.note(Fault::DuplicateInput, &format!("in lane {lane:?} of partition {partition}"));
            let wait = self.chance.between(1, 4_000);
            self.push_in(wait, Event::Say(partition, lane, entry.clone()));
        }
        let wait = self.chance.between(1, 15);
        self.push_in(wait, Event::Say(partition, lane, entry));
    }

    fn say(&mut self, partition: u32, lane: Lane, entry: Entry) -> Result<(), String> {
        let gap = if self.chance.one_in(5) { self.chance.between(1, 3) } else { 0 };
        let entry = Entry { said: transit::said(&entry.said)?, ..entry };
        self.broker.say(partition, lane, entry, gap);
        self.wake_all();
        Ok(())
    }

    fn partition_for(&self, said: &Said) -> u32 {
        let of_run = |run| {
            let start = self.audit.checker.run(run).and_then(|run| run.start.as_ref());
            start.map_or(0, |start| partition_of(&start.target, PARTITIONS))
        };
        match said {
            Said::Trigger(trigger) => partition_of(&trigger.target, PARTITIONS),
            Said::Observed { target, .. } => partition_of(target, PARTITIONS),
            Said::Report(report) => match &report.attempt.owner {
                domain::name::StreamId::Target(target) => partition_of(target, PARTITIONS),
                domain::name::StreamId::Run(run) => of_run(*run),
                domain::name::StreamId::Definitions => 0,
            },
            Said::Request(request) => match &**request {
                Request::Define(_) => 0,
                Request::Run { run, .. } => of_run(*run),
                Request::Target { target, .. } => partition_of(target, PARTITIONS),
            },
        }
    }

    /// What the machines of every target do, as news to the engine. Some are silent.
    fn observe(&mut self) -> Result<(), String> {
        let at = self.time();
        for target in self.cast.targets.clone() {
            let Some(state) = self.audit.checker.target(&target) else { continue };
            let routes = state.table.is_some();
            let (gateways, servers) = (self.chance.one_in(3), self.chance.one_in(6));
            if !self.is_calm {
                self.lose_outside(&target, gateways, servers)?;
            }
            if !self.is_calm && self.chance.one_in(3) {
                self.note(Fault::GatewaySilent, &target.to_string());
                continue;
            }
            for said in self.outside.observations(&target, at, routes) {
                let partition = partition_of(&target, PARTITIONS);
                self.push_say(partition, said, None);
            }
        }
        self.push_in(30_000, Event::Observe);
        Ok(())
    }

    fn define_roles(&mut self) {
        for partition in 0..PARTITIONS {
            self.push_say(partition, script::define_roles(), Some(format!("roles-{partition}")));
        }
    }

    fn push(&mut self, at_ms: u64, event: Event) {
        self.pushed += 1;
        self.queue.insert((at_ms, self.pushed), event);
    }

    fn push_in(&mut self, wait_ms: u64, event: Event) {
        self.push(self.now_ms + wait_ms, event);
    }

    /// The true time.
    fn time(&self) -> Timestamp {
        BEGIN + Millis(self.now_ms)
    }

    fn reading(&self, node: usize) -> Reading {
        let wall = Timestamp((BEGIN.0 + self.now_ms).saturating_add_signed(self.nodes[node].skew_ms));
        Reading { wall, monotonic: Millis(self.now_ms + 1) }
    }

    fn is_sabotaged(&self, sabotage: Sabotage) -> bool {
        self.options.sabotage == Some(sabotage)
    }

    fn line(&mut self, text: &str) {
        let line = format!("{} {text}", self.now_ms);
        self.trace = Digest::of_parts([&self.trace.0[..], line.as_bytes()]);
        if self.tail.len() >= self.options.trace_lines {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }

    fn note(&mut self, fault: Fault, text: &str) {
        *self.faults.entry(fault).or_default() += 1;
        self.line(&format!("! {fault:?} {text}"));
    }

    fn report(mut self) -> Report {
        for node in 0..self.nodes.len() {
            self.retire(node);
        }
        self.faults.insert(Fault::Fenced, self.outside.fenced);
        self.faults.insert(Fault::Repeated, self.outside.repeated);
        let mut ends: BTreeMap<&'static str, u64> = BTreeMap::new();
        for (_, run) in self.audit.checker.runs() {
            *ends.entry(run.phase.as_str()).or_default() += 1;
        }
        Report {
            seed: self.seed,
            steps: self.steps,
            planned: self.planned,
            runs: ends.values().sum(),
            ends,
            transitions: self.audit.checker.transitions,
            chapters: self.audit.checker.chapters,
            effects: self.outside.effects,
            losers: self.audit.checker.losers(),
            doubts: self.counts.doubts,
            claims: self.counts.claims,
            claims_lost: self.counts.claims_lost,
            displaced: self.counts.displaced,
            formats_raised: self.audit.formats_raised,
            faults: self.faults,
            trace_hash: self.trace,
        }
    }
}
