//! What is said to the engine from outside, before it is an input of the core: the engine adds what only it
//! knows, the role map in force.

use std::sync::Arc;

use domain::definition::{Define, Pinned};
use domain::evidence::Text;
use domain::model::{Release, Trained};
use domain::name::{AttemptId, Digest, Role, RunId, StageName, StreamId, TargetId};
use domain::roles::{Actor, RoleMap};
use domain::time::Timestamp;
use domain::transition::Input;
use domain::weight::Weight;
use domain::work::{GatewayObserved, Outcome, ServerLoaded};
use domain::workflow::Workflow;
use domain::{run, target};

use super::Token;

/// Anything said to the engine.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    Trigger(Box<Trigger>),
    Request(Box<Request>),
    Report(Box<Report>),
    Observed { target: TargetId, what: Observation },
}

/// A model was trained, and this workflow matched it.
#[derive(Debug, Clone, PartialEq)]
pub struct Trigger {
    pub target: TargetId,
    pub trained: Arc<Trained>,
    pub workflow: Pinned<Workflow>,
    /// The text that `workflow` is pinned to.
    pub workflow_text: Text,
}

impl Trigger {
    /// The same trigger gives the same run.
    pub fn run(&self) -> RunId {
        RunId::derive(&self.trained.source, &self.trained.id, &self.target)
    }
}

/// A person or tool asks.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    Define(Define),
    Run { run: RunId, actor: Actor, ask: RunAsk },
    Target { target: TargetId, actor: Actor, ask: TargetAsk },
}

#[derive(Debug, Clone, PartialEq)]
pub enum RunAsk {
    Approve { stage: StageName, role: Role, rationale: Text, evidence: Digest },
    Reject { stage: StageName, role: Role, rationale: Text, evidence: Digest },
    Pause { reason: Text },
    Resume { reason: Text },
    Abort { reason: Text },
    Promote { to: Option<Weight>, reason: Text },
    Resolve { drop: bool, reason: Text },
    Retry { stage: StageName, reason: Text },
}

#[derive(Debug, Clone, PartialEq)]
pub enum TargetAsk {
    RollBack { to: Option<Digest>, reason: Text },
    Kill { bundle: Digest, reason: Text },
    Freeze { until: Option<Timestamp>, reason: Text },
    Unfreeze { reason: Text },
    Adopt { release: Release, reason: Text },
    Resolve { drop: bool, reason: Text },
}

/// A worker answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    pub attempt: AttemptId,
    pub token: Token,
    pub answer: WorkerAnswer,
}

#[derive(Debug, Clone, PartialEq)]
pub enum WorkerAnswer {
    Done(Outcome),
    /// Not begun and handed back: no failure, the next attempt goes elsewhere.
    Declined(Text),
}

/// What gateways and servers say of themselves, unasked.
#[derive(Debug, Clone, PartialEq)]
pub enum Observation {
    Routes(Vec<GatewayObserved>),
    Loaded(Vec<ServerLoaded>),
}

impl Request {
    /// The input of the core, under the role map in force.
    pub fn bind(self, roles: &Pinned<RoleMap>) -> Input {
        let roles = roles.clone();
        match self {
            Self::Define(define) => Input::Define(define),
            Self::Run { run, actor, ask } => Input::Run(run, ask.bind(actor, roles)),
            Self::Target { target, actor, ask } => {
                let input = ask.bind(&target, actor, roles);
                Input::Target(target, input)
            }
        }
    }

    /// What was asked, from a recorded input; nothing for what nobody asks. The role map is no part of it.
    pub fn of(input: &Input) -> Option<Self> {
        match input {
            Input::Define(define) => Some(Self::Define(define.clone())),
            Input::Run(run, input) => {
                let (actor, ask) = RunAsk::of(input)?;
                Some(Self::Run { run: *run, actor, ask })
            }
            Input::Target(target, input) => {
                let (actor, ask) = TargetAsk::of(input)?;
                Some(Self::Target { target: target.clone(), actor, ask })
            }
        }
    }

    /// What tells two requests of one id apart. Of the view only: its value may change with a release.
    pub fn content(&self) -> Digest {
        Digest::of(format!("{self:?}").as_bytes())
    }
}

impl RunAsk {
    fn bind(self, actor: Actor, roles: Pinned<RoleMap>) -> run::Input {
        match self {
            Self::Approve { stage, role, rationale, evidence } => {
                run::Input::Approve { actor, roles, stage, role, rationale, evidence }
            }
            Self::Reject { stage, role, rationale, evidence } => {
                run::Input::Reject { actor, roles, stage, role, rationale, evidence }
            }
            Self::Pause { reason } => run::Input::Pause { actor, roles, reason },
            Self::Resume { reason } => run::Input::Resume { actor, roles, reason },
            Self::Abort { reason } => run::Input::Abort { actor, roles, reason },
            Self::Promote { to, reason } => run::Input::Promote { actor, roles, to, reason },
            Self::Resolve { drop, reason } => run::Input::Resolve { actor, roles, drop, reason },
            Self::Retry { stage, reason } => run::Input::Retry { actor, roles, stage, reason },
        }
    }

    fn of(input: &run::Input) -> Option<(Actor, Self)> {
        let actor = input.actor()?.clone();
        let ask = match input.clone() {
            run::Input::Approve { stage, role, rationale, evidence, .. } => {
                Self::Approve { stage, role, rationale, evidence }
            }
            run::Input::Reject { stage, role, rationale, evidence, .. } => {
                Self::Reject { stage, role, rationale, evidence }
            }
            run::Input::Pause { reason, .. } => Self::Pause { reason },
            run::Input::Resume { reason, .. } => Self::Resume { reason },
            run::Input::Abort { reason, .. } => Self::Abort { reason },
            run::Input::Promote { to, reason, .. } => Self::Promote { to, reason },
            run::Input::Resolve { drop, reason, .. } => Self::Resolve { drop, reason },
            run::Input::Retry { stage, reason, .. } => Self::Retry { stage, reason },
            _ => return None,
        };
        Some((actor, ask))
    }
}

impl TargetAsk {
    fn bind(self, target: &TargetId, actor: Actor, roles: Pinned<RoleMap>) -> target::Input {
        match self {
            Self::RollBack { to, reason } => target::Input::RollBack { actor, roles, to, reason },
            Self::Kill { bundle, reason } => target::Input::Kill { actor, roles, bundle, reason },
            Self::Freeze { until, reason } => target::Input::Freeze { actor, roles, until, reason },
            Self::Unfreeze { reason } => target::Input::Unfreeze { actor, roles, reason },
            Self::Resolve { drop, reason } => target::Input::Resolve { actor, roles, drop, reason },
            Self::Adopt { release, reason } => {
                target::Input::Adopt { actor, roles, target: target.clone(), release, reason }
            }
        }
    }

    fn of(input: &target::Input) -> Option<(Actor, Self)> {
        let actor = input.actor()?.clone();
        let ask = match input.clone() {
            target::Input::RollBack { to, reason, .. } => Self::RollBack { to, reason },
            target::Input::Kill { bundle, reason, .. } => Self::Kill { bundle, reason },
            target::Input::Freeze { until, reason, .. } => Self::Freeze { until, reason },
            target::Input::Unfreeze { reason, .. } => Self::Unfreeze { reason },
            target::Input::Resolve { drop, reason, .. } => Self::Resolve { drop, reason },
            target::Input::Adopt { release, reason, .. } => Self::Adopt { release, reason },
            _ => return None,
        };
        Some((actor, ask))
    }
}

impl Report {
    /// The input of the core. Numbers that are none could not be told.
    pub fn bind(self) -> Option<Input> {
        let attempt = self.attempt;
        let answer = match self.answer {
            WorkerAnswer::Done(outcome) if !outcome.is_finite() => {
                WorkerAnswer::Done(Outcome::CouldNotTell {
                    code: "NOT_FINITE".into(),
                    reason: "the worker measured something that is not a number".into(),
                    retry_after: None,
                })
            }
            answer => answer,
        };
        match (attempt.owner.clone(), answer) {
            (StreamId::Definitions, _) => None,
            (StreamId::Run(run), WorkerAnswer::Done(outcome)) => {
                Some(Input::Run(run, run::Input::Report { attempt, outcome }))
            }
            (StreamId::Run(run), WorkerAnswer::Declined(reason)) => {
                Some(Input::Run(run, run::Input::Decline { attempt, reason }))
            }
            (StreamId::Target(target), WorkerAnswer::Done(outcome)) => {
                Some(Input::Target(target, target::Input::Report { attempt, outcome }))
            }
            (StreamId::Target(target), WorkerAnswer::Declined(reason)) => {
                Some(Input::Target(target, target::Input::Decline { attempt, reason }))
            }
        }
    }
}

impl Observation {
    pub fn bind(self, target: TargetId) -> Input {
        match self {
            Self::Routes(gateways) => Input::Target(target, target::Input::ReportRoutes { gateways }),
            Self::Loaded(servers) => Input::Target(target, target::Input::ReportLoaded { servers }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_number_never_comes_into_the_log() {
        let plan = domain::work::Planned {
            digest: Digest::of(b"plan"),
            requests_per_second: f64::NAN,
            hours: None,
            requests_exposed: None,
            detectable: None,
        };
        let target = TargetId::parse("a@b").unwrap();
        let attempt = AttemptId { owner: StreamId::Run(RunId::derive("s", "1", &target)), number: 1 };
        let answer = WorkerAnswer::Done(Outcome::Planned(plan));
        let report = Report { attempt, token: Token([0; 32]), answer };
        let Some(Input::Run(_, run::Input::Report { outcome, .. })) = report.bind() else {
            panic!("a report")
        };
        assert!(matches!(outcome, Outcome::CouldNotTell { code, .. } if &*code == "NOT_FINITE"));
    }
}
