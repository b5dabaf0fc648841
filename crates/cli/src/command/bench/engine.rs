//! `modelrail bench engine`: whole runs through engine, desks and data folder.
//!
//! A run is *completed* when every stage has ended and its release is live; after the measurement every run's row
//! is read back to see that it was.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, channel};
use std::time::{Duration, Instant};

use api::Origin;
use clap::Args;
use domain::name::{RunId, TargetId};
use engine::partition::Answer;
use engine::request::Said;
use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::sync::oneshot;

use super::cost::{self, Cpu};
use super::flow::{Completed, NoOp, Triggers};
use super::machine::Machine;
use crate::config::Effective;
use crate::exit::{Exit, Failure};
use crate::node::{Bare, CarryOut, Message};
use crate::output::Output;

/// Without a completed run for this long something is stuck.
const STUCK: Duration = Duration::from_secs(20);
/// Runs under way at one target: one that has the slot, and one that is queued behind it.
const RUNS_PER_TARGET: usize = 2;

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
    let mut load = Load::start(arguments, folder)?;
    eprintln!("saturated, {} in flight over {} targets", arguments.in_flight, arguments.targets);
    let saturated = load.closed(arguments.in_flight, seconds)?;
    let transitions_per_run = load.transitions_per_run()?;
    eprintln!("one alone");
    let alone = load.closed(1, seconds)?;
    let rate = arguments.rate.unwrap_or(saturated.runs_per_second / 2.0);
    eprintln!("{rate:.0} runs a second");
    let half_load = load.open(rate, seconds)?;
    load.check_all()?;
    load.node.stop();
    let workload = Workload {
        in_flight: arguments.in_flight,
        targets: arguments.targets,
        seconds: arguments.seconds,
        stages: 4,
        transitions_per_run,
    };
    Ok((saturated, alone, half_load, workload))
}

/// What makes runs and waits for them.
struct Load {
    node: Bare,
    sender: SyncSender<Message>,
    completed: Receiver<Completed>,
    triggers: Triggers,
    /// Places for runs, each target as often as it may have one, longest unused first.
    free: VecDeque<TargetId>,
    /// When each was wanted, and where it goes.
    under_way: BTreeMap<RunId, UnderWay>,
    all: Vec<RunId>,
    folder: PathBuf,
}

struct UnderWay {
    wanted_at: Instant,
    target: TargetId,
    answer: oneshot::Receiver<Answer>,
}

/// What one measurement counts.
struct Counts {
    latencies: Histogram<u64>,
    began: Instant,
    cpu: Cpu,
    written: u64,
    folder: u64,
    syncs: u64,
}

impl Load {
    fn start(arguments: &EngineArguments, folder: &Path) -> Result<Self, String> {
        let mut config = Effective::defaults().parse().map_err(|error| error.to_string())?;
        folder.clone_into(&mut config.store.data);
        // A desk takes whatever is under way: what is measured is no lack of workers.
        config.limits.backlog_max = config.limits.backlog_max.max(arguments.in_flight * 2);
        let (sender, completed) = channel();
        let workers: Arc<dyn CarryOut> = Arc::new(NoOp::new(sender));
        let node = Bare::start(&config, &workers).map_err(|error| format!("{error}"))?;
        let targets = (0..arguments.targets).map(|number| {
            TargetId::parse(&format!("model-{number}@production")).map_err(|error| error.to_string())
        });
        let targets: Vec<TargetId> = targets.collect::<Result<_, _>>()?;
        let free = targets.iter().cycle().take(targets.len() * RUNS_PER_TARGET).cloned().collect();
        Ok(Self {
            sender: node.sender(),
            node,
            completed,
            triggers: Triggers::new(format!("/bench/{}", std::process::id()))?,
            free,
            under_way: BTreeMap::new(),
            all: vec![],
            folder: folder.to_owned(),
        })
    }

    /// Keeps so many under way.
    fn closed(&mut self, in_flight: usize, seconds: Duration) -> Result<Measured, String> {
        let began = Instant::now();
        let (warm, end) = (began + seconds / 10, began + seconds / 10 + seconds);
        for _ in 0..in_flight.min(self.free.len()) {
            self.say(Instant::now())?;
        }
        let mut counts = None;
        loop {
            let at = self.complete(counts.as_mut())?;
            if at >= end {
                break;
            }
            if counts.is_none() && at >= warm {
                counts = Some(self.counts()?);
            }
            self.say(Instant::now())?;
        }
        let measured = self.measured(counts.ok_or("too few runs to measure")?);
        while !self.under_way.is_empty() {
            self.complete(None)?;
        }
        Ok(measured)
    }

    /// Brings them in at a steady rate, whatever becomes of them: a run counts from when it was wanted.
    fn open(&mut self, rate: f64, seconds: Duration) -> Result<Measured, String> {
        let began = Instant::now();
        let (warm, end) = (began + seconds / 10, began + seconds / 10 + seconds);
        let mut counts = None;
        let mut said = 0_u32;
        loop {
            let due = began + Duration::from_secs_f64(f64::from(said) / rate);
            if due >= end {
                break;
            }
            if counts.is_none() && Instant::now() >= warm {
                counts = Some(self.counts()?);
            }
            match self.completed.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(done) => self.count(done, counts.as_mut())?,
                Err(RecvTimeoutError::Timeout) => {
                    // Late when no target is free: the wait for one is part of its latency.
                    if self.free.is_empty() {
                        self.complete(counts.as_mut())?;
                    } else {
                        self.say(due)?;
                        said += 1;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return Err("the desks have ended".into()),
            }
        }
        let measured = self.measured(counts.ok_or("too few runs to measure")?);
        while !self.under_way.is_empty() {
            self.complete(None)?;
        }
        Ok(measured)
    }

    fn say(&mut self, wanted_at: Instant) -> Result<(), String> {
        let target = self.free.pop_front().ok_or("no target is free")?;
        let trigger = self.triggers.next(&target);
        let run = trigger.run();
        let (sender, answer) = oneshot::channel();
        let origin = Origin { input_id: run.to_string(), traceparent: None };
        let message = Message::Say { said: Said::Trigger(Box::new(trigger)), origin, answer: sender };
        self.sender.send(message).map_err(|_| "the engine has ended")?;
        self.all.push(run);
        self.under_way.insert(run, UnderWay { wanted_at, target, answer });
        Ok(())
    }

    /// Waits for the next run that is completed.
    fn complete(&mut self, counts: Option<&mut Counts>) -> Result<Instant, String> {
        let Ok(done) = self.completed.recv_timeout(STUCK) else { return Err(self.stuck()) };
        let at = done.at;
        self.count(done, counts)?;
        Ok(at)
    }

    fn count(&mut self, done: Completed, counts: Option<&mut Counts>) -> Result<(), String> {
        let under_way = self.under_way.remove(&done.run).ok_or("a run was completed twice")?;
        if let Some(counts) = counts {
            let us = done.at.saturating_duration_since(under_way.wanted_at).as_micros() as u64;
            counts.latencies.record(us).map_err(|error| error.to_string())?;
        }
        self.free.push_back(under_way.target);
        Ok(())
    }

    /// Says what became of a run that does not end.
    fn stuck(&mut self) -> String {
        let Some((run, under_way)) = self.under_way.iter_mut().next() else {
            return "nothing is under way".into();
        };
        let answer = under_way.answer.try_recv();
        let row = self.node.store().run(*run);
        format!("no run was completed for {STUCK:?}; run {run} was answered {answer:?} and is {row:?}")
    }

    fn counts(&self) -> Result<Counts, String> {
        Ok(Counts {
            latencies: Histogram::new(3).map_err(|error| error.to_string())?,
            began: Instant::now(),
            cpu: cost::cpu(),
            written: cost::written_bytes(),
            folder: cost::folder_bytes(&self.folder),
            syncs: self.node.folder.database().syncs(),
        })
    }

    fn measured(&self, counts: Counts) -> Measured {
        let seconds = counts.began.elapsed().as_secs_f64();
        let runs = counts.latencies.len();
        let per_run = |value: f64| value / runs.max(1) as f64;
        let by_part: Cpu = cost::between(&counts.cpu, &cost::cpu());
        let ms = |us: u64| us as f64 / 1e3;
        Measured {
            runs,
            runs_per_second: runs as f64 / seconds,
            p50_ms: ms(counts.latencies.value_at_quantile(0.5)),
            p99_ms: ms(counts.latencies.value_at_quantile(0.99)),
            max_ms: ms(counts.latencies.max()),
            cpu_ms_per_run: per_run(by_part.values().sum::<f64>() * 1e3),
            cpu_ms_per_run_by_part: by_part
                .iter()
                .map(|(part, seconds)| (part.clone(), per_run(seconds * 1e3)))
                .collect(),
            written_bytes_per_run: (cost::written_bytes() - counts.written) / runs.max(1),
            folder_bytes_per_run: cost::folder_bytes(&self.folder).saturating_sub(counts.folder)
                / runs.max(1),
            syncs: self.node.folder.database().syncs() - counts.syncs,
            resident_mib: cost::resident_mib(),
        }
    }

    /// Records that touch the first runs, without those that only tell them of later ones.
    fn transitions_per_run(&self) -> Result<f64, String> {
        let rows = self.all.iter().rev().take(100).map(|run| self.node.store().run(*run));
        let mut transitions = 0;
        for row in rows {
            transitions += row.map_err(|error| error.to_string())?.map_or(0, |row| row.transitions);
        }
        Ok(transitions as f64 / self.all.len().clamp(1, 100) as f64)
    }

    /// Whether each run went live, as its row says.
    fn check_all(&self) -> Result<(), String> {
        for run in &self.all {
            let row = self.node.store().run(*run).map_err(|error| error.to_string())?;
            let state = row.map(|row| row.state).unwrap_or_default();
            if !["live", "standby", "retired"].contains(&state.as_str()) {
                return Err(format!("run {run} should have gone live, but is `{state}`"));
            }
        }
        Ok(())
    }
}
