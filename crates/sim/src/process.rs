//! The process: the engine and its desks, how they start, what they hand to each other, and how they die.

use std::sync::Arc;

use domain::name::{AttemptId, StreamId};
use domain::time::Millis;
use domain::work::Order;
use domain::workflow::StageKind;
use engine::code::refused;
use engine::desk::{self, Action, Desk, Redelivery, Signal};
use engine::embedded::{Engine, Error, Passed};
use engine::partition::{Bounds, Config, Format, Redispatch, WorkOrder};
use engine::port::store::Embedded;
use engine::request::{Report, WorkerAnswer};
use engine::token::Key;

use crate::checker::CHAPTERS;
use crate::checker::chain_of;
use crate::defects;
use crate::options::{Fault, Sabotage};
use crate::script::Quality;
use crate::workers::{self, Bench, ZOMBIE_ONE_IN};
use crate::world::{Event, LOG_ID, PARTITIONS, World};

/// The interval at which a busy desk looks at the time.
const TICK_MS: u64 = 4_000;

/// How many writes a view may be behind by, from life to life.
const VIEW_WRITES_MAX: [usize; 4] = [0, 3, 20, usize::MAX];

fn config(sabotage: Option<Sabotage>) -> Config {
    let redispatch = match sabotage {
        Some(Sabotage::CommandsNotBroughtAgain) => Redispatch::AboveDispatched,
        _ => Redispatch::All,
    };
    Config {
        log_id: LOG_ID,
        partition: 0,
        partitions: PARTITIONS,
        binary: "sim".into(),
        parsers: wire::definitions::parsers(),
        key: Key([7; 32]),
        redispatch,
        format: Format::default(),
        bounds: Bounds {
            streams_cached_max: 4,
            timers_near_max: 1,
            keep_every: 2,
            chapters: CHAPTERS,
            ..Bounds::default()
        },
    }
}

fn desk_bounds(redelivery: Redelivery) -> desk::Bounds {
    desk::Bounds {
        redelivery,
        heartbeat_every: Millis(TICK_MS),
        resend_after: Millis::seconds(5),
        ..desk::Bounds::default()
    }
}

impl World {
    pub(crate) fn start(&mut self) -> Result<(), String> {
        let nonce = self.chance.nonce();
        self.disk.set_wall(self.wall());
        let writes_max = self.chance.pick(&VIEW_WRITES_MAX);
        self.disk.put_off(writes_max);
        let database = Arc::clone(&self.disk) as Arc<dyn Embedded>;
        let config = config(self.options.sabotage);
        if self.life > 0 && !self.is_calm && self.chance.one_in(8) {
            let error = |error| format!("the view is not completed: {}", chain_of(&error));
            Engine::complete(&config, database).map_err(error)?;
            self.note(Fault::CrashCatchingUp, "");
            return self.crash();
        }
        match Engine::open(&config, database, nonce) {
            Ok(mut engine) => {
                engine.plant(defects::strike);
                self.engine = Some(engine);
            }
            Err(Error::Write(_)) => {
                self.count_write_failure();
                return self.crash();
            }
            Err(error) => return Err(format!("the engine does not start: {}", chain_of(&error))),
        }
        self.life += 1;
        self.line(&format!("life {} begins", self.life));
        let wall = self.wall();
        let mut taken_up = vec![];
        for stage in StageKind::ALL {
            let journal = self.disk.journal() as Arc<dyn engine::port::journal::Journal>;
            let opened = Desk::open(desk_bounds(self.redelivery), journal, &[stage], wall);
            let opened = opened.map_err(|error| chain_of(&error))?;
            if let Some(attempt) = opened.forgotten.first() {
                return Err(format!("a desk cannot read what it wrote of {attempt}"));
            }
            self.desks.insert(stage, opened.desk);
            taken_up.push((stage, opened.actions));
        }
        self.read_log()?;
        self.checker.compare_all(&self.disk)?;
        for (stage, actions) in taken_up {
            self.obey(stage, actions)?;
        }
        self.say_again();
        self.pass_at = Some(self.now_ms + 1);
        self.push_in(1, Event::Pass);
        Ok(())
    }

    /// Has the checker look at what is new in the log.
    pub(crate) fn read_log(&mut self) -> Result<(), String> {
        for line in self.checker.catch_up(&self.disk, self.engine.is_some())? {
            self.line(&line);
        }
        Ok(())
    }

    fn count_write_failure(&mut self) {
        match self.armed.take() {
            Some(fault @ (Fault::CrashWriteLost | Fault::WriteErrorLost)) => {
                self.note(fault, "");
                self.note(Fault::TornWrite, "");
            }
            Some(fault) => self.note(fault, ""),
            None => self.line("a forged write"),
        }
    }

    pub(crate) fn pass(&mut self) -> Result<(), String> {
        let (reading, is_waiting) = (self.reading(), self.engine.as_ref().is_some_and(Engine::is_waiting));
        self.disk.set_wall(reading.wall);
        if self.armed == Some(Fault::CrashBeforePass) && is_waiting {
            self.note(Fault::CrashBeforePass, "");
            return self.crash();
        }
        if self.is_full {
            return Ok(());
        }
        let Some(engine) = &mut self.engine else { return Ok(()) };
        let passed = engine.pass(reading).and_then(|passed| {
            if passed.records == 0 {
                engine.settle()?;
            }
            Ok(passed)
        });
        let passed = match passed {
            Ok(passed) => passed,
            Err(Error::Write(_)) => {
                let poisoned = matches!(engine.pass(reading), Err(Error::Poisoned));
                self.count_write_failure();
                if !poisoned {
                    return Err("the engine goes on after a failed write".into());
                }
                return self.crash();
            }
            Err(error) => return Err(format!("a pass failed: {}", chain_of(&error))),
        };
        self.has_passed = true;
        self.read_log()?;
        let released = !passed.orders.is_empty() || !passed.replies.is_empty();
        if self.armed == Some(Fault::CrashBeforeDispatch) && released {
            self.note(Fault::CrashBeforeDispatch, &format!("{} orders lost", passed.orders.len()));
            return self.crash();
        }
        self.release(passed)?;
        self.expect_handed()
    }

    fn release(&mut self, passed: Passed) -> Result<(), String> {
        if let Some((partition, stopped)) = passed.stopped.first() {
            return Err(format!("partition {partition} stopped: {stopped}"));
        }
        for alarm in &passed.alarms {
            if alarm.code != refused::QUARANTINED || !alarm.text.contains(defects::PLANTED) {
                return Err(format!("alarm {} of {}: {}", alarm.code, alarm.stream, alarm.text));
            }
            self.note(Fault::Quarantined, &format!("{}: {}", alarm.stream, alarm.text));
        }
        if let Some((code, text)) = &passed.suspended
            && !(self.is_suspect && *code == refused::CLOCK_SUSPECT)
        {
            return Err(format!("suspended: {code} {text}"));
        }
        // One that went back is found out by what is recorded; one that is ahead at once.
        if self.is_suspect && self.skew_ms > 0 && passed.records > 0 {
            return Err("it decides though its clock cannot be trusted".into());
        }
        let lost = self.options.sabotage == Some(Sabotage::OrdersLostAtStart)
            && self.life > 1
            && self.handed.is_empty();
        for order in passed.orders {
            if lost {
                continue;
            }
            let attempt = order.command.attempt.clone();
            self.handed.insert(attempt.clone());
            let stage = order.command.stage();
            if !self.is_calm && self.chance.one_in(12) {
                self.note(Fault::DuplicateOrder, &attempt.to_string());
                self.desk(stage, Signal::Command(Box::new(order.clone())))?;
            }
            self.desk(stage, Signal::Command(Box::new(order)))?;
        }
        // A desk hears of one after the other: what it ends for the first may make room for the next.
        self.withdrawn = passed.cancels.iter().cloned().collect();
        for attempt in passed.cancels {
            for stage in StageKind::ALL {
                self.desk(stage, Signal::Cancel(attempt.clone()))?;
            }
        }
        for (partition, reply) in passed.replies {
            self.replied(partition, &reply)?;
        }
        Ok(())
    }

    /// Whatever the log says is outstanding was handed to a desk of this process.
    fn expect_handed(&self) -> Result<(), String> {
        match self.checker.outstanding().find(|attempt| !self.handed.contains(attempt)) {
            Some(attempt) => Err(format!("attempt {attempt} is outstanding, and nobody was told")),
            None => Ok(()),
        }
    }

    pub(crate) fn acknowledge(&mut self, stage: StageKind, attempt: AttemptId) -> Result<(), String> {
        self.unsent.remove(&attempt);
        self.desk(stage, Signal::Acknowledged(attempt))
    }

    fn desk(&mut self, stage: StageKind, signal: Signal) -> Result<(), String> {
        let Some(desk) = self.desks.get_mut(&stage) else { return Ok(()) };
        let actions = desk.step(signal).map_err(|error| chain_of(&error))?;
        self.obey(stage, actions)
    }

    fn obey(&mut self, stage: StageKind, actions: Vec<Action>) -> Result<(), String> {
        for action in actions {
            match action {
                Action::Begin(order) => self.begin(order)?,
                Action::Abandon(attempt) => {
                    self.begun.remove(&attempt);
                }
                Action::Send { report, .. } => {
                    self.unsent.insert(report.attempt.clone());
                    if !self.is_calm && self.chance.one_in(12) {
                        self.note(Fault::DuplicateOutcome, &report.attempt.to_string());
                        self.offer_report(report.clone(), None);
                    }
                    self.offer_report(report, Some(stage));
                }
                Action::Heartbeat(beat) => self.heard(&beat),
            }
        }
        if self.ticking.insert(stage) {
            self.push_in(TICK_MS, Event::Tick(stage));
        }
        Ok(())
    }

    fn heard(&mut self, beat: &desk::Heartbeat) {
        if self.dead.contains(&beat.attempt) {
            return;
        }
        self.checker.heard.insert(beat.attempt.clone(), beat.at);
        self.disk.set_heard(&beat.attempt);
        if self.options.sabotage != Some(Sabotage::LeaseFromSending)
            && let Some(engine) = &mut self.engine
        {
            engine.heard(&beat.attempt, beat.at);
        }
    }

    pub(crate) fn tick(&mut self, stage: StageKind) -> Result<(), String> {
        let wall = self.wall();
        let Some(desk) = self.desks.get(&stage) else { return Ok(()) };
        let is_idle = desk.under_way() == 0 && self.unsent.is_empty();
        self.ticking.remove(&stage);
        if is_idle { Ok(()) } else { self.desk(stage, Signal::Tick(wall)) }
    }

    /// A worker takes the order up. Some are slow, some are never heard of again.
    fn begin(&mut self, order: Box<WorkOrder>) -> Result<(), String> {
        let attempt = order.command.attempt.clone();
        if self.written_down.contains(&attempt) {
            return Err(format!("{attempt} is carried out again, which is written down"));
        }
        // A desk that takes up its journal cannot know what was withdrawn while there was none.
        let is_brought = self.redelivery == Redelivery::TheEngine;
        let is_outstanding = self.checker.outstanding().any(|outstanding| *outstanding == attempt);
        if is_brought && !is_outstanding && !self.withdrawn.contains(&attempt) {
            return Err(format!("{attempt} is carried out, which is not outstanding"));
        }
        self.begun.insert(attempt.clone());
        self.line(&format!("begin {} {attempt}", order.command.order.as_str()));
        if !self.is_calm && workers::is_fenced(&order.command) && self.chance.one_in(ZOMBIE_ONE_IN) {
            // Another carries it out too, and much later.
            let wait = self.chance.between(2_000, 150_000);
            self.push_in(wait, Event::Finish { life: 0, order: order.clone() });
        }
        let fate = if self.is_calm { 99 } else { self.chance.below(30) };
        let lease = order.command.lease.0;
        if fate == 0 {
            self.note(Fault::DeadWorker, &attempt.to_string());
            self.dead.insert(attempt.clone());
            let outcome = workers::lost();
            let answer = WorkerAnswer::Done(outcome);
            let report = Report { attempt, token: order.token, answer };
            let (life, report) = (self.life, Box::new(report));
            self.push_in(lease + 20_000, Event::AnswerLate { life, stage: order.command.stage(), report });
            return Ok(());
        }
        let wait = if fate <= 3 {
            self.note(Fault::SlowWorker, &attempt.to_string());
            self.chance.between(lease / 2, lease + lease / 2)
        } else {
            self.chance.between(20, 2_500)
        };
        self.push_in(wait, Event::Finish { life: self.life, order });
        Ok(())
    }

    /// The answer of a worker that was not heard of: by its desk, if that still waits for it.
    pub(crate) fn answer_late(&mut self, life: u64, stage: StageKind, report: Report) -> Result<(), String> {
        let Report { attempt, answer: WorkerAnswer::Done(outcome), .. } = &report else { return Ok(()) };
        if life != self.life || !self.begun.remove(attempt) {
            self.offer_report(report, None);
            return Ok(());
        }
        self.desk(stage, Signal::Finished { attempt: attempt.clone(), outcome: outcome.clone() })
    }

    pub(crate) fn finish(&mut self, life: u64, order: &WorkOrder) -> Result<(), String> {
        let attempt = &order.command.attempt;
        let is_wanted = life == self.life && self.begun.contains(attempt);
        let acts = matches!(order.command.order, Order::Apply(_) | Order::Prepare(_) | Order::Package(_));
        if !is_wanted && (!acts || self.is_calm && self.chance.one_in(2)) {
            return Ok(());
        }
        let quality = match &attempt.owner {
            StreamId::Run(run) => self.cast.quality(*run),
            _ => Quality::Healthy,
        };
        let (is_calm, now) = (self.is_calm, self.wall());
        let (outside, checker, chance) = (&mut self.outside, &self.checker, &mut self.chance);
        let outcome =
            workers::work(&order.command, &mut Bench { outside, checker, chance, quality, is_calm, now })?;
        if !is_wanted {
            self.note(Fault::Zombie, &format!("{} {attempt}", order.command.order.as_str()));
            return Ok(());
        }
        self.begun.remove(attempt);
        let stage = order.command.stage();
        self.desk(stage, Signal::Finished { attempt: attempt.clone(), outcome })?;
        // What was quick, and comes again from the engine, is not written down.
        if self.disk.journal().has_answer(attempt).map_err(|error| chain_of(&error))? {
            self.written_down.insert(attempt.clone());
        }
        Ok(())
    }
}
