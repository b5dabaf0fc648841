//! Predictions one behind the other, their ids and features in one piece each.
//!
//! Those who answer fill it and another thread empties it, over and over: nothing is allocated by one thread and
//! given back by another, and what is written next lies where the former was, in the cache.

use domain::name::{Digest, TargetId};
use domain::routes::Generation;
use domain::time::Timestamp;
use engine::port::predictions::Prediction;

/// Rows for which room is kept.
const KEPT_MAX: usize = 4_096;

#[derive(Debug, Default)]
pub(crate) struct Rows {
    heads: Vec<Row>,
    ids: String,
    features: Vec<f32>,
}

#[derive(Debug)]
struct Row {
    target: TargetId,
    id_bytes: usize,
    features: usize,
    at: Timestamp,
    bundle: Digest,
    generation: Generation,
    unit: u64,
    latency_us: u32,
    error: bool,
    output: Option<f64>,
    score: Option<f64>,
}

impl Rows {
    pub(crate) fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    pub(crate) fn push(&mut self, prediction: &Prediction) {
        let Prediction { target, request_id, at, bundle, generation, unit, .. } = prediction;
        let Prediction { latency_us, error, features, output, score, .. } = prediction;
        self.ids.push_str(request_id);
        self.features.extend_from_slice(features);
        self.heads.push(Row {
            target: target.clone(),
            id_bytes: request_id.len(),
            features: features.len(),
            at: *at,
            bundle: *bundle,
            generation: *generation,
            unit: *unit,
            latency_us: *latency_us,
            error: *error,
            output: *output,
            score: *score,
        });
    }

    /// Forgets all rows and keeps the room of an ordinary number of them.
    pub(crate) fn clear(&mut self) {
        self.heads.clear();
        self.ids.clear();
        self.features.clear();
        self.heads.shrink_to(KEPT_MAX);
        self.ids.shrink_to(KEPT_MAX * 64);
        self.features.shrink_to(KEPT_MAX * 64);
    }

    pub(crate) fn unread(&self) -> Unread<'_> {
        Unread { rows: &self.heads, ids: &self.ids, features: &self.features }
    }
}

/// What was not read yet.
#[derive(Debug)]
pub(crate) struct Unread<'a> {
    rows: &'a [Row],
    ids: &'a str,
    features: &'a [f32],
}

impl Unread<'_> {
    /// Reads at most so many rows over the first ones of `batch`, whose room is used again, and says how many.
    pub(crate) fn fill(&mut self, batch: &mut Vec<Prediction>, rows_max: usize) -> usize {
        let (rows, left) = self.rows.split_at(rows_max.min(self.rows.len()));
        self.rows = left;
        for (place, row) in rows.iter().enumerate() {
            let (id, ids) = self.ids.split_at(row.id_bytes);
            let (features, others) = self.features.split_at(row.features);
            (self.ids, self.features) = (ids, others);
            let former = batch
                .get_mut(place)
                .map(|it| (std::mem::take(&mut it.request_id), std::mem::take(&mut it.features)));
            let (mut request_id, mut kept) = former.unwrap_or_default();
            request_id.clear();
            request_id.push_str(id);
            kept.clear();
            kept.extend_from_slice(features);
            let prediction = Prediction {
                target: row.target.clone(),
                request_id,
                features: kept,
                at: row.at,
                bundle: row.bundle,
                generation: row.generation,
                unit: row.unit,
                latency_us: row.latency_us,
                error: row.error,
                output: row.output,
                score: row.score,
            };
            match batch.get_mut(place) {
                Some(former) => *former = prediction,
                None => batch.push(prediction),
            }
        }
        rows.len()
    }
}
