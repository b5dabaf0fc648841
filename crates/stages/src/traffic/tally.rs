//! What is counted of the predictions of one arm, in one pass.

use std::collections::HashSet;

use engine::port::predictions::Prediction;

use crate::latencies::Latencies;

/// Labelled answers of one arm that are kept one by one, for the ROC curve.
const LABELLED_MAX: usize = 1_000_000;
/// Distinct callers that are counted.
const UNITS_MAX: usize = 2_000_000;

/// Counts of one arm.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub n: u64,
    pub errors: u64,
    /// Of good answers: how long an error takes is another question.
    pub latencies: Latencies,
    /// Answers with an output whose label is known, and those that agree with it.
    pub labelled: u64,
    pub matches: u64,
    /// The same, one by one, for binary labels.
    pub predicted: Vec<bool>,
    pub labels: Vec<bool>,
    /// As long as `labels`, or the model gives no scores.
    pub scores: Vec<f64>,
}

impl Tally {
    pub(crate) fn add(&mut self, prediction: &Prediction, label: Option<f64>) {
        self.n += 1;
        if prediction.error {
            self.errors += 1;
            return;
        }
        self.latencies.add(u64::from(prediction.latency_us));
        let (Some(label), Some(output)) = (label, prediction.output) else { return };
        self.labelled += 1;
        // Both are classes or numbers that were written as text on their way: the same text, the same number.
        if (output - label).abs() < 1e-9 {
            self.matches += 1;
        }
        if self.labels.len() < LABELLED_MAX {
            self.predicted.push(output >= 0.5);
            self.labels.push(label >= 0.5);
            self.scores.extend(prediction.score);
        }
    }
}

/// Distinct callers per arm. When there are more than can be kept, both arms stop being counted at the same
/// moment, so that their ratio stays one of the same time.
#[derive(Debug, Default)]
pub(crate) struct Units {
    candidate: HashSet<u64>,
    live: HashSet<u64>,
}

impl Units {
    pub(crate) fn candidate(&mut self, unit: u64) {
        if self.has_room() {
            self.candidate.insert(unit);
        }
    }

    pub(crate) fn live(&mut self, unit: u64) {
        if self.has_room() {
            self.live.insert(unit);
        }
    }

    fn has_room(&self) -> bool {
        self.candidate.len() + self.live.len() < UNITS_MAX
    }

    /// Of the candidate and of the live release.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.candidate.len() as u64, self.live.len() as u64)
    }
}
