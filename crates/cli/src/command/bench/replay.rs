//! `modelrail bench replay`: how fast a log is read for its history, and how much memory that takes.
//!
//! Two ways: *fold* reads every record, checks its hash and place in the chain, and applies its events; *verify* is
//! all that the command `verify` does: it also decides every recorded input again, compares, and compares the rows of
//! the view. Both on one thread, and verify once more with a thread for each core. Each is a process of its own, so
//! that its memory is what it needs.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use clap::{Args, ValueEnum};
use engine::chain::Identity;
use engine::port::log::Log;
use engine::port::store::Store;
use engine::replay;
use rocks::Folder;
use serde::{Deserialize, Serialize};

use super::child::{self, Child};
use super::cost;
use super::fill::{self, Content, words};
use super::flow;
use super::machine::Machine;
use crate::exit::{Exit, Failure};
use crate::output::Output;

#[derive(Debug, Args)]
pub struct ReplayArguments {
    /// Where the data folders are made, kept, and found by the next call.
    #[arg(long, value_name = "DIR")]
    pub folder: PathBuf,
    /// How many runs the log has; each makes about eight transitions.
    #[arg(long, value_name = "N", default_value_t = 27_000)]
    pub runs: usize,
    /// How many times as long the second log is, to see what memory does; 0 for no second one.
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub longer: usize,
}

#[derive(Debug, Args)]
pub struct ReplayPartArguments {
    #[arg(long)]
    pub folder: PathBuf,
    #[arg(long, value_enum)]
    pub what: What,
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    Fold,
    Verify,
}

#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    logs: Vec<LogRead>,
}

#[derive(Debug, Serialize)]
struct LogRead {
    runs: usize,
    transitions: u64,
    bytes: u64,
    fold: Measured,
    verify: Measured,
    verify_all_cores: Measured,
}

#[derive(Debug, Serialize, Deserialize)]
struct Measured {
    threads: usize,
    transitions: u64,
    /// Of all records read.
    bytes: u64,
    seconds: f64,
    transitions_per_second: f64,
    /// Of the threads that read; what else the machine does is not in it.
    cpu_seconds: f64,
    /// By CPU time: what one core does when nobody else wants it.
    transitions_per_core_second: f64,
    resident_mib_before: u64,
    resident_mib_at_10_percent: u64,
    resident_mib_at_50_percent: u64,
    resident_mib_at_100_percent: u64,
    resident_mib_peak: u64,
}

pub(super) fn bench(arguments: &ReplayArguments, output: Output) -> Result<Exit, Failure> {
    let report = measure(arguments).map_err(|text| Failure::new(Exit::Failed, "BENCH", text))?;
    output.one(&report, table)?;
    Ok(Exit::Good)
}

/// For people.
fn table(report: &Report) -> String {
    let Machine { cores, cpu, load, .. } = &report.machine;
    let mut text = format!("{cores} cores of {cpu}, load {load}\n");
    for log in &report.logs {
        let LogRead { runs, transitions, bytes, .. } = log;
        writeln!(text, "{transitions} transitions of {runs} runs, {bytes} B")
            .expect("a string takes any text");
        let ways =
            [("fold", &log.fold), ("verify", &log.verify), ("verify, all cores", &log.verify_all_cores)];
        for (name, it) in ways {
            writeln!(
                text,
                "  {name}  {:.0} transitions/s  {:.0} by CPU time  resident {} to {} MiB",
                it.transitions_per_second,
                it.transitions_per_core_second,
                it.resident_mib_before,
                it.resident_mib_peak
            )
            .expect("a string takes any text");
        }
    }
    text
}

fn measure(arguments: &ReplayArguments) -> Result<Report, String> {
    let machine = Machine::of_this();
    let lengths = [1, arguments.longer].into_iter().filter(|times| *times > 0);
    let mut logs = vec![];
    for runs in lengths.map(|times| arguments.runs * times) {
        let content = Content { name: "replay", workflow: flow::DELIVERY, runs, runs_per_target: runs };
        let folder = fill::folder(&arguments.folder, &content)?;
        let read = |what: &str, threads: usize| -> Result<Measured, String> {
            eprintln!("{what} of {runs} runs, {threads} threads");
            let arguments = ["--what", what, "--threads", &threads.to_string()];
            let mut child =
                Child::start("replay-part", &folder, &arguments).map_err(|error| words(&error))?;
            child.read().map_err(|error| words(&error))
        };
        let fold = read("fold", 1)?;
        let (transitions, bytes) = (fold.transitions, fold.bytes);
        let (verify, verify_all_cores) = (read("verify", 1)?, read("verify", machine.cores)?);
        logs.push(LogRead { runs, transitions, bytes, fold, verify, verify_all_cores });
    }
    Ok(Report { machine, logs })
}

/// Is one of the processes: reads the whole log once.
pub(super) fn part(arguments: &ReplayPartArguments) -> Result<Exit, Failure> {
    let read = read(arguments).map_err(|text| Failure::new(Exit::Failed, "BENCH", text))?;
    child::answer(&read)
        .map_err(|error| Failure::new(Exit::Failed, "BENCH", "failed to answer").cause(&error))?;
    Ok(Exit::Good)
}

/// What the threads count together.
#[derive(Debug, Default)]
struct Counts {
    /// Partitions are taken one by one.
    next: AtomicU32,
    records: AtomicU64,
    transitions: AtomicU64,
    bytes: AtomicU64,
    cpu_ns: AtomicU64,
    /// At 10, 50 and 100 percent of the records.
    resident: [AtomicU64; 3],
}

fn read(arguments: &ReplayPartArguments) -> Result<Measured, String> {
    let folder = Folder::open(&arguments.folder).map_err(|error| words(&error))?;
    let database = folder.database();
    let ends = (0..database.partitions()).map(|partition| database.end(partition));
    let total: u64 = ends.sum::<Result<u64, _>>().map_err(|error| words(&error))?;
    let counts = Counts::default();
    let resident_mib_before = cost::resident_mib();
    let began = Instant::now();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..arguments.threads.max(1))
            .map(|_| scope.spawn(|| read_partitions(arguments.what, &*database, &*database, total, &counts)))
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked")?)
    })?;
    let seconds = began.elapsed().as_secs_f64();
    let transitions = counts.transitions.load(Relaxed);
    let cpu_seconds = counts.cpu_ns.load(Relaxed) as f64 / 1e9;
    let [at_10, at_50, at_100] = counts.resident.each_ref().map(|resident| resident.load(Relaxed));
    Ok(Measured {
        threads: arguments.threads,
        transitions,
        bytes: counts.bytes.load(Relaxed),
        seconds,
        transitions_per_second: transitions as f64 / seconds,
        cpu_seconds,
        transitions_per_core_second: transitions as f64 / cpu_seconds.max(1e-9),
        resident_mib_before,
        resident_mib_at_10_percent: at_10,
        resident_mib_at_50_percent: at_50,
        resident_mib_at_100_percent: at_100,
        resident_mib_peak: cost::resident_peak_mib(),
    })
}

/// Reads partitions until all are taken.
fn read_partitions(
    what: What,
    log: &dyn Log,
    store: &dyn Store,
    total: u64,
    counts: &Counts,
) -> Result<(), String> {
    let cpu = cost::thread_cpu_ns();
    let partitions = log.partitions();
    loop {
        let partition = counts.next.fetch_add(1, Relaxed);
        if partition >= partitions {
            break;
        }
        let identity = Identity { log_id: None, partition, partitions };
        let reader = replay::Reader::new(identity, wire::definitions::parsers());
        let seen = |bytes: usize| count(bytes, total, counts);
        let transitions = match what {
            What::Fold => {
                let folding = replay::fold_log(log, partition, reader, &seen);
                folding.map_err(|error| words(&error))?.transitions
            }
            What::Verify => {
                let report = replay::verify_log(log, partition, reader, &seen);
                let report = report.map_err(|error| words(&error))?;
                let differing = report.rows_differing(partition, store).map_err(|error| words(&error))?;
                if !report.is_clean() || !differing.is_empty() {
                    return Err(format!("partition {partition} of the log does not verify"));
                }
                report.transitions
            }
        };
        counts.transitions.fetch_add(transitions, Relaxed);
    }
    counts.cpu_ns.fetch_add(cost::thread_cpu_ns().saturating_sub(cpu), Relaxed);
    Ok(())
}

/// Counts a record; looks at the memory on the way.
fn count(bytes: usize, total: u64, counts: &Counts) {
    counts.bytes.fetch_add(bytes as u64, Relaxed);
    let number = counts.records.fetch_add(1, Relaxed) + 1;
    for (resident, percent) in counts.resident.iter().zip([10, 50, 100]) {
        if number == (total * percent).div_ceil(100) {
            resident.store(cost::resident_mib(), Relaxed);
        }
    }
}
