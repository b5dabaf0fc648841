//! What training and people do: in the storm at random moments, entitled and not; in the calm what is left to do.
//!
//! Says what is done; a world carries it out.

use std::collections::BTreeMap;

use domain::name::{Digest, Role, RunId, StageName, TargetId};
use domain::run::{Phase, Run};
use domain::time::{Millis, Timestamp};
use domain::weight::Weight;
use engine::request::{Request, RunAsk, Said, TargetAsk};

use crate::chance::Chance;
use crate::checker::Checker;
use crate::script::{self, APPROVERS, NOBODY, OPERATOR, Quality};

/// The most versions that are trained in one story.
const VERSIONS_MAX: u64 = 5;

/// Whom the story is about.
#[derive(Debug)]
pub(crate) struct Cast {
    pub(crate) targets: Vec<TargetId>,
    texts: Vec<String>,
    qualities: BTreeMap<RunId, Quality>,
    asked: u64,
}

/// Something that is done.
#[derive(Debug)]
pub(crate) enum Deed {
    /// A request under this id.
    Ask { said: Said, id: String, words: String },
    /// A model was trained; the bus may deliver it twice, without knowing.
    Train { said: Said, version: String, is_doubled: bool },
    /// A definition, for every partition.
    Define { said: Said, id: String },
    /// Machines of the target start again, empty.
    Lose { target: TargetId, gateways: bool, servers: bool },
    /// Somebody does something more after this.
    ActIn(u64),
}

impl Cast {
    pub(crate) fn new(chance: &mut Chance) -> Self {
        Self {
            targets: (0..chance.between(2, 3)).map(script::target).collect(),
            texts: (0..2).map(|number| script::workflow_text(number, chance)).collect(),
            qualities: BTreeMap::new(),
            asked: 0,
        }
    }

    pub(crate) fn quality(&self, run: RunId) -> Quality {
        self.qualities.get(&run).copied().unwrap_or(Quality::Healthy)
    }

    /// From now on every model does well.
    pub(crate) fn heal(&mut self) {
        self.qualities.values_mut().for_each(|quality| *quality = Quality::Healthy);
    }

    pub(crate) fn act(&mut self, chance: &mut Chance, checker: &Checker, wall: Timestamp) -> Vec<Deed> {
        let runs: Vec<RunId> = checker.runs().map(|(run, _)| run).collect();
        let trained = self.qualities.len() as u64;
        if runs.is_empty() || trained < VERSIONS_MAX && chance.one_in(2) {
            return if trained < VERSIONS_MAX { self.train(chance) } else { vec![] };
        }
        if chance.one_in(12) {
            self.asked += 1;
            let said = script::define_roles_for(&format!("newcomer-{}", self.asked));
            return vec![Deed::Define { said, id: format!("roles-{}", self.asked) }];
        }
        if let Some(deed) = self.resolve(chance, checker).filter(|_| chance.one_in(2)) {
            return vec![deed];
        }
        // People look at what goes on, and at a gate most of all.
        let run = chance.pick(&runs);
        let gate = runs.iter().copied().find(|run| checker.run(*run).is_some_and(Run::waits_for_people));
        let asked = match (gate, chance.below(4)) {
            (Some(run), 0..2) => self.vote(run, chance, checker),
            (_, 0 | 2) => Some(self.ask_run(run, chance, checker)),
            (_, 1) => self.ask_target(run, chance, checker, wall),
            _ => {
                let target = self.any_target(chance);
                let (gateways, servers) = (chance.one_in(2), chance.one_in(2));
                Some(Deed::Lose { target, gateways, servers })
            }
        };
        asked.into_iter().collect()
    }

    /// Whatever waits for people.
    pub(crate) fn help(&mut self, checker: &Checker) -> Vec<Deed> {
        let frozen = checker.targets().filter(|(_, target)| target.frozen.is_some());
        let frozen: Vec<TargetId> = frozen.map(|(id, _)| id.clone()).collect();
        let mut deeds: Vec<Deed> = frozen
            .into_iter()
            .map(|target| self.of_target(target, OPERATOR, |reason| TargetAsk::Unfreeze { reason }))
            .collect();
        let withheld = checker.targets().filter(|(_, target)| target.quarantine().is_some());
        for target in withheld.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            deeds.push(self.of_target(target, OPERATOR, |reason| TargetAsk::Resolve { drop: false, reason }));
        }
        for (id, run) in checker.runs() {
            if run.quarantine().is_some() {
                deeds.push(self.of_run(id, OPERATOR, |reason| RunAsk::Resolve { drop: false, reason }));
                continue;
            }
            let is_held =
                run.phase == Phase::Active && run.stages.iter().any(|stage| stage.rollout.held.is_some());
            if run.paused_at.is_some() {
                deeds.push(self.of_run(id, OPERATOR, |reason| RunAsk::Resume { reason }));
            } else if is_held {
                deeds.push(self.of_run(id, OPERATOR, |reason| RunAsk::Promote { to: None, reason }));
            } else if let Some((stage, evidence)) = gate_of(run).filter(|_| run.waits_for_people()) {
                for (who, role) in APPROVERS {
                    let (stage, role) = (stage.clone(), Role::parse(role).expect("plain"));
                    deeds.push(self.of_run(id, who, |rationale| RunAsk::Approve {
                        stage,
                        role,
                        rationale,
                        evidence,
                    }));
                }
            }
        }
        deeds
    }

    /// Something that is recorded whatever the state, so that a record is written.
    pub(crate) fn provoke(&mut self, number: u64) -> Deed {
        let target = self.targets[number as usize % self.targets.len()].clone();
        self.of_target(target, NOBODY, |reason| TargetAsk::Unfreeze { reason })
    }

    fn any_target(&self, chance: &mut Chance) -> TargetId {
        self.targets[chance.below(self.targets.len() as u64) as usize].clone()
    }

    fn train(&mut self, chance: &mut Chance) -> Vec<Deed> {
        let target = self.any_target(chance);
        let version = format!("v{}", self.qualities.len() + 1);
        let text = self.texts[chance.below(2) as usize].clone();
        let trigger = script::trigger(&target, &version, &text);
        self.qualities.insert(trigger.run(), Quality::any(chance));
        let said = Said::Trigger(Box::new(trigger));
        let mut deeds = vec![Deed::Train { said, version, is_doubled: chance.one_in(3) }];
        if chance.one_in(2) {
            deeds.push(Deed::ActIn(30_000));
        }
        deeds
    }

    fn vote(&mut self, run: RunId, chance: &mut Chance, checker: &Checker) -> Option<Deed> {
        let (stage, evidence) = checker.run(run).and_then(gate_of)?;
        let (mut who, role) = chance.pick(&APPROVERS);
        let mut digest = evidence;
        match chance.below(8) {
            0 => who = NOBODY,
            1 => digest = Digest::of(b"something else"),
            _ => {}
        }
        let role = Role::parse(role).expect("a plain name");
        let rejects = chance.one_in(5);
        Some(self.of_run(run, who, |rationale| {
            if rejects {
                RunAsk::Reject { stage, role, rationale, evidence: digest }
            } else {
                RunAsk::Approve { stage, role, rationale, evidence: digest }
            }
        }))
    }

    /// Somebody looks after what is quarantined, whether the defect is mended or not.
    fn resolve(&mut self, chance: &mut Chance, checker: &Checker) -> Option<Deed> {
        let (who, drop) = (person(chance), chance.one_in(3));
        let run = checker.runs().find(|(_, run)| run.quarantine().is_some()).map(|(id, _)| id);
        if let Some(run) = run {
            return Some(self.of_run(run, who, |reason| RunAsk::Resolve { drop, reason }));
        }
        let target = checker.targets().find(|(_, target)| target.quarantine().is_some())?.0.clone();
        Some(self.of_target(target, who, |reason| TargetAsk::Resolve { drop, reason }))
    }

    fn ask_run(&mut self, run: RunId, chance: &mut Chance, checker: &Checker) -> Deed {
        let (who, which) = (person(chance), chance.below(8));
        let start = checker.run(run).and_then(|run| run.start.as_ref());
        let stages = start.map(|start| &start.workflow.stages[..]).unwrap_or_default();
        let stage =
            (!stages.is_empty()).then(|| stages[chance.below(stages.len() as u64) as usize].name.clone());
        self.of_run(run, who, |reason| match (which, stage) {
            (0 | 1, _) => RunAsk::Pause { reason },
            (2, _) => RunAsk::Resume { reason },
            (3, _) => RunAsk::Abort { reason },
            (4, _) => RunAsk::Promote { to: Some(Weight::ALL), reason },
            (5, Some(stage)) => RunAsk::Retry { stage, reason },
            (6, _) => RunAsk::Resolve { drop: false, reason },
            _ => RunAsk::Promote { to: None, reason },
        })
    }

    fn ask_target(
        &mut self,
        run: RunId,
        chance: &mut Chance,
        checker: &Checker,
        wall: Timestamp,
    ) -> Option<Deed> {
        let who = person(chance);
        let state = checker.run(run)?;
        let (start, release) = (state.start.as_ref()?, state.release());
        let until = wall + Millis(chance.between(5_000, 60_000));
        let which = chance.below(7);
        let adopted = script::adopted(&start.target);
        Some(self.of_target(start.target.clone(), who, |reason| match (which, release) {
            (0, Some(release)) => TargetAsk::Kill { bundle: release.bundle, reason },
            (1, Some(release)) => TargetAsk::RollBack { to: Some(release.bundle), reason },
            (0..=2, _) => TargetAsk::RollBack { to: None, reason },
            (3, _) => TargetAsk::Freeze { until: Some(until), reason },
            (4, _) => TargetAsk::Adopt { release: adopted, reason },
            (5, _) => TargetAsk::Resolve { drop: false, reason },
            _ => TargetAsk::Unfreeze { reason },
        }))
    }

    /// The id of a request stands in its reason too, so that no two ask the same.
    fn next_id(&mut self) -> String {
        self.asked += 1;
        format!("r{}", self.asked)
    }

    fn of_run(&mut self, run: RunId, who: &str, ask: impl FnOnce(domain::evidence::Text) -> RunAsk) -> Deed {
        let id = self.next_id();
        let ask = ask(id.as_str().into());
        let words = format!("{who} asks of {run}: {ask:?}");
        let request = Request::Run { run, actor: script::actor(who), ask };
        Deed::Ask { said: Said::Request(Box::new(request)), id, words }
    }

    fn of_target(
        &mut self,
        target: TargetId,
        who: &str,
        ask: impl FnOnce(domain::evidence::Text) -> TargetAsk,
    ) -> Deed {
        let id = self.next_id();
        let ask = ask(id.as_str().into());
        let words = format!("{who} asks of {target}: {ask:?}");
        let request = Request::Target { target, actor: script::actor(who), ask };
        Deed::Ask { said: Said::Request(Box::new(request)), id, words }
    }
}

fn person(chance: &mut Chance) -> &'static str {
    if chance.one_in(5) { NOBODY } else { OPERATOR }
}

/// The gate that waits for people, and the evidence that a vote must name.
fn gate_of(run: &Run) -> Option<(StageName, Digest)> {
    let start = run.start.as_ref().filter(|_| run.phase == Phase::Active)?;
    let mut stages = start.workflow.stages.iter().zip(&run.stages);
    stages
        .find(|(_, stage)| stage.state.is_open() && stage.gate.asked.is_some())
        .and_then(|(declared, stage)| stage.gate.asked.map(|evidence| (declared.name.clone(), evidence)))
}
