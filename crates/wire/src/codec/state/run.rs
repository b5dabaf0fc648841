//! What is true of a run.

use std::sync::Arc;

use domain::check::Judgement;
use domain::name::CheckName;
use domain::quarantine::Holding;
use domain::routes::Generation;
use domain::run::{Gate, Input, Leaving, Monitor, OpenAttempt, Phase, Rollout, Run, Stage, StageState, Vote};
use domain::time::Timestamp;

mod whole {
    use super::Run;
    use crate::generated::v1;

    message!(Run => RunState {
        phase, start, started_at, paused_at, bundle, stages, attempts_issued, attempts_open, live, raised,
        live_since, leaving, waits, incidents, holding, chapter,
    });
}

// The messages within.
use crate::generated::v1::run_state as v1;

oneof!(Phase => Phase.phase as phase::Phase {
    Absent {}
    Active {}
    Live {}
    Standby {}
    Leaving {}
    ; Ended
});
oneof!(StageState => StageState.state as stage_state::State {
    Pending {}
    Working {}
    Waiting {}
    ; Skipped Ended GaveUp
});
message!(Stage => Stage {
    state, began_at, failures, retry_at, evidence, judged, gate, rollout, monitor,
});
message!(Gate => Gate { policy, terms, asked, expires_at, votes, decided_on });
message!(Vote => Vote { role, by, evidence });
message!(Rollout => Rollout {
    plan, has_slot, step, weight, entered_at, prepared, requested, observed, bake_from, exposed_since, judged,
    looked_at, held,
});
message!(Monitor => Monitor { from, late_from, windows, last, alerts });
message!(OpenAttempt => OpenAttempt { number, stage, purpose, issued_at });
message!(Leaving => Leaving { end, cause, since, generation, observed_at, overdue });
message!(Holding<Input> => Holding { quarantine, held, released, resolved_at });
pair!(CheckName, Arc<Judgement> => Judged { check, judgement });
pair!(Generation, Timestamp => Observed { generation, at });
