//! Numbers and verdicts as people read them.

use super::Judgement;
use crate::verdict::Verdict;

pub(super) fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "passes",
        Verdict::Fail => "fails",
        Verdict::Inconclusive => "inconclusive",
        Verdict::NoData => "no data",
    }
}

/// Of a judgement that estimated nothing: its note, else what was asked.
pub(super) fn without_numbers(judgement: &Judgement, asked: &str) -> String {
    match &judgement.note {
        Some(note) => note.to_string(),
        None => format!("{asked} (n = {})", count(judgement.n)),
    }
}

/// `7830` as `7,830`.
pub(super) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// With up to `decimals` decimals, without zeros at the end.
pub(super) fn number(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// A rate, 0 to 1, with three decimals, more when it is small.
pub(super) fn rate(value: f64) -> String {
    if value > 0.0 && value < 0.01 { number(value, 5) } else { format!("{value:.3}") }
}

/// A difference of rates in percentage points: 0.062 as `6.2 points`.
pub(super) fn points(share: f64) -> String {
    let points = number(share * 100.0, 2);
    if points == "1" || points == "-1" { format!("{points} point") } else { format!("{points} points") }
}

/// A share as `1.5 %`.
pub(super) fn percent(share: f64) -> String {
    format!("{} %", number(share * 100.0, 4))
}

/// The bounds that were recorded, as `0.61 to 0.74`.
pub(super) fn range(judgement: &Judgement, write: impl Fn(f64) -> String) -> String {
    match (judgement.lower, judgement.upper) {
        (Some(lower), Some(upper)) => format!("{} to {}", write(lower), write(upper)),
        (Some(lower), None) => format!("at least {}", write(lower)),
        (None, Some(upper)) => format!("at most {}", write(upper)),
        (None, None) => "no bounds".to_owned(),
    }
}
