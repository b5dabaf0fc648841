//! Many seeds, and each guard taken away.
//!
//! `MODELRAIL_SEED` is the first seed, `MODELRAIL_SEEDS` how many. `MODELRAIL_REPORTS` names a folder that gets a report
//! of each suite.

mod controls;
mod golden;
mod report;

use self::report::Sum;
use super::*;

/// How many seeds a plain `cargo test` plays, in both worlds together.
const SEEDS: u64 = 2_000;
/// So many of a hundred are of a cluster, whose stories take twice as long.
const CLUSTER_PERCENT: u64 = 35;

/// Of a story's events: those of the storm, and some of the calm, in which nothing ends any more.
const CRASH_STEPS_MAX: usize = 1_000;

type World = fn(u64, &Options) -> Result<Report, Box<Violation>>;

fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => {
            text.parse().unwrap_or_else(|_| panic!("expected a number in {name}, but found `{text}`"))
        }
        Err(_) => default,
    }
}

fn of_a_cluster(seeds: u64) -> u64 {
    seeds * CLUSTER_PERCENT / 100
}

fn play_all(suite: &str, seeds: u64, expected: &[&[Fault]], world: World, options: &Options) {
    let first = number("MODELRAIL_SEED", 1);
    println!("{suite}: seeds {first} to {}", first + seeds - 1);
    let begun = std::time::Instant::now();
    let mut sum = Sum::default();
    // Of a single story all of it.
    let options =
        &Options { trace_lines: if seeds == 1 { usize::MAX } else { options.trace_lines }, ..*options };
    for seed in first..first + seeds {
        sum.add(world(seed, options));
    }
    let shortcomings = sum.shortcomings(expected, suite == "cluster");
    sum.conclude(suite, first, begun.elapsed().as_millis(), &shortcomings);
}

/// Whatever is not planned in a story, and yet must be seen.
const UNPLANNED: [Fault; 20] = [
    Fault::CrashCatchingUp,
    Fault::PowerLost,
    Fault::ViewBehind,
    Fault::ViewLost,
    Fault::JournalUnsynced,
    Fault::TornWrite,
    Fault::Quarantined,
    Fault::GatewaySilent,
    Fault::DuplicateInput,
    Fault::DuplicateOrder,
    Fault::DuplicateOutcome,
    Fault::LateOutcome,
    Fault::DeadWorker,
    Fault::SlowWorker,
    Fault::Zombie,
    Fault::Fenced,
    Fault::Repeated,
    Fault::OutsideLost,
    Fault::JournalLost,
    Fault::ClockJump,
];
const UNPLANNED_IN_A_CLUSTER: [Fault; 22] = [
    Fault::CoreDefect,
    Fault::Quarantined,
    Fault::ViewUnsynced,
    Fault::ViewLost,
    Fault::RevokedLate,
    Fault::CommandLost,
    Fault::CommandUnacknowledged,
    Fault::CancelLost,
    Fault::OutcomeLost,
    Fault::HeartbeatLost,
    Fault::GatewaySilent,
    Fault::OldBinary,
    Fault::JournalLost,
    Fault::DuplicateInput,
    Fault::DuplicateOrder,
    Fault::DuplicateOutcome,
    Fault::DeadWorker,
    Fault::SlowWorker,
    Fault::Zombie,
    Fault::Fenced,
    Fault::Repeated,
    Fault::OutsideLost,
];

#[test]
fn every_seed_keeps_what_must_hold_and_comes_to_an_end() {
    let seeds = number("MODELRAIL_SEEDS", SEEDS);
    let expected: [&[Fault]; 3] = [&Fault::CRASHES, &Fault::HINDRANCES, &UNPLANNED];
    play_all("embedded", seeds - of_a_cluster(seeds), &expected, embedded, &Options::embedded());
}

#[test]
fn every_seed_of_a_cluster_keeps_what_must_hold_and_comes_to_an_end() {
    let seeds = of_a_cluster(number("MODELRAIL_SEEDS", SEEDS));
    play_all("cluster", seeds, &[&Fault::CLUSTER, &UNPLANNED_IN_A_CLUSTER], cluster, &Options::cluster());
}

/// The process ends before each single event of a short story, and the story holds all the same.
#[test]
fn a_crash_at_every_step_costs_nothing() {
    let seed = number("MODELRAIL_SEED", 1);
    let calm = Options { faults: 0, hindrances: 0, ..Options::embedded() };
    let steps = embedded(seed, &calm).unwrap_or_else(|violation| panic!("{violation}")).steps;
    let mut crashes = 0;
    for step in (1..=steps).take(CRASH_STEPS_MAX) {
        let options = Options { crash_at: Some(step), ..calm };
        let report = embedded(seed, &options).unwrap_or_else(|violation| panic!("at {step}: {violation}"));
        crashes += report.count(Fault::CrashAtStep);
    }
    println!("{crashes} crashes of {steps} steps of seed {seed}");
    assert!(crashes > 100, "{crashes}");
}

#[test]
fn one_seed_gives_one_trace() {
    let worlds: [(World, Options); 2] = [(embedded, Options::embedded()), (cluster, Options::cluster())];
    for (world, options) in worlds {
        let play = |seed| world(seed, &options).unwrap_or_else(|violation| panic!("{violation}"));
        for seed in 1..=10 {
            assert_eq!(play(seed), play(seed), "seed {seed}");
        }
        assert_ne!(play(1).trace_hash, play(2).trace_hash);
    }
}
