//! What a story may be told with, and what it reports.

use std::collections::BTreeMap;

use domain::name::Digest;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How many things people and training do in the stormy phase.
    pub acts: u64,
    /// How many faults are planned: crashes and failed writes of one process, or those of [`Fault::CLUSTER`].
    pub faults: u64,
    /// How many of [`Fault::HINDRANCES`] are planned besides.
    pub hindrances: u64,
    /// The process is ended as it takes this event from the queue, too.
    pub crash_at: Option<u64>,
    pub sabotage: Option<Sabotage>,
    /// How many lines of the trace a violation keeps.
    pub trace_lines: usize,
}

/// Enough to see what led to most violations.
const TRACE_LINES: usize = 80;

impl Options {
    /// Of a story of one embedded process.
    pub fn embedded() -> Self {
        Self { acts: 10, faults: 3, hindrances: 2, crash_at: None, sabotage: None, trace_lines: TRACE_LINES }
    }

    /// Of a story of several processes over one log.
    pub fn cluster() -> Self {
        Self { acts: 8, faults: 6, hindrances: 1, crash_at: None, sabotage: None, trace_lines: TRACE_LINES }
    }
}

/// A guard taken away in the simulated world, to see that its absence is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sabotage {
    // In one process.
    /// A start finds summary rows that do not say what is outstanding.
    RowWithoutEffects,
    /// Of the moments that the view has, only the first are ever read.
    MomentsNotReadOn,
    /// A state that the view keeps misses a record that it is said to have.
    KeptStateMissesARecord,
    /// What a start sends out again gets lost.
    OrdersLostAtStart,
    /// A record is written with the clock's time though that went back.
    ClockWithoutMax,
    /// Signs of life are not told to the engine.
    LeaseFromSending,
    /// A gateway obeys whatever it is told last.
    NoGenerationCheck,
    /// A model server does whatever it is told last.
    NoAttemptCheck,
    /// A write is acknowledged and lost in a crash.
    AcknowledgedBeforeSync,
    /// Whoever asks again does so under another identity.
    DuplicatesNotRecognised,
    /// After a crash the view says that it stands where it was only to be written to.
    HeadNotReached,
    /// The engine takes commands for safe that only it could bring again.
    CommandsNotBroughtAgain,
    /// What desks write down is gone with the process.
    JournalInMemory,
    /// That an attempt was heard of is recorded.
    HeartbeatAsInput,
    // In a cluster.
    /// A process takes its record for accepted when the log acknowledges it.
    ActOnAcknowledgement,
    /// A process takes whatever comes under the `seq` of its own record for that.
    OwnBySeq,
    /// After a doubt the lanes are read on from where they were.
    LanesNotReadAgain,
    /// An owner begins to read the lanes where the consumer group says.
    PositionsFromGroup,
    /// One process does not see records of foreign transactions that were given up.
    ReadCommitted,
    /// A record follows the last one that is no claim.
    HashWithoutClaim,
    /// A record is deleted from the middle of the log.
    RecordDeleted,
    /// The same, and nobody minds a gap.
    GapRuleOff,
    /// A new owner sends nothing out again.
    DispatchedDroppedAtTakeover,
    /// Commands count as dispatched when they are sent.
    DispatchedBeforeAcknowledged,
    /// What is decided on a run and on its target are two records.
    SplitTransition,
    /// Workers write nothing down.
    NoJournal,
    /// The topic of tables keeps the last of each target, not the last of each generation.
    RoutesKeyedByTarget,
    /// Who gathers commits does not give them to the view before it steps back.
    StepsBackUncommitted,
}

impl Sabotage {
    pub const EMBEDDED: [Self; 14] = [
        Self::RowWithoutEffects,
        Self::MomentsNotReadOn,
        Self::KeptStateMissesARecord,
        Self::OrdersLostAtStart,
        Self::ClockWithoutMax,
        Self::LeaseFromSending,
        Self::NoGenerationCheck,
        Self::NoAttemptCheck,
        Self::AcknowledgedBeforeSync,
        Self::DuplicatesNotRecognised,
        Self::HeadNotReached,
        Self::CommandsNotBroughtAgain,
        Self::JournalInMemory,
        Self::HeartbeatAsInput,
    ];

    pub const CLUSTER: [Self; 14] = [
        Self::ActOnAcknowledgement,
        Self::OwnBySeq,
        Self::LanesNotReadAgain,
        Self::PositionsFromGroup,
        Self::ReadCommitted,
        Self::HashWithoutClaim,
        Self::RecordDeleted,
        Self::GapRuleOff,
        Self::DispatchedDroppedAtTakeover,
        Self::DispatchedBeforeAcknowledged,
        Self::SplitTransition,
        Self::NoJournal,
        Self::RoutesKeyedByTarget,
        Self::StepsBackUncommitted,
    ];
}

/// What went wrong on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    // Of one process; each seed plans some of them.
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
    /// A start dies before the view has all of the log.
    CrashCatchingUp,
    /// As the story is told to: see [`Options::crash_at`].
    CrashAtStep,
    /// A crash was of the machine, not of the process.
    PowerLost,
    /// What the view was behind by was lost in a crash.
    ViewBehind,
    /// Of the journal, what was not synced.
    JournalUnsynced,
    /// With a write that did not land, what stood before it.
    TornWrite,
    // Of both worlds; each seed plans some of them.
    /// No gateway of a target, or some, can be reached or heard for a while.
    GatewaySilent,
    /// The core fails on some inputs of a stream.
    CoreDefect,
    // Of a cluster; each seed plans some of them.
    /// Between two actions of a process.
    CrashBetweenActions,
    /// A process stands still between two actions, and goes on with them much later.
    Paused,
    AppendLost,
    /// Much later, perhaps after others' claims.
    AppendLate,
    /// Twice.
    AppendDoubled,
    /// In another order.
    AppendReordered,
    /// Within a foreign transaction that was given up.
    AppendAborted,
    /// Landed, and the process does not know.
    AppendUnseen,
    /// Somebody else is to own as well.
    TwoOwners,
    DiskFull,
    LogAway,
    ClockSuspect,
    WorkerCrash,
    // Whatever else may happen.
    /// What a process wrote last into its view is lost in a crash.
    ViewUnsynced,
    ViewLost,
    /// Told late, or never, that somebody else is to own.
    RevokedLate,
    CommandLost,
    CommandUnacknowledged,
    CancelLost,
    OutcomeLost,
    HeartbeatLost,
    /// A defect hit.
    Quarantined,
    /// A binary that knows an older format than the log.
    OldBinary,
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
    /// Those that end the one process.
    pub const CRASHES: [Self; 7] = [
        Self::CrashBeforePass,
        Self::CrashWriteLost,
        Self::CrashWriteLanded,
        Self::CrashBeforeDispatch,
        Self::CrashAtWork,
        Self::WriteErrorLost,
        Self::WriteErrorLanded,
    ];

    /// Those that pass without anybody ending: of one process all, of a cluster the last two.
    pub const HINDRANCES: [Self; 4] =
        [Self::DiskFull, Self::ClockSuspect, Self::GatewaySilent, Self::CoreDefect];

    /// Those that a story of several processes plans.
    pub const CLUSTER: [Self; 13] = [
        Self::CrashBetweenActions,
        Self::Paused,
        Self::AppendLost,
        Self::AppendLate,
        Self::AppendDoubled,
        Self::AppendReordered,
        Self::AppendAborted,
        Self::AppendUnseen,
        Self::TwoOwners,
        Self::DiskFull,
        Self::LogAway,
        Self::ClockSuspect,
        Self::WorkerCrash,
    ];
}

/// What happened in the story of one seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub seed: u64,
    /// How many events the driver took from its queue.
    pub steps: u64,
    pub faults: BTreeMap<Fault, u64>,
    /// How often each fault was planned.
    pub planned: BTreeMap<Fault, u64>,
    pub runs: u64,
    /// How the runs stand at the end, counted.
    pub ends: BTreeMap<&'static str, u64>,
    pub transitions: u64,
    /// Chapters that were opened.
    pub chapters: u64,
    /// What workers did outside, held against the log.
    pub effects: u64,
    /// Records that were read and did not fit.
    pub losers: u64,
    /// Appends of which a process did not know whether they landed.
    pub doubts: u64,
    pub claims: u64,
    pub claims_lost: u64,
    /// How often an owner gave way to another's record, or to a loser of its own.
    pub displaced: u64,
    pub formats_raised: u64,
    /// Of everything that happened, in order.
    pub trace_hash: Digest,
}

impl Report {
    pub fn count(&self, fault: Fault) -> u64 {
        self.faults.get(&fault).copied().unwrap_or(0)
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
