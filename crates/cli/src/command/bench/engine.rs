//! `modelrail bench engine`: whole runs through engine, desks and data folder.
//!
//! A run is *completed* when every stage has ended and its release is live; after the measurement every run's row
//! is read back to see that it was.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, channel};
use std::time::Duration;

use api::Origin;
use clap::Args;
use domain::name::RunId;
use engine::partition::Answer;
use engine::request::{Said, Trigger};
use serde::Serialize;
use tokio::sync::oneshot;

use super::cost::{self, Cpu};
use super::flow::{NoOp, Triggers};
use super::load::{Load, Place, Taken};
use super::machine::Machine;
use crate::config::Effective;
use crate::exit::{Exit, Failure};
use crate::node::{Bare, CarryOut, Message};
use crate::output::Output;

#[derive(Debug, Args)]
pub struct EngineArguments {
    /// How many runs are under way at a time.
    #[arg(long, default_value_t = 256)]
    pub in_flight: usize,
    /// How many targets they go to.
    #[arg(long, default_value_t = 1000)]
    pub targets: usize,
    /// How long each figure is measured, after a tenth of it to warm up.
    #[arg(long, default_value_t = 10)]
    pub seconds: u64,
    /// How many runs a second come in the measurement at half load; otherwise half of what was reached.
    #[arg(long)]
    pub rate: Option<f64>,
    /// Where the data folder is made; otherwise beside this call. It must be on the disk that is to be measured.
    #[arg(long, value_name = "DIR")]
    pub folder: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    workload: Workload,
    saturated: Measured,
    alone: Measured,
    half_load: Measured,
}

#[derive(Debug, Serialize)]
struct Workload {
    in_flight: usize,
    targets: usize,
    seconds: u64,
    stages: usize,
    transitions_per_run: f64,
}

#[derive(Debug, Serialize)]
struct Measured {
    runs: u64,
    runs_per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    cpu_ms_per_run: f64,
    /// By part; `load` is what makes the load and counts.
    cpu_ms_per_run_by_part: BTreeMap<String, f64>,
    written_bytes_per_run: u64,
    folder_bytes_per_run: u64,
    syncs: u64,
    resident_mib: u64,
}

pub(super) fn bench(arguments: &EngineArguments, output: Output) -> Result<Exit, Failure> {
    let machine = Machine::of_this();
    let place = arguments.folder.clone().unwrap_or_else(|| PathBuf::from("."));
    let folder = place.join(format!("modelrail-bench-{}", std::process::id()));
    let done = measure(arguments, &folder);
    if let Err(error) = std::fs::remove_dir_all(&folder) {
        tracing::warn!(%error, folder = %folder.display(), "the folder of the benchmark is left behind");
    }
    let (saturated, alone, half_load, workload) =
        done.map_err(|text| Failure::new(Exit::Failed, "BENCH", text))?;
    let report = Report { machine, workload, saturated, alone, half_load };
    output.one(&report, table)?;
    Ok(Exit::Good)
}

/// For people.
fn table(report: &Report) -> String {
    let mut text = format!(
        "{} cores of {}, load {}; {} in flight over {} targets, {:.1} transitions a run\n",
        report.machine.cores,
        report.machine.cpu,
        report.machine.load,
        report.workload.in_flight,
        report.workload.targets,
        report.workload.transitions_per_run
    );
    let measured =
        [("saturated", &report.saturated), ("one alone", &report.alone), ("half load", &report.half_load)];
    for (name, it) in measured {
        let Measured { runs_per_second, p50_ms, p99_ms, cpu_ms_per_run, folder_bytes_per_run, .. } = it;
        writeln!(
            text,
            "{name}  {runs_per_second:.0} runs/s  p50 {p50_ms:.1} ms  p99 {p99_ms:.1} ms  \
             {cpu_ms_per_run:.3} ms CPU a run  {folder_bytes_per_run} B on disk a run"
        )
        .expect("a string takes any text");
    }
    text
}

fn measure(
    arguments: &EngineArguments,
    folder: &Path,
) -> Result<(Measured, Measured, Measured, Workload), String> {
    let seconds = Duration::from_secs(arguments.seconds);
    let mut load = start(arguments, folder)?;
    eprintln!("saturated, {} in flight over {} targets", arguments.in_flight, arguments.targets);
    let saturated = measured(&load.closed(arguments.in_flight, seconds)?);
    let transitions_per_run = transitions_per_run(&load)?;
    eprintln!("one alone");
    let alone = measured(&load.closed(1, seconds)?);
    let rate = arguments.rate.unwrap_or(saturated.runs_per_second / 2.0);
    eprintln!("{rate:.0} runs a second");
    let half_load = measured(&load.open(rate, seconds)?);
    check_all(&load)?;
    load.place.node.stop();
    let workload = Workload {
        in_flight: arguments.in_flight,
        targets: arguments.targets,
        seconds: arguments.seconds,
        stages: 4,
        transitions_per_run,
    };
    Ok((saturated, alone, half_load, workload))
}

/// The engine and the desks of this process.
struct Here {
    node: Bare,
    sender: SyncSender<Message>,
    folder: PathBuf,
}

struct Costs {
    cpu: Cpu,
    written: u64,
    folder: u64,
    syncs: u64,
}

fn start(arguments: &EngineArguments, folder: &Path) -> Result<Load<Here>, String> {
    let mut config = Effective::defaults().parse().map_err(|error| error.to_string())?;
    folder.clone_into(&mut config.store.data);
    // A desk takes whatever is under way: what is measured is no lack of workers.
    config.limits.backlog_max = config.limits.backlog_max.max(arguments.in_flight * 2);
    let (sender, completed) = channel();
    let workers: Arc<dyn CarryOut> = Arc::new(NoOp::new(sender));
    let node = Bare::start(&config, &workers).map_err(|error| format!("{error}"))?;
    let here = Here { sender: node.sender(), node, folder: folder.to_owned() };
    let triggers = Triggers::new(format!("/bench/{}", std::process::id()))?;
    Load::new(here, completed, triggers, arguments.targets)
}

impl Place for Here {
    type Said = oneshot::Receiver<Answer>;
    type Costs = Costs;

    fn say(&mut self, trigger: Trigger) -> Result<Self::Said, String> {
        let (sender, answer) = oneshot::channel();
        let origin = Origin { input_id: trigger.run().to_string(), traceparent: None };
        let message = Message::Say { said: Said::Trigger(Box::new(trigger)), origin, answer: sender };
        self.sender.send(message).map_err(|_| "the engine has ended")?;
        Ok(answer)
    }

    fn stuck(&mut self, run: RunId, answer: &mut Self::Said) -> String {
        format!("was answered {:?} and is {:?}", answer.try_recv(), self.node.store().run(run))
    }

    fn costs(&mut self) -> Result<Costs, String> {
        Ok(Costs {
            cpu: cost::cpu(),
            written: cost::written_bytes(),
            folder: cost::folder_bytes(&self.folder),
            syncs: self.node.folder.database().syncs(),
        })
    }
}

fn measured(taken: &Taken<Costs>) -> Measured {
    let Taken { before, after, .. } = taken;
    let by_part: Cpu = cost::between(&before.cpu, &after.cpu);
    let bytes = |before: u64, after: u64| after.saturating_sub(before) / taken.runs().max(1);
    Measured {
        runs: taken.runs(),
        runs_per_second: taken.runs_per_second(),
        p50_ms: taken.quantile_ms(0.5),
        p99_ms: taken.quantile_ms(0.99),
        max_ms: taken.quantile_ms(1.0),
        cpu_ms_per_run: taken.per_run(by_part.values().sum::<f64>() * 1e3),
        cpu_ms_per_run_by_part: by_part
            .iter()
            .map(|(part, seconds)| (part.clone(), taken.per_run(seconds * 1e3)))
            .collect(),
        written_bytes_per_run: bytes(before.written, after.written),
        folder_bytes_per_run: bytes(before.folder, after.folder),
        syncs: after.syncs - before.syncs,
        resident_mib: cost::resident_mib(),
    }
}

/// Records that touch the last runs, without those that only tell them of later ones.
fn transitions_per_run(load: &Load<Here>) -> Result<f64, String> {
    let rows = load.all.iter().rev().take(100).map(|run| load.place.node.store().run(*run));
    let mut transitions = 0;
    for row in rows {
        transitions += row.map_err(|error| error.to_string())?.map_or(0, |row| row.transitions);
    }
    Ok(transitions as f64 / load.all.len().clamp(1, 100) as f64)
}

/// Whether each run went live, as its row says.
fn check_all(load: &Load<Here>) -> Result<(), String> {
    for run in &load.all {
        let row = load.place.node.store().run(*run).map_err(|error| error.to_string())?;
        let state = row.map(|row| row.state).unwrap_or_default();
        if !["live", "standby", "retired"].contains(&state.as_str()) {
            return Err(format!("run {run} should have gone live, but is `{state}`"));
        }
    }
    Ok(())
}
