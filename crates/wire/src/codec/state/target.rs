//! What is true of a target.

use domain::quarantine::Holding;
use domain::target::{
    ErrandState, Frozen, Input, LastGood, LeavingRelease, Live, Target, UnderWay, Unfenced,
};
use domain::time::Timestamp;

mod whole {
    use super::Target;
    use crate::generated::v1;

    message!(Target => TargetState {
        id, under_way, slot, queue, live, last_good, leaving, wanted, table, raised_at, raised_for, observed,
        gateways, servers, attempts_issued, prepare, apply, frozen, bad, holding, chapter,
        unfenced,
    });
}

// The messages within.
use crate::generated::v1::target_state as v1;

message!(UnderWay => UnderWay { run, version, artifact, moved, quarantined });
message!(Live => Live { release, since, generation });
message!(LastGood => LastGood { release, warm_until, cold });
message!(LeavingRelease => LeavingRelease { release, to, cause });
message!(Frozen => Frozen { until, by, reason });
message!(ErrandState => ErrandState { open, failures, retry_at, last_failure, releases, generation });
message!(Unfenced => Unfenced { kept });
message!(Holding<Input> => Holding { quarantine, held, released, resolved_at });
pair!(u32, Timestamp => Open { attempt, at });
