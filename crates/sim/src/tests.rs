//! Many seeds, and each guard taken away.
//!
//! `MODELRAIL_SEED` is the first seed, `MODELRAIL_SEEDS` how many.

use std::collections::BTreeMap;

use super::*;

/// How many seeds a plain `cargo test` plays.
const SEEDS: u64 = 1_000;
/// So many seeds suffice to find out that a guard is missing.
const SABOTAGED_SEEDS: u64 = 120;

fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => {
            text.parse().unwrap_or_else(|_| panic!("expected a number in {name}, but found `{text}`"))
        }
        Err(_) => default,
    }
}

fn play(seed: u64) -> Report {
    run(seed, &Options::default()).unwrap_or_else(|violation| panic!("{violation}"))
}

#[test]
fn every_seed_keeps_what_must_hold_and_comes_to_an_end() {
    let (first, seeds) = (number("MODELRAIL_SEED", 1), number("MODELRAIL_SEEDS", SEEDS));
    println!("seeds {first} to {}", first + seeds - 1);
    let mut faults: BTreeMap<Fault, u64> = BTreeMap::new();
    let mut ends: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut planned, mut injected, mut runs, mut transitions, mut steps) = (0, 0, 0, 0, 0);
    for seed in first..first + seeds {
        let report = play(seed);
        planned += report.planned;
        injected += report.injected();
        runs += report.runs;
        transitions += report.transitions;
        steps += report.steps;
        for (fault, count) in &report.faults {
            *faults.entry(*fault).or_default() += count;
        }
        for (end, count) in &report.ends {
            *ends.entry(end).or_default() += count;
        }
    }
    println!("{steps} steps, {transitions} transitions, {runs} runs {ends:?}");
    println!("{injected} of {planned} planned faults; all faults: {faults:?}");
    assert!(injected >= planned, "fewer faults than planned: {injected} of {planned}");
    if seeds >= 50 {
        let seen = |fault: &Fault| faults.get(fault).is_some_and(|count| *count > 0);
        let wanted = [
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
        let missing: Vec<&Fault> =
            Fault::CRASHES.iter().chain(&wanted).filter(|fault| !seen(fault)).collect();
        assert!(missing.is_empty(), "never seen: {missing:?}");
        for end in ["live", "blocked", "failed", "rolled_back", "superseded", "retired", "aborted", "refused"]
        {
            assert!(ends.contains_key(end), "no run ended `{end}`: {ends:?}");
        }
    }
}

#[test]
fn one_seed_gives_one_trace() {
    for seed in 1..=10 {
        assert_eq!(play(seed), play(seed), "seed {seed}");
    }
    assert_ne!(play(1).trace_hash, play(2).trace_hash);
}

/// The first violation that the sabotage leads to.
fn found_out(sabotage: Sabotage) -> Violation {
    let options = Options { sabotage: Some(sabotage), ..Options::default() };
    let found = (1..=SABOTAGED_SEEDS).find_map(|seed| run(seed, &options).err());
    *found.unwrap_or_else(|| panic!("{sabotage:?} was not found out in {SABOTAGED_SEEDS} seeds"))
}

fn assert_found_out(sabotage: Sabotage, expected: &str) {
    let violation = found_out(sabotage);
    println!("{sabotage:?}: seed {}, step {}: {}", violation.seed, violation.step, violation.text);
    assert!(violation.text.contains(expected), "{violation}");
}

#[test]
fn a_row_without_its_effects_is_found_out() {
    assert_found_out(Sabotage::RowWithoutEffects, "is outstanding, and nobody was told");
}

#[test]
fn orders_lost_at_the_start_are_found_out() {
    assert_found_out(Sabotage::OrdersLostAtStart, "is outstanding, and nobody was told");
}

#[test]
fn a_clock_without_max_is_found_out() {
    assert_found_out(Sabotage::ClockWithoutMax, "TIME_BROKEN");
}

#[test]
fn a_lease_counted_from_sending_is_found_out() {
    assert_found_out(Sabotage::LeaseFromSending, "after it was heard of");
}

#[test]
fn a_gateway_without_a_generation_check_is_found_out() {
    assert_found_out(Sabotage::NoGenerationCheck, "went back from generation");
}

#[test]
fn an_acknowledgement_before_the_sync_is_found_out() {
    assert_found_out(Sabotage::AcknowledgedBeforeSync, "lost records");
}

#[test]
fn duplicates_that_are_not_recognised_are_found_out() {
    let violation = found_out(Sabotage::DuplicatesNotRecognised);
    let twice = ["decided twice", "has two runs"].iter().any(|text| violation.text.contains(text));
    assert!(twice, "{violation}");
}
