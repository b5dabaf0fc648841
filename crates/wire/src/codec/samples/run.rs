//! Inputs and events of runs.

use std::sync::Arc;

use domain::routes::Generation;
use domain::run::{End, Event, Input, PolicyTerm, Purpose, ShiftRefusal, Start, WaitFor};
use domain::time::Timestamp;
use domain::verdict::Verdict;

use super::{
    Sample, at, check, digest, pinned_roles, pinned_workflow, role, run_id, stage, subject, target_id, text,
    weight,
};

impl Sample {
    pub(crate) fn start(self) -> Start {
        Start {
            run: run_id(),
            target: target_id(),
            trained: Arc::new(self.trained()),
            workflow: pinned_workflow(),
        }
    }

    pub(crate) fn purposes(self) -> Vec<Purpose> {
        let watch = Purpose::Watch { from: Timestamp(0), to: at(), late: self.full };
        vec![
            Purpose::Package,
            Purpose::Test,
            Purpose::Plan,
            Purpose::Notify,
            Purpose::Measure,
            Purpose::MeasureLast,
            watch,
        ]
    }

    pub(crate) fn waits() -> Vec<WaitFor> {
        vec![
            WaitFor::Slot { why: text("another run has it") },
            WaitFor::Thaw,
            WaitFor::Prepare { why: text("") },
            WaitFor::People,
            WaitFor::Facts { missing: text("checks.staging.quality.lower") },
        ]
    }

    pub(crate) fn run_inputs(self) -> Vec<Input> {
        let (actor, roles, reason) = (self.actor(), pinned_roles(), text("because"));
        let generation = Generation(8);
        let mut inputs = vec![
            Input::Start(Box::new(self.start())),
            Input::Approve {
                actor: actor.clone(),
                roles: roles.clone(),
                stage: stage(),
                role: role(),
                rationale: reason.clone(),
                evidence: digest(9),
            },
            Input::Reject {
                actor: actor.clone(),
                roles: roles.clone(),
                stage: stage(),
                role: role(),
                rationale: reason.clone(),
                evidence: digest(9),
            },
            Input::Pause { actor: actor.clone(), roles: roles.clone(), reason: reason.clone() },
            Input::Resume { actor: actor.clone(), roles: roles.clone(), reason: reason.clone() },
            Input::Abort { actor: actor.clone(), roles: roles.clone(), reason: reason.clone() },
            Input::Promote {
                actor: actor.clone(),
                roles: roles.clone(),
                to: self.maybe(weight()),
                reason: reason.clone(),
            },
            Input::Resolve {
                actor: actor.clone(),
                roles: roles.clone(),
                drop: self.full,
                reason: reason.clone(),
            },
            Input::Retry { actor, roles, stage: stage(), reason: reason.clone() },
            Input::Decline { attempt: self.attempt(), reason: reason.clone() },
            Input::LeaseEnded { attempt: self.attempt(), heard_at: self.maybe(at()) },
            Input::BackoffOver { stage: stage() },
            Input::StageTimedOut { stage: stage() },
            Input::GateExpired { stage: stage() },
            Input::MeasureDue { stage: stage() },
            Input::BakeOver { stage: stage() },
            Input::StepDeadline { stage: stage() },
            Input::LeaveDeadline,
            Input::WindowOver { stage: stage() },
            Input::HeldDue { number: 1 },
            Input::Entered { live: self.maybe(self.release()), frozen: self.full },
            Input::EntryRefused { why: reason.clone() },
            Input::SlotGranted,
            Input::SlotRefused { why: reason.clone() },
            Input::Thawed,
            Input::PrepareDone,
            Input::PrepareFailed { why: reason.clone() },
            Input::ShiftAccepted { generation },
            Input::ShiftObserved { generation },
            Input::Superseded { by: run_id() },
            Input::LiveChanged { to: self.maybe(self.release()), generation },
            Input::LeaveOrdered { cause: reason.clone(), generation },
            Input::Replaced { by: self.release() },
            Input::Restored { generation },
            Input::ReleaseEnded { why: reason },
        ];
        inputs.extend(
            self.outcomes().into_iter().map(|outcome| Input::Report { attempt: self.attempt(), outcome }),
        );
        inputs.extend(ShiftRefusal::ALL.map(|why| Input::ShiftRefused { why }));
        inputs
    }

    pub(crate) fn run_events(self) -> Vec<Event> {
        let (generation, why) = (Generation(u64::MAX), text("because"));
        let (attempt, verdict) = (3, Verdict::Pass);
        let term = PolicyTerm {
            name: text("quality"),
            text: text("checks.staging.quality.lower > 0.9"),
            verdict,
            values: self.list(vec![(text("checks.staging.quality.lower"), text("0.93"))]),
        };
        let mut events = vec![
            Event::Started { start: Arc::new(self.start()), at: at() },
            Event::StageBegan { stage: stage(), live: self.maybe(self.release()), at: at() },
            Event::LiveNoted { live: self.maybe(self.release()) },
            Event::StageSkipped { stage: stage(), why: why.clone() },
            Event::AttemptFailed {
                stage: stage(),
                attempt,
                code: text("UNREACHABLE"),
                reason: why.clone(),
                retry_at: self.maybe(at()),
            },
            Event::AttemptDeclined { stage: stage(), attempt, reason: why.clone() },
            Event::AttemptExpired {
                stage: stage(),
                attempt,
                heard_at: self.maybe(at()),
                retry_at: self.maybe(at()),
            },
            Event::AttemptCancelled { stage: stage(), attempt },
            Event::EvidenceRecorded {
                stage: stage(),
                attempt,
                evidence: Arc::new(self.evidence()),
                at: at(),
            },
            Event::BundlePacked {
                stage: stage(),
                attempt,
                evidence: Arc::new(self.evidence()),
                bundle: Arc::new(self.bundle()),
                at: at(),
            },
            Event::PlanMade { stage: stage(), attempt, plan: self.plan() },
            Event::ApproversNotified {
                stage: stage(),
                attempt,
                review: self.maybe(Self::blob()),
                delivered: self.list(vec![text("mail")]),
            },
            Event::StageGaveUp { stage: stage(), why: why.clone() },
            Event::StageReopened { stage: stage(), why: why.clone() },
            Event::EvidenceVoided { stage: stage(), cause: why.clone() },
            Event::PolicyJudged { stage: stage(), verdict, terms: Arc::new(self.list(vec![term])) },
            Event::ApprovalAsked { stage: stage(), evidence: digest(9), expires_at: at() },
            Event::Approved {
                stage: stage(),
                role: role(),
                by: subject(),
                rationale: why.clone(),
                evidence: digest(9),
                roles: digest(10),
            },
            Event::ApprovalRefused {
                stage: stage(),
                role: role(),
                by: subject(),
                rationale: why.clone(),
                evidence: digest(9),
                roles: digest(10),
            },
            Event::ApprovalLapsed { stage: stage(), cause: why.clone() },
            Event::SlotTaken { stage: stage() },
            Event::StepEntered { stage: stage(), step: 0, weight: weight(), at: at() },
            Event::ReleasePrepared { stage: stage() },
            Event::WeightRequested { stage: stage(), generation, weight: weight(), at: at() },
            Event::WeightObserved { stage: stage(), generation, at: at() },
            Event::StepJudged { stage: stage(), step: 1, verdict, why: why.clone() },
            Event::StepHeld { stage: stage(), why: why.clone() },
            Event::StepReleased { stage: stage(), why: why.clone() },
            Event::WentLive { generation, restored: self.full, at: at() },
            Event::WentStandby { by: self.release() },
            Event::WindowJudged { stage: stage(), from: Timestamp(0), to: at(), verdict },
            Event::AlertRaised { stage: stage(), check: check(), why: why.clone() },
            Event::AlertCleared { stage: stage(), check: check() },
            Event::IncidentOpened { why: why.clone() },
            Event::Paused { by: subject(), reason: why.clone(), at: at() },
            Event::Resumed { by: subject(), reason: why.clone(), at: at() },
            Event::AbortAsked { by: subject(), reason: why.clone() },
            Event::PromotionAsked { by: subject(), to: self.maybe(weight()), reason: why.clone() },
            Event::RollbackBegan { end: End::RolledBack, cause: why.clone(), at: at() },
            Event::RollbackEnded { seconds_from_verdict: -0.0, requests_exposed: self.maybe(0), at: at() },
        ];
        let purposes = self.purposes().into_iter();
        events.extend(purposes.map(|purpose| Event::AttemptIssued {
            stage: stage(),
            attempt,
            purpose,
            at: at(),
        }));
        events.extend(Self::waits().into_iter().map(|on| Event::WaitBegan { stage: stage(), on, at: at() }));
        for verdict in Verdict::ALL {
            let judgement = Arc::new(self.judgement(verdict));
            events.push(Event::CheckJudged { stage: stage(), check: check(), judgement });
            events.push(Event::StageJudged { stage: stage(), verdict, why: why.clone(), at: at() });
        }
        events.extend(End::ALL.map(|end| Event::Ended { end, why: why.clone(), at: at() }));
        events.extend([
            Event::StreamQuarantined { why: why.clone(), holds_cause: self.full, at: at() },
            Event::QuarantineResolved {
                by: subject(),
                reason: why.clone(),
                dropped: self.maybe(text("Report")),
                at: at(),
            },
            Event::InputReleased { number: 1, input: text("Report"), refused: self.maybe(why.clone()) },
            Event::ChapterOpened { carried: Arc::new(self.run_state()), at: at() },
        ]);
        let held = self.run_inputs().into_iter();
        events.extend(held.map(|input| Event::InputHeld { input: Box::new(input), at: at() }));
        events
    }
}
