//! `latency` of production traffic: how long good answers took at the gateway.

use domain::check::Check;
use domain::evidence::{Arm, Measurement};

use super::Tally;

const METHOD: &str = "latency-production/1";

pub(super) fn measure(check: &Check, arm: Arm, tally: &Tally) -> Measurement {
    let mut measurement = Measurement::new(check.name.clone(), METHOD, arm);
    tally.latencies.write(&mut measurement);
    measurement
}
