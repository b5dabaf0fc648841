//! The measurements in their shortest form: what they say is there; how fast it was is asserted nowhere.

use serde_json::Value;

use super::place::Place;

fn number(of: &Value, name: &str) -> f64 {
    of[name].as_f64().unwrap_or_else(|| panic!("{name} should be a number, in {of}"))
}

#[test]
fn replay_reads_a_log_of_its_own_and_finds_it_again() {
    let place = Place::new();
    let folder = place.root().join("bench").display().to_string();
    let bench = ["bench", "replay", "--folder", &folder, "--runs", "20", "--longer", "2", "--output", "json"];
    let first = place.run(&bench);
    assert_eq!(first.code, Some(0), "{first:?}");
    assert!(first.errors.contains("filling"), "{first:?}");
    let report = first.json();
    assert!(number(&report["machine"], "cores") >= 1.0);
    let logs = report["logs"].as_array().unwrap();
    assert_eq!(logs.iter().map(|log| number(log, "runs")).collect::<Vec<_>>(), [20.0, 40.0]);
    for log in logs {
        let transitions = number(log, "transitions");
        assert!(transitions >= 20.0 * 7.0, "seven transitions a run at least: {log}");
        for way in ["fold", "verify", "verify_all_cores"] {
            let measured = &log[way];
            assert_eq!(measured["transitions"], log["transitions"], "{way} reads all: {log}");
            assert!(number(measured, "transitions_per_second") > 0.0);
            assert!(number(measured, "transitions_per_core_second") > 0.0);
            for at in
                ["resident_mib_at_10_percent", "resident_mib_at_50_percent", "resident_mib_at_100_percent"]
            {
                assert!(number(measured, at) > 0.0, "{way} looked at its memory at {at}: {log}");
            }
            assert!(number(measured, "resident_mib_peak") >= number(measured, "resident_mib_at_100_percent"));
        }
    }
    let again = place.run(&bench);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(!again.errors.contains("filling"), "the folders are there: {again:?}");
    assert_eq!(again.json()["logs"][1]["transitions"], logs[1]["transitions"]);
}

#[test]
fn live_runs_wait_and_others_pass_them() {
    let place = Place::new();
    let folder = place.root().join("bench").display().to_string();
    let bench = ["bench", "live", "--folder", &folder, "--runs", "40", "--few", "8", "--seconds", "0.5"];
    let said = place.run(&[&bench[..], &["--output", "json"]].concat());
    assert_eq!(said.code, Some(0), "{said:?}");
    let report = said.json();
    for (side, live_runs) in [("few", 8), ("many", 40)] {
        let measured = &report[side];
        assert_eq!(measured["live_runs"], live_runs);
        assert!(number(measured, "runs") > 0.0, "{report}");
        assert!(number(measured, "p99_ms") >= number(measured, "p50_ms"), "{report}");
        assert!(number(measured, "resident_mib") > 0.0 && number(measured, "folder_bytes") > 0.0, "{report}");
    }
    assert!(number(&report, "p99_ratio") > 0.0);

    // They are what they should be: open, waiting for people, and in a log that verifies.
    let data = place.root().join("bench/live-40").display().to_string();
    let waiting = place.run(&["runs", "--model", "live-3", "--output", "json", "--data", &data]);
    assert_eq!(waiting.code, Some(0), "{waiting:?}");
    let waiting = waiting.json();
    let runs = waiting["runs"].as_array().or(waiting.as_array()).unwrap();
    assert!(!runs.is_empty(), "{waiting}");
    assert!(runs.iter().all(|run| run["state"] == "active"), "{waiting}");
    let verified = place.run(&["verify", "--data", &data]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
}
