//! Quantities as workflows write them: durations `10s 5m 2h 7d 500ms`, shares `5%` or `500bp`, sizes `64MiB`,
//! rates `200/s`, ranges `10s..5m`.

use std::ops::RangeInclusive;

use domain::time::Millis;
use domain::weight::Weight;

use crate::fields::Field;
use crate::problem::{Notes, code};
use crate::tree::Value;

const DURATION: &str = "a duration such as `10s`, `5m`, `2h`, `7d` or `500ms`";
/// The longest duration.
const DURATION_MAX: Millis = Millis::days(366);

/// The digits (with a point) and the unit after them.
fn split(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let value: f64 = text[..end].parse().ok()?;
    Some((value, text[end..].trim_start()))
}

/// One or more numbers with units, the larger first: `1h30m`.
fn parse_duration(text: &str) -> Option<Millis> {
    let mut rest = text;
    let mut total = 0_u64;
    let mut last = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let value: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let size = match &rest[..unit] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        if size >= last {
            return None;
        }
        last = size;
        total = total.checked_add(value.checked_mul(size)?)?;
        rest = &rest[unit..];
    }
    (!text.is_empty()).then_some(Millis(total))
}

impl Field<'_> {
    /// Notes a unit that is missing or wrong, with how it would be written.
    fn wrong_unit(&self, expected: &str, units: &[&str], notes: &mut Notes) {
        let problem = self.unexpected(code::WRONG_UNIT, expected);
        let problem = match self.node.value {
            Value::Whole(value) => {
                let forms: Vec<String> = units.iter().map(|unit| format!("`{value}{unit}`")).collect();
                problem.hint(format!("write the unit: {}", forms.join(" or ")))
            }
            _ => problem,
        };
        notes.problem(problem);
    }

    fn quantity(&self) -> Option<&str> {
        match &self.node.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn duration(&self, within: RangeInclusive<Millis>, notes: &mut Notes) -> Option<Millis> {
        let Some(span) = self.quantity().and_then(parse_duration) else {
            self.wrong_unit(DURATION, &["s", "m"], notes);
            return None;
        };
        if !within.contains(&span) {
            let expected = format!("a duration from {} to {}", within.start(), within.end());
            self.wrong(code::OUT_OF_RANGE, &expected, notes);
            return None;
        }
        Some(span)
    }

    /// A duration above zero.
    pub(super) fn some_time(&self, notes: &mut Notes) -> Option<Millis> {
        self.duration(Millis(1)..=DURATION_MAX, notes)
    }

    pub(super) fn any_time(&self, notes: &mut Notes) -> Option<Millis> {
        self.duration(Millis(0)..=DURATION_MAX, notes)
    }

    /// `10s..5m`
    pub(super) fn range_of_time(&self, notes: &mut Notes) -> Option<(Millis, Millis)> {
        let expected = "a range of durations such as `10s..5m`";
        let range = self.quantity().and_then(|text| text.split_once(".."));
        let Some((least, most)) = range.and_then(|(a, b)| Some((parse_duration(a)?, parse_duration(b)?)))
        else {
            self.wrong(code::WRONG_UNIT, expected, notes);
            return None;
        };
        if least > most || most > DURATION_MAX {
            self.wrong(code::OUT_OF_RANGE, "a range whose second duration is not less than its first", notes);
            return None;
        }
        Some((least, most))
    }

    /// A share between 0 and 1.
    fn share(&self, notes: &mut Notes) -> Option<f64> {
        let expected = "a share such as `5%` or `500bp`";
        let share = match self.quantity().and_then(split) {
            Some((value, "%")) => value / 100.0,
            Some((value, "bp")) => value / 10_000.0,
            _ => {
                self.wrong_unit(expected, &["%", "bp"], notes);
                return None;
            }
        };
        if !(0.0..=1.0).contains(&share) {
            self.wrong(code::OUT_OF_RANGE, "a share from 0% to 100%", notes);
            return None;
        }
        Some(share)
    }

    /// A share of traffic in whole basis points, above zero.
    pub(super) fn weight(&self, notes: &mut Notes) -> Option<Weight> {
        let points = self.share(notes)? * 10_000.0;
        let whole = points.round();
        if (points - whole).abs() > 1e-6 || whole < 1.0 {
            self.wrong(code::OUT_OF_RANGE, "a share of whole basis points (0.01%), above zero", notes);
            return None;
        }
        Weight::basis_points(whole as u16)
    }

    /// A share above zero and at most `most`.
    pub(super) fn proportion(&self, most: f64, notes: &mut Notes) -> Option<f64> {
        let share = self.share(notes)?;
        if share <= 0.0 || share > most {
            let expected = format!("a share above 0% and at most {}%", most * 100.0);
            self.wrong(code::OUT_OF_RANGE, &expected, notes);
            return None;
        }
        Some(share)
    }

    /// A bound of a metric from 0 to 1: `0.9`, or `90%`.
    pub(super) fn metric_bound(&self, notes: &mut Notes) -> Option<f64> {
        if let Value::Text(_) = self.node.value {
            return self.share(notes);
        }
        let value = self.number(notes)?;
        if !(0.0..=1.0).contains(&value) {
            self.wrong(code::OUT_OF_RANGE, "a number from 0 to 1", notes);
            return None;
        }
        Some(value)
    }

    /// Bytes.
    pub(super) fn size(&self, notes: &mut Notes) -> Option<u64> {
        let expected = "a size such as `64MiB` or `2GiB`";
        let bytes = match self.quantity().and_then(split) {
            Some((value, "B")) => value,
            Some((value, "KiB")) => value * 1024.0,
            Some((value, "MiB")) => value * 1024.0 * 1024.0,
            Some((value, "GiB")) => value * 1024.0 * 1024.0 * 1024.0,
            _ => {
                self.wrong_unit(expected, &["MiB", "GiB"], notes);
                return None;
            }
        };
        if !(1.0..=1_099_511_627_776.0).contains(&bytes) {
            self.wrong(code::OUT_OF_RANGE, "a size from 1B to 1024GiB", notes);
            return None;
        }
        Some(bytes as u64)
    }

    /// Requests a second.
    pub(super) fn rate(&self, notes: &mut Notes) -> Option<f64> {
        let Some((value, "/s")) = self.quantity().and_then(split) else {
            self.wrong_unit("a rate such as `200/s`", &["/s"], notes);
            return None;
        };
        if value <= 0.0 || value > 10_000.0 {
            self.wrong(code::OUT_OF_RANGE, "a rate above 0/s and at most 10000/s", notes);
            return None;
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_what_they_say() {
        for (text, expected) in [
            ("10s", Some(10_000)),
            ("5m", Some(300_000)),
            ("2h", Some(7_200_000)),
            ("7d", Some(604_800_000)),
            ("500ms", Some(500)),
            ("1h30m", Some(5_400_000)),
            ("0s", Some(0)),
            ("10", None),
            ("s", None),
            ("", None),
            ("-5s", None),
            ("1.5h", None),
            ("5s1h", None),
            ("10 s", None),
            ("99999999999999999999d", None),
            ("18446744073709551615d", None),
        ] {
            assert_eq!(parse_duration(text), expected.map(Millis), "{text}");
        }
    }
}
