//! Work orders, and what workers answer.

use domain::rule::Rule;
use domain::work::{
    Apply, Bundle, Command, GatewayObserved, Measure, Notify, Order, Outcome, Package, Packed, Plan, Planned,
    Prepare, ServerLoaded, Test, Watch,
};
use domain::workflow::{Approvals, GateWith, NamedRule, PackageWith, RolloutStep, RolloutWith, Strategy};

use super::{Error, Place, Resolve, Wire};
use crate::generated::v1;

wire_message!(Command => Command { attempt, target, effect_key, order, issued_at, lease, traceparent });
wire_oneof!(Order => Order.order as order::Order {
    ; Package Test Notify Plan Measure Prepare Apply Watch
});
wire_message!(Package => Package { run, stage, trained, with, live });
wire_message!(Test => Test { run, stage, environment, release, live, trained, checks });
wire_message!(Notify => Notify { run, stage, release, with, evidence, expires_at });
wire_message!(Plan => Plan { run, stage, live, with });
wire_message!(Measure => Measure { run, stage, candidate, live, since, generation, share, checks });
wire_message!(Prepare => Prepare { releases });
wire_message!(Apply => Apply { table });
wire_message!(Watch => Watch { run, stage, release, trained, from, to, checks });

choice!(Strategy => Strategy { BlueGreen, Canary });
wire_message!(PackageWith => PackageWith { formats, size_max_bytes, require, sign });
wire_message!(GateWith => GateWith { require, approvals, four_eyes, expires });
wire_message!(NamedRule => NamedRule { name, rule, because });
wire_message!(Approvals => Approvals { role, count });
wire_message!(RolloutWith => RolloutWith {
    strategy,
    sticky,
    steps,
    analysis,
    alpha,
    share_cap,
    tick,
    on,
    leave_deadline,
    keep_warm,
});
wire_message!(RolloutStep => RolloutStep { weight, samples, bake, deadline });

/// As it was written; the tree is parsed again.
impl Wire<String> for Rule {
    fn put(&self) -> String {
        self.text.put()
    }
    fn take(proto: String, known: &dyn Resolve, place: Place) -> Result<Self, Error> {
        known.rule(&proto).map_err(|reason| Error::BadRule { place, reason })
    }
}

message!(Packed => Packed { evidence, bundle });
message!(Bundle => Bundle { digest, size, format, artifact, signature, signed_by, change });
message!(Planned => Planned { digest, requests_per_second, hours, requests_exposed, detectable });
message!(ServerLoaded => ServerLoaded { server, bundles, failed, heard_at });
message!(GatewayObserved => GatewayObserved { gateway, generation, override_to, heard_at, killed });

oneof!(Outcome => Outcome.outcome as outcome::Outcome {
    Notified { review, delivered }
    Prepared { servers }
    Applied { gateways }
    CouldNotTell { code, reason, retry_after }
    ; Packed Measured Planned
});
