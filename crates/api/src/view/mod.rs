//! The shapes of JSON answers and requests: one file a resource, plain names, read and written by the same types
//! (the CLI reads them with these).
//!
//! **Invariant:** a shape may grow and never changes its meaning. Times are RFC 3339 in UTC, ids and digests are
//! texts, a number that is not finite is absent.
//!
//! Knows nothing of HTTP and nothing of the domain: what fills the shapes stands in `show`.

mod backup;
mod event;
mod explain;
mod problem;
mod request;
mod run;
mod stage;
mod target;
mod transition;
mod user;
mod verify;
mod workflow;

pub use backup::{BackupView, HeadView, NewBackup};
pub use event::{EventAnswer, EventAnswers};
pub use explain::{CheckExplained, Explanation, StageExplained};
pub use problem::{Fault, ProblemBody};
pub use request::{
    RequestAnswer, RequestOutcome, RunRequest, RunRequestKind, TargetRequest, TargetRequestKind,
};
pub use run::{
    ArtifactView, AttemptView, BundleView, LeavingView, ReleaseView, RunLine, RunList, RunView, WaitView,
    WaitsView, WithheldView,
};
pub use stage::{
    BlobView, EvidenceView, FindingView, GateView, JudgementView, MeasurementView, MonitorView, NamedNumber,
    NamedText, PlanView, RolloutView, SeatsView, StageView, StepView, TermView, VoteView,
};
pub use target::{
    ErrandView, FrozenView, GatewayView, HistoryLine, LiveView, RouteView, ServerView, TargetHistory,
    TargetLine, TargetList, TargetView, UnderWayView,
};
pub use transition::{DecidedView, HappenedView, TransitionList, TransitionView};
pub use user::{NewUser, TokenView, UserList, UserView, Who};
pub use verify::{DifferenceView, PartitionVerified, VerifyView};
pub use workflow::{WorkflowLine, WorkflowList, WorkflowStage};
