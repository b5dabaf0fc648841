//! The declared pipeline: what a workflow file says, as typed values. Parsed in `wire`, immutable, named by its
//! digest.

use crate::check::Check;
use crate::evidence::Text;
use crate::name::{Environment, ModelName, Role, StageName, TargetId, WorkflowName};
use crate::routes::Sticky;
use crate::rule::Rule;
use crate::time::Millis;
use crate::verdict::On;
use crate::weight::Weight;

#[derive(Debug, Clone, PartialEq)]
pub struct Workflow {
    pub name: WorkflowName,
    pub trigger: Trigger,
    /// In an order in which every stage stands after those it needs.
    pub stages: Vec<Stage>,
}

impl Workflow {
    /// Whether who answers for a model, and who published it, may not approve somewhere.
    pub fn asks_four_eyes(&self) -> bool {
        self.stages.iter().any(|stage| match &stage.with {
            With::Gate(gate) => gate.four_eyes && !gate.approvals.is_empty(),
            With::Package(_) | With::StageTest(_) | With::Rollout(_) | With::Monitor(_) => false,
        })
    }
}

/// Which models start a run, and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// Names, or prefixes that end in `*`.
    pub models: Vec<Text>,
    /// The environment of the target; its model is the trained one (`{model}@production`).
    pub environment: Environment,
    pub while_running: WhileRunning,
}

impl Trigger {
    pub fn matches(&self, model: &ModelName) -> bool {
        self.models.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => model.as_str().starts_with(prefix),
            None => model.as_str() == &**pattern,
        })
    }

    pub fn target(&self, model: &ModelName) -> TargetId {
        TargetId { model: model.clone(), environment: self.environment.clone() }
    }
}

/// What a new run does about those under way at its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhileRunning {
    /// Ends those for which no traffic was moved, and waits for the one that moved some.
    #[default]
    Supersede,
    /// Waits until they are done.
    Queue,
    /// Ends at once.
    Refuse,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    pub name: StageName,
    /// Indexes of the stages that must have ended well before.
    pub needs: Vec<usize>,
    /// A condition over the run's facts; when false the stage is skipped.
    pub when: Option<Rule>,
    /// Bounds package and stage-test. A gate has `expires`, a rollout its deadlines, a monitor none.
    pub timeout: Millis,
    pub retry: Retry,
    pub with: With,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// How many tries in all, at least one.
    pub attempts: u32,
    pub backoff_min: Millis,
    pub backoff_max: Millis,
}

impl Retry {
    /// The wait after the `failed`-th failure in a row (from 1): doubled each time, within the bounds.
    pub fn backoff(&self, failed: u32) -> Millis {
        let doubled = self.backoff_min.0.saturating_mul(1 << failed.saturating_sub(1).min(20));
        Millis(doubled.min(self.backoff_max.0))
    }
}

/// What a stage is to do, by its kind.
#[derive(Debug, Clone, PartialEq)]
pub enum With {
    Package(PackageWith),
    StageTest(StageTestWith),
    Gate(GateWith),
    Rollout(RolloutWith),
    Monitor(MonitorWith),
}

impl With {
    pub fn kind(&self) -> StageKind {
        match self {
            Self::Package(_) => StageKind::Package,
            Self::StageTest(_) => StageKind::StageTest,
            Self::Gate(_) => StageKind::Gate,
            Self::Rollout(_) => StageKind::Rollout,
            Self::Monitor(_) => StageKind::Monitor,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StageKind {
    Package,
    StageTest,
    Gate,
    Rollout,
    Monitor,
}

impl StageKind {
    pub const ALL: [Self; 5] = [Self::Package, Self::StageTest, Self::Gate, Self::Rollout, Self::Monitor];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Package => "package",
            Self::StageTest => "stage-test",
            Self::Gate => "gate",
            Self::Rollout => "rollout",
            Self::Monitor => "monitor",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageWith {
    /// The formats that may be packed, such as `onnx`; anything else fails.
    pub formats: Vec<Text>,
    pub size_max_bytes: u64,
    /// Lineage that must be present, such as `code.commit`.
    pub require: Vec<Text>,
    pub sign: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct StageTestWith {
    pub environment: Environment,
    pub checks: Vec<Check>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct GateWith {
    pub require: Vec<NamedRule>,
    pub approvals: Vec<Approvals>,
    /// Neither the model's owner nor who published it may approve.
    pub four_eyes: bool,
    pub expires: Millis,
}

/// One term of a policy.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedRule {
    pub name: Text,
    pub rule: Rule,
    pub because: Option<Text>,
}

/// How many people of a role must approve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approvals {
    pub role: Role,
    pub count: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// One step of 100 %.
    BlueGreen,
    /// Step by step.
    Canary,
}

impl Strategy {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BlueGreen => "blue-green",
            Self::Canary => "canary",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct RolloutWith {
    pub strategy: Strategy,
    pub sticky: Sticky,
    /// At least one; the last has weight 100 %. Weights grow.
    pub steps: Vec<RolloutStep>,
    pub analysis: Vec<Check>,
    /// The budget for false rollbacks over all analyses and steps of this rollout, 0 to 1.
    pub alpha: f64,
    /// The most exposure before the last step.
    pub share_cap: Weight,
    /// The interval of looking.
    pub tick: Millis,
    pub on: On,
    /// After this long in leaving an incident is opened, and it goes on trying.
    pub leave_deadline: Millis,
    /// How long the former release stays loaded.
    pub keep_warm: Millis,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RolloutStep {
    pub weight: Weight,
    /// The least candidate observations before it may go on.
    pub samples: u64,
    pub bake: Millis,
    pub deadline: Option<Millis>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct MonitorWith {
    pub window: Millis,
    /// How late labels may be: quality of a window is measured this long after it closed.
    pub labels_delay: Millis,
    pub checks: Vec<Check>,
}

impl Workflow {
    pub fn stage(&self, name: &StageName) -> Option<(usize, &Stage)> {
        self.stages.iter().enumerate().find(|(_, stage)| stage.name == *name)
    }

    /// The rollout of this workflow; a workflow has exactly one.
    pub fn rollout(&self) -> Option<(usize, &RolloutWith)> {
        self.stages.iter().enumerate().find_map(|(index, stage)| match &stage.with {
            With::Rollout(with) => Some((index, with)),
            _ => None,
        })
    }
}
