//! What a story may be told with, and what it reports.

use std::collections::BTreeMap;

use domain::name::Digest;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How many things people and training do in the stormy phase.
    pub acts: u64,
    /// How many crashes and failed writes are planned, at least one.
    pub crashes: u64,
    pub sabotage: Option<Sabotage>,
}

impl Default for Options {
    fn default() -> Self {
        Self { acts: 9, crashes: 3, sabotage: None }
    }
}

/// A guard taken away in the simulated world, to see that its absence is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sabotage {
    /// A start finds summary rows that do not say what is outstanding.
    RowWithoutEffects,
    /// What a start sends out again gets lost.
    OrdersLostAtStart,
    /// A record is written with the clock's time though that went back.
    ClockWithoutMax,
    /// Signs of life are not told to the engine.
    LeaseFromSending,
    /// A gateway obeys whatever it is told last.
    NoGenerationCheck,
    /// A write is acknowledged and lost in a crash.
    AcknowledgedBeforeSync,
    /// Whoever asks again does so under another identity.
    DuplicatesNotRecognised,
}

impl Sabotage {
    pub const ALL: [Self; 7] = [
        Self::RowWithoutEffects,
        Self::OrdersLostAtStart,
        Self::ClockWithoutMax,
        Self::LeaseFromSending,
        Self::NoGenerationCheck,
        Self::AcknowledgedBeforeSync,
        Self::DuplicatesNotRecognised,
    ];
}

/// What went wrong on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    CrashBeforePass,
    /// During a write of which nothing landed.
    CrashWriteLost,
    /// During a write that landed unseen.
    CrashWriteLanded,
    /// After the write, before anything was handed over or answered.
    CrashBeforeDispatch,
    /// While workers were under way.
    CrashAtWork,
    WriteErrorLost,
    WriteErrorLanded,
    JournalLost,
    DuplicateInput,
    DuplicateOrder,
    DuplicateOutcome,
    LateOutcome,
    DeadWorker,
    SlowWorker,
    /// Somebody whose attempt is over acts outside all the same.
    Zombie,
    /// A zombie or a copy that a gateway or server refused.
    Fenced,
    /// The same effect key came again and was recognised.
    Repeated,
    OutsideLost,
    ClockJump,
}

impl Fault {
    /// Those that end the process; each seed plans some of them.
    pub const CRASHES: [Self; 7] = [
        Self::CrashBeforePass,
        Self::CrashWriteLost,
        Self::CrashWriteLanded,
        Self::CrashBeforeDispatch,
        Self::CrashAtWork,
        Self::WriteErrorLost,
        Self::WriteErrorLanded,
    ];
}

/// What happened in the story of one seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub seed: u64,
    /// How many events the driver took from its queue.
    pub steps: u64,
    pub faults: BTreeMap<Fault, u64>,
    /// How many crashes and failed writes were planned.
    pub planned: u64,
    pub runs: u64,
    /// How the runs stand at the end, counted.
    pub ends: BTreeMap<&'static str, u64>,
    pub transitions: u64,
    pub losers: u64,
    /// Of everything that happened, in order.
    pub trace_hash: Digest,
}

impl Report {
    pub fn count(&self, fault: Fault) -> u64 {
        self.faults.get(&fault).copied().unwrap_or(0)
    }

    /// How many of the planned faults happened.
    pub fn injected(&self) -> u64 {
        Fault::CRASHES.into_iter().map(|fault| self.count(fault)).sum()
    }
}

/// Something that must hold and did not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("seed {seed}, step {step}: {text}\nlast of the trace:\n{}", trace.join("\n"))]
pub struct Violation {
    pub seed: u64,
    pub step: u64,
    pub text: String,
    /// The last lines of the trace.
    pub trace: Vec<String>,
}
