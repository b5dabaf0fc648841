//! `modelrail bench kafka`: whole runs through engines and workers that are processes of their own, over brokers of
//! this machine.
//!
//! ```text
//!  load --> triggers --> engines --> the log --> load: completed
//!                          |   ^
//!              commands <--+   +-- outcomes
//!                 v                    ^
//!               workers ---------------+
//! ```
//!
//! A run is *completed* when the load has read from the log that its release went live. Every cell of the table has
//! topics and processes of its own.

mod brokers;
mod place;
mod processes;
mod worker;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use self::brokers::Brokers;
use self::place::{Costs, Kafka};
use self::processes::{Processes, Shape};
use super::load::{Load, Taken};
use super::machine::Machine;
use crate::exit::{Exit, Failure};
use crate::output::Output;

pub use worker::{WorkerArguments, worker};

#[derive(Debug, Args)]
pub struct KafkaArguments {
    /// The folder of brokers that run: `sh deploy/kafka/broker.sh start DIR`.
    #[arg(long, value_name = "DIR")]
    pub kafka: PathBuf,
    /// How many engines there are: each number is measured with each of workers.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2])]
    pub engines: Vec<usize>,
    /// How many workers there are, each of all stages.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 4])]
    pub workers: Vec<usize>,
    /// Partitions of the log; the commands of each stage have as many as there are workers.
    #[arg(long, default_value_t = 4)]
    pub partitions: u32,
    /// How many runs are under way at a time.
    #[arg(long, default_value_t = 256)]
    pub in_flight: usize,
    /// How many targets they go to.
    #[arg(long, default_value_t = 1000)]
    pub targets: usize,
    /// How long each figure is measured, after a tenth of it to warm up.
    #[arg(long, default_value_t = 10)]
    pub seconds: u64,
    /// How long there is load before the first figure: a broker that has just started compiles its code meanwhile.
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    pub warm: u64,
    /// Where the folders of the processes are made; otherwise beside this call.
    #[arg(long, value_name = "DIR")]
    pub folder: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    workload: Workload,
    cells: Vec<Cell>,
}

#[derive(Debug, Serialize)]
struct Workload {
    brokers: usize,
    partitions: u32,
    in_flight: usize,
    targets: usize,
    seconds: u64,
}

/// One count of engines with one of workers.
#[derive(Debug, Serialize)]
struct Cell {
    engines: usize,
    workers: usize,
    saturated: Measured,
    alone: Measured,
    half_load: Measured,
}

#[derive(Debug, Serialize)]
struct Measured {
    runs: u64,
    runs_per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    cpu_ms_per_run: f64,
    /// By kind of process; `load` is what makes the load and reads the log for it.
    cpu_ms_per_run_by_process: BTreeMap<&'static str, f64>,
    /// Batches that the brokers took into the log, the lanes and the commands: each is a produce request's part for one
    /// partition.
    batches_per_run: f64,
    records_per_run: f64,
    /// In the segments of all topics, of one copy.
    topic_bytes_per_run: u64,
    resident_mib_by_process: BTreeMap<&'static str, u64>,
}

pub(super) fn bench(arguments: &KafkaArguments, output: Output) -> Result<Exit, Failure> {
    let machine = Machine::of_this();
    let failed = |text| Failure::new(Exit::Failed, "BENCH", text);
    let brokers = Brokers::at(&arguments.kafka).map_err(|error| {
        let failure = Failure::new(Exit::Usage, "NO_BROKERS", error).field("--kafka");
        failure.hint("`sh deploy/kafka/broker.sh start DIR` starts brokers there")
    })?;
    let place = arguments.folder.clone().unwrap_or_else(|| PathBuf::from("."));
    let folder = place.join(format!("modelrail-bench-{}", std::process::id()));
    let cells = measure(arguments, &brokers, &folder);
    if let Err(error) = std::fs::remove_dir_all(&folder) {
        tracing::warn!(%error, folder = %folder.display(), "the folder of the benchmark is left behind");
    }
    let workload = Workload {
        brokers: brokers.count(),
        partitions: arguments.partitions,
        in_flight: arguments.in_flight,
        targets: arguments.targets,
        seconds: arguments.seconds,
    };
    output.one(&Report { machine, workload, cells: cells.map_err(failed)? }, table)?;
    Ok(Exit::Good)
}

fn measure(arguments: &KafkaArguments, brokers: &Brokers, folder: &Path) -> Result<Vec<Cell>, String> {
    let mut cells = vec![];
    for engines in &arguments.engines {
        for workers in &arguments.workers {
            let shape = Shape { engines: *engines, workers: *workers };
            eprintln!("{engines} engines, {workers} workers");
            let folder = folder.join(format!("{engines}-{workers}"));
            let warm = Duration::from_secs(if cells.is_empty() { arguments.warm } else { 0 });
            cells.push(cell(arguments, brokers, &folder, shape, warm)?);
        }
    }
    Ok(cells)
}

fn cell(
    arguments: &KafkaArguments,
    brokers: &Brokers,
    folder: &Path,
    shape: Shape,
    warm: Duration,
) -> Result<Cell, String> {
    let seconds = Duration::from_secs(arguments.seconds);
    let processes = Processes::start(arguments, brokers, folder, shape)?;
    let mut load: Load<Kafka<'_>> = place::start(arguments, brokers, processes)?;
    // The first run of each target and of each process costs what no later one does.
    load.warm(arguments.in_flight)?;
    if !warm.is_zero() {
        load.closed(arguments.in_flight, warm)?;
    }
    let saturated = load.closed(arguments.in_flight, seconds)?;
    let alone = load.closed(1, seconds)?;
    let half_load = load.open(saturated.runs_per_second() / 2.0, seconds)?;
    Ok(Cell {
        engines: shape.engines,
        workers: shape.workers,
        saturated: measured(&saturated),
        alone: measured(&alone),
        half_load: measured(&half_load),
    })
}

fn measured(taken: &Taken<Costs>) -> Measured {
    let Taken { before, after, .. } = taken;
    let cpu: BTreeMap<&str, f64> = after
        .cpu_seconds
        .iter()
        .map(|(kind, after)| {
            (*kind, taken.per_run((after - before.cpu_seconds.get(kind).unwrap_or(&0.0)) * 1e3))
        })
        .collect();
    let grown = |before: u64, after: u64| taken.per_run(after.saturating_sub(before) as f64);
    Measured {
        runs: taken.runs(),
        runs_per_second: taken.runs_per_second(),
        p50_ms: taken.quantile_ms(0.5),
        p99_ms: taken.quantile_ms(0.99),
        max_ms: taken.quantile_ms(1.0),
        cpu_ms_per_run: cpu.values().sum(),
        cpu_ms_per_run_by_process: cpu,
        batches_per_run: grown(before.topics.batches, after.topics.batches),
        records_per_run: grown(before.topics.records, after.topics.records),
        topic_bytes_per_run: grown(before.topics.bytes, after.topics.bytes) as u64,
        resident_mib_by_process: after.resident_mib.clone(),
    }
}

/// For people.
fn table(report: &Report) -> String {
    let Report { machine, workload, cells } = report;
    let mut text = format!(
        "{} cores of {}, load {}; {} brokers, {} partitions, {} in flight over {} targets\n",
        machine.cores,
        machine.cpu,
        machine.load,
        workload.brokers,
        workload.partitions,
        workload.in_flight,
        workload.targets
    );
    for cell in cells {
        let measured =
            [("saturated", &cell.saturated), ("one alone", &cell.alone), ("half load", &cell.half_load)];
        for (name, it) in measured {
            writeln!(
                text,
                "{} engines {} workers  {name}  {:.0} runs/s  p50 {:.1} ms  p99 {:.1} ms  {:.2} ms CPU a run  {:.1} batches  {} B a run",
                cell.engines,
                cell.workers,
                it.runs_per_second,
                it.p50_ms,
                it.p99_ms,
                it.cpu_ms_per_run,
                it.batches_per_run,
                it.topic_bytes_per_run
            )
            .expect("a string takes any text");
        }
    }
    text
}
