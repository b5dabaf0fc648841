//! `modelrail bench live`: what runs that are open and wait cost the others.
//!
//! Two data folders, one with few live runs and one with many, each open in a process of its own. One run alone goes
//! through all stages in one, then in the other, over and over: what else the machine does meets both alike.

use std::fmt::Write as _;
use std::io::BufRead as _;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::child::{self, Child};
use super::cost;
use super::fill::{self, Content, Load, target_named, words};
use super::flow;
use super::machine::Machine;
use crate::exit::{Exit, Failure};
use crate::output::Output;

/// Runs that one process makes before the other has its turn.
const RUNS_IN_TURN: usize = 50;
/// How many live runs each target has.
const RUNS_PER_TARGET: usize = 4;
/// Targets that the measured runs go to, in turn.
const TARGETS: usize = 100;

#[derive(Debug, Args)]
pub struct LiveArguments {
    /// Where the data folders are made, kept, and found by the next call.
    #[arg(long, value_name = "DIR")]
    pub folder: PathBuf,
    /// How many live runs the one folder has.
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    pub runs: usize,
    /// How many live runs the other folder has, to compare with.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub few: usize,
    /// How long is measured, both together, after a tenth of it to warm up.
    #[arg(long, default_value_t = 20.0)]
    pub seconds: f64,
}

#[derive(Debug, Args)]
pub struct LivePartArguments {
    #[arg(long)]
    pub folder: PathBuf,
}

#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    few: Measured,
    many: Measured,
    /// How many times as long with many live runs as with few.
    p50_ratio: f64,
    p99_ratio: f64,
}

#[derive(Debug, Serialize)]
struct Measured {
    live_runs: usize,
    /// How many runs were measured.
    runs: u64,
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    cpu_ms_per_run: f64,
    /// From the start of the process until the engine has taken up everything.
    open_seconds: f64,
    resident_mib_open: u64,
    resident_mib: u64,
    resident_mib_peak: u64,
    folder_bytes: u64,
}

/// Said by a process when it has opened.
#[derive(Debug, Serialize, Deserialize)]
struct Opened {
    seconds: f64,
    resident_mib: u64,
    folder_bytes: u64,
}

/// A turn of a process.
#[derive(Debug, Serialize, Deserialize)]
struct Turn {
    latencies_us: Vec<u64>,
    cpu_seconds: f64,
    resident_mib: u64,
    resident_mib_peak: u64,
}

pub(super) fn bench(arguments: &LiveArguments, output: Output) -> Result<Exit, Failure> {
    let report = measure(arguments).map_err(|text| Failure::new(Exit::Failed, "BENCH", text))?;
    output.one(&report, table)?;
    Ok(Exit::Good)
}

/// For people.
fn table(report: &Report) -> String {
    let Machine { cores, cpu, load, .. } = &report.machine;
    let mut text = format!("{cores} cores of {cpu}, load {load}\n");
    for it in [&report.few, &report.many] {
        let Measured { live_runs, p50_ms, p99_ms, cpu_ms_per_run, open_seconds, .. } = it;
        writeln!(
            text,
            "{live_runs} live runs  p50 {p50_ms:.2} ms  p99 {p99_ms:.2} ms  {cpu_ms_per_run:.3} ms CPU a run  \
             opened in {open_seconds:.1} s  resident {} MiB, at most {}",
            it.resident_mib, it.resident_mib_peak
        )
        .expect("a string takes any text");
    }
    writeln!(text, "p50 {:.2} times, p99 {:.2} times", report.p50_ratio, report.p99_ratio)
        .expect("a string takes any text");
    text
}

/// One of the two processes, and what it has told.
struct Side {
    child: Child,
    opened: Opened,
    live_runs: usize,
    latencies: Histogram<u64>,
    cpu_seconds: f64,
    last: Option<Turn>,
}

fn measure(arguments: &LiveArguments) -> Result<Report, String> {
    let machine = Machine::of_this();
    let io = |error: std::io::Error| words(&error);
    let mut sides = vec![];
    for runs in [arguments.few, arguments.runs] {
        let content =
            Content { name: "live", workflow: flow::WAITING, runs, runs_per_target: RUNS_PER_TARGET };
        let folder = fill::folder(&arguments.folder, &content)?;
        let mut child = Child::start("live-part", &folder, &[]).map_err(io)?;
        let opened = child.read().map_err(io)?;
        let latencies = Histogram::new(3).map_err(|error| error.to_string())?;
        sides.push(Side { child, opened, live_runs: runs, latencies, cpu_seconds: 0.0, last: None });
    }
    eprintln!("one run alone, in turn");
    let began = Instant::now();
    // However slow the machine, something is measured.
    while began.elapsed().as_secs_f64() < arguments.seconds * 1.1
        || sides.iter().any(|it| it.latencies.is_empty())
    {
        let counts = began.elapsed().as_secs_f64() >= arguments.seconds * 0.1;
        for side in &mut sides {
            let turn: Turn = side.child.ask(&RUNS_IN_TURN).map_err(io)?;
            if counts {
                for us in &turn.latencies_us {
                    side.latencies.record(*us).map_err(|error| error.to_string())?;
                }
                side.cpu_seconds += turn.cpu_seconds;
            }
            side.last = Some(turn);
        }
    }
    let mut measured = sides.into_iter().map(Side::measured);
    let (Some(few), Some(many)) = (measured.next(), measured.next()) else {
        return Err("there are two sides".into());
    };
    let (p50_ratio, p99_ratio) = (many.p50_ms / few.p50_ms, many.p99_ms / few.p99_ms);
    Ok(Report { machine, few, many, p50_ratio, p99_ratio })
}

impl Side {
    fn measured(self) -> Measured {
        let Self { opened, live_runs, latencies, cpu_seconds, last, .. } = self;
        let at = |quantile: f64| latencies.value_at_quantile(quantile) as f64 / 1e3;
        Measured {
            live_runs,
            runs: latencies.len(),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            max_ms: latencies.max() as f64 / 1e3,
            cpu_ms_per_run: cpu_seconds * 1e3 / latencies.len().max(1) as f64,
            open_seconds: opened.seconds,
            resident_mib_open: opened.resident_mib,
            resident_mib: last.as_ref().map_or(0, |turn| turn.resident_mib),
            resident_mib_peak: last.as_ref().map_or(0, |turn| turn.resident_mib_peak),
            folder_bytes: opened.folder_bytes,
        }
    }
}

/// Is one of the processes, until stdin ends.
pub(super) fn part(arguments: &LivePartArguments) -> Result<Exit, Failure> {
    serve(arguments).map_err(|text| Failure::new(Exit::Failed, "BENCH", text))?;
    Ok(Exit::Good)
}

fn serve(arguments: &LivePartArguments) -> Result<(), String> {
    let io = |error: std::io::Error| words(&error);
    let began = Instant::now();
    let mut load = Load::start(&arguments.folder, flow::DELIVERY)?;
    // The first run is answered when everything is taken up.
    load.one(&target_named("one", 0)?)?;
    let seconds = began.elapsed().as_secs_f64();
    let folder_bytes = cost::folder_bytes(&arguments.folder);
    child::answer(&Opened { seconds, resident_mib: cost::resident_mib(), folder_bytes }).map_err(io)?;
    let mut made = 0;
    for line in std::io::stdin().lock().lines() {
        let runs: usize = serde_json::from_str(&line.map_err(io)?).map_err(|error| error.to_string())?;
        let cpu = cost::process_cpu_seconds();
        let mut latencies_us = vec![];
        for _ in 0..runs {
            made += 1;
            latencies_us.push(load.one(&target_named("one", made % TARGETS)?)?.as_micros() as u64);
        }
        let turn = Turn {
            latencies_us,
            cpu_seconds: cost::process_cpu_seconds() - cpu,
            resident_mib: cost::resident_mib(),
            resident_mib_peak: cost::resident_peak_mib(),
        };
        child::answer(&turn).map_err(io)?;
    }
    load.stop();
    Ok(())
}
