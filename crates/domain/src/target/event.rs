//! What happened at a target: facts, past tense, written for good.

use std::sync::Arc;

use super::input::Input;
use super::state::{Errand, Target};
use crate::evidence::Text;
use crate::model::Release;
use crate::name::{Digest, RunId, Subject, TargetId, Version};
use crate::routes::{Generation, RouteTable};
use crate::time::Timestamp;
use crate::work::{GatewayObserved, ServerLoaded};

#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    RunEntered {
        target: TargetId,
        run: RunId,
        version: Version,
        artifact: Digest,
    },
    RunSuperseded {
        run: RunId,
        by: RunId,
    },
    /// The run ended.
    RunLeft {
        run: RunId,
    },
    /// The run is quarantined, or no longer.
    QuarantineNoted {
        run: RunId,
        quarantined: bool,
    },
    SlotGranted {
        run: RunId,
    },
    RunQueued {
        run: RunId,
        position: u32,
    },
    SlotLeft {
        run: RunId,
    },

    /// The slot's holder wants it loaded.
    ReleaseWanted {
        run: RunId,
        release: Release,
    },
    /// What a server has loaded; replaces what was known of it, downwards too.
    ReleaseLoaded {
        servers: Vec<ServerLoaded>,
        attempt: Option<u32>,
    },
    /// The intended traffic changed.
    GenerationRaised {
        table: RouteTable,
        cause: Text,
        run: Option<RunId>,
        at: Timestamp,
    },
    /// What gateways obey; replaces what was known of them, downwards too.
    RoutesObserved {
        gateways: Vec<GatewayObserved>,
        attempt: Option<u32>,
    },
    /// A gateway was heard last so long before others that it is not waited for any more.
    GatewayMissing {
        gateway: Text,
        heard_at: Timestamp,
    },
    /// A server was heard last so long before others that it is not waited for any more.
    ServerMissing {
        server: Text,
        heard_at: Timestamp,
    },
    /// `to` serves the target. Nothing when nobody does any more.
    LiveChanged {
        from: Option<Release>,
        to: Option<Release>,
        generation: Generation,
        warm_until: Option<Timestamp>,
        at: Timestamp,
    },
    /// The release is to leave: by its workflow's rule, or by a person.
    ReleaseRolledBack {
        release: Release,
        to: Option<Release>,
        cause: Text,
        by: Option<Subject>,
    },
    ReleaseKilled {
        release: Release,
        by: Subject,
        reason: Text,
    },
    ReleaseAdopted {
        target: TargetId,
        release: Release,
        by: Subject,
        reason: Text,
        at: Timestamp,
    },
    /// The last good release is no longer kept loaded.
    ReleaseCooled {
        release: Release,
    },
    /// A gateway's own kill switch is on.
    OverrideObserved {
        gateway: Text,
        release: Option<Release>,
    },

    TargetFrozen {
        until: Option<Timestamp>,
        by: Option<Subject>,
        reason: Text,
    },
    TargetUnfrozen {
        by: Option<Subject>,
        reason: Text,
    },

    AttemptIssued {
        attempt: u32,
        what: Errand,
        at: Timestamp,
    },
    AttemptFailed {
        attempt: u32,
        what: Errand,
        code: Text,
        reason: Text,
        retry_at: Timestamp,
    },
    AttemptExpired {
        attempt: u32,
        what: Errand,
        heard_at: Option<Timestamp>,
        retry_at: Timestamp,
    },
    AttemptDeclined {
        attempt: u32,
        what: Errand,
        reason: Text,
    },
    AttemptCancelled {
        attempt: u32,
        what: Errand,
    },

    /// Nothing is decided on it until it is resolved: it stays at its last good state.
    StreamQuarantined {
        why: Text,
        /// The next event holds the input that failed; or the first one held did.
        holds_cause: bool,
        at: Timestamp,
    },
    /// Kept, to be decided when the quarantine is resolved.
    InputHeld {
        input: Box<Input>,
        at: Timestamp,
    },
    /// What is held is decided from here on. `dropped` is not: the input that failed, by its name.
    QuarantineResolved {
        by: Subject,
        reason: Text,
        dropped: Option<Text>,
        at: Timestamp,
    },
    /// What follows in this step was decided on the held input of this number.
    InputReleased {
        number: u64,
        input: Text,
        refused: Option<Text>,
    },
    /// A chapter begins with all that is true: what stands before need not be read to go on.
    ChapterOpened {
        carried: Arc<Target>,
        at: Timestamp,
    },
}

impl Event {
    /// The event's name, as it stands in the log and in tables.
    pub fn name(&self) -> &'static str {
        match self {
            Self::RunEntered { .. } => "RunEntered",
            Self::RunSuperseded { .. } => "RunSuperseded",
            Self::RunLeft { .. } => "RunLeft",
            Self::QuarantineNoted { .. } => "QuarantineNoted",
            Self::SlotGranted { .. } => "SlotGranted",
            Self::RunQueued { .. } => "RunQueued",
            Self::SlotLeft { .. } => "SlotLeft",
            Self::ReleaseWanted { .. } => "ReleaseWanted",
            Self::ReleaseLoaded { .. } => "ReleaseLoaded",
            Self::GenerationRaised { .. } => "GenerationRaised",
            Self::RoutesObserved { .. } => "RoutesObserved",
            Self::GatewayMissing { .. } => "GatewayMissing",
            Self::ServerMissing { .. } => "ServerMissing",
            Self::LiveChanged { .. } => "LiveChanged",
            Self::ReleaseRolledBack { .. } => "ReleaseRolledBack",
            Self::ReleaseKilled { .. } => "ReleaseKilled",
            Self::ReleaseAdopted { .. } => "ReleaseAdopted",
            Self::ReleaseCooled { .. } => "ReleaseCooled",
            Self::OverrideObserved { .. } => "OverrideObserved",
            Self::TargetFrozen { .. } => "TargetFrozen",
            Self::TargetUnfrozen { .. } => "TargetUnfrozen",
            Self::AttemptIssued { .. } => "AttemptIssued",
            Self::AttemptFailed { .. } => "AttemptFailed",
            Self::AttemptExpired { .. } => "AttemptExpired",
            Self::AttemptDeclined { .. } => "AttemptDeclined",
            Self::AttemptCancelled { .. } => "AttemptCancelled",
            Self::StreamQuarantined { .. } => "StreamQuarantined",
            Self::InputHeld { .. } => "InputHeld",
            Self::QuarantineResolved { .. } => "QuarantineResolved",
            Self::InputReleased { .. } => "InputReleased",
            Self::ChapterOpened { .. } => "ChapterOpened",
        }
    }
}
