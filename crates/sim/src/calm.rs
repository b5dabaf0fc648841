//! The calm phase: no faults, workers that can tell, people who approve. Whatever the storm left must come to an
//! end, within bounded time.

use domain::name::{Role, RunId};
use domain::run::{self, Phase};
use engine::request::{Request, RunAsk, Said, TargetAsk};

use crate::options::Fault;
use crate::people::gate_of;
use crate::script::{self, APPROVERS, OPERATOR};
use crate::world::{Event, STORM_MS, World};

/// The interval at which people look.
const LOOK_MS: u64 = 30_000;
/// By then everything has ended.
const CALM_MAX_MS: u64 = 4 * 3_600_000;

impl World {
    /// Whether everything has come to rest. If not, people do what is left to do.
    pub(crate) fn calm_down(&mut self) -> Result<bool, String> {
        self.push_in(LOOK_MS, Event::Calm);
        let storming = self.armed.is_some() || self.engine.is_none() || self.planned_left();
        if storming && !self.is_calm {
            self.provoke();
            return Ok(false);
        }
        if !self.is_calm {
            self.is_calm = true;
            self.line("calm");
            for quality in self.qualities.values_mut() {
                *quality = script::Quality::Healthy;
            }
        }
        if self.is_at_rest() {
            return Ok(true);
        }
        if self.now_ms > STORM_MS + CALM_MAX_MS {
            return Err(self.what_is_stuck());
        }
        self.help_targets();
        let runs: Vec<RunId> = self.checker.runs().map(|(run, _)| run).collect();
        for run in runs {
            self.help_run(run);
        }
        Ok(false)
    }

    /// Crashes that were planned and have not happened.
    fn planned_left(&self) -> bool {
        let injected: u64 = Fault::CRASHES.iter().filter_map(|fault| self.faults.get(fault)).sum();
        injected < self.options.crashes
    }

    /// Says something that must be recorded, for a planned fault waits for a write.
    fn provoke(&mut self) {
        let (target, reason) = (self.targets[0].clone(), self.request_id().as_str().into());
        let request = Request::Target {
            target,
            actor: script::actor(script::NOBODY),
            ask: TargetAsk::Unfreeze { reason },
        };
        self.request(Said::Request(Box::new(request)));
    }

    fn is_at_rest(&self) -> bool {
        let settled = |run: &run::Run| run.is_ended() || matches!(run.phase, Phase::Live | Phase::Standby);
        self.all_answered()
            && self.checker.runs().all(|(_, run)| settled(run))
            && self.checker.targets().all(|(id, target)| {
                target.table.as_ref().is_none_or(|table| self.outside.obeys(id, table.generation))
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

    fn help_targets(&mut self) {
        let frozen: Vec<_> = self
            .checker
            .targets()
            .filter(|(_, target)| target.frozen.is_some())
            .map(|(id, _)| id.clone())
            .collect();
        for target in frozen {
            let ask = TargetAsk::Unfreeze { reason: self.request_id().as_str().into() };
            self.line(&format!("unfreeze {target}"));
            let request = Request::Target { target, actor: script::actor(OPERATOR), ask };
            self.request(Said::Request(Box::new(request)));
        }
    }

    fn help_run(&mut self, id: RunId) {
        let Some(run) = self.checker.run(id) else { return };
        let is_paused = run.paused_at.is_some();
        let is_held =
            run.phase == Phase::Active && run.stages.iter().any(|stage| stage.rollout.held.is_some());
        let gate = gate_of(run).filter(|_| run.waits_for_people());
        let reason = self.request_id().as_str().into();
        if is_paused {
            self.ask(id, OPERATOR, RunAsk::Resume { reason });
        } else if is_held {
            self.ask(id, OPERATOR, RunAsk::Promote { to: None, reason });
        } else if let Some((stage, evidence)) = gate {
            for (who, role) in APPROVERS {
                let (role, rationale) =
                    (Role::parse(role).expect("plain"), self.request_id().as_str().into());
                let ask = RunAsk::Approve { stage: stage.clone(), role, rationale, evidence };
                self.ask(id, who, ask);
            }
        }
    }
}
