//! Predictions and labels in maps.

use std::collections::BTreeMap;
use std::sync::Mutex;

use domain::name::TargetId;
use domain::time::Timestamp;

use crate::port::predictions::{self, Error, Label, Prediction};

type Key = (TargetId, String);

#[derive(Debug, Default)]
struct Kept {
    predictions: BTreeMap<Key, Prediction>,
    labels: BTreeMap<Key, Label>,
}

#[derive(Debug, Default)]
pub struct Predictions(Mutex<Kept>);

impl predictions::Predictions for Predictions {
    fn append(&self, predictions: &[Prediction]) -> Result<(), Error> {
        let mut kept = self.0.lock().expect("no panic while predictions are held");
        for prediction in predictions {
            let key = (prediction.target.clone(), prediction.request_id.clone());
            kept.predictions.insert(key, prediction.clone());
        }
        Ok(())
    }

    fn label(&self, labels: &[Label]) -> Result<(), Error> {
        let mut kept = self.0.lock().expect("no panic while predictions are held");
        for label in labels {
            kept.labels.insert((label.target.clone(), label.request_id.clone()), label.clone());
        }
        Ok(())
    }

    fn scan(
        &self,
        target: &TargetId,
        from: Timestamp,
        to: Timestamp,
        visit: &mut dyn FnMut(&Prediction, Option<f64>),
    ) -> Result<(), Error> {
        let kept = self.0.lock().expect("no panic while predictions are held");
        let mut found: Vec<_> = kept
            .predictions
            .iter()
            .filter(|((of, _), prediction)| of == target && (from..to).contains(&prediction.at))
            .collect();
        found.sort_by(|(key, a), (other, b)| (a.at, &key.1).cmp(&(b.at, &other.1)));
        for (key, prediction) in found {
            visit(prediction, kept.labels.get(key).map(|label| label.value));
        }
        Ok(())
    }

    fn sweep(&self, before: Timestamp) -> Result<(), Error> {
        let mut kept = self.0.lock().expect("no panic while predictions are held");
        kept.predictions.retain(|_, prediction| prediction.at >= before);
        kept.labels.retain(|_, label| label.at >= before);
        Ok(())
    }
}
