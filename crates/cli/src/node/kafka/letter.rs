//! Dead letters: records that could not be used, kept with their bytes, why, and where they came from.
//!
//! ```text
//!   a record of any topic --bury--> dead-letters: its key, value and headers, and `modelrail_*` --open--> Letter
//!            ^                                                                                              |
//!            +------------------------------------ original -------------------------------------------------+
//! ```
//!
//! **Invariant:** what was buried is dug out as it was: partition, key, value and headers. Only headers of our own names
//! are ours.

use log_kafka::{Headers, Read, Topic, Write};
use wire::problem::Problems;

const REASON: &str = "modelrail_reason";
const CODE: &str = "modelrail_code";
const HINT: &str = "modelrail_hint";
const TOPIC: &str = "modelrail_topic";
const PARTITION: &str = "modelrail_partition";
const OFFSET: &str = "modelrail_offset";
/// How many bytes the value had, where it was too large to be kept.
const LEFT_OUT: &str = "modelrail_left_out_bytes";
const OURS: [&str; 7] = [REASON, CODE, HINT, TOPIC, PARTITION, OFFSET, LEFT_OUT];

/// The most bytes of a reason: a hundred problems of one event fit.
const REASON_BYTES_MAX: usize = 16 * 1024;

/// Why a record could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    /// Stable.
    pub code: String,
    pub reason: String,
    pub hint: Option<String>,
}

impl Why {
    pub fn new(code: &str, reason: impl Into<String>) -> Self {
        Self { code: code.to_owned(), reason: reason.into(), hint: None }
    }

    /// All problems in the reason; code and hint are the first's that has one.
    pub fn of(problems: &Problems) -> Self {
        let code = problems.0.first().map_or("", |first| first.code);
        let lines = problems.0.iter().map(|one| {
            if one.field.is_empty() { one.text.clone() } else { format!("{}: {}", one.field, one.text) }
        });
        Self {
            code: code.to_owned(),
            reason: lines.collect::<Vec<_>>().join("\n"),
            hint: problems.0.iter().find_map(|one| one.hint.clone()),
        }
    }
}

/// The record as a letter.
pub fn bury(prefix: &str, read: &Read, why: &Why) -> Write {
    let mut headers: Headers = of_others(&read.headers);
    let mut say = |name: &str, value: &str| headers.push((name.to_owned(), value.as_bytes().to_vec()));
    say(REASON, shortened(&why.reason));
    say(CODE, &why.code);
    if let Some(hint) = &why.hint {
        say(HINT, hint);
    }
    say(TOPIC, &read.topic);
    say(PARTITION, &read.partition.to_string());
    say(OFFSET, &read.offset.to_string());
    Write {
        topic: Topic::DeadLetters.name(prefix),
        partition: None,
        key: read.key.clone().unwrap_or_default(),
        value: read.value.clone(),
        headers,
    }
}

/// The letter without what is too large to be kept: the record itself stays where it came from, for as long as its
/// topic keeps it. Nothing when there is nothing left to leave out.
pub fn without_value(letter: &Write) -> Option<Write> {
    let bytes = letter.value.as_ref()?.len();
    let headers = letter.headers.iter().filter(|(name, _)| OURS.contains(&name.as_str()));
    let mut headers: Headers = headers.cloned().collect();
    headers.push((LEFT_OUT.to_owned(), bytes.to_string().into_bytes()));
    Some(Write {
        value: None,
        key: vec![],
        headers,
        topic: letter.topic.clone(),
        partition: letter.partition,
    })
}

/// A letter, as it stands in its topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    pub partition: u32,
    pub offset: u64,
    pub buried_at_ms: Option<u64>,
    pub why: Why,
    pub from: Option<Origin>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    /// Without ours.
    pub headers: Headers,
    /// The bytes of a value that was too large to be kept.
    pub left_out_bytes: Option<u64>,
}

/// Where a record came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub topic: String,
    pub partition: u32,
    pub offset: u64,
}

/// Why a letter cannot be sent again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsendable {
    #[error("expected a letter that says which topic it came from, but it does not")]
    FromNowhere,
    #[error("expected a letter with its value, but its {bytes} bytes were too many to be kept")]
    LeftOut { bytes: u64 },
}

impl Letter {
    pub fn open(read: Read) -> Self {
        let text = |name: &str| read.header(name).map(str::to_owned);
        let number = |name: &str| text(name).and_then(|text| text.parse::<u64>().ok());
        let from = text(TOPIC).zip(number(PARTITION)).zip(number(OFFSET));
        Self {
            partition: read.partition,
            offset: read.offset,
            buried_at_ms: read.timestamp_ms,
            why: Why {
                code: text(CODE).unwrap_or_default(),
                reason: text(REASON).unwrap_or_default(),
                hint: text(HINT),
            },
            from: from.and_then(|((topic, partition), offset)| {
                Some(Origin { topic, partition: partition.try_into().ok()?, offset })
            }),
            left_out_bytes: number(LEFT_OUT),
            headers: of_others(&read.headers),
            key: read.key,
            value: read.value,
        }
    }

    /// The record as it was, to be written where it came from.
    pub fn original(&self) -> Result<Write, Unsendable> {
        if let Some(bytes) = self.left_out_bytes {
            return Err(Unsendable::LeftOut { bytes });
        }
        let from = self.from.as_ref().ok_or(Unsendable::FromNowhere)?;
        Ok(Write {
            topic: from.topic.clone(),
            partition: Some(from.partition),
            key: self.key.clone().unwrap_or_default(),
            value: self.value.clone(),
            headers: self.headers.clone(),
        })
    }
}

fn of_others(headers: &[(String, Vec<u8>)]) -> Headers {
    headers.iter().filter(|(name, _)| !OURS.contains(&name.as_str())).cloned().collect()
}

fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(REASON_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Read {
        Read {
            topic: "model-trained".into(),
            partition: 3,
            offset: 41,
            key: Some(b"fraud".to_vec()),
            value: Some(b"\xff{".to_vec()),
            headers: vec![("ce_id".into(), b"7".to_vec()), ("\u{e4}".into(), vec![0xff])],
            timestamp_ms: Some(5),
        }
    }

    fn landed(write: Write) -> Read {
        Read {
            topic: write.topic,
            partition: 0,
            offset: 9,
            key: Some(write.key),
            value: write.value,
            headers: write.headers,
            timestamp_ms: Some(6),
        }
    }

    fn why() -> Why {
        Why { hint: Some("mend it".into()), ..Why::new("MALFORMED", "expected JSON") }
    }

    #[test]
    fn what_was_buried_is_dug_out_as_it_was() {
        let record = record();
        let letter = Letter::open(landed(bury("modelrail.", &record, &why())));
        assert_eq!((letter.partition, letter.offset, letter.buried_at_ms), (0, 9, Some(6)));
        assert_eq!(letter.why, why());
        let from = Origin { topic: "model-trained".into(), partition: 3, offset: 41 };
        assert_eq!(letter.from, Some(from));
        let again = letter.original().unwrap();
        assert_eq!((again.topic, again.partition), (record.topic, Some(3)));
        assert_eq!((Some(again.key), again.value, again.headers), (record.key, record.value, record.headers));
    }

    #[test]
    fn a_letter_that_dies_again_names_its_last_reason_alone() {
        let first = landed(bury("modelrail.", &record(), &why()));
        let again = Letter::open(landed(bury("modelrail.", &first, &Why::new("NO_WORKFLOW", "no workflow"))));
        assert_eq!(again.why, Why::new("NO_WORKFLOW", "no workflow"));
        assert_eq!(again.from.unwrap().offset, 9);
        assert_eq!(again.headers, record().headers);
    }

    #[test]
    fn a_value_that_is_too_large_is_left_out_and_said_so() {
        let letter = bury("modelrail.", &record(), &why());
        let without = without_value(&letter).unwrap();
        assert_eq!(without_value(&without), None, "there is nothing more to leave out");
        let letter = Letter::open(landed(without));
        assert_eq!((letter.why.clone(), letter.value.clone()), (why(), None));
        assert_eq!(letter.original(), Err(Unsendable::LeftOut { bytes: 2 }));
        assert_eq!(Letter::open(landed(Write::default())).original(), Err(Unsendable::FromNowhere));
    }

    #[test]
    fn a_tombstone_and_a_long_reason_are_kept_within_bounds() {
        let read = Read { value: None, key: None, ..record() };
        let long = "\u{e4}".repeat(REASON_BYTES_MAX);
        let letter = Letter::open(landed(bury("modelrail.", &read, &Why::new("X", long))));
        assert_eq!((letter.value, letter.why.reason.len()), (None, REASON_BYTES_MAX));
    }
}
