//! The world of one story, and its one queue of (virtual time, event).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use domain::name::{AttemptId, Digest};
use domain::time::{Millis, Timestamp};
use domain::workflow::StageKind;
use engine::desk::{Desk, Redelivery};
use engine::embedded::{Engine, Ticket};
use engine::partition::WorkOrder;
use engine::port::clock::Reading;
use engine::request::Report as Answered;
use wire::record::Lane;

use crate::chance::Chance;
use crate::checker::Checker;
use crate::clients::{Client, Source};
use crate::defects;
use crate::disk::Disk;
use crate::options::{Fault, Options, Report, Sabotage, Violation};
use crate::outside::{Gullible, Outside};
use crate::people::{Cast, Deed};

pub(crate) const LOG_ID: [u8; 16] = [5; 16];
pub(crate) const PARTITIONS: u32 = 2;
/// Virtual time zero.
const BEGIN: Timestamp = Timestamp(1_800_000_000_000);
/// How long people, training and faults go on.
pub(crate) const STORM_MS: u64 = 8 * 60_000;
/// How far the clock may be off, each way; a jump from one end to the other stays within the engine's slack.
const SKEW_MAX_MS: u64 = 120_000;
/// More events than this mean that something goes round in circles.
const STEPS_MAX: u64 = 60_000;

#[derive(Debug)]
pub(crate) enum Event {
    /// Decide what waits, when this is still the time for it.
    Pass,
    Tick(StageKind),
    /// A worker has carried it out, in this life of the process.
    Finish {
        life: u64,
        order: Box<WorkOrder>,
    },
    /// A worker that was not heard of for long answers.
    AnswerLate {
        life: u64,
        stage: StageKind,
        report: Box<Answered>,
    },
    Say(usize),
    Act,
    Fail(Fault),
    /// What hindered the process is over.
    Mend(Fault),
    Jump,
    Restart,
    /// Gateways and servers say what they do.
    Observe,
    /// As they do from time to time.
    ObserveOften,
    Calm,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) options: Options,
    pub(crate) chance: Chance,
    queue: BTreeMap<(u64, u64), Event>,
    pushed: u64,
    steps: u64,
    pub(crate) now_ms: u64,
    pub(crate) skew_ms: i64,
    pub(crate) pass_at: Option<u64>,
    pub(crate) is_calm: bool,
    // The process.
    pub(crate) disk: Arc<Disk>,
    pub(crate) engine: Option<Engine>,
    pub(crate) desks: BTreeMap<StageKind, Desk>,
    pub(crate) ticking: BTreeSet<StageKind>,
    pub(crate) redelivery: Redelivery,
    /// Attempts whose answer the journal has.
    pub(crate) written_down: BTreeSet<AttemptId>,
    /// What the engine withdrew in its last pass.
    pub(crate) withdrawn: BTreeSet<AttemptId>,
    pub(crate) life: u64,
    /// There is no room on the disk but for the reserve: nothing is decided.
    pub(crate) is_full: bool,
    /// The clock is further off than anybody believes.
    pub(crate) is_suspect: bool,
    /// The clock was believed once in this life.
    pub(crate) has_passed: bool,
    /// A crash that waits for the next pass.
    pub(crate) armed: Option<Fault>,
    pub(crate) unsent: BTreeSet<AttemptId>,
    pub(crate) begun: BTreeSet<AttemptId>,
    pub(crate) dead: BTreeSet<AttemptId>,
    /// Handed to a desk in this life.
    pub(crate) handed: BTreeSet<AttemptId>,
    // Around it.
    pub(crate) outside: Outside,
    pub(crate) checker: Checker,
    pub(crate) clients: Vec<Client>,
    pub(crate) tickets: BTreeMap<Ticket, Source>,
    pub(crate) cast: Cast,
    // The record.
    pub(crate) faults: BTreeMap<Fault, u64>,
    pub(crate) planned: BTreeMap<Fault, u64>,
    trace: Digest,
    tail: VecDeque<String>,
}

impl World {
    pub(crate) fn new(seed: u64, options: Options) -> Self {
        let mut chance = Chance::new(seed);
        let cast = Cast::new(&mut chance);
        let outside = match options.sabotage {
            Some(Sabotage::NoGenerationCheck) => Outside::with_gullible(Gullible::Gateways),
            Some(Sabotage::NoAttemptCheck) => Outside::with_gullible(Gullible::Servers),
            _ => Outside::default(),
        };
        defects::mend();
        let redelivery = match options.sabotage {
            Some(Sabotage::CommandsNotBroughtAgain) => Redelivery::TheEngine,
            _ => chance.pick(&[Redelivery::TheEngine, Redelivery::TheEngine, Redelivery::Nobody]),
        };
        Self {
            seed,
            options,
            queue: BTreeMap::new(),
            pushed: 0,
            steps: 0,
            now_ms: 0,
            skew_ms: 0,
            pass_at: None,
            is_calm: false,
            disk: Arc::new(Disk::new(PARTITIONS, options.sabotage)),
            engine: None,
            desks: BTreeMap::new(),
            ticking: BTreeSet::new(),
            redelivery,
            written_down: BTreeSet::new(),
            withdrawn: BTreeSet::new(),
            life: 0,
            is_full: false,
            is_suspect: false,
            has_passed: false,
            armed: None,
            unsent: BTreeSet::new(),
            begun: BTreeSet::new(),
            dead: BTreeSet::new(),
            handed: BTreeSet::new(),
            outside,
            checker: Checker::new(LOG_ID, PARTITIONS),
            clients: vec![],
            tickets: BTreeMap::new(),
            cast,
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

    /// The records that the story of a seed leaves in a partition.
    #[cfg(test)]
    pub(crate) fn log_of(seed: u64, options: Options, partition: u32) -> Vec<Vec<u8>> {
        let mut world = Self::new(seed, options);
        world.tell().expect("the story holds");
        engine::replay::from_log(&*world.disk, partition)
            .map(|bytes| bytes.expect("the disk reads"))
            .collect()
    }

    fn tell(&mut self) -> Result<(), String> {
        self.plan();
        self.start()?;
        while let Some(((at, _), event)) = self.queue.pop_first() {
            self.now_ms = self.now_ms.max(at);
            self.steps += 1;
            if self.steps > STEPS_MAX {
                return Err(format!("no end after {STEPS_MAX} steps"));
            }
            if self.options.crash_at == Some(self.steps) && self.engine.is_some() && !self.is_calm {
                self.note(Fault::CrashAtStep, &format!("before {event:?}"));
                self.crash()?;
            }
            if matches!(event, Event::Calm) {
                if self.calm_down()? {
                    return self.checker.verify(&self.disk);
                }
                continue;
            }
            self.take(event)?;
            self.schedule_pass();
        }
        Err("nothing is left to happen, and not every run has ended".into())
    }

    /// The story's storm: what is done and what fails, when.
    fn plan(&mut self) {
        self.define_roles();
        for _ in 0..self.options.acts {
            let at = self.chance.below(STORM_MS);
            self.push(at, Event::Act);
        }
        for _ in 0..self.options.faults {
            let (at, fault) = (self.chance.between(2_000, STORM_MS), self.chance.pick(&Fault::CRASHES));
            *self.planned.entry(fault).or_default() += 1;
            self.push(at, Event::Fail(fault));
        }
        for _ in 0..self.options.hindrances {
            let (at, fault) = (self.chance.between(2_000, STORM_MS), self.chance.pick(&Fault::HINDRANCES));
            *self.planned.entry(fault).or_default() += 1;
            self.push(at, Event::Fail(fault));
        }
        for _ in 0..3 {
            let at = self.chance.below(STORM_MS);
            self.push(at, Event::Jump);
        }
        self.push(20_000, Event::ObserveOften);
        self.push(STORM_MS, Event::Calm);
    }

    fn take(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Pass => {
                if self.pass_at.is_some_and(|at| at <= self.now_ms) {
                    self.pass_at = None;
                    self.pass()?;
                }
                Ok(())
            }
            Event::Tick(stage) => self.tick(stage),
            Event::Finish { life, order } => self.finish(life, &order),
            Event::AnswerLate { life, stage, report } => self.answer_late(life, stage, *report),
            Event::Say(client) => self.send(client),
            Event::Act => self.act(),
            Event::Fail(fault) => self.fail(fault),
            Event::Mend(fault) => {
                self.mend(fault);
                Ok(())
            }
            Event::Jump if self.is_suspect => {
                self.push_in(30_000, Event::Jump);
                Ok(())
            }
            Event::Jump => {
                let skew = self.chance.below(2 * SKEW_MAX_MS) as i64 - SKEW_MAX_MS as i64;
                self.note(Fault::ClockJump, &format!("from {} to {skew}", self.skew_ms));
                self.skew_ms = skew;
                Ok(())
            }
            Event::Restart => self.start(),
            Event::Observe => {
                self.observe();
                Ok(())
            }
            Event::ObserveOften => {
                self.observe();
                self.push_in(60_000, Event::ObserveOften);
                Ok(())
            }
            Event::Calm => Ok(()),
        }
    }

    fn act(&mut self) -> Result<(), String> {
        let wall = self.wall();
        for deed in self.cast.act(&mut self.chance, &self.checker, wall) {
            self.carry_out(deed)?;
        }
        Ok(())
    }

    pub(crate) fn carry_out(&mut self, deed: Deed) -> Result<(), String> {
        match deed {
            Deed::Ask { said, id, words } => {
                self.line(&words);
                self.client(said, Lane::Requests, Some(id), None);
            }
            Deed::Train { said, version, is_doubled } => {
                if is_doubled {
                    self.note(Fault::DuplicateInput, &version);
                    self.client(said.clone(), Lane::Triggers, None, None);
                }
                self.client(said, Lane::Triggers, None, None);
            }
            Deed::Define { said, id } => {
                for partition in 0..PARTITIONS {
                    self.client(
                        said.clone(),
                        Lane::Requests,
                        Some(format!("{id}-{partition}")),
                        Some(partition),
                    );
                }
            }
            Deed::Lose { target, gateways, servers } => {
                self.lose_outside(&target, gateways, servers)?;
                self.push_in(200, Event::Observe);
            }
            Deed::ActIn(wait) => self.push_in(wait, Event::Act),
        }
        Ok(())
    }

    fn schedule_pass(&mut self) {
        let wall = self.wall();
        let Some(engine) = &self.engine else { return };
        if self.is_full {
            return;
        }
        let wait = match engine.wake_at() {
            // It decides nothing, and looks at the clock again.
            _ if self.is_suspect => Some(1_000),
            _ if engine.is_waiting() => Some(5),
            next => next.map(|at| (at - wall).0.max(10)),
        };
        let Some(at) = wait.map(|wait| self.now_ms + wait) else { return };
        if self.pass_at.is_none_or(|planned| at < planned) {
            self.pass_at = Some(at);
            self.push(at, Event::Pass);
        }
    }

    pub(crate) fn push(&mut self, at_ms: u64, event: Event) {
        self.pushed += 1;
        self.queue.insert((at_ms, self.pushed), event);
    }

    pub(crate) fn push_in(&mut self, wait_ms: u64, event: Event) {
        self.push(self.now_ms + wait_ms, event);
    }

    /// What the clock of the machine says.
    pub(crate) fn wall(&self) -> Timestamp {
        Timestamp((BEGIN.0 + self.now_ms).saturating_add_signed(self.skew_ms))
    }

    pub(crate) fn reading(&self) -> Reading {
        Reading { wall: self.wall(), monotonic: Millis(self.now_ms) }
    }

    /// Adds a line to the trace.
    pub(crate) fn line(&mut self, text: &str) {
        let line = format!("{} {text}", self.now_ms);
        self.trace = Digest::of_parts([&self.trace.0[..], line.as_bytes()]);
        if self.tail.len() >= self.options.trace_lines {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }

    /// Counts a fault, and says so in the trace.
    pub(crate) fn note(&mut self, fault: Fault, text: &str) {
        *self.faults.entry(fault).or_default() += 1;
        self.line(&format!("! {fault:?} {text}"));
    }

    fn report(mut self) -> Report {
        self.faults.insert(Fault::Fenced, self.outside.fenced);
        self.faults.insert(Fault::Repeated, self.outside.repeated);
        let mut ends: BTreeMap<&'static str, u64> = BTreeMap::new();
        for (_, run) in self.checker.runs() {
            *ends.entry(run.phase.as_str()).or_default() += 1;
        }
        Report {
            seed: self.seed,
            steps: self.steps,
            planned: self.planned,
            runs: ends.values().sum(),
            ends,
            transitions: self.checker.transitions,
            chapters: self.checker.chapters,
            effects: self.outside.effects,
            losers: self.checker.losers(),
            doubts: 0,
            claims: 0,
            claims_lost: 0,
            displaced: 0,
            formats_raised: 0,
            faults: self.faults,
            trace_hash: self.trace,
        }
    }
}
