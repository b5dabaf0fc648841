//! A process of distributed mode: the topics are checked, then it runs until somebody interrupts it.

use std::net::SocketAddr;

use log_kafka::Settings;
use log_kafka::topics::{self, Found, Known, Stops};
use serde::Serialize;

use super::{Signals, interrupted, not_started};
use crate::argv::Role;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::node::kafka::KafkaNode;
use crate::output::{Output, facts, say};

#[derive(Serialize)]
struct Serving {
    roles: String,
    api: Option<String>,
    health: Option<String>,
    brokers: String,
    data: String,
}

pub(super) async fn serve(
    config: &Config,
    roles: &[Role],
    listen: Option<SocketAddr>,
    signals: &mut Signals,
    output: Output,
) -> Result<Exit, Failure> {
    let names: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
    let (settings, found) = topics(config, &names.join("-")).await?;
    let node = KafkaNode::start(config, settings, found, roles, listen)
        .await
        .map_err(|error| not_started(&error))?;
    let serving = Serving {
        roles: names.join(", "),
        api: node.api.map(|api| format!("http://{api}")),
        health: node.health.map(|address| format!("http://{address}/readyz")),
        brokers: config.kafka.brokers.clone(),
        data: config.store.data.display().to_string(),
    };
    output.line(&serving, |serving| {
        facts(&[
            ("roles", Some(serving.roles.clone())),
            ("api", serving.api.clone()),
            ("health", serving.health.clone()),
            ("brokers", Some(serving.brokers.clone())),
            ("data", Some(serving.data.clone())),
        ])
    })?;
    if !interrupted(signals, || node.is_running()).await {
        node.stop().await;
        return Err(Failure::new(
            Exit::Failed,
            "ENGINE_STOPPED",
            "expected a process that goes on, but it stopped",
        )
        .hint("the log above says why; after that, start again: what was acknowledged is kept"));
    }
    say("shutting down: others take over what this process owns");
    tokio::select! {
        () = node.stop() => Ok(Exit::Good),
        () = signals.next() => Exit::CutShort.end(),
    }
}

/// How a process of this role reaches the brokers, and the topics there; refused when it cannot work with them.
pub(in crate::command) async fn topics(config: &Config, role: &str) -> Result<(Settings, Found), Failure> {
    let settings =
        config.kafka.settings(&format!("modelrail-{role}")).map_err(|error| Failure::of_config(&error))?;
    let wanted = config.kafka.wanted(config.store.partitions);
    let asked = {
        let settings = settings.clone();
        tokio::task::spawn_blocking(move || topics::found(&settings)).await
    };
    let found = match asked {
        Ok(found) => found.map_err(|error| Failure::of_topics(&error))?,
        Err(error) => {
            return Err(Failure::new(Exit::Failed, "START", "failed to ask for the topics").cause(&error));
        }
    };
    let problems = topics::problems(&settings, &wanted, &Known::new(), &found);
    for problem in &problems {
        tracing::warn!(
            code = problem.code.as_str(),
            topic = problem.topic,
            found = problem.found,
            expected = problem.expected,
            hint = problem.mend,
            "a topic is not as it should be"
        );
    }
    if let Some(problem) = problems.iter().find(|problem| problem.stops == Stops::Start) {
        let failure = Failure::new(Exit::Failed, problem.code.as_str(), problem.to_string());
        return Err(failure.field("kafka").hint(
            "`modelrail topics check` tells all problems, `modelrail topics create` makes what is missing",
        ));
    }
    Ok((settings, found))
}
