//! What the ingress counts, and how it is told in OpenMetrics.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// The most codes that are told apart; those beyond are `other`.
const CODES_MAX: usize = 64;

#[derive(Debug, Default)]
pub struct Counts {
    records: AtomicU64,
    triggers: AtomicU64,
    pub(super) again: AtomicU64,
    pub(super) waiting: AtomicU64,
    pub(super) is_paused: AtomicBool,
    /// Dead letters by code.
    letters: Mutex<BTreeMap<String, u64>>,
    /// Why nothing can be read or written now.
    trouble: Mutex<Option<String>>,
}

impl Counts {
    /// A record became so many triggers.
    pub(super) fn taken(&self, triggers: u64) {
        self.records.fetch_add(1, Relaxed);
        self.triggers.fetch_add(triggers, Relaxed);
    }

    /// A record became a dead letter.
    pub(super) fn buried(&self, code: &str) {
        self.records.fetch_add(1, Relaxed);
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        let code = if letters.len() < CODES_MAX || letters.contains_key(code) { code } else { "other" };
        *letters.entry(code.to_owned()).or_default() += 1;
    }

    /// Whether it is news.
    pub(super) fn trouble_is(&self, text: Option<String>) -> bool {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = *trouble != text;
        *trouble = text;
        is_news
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// In OpenMetrics.
    pub fn render(&self) -> String {
        let mut text = String::new();
        for (name, help, value) in [
            ("ingress_records", "Records of `model-trained` that were taken.", &self.records),
            ("ingress_triggers", "Triggers that records became.", &self.triggers),
            ("ingress_writes_again", "Writes that failed and were sent again.", &self.again),
        ] {
            let value = value.load(Relaxed);
            write!(text, "# TYPE modelrail_{name} counter\n# HELP modelrail_{name} {help}\nmodelrail_{name}_total {value}\n")
                .expect("writing to a string");
        }
        for (name, help, value) in [
            ("ingress_waiting", "Records that are taken and not done.", self.waiting.load(Relaxed)),
            (
                "ingress_paused",
                "Whether no more is taken until some of it is done.",
                u64::from(self.is_paused.load(Relaxed)),
            ),
            (
                "ingress_troubled",
                "Whether something keeps it from reading or writing.",
                u64::from(self.trouble().is_some()),
            ),
        ] {
            write!(
                text,
                "# TYPE modelrail_{name} gauge\n# HELP modelrail_{name} {help}\nmodelrail_{name} {value}\n"
            )
            .expect("writing to a string");
        }
        text.push_str("# TYPE modelrail_dead_letters counter\n# HELP modelrail_dead_letters Records that could not be used, by why.\n");
        for (code, count) in self.letters.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            writeln!(text, "modelrail_dead_letters_total{{code=\"{code}\"}} {count}")
                .expect("writing to a string");
        }
        text
    }
}
