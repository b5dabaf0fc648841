//! Checks as a workflow asks for them.

use domain::check::quality::Metric;
use domain::check::{Check, Kind, Level};
use domain::verdict::{On, Reaction};

use crate::generated::v1;

choice!(Level => CheckLevel { Veto, Observe });
choice!(Reaction => Reaction { Halt, Continue, Wait, RollBack, Alert });
choice!(Metric => Metric { Accuracy, Precision, Recall, F1, Auc });
wire_message!(On => On { fail, inconclusive, no_data });
wire_message!(Check => Check { name, level, on, kind });
wire_oneof!(Kind => CheckKind.kind as check_kind::Kind {
    ; Smoke Contract Quality Latency ErrorRate Outcome Drift
});

/// The parameters of each.
mod parameters {
    use domain::check::contract::Contract;
    use domain::check::drift::Drift;
    use domain::check::error_rate::ErrorRate;
    use domain::check::latency::Latency;
    use domain::check::outcome::Outcome;
    use domain::check::quality::Quality;
    use domain::check::smoke::Smoke;

    use crate::codec::{Error, Place, Resolve, Wire};
    use crate::generated::v1::check_kind as v1;

    wire_message!(Quality => Quality { metric, min });
    wire_message!(Latency => Latency { rate_per_second, for_ms, p99_max_ms });
    wire_message!(ErrorRate => ErrorRate { max, margin });
    wire_message!(Outcome => Outcome { field, min, margin });
    wire_message!(Drift => Drift { features, max, fdr });

    macro_rules! without_parameters {
        ($($check:ident),*) => { $(
            impl Wire<v1::$check> for $check {
                fn put(&self) -> v1::$check {
                    v1::$check {}
                }
                fn take(_: v1::$check, _: &dyn Resolve, _: Place) -> Result<Self, Error> {
                    Ok(Self)
                }
            }
        )* };
    }
    without_parameters!(Smoke, Contract);
}
