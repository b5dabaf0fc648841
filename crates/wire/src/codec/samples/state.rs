//! States of runs and targets.

use std::sync::Arc;

use domain::chapter::Chapter;
use domain::name::Version;
use domain::quarantine::{Holding, Quarantine};
use domain::routes::{Generation, Sticky};
use domain::run::{
    End, Gate, Leaving, Monitor, OpenAttempt, Phase, PolicyTerm, Rollout, Run, Stage, StageState, Vote,
};
use domain::target::{ErrandState, Frozen, LastGood, LeavingRelease, Live, Target, UnderWay, Unfenced};
use domain::verdict::Verdict;

use super::{Sample, at, check, digest, role, run_id, subject, target_id, text, weight};

impl Sample {
    fn holding<I>(self, held: Vec<I>) -> Holding<I> {
        let quarantine = Quarantine { why: text("it panicked"), since: at(), holds_cause: self.full };
        let quarantine = self.maybe(quarantine);
        Holding { quarantine, held, released: 3, resolved_at: at() }
    }

    fn gate(self) -> Gate {
        let values = self.list(vec![(text("change.model"), text("\"changed\""))]);
        let term = PolicyTerm {
            name: text("known"),
            text: text("change.model != 'unknown'"),
            verdict: Verdict::Pass,
            values,
        };
        let vote = Vote { role: role(), by: subject(), evidence: digest(9) };
        Gate {
            policy: self.maybe(Verdict::Inconclusive),
            terms: Arc::new(self.list(vec![term])),
            asked: self.maybe(digest(9)),
            expires_at: self.maybe(at()),
            votes: self.list(vec![vote]),
            decided_on: self.maybe(digest(8)),
        }
    }

    fn rollout(self) -> Rollout {
        Rollout {
            plan: self.maybe(self.plan()),
            has_slot: self.full,
            step: self.maybe(0),
            weight: weight(),
            entered_at: at(),
            prepared: self.full,
            requested: self.maybe(Generation(7)),
            observed: self.maybe((Generation(7), at())),
            bake_from: at(),
            exposed_since: self.maybe(at()),
            judged: self.maybe(Verdict::NoData),
            looked_at: self.maybe(at()),
            held: self.maybe_text("waits for evidence"),
        }
    }

    fn monitor(self) -> Monitor {
        let (from, late_from, last) = (at(), at(), self.maybe(Verdict::Fail));
        Monitor { from, late_from, windows: 9, last, alerts: self.list(vec![check()]) }
    }

    fn stages(self) -> Vec<Stage> {
        let states = [
            StageState::Pending,
            StageState::Skipped(text("when: live")),
            StageState::Working,
            StageState::Waiting,
            StageState::Ended(Verdict::Pass),
            StageState::GaveUp(text("")),
        ];
        let stage = |state| Stage {
            state,
            began_at: at(),
            failures: 2,
            retry_at: self.maybe(at()),
            evidence: self.list(vec![Arc::new(self.evidence())]),
            judged: self.list(vec![(check(), Arc::new(self.judgement(Verdict::Pass)))]),
            gate: self.gate(),
            rollout: self.rollout(),
            monitor: self.monitor(),
        };
        states.into_iter().map(stage).collect()
    }

    pub(crate) fn run_state(self) -> Run {
        let leaving = Leaving {
            end: End::RolledBack,
            cause: text("p99"),
            since: at(),
            generation: self.maybe(Generation(8)),
            observed_at: self.maybe(at()),
            overdue: self.full,
        };
        let open = |(index, purpose)| OpenAttempt {
            number: index as u32 + 1,
            stage: index % 3,
            purpose,
            issued_at: at(),
        };
        Run {
            phase: Phase::Live,
            start: self.maybe(Arc::new(self.start())),
            started_at: at(),
            paused_at: self.maybe(at()),
            bundle: self.maybe(Arc::new(self.bundle())),
            stages: self.stages().into_iter().map(Arc::new).collect(),
            attempts_issued: 7,
            attempts_open: self.purposes().into_iter().enumerate().map(open).collect(),
            live: self.maybe(self.release()),
            raised: self.maybe(Generation(7)),
            live_since: self.maybe(at()),
            leaving: self.maybe(leaving),
            waits: Self::waits().into_iter().next().filter(|_| self.full),
            incidents: 1,
            holding: Some(Box::new(self.holding(self.list(self.run_inputs())))),
            chapter: Chapter { opened: 2, events: 17 },
        }
    }

    /// One of each phase and wait, besides.
    pub(crate) fn run_states(self) -> Vec<Run> {
        let phases = [Phase::Absent, Phase::Active, Phase::Live, Phase::Standby, Phase::Leaving];
        let phases = phases.into_iter().chain(End::ALL.map(Phase::Ended));
        let mut states: Vec<Run> = phases.map(|phase| Run { phase, ..self.run_state() }).collect();
        states.extend(Self::waits().into_iter().map(|on| Run { waits: Some(on), ..Run::default() }));
        states.push(Run::default());
        states
    }

    pub(crate) fn target_state(self) -> Target {
        let under_way = UnderWay {
            run: run_id(),
            version: Version::parse("v7").unwrap(),
            artifact: digest(5),
            moved: self.full,
            quarantined: self.full,
        };
        let errand = ErrandState {
            open: self.maybe((3, at())),
            failures: 2,
            retry_at: self.maybe(at()),
            last_failure: self.maybe_text("NOT_LOADED"),
            releases: self.list(vec![self.release()]),
            generation: Generation(7),
        };
        let live = Live { release: self.release(), since: at(), generation: Generation(6) };
        let last_good = LastGood { release: self.release(), warm_until: self.maybe(at()), cold: self.full };
        let leaving =
            LeavingRelease { release: self.release(), to: self.maybe(self.release()), cause: text("p99") };
        let frozen = Frozen { until: self.maybe(at()), by: self.maybe(subject()), reason: text("holidays") };
        Target {
            id: self.maybe(target_id()),
            under_way: self.list(vec![under_way]),
            slot: self.maybe(run_id()),
            queue: self.list(vec![run_id()]),
            live: self.maybe(live),
            last_good: self.maybe(last_good),
            leaving: self.maybe(leaving),
            wanted: self.maybe(self.release()),
            table: self.maybe(self.table(Sticky::Header(text("x-user")))),
            raised_at: at(),
            raised_for: self.maybe(run_id()),
            observed: Generation(7),
            gateways: self.list(vec![self.gateway()]),
            servers: self.list(vec![self.server()]),
            attempts_issued: 3,
            prepare: errand.clone(),
            apply: errand,
            unfenced: self.maybe(Unfenced { kept: self.list(vec![digest(4)]) }),
            frozen: self.maybe(frozen),
            bad: self.list(vec![digest(1), digest(2)]),
            holding: Some(Box::new(self.holding(self.list(self.target_inputs())))),
            chapter: Chapter { opened: 1, events: 0 },
        }
    }
}
