//! Why a run refuses an input.

use crate::quarantine::HELD_FULL;
use crate::refusal::{Kind, Refusal};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("expected to {verb} a run that is under way, but there is none of this id")]
    Unknown { verb: &'static str },
    #[error("expected to start a run, but it was started already")]
    AlreadyStarted,
    #[error("expected to {verb} a run, but it has already ended ({end})")]
    AlreadyEnded { verb: &'static str, end: &'static str },
    #[error("expected to {verb} a run, but it is {actual}")]
    WrongState { verb: &'static str, actual: String },
    #[error("expected an answer to an open attempt, but attempt {attempt} is closed or unknown")]
    Late { attempt: u32 },
    #[error("expected an answer of kind {expected}, but the attempt was answered with {found}")]
    WrongOutcome { expected: &'static str, found: &'static str },
    #[error("expected to {verb} stage `{stage}`, but the workflow has no such stage")]
    NoSuchStage { verb: &'static str, stage: String },
    #[error("expected to {verb} gate `{stage}`, but it is {actual}")]
    GateClosed { verb: &'static str, stage: String, actual: String },
    #[error("expected to {verb} as a holder of the role {role}, but {subject} is not one")]
    NotEntitled { verb: &'static str, role: String, subject: String },
    #[error("expected to {verb} in a role that the gate asks for, but it does not ask for {role}")]
    RoleNotAsked { verb: &'static str, role: String },
    #[error(
        "expected to {verb} somebody else's model, but {subject} is its {part} and the gate asks for four eyes"
    )]
    FourEyes { verb: &'static str, subject: String, part: &'static str },
    #[error("expected to {verb} once per person, but {subject} has voted already")]
    AlreadyVoted { verb: &'static str, subject: String },
    #[error("expected to {verb} on the evidence {expected}, but the vote names {found}")]
    OtherEvidence { verb: &'static str, expected: String, found: String },
    #[error("expected a rationale, but it is empty")]
    NoRationale,
    #[error("expected to promote a rollout to more than it has, but {actual}")]
    NotPromotable { actual: String },
    #[error("expected to resolve a quarantine, but {actual}")]
    NothingToResolve { actual: &'static str },
    #[error("expected room for one more input of a quarantined run, but it holds {held}")]
    HeldFull { held: usize },
    #[error("expected a moment that has come, but it is over")]
    MomentOver,
}

impl Rejection {
    pub fn refusal(&self) -> Refusal {
        let (kind, code, hint): (Kind, &str, Option<&str>) = match self {
            Self::Unknown { .. } => (Kind::State, "UNKNOWN_RUN", Some("list runs with `modelrail runs`")),
            Self::AlreadyStarted => (Kind::Late, "ALREADY_STARTED", None),
            Self::AlreadyEnded { .. } => (
                Kind::State,
                "ALREADY_ENDED",
                Some("an ended run stays ended; publish the model again under a new event id"),
            ),
            Self::WrongState { .. } => {
                (Kind::State, "WRONG_STATE", Some("see what it waits for with `modelrail why RUN`"))
            }
            Self::Late { .. } => (Kind::Late, "LATE", None),
            Self::WrongOutcome { .. } => (Kind::Malformed, "WRONG_OUTCOME", Some("mend the worker")),
            Self::NoSuchStage { .. } => {
                (Kind::Malformed, "NO_SUCH_STAGE", Some("see the stages with `modelrail show RUN`"))
            }
            Self::GateClosed { .. } => {
                (Kind::State, "GATE_CLOSED", Some("see the gate with `modelrail show RUN`"))
            }
            Self::NotEntitled { .. } => (
                Kind::NotEntitled,
                "NOT_ENTITLED",
                Some("an admin can add the role with `modelrail user add NAME --role ROLE`"),
            ),
            Self::RoleNotAsked { .. } => (
                Kind::Malformed,
                "ROLE_NOT_ASKED",
                Some("name one of the roles that `modelrail why RUN` lists"),
            ),
            Self::FourEyes { .. } => (
                Kind::NotEntitled,
                "SOD_VIOLATION",
                Some("ask a person who neither owns nor published the model"),
            ),
            Self::AlreadyVoted { .. } => (Kind::State, "ALREADY_VOTED", Some("another person has to vote")),
            Self::OtherEvidence { .. } => (
                Kind::State,
                "APPROVAL_MISMATCH",
                Some("look at the evidence again and name its digest: `modelrail show RUN`"),
            ),
            Self::NoRationale => {
                (Kind::Malformed, "NO_RATIONALE", Some("say why with --rationale or --reason"))
            }
            Self::NotPromotable { .. } => {
                (Kind::State, "NOT_PROMOTABLE", Some("see the step with `modelrail why RUN`"))
            }
            Self::NothingToResolve { .. } => {
                (Kind::State, "NOTHING_TO_RESOLVE", Some("see what is quarantined with `modelrail why RUN`"))
            }
            Self::HeldFull { .. } => (
                Kind::Busy,
                HELD_FULL,
                Some("resolve the quarantine with `modelrail resolve RUN --reason ...`, then try again"),
            ),
            Self::MomentOver => (Kind::Late, "MOMENT_OVER", None),
        };
        Refusal { kind, code: code.into(), text: self.to_string(), hint: hint.map(Into::into) }
    }
}
