//! Why a target refuses an input.

use crate::quarantine::HELD_FULL;
use crate::refusal::{Kind, Refusal};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("expected to {verb} a target that is known, but nothing was ever released or adopted there")]
    UnknownTarget { verb: &'static str },
    #[error("expected to {verb} as a holder of the role operator, but {subject} is not one")]
    NotEntitled { verb: &'static str, subject: String },
    #[error("expected to roll back to a release that can serve, but {release} is {actual}")]
    NotARollback { release: String, actual: &'static str },
    #[error("expected to roll back a live release, but nothing is live")]
    NothingLive,
    #[error("expected to kill a release that has or may get traffic, but {release} has none")]
    NotServing { release: String },
    #[error("expected to freeze a target that is not frozen, but it is")]
    AlreadyFrozen,
    #[error("expected to unfreeze a target that is frozen, but it is not")]
    NotFrozen,
    #[error("expected to adopt for a target where nothing is live, but {release} is")]
    AlreadyLive { release: String },
    #[error("expected an answer to an open attempt, but attempt {attempt} is closed or unknown")]
    Late { attempt: u32 },
    #[error("expected an answer of kind {expected}, but the attempt was answered with {found}")]
    WrongOutcome { expected: &'static str, found: &'static str },
    #[error("expected a run that is under way at this target, but {run} is not")]
    NotUnderWay { run: String },
    #[error("expected a reason, but it is empty")]
    NoReason,
    #[error("expected to resolve a quarantine, but {actual}")]
    NothingToResolve { actual: &'static str },
    #[error("expected room for one more input of a quarantined target, but it holds {held}")]
    HeldFull { held: usize },
    #[error("expected a moment that has come, but it is over")]
    MomentOver,
    #[error("expected news, but nothing changed")]
    NothingNew,
}

impl Rejection {
    pub fn refusal(&self) -> Refusal {
        let (kind, code, hint): (Kind, &str, Option<&str>) = match self {
            Self::UnknownTarget { .. } => {
                (Kind::State, "UNKNOWN_TARGET", Some("list targets with `modelrail targets`"))
            }
            Self::NotEntitled { .. } => (
                Kind::NotEntitled,
                "NOT_ENTITLED",
                Some("an admin can add the role with `modelrail user add NAME --role operator`"),
            ),
            Self::NotARollback { .. } => (
                Kind::State,
                "NOT_A_ROLLBACK",
                Some("see what can be rolled back to with `modelrail target show TARGET`"),
            ),
            Self::NothingLive => {
                (Kind::State, "NOTHING_LIVE", Some("see the target with `modelrail target show TARGET`"))
            }
            Self::NotServing { .. } => {
                (Kind::State, "NOT_SERVING", Some("see who serves with `modelrail target show TARGET`"))
            }
            Self::AlreadyFrozen => (Kind::State, "ALREADY_FROZEN", None),
            Self::NotFrozen => (Kind::State, "NOT_FROZEN", None),
            Self::AlreadyLive { .. } => {
                (Kind::State, "ALREADY_LIVE", Some("publish the model to replace what is live"))
            }
            Self::Late { .. } => (Kind::Late, "LATE", None),
            Self::WrongOutcome { .. } => (Kind::Malformed, "WRONG_OUTCOME", Some("mend the worker")),
            Self::NotUnderWay { .. } => (Kind::State, "NOT_UNDER_WAY", None),
            Self::NoReason => (Kind::Malformed, "NO_REASON", Some("say why with --reason")),
            Self::NothingToResolve { .. } => (
                Kind::State,
                "NOTHING_TO_RESOLVE",
                Some("see what is quarantined with `modelrail target show TARGET`"),
            ),
            Self::HeldFull { .. } => (
                Kind::Busy,
                HELD_FULL,
                Some("resolve the quarantine with `modelrail resolve TARGET --reason ...`, then try again"),
            ),
            Self::MomentOver => (Kind::Late, "MOMENT_OVER", None),
            Self::NothingNew => (Kind::Late, "NOTHING_NEW", None),
        };
        Refusal { kind, code: code.into(), text: self.to_string(), hint: hint.map(Into::into) }
    }
}
