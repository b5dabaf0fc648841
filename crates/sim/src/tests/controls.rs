//! Each guard taken away, and found out. README.md beside this crate's manifest lists them.

use super::{World, cluster, embedded};
use crate::{Options, Sabotage};

/// So many seeds suffice to find out that a guard is missing.
const SABOTAGED_SEEDS: u64 = 200;

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
fn moments_that_are_not_read_on_are_found_out() {
    assert_found_out(Sabotage::MomentsNotReadOn, &["stuck after"]);
}

#[test]
fn a_kept_state_that_misses_a_record_is_found_out() {
    assert_found_out(Sabotage::KeptStateMissesARecord, &["is not what the log folds to", "does not fit"]);
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
fn a_model_server_without_a_check_of_attempts_is_found_out() {
    assert_found_out(Sabotage::NoAttemptCheck, &["to which callers are led"]);
}

#[test]
fn an_acknowledgement_before_the_sync_is_found_out() {
    assert_found_out(Sabotage::AcknowledgedBeforeSync, &["lost records", "FOREIGN_STORE"]);
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
    assert_found_out(Sabotage::SplitTransition, &["invariant", "does not fit", "decided differently"]);
}

#[test]
fn workers_without_a_journal_are_found_out() {
    assert_found_out(Sabotage::NoJournal, &["which it has written down"]);
}

#[test]
fn a_view_that_claims_a_head_it_has_not_reached_is_found_out() {
    let expected = ["is not what the log folds to", "nobody was told", "does not stand at record"];
    assert_found_out(Sabotage::HeadNotReached, &expected);
}

#[test]
fn commands_that_the_engine_does_not_bring_again_are_found_out() {
    assert_found_out(Sabotage::CommandsNotBroughtAgain, &["is outstanding, and nobody was told"]);
}

#[test]
fn a_journal_in_memory_is_found_out() {
    assert_found_out(Sabotage::JournalInMemory, &["is carried out again, which is written down"]);
}

#[test]
fn a_heartbeat_as_an_input_is_found_out() {
    assert_found_out(Sabotage::HeartbeatAsInput, &["says nothing"]);
}

#[test]
fn routes_keyed_by_target_are_found_out() {
    assert_found_out(Sabotage::RoutesKeyedByTarget, &["that start get generation"]);
}

#[test]
fn stepping_back_before_the_view_has_everything_is_found_out() {
    assert_found_out(Sabotage::StepsBackUncommitted, &["STORE_FAILED"]);
}

#[test]
fn every_control_stands_in_the_table_with_its_test() {
    let (table, tests) = (include_str!("../../README.md"), include_str!("controls.rs"));
    for sabotage in Sabotage::EMBEDDED.iter().chain(&Sabotage::CLUSTER) {
        let name = format!("`{sabotage:?}`");
        let row = table.lines().find(|line| line.contains(&name));
        let row = row.unwrap_or_else(|| panic!("README.md has no row of {name}"));
        let test = row.split('`').nth_back(1).expect("a row ends with the name of its test");
        assert!(tests.contains(&format!("fn {test}()")), "no test {test} of {name}");
    }
}
