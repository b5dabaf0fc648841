//! Being written.
use super::{Judgement, Seen};
pub const NAME: &str = "latency";
/// Open-loop load of `rate_per_second` for `for_ms`; the 99th percentile must not exceed `p99_max_ms`.
/// In a monitor or rollout: of production traffic, without load.
#[derive(Debug, Clone, PartialEq)]
pub struct Latency {
    pub rate_per_second: f64,
    pub for_ms: u64,
    pub p99_max_ms: f64,
}
impl Latency {
    pub fn judge(&self, _seen: Seen<'_>) -> Judgement {
        Judgement::no_data("", "")
    }
    pub fn words(&self) -> String {
        String::new()
    }
}
