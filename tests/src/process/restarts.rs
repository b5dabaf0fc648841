//! The engine's process killed while its workers live on: `modelrail bench restart` and `bench soak`, short.
//!
//! The long forms are run by hand (`docs/performance.md`); what they check they check here too.

use std::process::Command;

use serde_json::Value;

use super::place::binary;

/// Runs a benchmark in a folder of its own: what it reported, and whether it passed.
fn bench(arguments: &[&str]) -> (Value, bool) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(binary());
    command.arg("bench").args(arguments).arg("--folder").arg(folder.path()).args(["--output", "json"]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let report = serde_json::from_slice(&output.stdout);
    let report: Value = report.unwrap_or_else(|error| panic!("{error}: {output:?}\n{said}"));
    assert_eq!(output.status.success(), report["passed"], "{report:#}\n{said}");
    (report, output.status.success())
}

const RESTART: [&str; 9] =
    ["restart", "--finished", "100", "--open", "50", "--transitions", "0", "--times", "1"];

#[test]
fn of_commands_in_flight_at_a_kill_none_is_lost_and_none_carried_out_twice() {
    let (report, passed) = bench(&RESTART);
    assert!(passed, "{report:#}");
    let part = &report["parts"][0];
    assert_eq!(part["commands_in_flight"], 50);
    assert!(part["commands_ordered_again"].as_u64() >= Some(50), "{report:#}");
    assert_eq!(part["commands_carried_out_twice"], 0);
    assert!(report["verified"]["runs"].as_u64() >= Some(150), "{report:#}");
}

#[test]
fn when_the_workers_are_killed_too_what_is_carried_out_twice_is_found() {
    let (report, passed) = bench(&[&RESTART[..], &["--workers-die"]].concat());
    assert!(!passed, "{report:#}");
    // Half of them had been carried out, and their answers were lost.
    assert!(report["parts"][0]["commands_carried_out_twice"].as_u64() >= Some(25), "{report:#}");
}

#[test]
fn a_soak_with_kills_loses_nothing_and_does_nothing_twice() {
    let soak = ["soak", "--hours", "0.0018", "--rate", "60", "--kill-every", "2s", "--targets", "200"];
    let (report, passed) = bench(&soak);
    assert!(passed, "{report:#}");
    assert!(report["kills"].as_u64() >= Some(2), "{report:#}");
    assert_eq!(report["runs_said"], report["runs_ended"]);
    assert_eq!(report["verified"]["runs"], report["runs_said"]);
    assert!(report["commands_ordered_again"].as_u64() >= report["kills"].as_u64(), "{report:#}");
}
