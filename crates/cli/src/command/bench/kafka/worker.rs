//! A worker whose work is nothing, until somebody ends it.

use std::sync::Arc;
use std::sync::mpsc::channel;

use clap::Args;
use domain::workflow::StageKind;
use serde::Serialize;

use crate::argv::Global;
use crate::command::bench::flow::NoOp;
use crate::command::serve::{Signals, apart};
use crate::config;
use crate::exit::{Exit, Failure};
use crate::node::CarryOut;
use crate::node::kafka::WorkerNode;
use crate::output::Output;
use crate::telemetry;

#[derive(Debug, Args)]
pub struct WorkerArguments {}

#[derive(Serialize)]
struct Working {
    brokers: String,
}

pub async fn worker(global: &Global, output: Output) -> Result<Exit, Failure> {
    let (config, _) = config::load(global.config.as_deref(), global.data.as_deref())
        .map_err(|error| Failure::of_config(&error))?;
    let _telemetry = telemetry::start(&config.telemetry)
        .map_err(|error| Failure::usage("TELEMETRY", error.to_string()).field("telemetry"))?;
    let mut signals = Signals::new()?;
    let (settings, found) = apart::topics(&config, "bench-worker").await?;
    let brokers = config.kafka.brokers.clone();
    let started = tokio::task::spawn_blocking(move || {
        // What is completed is read from the log.
        let (sender, _) = channel();
        let workers: Arc<dyn CarryOut> = Arc::new(NoOp::new(sender));
        WorkerNode::start(&config, &settings, &found, &StageKind::ALL, &workers, "/modelrail/bench/worker")
    });
    let failed = |error: &dyn std::fmt::Display| Failure::new(Exit::Failed, "BENCH", error.to_string());
    let node = started.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
    output.line(&Working { brokers }, |working| working.brokers.clone())?;
    signals.next().await;
    node.stop().await;
    Ok(Exit::Good)
}
