//! What can be said to a run: by the trigger, by people, by workers, by moments that have come, by its target.

use std::sync::Arc;

use crate::definition::Pinned;
use crate::evidence::Text;
use crate::model::{Release, Trained};
use crate::name::{AttemptId, Digest, Role, RunId, StageName, TargetId};
use crate::quarantine::Origin;
use crate::roles::{Actor, RoleMap};
use crate::routes::Generation;
use crate::time::Timestamp;
use crate::weight::Weight;
use crate::work::Outcome;
use crate::workflow::Workflow;

/// All that a run starts from.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    pub run: RunId,
    pub target: TargetId,
    pub trained: Arc<Trained>,
    pub workflow: Pinned<Workflow>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    // The trigger.
    Start(Box<Start>),

    // People and tools. `roles` is the role map in force, added by the engine.
    Approve {
        actor: Actor,
        roles: Pinned<RoleMap>,
        stage: StageName,
        role: Role,
        rationale: Text,
        evidence: Digest,
    },
    Reject {
        actor: Actor,
        roles: Pinned<RoleMap>,
        stage: StageName,
        role: Role,
        rationale: Text,
        evidence: Digest,
    },
    Pause {
        actor: Actor,
        roles: Pinned<RoleMap>,
        reason: Text,
    },
    Resume {
        actor: Actor,
        roles: Pinned<RoleMap>,
        reason: Text,
    },
    Abort {
        actor: Actor,
        roles: Pinned<RoleMap>,
        reason: Text,
    },
    /// Goes on to the next step, or as far as `to`, without waiting for more evidence.
    Promote {
        actor: Actor,
        roles: Pinned<RoleMap>,
        to: Option<Weight>,
        reason: Text,
    },
    /// Lifts a quarantine: what is held is decided then, in order. With `drop` the input that failed is not.
    Resolve {
        actor: Actor,
        roles: Pinned<RoleMap>,
        drop: bool,
        reason: Text,
    },
    /// Tries a stage again that gave up or waits for its backoff.
    Retry {
        actor: Actor,
        roles: Pinned<RoleMap>,
        stage: StageName,
        reason: Text,
    },

    // Workers.
    Report {
        attempt: AttemptId,
        outcome: Outcome,
    },
    Decline {
        attempt: AttemptId,
        reason: Text,
    },

    // Moments.
    LeaseEnded {
        attempt: AttemptId,
        heard_at: Option<Timestamp>,
    },
    BackoffOver {
        stage: StageName,
    },
    StageTimedOut {
        stage: StageName,
    },
    GateExpired {
        stage: StageName,
    },
    MeasureDue {
        stage: StageName,
    },
    BakeOver {
        stage: StageName,
    },
    StepDeadline {
        stage: StageName,
    },
    LeaveDeadline,
    WindowOver {
        stage: StageName,
    },
    /// The next held input is to be decided.
    HeldDue {
        number: u64,
    },

    // Answers and news of its target.
    Entered {
        live: Option<Release>,
        frozen: bool,
    },
    EntryRefused {
        why: Text,
    },
    SlotGranted,
    SlotRefused {
        why: Text,
    },
    Thawed,
    PrepareDone,
    PrepareFailed {
        why: Text,
    },
    ShiftAccepted {
        generation: Generation,
    },
    ShiftRefused {
        why: ShiftRefusal,
    },
    ShiftObserved {
        generation: Generation,
    },
    Superseded {
        by: RunId,
    },
    LiveChanged {
        to: Option<Release>,
        generation: Generation,
    },
    LeaveOrdered {
        cause: Text,
        generation: Generation,
    },
    Replaced {
        by: Release,
    },
    Restored {
        generation: Generation,
    },
    ReleaseEnded {
        why: Text,
    },
}

/// Why a target would not move its traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShiftRefusal {
    Frozen,
    /// Only the slot's holder may raise its share.
    NoSlot,
    NotLoaded,
    /// There is nothing to roll back to.
    NoLastGood,
}

impl ShiftRefusal {
    pub const ALL: [Self; 4] = [Self::Frozen, Self::NoSlot, Self::NotLoaded, Self::NoLastGood];

    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Frozen => "frozen",
            Self::NoSlot => "no_slot",
            Self::NotLoaded => "not_loaded",
            Self::NoLastGood => "no_last_good",
        }
    }
}

impl Input {
    /// The input's name, as it stands in the log and in tables.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Start(_) => "Start",
            Self::Approve { .. } => "Approve",
            Self::Reject { .. } => "Reject",
            Self::Pause { .. } => "Pause",
            Self::Resume { .. } => "Resume",
            Self::Abort { .. } => "Abort",
            Self::Promote { .. } => "Promote",
            Self::Resolve { .. } => "Resolve",
            Self::Retry { .. } => "Retry",
            Self::Report { .. } => "Report",
            Self::Decline { .. } => "Decline",
            Self::LeaseEnded { .. } => "LeaseEnded",
            Self::BackoffOver { .. } => "BackoffOver",
            Self::StageTimedOut { .. } => "StageTimedOut",
            Self::GateExpired { .. } => "GateExpired",
            Self::MeasureDue { .. } => "MeasureDue",
            Self::BakeOver { .. } => "BakeOver",
            Self::StepDeadline { .. } => "StepDeadline",
            Self::LeaveDeadline => "LeaveDeadline",
            Self::WindowOver { .. } => "WindowOver",
            Self::HeldDue { .. } => "HeldDue",
            Self::Entered { .. } => "Entered",
            Self::EntryRefused { .. } => "EntryRefused",
            Self::SlotGranted => "SlotGranted",
            Self::SlotRefused { .. } => "SlotRefused",
            Self::Thawed => "Thawed",
            Self::PrepareDone => "PrepareDone",
            Self::PrepareFailed { .. } => "PrepareFailed",
            Self::ShiftAccepted { .. } => "ShiftAccepted",
            Self::ShiftRefused { .. } => "ShiftRefused",
            Self::ShiftObserved { .. } => "ShiftObserved",
            Self::Superseded { .. } => "Superseded",
            Self::LiveChanged { .. } => "LiveChanged",
            Self::LeaveOrdered { .. } => "LeaveOrdered",
            Self::Replaced { .. } => "Replaced",
            Self::Restored { .. } => "Restored",
            Self::ReleaseEnded { .. } => "ReleaseEnded",
        }
    }

    /// Who asked, when a person or tool did.
    pub fn actor(&self) -> Option<&Actor> {
        match self {
            Self::Approve { actor, .. }
            | Self::Reject { actor, .. }
            | Self::Pause { actor, .. }
            | Self::Resume { actor, .. }
            | Self::Abort { actor, .. }
            | Self::Promote { actor, .. }
            | Self::Resolve { actor, .. }
            | Self::Retry { actor, .. } => Some(actor),
            _ => None,
        }
    }

    /// The attempt that a worker answers with it.
    pub fn answers(&self) -> Option<&AttemptId> {
        match self {
            Self::Report { attempt, .. } | Self::Decline { attempt, .. } => Some(attempt),
            _ => None,
        }
    }

    /// Who says it, as far as holding it matters.
    pub fn origin(&self) -> Origin {
        match self {
            Self::Start(_)
            | Self::Approve { .. }
            | Self::Reject { .. }
            | Self::Pause { .. }
            | Self::Resume { .. }
            | Self::Abort { .. }
            | Self::Promote { .. }
            | Self::Resolve { .. }
            | Self::Retry { .. }
            | Self::Report { .. }
            | Self::Decline { .. } => Origin::Outside,
            Self::LeaseEnded { .. }
            | Self::BackoffOver { .. }
            | Self::StageTimedOut { .. }
            | Self::GateExpired { .. }
            | Self::MeasureDue { .. }
            | Self::BakeOver { .. }
            | Self::StepDeadline { .. }
            | Self::LeaveDeadline
            | Self::WindowOver { .. } => Origin::Moment,
            Self::HeldDue { .. } => Origin::Release,
            Self::Entered { .. }
            | Self::EntryRefused { .. }
            | Self::SlotGranted
            | Self::SlotRefused { .. }
            | Self::Thawed
            | Self::PrepareDone
            | Self::PrepareFailed { .. }
            | Self::ShiftAccepted { .. }
            | Self::ShiftRefused { .. }
            | Self::ShiftObserved { .. }
            | Self::Superseded { .. }
            | Self::LiveChanged { .. }
            | Self::LeaveOrdered { .. }
            | Self::Replaced { .. }
            | Self::Restored { .. }
            | Self::ReleaseEnded { .. } => Origin::Tell,
        }
    }
}
