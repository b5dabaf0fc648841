//! What a suite did and found, for machines: one JSON file a suite, in the folder that `MODELRAIL_REPORTS` names.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;

use serde::Serialize;

#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) suite: &'static str,
    pub(crate) seed: u64,
    /// Runs that went through it, or folders that were looked at.
    pub(crate) runs: usize,
    /// Faults by what they are.
    pub(crate) faults: BTreeMap<String, usize>,
    /// Answers and effects that were held against the log.
    pub(crate) effects_checked: usize,
    /// What became of the faults, by outcome.
    pub(crate) outcomes: BTreeMap<String, usize>,
    pub(crate) violations: Vec<String>,
}

impl Report {
    pub(crate) fn fault(&mut self, what: &str) {
        *self.faults.entry(what.to_owned()).or_default() += 1;
    }

    pub(crate) fn outcome(&mut self, what: &str) {
        *self.outcomes.entry(what.to_owned()).or_default() += 1;
    }

    pub(crate) fn faults_all(&self) -> usize {
        self.faults.values().sum()
    }

    /// Carries out the suite, and writes what it found, whether it holds or not.
    pub(crate) fn of(suite: &'static str, seed: u64, carry_out: impl FnOnce(&mut Self)) {
        let mut report = Self { suite, seed, ..Self::default() };
        let held = catch_unwind(AssertUnwindSafe(|| carry_out(&mut report)));
        if let Err(panic) = &held {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            report.violations.push(text.unwrap_or_else(|| "a thread panicked".to_owned()));
        }
        let json = serde_json::to_string_pretty(&report).unwrap();
        println!("{json}");
        if let Some(folder) = std::env::var_os("MODELRAIL_REPORTS") {
            let folder = PathBuf::from(folder);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(format!("{suite}.json")), json).unwrap();
        }
        if let Err(panic) = held {
            resume_unwind(panic);
        }
        assert!(report.violations.is_empty(), "{:#?}", report.violations);
    }
}
