//! Measures one window of a live release.
//!
//! **Invariant:** only what this release answered counts, whatever the generation. Raw values stay where they are:
//! what leaves are counts.

mod drift;
pub(crate) mod profile;

use domain::check::Kind;
use domain::evidence::{Arm, MONITOR_MEASUREMENTS_MAX};
use domain::work::{self, Outcome};

use crate::evidence::{Gathered, blob, check_name, finding};
use crate::traffic::{ASIDE, Tally, measure_arms};
use crate::trouble::Trouble;
use crate::{Attempt, Workers};
use drift::Window;
use profile::Profile;

pub(crate) fn carry_out(
    workers: &Workers,
    attempt: Attempt<'_>,
    order: &work::Watch,
) -> Result<Outcome, Trouble> {
    attempt.step("reading the baseline")?;
    let ports = &workers.ports;
    let mut gathered = Gathered::default();
    let mut window = match (&order.trained.baseline, order.checks.iter().any(|it| is_drift(&it.kind))) {
        (Some(file), true) => {
            let bytes = ports.blobs.get(file.sha256)?;
            match Profile::parse(&bytes) {
                Ok(profile) => {
                    gathered.blobs.push(blob(file.sha256, "baseline", bytes.len()));
                    Some(Window::new(profile, file.sha256))
                }
                Err(why) => {
                    gathered.findings.push(finding(&check_name(ASIDE), "BASELINE_UNREADABLE", why));
                    None
                }
            }
        }
        // Without a baseline there is nothing to compare with, which the check calls no data.
        _ => None,
    };

    attempt.step("counting predictions")?;
    let mut tally = Tally::default();
    ports.predictions.scan(&attempt.command.target, order.from, order.to, &mut |prediction, label| {
        if prediction.bundle == order.release.bundle {
            tally.add(prediction, label);
            if let Some(window) = &mut window {
                window.add(&prediction.features);
            }
        }
    })?;

    for check in &order.checks {
        let measured = match (&check.kind, &window) {
            (Kind::Drift(drift), Some(window)) => window.measure(check, drift),
            (Kind::Drift(_), None) => Ok(vec![]),
            _ => measure_arms(check, &[(Arm::Candidate, &tally)]),
        };
        match measured {
            Ok(measurements) => gathered.measurements.extend(measurements),
            Err(finding) => gathered.findings.push(finding),
        }
    }
    Ok(Outcome::Measured(gathered.seal(ports.blobs.as_ref(), MONITOR_MEASUREMENTS_MAX)?.into()))
}

fn is_drift(kind: &Kind) -> bool {
    matches!(kind, Kind::Drift(_))
}

#[cfg(test)]
mod tests;
