//! What can be said to a target: by its runs, by people, by the rollout worker, by moments that have come.

use crate::definition::Pinned;
use crate::evidence::Text;
use crate::model::Release;
use crate::name::{AttemptId, Digest, RunId, TargetId};
use crate::quarantine::Origin;
use crate::roles::{Actor, RoleMap};
use crate::routes::Sticky;
use crate::time::{Millis, Timestamp};
use crate::weight::Weight;
use crate::work::{GatewayObserved, Outcome, ServerLoaded};
use crate::workflow::WhileRunning;

#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    // Runs, within a transition.
    Enter {
        target: TargetId,
        run: RunId,
        version: crate::name::Version,
        artifact: Digest,
        while_running: WhileRunning,
    },
    AskSlot {
        run: RunId,
    },
    /// Gives the slot back: it went live.
    LeaveSlot {
        run: RunId,
    },
    /// The run ended: it is no longer under way.
    Leave {
        run: RunId,
    },
    /// The run is quarantined, or no longer: while it is, it keeps its place.
    NoteQuarantine {
        run: RunId,
        quarantined: bool,
    },
    PrepareRelease {
        run: RunId,
        release: Release,
    },
    /// The run asks for this share for its release; the live release keeps the rest. `weight` nothing takes it
    /// all away.
    ShiftWeights {
        run: RunId,
        release: Release,
        weight: Weight,
        sticky: Sticky,
        cause: Text,
    },
    /// The last step was observed and judged.
    TakeLive {
        run: RunId,
        release: Release,
        keep_warm: Millis,
    },
    /// The run of the live release wants it gone, by its workflow's own rule.
    LeaveLive {
        run: RunId,
        cause: Text,
    },

    // People and tools.
    RollBack {
        actor: Actor,
        roles: Pinned<RoleMap>,
        to: Option<Digest>,
        reason: Text,
    },
    Kill {
        actor: Actor,
        roles: Pinned<RoleMap>,
        bundle: Digest,
        reason: Text,
    },
    Freeze {
        actor: Actor,
        roles: Pinned<RoleMap>,
        until: Option<Timestamp>,
        reason: Text,
    },
    Unfreeze {
        actor: Actor,
        roles: Pinned<RoleMap>,
        reason: Text,
    },
    /// Takes over what already serves, as a stable release without a run.
    Adopt {
        actor: Actor,
        roles: Pinned<RoleMap>,
        target: TargetId,
        release: Release,
        reason: Text,
    },

    /// Lifts a quarantine: what is held is decided then, in order. With `drop` the input that failed is not.
    Resolve {
        actor: Actor,
        roles: Pinned<RoleMap>,
        drop: bool,
        reason: Text,
    },

    // The rollout worker.
    Report {
        attempt: AttemptId,
        outcome: Outcome,
    },
    Decline {
        attempt: AttemptId,
        reason: Text,
    },
    /// What gateways say of themselves, at their start and whenever it changes.
    ReportRoutes {
        gateways: Vec<GatewayObserved>,
    },
    ReportLoaded {
        servers: Vec<ServerLoaded>,
    },

    // Moments.
    LeaseEnded {
        attempt: AttemptId,
        heard_at: Option<Timestamp>,
    },
    BackoffOver {
        what: super::Errand,
    },
    FreezeOver,
    WarmOver,
    /// The next held input is to be decided.
    HeldDue {
        number: u64,
    },
}

impl Input {
    /// The input's name, as it stands in the log and in tables.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Enter { .. } => "Enter",
            Self::AskSlot { .. } => "AskSlot",
            Self::LeaveSlot { .. } => "LeaveSlot",
            Self::Leave { .. } => "Leave",
            Self::NoteQuarantine { .. } => "NoteQuarantine",
            Self::PrepareRelease { .. } => "PrepareRelease",
            Self::ShiftWeights { .. } => "ShiftWeights",
            Self::TakeLive { .. } => "TakeLive",
            Self::LeaveLive { .. } => "LeaveLive",
            Self::RollBack { .. } => "RollBack",
            Self::Kill { .. } => "Kill",
            Self::Freeze { .. } => "Freeze",
            Self::Unfreeze { .. } => "Unfreeze",
            Self::Adopt { .. } => "Adopt",
            Self::Resolve { .. } => "Resolve",
            Self::Report { .. } => "Report",
            Self::Decline { .. } => "Decline",
            Self::ReportRoutes { .. } => "ReportRoutes",
            Self::ReportLoaded { .. } => "ReportLoaded",
            Self::LeaseEnded { .. } => "LeaseEnded",
            Self::BackoffOver { .. } => "BackoffOver",
            Self::FreezeOver => "FreezeOver",
            Self::WarmOver => "WarmOver",
            Self::HeldDue { .. } => "HeldDue",
        }
    }

    /// Who asked, when a person or tool did.
    pub fn actor(&self) -> Option<&Actor> {
        match self {
            Self::RollBack { actor, .. }
            | Self::Kill { actor, .. }
            | Self::Freeze { actor, .. }
            | Self::Unfreeze { actor, .. }
            | Self::Adopt { actor, .. }
            | Self::Resolve { actor, .. } => Some(actor),
            _ => None,
        }
    }

    /// Who says it, as far as holding it matters.
    pub fn origin(&self) -> Origin {
        match self {
            Self::Enter { .. }
            | Self::AskSlot { .. }
            | Self::LeaveSlot { .. }
            | Self::Leave { .. }
            | Self::NoteQuarantine { .. }
            | Self::PrepareRelease { .. }
            | Self::ShiftWeights { .. }
            | Self::TakeLive { .. }
            | Self::LeaveLive { .. } => Origin::Tell,
            Self::RollBack { .. }
            | Self::Kill { .. }
            | Self::Freeze { .. }
            | Self::Unfreeze { .. }
            | Self::Adopt { .. }
            | Self::Resolve { .. }
            | Self::Report { .. }
            | Self::Decline { .. }
            | Self::ReportRoutes { .. }
            | Self::ReportLoaded { .. } => Origin::Outside,
            Self::LeaseEnded { .. } | Self::BackoffOver { .. } | Self::FreezeOver | Self::WarmOver => {
                Origin::Moment
            }
            Self::HeldDue { .. } => Origin::Release,
        }
    }
}
