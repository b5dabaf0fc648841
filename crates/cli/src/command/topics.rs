//! The topics of distributed mode: made where they are missing, and held to what they should be.

use std::fmt::Write as _;

use log_kafka::topics::{self, Known, Made, Outcome, Problem, Stops};
use serde::Serialize;

use crate::argv::{Global, TopicsCommand};
use crate::config::{self, Config};
use crate::exit::{Exit, Failure};
use crate::output::{Output, Table};

pub(super) fn topics(global: &Global, command: &TopicsCommand, output: Output) -> Result<Exit, Failure> {
    let (config, _) = config::load(global.config.as_deref(), global.data.as_deref())
        .map_err(|error| Failure::of_config(&error))?;
    if config.kafka.is_embedded() {
        return Err(Failure::usage("NO_BROKERS", "expected brokers to ask, but none are named")
            .field("kafka.brokers")
            .hint("embedded mode has no topics; MODELRAIL_KAFKA__BROKERS names brokers too"));
    }
    match command {
        TopicsCommand::Create => create(&config, output),
        TopicsCommand::Check => check(&config, output),
    }
}

#[derive(Debug, Serialize)]
struct MadeView {
    topic: String,
    partitions: u32,
    /// `created`, `kept` or `refused`.
    outcome: &'static str,
    why: Option<String>,
    hint: Option<&'static str>,
}

impl From<Made> for MadeView {
    fn from(made: Made) -> Self {
        let (outcome, why, hint) = match made.outcome {
            Outcome::Created => ("created", None, None),
            Outcome::Kept => ("kept", None, None),
            Outcome::Refused { why, hint } => ("refused", Some(why), hint),
        };
        Self { topic: made.name, partitions: made.partitions, outcome, why, hint }
    }
}

fn create(config: &Config, output: Output) -> Result<Exit, Failure> {
    let (settings, wanted) = told(config)?;
    let made = topics::create(&settings, &wanted).map_err(|error| Failure::of_topics(&error))?;
    let views: Vec<MadeView> = made.into_iter().map(MadeView::from).collect();
    output.list(&views, created)?;
    let refused = views.iter().any(|made| made.outcome == "refused");
    Ok(if refused { Exit::Failed } else { Exit::Good })
}

fn created(views: &[MadeView]) -> String {
    let mut table = Table::new(&["TOPIC", "PARTITIONS", "", ""]);
    for made in views {
        let why = made.why.clone().unwrap_or_default();
        table.row([made.topic.clone(), made.partitions.to_string(), made.outcome.to_owned(), why]);
    }
    let hints: std::collections::BTreeSet<&str> = views.iter().filter_map(|made| made.hint).collect();
    let mut text = table.render();
    for hint in hints {
        text.push_str("hint: ");
        text.push_str(hint);
        text.push('\n');
    }
    text
}

#[derive(Debug, Serialize)]
struct CheckView {
    good: bool,
    problems: Vec<ProblemView>,
}

#[derive(Debug, Serialize)]
struct ProblemView {
    code: &'static str,
    topic: String,
    found: String,
    expected: String,
    mend: String,
    /// No engine starts with it.
    stops_start: bool,
}

impl From<Problem> for ProblemView {
    fn from(problem: Problem) -> Self {
        Self {
            code: problem.code.as_str(),
            topic: problem.topic,
            found: problem.found,
            expected: problem.expected,
            mend: problem.mend,
            stops_start: problem.stops == Stops::Start,
        }
    }
}

fn check(config: &Config, output: Output) -> Result<Exit, Failure> {
    let (settings, wanted) = told(config)?;
    let problems =
        topics::check(&settings, &wanted, &Known::new()).map_err(|error| Failure::of_topics(&error))?;
    let good = problems.is_empty();
    let view = CheckView { good, problems: problems.into_iter().map(ProblemView::from).collect() };
    output.one(&view, checked)?;
    Ok(if good { Exit::Good } else { Exit::Failed })
}

fn checked(view: &CheckView) -> String {
    if view.good {
        return "all topics are as they should be\n".into();
    }
    let mut text = String::new();
    for problem in &view.problems {
        let ProblemView { code, topic, found, expected, mend, stops_start } = problem;
        let stops = if *stops_start { ", and no engine starts" } else { "" };
        let _ = writeln!(text, "{code}{stops}: expected {topic} to have {expected}, but found {found}");
        let _ = writeln!(text, "  hint: {mend}");
    }
    text
}

fn told(config: &Config) -> Result<(log_kafka::Settings, topics::Wanted), Failure> {
    let settings = config.kafka.settings("topics").map_err(|error| Failure::of_config(&error))?;
    Ok((settings, config.kafka.wanted(config.store.partitions)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_told_with_what_mends_it() {
        let problem = |code, stops_start| ProblemView {
            code,
            topic: "modelrail.events".into(),
            found: "retention.ms=604800000".into(),
            expected: "retention.ms=-1".into(),
            mend: "kafka-configs.sh --alter ..".into(),
            stops_start,
        };
        let problems = vec![problem("TOPIC_RETENTION", true), problem("TOPIC_TIMESTAMPS", false)];
        insta::assert_snapshot!(checked(&CheckView { good: false, problems }), @r"
        TOPIC_RETENTION, and no engine starts: expected modelrail.events to have retention.ms=-1, but found retention.ms=604800000
          hint: kafka-configs.sh --alter ..
        TOPIC_TIMESTAMPS: expected modelrail.events to have retention.ms=-1, but found retention.ms=604800000
          hint: kafka-configs.sh --alter ..
        ");
    }

    #[test]
    fn what_was_refused_is_told_once_with_its_hint() {
        let made = |topic: &str, outcome, why: Option<&str>| MadeView {
            topic: topic.into(),
            partitions: 4,
            outcome,
            why: why.map(str::to_owned),
            hint: why.map(|_| "say single-broker"),
        };
        let views = [
            made("a", "kept", None),
            made("b", "refused", Some("too few")),
            made("c", "refused", Some("too few")),
        ];
        insta::assert_snapshot!(created(&views), @r"
        TOPIC  PARTITIONS
        a      4           kept
        b      4           refused  too few
        c      4           refused  too few
        hint: say single-broker
        ");
    }
}
