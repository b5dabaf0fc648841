//! Defects of the core, planted for a while: what one of them hits quarantines its stream.
//!
//! The engine is given a function without surroundings, so what is planted lies beside the thread that plays.

use std::cell::RefCell;

use domain::name::StreamId;

use crate::chance::Chance;

/// Stands in why a stream was quarantined: no other reason may.
pub(crate) const PLANTED: &str = "a planted defect";

const OF_RUNS: [&str; 10] = [
    "Report",
    "LeaseEnded",
    "MeasureDue",
    "BakeOver",
    "SlotGranted",
    "PrepareDone",
    "ShiftObserved",
    "Approve",
    "Pause",
    "LiveChanged",
];
const OF_TARGETS: [&str; 8] =
    ["Report", "AskSlot", "PrepareRelease", "ShiftWeights", "TakeLive", "ReportRoutes", "Freeze", "RollBack"];

type Planted = (StreamId, &'static str);

thread_local! {
    static DEFECTS: RefCell<Vec<Planted>> = const { RefCell::new(vec![]) };
}

/// Fails where something is planted.
pub(crate) fn strike(stream: &StreamId, input: &'static str) {
    let hits = DEFECTS.with_borrow(|planted| planted.iter().any(|it| it.0 == *stream && it.1 == input));
    if hits {
        // Without the words that a panic prints.
        std::panic::resume_unwind(Box::new(PLANTED));
    }
}

/// From now on the stream's decision fails on one kind of input, which is told.
pub(crate) fn plant(stream: StreamId, chance: &mut Chance) -> &'static str {
    let input = match stream {
        StreamId::Run(_) => chance.pick(&OF_RUNS),
        StreamId::Target(_) | StreamId::Definitions => chance.pick(&OF_TARGETS),
    };
    DEFECTS.with_borrow_mut(|planted| planted.push((stream, input)));
    input
}

/// A newer binary has none of it.
pub(crate) fn mend() {
    DEFECTS.with_borrow_mut(Vec::clear);
}
