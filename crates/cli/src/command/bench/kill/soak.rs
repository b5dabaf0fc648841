//! `modelrail bench soak`: steady load for hours, and the engine's process killed again and again.
//!
//! It fails when something was lost or done twice, when there were fewer kills than planned, when the rate was
//! not held, when the log does not verify, or when the process grows: what it holds in the last quarter is compared with
//! the first.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use hdrhistogram::Histogram;
use serde::Serialize;

use super::super::cost;
use super::super::machine::Machine;
use super::check::{self, Verified};
use super::ledger::Faults;
use super::line::Phases;
use super::process::Held;
use super::rig::{self, Event, Rig};
use super::worker::look;
use super::{Spread, ms};
use crate::exit::{Exit, Failure};
use crate::output::Output;

/// What the mean of the last quarter may have over that of the first: a part, and a rest for small processes.
const RESIDENT_GROWTH: f64 = 1.25;
const RESIDENT_REST_MIB: f64 = 64.0;
/// Files that come and go: a log that is replaced, a lock.
const FILES_REST: u64 = 8;
const THREADS_REST: u64 = 0;
/// For so long before a kill answers are lost on their way, so that each kill finds commands that were carried out
/// and that the engine knows nothing of.
const LOST_BEFORE: Duration = Duration::from_millis(200);
/// No more than this are under way: an engine that falls behind is not buried, and the rate is missed instead.
const OPEN_MAX: usize = 2_000;
/// The part of the planned runs that must have begun.
const RATE_HELD: f64 = 0.9;
/// With fewer kills the quarters are no quarters.
const PERIODS_MIN: usize = 8;
/// A turn of the loop takes milliseconds; a kill and a start some tens.
const STALL_MIN: Duration = Duration::from_secs(1);
/// Nothing happens for this long only when something is stuck.
const STUCK: Duration = Duration::from_mins(1);

#[derive(Debug, Args)]
pub struct SoakArguments {
    /// Where everything is kept; it is made, and left behind for whoever wants to look.
    #[arg(long, value_name = "DIR")]
    pub folder: PathBuf,
    #[arg(long, default_value_t = 2.0)]
    pub hours: f64,
    /// How many runs begin each second.
    #[arg(long, default_value_t = 150.0)]
    pub rate: f64,
    /// How long the process lives.
    #[arg(long, default_value = "60s", value_parser = seconds)]
    pub kill_every: Duration,
    /// How many targets the runs go to. A target that the new process meets is folded from its whole history.
    #[arg(long, default_value_t = 50_000)]
    pub targets: usize,
    /// The workers are killed too: it must be found out.
    #[arg(long, hide = true)]
    pub workers_die: bool,
}

/// `90`, `90s`, `1.5s`.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.trim_end_matches('s').parse().map_err(|_| "expected seconds, such as `60s`")?;
    Duration::try_from_secs_f64(number).map_err(|error| error.to_string())
}

#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    hours: f64,
    runs_per_second: f64,
    kill_every_seconds: f64,
    targets: usize,
    runs_planned: u64,
    runs_said: u64,
    runs_accepted: u64,
    runs_ended: u64,
    commands_carried_out: u64,
    /// After a kill, though they were carried out or under way.
    commands_ordered_again: u64,
    /// By another attempt, after the engine had given up the former.
    effects_again: u64,
    kills_planned: u64,
    kills: u64,
    faults: Faults,
    latency_p50_ms: f64,
    latency_p99_ms: f64,
    latency_max_ms: f64,
    /// From the start of a new process to the first thing that stands in a record of it.
    first_step_ms: Spread,
    first_quarter: Quarter,
    last_quarter: Quarter,
    /// What grew beyond its bound, in words.
    grew: Vec<String>,
    verified: Verified,
    periods: Vec<Period>,
    passed: bool,
}

/// Between two kills; what is held is looked at just before the second.
#[derive(Debug, Clone, Serialize)]
struct Period {
    at_seconds: f64,
    engine: Held,
    /// This process: the workers, their journal, the ledger.
    workers: Held,
    folder_mib: u64,
    runs: u64,
    runs_per_second: f64,
    open: usize,
    /// This process was not let run: the machine stood still, or was asked to.
    stalled_seconds: f64,
    p50_ms: f64,
    p99_ms: f64,
    first_step_ms: f64,
    opening: Phases,
}

#[derive(Debug, Clone, Default, Serialize)]
struct Quarter {
    resident_mib_mean: f64,
    files_max: u64,
    threads_max: u64,
    workers_resident_mib_mean: f64,
    workers_files_max: u64,
    workers_threads_max: u64,
}

impl Quarter {
    fn of(periods: &[Period]) -> Self {
        let mean =
            |of: fn(&Period) -> u64| periods.iter().map(of).sum::<u64>() as f64 / periods.len().max(1) as f64;
        let max = |of: fn(&Period) -> u64| periods.iter().map(of).max().unwrap_or(0);
        Self {
            resident_mib_mean: mean(|it| it.engine.resident_mib),
            files_max: max(|it| it.engine.files),
            threads_max: max(|it| it.engine.threads),
            workers_resident_mib_mean: mean(|it| it.workers.resident_mib),
            workers_files_max: max(|it| it.workers.files),
            workers_threads_max: max(|it| it.workers.threads),
        }
    }

    /// What is more than it may be after `first`.
    fn grew(&self, first: &Self) -> Vec<String> {
        let resident = |now: f64, then: f64| now > then * RESIDENT_GROWTH + RESIDENT_REST_MIB;
        let (files, threads) = (|now, then| now > then + FILES_REST, |now, then| now > then + THREADS_REST);
        let found = [
            (resident(self.resident_mib_mean, first.resident_mib_mean), "the engine's memory"),
            (files(self.files_max, first.files_max), "the engine's open files"),
            (threads(self.threads_max, first.threads_max), "the engine's threads"),
            (
                resident(self.workers_resident_mib_mean, first.workers_resident_mib_mean),
                "the workers' memory",
            ),
            (files(self.workers_files_max, first.workers_files_max), "the workers' open files"),
            (threads(self.workers_threads_max, first.workers_threads_max), "the workers' threads"),
        ];
        found.into_iter().filter(|(grew, _)| *grew).map(|(_, what)| what.to_owned()).collect()
    }
}

pub(in super::super) fn soak(arguments: &SoakArguments, output: Output) -> Result<Exit, Failure> {
    let report = measure(arguments).map_err(|text| Failure::new(Exit::Failed, "BENCH", text))?;
    output.one(&report, table)?;
    Ok(if report.passed { Exit::Good } else { Exit::Failed })
}

/// For people.
fn table(report: &Report) -> String {
    let Report { runs_ended, kills, hours, first_step_ms, faults, verified, .. } = report;
    let mut text = format!("{runs_ended} runs in {hours} h with {kills} kills\n");
    for (name, quarter) in [("first quarter", &report.first_quarter), ("last quarter", &report.last_quarter)]
    {
        let Quarter { resident_mib_mean, files_max, threads_max, .. } = quarter;
        writeln!(text, "{name}  {resident_mib_mean:.0} MiB  {files_max} files  {threads_max} threads")
            .expect("a string takes any text");
    }
    let Spread { median, worst } = first_step_ms;
    write!(
        text,
        "first step after {median:.0} ms, at worst {worst:.0} ms\n{} faults {:?}, log good: {}, grew: {:?}\n",
        faults.all(),
        faults.words,
        verified.good,
        report.grew
    )
    .expect("a string takes any text");
    text
}

struct Soak {
    rig: Rig,
    began: Instant,
    all: Histogram<u64>,
    /// Of this period.
    latencies: Histogram<u64>,
    period_began: Instant,
    spawned_at: Instant,
    first_step: Duration,
    opening: Phases,
    heard_at: Instant,
    stalled: Duration,
    periods: Vec<Period>,
}

fn measure(arguments: &SoakArguments) -> Result<Report, String> {
    let machine = Machine::of_this();
    let now = Instant::now();
    let rig = Rig::start(rig::Plan {
        folder: arguments.folder.clone(),
        targets: arguments.targets,
        in_flight: arguments.targets * 2,
        source: format!("/soak/{}", std::process::id()),
        workers_die: arguments.workers_die,
    })?;
    let histogram = || Histogram::new(3).map_err(|error| error.to_string());
    let mut soak = Soak {
        rig,
        began: now,
        all: histogram()?,
        latencies: histogram()?,
        period_began: now,
        spawned_at: now,
        first_step: Duration::ZERO,
        opening: Phases::default(),
        heard_at: now,
        stalled: Duration::ZERO,
        periods: vec![],
    };
    let length = Duration::from_secs_f64(arguments.hours * 3_600.0);
    let (said, kills) = soak.run(length, arguments.rate, arguments.kill_every)?;
    let kills_planned = (length.as_secs_f64() / arguments.kill_every.as_secs_f64()) as u64 - 1;
    let Soak { rig, all, periods, .. } = soak;
    eprintln!("verifying");
    let data = rig.data();
    let book = rig.stop()?;
    let mut book = look(&book);
    let verified = check::check(&data, &mut book)?;
    let quarter = periods.len() / 4;
    let (first, last) = periods.split_at(quarter);
    let first_quarter = Quarter::of(first);
    let last_quarter = Quarter::of(&last[last.len() - quarter..]);
    let grew = if periods.len() < PERIODS_MIN { vec![] } else { last_quarter.grew(&first_quarter) };
    let at = |quantile| all.value_at_quantile(quantile) as f64 / 1e3;
    let runs_planned = (length.as_secs_f64() * arguments.rate) as u64;
    let rate_held = said as f64 >= runs_planned as f64 * RATE_HELD;
    // A soak that saw no answer lost proves little.
    let passed = rate_held
        && book.faults.all() == 0
        && kills >= kills_planned
        && book.ordered_again >= kills
        && verified.good
        && grew.is_empty();
    Ok(Report {
        machine,
        hours: arguments.hours,
        runs_per_second: arguments.rate,
        kill_every_seconds: arguments.kill_every.as_secs_f64(),
        targets: arguments.targets,
        runs_planned,
        runs_said: said,
        runs_accepted: book.accepted(),
        runs_ended: book.ended,
        commands_carried_out: book.carried_out,
        commands_ordered_again: book.ordered_again,
        effects_again: book.effects_again,
        kills_planned,
        kills,
        faults: book.faults.clone(),
        latency_p50_ms: at(0.5),
        latency_p99_ms: at(0.99),
        latency_max_ms: all.max() as f64 / 1e3,
        first_step_ms: Spread::of(periods.iter().skip(1).map(|period| period.first_step_ms)),
        first_quarter,
        last_quarter,
        grew,
        verified,
        periods,
        passed,
    })
}

impl Soak {
    /// Runs said and kills made.
    fn run(&mut self, length: Duration, rate: f64, kill_every: Duration) -> Result<(u64, u64), String> {
        let end = self.began + length;
        let (mut said, mut kills) = (0_u64, 0_u64);
        let mut next_kill = self.began + kill_every;
        let mut last = self.began;
        loop {
            let now = Instant::now();
            let since = now - std::mem::replace(&mut last, now);
            if since > STALL_MIN {
                self.stalled += since;
            }
            if now >= end {
                break;
            }
            if now >= next_kill {
                self.look();
                self.rig.kill()?;
                self.rig.lose_reports(false);
                self.spawned_at = self.rig.spawn()?;
                (kills, next_kill) = (kills + 1, next_kill + kill_every);
                continue;
            }
            let dying = next_kill.checked_sub(LOST_BEFORE).unwrap_or(next_kill);
            self.rig.lose_reports(now >= dying);
            let due = self.began + Duration::from_secs_f64(said as f64 / rate);
            let has_room = self.rig.has_room() && look(&self.rig.book).open.len() < OPEN_MAX;
            if due <= now && has_room {
                self.rig.say(due)?;
                said += 1;
                continue;
            }
            let until = if has_room { due } else { end };
            let kill = if now < dying { dying } else { next_kill };
            let wait = until.min(kill).min(end).saturating_duration_since(now).min(STALL_MIN / 2);
            self.wait(wait)?;
        }
        self.rig.lose_reports(false);
        self.look();
        let drained = |soak: &Self| look(&soak.rig.book).open.is_empty();
        while !drained(self) {
            self.wait(STUCK)?;
        }
        Ok((said, kills))
    }

    fn wait(&mut self, wait: Duration) -> Result<(), String> {
        match self.rig.next(wait)? {
            Some(event) => {
                self.heard_at = Instant::now();
                self.take(event)
            }
            None if self.heard_at.elapsed() > STUCK => Err(self.rig.stuck()),
            None => Ok(()),
        }
    }

    fn take(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Up(phases, _) => self.opening = phases,
            Event::FirstStep(at) => self.first_step = at.saturating_duration_since(self.spawned_at),
            Event::Completed(completed) => {
                if let Some(latency) = self.rig.completed(&completed) {
                    let us = latency.as_micros() as u64;
                    self.all.record(us).map_err(|error| error.to_string())?;
                    self.latencies.record(us).map_err(|error| error.to_string())?;
                }
            }
        }
        Ok(())
    }

    /// Writes down this period.
    fn look(&mut self) {
        let seconds = self.period_began.elapsed().as_secs_f64();
        let (runs, open) = (self.latencies.len(), look(&self.rig.book).open.len());
        let at = |quantile| self.latencies.value_at_quantile(quantile) as f64 / 1e3;
        let period = Period {
            at_seconds: self.began.elapsed().as_secs_f64(),
            engine: Held::by(self.rig.id()),
            workers: Held::by(std::process::id()),
            folder_mib: cost::folder_bytes(&self.rig.data()) >> 20,
            runs,
            runs_per_second: runs as f64 / seconds,
            open,
            stalled_seconds: std::mem::take(&mut self.stalled).as_secs_f64(),
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            first_step_ms: ms(self.first_step),
            opening: self.opening,
        };
        // So that a soak that is cut short leaves something to read.
        eprintln!("{}", serde_json::to_string(&period).unwrap_or_default());
        self.periods.push(period);
        self.latencies.reset();
        self.period_began = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_beyond_its_bound_is_named() {
        let first = Quarter {
            resident_mib_mean: 200.0,
            files_max: 25,
            threads_max: 8,
            workers_resident_mib_mean: 100.0,
            workers_files_max: 30,
            workers_threads_max: 24,
        };
        assert!(first.grew(&first).is_empty());
        let within = Quarter { resident_mib_mean: 310.0, files_max: 33, ..first.clone() };
        assert!(within.grew(&first).is_empty());
        let beyond = Quarter { resident_mib_mean: 320.0, files_max: 34, threads_max: 9, ..first.clone() };
        assert_eq!(
            beyond.grew(&first),
            ["the engine's memory", "the engine's open files", "the engine's threads"]
        );
        let workers = Quarter {
            workers_resident_mib_mean: 190.0,
            workers_files_max: 39,
            workers_threads_max: 25,
            ..first.clone()
        };
        assert_eq!(
            workers.grew(&first),
            ["the workers' memory", "the workers' open files", "the workers' threads"]
        );
    }

    #[test]
    fn seconds_are_read_with_and_without_their_unit() {
        assert_eq!(seconds("60s"), Ok(Duration::from_mins(1)));
        assert_eq!(seconds("1.5"), Ok(Duration::from_millis(1_500)));
        assert!(seconds("a minute").is_err() && seconds("-1s").is_err());
    }
}
