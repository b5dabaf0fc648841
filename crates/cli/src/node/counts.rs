//! What the engine's thread counts, and how it is told in OpenMetrics.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use engine::partition::Partition;

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) inputs: AtomicU64,
    pub(super) records: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) passes: AtomicU64,
    pub(super) pass_us: AtomicU64,
    pub(super) quarantined: AtomicU64,
    pub(super) parked: AtomicU64,
    pub(super) held: AtomicU64,
}

impl Counts {
    /// Keeps account of the streams on which nothing is decided.
    pub(super) fn note_withheld(&self, partitions: &[Partition]) {
        let (mut quarantined, mut parked, mut held) = (0, 0, 0);
        for withheld in partitions.iter().flat_map(Partition::withheld) {
            quarantined += u64::from(withheld.quarantined.is_some());
            parked += u64::from(withheld.parked.is_some());
            held += u64::from(withheld.held);
        }
        self.quarantined.store(quarantined, Relaxed);
        self.parked.store(parked, Relaxed);
        self.held.store(held, Relaxed);
    }

    pub(super) fn render(&self) -> String {
        let mut text = String::new();
        for (name, help, value) in [
            ("inputs", "Messages that the engine took.", &self.inputs),
            ("transitions", "Records that the engine wrote.", &self.records),
            ("inputs_refused", "Inputs that found no room.", &self.refused),
            ("passes", "Passes of the engine, each with at most one sync.", &self.passes),
        ] {
            let value = value.load(Relaxed);
            write!(text, "# TYPE modelrail_{name} counter\n# HELP modelrail_{name} {help}\nmodelrail_{name}_total {value}\n")
                .expect("writing to a string");
        }
        let seconds = self.pass_us.load(Relaxed) as f64 / 1e6;
        write!(text, "# TYPE modelrail_pass_seconds counter\nmodelrail_pass_seconds_total {seconds}\n")
            .expect("writing to a string");
        for (name, help, value) in [
            ("streams_quarantined", "Runs and targets that wait for `modelrail resolve`.", &self.quarantined),
            (
                "streams_parked",
                "Runs and targets that this binary cannot read: it needs an upgrade.",
                &self.parked,
            ),
            ("inputs_held", "Inputs that wait for a quarantine to be resolved.", &self.held),
        ] {
            let value = value.load(Relaxed);
            write!(
                text,
                "# TYPE modelrail_{name} gauge\n# HELP modelrail_{name} {help}\nmodelrail_{name} {value}\n"
            )
            .expect("writing to a string");
        }
        text
    }
}
