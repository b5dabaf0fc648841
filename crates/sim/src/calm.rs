//! The calm phase: no faults, workers that can tell, people who approve. Whatever the storm left must come to an
//! end, within bounded time.

use domain::run::{self, Phase};

use crate::defects;
use crate::options::Fault;
use crate::world::{Event, STORM_MS, World};

/// The interval at which people look.
const LOOK_MS: u64 = 30_000;
/// By then everything has ended.
const CALM_MAX_MS: u64 = 4 * 3_600_000;

impl World {
    /// Whether everything has come to rest. If not, people do what is left to do.
    pub(crate) fn calm_down(&mut self) -> Result<bool, String> {
        self.push_in(LOOK_MS, Event::Calm);
        let hindered = self.is_full || self.is_suspect;
        let storming = self.armed.is_some() || self.engine.is_none() || hindered || self.planned_left();
        if storming && !self.is_calm {
            let deed = self.cast.provoke(0);
            self.carry_out(deed)?;
            return Ok(false);
        }
        if !self.is_calm {
            self.is_calm = true;
            self.line("calm");
            self.cast.heal();
            self.outside.end_silence();
            defects::mend();
        }
        if self.is_at_rest() {
            return Ok(true);
        }
        if self.now_ms > STORM_MS + CALM_MAX_MS {
            return Err(self.what_is_stuck());
        }
        for deed in self.cast.help(&self.checker) {
            self.carry_out(deed)?;
        }
        Ok(false)
    }

    /// Crashes that were planned and have not happened.
    fn planned_left(&self) -> bool {
        let injected = |fault: &Fault| self.faults.get(fault).copied().unwrap_or(0);
        self.planned.iter().any(|(fault, planned)| injected(fault) < *planned)
    }

    fn is_at_rest(&self) -> bool {
        let settled = |run: &run::Run| run.is_ended() || matches!(run.phase, Phase::Live | Phase::Standby);
        self.all_answered()
            && self.checker.runs().all(|(_, run)| settled(run))
            && self.checker.targets().all(|(id, target)| {
                target.quarantine().is_none()
                    && target.table.as_ref().is_none_or(|table| self.outside.obeys(id, table.generation))
            })
    }

    fn what_is_stuck(&self) -> String {
        let mut stuck: Vec<String> = vec![];
        for (id, run) in self.checker.runs() {
            if !run.is_ended() && !matches!(run.phase, Phase::Live | Phase::Standby) {
                let open = &run.attempts_open;
                stuck.push(format!("run {id} is {:?}: {:?} open {open:?}", run.phase, run::why(run)));
            }
        }
        for (id, target) in self.checker.targets() {
            let generation = target.table.as_ref().map(|table| table.generation).unwrap_or_default();
            if target.table.is_some() && !self.outside.obeys(id, generation) {
                stuck.push(format!(
                    "gateways of {id} do not obey generation {generation}; observed {}, apply {:?}, prepare {:?}",
                    target.observed, target.apply, target.prepare
                ));
            }
        }
        if !self.all_answered() {
            stuck.push("somebody was never answered".into());
        }
        format!("stuck after {CALM_MAX_MS} ms of calm: {}", stuck.join("; "))
    }
}
