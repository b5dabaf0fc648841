//! Being written.
use super::{Judgement, Seen};
pub const NAME: &str = "quality";
/// A metric over labelled answers: `min` (of its lower bound? no: see `judge`).
#[derive(Debug, Clone, PartialEq)]
pub struct Quality {
    pub metric: Metric,
    pub min: f64,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    Accuracy,
    Precision,
    Recall,
    F1,
    Auc,
}
impl Metric {
    pub const ALL: [Self; 5] = [Self::Accuracy, Self::Precision, Self::Recall, Self::F1, Self::Auc];
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::Precision => "precision",
            Self::Recall => "recall",
            Self::F1 => "f1",
            Self::Auc => "auc",
        }
    }
}
impl Quality {
    pub fn judge(&self, _seen: Seen<'_>) -> Judgement {
        Judgement::no_data("", "")
    }
    pub fn words(&self) -> String {
        String::new()
    }
}
