//! A small world for tables of cases: real deciders, real transitions, workers that answer at once, a clock that is
//! set by hand. After every transition everything that must hold is asserted.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use crate::chapter::{self, Chaptered};
use crate::check::{self, Check, Level};
use crate::decider::Decider;
use crate::definition::{Definitions, Pinned};
use crate::effect::Effect;
use crate::evidence::{Arm, ChangeVector, Evidence, Measurement};
use crate::invariant;
use crate::model::{Artifact, Lineage, Signature, Trained};
use crate::name::*;
use crate::refusal::Refusal;
use crate::roles::{Actor, RoleMap};
use crate::routes::Sticky;
use crate::run::{self, Run, Start};
use crate::target::{self, Target};
use crate::time::{Millis, Timestamp};
use crate::transition::{Input, Streams, Transition, transact_watched};
use crate::verdict::On;
use crate::weight::Weight;
use crate::work::*;
use crate::workflow::*;

pub(super) fn target_id() -> TargetId {
    TargetId::parse("fraud@production").unwrap()
}

pub(super) fn stage(name: &str) -> StageName {
    StageName::parse(name).unwrap()
}

pub(super) fn roles() -> Pinned<RoleMap> {
    let mut map = RoleMap::default();
    for (role, people) in [
        ("ml", &["ada", "ole", "tim"][..]),
        ("business", &["bea", "ada"]),
        ("operator", &["ops"]),
        ("admin", &["root"]),
    ] {
        let people = people.iter().map(|name| Subject::parse(name).unwrap()).collect();
        map.members.insert(Role::parse(role).unwrap(), people);
    }
    Pinned { digest: Digest::of(b"roles"), value: Arc::new(map) }
}

pub(super) fn actor(name: &str) -> Actor {
    Actor {
        subject: Subject::parse(name).unwrap(),
        issuer: "test".into(),
        method: "token".into(),
        on_behalf_of: None,
    }
}

fn check(kind: check::Kind) -> Check {
    let mut check = Check { name: CheckName::parse("x").unwrap(), level: Level::Veto, on: On::LIVE, kind };
    check.name = CheckName::parse(check.kind_name()).unwrap();
    check
}

/// Package, stage-test, gate of `ml` and `business`, canary 10 % then 100 %, monitor.
pub(super) fn canary(while_running: WhileRunning, approvals: &[(&str, u32)]) -> Pinned<Workflow> {
    let retry = Retry { attempts: 3, backoff_min: Millis::seconds(10), backoff_max: Millis::minutes(5) };
    let stage = |name: &str, needs: Vec<usize>, with: With| Stage {
        name: StageName::parse(name).unwrap(),
        needs,
        when: None,
        timeout: Millis::hours(1),
        retry,
        with,
    };
    let smoke = Check { on: On::TEST, ..check(check::Kind::Smoke(check::smoke::Smoke)) };
    let errors = check::error_rate::ErrorRate { max: None, margin: Some(0.01) };
    let watched = check::error_rate::ErrorRate { max: Some(0.05), margin: None };
    let approvals = approvals
        .iter()
        .map(|(role, count)| Approvals { role: Role::parse(role).unwrap(), count: *count })
        .collect();
    let step = |weight: u16, samples: u64| RolloutStep {
        weight: Weight::basis_points(weight).unwrap(),
        samples,
        bake: Millis::minutes(10),
        deadline: Some(Millis::hours(2)),
    };
    let workflow = Workflow {
        name: WorkflowName::parse("canary").unwrap(),
        trigger: Trigger {
            models: vec!["fraud".into()],
            environment: Environment::parse("production").unwrap(),
            while_running,
        },
        stages: vec![
            stage(
                "package",
                vec![],
                With::Package(PackageWith {
                    formats: vec!["onnx".into()],
                    size_max_bytes: 1 << 30,
                    require: vec![],
                    sign: false,
                }),
            ),
            stage(
                "staging",
                vec![0],
                With::StageTest(StageTestWith {
                    environment: Environment::parse("staging").unwrap(),
                    checks: vec![smoke],
                }),
            ),
            stage(
                "board",
                vec![1],
                With::Gate(GateWith {
                    require: vec![],
                    approvals,
                    four_eyes: true,
                    expires: Millis::days(7),
                }),
            ),
            stage(
                "canary",
                vec![2],
                With::Rollout(RolloutWith {
                    strategy: Strategy::Canary,
                    sticky: Sticky::None,
                    steps: vec![step(1_000, 200), step(10_000, 0)],
                    analysis: vec![check(check::Kind::ErrorRate(errors))],
                    alpha: 0.05,
                    share_cap: Weight::basis_points(2_500).unwrap(),
                    tick: Millis::seconds(10),
                    on: On::LIVE,
                    leave_deadline: Millis::seconds(60),
                    keep_warm: Millis::hours(24),
                }),
            ),
            stage(
                "watch",
                vec![3],
                With::Monitor(MonitorWith {
                    window: Millis::hours(1),
                    labels_delay: Millis(0),
                    checks: vec![check(check::Kind::ErrorRate(watched))],
                }),
            ),
        ],
    };
    let digest = Digest::of(format!("{workflow:?}").as_bytes());
    Pinned { digest, value: Arc::new(workflow) }
}

/// The same without the gate: what is tested is rolled out.
pub(super) fn ungated() -> Pinned<Workflow> {
    let mut workflow = Workflow::clone(&canary(WhileRunning::Supersede, &[]).value);
    workflow.stages.retain(|stage| stage.name.as_str() != "board");
    for (index, stage) in workflow.stages.iter_mut().enumerate() {
        stage.needs = index.checked_sub(1).into_iter().collect();
    }
    let digest = Digest::of(format!("{workflow:?}").as_bytes());
    Pinned { digest, value: Arc::new(workflow) }
}

pub(super) fn trained(version: &str) -> Trained {
    Trained {
        source: "/training".into(),
        id: version.into(),
        model: ModelName::parse("fraud").unwrap(),
        version: Version::parse(version).unwrap(),
        artifact: Artifact {
            uri: "file:model".into(),
            sha256: Digest::of(version.as_bytes()),
            size: None,
            format: None,
        },
        signature: Signature::default(),
        lineage: Lineage::default(),
        claims: vec![],
        evaluation: None,
        baseline: None,
        risk_tier: None,
        owner: Some(Subject::parse("ole").unwrap()),
        publisher: Some(Subject::parse("ci").unwrap()),
        traceparent: None,
    }
}

/// What the workers of this world measure: errors of so many requests per arm.
#[derive(Debug, Clone, Copy)]
pub(super) struct Traffic {
    pub(super) candidate: (u64, u64),
    pub(super) live: (u64, u64),
}

pub(super) const HEALTHY: Traffic = Traffic { candidate: (40, 2_000), live: (360, 18_000) };
pub(super) const HARMFUL: Traffic = Traffic { candidate: (400, 2_000), live: (360, 18_000) };
pub(super) const SCARCE: Traffic = Traffic { candidate: (0, 10), live: (2, 90) };

#[derive(Default)]
pub(super) struct World {
    pub(super) now: Timestamp,
    pub(super) runs: BTreeMap<RunId, Arc<Run>>,
    pub(super) targets: BTreeMap<TargetId, Arc<Target>>,
    definitions: Arc<Definitions>,
    run_events: BTreeMap<RunId, Vec<run::Event>>,
    target_events: BTreeMap<TargetId, Vec<target::Event>>,
    /// Names of all events, in order, for tables.
    pub(super) story: Vec<String>,
    pub(super) traffic: Option<Traffic>,
    /// Deciding these inputs panics: a defect of the core.
    pub(super) defects: Vec<(StreamId, &'static str)>,
    pub(super) chapters: chapter::Bounds,
    /// No server loads anything.
    pub(super) servers_fail: bool,
    /// Attempts that were answered.
    answered: Vec<AttemptId>,
}

impl Streams for World {
    type Error = Infallible;
    fn is_parked(_: &Infallible) -> bool {
        false
    }
    fn definitions(&mut self) -> Result<Arc<Definitions>, Infallible> {
        Ok(Arc::clone(&self.definitions))
    }
    fn chapters(&self) -> chapter::Bounds {
        self.chapters
    }
    fn run(&mut self, run: RunId) -> Result<Arc<Run>, Infallible> {
        Ok(self.runs.get(&run).cloned().unwrap_or_default())
    }
    fn target(&mut self, target: &TargetId) -> Result<Arc<Target>, Infallible> {
        Ok(self.targets.get(target).cloned().unwrap_or_default())
    }
}

/// What a reader folds that begins where it may.
fn from_last_chapter<D: Chaptered>(events: &[D::Event]) -> D {
    let last = events.iter().rposition(|event| D::carried_by(event).is_some());
    let fold = |state: D, event| state.evolve(event).unwrap_or_else(|illegal| panic!("{illegal}"));
    events[last.unwrap_or(0)..].iter().fold(D::default(), fold)
}

impl World {
    pub(super) fn new() -> Self {
        Self { now: Timestamp(1_000_000_000), traffic: Some(HEALTHY), ..Self::default() }
    }

    /// Whose streams are cut so.
    pub(super) fn cut(chapters: chapter::Bounds) -> Self {
        Self { chapters, ..Self::new() }
    }

    /// Says one thing, and asserts everything that must hold afterwards.
    pub(super) fn say(&mut self, input: Input) -> Result<Transition, Refusal> {
        let now = self.now;
        let name = input.name();
        let defects = self.defects.clone();
        let watch = |stream: &StreamId, name: &'static str| {
            if defects.iter().any(|(who, what)| who == stream && *what == name) {
                // As a panic, without its noise.
                std::panic::resume_unwind(Box::new("a defect"));
            }
        };
        let (transition, changed) = transact_watched(self, input, now, Some(&watch))
            .unwrap_or_else(|failure| panic!("{name}: {failure:?}: {:#?} {:#?}", self.targets, self.story));
        for step in &transition.steps {
            self.story.extend(step.event_names().iter().map(|name| (*name).to_owned()));
            match step {
                crate::transition::Step::Run { run, events, .. } => {
                    self.run_events.entry(*run).or_default().extend(events.iter().cloned());
                }
                crate::transition::Step::Target { target, events, .. } => {
                    self.target_events.entry(target.clone()).or_default().extend(events.iter().cloned());
                }
                crate::transition::Step::Definitions { .. } => {}
            }
        }
        for (id, after) in &changed.targets {
            let before = self.targets.get(id).cloned().unwrap_or_default();
            assert_eq!(invariant::between(&before, after), []);
        }
        let touched: Vec<RunId> = changed.runs.keys().copied().collect();
        let targets: Vec<TargetId> = changed.targets.keys().cloned().collect();
        self.runs.extend(changed.runs);
        self.targets.extend(changed.targets);
        self.assert_sound(&touched);
        for id in targets {
            let events = self.target_events.get(&id).map_or(&[][..], Vec::as_slice);
            assert_eq!(from_last_chapter::<Target>(events), *self.targets[&id], "{:#?}", self.story);
        }
        match transition.refused.clone() {
            Some(refusal) => Err(refusal),
            None => Ok(transition),
        }
    }

    fn assert_sound(&self, touched: &[RunId]) {
        for target in self.targets.values() {
            assert_eq!(invariant::of_target(target), [], "{:#?}", self.story);
        }
        for id in touched {
            let run = &self.runs[id];
            assert_eq!(invariant::of_run(run), [], "{:#?}", self.story);
            if let Some(target) = self.targets.get(&target_id()) {
                assert_eq!(invariant::of_both(run, target), [], "{:#?}", self.story);
            }
            // Folding all events from nothing, in two parts, gives the state that was reached step by step.
            let events = &self.run_events[id];
            let (first, rest) = events.split_at(events.len() / 2);
            let half = first.iter().fold(Run::default(), |run, event| run.evolve(event).unwrap());
            let whole = rest.iter().fold(half, |run, event| run.evolve(event).unwrap());
            assert_eq!(whole, **run);
            if run.chapter.opened > 0 {
                assert_eq!(from_last_chapter::<Run>(events), **run, "{:#?}", self.story);
            }
        }
    }

    pub(super) fn publish(&mut self, version: &str, workflow: &Pinned<Workflow>) -> RunId {
        let trained = Arc::new(trained(version));
        let run = RunId::derive(&trained.source, &trained.id, &target_id());
        let start = Start { run, target: target_id(), trained, workflow: workflow.clone() };
        self.say(Input::Run(run, run::Input::Start(Box::new(start)))).unwrap();
        run
    }

    pub(super) fn tell(&mut self, run: RunId, input: run::Input) -> Result<Transition, Refusal> {
        self.say(Input::Run(run, input))
    }

    pub(super) fn tell_target(&mut self, input: target::Input) -> Result<Transition, Refusal> {
        self.say(Input::Target(target_id(), input))
    }

    pub(super) fn state(&self, run: RunId) -> &Run {
        &self.runs[&run]
    }

    pub(super) fn place(&self) -> &Target {
        &self.targets[&target_id()]
    }

    /// The commands that are outstanding, of all streams.
    pub(super) fn commands(&self) -> Vec<Command> {
        let of_runs = self.runs.values().flat_map(|run| run.effects()).filter_map(|effect| match effect {
            Effect::Command(command) => Some(*command),
            Effect::WakeAt { .. } => None,
        });
        let of_targets =
            self.targets.values().flat_map(|target| target.effects()).filter_map(|effect| match effect {
                Effect::Command(command) => Some(*command),
                Effect::WakeAt { .. } => None,
            });
        of_runs.chain(of_targets).collect()
    }

    /// Lets the workers answer everything that is outstanding, until nothing is.
    pub(super) fn work(&mut self) {
        self.work_on(|_| true);
    }

    /// The same, of what is outstanding of the runs: nothing is loaded and no gateway obeys.
    pub(super) fn work_of_runs(&mut self) {
        self.work_on(|command| matches!(command.attempt.owner, StreamId::Run(_)));
    }

    fn work_on(&mut self, wanted: impl Fn(&Command) -> bool) {
        for _ in 0..200 {
            let open = self.commands().into_iter().filter(&wanted);
            let Some(command) = { open }.find(|command| !self.answered.contains(&command.attempt)) else {
                return;
            };
            self.answered.push(command.attempt.clone());
            let outcome = self.outcome(&command);
            self.answer(&command.attempt, outcome).ok();
        }
        panic!("the workers never come to an end: {:#?}", self.story);
    }

    /// Lets the workers answer and time pass until something is asked for, and gives that unanswered.
    pub(super) fn work_until(&mut self, is_it: impl Fn(&Order) -> bool) -> Command {
        for _ in 0..200 {
            let open = self.commands().into_iter().filter(|open| !self.answered.contains(&open.attempt));
            let mut open: Vec<Command> = open.collect();
            if let Some(place) = open.iter().position(|command| is_it(&command.order)) {
                return open.swap_remove(place);
            }
            if let Some(command) = open.into_iter().next() {
                self.answered.push(command.attempt.clone());
                let outcome = self.outcome(&command);
                self.answer(&command.attempt, outcome).ok();
                continue;
            }
            let (at, input) = self.next_moment().expect("somebody waits for a moment");
            self.now = self.now.max(at);
            self.say(input).expect("a moment that is due");
        }
        panic!("it is never asked for: {:#?}", self.story);
    }

    pub(super) fn answer(&mut self, attempt: &AttemptId, outcome: Outcome) -> Result<Transition, Refusal> {
        let attempt = attempt.clone();
        let input = match attempt.owner.clone() {
            StreamId::Run(run) => Input::Run(run, run::Input::Report { attempt, outcome }),
            StreamId::Target(target) => Input::Target(target, target::Input::Report { attempt, outcome }),
            StreamId::Definitions => unreachable!("definitions have no attempts"),
        };
        self.say(input)
    }

    fn outcome(&self, command: &Command) -> Outcome {
        let digest = Digest::of(format!("{}{:?}", command.attempt, self.traffic).as_bytes());
        let evidence = |measurements| Evidence { digest, measurements, findings: vec![], blobs: vec![] };
        let measured = |name: &str, arm: Arm, (sum, n): (u64, u64)| {
            let check = CheckName::parse(name).unwrap();
            Measurement { n, sum: sum as f64, ..Measurement::new(check, "test/1", arm) }
        };
        match &command.order {
            Order::Package(order) => {
                let bundle = Bundle {
                    digest: Digest::of(format!("bundle {}", order.trained.version).as_bytes()),
                    size: 1,
                    format: "onnx".into(),
                    artifact: order.trained.artifact.sha256,
                    signature: Signature::default(),
                    signed_by: None,
                    change: ChangeVector::default(),
                };
                Outcome::Packed(Packed { evidence: evidence(vec![]).into(), bundle: Some(bundle.into()) })
            }
            Order::Test(_) => {
                Outcome::Measured(evidence(vec![measured("smoke", Arm::Candidate, (1, 1))]).into())
            }
            Order::Notify(_) => Outcome::Notified { review: None, delivered: vec![] },
            Order::Plan(_) => Outcome::Planned(Planned {
                digest,
                requests_per_second: 10.0,
                hours: Some(1.0),
                requests_exposed: None,
                detectable: None,
            }),
            Order::Measure(_) => match self.traffic {
                None => {
                    Outcome::CouldNotTell { code: "AWAY".into(), reason: "no log".into(), retry_after: None }
                }
                Some(Traffic { candidate, live }) => Outcome::Measured(
                    evidence(vec![
                        measured("error-rate", Arm::Candidate, candidate),
                        measured("error-rate", Arm::Live, live),
                        measured("sample-ratio", Arm::Candidate, (0, candidate.1)),
                        measured("sample-ratio", Arm::Live, (0, live.1)),
                        measured(run::EXPOSURE, Arm::Candidate, candidate),
                    ])
                    .into(),
                ),
            },
            Order::Prepare(_) if self.servers_fail => {
                Outcome::CouldNotTell { code: "AWAY".into(), reason: "no server".into(), retry_after: None }
            }
            Order::Prepare(order) => {
                let mut bundles: Vec<_> = order.releases.iter().map(|release| release.bundle).collect();
                bundles.sort_unstable();
                let server = ServerLoaded { server: "s".into(), bundles, failed: vec![], heard_at: self.now };
                Outcome::Prepared { servers: vec![server] }
            }
            Order::Apply(order) => {
                Outcome::Applied { gateways: vec![self.gateway(order.table.generation.0)] }
            }
            Order::Watch(_) => Outcome::Measured(
                evidence(
                    self.traffic
                        .map(|t| measured("error-rate", Arm::Candidate, t.candidate))
                        .into_iter()
                        .collect(),
                )
                .into(),
            ),
        }
    }

    pub(super) fn gateway(&self, generation: u64) -> GatewayObserved {
        let generation = crate::routes::Generation(generation);
        GatewayObserved {
            gateway: "g".into(),
            generation,
            override_to: None,
            killed: vec![],
            heard_at: self.now,
        }
    }

    /// The earliest moment that somebody waits for, with its input.
    pub(super) fn next_moment(&self) -> Option<(Timestamp, Input)> {
        let of_runs = self.runs.iter().flat_map(|(id, run)| {
            run.effects().into_iter().filter_map(move |effect| match effect {
                Effect::WakeAt { at, input } => Some((at, Input::Run(*id, input))),
                Effect::Command(_) => None,
            })
        });
        let of_targets = self.targets.iter().flat_map(|(id, target)| {
            target.effects().into_iter().filter_map(move |effect| match effect {
                Effect::WakeAt { at, input } => Some((at, Input::Target(id.clone(), input))),
                Effect::Command(_) => None,
            })
        });
        of_runs.chain(of_targets).min_by_key(|(at, _)| *at)
    }

    /// Lets time pass: every moment comes when it is due, and the workers answer in between.
    pub(super) fn pass(&mut self, span: Millis) {
        let end = self.now + span;
        self.work();
        while let Some((at, input)) = self.next_moment().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            let name = input.name();
            self.say(input).unwrap_or_else(|no| panic!("moment {name} was refused: {no}"));
            self.work();
        }
        self.now = end;
    }

    /// A vote with the digest that the gate asks for.
    pub(super) fn approve(&mut self, run: RunId, who: &str, role: &str) -> Result<Transition, Refusal> {
        let evidence = self.state(run).stages[2].gate.asked.unwrap_or(Digest::of(b"nothing was asked"));
        let (actor, roles, role) = (actor(who), roles(), Role::parse(role).unwrap());
        let rationale = "looked at it".into();
        self.tell(run, run::Input::Approve { actor, roles, stage: stage("board"), role, rationale, evidence })
    }

    /// Brings a version live, through its gate if it has one.
    pub(super) fn bring_live(&mut self, version: &str, workflow: &Pinned<Workflow>) -> RunId {
        let run = self.publish(version, workflow);
        self.work();
        for (who, role) in [("ada", "ml"), ("bea", "business")] {
            if self.state(run).waits_for_people() {
                self.approve(run, who, role).unwrap();
                self.work();
            }
        }
        self.pass(Millis::hours(3));
        assert_eq!(self.state(run).phase, run::Phase::Live, "{:#?}", self.story);
        run
    }
}
