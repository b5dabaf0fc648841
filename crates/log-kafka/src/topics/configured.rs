//! A topic's settings in force beside those that it should have.

use std::collections::BTreeSet;

use super::There;
use super::compare::{At, of};
use super::problem::{Code, Problem, Stops};
use super::shape::{Kept, Shape};
use crate::Topic;

pub(super) fn problems(at: &At<'_>, there: &There, shape: &Shape) -> Vec<Problem> {
    let loss = of(shape.loss);
    if there.settings.is_empty() {
        let grant = "--add --allow-principal User:NAME --operation DescribeConfigs --topic TOPIC";
        let said = ("that its settings may not be read", "DESCRIBE_CONFIGS for us");
        // What cannot be read cannot be relied on.
        return vec![at.problem(Code::SettingsNotReadable, loss, said, at.tool("kafka-acls.sh", grant))];
    }
    let beside = Beside { at, there };
    let mut problems = beside.kept(shape);
    let in_sync: u32 = beside.number("min.insync.replicas");
    let should = shape.in_sync_min.to_string();
    if in_sync < shape.in_sync_min {
        problems.push(beside.other(Code::InSyncLow, loss, "min.insync.replicas", &should));
    } else if in_sync >= there.replicas && in_sync > 1 {
        // A broker that is down stops all writing.
        problems.push(beside.other(Code::InSyncAll, Stops::Nothing, "min.insync.replicas", &should));
    }
    if beside.text("unclean.leader.election.enable") != "false" {
        problems.push(beside.other(Code::UncleanElection, loss, "unclean.leader.election.enable", "false"));
    }
    if beside.number::<u32>("max.message.bytes") < shape.message_bytes_max {
        let should = shape.message_bytes_max.to_string();
        problems.push(beside.other(Code::MessagesSmall, loss, "max.message.bytes", &should));
    }
    if beside.text("message.timestamp.type") != "LogAppendTime" {
        let stops = Stops::Nothing;
        problems.push(beside.other(
            Code::TimestampsOfWriters,
            stops,
            "message.timestamp.type",
            "LogAppendTime",
        ));
    }
    problems
}

struct Beside<'a> {
    at: &'a At<'a>,
    there: &'a There,
}

impl Beside<'_> {
    fn text(&self, key: &str) -> &str {
        self.there.settings.get(key).map_or("", String::as_str)
    }

    /// The least there is where it is no number.
    fn number<T: std::str::FromStr + Default>(&self, key: &str) -> T {
        self.text(key).parse().unwrap_or_default()
    }

    fn other(&self, code: Code, stops: Stops, key: &str, should: &str) -> Problem {
        let said = (format!("{key}={}", self.text(key)), format!("{key}={should}"));
        self.at.problem(code, stops, said, self.at.set(key, should))
    }

    /// What is deleted from it, and when.
    fn kept(&self, shape: &Shape) -> Vec<Problem> {
        let policies: BTreeSet<&str> = self.text("cleanup.policy").split(',').map(str::trim).collect();
        let (deletes, compacts) = (policies.contains("delete"), policies.contains("compact"));
        let (milliseconds, bytes): (i64, i64) = (self.number("retention.ms"), self.number("retention.bytes"));
        let mut problems = vec![];
        let keyed_by_target = matches!(self.at.topic, Topic::Lane(_) | Topic::Predictions | Topic::Labels);
        match shape.kept {
            Kept::ForEver => {
                if compacts {
                    problems.push(self.other(Code::Compacted, Stops::Start, "cleanup.policy", "delete"));
                }
                for (key, value) in [("retention.ms", milliseconds), ("retention.bytes", bytes)] {
                    if value != -1 {
                        problems.push(self.other(Code::RetentionFinite, Stops::Start, key, "-1"));
                    }
                }
            }
            Kept::Latest => {
                if !compacts {
                    problems.push(self.other(
                        Code::NotCompacted,
                        of(shape.loss),
                        "cleanup.policy",
                        "compact",
                    ));
                } else if deletes {
                    problems.push(self.other(
                        Code::RetentionFinite,
                        of(shape.loss),
                        "cleanup.policy",
                        "compact",
                    ));
                }
            }
            Kept::Milliseconds(should) => {
                // All inputs of a target have one key: the last would be all that is left.
                if compacts && keyed_by_target {
                    problems.push(self.other(Code::Compacted, of(shape.loss), "cleanup.policy", "delete"));
                }
                if milliseconds != -1 && u64::try_from(milliseconds).unwrap_or(0) < should {
                    let should = should.to_string();
                    problems.push(self.other(Code::RetentionShort, Stops::Nothing, "retention.ms", &should));
                }
                if bytes != -1 {
                    problems.push(self.other(Code::RetentionShort, Stops::Nothing, "retention.bytes", "-1"));
                }
            }
        }
        problems
    }
}
