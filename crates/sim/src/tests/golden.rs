//! A log that was written once, and what it must fold to for ever: the canonical digest of all its states. Decided
//! again it must come to the same, unless `DECIDE_REVISION` was raised.
//!
//! `MODELRAIL_REGENERATE=1` writes it anew. A log of a release is never written anew: a new one is put beside it.

use std::convert::Infallible;
use std::path::Path;

use engine::chain::Identity;
use engine::replay::{self, Reader};

use super::*;
use crate::checker::CHAPTERS;
use crate::world::{LOG_ID, PARTITIONS, World};

const SEED: u64 = 7;
const PARTITION: u32 = 0;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn verified(records: &[Vec<u8>]) -> replay::Report {
    let identity = Identity { log_id: Some(LOG_ID), partition: PARTITION, partitions: PARTITIONS };
    let reader = Reader::new(identity, wire::definitions::parsers());
    let records = records.iter().cloned().map(Ok::<_, Infallible>);
    replay::verify_with(records, reader, CHAPTERS).unwrap()
}

#[test]
fn a_golden_log_folds_to_the_same_state_and_is_decided_as_it_was() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/log-1.txt");
    if std::env::var_os("MODELRAIL_REGENERATE").is_some() {
        let records = World::log_of(SEED, Options::embedded(), PARTITION);
        let state = verified(&records).state;
        let lines = std::iter::once(state.to_string()).chain(records.iter().map(|bytes| hex(bytes)));
        std::fs::write(&path, lines.collect::<Vec<_>>().join("\n") + "\n").unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap();
    let mut lines = text.lines();
    let state = lines.next().unwrap();
    let records: Vec<Vec<u8>> = lines.map(unhex).collect();
    let report = verified(&records);
    assert_eq!(report.state.to_string(), state, "it folds to another state");
    assert!(report.is_clean(), "DECIDE_REVISION was not raised: {:?}", report.differences);
    assert!(report.chapters.compared > 3 && report.transitions > 30, "{:?}", report.chapters);
}
