//! The storm: what is planned, how it befalls, and how it passes.

use domain::name::StreamId;
use domain::time::Millis;
use engine::partition::{Hindrance, Signal};

use super::{Cluster, Event, PARTITIONS, STORM_MS};
use crate::defects;
use crate::options::{Fault, Sabotage};

/// What befalls no process in particular.
const HINDRANCES: [Fault; 2] = [Fault::GatewaySilent, Fault::CoreDefect];

impl Cluster {
    pub(super) fn plan(&mut self) {
        self.define_roles();
        for node in 0..self.nodes.len() {
            let at = self.chance.below(3_000);
            self.push(at, Event::Start(node));
        }
        for _ in 0..self.options.acts {
            let at = self.chance.below(STORM_MS);
            self.push(at, Event::Act);
        }
        for _ in 0..self.options.faults {
            let (at, fault) = (self.chance.between(2_000, STORM_MS), self.chance.pick(&Fault::CLUSTER));
            *self.planned.entry(fault).or_default() += 1;
            self.push(at, Event::Fail(fault));
        }
        for _ in 0..self.options.hindrances {
            let (at, fault) = (self.chance.between(2_000, STORM_MS), self.chance.pick(&HINDRANCES));
            *self.planned.entry(fault).or_default() += 1;
            self.push(at, Event::Fail(fault));
        }
        // In some stories the binaries are replaced, one after the other.
        if self.chance.one_in(3) {
            let mut at = self.chance.between(10_000, STORM_MS / 2);
            for node in 0..self.nodes.len() {
                self.push(at, Event::Mend(node, Fault::OldBinary));
                at += self.chance.between(5_000, 60_000);
            }
        }
        self.push(100, Event::Oracle);
        self.push(20_000, Event::Observe);
        self.push(STORM_MS, Event::Calm);
    }

    /// A planned fault: now, or as soon as it can.
    pub(super) fn fail(&mut self, fault: Fault) -> Result<(), String> {
        let free: Vec<usize> = (0..self.nodes.len()).filter(|number| self.is_free(*number)).collect();
        let again = |cluster: &mut Self| {
            cluster.push_in(1_500, Event::Fail(fault));
            Ok(())
        };
        match fault {
            Fault::AppendLost
            | Fault::AppendLate
            | Fault::AppendDoubled
            | Fault::AppendReordered
            | Fault::AppendAborted
            | Fault::AppendUnseen => {
                self.broker.armed.push_back(fault);
                return Ok(());
            }
            Fault::WorkerCrash => {
                let up: Vec<usize> =
                    (0..self.workers.len()).filter(|number| self.workers[*number].is_up()).collect();
                if up.is_empty() {
                    return again(self);
                }
                let worker = self.chance.pick(&up);
                self.crash_worker(worker);
                return Ok(());
            }
            Fault::GatewaySilent | Fault::CoreDefect => {
                self.hinder(fault);
                return Ok(());
            }
            _ if free.is_empty() => return again(self),
            _ => {}
        }
        let number = self.chance.pick(&free);
        let actions = self.chance.below(12);
        match fault {
            Fault::CrashBetweenActions => self.nodes[number].dies_in = Some(actions),
            Fault::Paused => {
                let span = self.chance.between(2_000, 60_000);
                self.nodes[number].sleeps_in = Some((actions, span));
            }
            Fault::TwoOwners => {
                let partition = self.chance.below(u64::from(PARTITIONS)) as u32;
                let seat = |number: usize| &self.nodes[number].seats[partition as usize];
                let other = free.iter().copied().find(|number| !seat(*number).is_wanted);
                let owned = self
                    .nodes
                    .iter()
                    .any(|node| node.seats.get(partition as usize).is_some_and(|seat| seat.is_wanted));
                let Some(other) = other.filter(|_| owned) else {
                    // All are to own already: the group settles, and then it happens again.
                    self.settle(partition);
                    return again(self);
                };
                self.note(fault, &format!("process {other} too is to own {partition}"));
                self.assign(other, partition);
            }
            Fault::DiskFull => {
                self.note(fault, &format!("of process {number}"));
                self.nodes[number].is_full = true;
                let wait = self.chance.between(5_000, 40_000);
                self.push_in(wait, Event::Mend(number, fault));
            }
            Fault::LogAway => {
                self.note(fault, &format!("for process {number}"));
                self.nodes[number].is_away = true;
                for partition in 0..PARTITIONS {
                    self.step(number, partition, Signal::Hindered(Hindrance::LogAway));
                }
                self.wake(number, 1);
                let wait = self.chance.between(2_000, 30_000);
                self.push_in(wait, Event::Mend(number, fault));
            }
            Fault::ClockSuspect => {
                self.note(fault, &format!("of process {number}"));
                let jump = 600_000;
                self.nodes[number].skew_ms += if self.chance.one_in(2) { jump } else { -jump };
                let wait = self.chance.between(10_000, 60_000);
                self.push_in(wait, Event::Mend(number, fault));
            }
            other => return Err(format!("{other:?} is not planned in a cluster")),
        }
        Ok(())
    }

    fn hinder(&mut self, fault: Fault) {
        let (span, target) =
            (self.chance.between(5_000, 90_000), self.chance.below(self.cast.targets.len() as u64));
        let target = self.cast.targets[target as usize].clone();
        if fault == Fault::GatewaySilent {
            let (gateways, until) = (self.chance.between(1, 2) as usize, self.time() + Millis(3 * span));
            self.note(fault, &format!("{gateways} of {target} for {}", 3 * span));
            return self.outside.silence(&target, gateways, until);
        }
        let runs: Vec<StreamId> = self.audit.checker.runs().map(|(run, _)| StreamId::Run(run)).collect();
        let stream = match self.chance.below(3) {
            0 => StreamId::Target(target),
            _ if runs.is_empty() => StreamId::Target(target),
            _ => runs[self.chance.below(runs.len() as u64) as usize].clone(),
        };
        let input = defects::plant(stream.clone(), &mut self.chance);
        self.note(fault, &format!("{input} of {stream} for {span}"));
        self.push_in(span, Event::Mend(0, fault));
    }

    /// Whether nothing else befalls the process at the time.
    fn is_free(&self, number: usize) -> bool {
        let node = &self.nodes[number];
        node.is_awake()
            && node.poll_at.is_some()
            && node.dies_in.is_none()
            && node.sleeps_in.is_none()
            && !node.is_full
            && !node.is_away
            && node.skew_ms.abs() < 300_000
            && node.has_ticked
    }

    pub(super) fn mend(&mut self, number: usize, fault: Fault) -> Result<(), String> {
        match fault {
            Fault::Paused => {
                let node = &mut self.nodes[number];
                if node.sleeps_until.is_some_and(|until| until <= self.now_ms) {
                    // A look that was planned came while it slept.
                    (node.sleeps_until, node.poll_at) = (None, None);
                    self.line(&format!("process {number} goes on"));
                    self.wake(number, 1);
                }
            }
            Fault::DiskFull if self.nodes[number].is_full => {
                self.nodes[number].is_full = false;
                for partition in 0..self.nodes[number].seats.len() as u32 {
                    self.step(number, partition, Signal::Cleared(Hindrance::DiskFull));
                }
                self.wake(number, 1);
            }
            Fault::LogAway if self.nodes[number].is_away => {
                self.nodes[number].is_away = false;
                for partition in 0..self.nodes[number].seats.len() as u32 {
                    self.step(number, partition, Signal::Cleared(Hindrance::LogAway));
                }
                self.wake(number, 1);
            }
            Fault::ClockSuspect => {
                self.nodes[number].skew_ms = self.chance.below(60_000) as i64 - 30_000;
                self.wake(number, 1);
            }
            Fault::CoreDefect => defects::mend(),
            Fault::OldBinary => {
                self.nodes[number].upgrade();
                if self.nodes[number].is_up {
                    self.line(&format!("process {number} is replaced"));
                    self.crash(number)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// What a world without a guard needs to have happen.
    pub(super) fn delete_a_record(&mut self) {
        let is_wanted = matches!(self.options.sabotage, Some(Sabotage::RecordDeleted | Sabotage::GapRuleOff));
        if is_wanted && !self.has_deleted && self.now_ms > 30_000 {
            self.has_deleted = self.delete_unread();
        }
    }
}
