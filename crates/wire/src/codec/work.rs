//! What workers answer.

use domain::work::{Bundle, GatewayObserved, Outcome, Packed, Planned, ServerLoaded};

use crate::generated::v1;

message!(Packed => Packed { evidence, bundle });
message!(Bundle => Bundle { digest, size, format, artifact, signature, signed_by, change });
message!(Planned => Planned { digest, requests_per_second, hours, requests_exposed, detectable });
message!(ServerLoaded => ServerLoaded { server, bundles, failed, heard_at });
message!(GatewayObserved => GatewayObserved { gateway, generation, override_to, killed, heard_at });

oneof!(Outcome => Outcome.outcome as outcome::Outcome {
    Notified { review, delivered }
    Prepared { servers }
    Applied { gateways }
    CouldNotTell { code, reason, retry_after }
    ; Packed Measured Planned
});
