//! The topics by name: what stands in them, who writes, and how they are keyed is in the table of `docs/topics.md`.

use domain::workflow::StageKind;
use wire::record::Lane;

/// Where services publish that a model was trained. Not one of ours: it has no prefix.
pub const MODEL_TRAINED: &str = "model-trained";

/// One of our own topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// The log.
    Events,
    Lane(Lane),
    Commands(StageKind),
    Cancels,
    Heartbeats,
    Answers,
    Routes,
    Gateways,
    Predictions,
    Labels,
    DeadLetters,
}

impl Topic {
    /// All that a cluster must have.
    pub fn all() -> Vec<Self> {
        let lanes = Lane::ALL.into_iter().map(Self::Lane);
        let commands = StageKind::ALL.into_iter().map(Self::Commands);
        let rest = [
            Self::Cancels,
            Self::Heartbeats,
            Self::Answers,
            Self::Routes,
            Self::Gateways,
            Self::Predictions,
            Self::Labels,
            Self::DeadLetters,
        ];
        [Self::Events].into_iter().chain(lanes).chain(commands).chain(rest).collect()
    }

    /// Its name in a cluster whose names begin with `prefix`.
    pub fn name(self, prefix: &str) -> String {
        let name = match self {
            Self::Events => "events",
            Self::Lane(Lane::Requests) => "requests",
            Self::Lane(Lane::Outcomes) => "outcomes",
            Self::Lane(Lane::Triggers) => "triggers",
            Self::Commands(stage) => return format!("{prefix}commands.{}", stage.as_str()),
            Self::Cancels => "cancels",
            Self::Heartbeats => "heartbeats",
            Self::Answers => "answers",
            Self::Routes => "routes",
            Self::Gateways => "gateways",
            Self::Predictions => "predictions",
            Self::Labels => "labels",
            Self::DeadLetters => "dead-letters",
        };
        format!("{prefix}{name}")
    }
}
