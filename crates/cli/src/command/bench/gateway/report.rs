//! What was measured, as JSON and as a table. Medians over the rounds; ratios are taken within a round.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Value, json};

use super::cpu::{self, Cpu};
use super::load::Outcome;
use super::{GatewayArguments, Subject};
use crate::command::bench::machine::Machine;
use crate::output::Table;

/// One measurement of one subject.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) outcome: Outcome,
    /// Microseconds of CPU a request, by group of processes and thread.
    pub(super) cpu_us: BTreeMap<&'static str, Cpu>,
}

pub(super) type Rounds = BTreeMap<Subject, Vec<Measured>>;

/// What came of changing tables under load.
#[derive(Debug, Serialize)]
pub(super) struct Tables {
    pub(super) changes: u64,
    pub(super) refused: u64,
    pub(super) seconds: f64,
    pub(super) requests: u64,
    pub(super) failed: u64,
    pub(super) first_failure: Option<String>,
    pub(super) p99_us: u64,
    /// Since the gateway started, as all that follows.
    pub(super) requests_in_all: u64,
    pub(super) predictions_written: u64,
    pub(super) predictions_dropped: u64,
    pub(super) predictions_lost: u64,
}

/// All that is told.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    machine: Machine,
    settings: Value,
    peers: Vec<String>,
    not_installed: Vec<Subject>,
    throughput: BTreeMap<Subject, Throughput>,
    half_load_rate: f64,
    half_load: BTreeMap<Subject, HalfLoad>,
    tables: BTreeMap<Subject, Tables>,
}

/// Of a closed loop.
#[derive(Debug, Serialize)]
struct Throughput {
    requests_per_second: f64,
    of_each_round: Vec<f64>,
    /// Median of the ratios of each round to the direct call in it.
    ratio_to_direct: Option<f64>,
    ratio_to_nginx: Option<f64>,
    p50_us: f64,
    p99_us: f64,
    failed: u64,
    first_failure: Option<String>,
    /// Microseconds a request of all threads of a group.
    cpu_us: BTreeMap<&'static str, f64>,
    proxy_threads_cpu_us: Cpu,
}

/// Of an open loop.
#[derive(Debug, Serialize)]
struct HalfLoad {
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
    /// Medians of the differences of each round to the direct call in it.
    added_p50_us: Option<f64>,
    added_p99_us: Option<f64>,
    reached_rate: f64,
    failed: u64,
    cpu_us: BTreeMap<&'static str, f64>,
}

/// All figures as they came.
#[derive(Debug, Default)]
pub(super) struct Raw {
    pub(super) throughput: Rounds,
    pub(super) half_load: Rounds,
    pub(super) half_load_rate: f64,
    pub(super) tables: BTreeMap<Subject, Tables>,
    pub(super) peers: Vec<String>,
    pub(super) not_installed: Vec<Subject>,
}

impl Raw {
    /// Requests a second in the middle of all rounds.
    pub(super) fn rate_of(&self, subject: Subject) -> Option<f64> {
        self.throughput.get(&subject).map(|rounds| median(rounds.iter().map(rate)))
    }

    pub(super) fn report(self, machine: Machine, arguments: &GatewayArguments) -> Report {
        let throughput =
            self.throughput.iter().map(|(subject, rounds)| (*subject, self.throughput_of(rounds)));
        let half_load = self.half_load.iter().map(|(subject, rounds)| (*subject, self.half_load_of(rounds)));
        Report {
            machine,
            settings: json!({
                "rounds": arguments.rounds,
                "seconds": arguments.seconds,
                "connections": arguments.connections,
                "rows": arguments.rows,
                "model_server_apart": arguments.apart,
            }),
            throughput: throughput.collect(),
            half_load: half_load.collect(),
            half_load_rate: self.half_load_rate.round(),
            tables: self.tables,
            peers: self.peers,
            not_installed: self.not_installed,
        }
    }

    fn throughput_of(&self, rounds: &[Measured]) -> Throughput {
        let ratio = |to: Subject| {
            let to = self.throughput.get(&to)?;
            Some(thousandths(median(rounds.iter().zip(to).map(|(it, to)| rate(it) / rate(to)))))
        };
        let failures = rounds.iter().find_map(|it| it.outcome.first_failure.clone());
        Throughput {
            requests_per_second: median(rounds.iter().map(rate)).round(),
            of_each_round: rounds.iter().map(|it| rate(it).round()).collect(),
            ratio_to_direct: ratio(Subject::Direct),
            ratio_to_nginx: ratio(Subject::Nginx),
            p50_us: median(rounds.iter().map(|it| it.outcome.p50_us as f64)),
            p99_us: median(rounds.iter().map(|it| it.outcome.p99_us as f64)),
            failed: rounds.iter().map(|it| it.outcome.failed).sum(),
            first_failure: failures,
            cpu_us: cpu_of(rounds),
            proxy_threads_cpu_us: threads_of(rounds),
        }
    }

    fn half_load_of(&self, rounds: &[Measured]) -> HalfLoad {
        let added = |value: fn(&Outcome) -> u64| {
            let direct = self.half_load.get(&Subject::Direct)?;
            let pairs = rounds.iter().zip(direct);
            Some(median(pairs.map(|(it, to)| value(&it.outcome) as f64 - value(&to.outcome) as f64)))
        };
        let of = |value: fn(&Outcome) -> u64| median(rounds.iter().map(|it| value(&it.outcome) as f64));
        HalfLoad {
            p50_us: of(|it| it.p50_us),
            p99_us: of(|it| it.p99_us),
            p999_us: of(|it| it.p999_us),
            added_p50_us: added(|it| it.p50_us),
            added_p99_us: added(|it| it.p99_us),
            reached_rate: median(rounds.iter().map(rate)).round(),
            failed: rounds.iter().map(|it| it.outcome.failed).sum(),
            cpu_us: cpu_of(rounds),
        }
    }
}

impl Report {
    /// The table for people.
    pub(super) fn text(&self) -> String {
        let Machine { cpu, cores, kernel, load, profile, .. } = &self.machine;
        let mut text = format!("{cores} cores ({cpu}), Linux {kernel}, load {load}, {profile} build\n\n");
        let mut table =
            Table::new(&["", "requests/s", "of direct", "of nginx", "p99", "failed", "CPU a request"]);
        for (subject, it) in &self.throughput {
            let share = |ratio: Option<f64>| ratio.map_or(String::new(), |it| format!("{:.1} %", it * 100.0));
            let cpu = it.cpu_us.iter().map(|(name, us)| format!("{name} {us:.1} us")).collect::<Vec<_>>();
            table.row([
                format!("{subject:?}"),
                format!("{:.0}", it.requests_per_second),
                share(it.ratio_to_direct),
                share(it.ratio_to_nginx),
                format!("{:.0} us", it.p99_us),
                it.failed.to_string(),
                cpu.join(", "),
            ]);
        }
        text.push_str(&table.render());
        let _ = writeln!(text, "\nat {:.0} requests/s, open loop:\n", self.half_load_rate);
        let mut table = Table::new(&["", "p50", "p99", "p99.9", "added p50", "added p99", "failed"]);
        for (subject, it) in &self.half_load {
            let added = |added: Option<f64>| added.map_or(String::new(), |it| format!("{it:.0} us"));
            table.row([
                format!("{subject:?}"),
                format!("{:.0} us", it.p50_us),
                format!("{:.0} us", it.p99_us),
                format!("{:.0} us", it.p999_us),
                added(it.added_p50_us),
                added(it.added_p99_us),
                it.failed.to_string(),
            ]);
        }
        text.push_str(&table.render());
        for (subject, it) in &self.tables {
            let _ = writeln!(
                text,
                "\n{subject:?}: {} changes of the table in {:.1} s: {} of {} requests failed; of {} requests in all \
                 {} predictions written, {} dropped, {} lost",
                it.changes,
                it.seconds,
                it.failed,
                it.requests,
                it.requests_in_all,
                it.predictions_written,
                it.predictions_dropped,
                it.predictions_lost
            );
        }
        for subject in &self.not_installed {
            let _ = writeln!(text, "\n{subject:?} is not installed");
        }
        text
    }
}

fn rate(measured: &Measured) -> f64 {
    measured.outcome.requests as f64 / measured.outcome.seconds
}

/// The upper one of two in the middle; 0 of none.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

fn thousandths(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

fn cpu_of(rounds: &[Measured]) -> BTreeMap<&'static str, f64> {
    let names = rounds.iter().flat_map(|it| it.cpu_us.keys().copied());
    let of =
        |it: &Measured, name| it.cpu_us.get(name).and_then(|cpu| cpu.get(cpu::ALL)).copied().unwrap_or(0.0);
    names.map(|name| (name, thousandths(median(rounds.iter().map(|it| of(it, name)))))).collect()
}

fn threads_of(rounds: &[Measured]) -> Cpu {
    let threads = |it: &Measured| {
        let mut threads = it.cpu_us.get("proxy").cloned().unwrap_or_default();
        threads.remove(cpu::ALL);
        threads
    };
    let names: Vec<String> = rounds.iter().flat_map(|it| threads(it).into_keys()).collect();
    let of = |it: &Measured, name: &str| threads(it).get(name).copied().unwrap_or(0.0);
    names.into_iter().map(|name| (name.clone(), median(rounds.iter().map(|it| of(it, &name))))).collect()
}
