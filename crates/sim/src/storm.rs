//! The storm of one process: how it dies and what that costs, what is planned, how it befalls, and how it passes.

use domain::name::StreamId;
use domain::time::Millis;

use crate::defects;
use crate::disk::Failure;
use crate::options::Fault;
use crate::world::{Event, STORM_MS, World};

/// Further than any clock is believed to jump.
const SUSPECT_MS: i64 = 600_000;

impl World {
    /// Everything in memory is gone.
    pub(crate) fn crash(&mut self) -> Result<(), String> {
        self.engine = None;
        self.desks.clear();
        self.ticking.clear();
        self.begun.clear();
        self.handed.clear();
        self.unsent.clear();
        self.tickets.clear();
        self.checker.heard.clear();
        self.armed = None;
        self.disk.arm(None);
        self.lose_unsynced()?;
        self.pass_at = None;
        (self.is_full, self.is_suspect, self.has_passed) = (false, false, false);
        self.skew_ms = self.skew_ms.clamp(-SUSPECT_MS / 5, SUSPECT_MS / 5);
        for target in self.cast.targets.clone() {
            let (gateways, servers) = (self.chance.one_in(3), self.chance.one_in(3));
            self.lose_outside(&target, gateways, servers)?;
        }
        self.read_log()?;
        let wait = self.chance.between(100, 20_000);
        self.push_in(wait, Event::Restart);
        self.push_in(wait + 50, Event::Observe);
        Ok(())
    }

    /// What of the disk a crash costs: of the process, or of the machine.
    fn lose_unsynced(&mut self) -> Result<(), String> {
        let power = self.chance.one_in(2);
        let cost = self.disk.crash(power, &mut self.chance)?;
        if power {
            self.note(Fault::PowerLost, "");
        }
        if cost.view_writes > 0 {
            self.note(Fault::ViewBehind, &format!("by {} writes", cost.view_writes));
        }
        if cost.journal_calls > 0 {
            self.note(Fault::JournalUnsynced, &format!("{} calls", cost.journal_calls));
        }
        let journal = self.disk.journal();
        if self.chance.one_in(6) {
            self.note(Fault::JournalLost, "");
            journal.lose_all();
            self.written_down.clear();
        }
        if self.chance.one_in(10) {
            self.note(Fault::ViewLost, "");
            self.disk.forget_view();
        }
        if power {
            // What the engine has is outstanding no more, whatever the journal says.
            self.written_down.retain(|attempt| journal.has_answer(attempt).unwrap_or(false));
        }
        Ok(())
    }

    pub(crate) fn lose_outside(
        &mut self,
        target: &domain::name::TargetId,
        gateways: bool,
        servers: bool,
    ) -> Result<(), String> {
        if gateways || servers {
            self.note(Fault::OutsideLost, &format!("{target} {gateways} {servers}"));
            self.outside.lose(target, gateways, servers)?;
        }
        Ok(())
    }

    /// A planned crash: now, or at the next write.
    pub(crate) fn fail(&mut self, fault: Fault) -> Result<(), String> {
        let again = self.engine.is_none()
            || self.armed.is_some()
            || self.is_full
            || self.is_suspect
            || !self.has_passed
            || fault == Fault::CrashAtWork && self.begun.is_empty() && self.now_ms < STORM_MS;
        if again {
            self.push_in(1_500, Event::Fail(fault));
            return Ok(());
        }
        match fault {
            Fault::CrashAtWork => {
                self.note(fault, &format!("{} under way", self.begun.len()));
                self.crash()
            }
            Fault::CrashWriteLost | Fault::WriteErrorLost => {
                self.armed = Some(fault);
                self.disk.arm(Some(Failure::Lost));
                Ok(())
            }
            Fault::CrashWriteLanded | Fault::WriteErrorLanded => {
                self.armed = Some(fault);
                self.disk.arm(Some(Failure::Landed));
                Ok(())
            }
            Fault::DiskFull | Fault::ClockSuspect | Fault::GatewaySilent | Fault::CoreDefect => {
                self.hinder(fault);
                Ok(())
            }
            _ => {
                self.armed = Some(fault);
                Ok(())
            }
        }
    }

    /// Something that passes without anybody ending.
    fn hinder(&mut self, fault: Fault) {
        let span = self.chance.between(5_000, 90_000);
        let target = self.chance.pick(&(0..self.cast.targets.len()).collect::<Vec<_>>());
        let target = self.cast.targets[target].clone();
        match fault {
            Fault::DiskFull => {
                self.note(fault, &format!("for {span}"));
                self.is_full = true;
            }
            Fault::ClockSuspect => {
                self.skew_ms += if self.chance.one_in(2) { SUSPECT_MS } else { -SUSPECT_MS };
                self.note(fault, &format!("off by {} for {span}", self.skew_ms));
                self.is_suspect = true;
                self.pass_at = None;
            }
            Fault::GatewaySilent => {
                let (gateways, until) = (self.chance.between(1, 2) as usize, self.wall() + Millis(3 * span));
                self.note(fault, &format!("{gateways} of {target} for {}", 3 * span));
                self.outside.silence(&target, gateways, until);
            }
            _ => {
                let runs: Vec<StreamId> = self.checker.runs().map(|(run, _)| StreamId::Run(run)).collect();
                let stream = match self.chance.below(3) {
                    0 => StreamId::Target(target),
                    _ if runs.is_empty() => StreamId::Target(target),
                    _ => runs[self.chance.below(runs.len() as u64) as usize].clone(),
                };
                let input = defects::plant(stream.clone(), &mut self.chance);
                self.note(fault, &format!("{input} of {stream} for {span}"));
            }
        }
        self.push_in(span, Event::Mend(fault));
    }

    pub(crate) fn mend(&mut self, fault: Fault) {
        match fault {
            Fault::DiskFull => self.is_full = false,
            Fault::ClockSuspect if self.is_suspect => {
                self.skew_ms = 0;
                self.is_suspect = false;
                self.pass_at = None;
            }
            Fault::CoreDefect => defects::mend(),
            _ => {}
        }
    }
}
