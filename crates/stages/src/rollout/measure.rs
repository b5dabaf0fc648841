//! Measures both arms of a rollout since its last change of traffic.
//!
//! **Invariant:** only predictions of the order's generation count, so that both arms are of the same time and the
//! same split. Callers are counted whether or not a check asks for it: the health of the experiment comes first.

use domain::check::sample_ratio;
use domain::evidence::{Arm, MEASUREMENTS_MAX, Measurement};
use domain::time::Millis;
use domain::work::{self, Outcome};

use crate::evidence::{Gathered, check_name};
use crate::traffic::{Tally, Units, measure_arms};
use crate::trouble::Trouble;
use crate::{Attempt, Workers};

const UNITS_METHOD: &str = "distinct-units/1";

pub(crate) fn carry_out(
    workers: &Workers,
    attempt: Attempt<'_>,
    order: &work::Measure,
) -> Result<Outcome, Trouble> {
    attempt.step("counting predictions")?;
    let ports = &workers.ports;
    let (mut candidate, mut live, mut units) = (Tally::default(), Tally::default(), Units::default());
    let counterpart = order.live.as_ref().map(|release| release.bundle);
    // Including those of this very moment.
    let until = ports.clock.wall() + Millis(1);
    let target = &attempt.command.target;
    ports.predictions.scan(target, order.since, until, &mut |prediction, label| {
        if prediction.generation != order.generation {
            return;
        }
        if prediction.bundle == order.candidate.bundle {
            candidate.add(prediction, label);
            units.candidate(prediction.unit);
        } else if Some(prediction.bundle) == counterpart {
            live.add(prediction, label);
            units.live(prediction.unit);
        }
    })?;

    let mut arms = vec![(Arm::Candidate, &candidate)];
    if counterpart.is_some() {
        arms.push((Arm::Live, &live));
    }
    let mut gathered = Gathered::default();
    if counterpart.is_some() {
        let (of_candidate, of_live) = units.counts();
        gathered.measurements.push(distinct(Arm::Candidate, of_candidate));
        gathered.measurements.push(distinct(Arm::Live, of_live));
    }
    for check in &order.checks {
        match measure_arms(check, &arms) {
            Ok(measurements) => gathered.measurements.extend(measurements),
            Err(finding) => gathered.findings.push(finding),
        }
    }
    Ok(Outcome::Measured(gathered.seal(ports.blobs.as_ref(), MEASUREMENTS_MAX)?.into()))
}

fn distinct(arm: Arm, units: u64) -> Measurement {
    let mut measurement = Measurement::new(check_name(sample_ratio::NAME), UNITS_METHOD, arm);
    measurement.n = units;
    measurement.sum = units as f64;
    measurement.unit = "units".into();
    measurement
}
