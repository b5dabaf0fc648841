//! Workers: real desks with journals, in processes of their own that read the topic of commands.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::name::{AttemptId, StreamId, TargetId};
use domain::time::{Millis, Timestamp};
use domain::work::Order;
use domain::workflow::StageKind;
use engine::desk::{self, Action, Desk, Signal};
use engine::partition::{self, WorkOrder};
use engine::placement::partition_of;
use engine::port::journal::{self, Entry as Kept, Journal};
use engine::port::memory;
use engine::request::{Report, Said, WorkerAnswer};
use wire::record::Lane;

use super::broker::Entry;
use super::{Cluster, Event, PARTITIONS, transit};
use crate::checker::chain_of;
use crate::options::{Fault, Sabotage};
use crate::script::Quality;
use crate::workers::{self, Bench, ZOMBIE_ONE_IN};

/// The interval at which a busy desk looks at the time.
const TICK_MS: u64 = 4_000;

#[derive(Debug)]
pub(super) struct Worker {
    life: u64,
    /// Nothing while the process is gone.
    desk: Option<Desk>,
    journal: Arc<dyn Journal>,
    journals: u64,
    begun: BTreeSet<AttemptId>,
    dead: BTreeSet<AttemptId>,
    unsent: BTreeSet<AttemptId>,
    is_ticking: bool,
    /// What it carried out and wrote down, by journal.
    carried_out: BTreeSet<(u64, AttemptId)>,
}

/// An answer on its way into the lane.
#[derive(Debug)]
pub(super) struct Answering {
    worker: usize,
    life: u64,
    partition: u32,
    report: Box<Report>,
}

/// A journal that keeps nothing.
#[derive(Debug)]
struct Forgetful;

impl Journal for Forgetful {
    fn put(&self, _: &[Kept], _: &[AttemptId]) -> Result<(), journal::Error> {
        Ok(())
    }
    fn get(&self, _: &AttemptId) -> Result<Option<Kept>, journal::Error> {
        Ok(None)
    }
    fn open(&self) -> Result<Vec<Kept>, journal::Error> {
        Ok(vec![])
    }
    fn sweep(&self, _: Timestamp) -> Result<(), journal::Error> {
        Ok(())
    }
}

fn new_journal(sabotage: Option<Sabotage>) -> Arc<dyn Journal> {
    match sabotage {
        Some(Sabotage::NoJournal) => Arc::new(Forgetful),
        _ => Arc::new(memory::Journal::default()),
    }
}

fn new_desk(journal: &Arc<dyn Journal>, now: Timestamp) -> Result<desk::Opened, journal::Error> {
    let bounds = desk::Bounds {
        heartbeat_every: Millis(TICK_MS),
        resend_after: Millis::seconds(5),
        ..desk::Bounds::default()
    };
    Desk::open(bounds, Arc::clone(journal), &StageKind::ALL, now)
}

impl Worker {
    pub(super) fn new(sabotage: Option<Sabotage>) -> Self {
        let journal = new_journal(sabotage);
        let opened = new_desk(&journal, super::BEGIN).expect("a journal in memory can be read");
        Self {
            life: 1,
            desk: Some(opened.desk),
            journal,
            journals: 1,
            begun: BTreeSet::new(),
            dead: BTreeSet::new(),
            unsent: BTreeSet::new(),
            is_ticking: false,
            carried_out: BTreeSet::new(),
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.desk.is_some()
    }
}

impl Cluster {
    /// The topic gives the command to one worker; after a rebalance to another too.
    pub(super) fn hand_out(&mut self, order: &WorkOrder) -> Result<(), String> {
        let order = &transit::order(order)?;
        let worker = self.chance.below(self.workers.len() as u64) as usize;
        let wait = self.chance.between(1, 30);
        self.push_in(wait, Event::Deliver(worker, Box::new(order.clone())));
        if !self.is_calm && self.chance.one_in(10) {
            self.note(Fault::DuplicateOrder, &order.command.attempt.to_string());
            let (wait, other) = (self.chance.between(1, 20_000), self.chance.below(2) as usize);
            self.push_in(wait, Event::Deliver(other, Box::new(order.clone())));
        }
        Ok(())
    }

    pub(super) fn deliver(&mut self, number: usize, order: WorkOrder) -> Result<(), String> {
        if !self.workers[number].is_up() {
            let other = (number + 1) % self.workers.len();
            self.push_in(1_000, Event::Deliver(other, Box::new(order)));
            return Ok(());
        }
        // Once the desk has it, its place in the topic moves on: it is not given again.
        self.desk(number, Signal::Command(Box::new(order)))
    }

    pub(super) fn cancel(&mut self, number: usize, attempt: &AttemptId) -> Result<(), String> {
        let attempt = transit::cancel(attempt)?;
        self.desk(number, Signal::Cancel(attempt))
    }

    pub(super) fn crash_worker(&mut self, number: usize) {
        self.note(Fault::WorkerCrash, &format!("worker {number}"));
        let worker = &mut self.workers[number];
        worker.desk = None;
        worker.begun.clear();
        worker.unsent.clear();
        worker.is_ticking = false;
        if self.chance.one_in(3) {
            self.note(Fault::JournalLost, &format!("of worker {number}"));
            let worker = &mut self.workers[number];
            worker.journal = new_journal(self.options.sabotage);
            worker.journals += 1;
        }
        let wait = self.chance.between(500, 15_000);
        self.push_in(wait, Event::WorkerStart(number));
    }

    pub(super) fn start_worker(&mut self, number: usize) -> Result<(), String> {
        let now = self.time();
        let worker = &mut self.workers[number];
        worker.life += 1;
        // All that it will get of what it had: what its journal holds.
        let opened = new_desk(&worker.journal, now).map_err(|error| chain_of(&error))?;
        if let Some(attempt) = opened.forgotten.first() {
            return Err(format!("worker {number} cannot read what it wrote of {attempt}"));
        }
        worker.desk = Some(opened.desk);
        self.obey(number, opened.actions)
    }

    fn desk(&mut self, number: usize, signal: Signal) -> Result<(), String> {
        let worker = &mut self.workers[number];
        let Some(desk) = &mut worker.desk else { return Ok(()) };
        let actions = desk.step(signal).map_err(|error| chain_of(&error))?;
        self.obey(number, actions)
    }

    fn obey(&mut self, number: usize, actions: Vec<Action>) -> Result<(), String> {
        for action in actions {
            match action {
                Action::Begin(order) => self.begin(number, order)?,
                Action::Abandon(attempt) => {
                    self.workers[number].begun.remove(&attempt);
                }
                Action::Send { target, report } => self.send_answer(number, &target, report),
                Action::Heartbeat(beat) => self.heartbeat(number, &transit::heartbeat(&beat)?),
            }
        }
        // It looks at the time while there is a desk.
        if !std::mem::replace(&mut self.workers[number].is_ticking, true) {
            self.push_in(TICK_MS, Event::DeskTick(number));
        }
        Ok(())
    }

    fn send_answer(&mut self, number: usize, target: &TargetId, report: Report) {
        self.workers[number].unsent.insert(report.attempt.clone());
        let partition = partition_of(target, PARTITIONS);
        let life = self.workers[number].life;
        let fate = if self.is_calm { 99 } else { self.chance.below(24) };
        if fate == 0 {
            // It says it again.
            self.note(Fault::OutcomeLost, &report.attempt.to_string());
            return;
        }
        if fate <= 2 {
            self.note(Fault::DuplicateOutcome, &report.attempt.to_string());
            let said = Said::Report(Box::new(report.clone()));
            let wait = self.chance.between(1, 30_000);
            let entry = Box::new(Entry { said, input_id: None });
            self.push_in(wait, Event::Say(partition, Lane::Outcomes, entry));
        }
        let wait = self.chance.between(1, 20);
        let answering = Answering { worker: number, life, partition, report: Box::new(report) };
        self.push_in(wait, Event::Answer(answering));
    }

    pub(super) fn answered(&mut self, answering: Answering) -> Result<(), String> {
        let Answering { worker, life, partition, report } = answering;
        let attempt = report.attempt.clone();
        self.line(&format!("answer to {attempt}"));
        self.say(partition, Lane::Outcomes, Entry { said: Said::Report(report), input_id: None })?;
        if self.workers[worker].life != life {
            return Ok(());
        }
        self.workers[worker].unsent.remove(&attempt);
        self.desk(worker, Signal::Acknowledged(attempt))
    }

    fn heartbeat(&mut self, number: usize, beat: &desk::Heartbeat) {
        if self.workers[number].dead.contains(&beat.attempt) {
            return;
        }
        if !self.is_calm && self.chance.one_in(10) {
            self.note(Fault::HeartbeatLost, &beat.attempt.to_string());
            return;
        }
        for node in self.nodes.iter_mut().filter(|node| node.is_awake()) {
            for seat in &mut node.seats {
                let heard = partition::Signal::Heard { attempt: beat.attempt.clone(), at: beat.at };
                seat.queue.extend(seat.machine.step(heard));
            }
        }
    }

    pub(super) fn desk_tick(&mut self, number: usize) -> Result<(), String> {
        let now = self.time();
        let worker = &mut self.workers[number];
        let Some(desk) = &worker.desk else { return Ok(()) };
        let is_idle = desk.under_way() == 0 && worker.unsent.is_empty();
        worker.is_ticking = false;
        if is_idle { Ok(()) } else { self.desk(number, Signal::Tick(now)) }
    }

    /// Takes the order up. Some are slow, some are never heard of again.
    fn begin(&mut self, number: usize, order: Box<WorkOrder>) -> Result<(), String> {
        let attempt = order.command.attempt.clone();
        let worker = &mut self.workers[number];
        if worker.carried_out.contains(&(worker.journals, attempt.clone())) {
            return Err(format!("worker {number} carries {attempt} out again, which it has written down"));
        }
        worker.begun.insert(attempt.clone());
        let life = worker.life;
        self.line(&format!("worker {number} begins {} {attempt}", order.command.order.as_str()));
        if !self.is_calm && workers::is_fenced(&order.command) && self.chance.one_in(ZOMBIE_ONE_IN) {
            // Another carries it out too, and much later.
            let wait = self.chance.between(2_000, 150_000);
            self.push_in(wait, Event::Finish { worker: number, life: 0, order: order.clone() });
        }
        let fate = if self.is_calm { 99 } else { self.chance.below(30) };
        let lease = order.command.lease.0;
        if fate == 0 {
            self.note(Fault::DeadWorker, &attempt.to_string());
            self.workers[number].dead.insert(attempt.clone());
            let answer = WorkerAnswer::Done(workers::lost());
            let report = Box::new(Report { attempt, token: order.token, answer });
            self.push_in(lease + 20_000, Event::AnswerLate { worker: number, life, report });
            return Ok(());
        }
        let wait = if fate <= 3 {
            self.note(Fault::SlowWorker, &attempt.to_string());
            self.chance.between(lease / 2, lease + lease / 2)
        } else {
            self.chance.between(20, 2_500)
        };
        self.push_in(wait, Event::Finish { worker: number, life, order });
        Ok(())
    }

    /// The answer of a worker that was not heard of: by its desk, if that still waits for it.
    pub(super) fn answer_late(
        &mut self,
        number: usize,
        life: u64,
        report: Box<Report>,
    ) -> Result<(), String> {
        let Report { attempt, answer: WorkerAnswer::Done(outcome), .. } = &*report else { return Ok(()) };
        let worker = &mut self.workers[number];
        if life != worker.life || !worker.is_up() || !worker.begun.remove(attempt) {
            let said = Said::Report(report);
            let partition = self.partition_for(&said);
            self.push_in(0, Event::Say(partition, Lane::Outcomes, Box::new(Entry { said, input_id: None })));
            return Ok(());
        }
        worker.carried_out.insert((worker.journals, attempt.clone()));
        self.desk(number, Signal::Finished { attempt: attempt.clone(), outcome: outcome.clone() })
    }

    pub(super) fn finish(&mut self, number: usize, life: u64, order: &WorkOrder) -> Result<(), String> {
        let attempt = &order.command.attempt;
        let worker = &self.workers[number];
        let is_wanted = life == worker.life && worker.is_up() && worker.begun.contains(attempt);
        let acts = matches!(order.command.order, Order::Apply(_) | Order::Prepare(_) | Order::Package(_));
        if !is_wanted && (!acts || self.is_calm && self.chance.one_in(2)) {
            return Ok(());
        }
        let quality = match &attempt.owner {
            StreamId::Run(run) => self.cast.quality(*run),
            _ => Quality::Healthy,
        };
        let (is_calm, now) = (self.is_calm, self.time());
        let (outside, checker, chance) = (&mut self.outside, &self.audit.checker, &mut self.chance);
        let mut bench = Bench { outside, checker, chance, quality, is_calm, now };
        let outcome = workers::work(&order.command, &mut bench)?;
        if !is_wanted {
            self.note(Fault::Zombie, &format!("{} {attempt}", order.command.order.as_str()));
            return Ok(());
        }
        let worker = &mut self.workers[number];
        worker.begun.remove(attempt);
        worker.carried_out.insert((worker.journals, attempt.clone()));
        self.desk(number, Signal::Finished { attempt: attempt.clone(), outcome })
    }
}
