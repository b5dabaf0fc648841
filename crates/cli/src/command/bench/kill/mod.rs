//! `modelrail bench restart` and `modelrail bench soak`: the engine's process killed, its workers alive.
//!
//! The engine runs in a process of its own, the desks of its workers in this one. So what a worker had begun, and
//! the ledger of it, outlives every kill.

mod check;
mod ledger;
mod line;
mod node;
mod process;
mod restart;
mod rig;
mod soak;
mod worker;

pub use node::NodeArguments;
pub use restart::RestartArguments;
pub use soak::SoakArguments;

pub(super) use node::node;
pub(super) use restart::restart;
pub(super) use soak::soak;

/// The middle one, and the worst.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
struct Spread {
    median: f64,
    worst: f64,
}

impl Spread {
    fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let median = values.get(values.len() / 2).copied().unwrap_or(0.0);
        Self { median, worst: values.last().copied().unwrap_or(0.0) }
    }
}

fn ms(span: std::time::Duration) -> f64 {
    span.as_secs_f64() * 1e3
}
