//! Topics as they are beside topics as they should be. Nothing is asked here.

use std::fmt;

use wire::record::Lane;

use super::problem::{Code, Problem, Stops};
use super::shape::{Counted, Loss, Shape, shape};
use super::{Found, Known, State, There, Wanted, configured};
use crate::{Settings, Topic};

/// Everything that is not as it should be, what stops an engine first.
pub fn problems(settings: &Settings, wanted: &Wanted, known: &Known, found: &Found) -> Vec<Problem> {
    let mut problems = vec![];
    for topic in Topic::all() {
        let at = At { settings, topic, name: topic.name(&settings.prefix) };
        let shape = shape(topic, wanted);
        match found.topics.get(&topic) {
            None | Some(State::Missing) => problems.push(at.problem(
                Code::Missing,
                Stops::Start,
                ("nothing", "a place"),
                "modelrail topics create".into(),
            )),
            Some(State::NotEntitled) => problems.push(at.problem(
                Code::NotEntitled,
                Stops::Start,
                ("that it may not be described", "DESCRIBE for us"),
                at.tool(
                    "kafka-acls.sh",
                    "--add --allow-principal User:NAME --operation Describe --topic TOPIC",
                ),
            )),
            Some(State::There(there)) => {
                let known = known.get(&topic).map(String::as_str);
                problems.extend(at.identity(there, known));
                problems.extend(at.counts(there, &shape, found));
                problems.extend(at.copies(there, &shape));
                problems.extend(configured::problems(&at, there, &shape));
            }
        }
    }
    problems.sort_by_key(|problem| problem.stops);
    problems
}

/// A topic that is being compared.
pub(super) struct At<'a> {
    settings: &'a Settings,
    pub(super) topic: Topic,
    name: String,
}

impl At<'_> {
    pub(super) fn problem(
        &self,
        code: Code,
        stops: Stops,
        (found, expected): (impl fmt::Display, impl fmt::Display),
        mend: String,
    ) -> Problem {
        let (topic, found, expected) = (self.name.clone(), found.to_string(), expected.to_string());
        Problem { code, topic, found, expected, mend, stops }
    }

    /// One of Kafka's own tools; `TOPIC` stands for the topic's name.
    pub(super) fn tool(&self, tool: &str, arguments: &str) -> String {
        let arguments = arguments.replace("TOPIC", &self.name);
        format!("{tool} --bootstrap-server {} {arguments}", self.settings.brokers)
    }

    pub(super) fn set(&self, key: &str, value: impl fmt::Display) -> String {
        self.tool(
            "kafka-configs.sh",
            &format!("--alter --entity-type topics --entity-name TOPIC --add-config {key}={value}"),
        )
    }

    fn identity(&self, there: &There, known: Option<&str>) -> Option<Problem> {
        let known = known.filter(|known| *known != there.id)?;
        let found = format!("id {}", there.id);
        let mend = "it was deleted and made again: bring its records back from a copy, or start with an empty data \
                    folder and another `kafka.prefix`";
        Some(self.problem(Code::OtherTopic, Stops::Start, (found, format!("id {known}")), mend.into()))
    }

    fn counts(&self, there: &There, shape: &Shape, all: &Found) -> Option<Problem> {
        let (is, should) = (there.partitions, shape.partitions);
        let pair =
            |count: u32| if count == 1 { "1 partition".to_owned() } else { format!("{count} partitions") };
        match shape.counted {
            Counted::Exactly if is != should => {
                let stops = match self.topic {
                    Topic::Events | Topic::Lane(_) => Stops::Start,
                    _ => Stops::Nothing,
                };
                // All of them alike: the configuration is what differs.
                let alike = [Topic::Events].into_iter().chain(Lane::ALL.map(Topic::Lane));
                let mend = if alike.into_iter().all(|topic| all.partitions(topic) == Some(is)) {
                    format!("`store.partitions = {is}` in the configuration")
                } else {
                    format!(
                        "if nothing stands in it: {}; modelrail topics create",
                        self.tool("kafka-topics.sh", "--delete --topic TOPIC")
                    )
                };
                Some(self.problem(Code::PartitionsDiffer, stops, (pair(is), pair(should)), mend))
            }
            Counted::AtLeast if is < should => {
                let mend = format!("--alter --topic TOPIC --partitions {should}");
                Some(self.problem(
                    Code::PartitionsFew,
                    Stops::Nothing,
                    (pair(is), format!("at least {}", pair(should))),
                    self.tool("kafka-topics.sh", &mend),
                ))
            }
            Counted::Exactly | Counted::AtLeast => None,
        }
    }

    fn copies(&self, there: &There, shape: &Shape) -> Option<Problem> {
        let (is, should) = (there.replicas, shape.replicas);
        if is >= should {
            return None;
        }
        let stops = of(shape.loss);
        let mend = self.tool(
            "kafka-reassign-partitions.sh",
            &format!(
                "--execute --reassignment-json-file FILE  # {should} replicas for each partition of TOPIC"
            ),
        );
        let pair = |count: u32| if count == 1 { "1 copy".to_owned() } else { format!("{count} copies") };
        Some(self.problem(Code::ReplicasFew, stops, (pair(is), format!("at least {}", pair(should))), mend))
    }
}

/// What it means that something of a topic can be lost.
pub(super) fn of(loss: Loss) -> Stops {
    match loss {
        Loss::Breaks => Stops::Start,
        Loss::Passes => Stops::Nothing,
    }
}

#[cfg(test)]
mod tests;
