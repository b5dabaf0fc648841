//! What happened to a run: facts, past tense, written for good. An event carries every time that the state
//! depends on, since folding has no clock.

use std::sync::Arc;

use super::input::{Input, Start};
use super::state::{End, Purpose, Run, WaitFor};
use crate::check::Judgement;
use crate::evidence::{BlobRef, Evidence, Text};
use crate::model::Release;
use crate::name::{CheckName, Digest, Role, StageName, Subject};
use crate::routes::Generation;
use crate::time::Timestamp;
use crate::verdict::Verdict;
use crate::weight::Weight;
use crate::work::{Bundle, Planned};

#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    Started {
        start: Arc<Start>,
        at: Timestamp,
    },
    /// The stage is held against `live`, the release that served the target at this moment.
    StageBegan {
        stage: StageName,
        live: Option<Release>,
        at: Timestamp,
    },
    /// Another release serves the target than the one it was held against.
    LiveNoted {
        live: Option<Release>,
    },
    StageSkipped {
        stage: StageName,
        why: Text,
    },
    WaitBegan {
        stage: StageName,
        on: WaitFor,
        at: Timestamp,
    },

    AttemptIssued {
        stage: StageName,
        attempt: u32,
        purpose: Purpose,
        at: Timestamp,
    },
    /// With `retry_at` the stage tries again then.
    AttemptFailed {
        stage: StageName,
        attempt: u32,
        code: Text,
        reason: Text,
        retry_at: Option<Timestamp>,
    },
    AttemptDeclined {
        stage: StageName,
        attempt: u32,
        reason: Text,
    },
    AttemptExpired {
        stage: StageName,
        attempt: u32,
        heard_at: Option<Timestamp>,
        retry_at: Option<Timestamp>,
    },
    AttemptCancelled {
        stage: StageName,
        attempt: u32,
    },

    EvidenceRecorded {
        stage: StageName,
        attempt: u32,
        evidence: Arc<Evidence>,
        at: Timestamp,
    },
    BundlePacked {
        stage: StageName,
        attempt: u32,
        evidence: Arc<Evidence>,
        bundle: Arc<Bundle>,
        at: Timestamp,
    },
    PlanMade {
        stage: StageName,
        attempt: u32,
        plan: Planned,
    },
    ApproversNotified {
        stage: StageName,
        attempt: u32,
        review: Option<BlobRef>,
        delivered: Vec<Text>,
    },

    CheckJudged {
        stage: StageName,
        check: CheckName,
        judgement: Arc<Judgement>,
    },
    StageJudged {
        stage: StageName,
        verdict: Verdict,
        why: Text,
        at: Timestamp,
    },
    StageGaveUp {
        stage: StageName,
        why: Text,
    },
    StageReopened {
        stage: StageName,
        why: Text,
    },
    /// The evidence of a stage no longer counts.
    EvidenceVoided {
        stage: StageName,
        cause: Text,
    },

    PolicyJudged {
        stage: StageName,
        verdict: Verdict,
        terms: Arc<Vec<PolicyTerm>>,
    },
    ApprovalAsked {
        stage: StageName,
        evidence: Digest,
        expires_at: Timestamp,
    },
    Approved {
        stage: StageName,
        role: Role,
        by: Subject,
        rationale: Text,
        evidence: Digest,
        roles: Digest,
    },
    ApprovalRefused {
        stage: StageName,
        role: Role,
        by: Subject,
        rationale: Text,
        evidence: Digest,
        roles: Digest,
    },
    /// The votes so far no longer count.
    ApprovalLapsed {
        stage: StageName,
        cause: Text,
    },

    SlotTaken {
        stage: StageName,
    },
    StepEntered {
        stage: StageName,
        step: u32,
        weight: Weight,
        at: Timestamp,
    },
    ReleasePrepared {
        stage: StageName,
    },
    WeightRequested {
        stage: StageName,
        generation: Generation,
        weight: Weight,
        at: Timestamp,
    },
    WeightObserved {
        stage: StageName,
        generation: Generation,
        at: Timestamp,
    },
    StepJudged {
        stage: StageName,
        step: u32,
        verdict: Verdict,
        why: Text,
    },
    /// The rollout stays where it is until somebody or something releases it.
    StepHeld {
        stage: StageName,
        why: Text,
    },
    StepReleased {
        stage: StageName,
        why: Text,
    },
    WentLive {
        generation: Generation,
        restored: bool,
        at: Timestamp,
    },
    WentStandby {
        by: Release,
    },

    WindowJudged {
        stage: StageName,
        from: Timestamp,
        to: Timestamp,
        verdict: Verdict,
    },
    AlertRaised {
        stage: StageName,
        check: CheckName,
        why: Text,
    },
    AlertCleared {
        stage: StageName,
        check: CheckName,
    },
    IncidentOpened {
        why: Text,
    },

    Paused {
        by: Subject,
        reason: Text,
        at: Timestamp,
    },
    Resumed {
        by: Subject,
        reason: Text,
        at: Timestamp,
    },
    AbortAsked {
        by: Subject,
        reason: Text,
    },
    PromotionAsked {
        by: Subject,
        to: Option<Weight>,
        reason: Text,
    },

    /// Traffic is being taken away; `end` is how the run will end.
    RollbackBegan {
        end: End,
        cause: Text,
        at: Timestamp,
    },
    /// `seconds_from_verdict`: from `RollbackBegan` to the last gateway. `requests_exposed`: what the candidate
    /// answered in all; nothing when it could not be told.
    RollbackEnded {
        seconds_from_verdict: f64,
        requests_exposed: Option<u64>,
        at: Timestamp,
    },
    Ended {
        end: End,
        why: Text,
        at: Timestamp,
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
        carried: Arc<Run>,
        at: Timestamp,
    },
}

/// One term of a policy, as it was judged.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyTerm {
    pub name: Text,
    pub text: Text,
    pub verdict: Verdict,
    /// Each sub-term with its value, as text.
    pub values: Vec<(Text, Text)>,
}

impl Event {
    /// The event's name, as it stands in the log and in tables.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Started { .. } => "Started",
            Self::StageBegan { .. } => "StageBegan",
            Self::LiveNoted { .. } => "LiveNoted",
            Self::StageSkipped { .. } => "StageSkipped",
            Self::WaitBegan { .. } => "WaitBegan",
            Self::AttemptIssued { .. } => "AttemptIssued",
            Self::AttemptFailed { .. } => "AttemptFailed",
            Self::AttemptDeclined { .. } => "AttemptDeclined",
            Self::AttemptExpired { .. } => "AttemptExpired",
            Self::AttemptCancelled { .. } => "AttemptCancelled",
            Self::EvidenceRecorded { .. } => "EvidenceRecorded",
            Self::BundlePacked { .. } => "BundlePacked",
            Self::PlanMade { .. } => "PlanMade",
            Self::ApproversNotified { .. } => "ApproversNotified",
            Self::CheckJudged { .. } => "CheckJudged",
            Self::StageJudged { .. } => "StageJudged",
            Self::StageGaveUp { .. } => "StageGaveUp",
            Self::StageReopened { .. } => "StageReopened",
            Self::EvidenceVoided { .. } => "EvidenceVoided",
            Self::PolicyJudged { .. } => "PolicyJudged",
            Self::ApprovalAsked { .. } => "ApprovalAsked",
            Self::Approved { .. } => "Approved",
            Self::ApprovalRefused { .. } => "ApprovalRefused",
            Self::ApprovalLapsed { .. } => "ApprovalLapsed",
            Self::SlotTaken { .. } => "SlotTaken",
            Self::StepEntered { .. } => "StepEntered",
            Self::ReleasePrepared { .. } => "ReleasePrepared",
            Self::WeightRequested { .. } => "WeightRequested",
            Self::WeightObserved { .. } => "WeightObserved",
            Self::StepJudged { .. } => "StepJudged",
            Self::StepHeld { .. } => "StepHeld",
            Self::StepReleased { .. } => "StepReleased",
            Self::WentLive { .. } => "WentLive",
            Self::WentStandby { .. } => "WentStandby",
            Self::WindowJudged { .. } => "WindowJudged",
            Self::AlertRaised { .. } => "AlertRaised",
            Self::AlertCleared { .. } => "AlertCleared",
            Self::IncidentOpened { .. } => "IncidentOpened",
            Self::Paused { .. } => "Paused",
            Self::Resumed { .. } => "Resumed",
            Self::AbortAsked { .. } => "AbortAsked",
            Self::PromotionAsked { .. } => "PromotionAsked",
            Self::RollbackBegan { .. } => "RollbackBegan",
            Self::RollbackEnded { .. } => "RollbackEnded",
            Self::Ended { .. } => "Ended",
            Self::StreamQuarantined { .. } => "StreamQuarantined",
            Self::InputHeld { .. } => "InputHeld",
            Self::QuarantineResolved { .. } => "QuarantineResolved",
            Self::InputReleased { .. } => "InputReleased",
            Self::ChapterOpened { .. } => "ChapterOpened",
        }
    }
}
