//! Runs a worker of distributed mode until somebody interrupts it, then lets what is under way end.

use std::sync::Arc;
use std::time::Duration;

use domain::name::Environment;
use domain::workflow::StageKind;
use serde::Serialize;
use tokio::sync::watch;

use super::serve::{Signals, apart, interrupted, not_started};
use crate::argv::{Global, WorkerArguments};
use crate::config;
use crate::exit::{Exit, Failure};
use crate::node::kafka::WorkerNode;
use crate::node::{self, CarryOut, Reach};
use crate::output::{Output, facts, say};
use crate::telemetry;

/// Where bundles are tested.
const STAGING: &str = "staging";

#[derive(Serialize)]
struct Working {
    stages: Vec<&'static str>,
    health: Option<String>,
    brokers: String,
    data: String,
}

pub(super) async fn worker(
    global: &Global,
    worker: &WorkerArguments,
    output: Output,
) -> Result<Exit, Failure> {
    let (config, _) = config::load(global.config.as_deref(), global.data.as_deref())
        .map_err(|error| Failure::of_config(&error))?;
    let _telemetry = telemetry::start(&config.telemetry)
        .map_err(|error| Failure::usage("TELEMETRY", error.to_string()).field("telemetry"))?;
    // Before anybody is told that it runs: whoever is told may interrupt it at once.
    let mut signals = Signals::new()?;
    if config.kafka.is_embedded() {
        return Err(Failure::usage("EMBEDDED", "expected brokers to take commands from, but there are none")
            .field("kafka.brokers")
            .hint("without brokers `modelrail serve` is its own worker"));
    }
    let mut stages: Vec<StageKind> = worker.stages.iter().map(|stage| stage.0).collect();
    stages.sort_unstable();
    stages.dedup();
    let names: Vec<&str> = stages.iter().map(|stage| stage.as_str()).collect();
    let (settings, found) = apart::topics(&config, &format!("worker-{}", names.join("-"))).await?;
    let mut working = Working {
        stages: names,
        health: None,
        brokers: config.kafka.brokers.clone(),
        data: config.store.data.display().to_string(),
    };
    // Without servers of its own, a bundle is tested in the process that tests it.
    let (_open, closed) = watch::channel(false);
    let environment = Environment::parse(STAGING).expect("a plain name");
    let has_servers = config.environments.get(STAGING).is_some_and(|of| !of.servers.is_empty());
    let staging = if stages.contains(&StageKind::StageTest) && !has_servers {
        Some(node::staging(&config, closed).await.map_err(|error| not_started(&error))?)
    } else {
        None
    };
    let within = Duration::from_secs(config.server.drain_seconds);
    let own = config.clone();
    let started = tokio::task::spawn_blocking(move || {
        let config = own;
        let source = format!("/modelrail/worker/{}", settings.client_id);
        let mut reach = Reach::start(&config, &settings, &stages, &source)?;
        if let Some(staging) = staging {
            reach.ports.servers.insert(environment, vec![staging]);
        }
        let workers: Arc<dyn CarryOut> = Arc::new(node::workers(&config, reach.ports.clone())?);
        let node = WorkerNode::start(&config, &settings, &found, &stages, &workers, &source)?;
        Ok((node, reach))
    });
    let (mut node, reach) = match started.await {
        Ok(started) => started.map_err(|error| not_started(&error))?,
        Err(error) => {
            return Err(Failure::new(Exit::Failed, "START", "failed to start the worker").cause(&error));
        }
    };
    if let Some(address) = worker.listen {
        let address = node.listen(&config, address).await.map_err(|error| not_started(&error))?;
        working.health = Some(format!("http://{address}/readyz"));
    }
    output.line(&working, |working| {
        facts(&[
            ("stages", Some(working.stages.join(", "))),
            ("health", working.health.clone()),
            ("brokers", Some(working.brokers.clone())),
            ("data", Some(working.data.clone())),
        ])
    })?;
    if !interrupted(&mut signals, || node.is_running()).await {
        node.stop().await;
        return Err(Failure::new(
            Exit::Failed,
            "WORKER_STOPPED",
            "expected a worker that goes on, but it stopped",
        )
        .hint("the log above says why; after that, start again: its journal has what it took"));
    }
    say(&format!(
        "shutting down: what is not begun goes back, what is under way ends first, within {} s; a second signal ends it at once",
        within.as_secs()
    ));
    let ending = async {
        if !node.drain(within).await {
            tracing::warn!("some work has not ended in time; it is done again after the next start");
        }
        node.stop().await;
        reach.stop();
    };
    tokio::select! {
        () = ending => Ok(Exit::Good),
        () = signals.next() => Exit::CutShort.end(),
    }
}
