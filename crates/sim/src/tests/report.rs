//! What the stories of many seeds come to: for people a line, for machines a file in the folder that
//! `MODELRAIL_REPORTS` names.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use domain::name::Digest;

use crate::{Fault, Report, Violation};

/// Without one of these a cluster was not shaken.
const SHAKEN: [&str; 5] = ["losers", "doubts", "claims_lost", "displaced", "formats_raised"];
const ENDS: [&str; 8] =
    ["live", "blocked", "failed", "rolled_back", "superseded", "retired", "aborted", "refused"];
/// Fewer seeds need not see everything.
const SEEDS_MIN: u64 = 50;

#[derive(Debug, Clone)]
pub(super) struct Sum {
    seeds: u64,
    planned: BTreeMap<Fault, u64>,
    faults: BTreeMap<Fault, u64>,
    ends: BTreeMap<&'static str, u64>,
    /// By name, in the order of the report.
    counts: BTreeMap<&'static str, u64>,
    /// Of the traces of all seeds, in order.
    trace: Digest,
    pub(super) violations: Vec<String>,
}

impl Default for Sum {
    fn default() -> Self {
        Self {
            seeds: 0,
            planned: BTreeMap::new(),
            faults: BTreeMap::new(),
            ends: BTreeMap::new(),
            counts: BTreeMap::new(),
            trace: Digest([0; 32]),
            violations: vec![],
        }
    }
}

impl Sum {
    pub(super) fn add(&mut self, told: Result<Report, Box<Violation>>) {
        self.seeds += 1;
        let report = match told {
            Ok(report) => report,
            Err(violation) => {
                println!("seed {}: {}", violation.seed, violation.text);
                return self.violations.push(violation.to_string());
            }
        };
        self.trace = Digest::of_parts([&self.trace.0[..], &report.trace_hash.0[..]]);
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
            ("effects_checked", report.effects),
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

    /// What a suite must have seen and did not: more than its stories' violations make it fail.
    pub(super) fn shortcomings(&self, expected: &[&[Fault]], is_cluster: bool) -> Vec<String> {
        let seen = |fault: &Fault| self.faults.get(fault).copied().unwrap_or(0);
        let fewer = self.planned.iter().filter(|(fault, planned)| seen(fault) < **planned);
        let mut found: Vec<String> = fewer
            .map(|(fault, planned)| {
                format!("fewer faults than planned: {fault:?} {} of {planned}", seen(fault))
            })
            .collect();
        if self.seeds < SEEDS_MIN {
            return found;
        }
        let missing = expected.iter().copied().flatten().filter(|fault| seen(fault) == 0);
        found.extend(missing.map(|fault| format!("never seen: {fault:?}")));
        let ends = ENDS.iter().filter(|end| !self.ends.contains_key(*end));
        found.extend(ends.map(|end| format!("no run ended `{end}`")));
        let shaken = if is_cluster { &SHAKEN[..] } else { &[] };
        let calm = shaken.iter().filter(|name| self.counts.get(*name).copied().unwrap_or(0) == 0);
        found.extend(calm.map(|name| format!("no {name} were seen")));
        let chapters = self.counts.get("chapters").copied().unwrap_or(0);
        found.extend((chapters <= self.seeds).then(|| "few chapters were opened".to_owned()));
        let effects = self.counts.get("effects_checked").copied().unwrap_or(0);
        found.extend((effects == 0).then(|| "no effect was checked".to_owned()));
        found
    }

    fn to_json(&self, suite: &str, first: u64, millis: u128, shortcomings: &[String]) -> String {
        let faults = |counts: &BTreeMap<Fault, u64>| {
            let pairs: Vec<_> =
                counts.iter().map(|(fault, count)| format!("\"{fault:?}\":{count}")).collect();
            format!("{{{}}}", pairs.join(","))
        };
        let ends: Vec<_> = self.ends.iter().map(|(end, count)| format!("\"{end}\":{count}")).collect();
        let words = |words: &[String]| {
            // Rust's escapes are JSON's for what stands in a trace: quotes, backslashes, ends of lines.
            let words: Vec<_> = words.iter().map(|words| format!("{words:?}")).collect();
            format!("[{}]", words.join(","))
        };
        let mut json =
            format!("{{\"suite\":\"{suite}\",\"seed\":{first},\"seeds\":{},\"millis\":{millis}", self.seeds);
        for (name, count) in &self.counts {
            write!(json, ",\"{name}\":{count}").unwrap();
        }
        write!(json, ",\"planned\":{},\"faults\":{}", faults(&self.planned), faults(&self.faults)).unwrap();
        write!(json, ",\"ends\":{{{}}},\"trace\":\"{}\"", ends.join(","), self.trace).unwrap();
        write!(json, ",\"violations\":{}", words(&self.violations)).unwrap();
        write!(json, ",\"shortcomings\":{}}}", words(shortcomings)).unwrap();
        json
    }

    /// Writes the report, and fails when something did not hold, or too little happened.
    pub(super) fn conclude(&self, suite: &str, first: u64, millis: u128, shortcomings: &[String]) {
        let json = self.to_json(suite, first, millis, shortcomings);
        println!("{json}");
        if let Some(folder) = std::env::var_os("MODELRAIL_REPORTS") {
            let folder = PathBuf::from(folder);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(format!("sim-{suite}.json")), json).unwrap();
        }
        let violations = self.violations.len();
        assert!(violations == 0, "{violations} violations, the first:\n{}", self.violations[0]);
        assert!(shortcomings.is_empty(), "{shortcomings:#?}");
    }
}

fn shaken() -> Sum {
    let options = crate::Options::cluster();
    let mut sum = Sum { seeds: SEEDS_MIN, ..Sum::default() };
    sum.add(crate::cluster(1, &options));
    for name in SHAKEN.iter().chain(&["effects_checked"]) {
        *sum.counts.entry(name).or_default() += 1;
    }
    *sum.counts.entry("chapters").or_default() += 2 * SEEDS_MIN;
    for end in ENDS {
        *sum.ends.entry(end).or_default() += 1;
    }
    sum
}

#[test]
fn a_suite_without_a_loser_a_doubt_or_a_lost_claim_fails() {
    assert_eq!(shaken().shortcomings(&[], true), [""; 0]);
    for name in SHAKEN.iter().chain(&["effects_checked"]) {
        let mut sum = shaken();
        sum.counts.insert(name, 0);
        assert_eq!(sum.shortcomings(&[], true).len(), 1, "{name}");
    }
}

#[test]
fn a_suite_that_saw_fewer_faults_than_planned_fails() {
    let mut sum = shaken();
    sum.planned.insert(Fault::TwoOwners, sum.faults.get(&Fault::TwoOwners).copied().unwrap_or(0) + 1);
    let found = sum.shortcomings(&[], true);
    assert!(found.len() == 1 && found[0].contains("fewer faults than planned: TwoOwners"), "{found:?}");
    sum.planned.clear();
    sum.faults.remove(&Fault::ViewLost);
    assert_eq!(sum.shortcomings(&[&[Fault::ViewLost]], true), ["never seen: ViewLost"]);
}
