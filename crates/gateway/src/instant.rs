//! Times as callers write them: RFC 3339 or Unix milliseconds; and the clock of the gateway.

use std::time::{SystemTime, UNIX_EPOCH};

use domain::time::Timestamp;

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(since.as_millis() as u64)
}

/// Parses `2026-11-21T10:30:00[.123](Z|+01:00)`, from 1970 on; what is finer than milliseconds is cut.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let (date, time) = (bytes.get(..10)?, bytes.get(11..19)?);
    let separated = matches!(bytes[10], b'T' | b't' | b' ')
        && (date[4], date[7], time[2], time[5]) == (b'-', b'-', b':', b':');
    if !separated {
        return None;
    }
    let (year, month, day) = (number(&date[..4])?, number(&date[5..7])?, number(&date[8..])?);
    let (hour, minute, second) = (number(&time[..2])?, number(&time[3..5])?, number(&time[6..])?);
    let in_range = (1..=12).contains(&month)
        && (1..=days_of(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 61;
    if !in_range {
        return None;
    }
    let mut rest = &bytes[19..];
    let mut ms = 0;
    if let [b'.', fraction @ ..] = rest {
        let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        ms = (0..3).fold(0, |ms, place| {
            ms * 10 + fraction[..digits].get(place).map_or(0, |digit| i64::from(digit - b'0'))
        });
        rest = &fraction[digits..];
    }
    let offset_minutes = match rest {
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), hours @ .., b':', tens, ones] if hours.len() == 2 => {
            let minutes = number(hours)? * 60 + number(&[*tens, *ones])?;
            if *sign == b'-' { -minutes } else { minutes }
        }
        _ => return None,
    };
    let minutes = (days_before(year, month) + day - 1) * 1_440 + hour * 60 + minute - offset_minutes;
    u64::try_from(minutes * 60_000 + second * 1_000 + ms).ok().map(Timestamp)
}

fn number(digits: &[u8]) -> Option<i64> {
    digits
        .iter()
        .try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0')))
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to the first of the month.
fn days_before(year: i64, month: i64) -> i64 {
    let leaps = |year: i64| year / 4 - year / 100 + year / 400;
    let years = (year - 1_970) * 365 + leaps(year - 1) - leaps(1_969);
    years + (1..month).map(|month| days_of(year, month)).sum::<i64>()
}
