//! Many seeds, and each guard taken away.
//!
//! `MODELRAIL_SEED` is the first seed, `MODELRAIL_SEEDS` how many. `MODELRAIL_REPORT` names a file that gets a line of
//! JSON for each world.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::*;

/// How many seeds a plain `cargo test` plays, in both worlds together.
const SEEDS: u64 = 2_000;
/// So many of a hundred are of a cluster, whose stories take twice as long.
const CLUSTER_PERCENT: u64 = 35;
/// So many seeds suffice to find out that a guard is missing.
const SABOTAGED_SEEDS: u64 = 60;

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

/// What the stories of many seeds come to.
#[derive(Default)]
struct Sum {
    seeds: u64,
    planned: BTreeMap<Fault, u64>,
    faults: BTreeMap<Fault, u64>,
    ends: BTreeMap<&'static str, u64>,
    /// By name, in the order of the report.
    counts: BTreeMap<&'static str, u64>,
    violations: Vec<String>,
}

impl Sum {
    fn add(&mut self, told: Result<Report, Box<Violation>>) {
        self.seeds += 1;
        let report = match told {
            Ok(report) => report,
            Err(violation) => {
                println!("seed {}: {}", violation.seed, violation.text);
                return self.violations.push(violation.to_string());
            }
        };
        for (all, one) in [(&mut self.planned, &report.planned), (&mut self.faults, &report.faults)] {
            for (fault, count) in one {
                *all.entry(*fault).or_default() += count;
            }
        }
        for (end, count) in &report.ends {
            *self.ends.entry(end).or_default() += count;
        }
        let counts = [
            ("steps", report.steps),
            ("runs", report.runs),
            ("transitions", report.transitions),
            ("chapters", report.chapters),
            ("losers", report.losers),
            ("doubts", report.doubts),
            ("claims", report.claims),
            ("claims_lost", report.claims_lost),
            ("displaced", report.displaced),
            ("formats_raised", report.formats_raised),
        ];
        for (name, count) in counts {
            *self.counts.entry(name).or_default() += count;
        }
    }

    fn to_json(&self, world: &str, first: u64, millis: u128) -> String {
        let faults = |counts: &BTreeMap<Fault, u64>| {
            let pairs: Vec<_> =
                counts.iter().map(|(fault, count)| format!("\"{fault:?}\":{count}")).collect();
            format!("{{{}}}", pairs.join(","))
        };
        let ends: Vec<_> = self.ends.iter().map(|(end, count)| format!("\"{end}\":{count}")).collect();
        let mut json = format!(
            "{{\"world\":\"{world}\",\"first_seed\":{first},\"seeds\":{},\"millis\":{millis}",
            self.seeds
        );
        for (name, count) in &self.counts {
            write!(json, ",\"{name}\":{count}").unwrap();
        }
        write!(json, ",\"planned\":{},\"injected\":{}", faults(&self.planned), faults(&self.faults)).unwrap();
        write!(json, ",\"ends\":{{{}}},\"violations\":{}}}", ends.join(","), self.violations.len()).unwrap();
        json
    }
}

fn play_all(name: &str, world: World, options: &Options, seeds: u64) -> Sum {
    use std::io::Write as _;
    let first = number("MODELRAIL_SEED", 1);
    println!("{name}: seeds {first} to {}", first + seeds - 1);
    let begun = std::time::Instant::now();
    let mut sum = Sum::default();
    for seed in first..first + seeds {
        sum.add(world(seed, options));
    }
    let json = sum.to_json(name, first, begun.elapsed().as_millis());
    println!("{json}");
    if let Ok(path) = std::env::var("MODELRAIL_REPORT") {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        writeln!(file, "{json}").unwrap();
    }
    let violations = sum.violations.len();
    assert!(violations == 0, "{violations} violations, the first:\n{}", sum.violations[0]);
    for (fault, planned) in &sum.planned {
        let injected = sum.faults.get(fault).copied().unwrap_or(0);
        assert!(injected >= *planned, "fewer faults than planned: {fault:?} {injected} of {planned}");
    }
    sum
}

fn expect_seen(sum: &Sum, faults: &[Fault]) {
    let missing: Vec<_> = faults.iter().filter(|fault| !sum.faults.contains_key(fault)).collect();
    assert!(missing.is_empty(), "never seen: {missing:?}");
    for end in ["live", "blocked", "failed", "rolled_back", "superseded", "retired", "aborted", "refused"] {
        assert!(sum.ends.contains_key(end), "no run ended `{end}`: {:?}", sum.ends);
    }
    assert!(sum.counts["chapters"] > sum.seeds, "few chapters were opened: {:?}", sum.counts);
}

/// Whatever is not planned in a story, and yet must be seen.
const UNPLANNED: [Fault; 12] = [
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
const UNPLANNED_IN_A_CLUSTER: [Fault; 20] = [
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
    let sum = play_all("embedded", embedded, &Options::embedded(), seeds - of_a_cluster(seeds));
    if sum.seeds >= 50 {
        expect_seen(&sum, &Fault::CRASHES);
        expect_seen(&sum, &UNPLANNED);
    }
}

#[test]
fn every_seed_of_a_cluster_keeps_what_must_hold_and_comes_to_an_end() {
    let seeds = number("MODELRAIL_SEEDS", SEEDS);
    let sum = play_all("cluster", cluster, &Options::cluster(), of_a_cluster(seeds));
    if sum.seeds >= 50 {
        expect_seen(&sum, &Fault::CLUSTER);
        expect_seen(&sum, &UNPLANNED_IN_A_CLUSTER);
        for name in ["losers", "doubts", "claims_lost", "displaced", "formats_raised"] {
            assert!(sum.counts[name] > 0, "no {name} were seen: {:?}", sum.counts);
        }
    }
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
/// Has the sabotage found out in one of the first seeds, by one of these.
fn assert_found_out(sabotage: Sabotage, expected: &[&str]) {
    let (world, options): (World, Options) = if Sabotage::EMBEDDED.contains(&sabotage) {
        (embedded, Options::embedded())
    } else {
        (cluster, Options::cluster())
    };
    let options = Options { sabotage: Some(sabotage), ..options };
    let found = (1..=SABOTAGED_SEEDS).find_map(|seed| world(seed, &options).err());
    let violation =
        found.unwrap_or_else(|| panic!("{sabotage:?} was not found out in {SABOTAGED_SEEDS} seeds"));
    println!("{sabotage:?}: seed {}, step {}: {}", violation.seed, violation.step, violation.text);
    assert!(expected.iter().any(|text| violation.text.contains(text)), "{violation}");
}

#[test]
fn a_row_without_its_effects_is_found_out() {
    assert_found_out(Sabotage::RowWithoutEffects, &["is outstanding, and nobody was told"]);
}

#[test]
fn orders_lost_at_the_start_are_found_out() {
    assert_found_out(Sabotage::OrdersLostAtStart, &["is outstanding, and nobody was told"]);
}

#[test]
fn a_clock_without_max_is_found_out() {
    assert_found_out(Sabotage::ClockWithoutMax, &["TIME_BROKEN"]);
}

#[test]
fn a_lease_counted_from_sending_is_found_out() {
    assert_found_out(Sabotage::LeaseFromSending, &["after it was heard of"]);
}

#[test]
fn a_gateway_without_a_generation_check_is_found_out() {
    assert_found_out(Sabotage::NoGenerationCheck, &["went back from generation"]);
}

#[test]
fn an_acknowledgement_before_the_sync_is_found_out() {
    assert_found_out(Sabotage::AcknowledgedBeforeSync, &["lost records"]);
}

#[test]
fn duplicates_that_are_not_recognised_are_found_out() {
    assert_found_out(Sabotage::DuplicatesNotRecognised, &["decided twice", "has two runs"]);
}

#[test]
fn acting_on_an_acknowledgement_is_found_out() {
    assert_found_out(Sabotage::ActOnAcknowledgement, &["accepts a record"]);
}

#[test]
fn recognising_own_records_by_seq_is_found_out() {
    assert_found_out(Sabotage::OwnBySeq, &["accepts a record"]);
}

#[test]
fn lanes_not_read_again_after_a_doubt_are_found_out() {
    assert_found_out(Sabotage::LanesNotReadAgain, &["which is lost"]);
}

#[test]
fn lane_positions_from_the_group_are_found_out() {
    assert_found_out(Sabotage::PositionsFromGroup, &["which is lost"]);
}

#[test]
fn a_reader_of_committed_records_only_is_found_out() {
    assert_found_out(Sabotage::ReadCommitted, &["accepts a record", "HISTORY_GAP", "stuck"]);
}

#[test]
fn a_hash_without_the_claim_is_found_out() {
    assert_found_out(Sabotage::HashWithoutClaim, &["accepts a record"]);
}

#[test]
fn a_deleted_record_is_found_out() {
    assert_found_out(Sabotage::RecordDeleted, &["HISTORY_GAP"]);
}

#[test]
fn a_gap_that_nobody_minds_is_found_out() {
    assert_found_out(Sabotage::GapRuleOff, &["accepts a record", "stuck"]);
}

#[test]
fn dispatched_dropped_at_takeover_is_found_out() {
    assert_found_out(Sabotage::DispatchedDroppedAtTakeover, &["is in no topic"]);
}

#[test]
fn dispatched_before_the_acknowledgement_is_found_out() {
    assert_found_out(Sabotage::DispatchedBeforeAcknowledged, &["is in no topic"]);
}

#[test]
fn two_records_for_a_run_and_its_target_are_found_out() {
    assert_found_out(Sabotage::SplitTransition, &["invariant", "does not fit"]);
}

#[test]
fn workers_without_a_journal_are_found_out() {
    assert_found_out(Sabotage::NoJournal, &["which it has written down"]);
}
