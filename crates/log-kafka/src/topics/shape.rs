//! How each topic should be: the table of `docs/topics.md` as code.

use wire::record::Lane;

use super::{Durability, Wanted};
use crate::Topic;

const HOUR_MS: u64 = 60 * 60 * 1000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// The most bytes of a record of the log and of an input: a trigger of 256 KiB with all its definitions of 64 KiB fits
/// many times.
pub const RECORD_BYTES_MAX: u32 = 4 << 20;
/// What a broker takes when nobody says anything.
const MESSAGE_BYTES_MAX: u32 = 1_048_588;

/// How a topic should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    pub partitions: u32,
    pub counted: Counted,
    pub kept: Kept,
    pub replicas: u32,
    /// So many copies must have taken a record before it is acknowledged.
    pub in_sync_min: u32,
    pub message_bytes_max: u32,
    pub loss: Loss,
}

/// Whether another count of partitions is a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// A target's place follows from the count.
    Exactly,
    /// It is only a matter of how many may share the work.
    AtLeast,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Never deleted and never compacted: it is the truth.
    ForEver,
    /// The last of each key.
    Latest,
    /// At least so long.
    Milliseconds(u64),
}

/// What it means if something in it is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Something that was acknowledged is gone.
    Breaks,
    /// It is said or done again, or it was of passing interest.
    Passes,
}

/// How `topic` should be.
pub(super) fn shape(topic: Topic, wanted: &Wanted) -> Shape {
    use Counted::{AtLeast, Exactly};
    use Kept::{ForEver, Latest, Milliseconds};
    use Loss::{Breaks, Passes};
    // One partition where every reader reads all of it anyway.
    let (partitions, counted, kept, message_bytes_max, loss) = match topic {
        Topic::Events => (wanted.partitions, Exactly, ForEver, RECORD_BYTES_MAX, Breaks),
        Topic::Lane(Lane::Requests | Lane::Outcomes | Lane::Triggers) => {
            (wanted.partitions, Exactly, Milliseconds(30 * DAY_MS), RECORD_BYTES_MAX, Breaks)
        }
        Topic::Commands(_) => {
            (wanted.command_partitions, AtLeast, Milliseconds(7 * DAY_MS), MESSAGE_BYTES_MAX, Passes)
        }
        Topic::Cancels | Topic::Heartbeats | Topic::Answers | Topic::Gateways => {
            (1, AtLeast, Milliseconds(HOUR_MS), MESSAGE_BYTES_MAX, Passes)
        }
        Topic::Routes => (1, AtLeast, Latest, MESSAGE_BYTES_MAX, Breaks),
        Topic::Predictions | Topic::Labels => {
            (wanted.partitions, Exactly, Milliseconds(30 * DAY_MS), MESSAGE_BYTES_MAX, Passes)
        }
        Topic::DeadLetters => (1, AtLeast, Milliseconds(30 * DAY_MS), RECORD_BYTES_MAX, Passes),
    };
    let (replicas, in_sync_min) = match wanted.durability {
        Durability::Replicated => (3, 2),
        Durability::SingleBroker => (1, 1),
    };
    Shape { partitions, counted, kept, replicas, in_sync_min, message_bytes_max, loss }
}

impl Shape {
    /// What a topic is made with. Everything is said, so that no default of a broker decides.
    pub(super) fn settings(&self) -> Vec<(&'static str, String)> {
        let (cleanup, retention_ms) = match self.kept {
            Kept::ForEver => ("delete", "-1".to_owned()),
            Kept::Latest => ("compact", "-1".to_owned()),
            Kept::Milliseconds(milliseconds) => ("delete", milliseconds.to_string()),
        };
        vec![
            ("cleanup.policy", cleanup.to_owned()),
            ("retention.ms", retention_ms),
            // By size nothing is ever deleted: a busy day would delete what is not read yet.
            ("retention.bytes", "-1".to_owned()),
            ("min.insync.replicas", self.in_sync_min.to_string()),
            // A copy that lacks acknowledged records may never become the one that is read.
            ("unclean.leader.election.enable", "false".to_owned()),
            ("max.message.bytes", self.message_bytes_max.to_string()),
            // The broker's clock: a writer whose clock is behind would have its records deleted at once, and one whose
            // clock is an hour ahead would be refused.
            ("message.timestamp.type", "LogAppendTime".to_owned()),
        ]
    }
}
