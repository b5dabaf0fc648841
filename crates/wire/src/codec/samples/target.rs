//! Inputs and events of targets.

use std::sync::Arc;

use domain::name::Version;
use domain::routes::{Generation, Route, RouteTable, Sticky};
use domain::target::{Errand, Event, Input};
use domain::time::Millis;
use domain::weight::Weight;
use domain::workflow::WhileRunning;

use super::{Sample, at, digest, pinned_roles, run_id, subject, target_id, text, weight};

impl Sample {
    pub(crate) fn stickies() -> Vec<Sticky> {
        vec![Sticky::None, Sticky::Header(text("x-user")), Sticky::Parameter(text("user"))]
    }

    pub(crate) fn table(self, sticky: Sticky) -> RouteTable {
        let route = Route { release: self.release(), weight: Weight::ALL };
        RouteTable {
            target: target_id(),
            generation: Generation(7),
            routes: self.list(vec![route]),
            stable: self.maybe(self.release()),
            sticky,
        }
    }

    pub(crate) fn target_inputs(self) -> Vec<Input> {
        let (actor, roles, reason, run) = (self.actor(), pinned_roles(), text("because"), run_id());
        let version = Version::parse("v7").unwrap();
        let mut inputs = vec![
            Input::AskSlot { run },
            Input::LeaveSlot { run },
            Input::Leave { run },
            Input::PrepareRelease { run, release: self.release() },
            Input::TakeLive { run, release: self.release(), keep_warm: Millis::hours(24) },
            Input::LeaveLive { run, cause: reason.clone() },
            Input::RollBack {
                actor: actor.clone(),
                roles: roles.clone(),
                to: self.maybe(digest(1)),
                reason: reason.clone(),
            },
            Input::Kill {
                actor: actor.clone(),
                roles: roles.clone(),
                bundle: digest(1),
                reason: reason.clone(),
            },
            Input::Freeze {
                actor: actor.clone(),
                roles: roles.clone(),
                until: self.maybe(at()),
                reason: reason.clone(),
            },
            Input::Unfreeze { actor: actor.clone(), roles: roles.clone(), reason: reason.clone() },
            Input::Resolve {
                actor: actor.clone(),
                roles: roles.clone(),
                drop: self.full,
                reason: reason.clone(),
            },
            Input::Adopt {
                actor,
                roles,
                target: target_id(),
                release: self.release(),
                reason: reason.clone(),
            },
            Input::Decline { attempt: self.attempt(), reason: reason.clone() },
            Input::ReportRoutes { gateways: self.list(vec![self.gateway()]) },
            Input::ReportLoaded { servers: self.list(vec![self.server()]) },
            Input::LeaseEnded { attempt: self.attempt(), heard_at: self.maybe(at()) },
            Input::FreezeOver,
            Input::WarmOver,
            Input::HeldDue { number: 1 },
            Input::NoteQuarantine { run, quarantined: self.full },
        ];
        let policies = [WhileRunning::Supersede, WhileRunning::Queue, WhileRunning::Refuse];
        inputs.extend(policies.map(|while_running| Input::Enter {
            target: target_id(),
            run,
            version: version.clone(),
            artifact: digest(5),
            while_running,
        }));
        inputs.extend(Self::stickies().into_iter().map(|sticky| Input::ShiftWeights {
            run,
            release: self.release(),
            weight: weight(),
            sticky,
            cause: reason.clone(),
        }));
        inputs.extend(
            self.outcomes().into_iter().map(|outcome| Input::Report { attempt: self.attempt(), outcome }),
        );
        inputs.extend(Errand::ALL.map(|what| Input::BackoffOver { what }));
        inputs
    }

    pub(crate) fn target_events(self) -> Vec<Event> {
        let (run, why, generation, attempt) = (run_id(), text("because"), Generation(7), 3);
        let release = self.release();
        let mut events = vec![
            Event::RunEntered {
                target: target_id(),
                run,
                version: Version::parse("v7").unwrap(),
                artifact: digest(5),
            },
            Event::RunSuperseded { run, by: run },
            Event::RunLeft { run },
            Event::SlotGranted { run },
            Event::RunQueued { run, position: 1 },
            Event::SlotLeft { run },
            Event::ReleaseWanted { run, release: release.clone() },
            Event::ReleaseLoaded { servers: self.list(vec![self.server()]), attempt: self.maybe(attempt) },
            Event::RoutesObserved { gateways: self.list(vec![self.gateway()]), attempt: self.maybe(attempt) },
            Event::GatewayMissing { gateway: "g1".into(), heard_at: at() },
            Event::ServerMissing { server: "s1".into(), heard_at: at() },
            Event::LiveChanged {
                from: self.maybe(release.clone()),
                to: self.maybe(release.clone()),
                generation,
                warm_until: self.maybe(at()),
                at: at(),
            },
            Event::ReleaseRolledBack {
                release: release.clone(),
                to: self.maybe(release.clone()),
                cause: why.clone(),
                by: self.maybe(subject()),
            },
            Event::ReleaseKilled { release: release.clone(), by: subject(), reason: why.clone() },
            Event::ReleaseAdopted {
                target: target_id(),
                release: release.clone(),
                by: subject(),
                reason: why.clone(),
                at: at(),
            },
            Event::ReleaseCooled { release: release.clone() },
            Event::OverrideObserved { gateway: text("gateway-1"), release: self.maybe(release) },
            Event::TargetFrozen { until: self.maybe(at()), by: self.maybe(subject()), reason: why.clone() },
            Event::TargetUnfrozen { by: self.maybe(subject()), reason: why.clone() },
        ];
        events.extend(Self::stickies().into_iter().map(|sticky| Event::GenerationRaised {
            table: self.table(sticky),
            cause: why.clone(),
            run: self.maybe(run),
            at: at(),
        }));
        for what in Errand::ALL {
            events.extend([
                Event::AttemptIssued { attempt, what, at: at() },
                Event::AttemptFailed {
                    attempt,
                    what,
                    code: text("UNREACHABLE"),
                    reason: why.clone(),
                    retry_at: at(),
                },
                Event::AttemptExpired { attempt, what, heard_at: self.maybe(at()), retry_at: at() },
                Event::AttemptDeclined { attempt, what, reason: why.clone() },
                Event::AttemptCancelled { attempt, what },
            ]);
        }
        events.extend([
            Event::QuarantineNoted { run, quarantined: self.full },
            Event::StreamQuarantined { why: why.clone(), holds_cause: self.full, at: at() },
            Event::QuarantineResolved {
                by: subject(),
                reason: why.clone(),
                dropped: self.maybe(text("Report")),
                at: at(),
            },
            Event::InputReleased { number: 1, input: text("Report"), refused: self.maybe(why.clone()) },
            Event::ChapterOpened { carried: Arc::new(self.target_state()), at: at() },
        ]);
        let held = self.target_inputs().into_iter();
        events.extend(held.map(|input| Event::InputHeld { input: Box::new(input), at: at() }));
        events
    }
}
