//! `quality`: the confusion table over the evaluation data, and the area under the ROC curve.

use domain::check::Check;
use domain::evidence::Arm;

use super::{Seen, Subject};
use crate::evidence::{blob, finding};
use crate::traffic::quality::labelled;
use crate::trouble::Trouble;

const METHOD: &str = "confusion-table/1";

pub(super) fn measure(subject: &Subject<'_>, check: &Check) -> Result<Seen, Trouble> {
    let mut seen = Seen::default();
    match subject.answers.get(subject)? {
        // Nothing to measure with, which the check calls no data.
        Ok(None) => {}
        Ok(Some(answered)) => {
            let mut measurement = labelled(
                check,
                METHOD,
                Arm::Candidate,
                &answered.predicted,
                &answered.scores,
                &answered.labels,
            );
            measurement.inputs = answered.digest;
            seen.measurements.push(measurement);
            if let Some(digest) = answered.digest {
                seen.blobs.push(blob(digest, "evaluation", subject.workers.ports.blobs.get(digest)?.len()));
            }
        }
        Err((code, text)) => seen.findings.push(finding(&check.name, code, text)),
    }
    Ok(seen)
}
