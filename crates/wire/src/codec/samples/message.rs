//! What travels between processes.

use std::sync::Arc;

use domain::check::contract::Contract;
use domain::check::drift::Drift;
use domain::check::error_rate::ErrorRate;
use domain::check::latency::Latency;
use domain::check::outcome::Outcome;
use domain::check::quality::{Metric, Quality};
use domain::check::smoke::Smoke;
use domain::check::{Check, Kind, Level};
use domain::name::Environment;
use domain::refusal::{self, Refusal};
use domain::routes::{Generation, Sticky};
use domain::time::Millis;
use domain::verdict::{On, Reaction};
use domain::weight::Weight;
use domain::work::{Apply, Command, Measure, Notify, Order, Package, Plan, Prepare, Test, Watch};
use domain::workflow::{Approvals, GateWith, NamedRule, PackageWith, RolloutStep, RolloutWith, Strategy};

use super::{
    HARD, Sample, WORKFLOW, at, check, digest, pinned_workflow, role, run_id, stage, target_id, text, weight,
};
use crate::message::said::{Observation, Report, Request, RunAsk, Said, TargetAsk, Trigger, WorkerAnswer};
use crate::message::{
    Answer, GatewayReport, Heartbeat, Label, Prediction, TargetServed, Token, Unrecorded, WorkOrder,
};

pub(crate) const RULES: [&str; 3] =
    ["true", "checks.staging.quality.lower >= 0.9 && change.code == \"same\"", "has(checks.staging.smoke.n)"];

impl Sample {
    pub(crate) fn check_kinds(self) -> Vec<Kind> {
        let quality = Metric::ALL.map(|metric| Kind::Quality(Quality { metric, min: HARD[2] }));
        let mut kinds = vec![
            Kind::Smoke(Smoke),
            Kind::Contract(Contract),
            Kind::Latency(Latency { rate_per_second: HARD[0], for_ms: 10_000, p99_max_ms: HARD[1] }),
            Kind::ErrorRate(ErrorRate { max: self.maybe(-0.0), margin: self.maybe(HARD[2]) }),
            Kind::Outcome(Outcome {
                field: text("label-match"),
                min: self.maybe(HARD[3]),
                margin: self.maybe(0.0),
            }),
            Kind::Drift(Drift { features: self.list(vec![text("age"), text("")]), max: HARD[2], fdr: 0.05 }),
        ];
        kinds.extend(quality);
        kinds
    }

    /// Every kind of check, level and reaction.
    pub(crate) fn checks(self) -> Vec<Check> {
        let one = |(index, kind): (usize, Kind)| {
            let level = if index % 2 == 0 { Level::Veto } else { Level::Observe };
            let reaction = |shift: usize| Reaction::ALL[(index + shift) % Reaction::ALL.len()];
            let on = On { fail: reaction(0), inconclusive: reaction(1), no_data: reaction(2) };
            Check { name: check(), level, on, kind }
        };
        self.check_kinds().into_iter().enumerate().map(one).collect()
    }

    fn rollouts(self) -> Vec<RolloutWith> {
        let step = RolloutStep {
            weight: weight(),
            samples: u64::MAX,
            bake: Millis::minutes(5),
            deadline: self.maybe(Millis::hours(1)),
        };
        let with = |strategy, sticky| RolloutWith {
            strategy,
            sticky,
            steps: vec![step, RolloutStep { weight: Weight::ALL, ..step }],
            analysis: self.list(self.checks()),
            alpha: HARD[2],
            share_cap: weight(),
            tick: Millis(1),
            on: On::LIVE,
            leave_deadline: Millis::seconds(60),
            keep_warm: Millis::days(1),
        };
        let mut rollouts = vec![with(Strategy::BlueGreen, Sticky::None)];
        rollouts.extend(Self::stickies().into_iter().map(|sticky| with(Strategy::Canary, sticky)));
        rollouts
    }

    fn gate_with(self) -> GateWith {
        let rule = |rule: &str| NamedRule {
            name: text("good enough"),
            rule: crate::rule::parse(rule).unwrap(),
            because: self.maybe_text("the board asked for it"),
        };
        GateWith {
            require: self.list(RULES.map(rule).to_vec()),
            approvals: self.list(vec![Approvals { role: role(), count: 2 }]),
            four_eyes: self.full,
            expires: Millis::days(7),
        }
    }

    pub(crate) fn orders(self) -> Vec<Order> {
        let (run, stage, release) = (run_id(), stage(), self.release());
        let (live, trained) = (self.maybe(self.release()), Arc::new(self.trained()));
        let with = PackageWith {
            formats: self.list(vec![text("onnx")]),
            size_max_bytes: 1 << 40,
            require: self.list(vec![text("code.commit")]),
            sign: self.full,
        };
        let mut orders = vec![
            Order::Package(Package {
                run,
                stage: stage.clone(),
                trained: Arc::clone(&trained),
                with,
                live: live.clone(),
            }),
            Order::Test(Test {
                run,
                stage: stage.clone(),
                environment: Environment::parse("staging").unwrap(),
                release: release.clone(),
                live: live.clone(),
                trained: Arc::clone(&trained),
                checks: self.checks(),
            }),
            Order::Notify(Notify {
                run,
                stage: stage.clone(),
                release: release.clone(),
                with: self.gate_with(),
                evidence: digest(4),
                expires_at: at(),
            }),
            Order::Measure(Measure {
                run,
                stage: stage.clone(),
                candidate: release.clone(),
                live: live.clone(),
                since: at(),
                generation: Generation(u64::MAX),
                share: HARD[2],
                checks: self.checks(),
            }),
            Order::Prepare(Prepare { releases: self.list(vec![release.clone(), self.release()]) }),
            Order::Watch(Watch {
                run,
                stage: stage.clone(),
                release,
                trained,
                from: at(),
                to: at() + Millis::hours(1),
                checks: self.checks(),
            }),
        ];
        orders.extend(
            self.rollouts()
                .into_iter()
                .map(|with| Order::Plan(Plan { run, stage: stage.clone(), live: live.clone(), with })),
        );
        let tables = Self::stickies().into_iter().map(|sticky| self.table(sticky));
        orders.extend(tables.map(|table| Order::Apply(Apply { table })));
        orders
    }

    pub(crate) fn work_orders(self) -> Vec<WorkOrder> {
        let one = |order| WorkOrder {
            command: Command {
                attempt: self.attempt(),
                target: target_id(),
                effect_key: digest(6),
                order,
                issued_at: at(),
                lease: Millis::minutes(2),
                traceparent: self.maybe_text("00-1-2-01"),
            },
            token: Token([7; 32]),
            epoch: 12,
        };
        self.orders().into_iter().map(one).collect()
    }

    pub(crate) fn run_asks(self) -> Vec<RunAsk> {
        let (stage, role, evidence, reason) = (stage(), role(), digest(4), text("because"));
        let rationale = text("it is good");
        vec![
            RunAsk::Approve {
                stage: stage.clone(),
                role: role.clone(),
                rationale: rationale.clone(),
                evidence,
            },
            RunAsk::Reject { stage: stage.clone(), role, rationale, evidence },
            RunAsk::Pause { reason: reason.clone() },
            RunAsk::Resume { reason: reason.clone() },
            RunAsk::Abort { reason: reason.clone() },
            RunAsk::Promote { to: self.maybe(weight()), reason: reason.clone() },
            RunAsk::Resolve { drop: self.full, reason: reason.clone() },
            RunAsk::Retry { stage, reason },
        ]
    }

    pub(crate) fn target_asks(self) -> Vec<TargetAsk> {
        let reason = text("because");
        vec![
            TargetAsk::RollBack { to: self.maybe(digest(1)), reason: reason.clone() },
            TargetAsk::Kill { bundle: digest(1), reason: reason.clone() },
            TargetAsk::Freeze { until: self.maybe(at()), reason: reason.clone() },
            TargetAsk::Unfreeze { reason: reason.clone() },
            TargetAsk::Adopt { release: self.release(), reason: reason.clone() },
            TargetAsk::Resolve { drop: self.full, reason },
        ]
    }

    pub(crate) fn answers(self) -> Vec<WorkerAnswer> {
        let mut answers: Vec<WorkerAnswer> = self.outcomes().into_iter().map(WorkerAnswer::Done).collect();
        answers.push(WorkerAnswer::Declined(text("64 wait")));
        answers
    }

    pub(crate) fn requests(self) -> Vec<Request> {
        let (run, target, actor) = (run_id(), target_id(), self.actor());
        let mut requests: Vec<Request> = self.defines().into_iter().map(Request::Define).collect();
        let of_run = |ask| Request::Run { run, actor: actor.clone(), ask };
        requests.extend(self.run_asks().into_iter().map(of_run));
        let of_target = |ask| Request::Target { target: target.clone(), actor: actor.clone(), ask };
        requests.extend(self.target_asks().into_iter().map(of_target));
        requests
    }

    pub(crate) fn observations(self) -> Vec<Observation> {
        vec![
            Observation::Routes(self.list(vec![self.gateway()])),
            Observation::Loaded(self.list(vec![self.server()])),
        ]
    }

    pub(crate) fn said(self) -> Vec<Said> {
        let trigger = Trigger {
            target: target_id(),
            trained: Arc::new(self.trained()),
            workflow: pinned_workflow(),
            workflow_text: text(WORKFLOW),
        };
        let mut said = vec![Said::Trigger(Box::new(trigger))];
        said.extend(self.requests().into_iter().map(|request| Said::Request(Box::new(request))));
        said.extend(self.answers().into_iter().map(|answer| {
            Said::Report(Box::new(Report { attempt: self.attempt(), token: Token([7; 32]), answer }))
        }));
        let observed = |what| Said::Observed { target: target_id(), what };
        said.extend(self.observations().into_iter().map(observed));
        said
    }

    pub(crate) fn heartbeat(self) -> Heartbeat {
        Heartbeat { attempt: self.attempt(), at: at(), is_begun: self.full }
    }

    pub(crate) fn unrecorded(self) -> Vec<Answer> {
        let refusal = || Refusal {
            kind: refusal::Kind::State,
            code: "CONFLICT".to_owned(),
            text: "it differs".to_owned(),
            hint: self.full.then(|| "another id".to_owned()),
        };
        let repeat = Unrecorded::Repeat {
            seq: self.full.then_some(7),
            run: self.full.then(run_id),
            refused: self.full.then(refusal),
        };
        let answer = |unrecorded| Answer { partition: 3, input_id: "person/1".to_owned(), unrecorded };
        [repeat, Unrecorded::Refused(refusal())].map(answer).to_vec()
    }

    pub(crate) fn prediction(self) -> Prediction {
        Prediction {
            target: target_id(),
            request_id: "b2f1".to_owned(),
            at: at(),
            bundle: digest(1),
            generation: Generation(7),
            unit: u64::MAX - 1,
            latency_us: 812,
            error: self.full,
            features: self.list(vec![-0.0, f32::MIN_POSITIVE, 0.1]),
            output: self.maybe(HARD[0]),
            score: self.maybe(HARD[2]),
        }
    }

    pub(crate) fn label(self) -> Label {
        let value = if self.full { HARD[2] } else { HARD[0] };
        Label { target: target_id(), request_id: "b2f1".to_owned(), at: at(), value }
    }

    pub(crate) fn gateway_report(self) -> GatewayReport {
        let served = TargetServed {
            target: target_id(),
            generation: Generation(7),
            override_to: self.maybe(self.release()),
            killed: self.list(vec![digest(9)]),
        };
        GatewayReport { gateway: text("gateway-1"), heard_at: at(), targets: self.list(vec![served]) }
    }
}
