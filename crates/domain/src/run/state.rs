//! What is true of a run.

use std::sync::Arc;

use super::event::PolicyTerm;
use super::input::{Input, Start};
use crate::chapter::Chapter;
use crate::check::Judgement;
use crate::evidence::{Evidence, Text};
use crate::model::Release;
use crate::name::{CheckName, Digest, Role, Subject};
use crate::quarantine::{Holding, Quarantine};
use crate::routes::Generation;
use crate::time::Timestamp;
use crate::verdict::Verdict;
use crate::weight::Weight;
use crate::work::{Bundle, Planned};

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Run {
    pub phase: Phase,
    /// Nothing before `Started`.
    pub start: Option<Arc<Start>>,
    pub started_at: Timestamp,
    /// Since when, while paused.
    pub paused_at: Option<Timestamp>,
    pub bundle: Option<Arc<Bundle>>,
    /// One for each stage of the workflow, in its order. Shared with the states before: most events change one.
    pub stages: Vec<Arc<Stage>>,
    /// How many attempts were ever issued: the next one's number is one more.
    pub attempts_issued: u32,
    pub attempts_open: Vec<OpenAttempt>,
    /// The release that served the target when the latest stage began.
    pub live: Option<Release>,
    /// The latest generation that was raised for it.
    pub raised: Option<Generation>,
    pub live_since: Option<Timestamp>,
    pub leaving: Option<Leaving>,
    /// Why it waits, for those waits that no timer or command shows.
    pub waits: Option<WaitFor>,
    pub incidents: u32,
    /// What it holds while it is quarantined, and until all of that is released.
    pub holding: Option<Box<Holding<Input>>>,
    pub chapter: Chapter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Phase {
    #[default]
    Absent,
    Active,
    Live,
    Standby,
    Leaving,
    Ended(End),
}

impl Phase {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Active => "active",
            Self::Live => "live",
            Self::Standby => "standby",
            Self::Leaving => "leaving",
            Self::Ended(end) => end.as_str(),
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// A verdict or a person said no.
    Blocked,
    /// It could not be told or done.
    Failed,
    /// The target would not have it.
    Refused,
    Superseded,
    Aborted,
    RolledBack,
    /// Another release took its place.
    Retired,
}

impl End {
    pub const ALL: [Self; 7] = [
        Self::Blocked,
        Self::Failed,
        Self::Refused,
        Self::Superseded,
        Self::Aborted,
        Self::RolledBack,
        Self::Retired,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Superseded => "superseded",
            Self::Aborted => "aborted",
            Self::RolledBack => "rolled_back",
            Self::Retired => "retired",
        }
    }
}

/// What a run waits for that neither a command nor a timer shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitFor {
    Slot {
        why: Text,
    },
    Thaw,
    Prepare {
        why: Text,
    },
    People,
    /// A rule lacks a fact; judged again when one changes.
    Facts {
        missing: Text,
    },
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Stage {
    pub state: StageState,
    pub began_at: Timestamp,
    /// Tries that failed in a row.
    pub failures: u32,
    /// When the next try begins.
    pub retry_at: Option<Timestamp>,
    /// In force: neither void nor replaced.
    pub evidence: Vec<Arc<Evidence>>,
    /// The latest judgement of each check.
    pub judged: Vec<(CheckName, Arc<Judgement>)>,
    pub gate: Gate,
    pub rollout: Rollout,
    pub monitor: Monitor,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum StageState {
    #[default]
    Pending,
    Skipped(Text),
    Working,
    Waiting,
    Ended(Verdict),
    GaveUp(Text),
}

impl StageState {
    /// Whether the stages after it may begin.
    pub fn is_passed(&self) -> bool {
        matches!(self, Self::Skipped(_) | Self::Ended(Verdict::Pass))
    }
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Working | Self::Waiting)
    }
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Skipped(_) => "skipped",
            Self::Working => "working",
            Self::Waiting => "waiting",
            Self::Ended(verdict) => verdict.as_str(),
            Self::GaveUp(_) => "gave_up",
        }
    }
}

/// Of a gate: the policy's verdict, and the votes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Gate {
    pub policy: Option<Verdict>,
    pub terms: Arc<Vec<PolicyTerm>>,
    /// The digest of the evidence that a vote must name; nothing before people were asked.
    pub asked: Option<Digest>,
    pub expires_at: Option<Timestamp>,
    pub votes: Vec<Vote>,
    /// The digest that the votes named when the gate ended.
    pub decided_on: Option<Digest>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vote {
    pub role: Role,
    pub by: Subject,
    pub evidence: Digest,
}

/// Of a rollout: where it is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rollout {
    pub plan: Option<Planned>,
    pub has_slot: bool,
    /// The step it is in; nothing before the first.
    pub step: Option<u32>,
    pub weight: Weight,
    pub entered_at: Timestamp,
    pub prepared: bool,
    pub requested: Option<Generation>,
    /// The generation that every gateway was seen to obey, and since when.
    pub observed: Option<(Generation, Timestamp)>,
    /// Where the bake of this step counts from: when it was observed, moved on by every pause.
    pub bake_from: Timestamp,
    /// When the first generation with a share for it was observed.
    pub exposed_since: Option<Timestamp>,
    /// The verdict of the latest judged step.
    pub judged: Option<Verdict>,
    /// When the latest look was asked for.
    pub looked_at: Option<Timestamp>,
    pub held: Option<Text>,
}

/// Of a monitor: which window is next.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Monitor {
    /// Where the window that is open now began.
    pub from: Timestamp,
    /// Where the next window begins whose labels are waited for.
    pub late_from: Timestamp,
    pub windows: u64,
    pub last: Option<Verdict>,
    pub alerts: Vec<CheckName>,
}

/// An attempt that has no answer yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenAttempt {
    pub number: u32,
    /// The stage's index.
    pub stage: usize,
    pub purpose: Purpose,
    pub issued_at: Timestamp,
}

/// What an attempt is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    Package,
    Test,
    Plan,
    Notify,
    /// A look at a rollout step.
    Measure,
    /// The last look, after a rollback.
    MeasureLast,
    /// One window of a monitor; `late` when it is looked at again for what labels tell.
    Watch {
        from: Timestamp,
        to: Timestamp,
        late: bool,
    },
}

/// Traffic is being taken away.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaving {
    pub end: End,
    pub cause: Text,
    pub since: Timestamp,
    /// The generation that takes the traffic away.
    pub generation: Option<Generation>,
    pub observed_at: Option<Timestamp>,
    pub overdue: bool,
}

impl Run {
    /// The release it brings; nothing before it is packed.
    pub fn release(&self) -> Option<Release> {
        let start = self.start.as_ref()?;
        let bundle = self.bundle.as_ref()?.digest;
        Some(Release { version: start.trained.version.clone(), bundle, run: Some(start.run) })
    }

    /// Why nothing is decided on it, while that is so.
    pub fn quarantine(&self) -> Option<&Quarantine> {
        self.holding.as_ref()?.quarantine.as_ref()
    }

    pub fn is_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended(_))
    }

    /// The open attempt of a stage for which `wanted` holds.
    pub fn open(&self, stage: usize, wanted: impl Fn(Purpose) -> bool) -> Option<&OpenAttempt> {
        self.attempts_open.iter().find(|open| open.stage == stage && wanted(open.purpose))
    }
}
