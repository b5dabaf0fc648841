//! What training and people do in the storm, at random moments, entitled and not.

use domain::name::{Digest, Role, RunId, StageName};
use domain::run::{Phase, Run};
use domain::weight::Weight;
use engine::request::{Request, RunAsk, Said, TargetAsk};
use wire::record::Lane;

use crate::options::Fault;
use crate::script::{self, APPROVERS, NOBODY, OPERATOR, Quality};
use crate::world::{Event, World};

/// The most versions that are trained in one story.
const VERSIONS_MAX: u64 = 5;

impl World {
    pub(crate) fn act(&mut self) {
        let runs: Vec<RunId> = self.checker.runs().map(|(run, _)| run).collect();
        let trained = self.qualities.len() as u64;
        if runs.is_empty() || trained < VERSIONS_MAX && self.chance.one_in(2) {
            if trained < VERSIONS_MAX {
                self.train();
            }
            return;
        }
        // People look at what goes on, and at a gate most of all.
        let run = self.chance.pick(&runs);
        let gate = runs.iter().copied().find(|run| self.checker.run(*run).is_some_and(Run::waits_for_people));
        match (gate, self.chance.below(4)) {
            (Some(run), 0..2) => self.vote(run),
            (_, 0 | 2) => self.ask_run(run),
            (_, 1) => self.ask_target(run),
            _ => {
                let number = self.chance.below(self.targets.len() as u64) as usize;
                let target = self.targets[number].clone();
                let (gateways, servers) = (self.chance.one_in(2), self.chance.one_in(2));
                self.lose_outside(&target, gateways, servers);
                self.push_in(200, Event::Observe);
            }
        }
    }

    fn train(&mut self) {
        let number = self.chance.below(self.targets.len() as u64) as usize;
        let target = self.targets[number].clone();
        let version = format!("v{}", self.qualities.len() + 1);
        let text = self.texts[self.chance.below(2) as usize].clone();
        let trigger = script::trigger(&target, &version, &text);
        self.qualities.insert(trigger.run(), Quality::any(&mut self.chance));
        let said = Said::Trigger(Box::new(trigger));
        if self.chance.one_in(3) {
            // The bus delivers it twice, without knowing.
            self.note(Fault::DuplicateInput, &version);
            self.client(said.clone(), Lane::Triggers, None, None);
        }
        self.client(said, Lane::Triggers, None, None);
        if self.chance.one_in(2) {
            self.push_in(30_000, Event::Act);
        }
    }

    fn person(&mut self) -> &'static str {
        if self.chance.one_in(5) { NOBODY } else { OPERATOR }
    }

    fn vote(&mut self, run: RunId) {
        let Some((stage, evidence)) = self.checker.run(run).and_then(gate_of) else { return };
        let (mut who, role) = self.chance.pick(&APPROVERS);
        let mut digest = evidence;
        match self.chance.below(8) {
            0 => who = NOBODY,
            1 => digest = Digest::of(b"something else"),
            _ => {}
        }
        let role = Role::parse(role).expect("a plain name");
        let rationale = self.request_id().as_str().into();
        let ask = if self.chance.one_in(5) {
            RunAsk::Reject { stage, role, rationale, evidence: digest }
        } else {
            RunAsk::Approve { stage, role, rationale, evidence: digest }
        };
        self.ask(run, who, ask);
    }

    pub(crate) fn ask(&mut self, run: RunId, who: &str, ask: RunAsk) {
        self.line(&format!("{who} asks of {run}: {ask:?}"));
        let request = Request::Run { run, actor: script::actor(who), ask };
        self.request(Said::Request(Box::new(request)));
    }

    fn ask_run(&mut self, run: RunId) {
        let (who, reason) = (self.person(), self.request_id().as_str().into());
        let ask = match self.chance.below(6) {
            0 | 1 => RunAsk::Pause { reason },
            2 => RunAsk::Resume { reason },
            3 => RunAsk::Abort { reason },
            4 => RunAsk::Promote { to: Some(Weight::ALL), reason },
            _ => RunAsk::Promote { to: None, reason },
        };
        self.ask(run, who, ask);
    }

    fn ask_target(&mut self, run: RunId) {
        let (who, reason) = (self.person(), self.request_id().as_str().into());
        let Some(state) = self.checker.run(run) else { return };
        let (Some(start), release) = (&state.start, state.release()) else { return };
        let target = start.target.clone();
        let until = domain::time::Millis(self.chance.between(5_000, 60_000));
        let ask = match (self.chance.below(5), release) {
            (0, Some(release)) => TargetAsk::Kill { bundle: release.bundle, reason },
            (1, Some(release)) => TargetAsk::RollBack { to: Some(release.bundle), reason },
            (0..=2, _) => TargetAsk::RollBack { to: None, reason },
            (3, _) => TargetAsk::Freeze { until: Some(self.wall() + until), reason },
            _ => TargetAsk::Unfreeze { reason },
        };
        self.line(&format!("{who} asks of {target}: {ask:?}"));
        let request = Request::Target { target, actor: script::actor(who), ask };
        self.request(Said::Request(Box::new(request)));
    }
}

/// The gate that waits for people, and the evidence that a vote must name.
pub(crate) fn gate_of(run: &Run) -> Option<(StageName, Digest)> {
    let start = run.start.as_ref().filter(|_| run.phase == Phase::Active)?;
    let mut stages = start.workflow.stages.iter().zip(&run.stages);
    stages
        .find(|(_, stage)| stage.state.is_open() && stage.gate.asked.is_some())
        .and_then(|(declared, stage)| stage.gate.asked.map(|evidence| (declared.name.clone(), evidence)))
}
