//! Events that could not be used: listed, shown, and sent again once what was wrong is mended.
//!
//! **Invariant:** nothing is remembered of what was sent again. A letter stays until its topic drops it; the engine knows
//! an event that comes again.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::{Duration, Instant};

use domain::time::Timestamp;
use log_kafka::{Begin, Bell, Error, Followed, Follower, Publisher, Settings, Topic};
use serde::Serialize;

use crate::argv::{DeadLettersCommand, Global};
use crate::config;
use crate::exit::{Exit, Failure};
use crate::node::kafka::letter::Letter;
use crate::output::{Output, Table, facts, plain};

/// How this process names itself to the brokers.
const CLIENT_ID: &str = "modelrail-dead-letters";
/// How long the brokers may be silent.
const SILENT_MAX: Duration = Duration::from_secs(15);
/// How long to wait for the next letter at a time.
const WAIT: Duration = Duration::from_millis(100);
/// The most characters of a reason in a list.
const REASON_CHARACTERS_MAX: usize = 80;

/// How a letter is called: its offset, with its partition in front where that is not the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    partition: u32,
    offset: u64,
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (partition, offset) = text.split_once(':').unwrap_or(("0", text));
        match (partition.parse(), offset.parse()) {
            (Ok(partition), Ok(offset)) => Ok(Self { partition, offset }),
            _ => Err("expected a letter as `dead-letters list` names it, such as 17 or 2:17".to_owned()),
        }
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.partition {
            0 => write!(f, "{}", self.offset),
            partition => write!(f, "{partition}:{}", self.offset),
        }
    }
}

pub(super) fn dead_letters(
    global: &Global,
    command: &DeadLettersCommand,
    output: Output,
) -> Result<Exit, Failure> {
    let (config, _) = config::load(global.config.as_deref(), global.data.as_deref())
        .map_err(|error| Failure::of_config(&error))?;
    if config.kafka.is_embedded() {
        return Err(Failure::usage("NO_BROKERS", "expected brokers to ask, but none are named")
            .field("kafka.brokers")
            .hint("without Kafka there are no dead letters: what publishes by HTTP is told at once"));
    }
    let settings = config.kafka.settings(CLIENT_ID).map_err(|error| Failure::of_config(&error))?;
    match command {
        DeadLettersCommand::List { limit } => list(&settings, *limit, output),
        DeadLettersCommand::Show { letter } => show(&settings, *letter, output),
        DeadLettersCommand::Resend { letters, all } => resend(&settings, letters, *all, output),
        DeadLettersCommand::Drop { letter } => drop_up_to(&settings, *letter, output),
    }
}

#[derive(Debug, Serialize)]
struct Line {
    letter: String,
    /// RFC 3339.
    buried_at: Option<String>,
    code: String,
    reason: String,
    hint: Option<String>,
    topic: Option<String>,
    partition: Option<u32>,
    offset: Option<u64>,
    /// The event's id, where its headers say one.
    event: Option<String>,
    bytes: Option<u64>,
}

impl Line {
    fn of(letter: &Letter) -> Self {
        let event = letter.headers.iter().find(|(name, _)| name == "ce_id");
        Self {
            letter: name_of(letter).to_string(),
            buried_at: letter.buried_at_ms.map(|at| Timestamp(at).to_string()),
            code: letter.why.code.clone(),
            reason: letter.why.reason.clone(),
            hint: letter.why.hint.clone(),
            topic: letter.from.as_ref().map(|from| from.topic.clone()),
            partition: letter.from.as_ref().map(|from| from.partition),
            offset: letter.from.as_ref().map(|from| from.offset),
            event: event.map(|(_, value)| String::from_utf8_lossy(value).into_owned()),
            bytes: letter.left_out_bytes.or(letter.value.as_ref().map(|value| value.len() as u64)),
        }
    }

    fn from(&self) -> String {
        match (&self.topic, self.partition, self.offset) {
            (Some(topic), Some(partition), Some(offset)) => format!("{topic} {partition}:{offset}"),
            _ => "not known".to_owned(),
        }
    }
}

fn name_of(letter: &Letter) -> Name {
    Name { partition: letter.partition, offset: letter.offset }
}

/// Newest first.
fn list(settings: &Settings, limit: u32, output: Output) -> Result<Exit, Failure> {
    let mut letters = vec![];
    read(settings, &follow(settings, &Begin::Last(limit))?, |letter| {
        letters.push(letter);
        Ok(Next::More)
    })?;
    letters.sort_by_key(|letter| Reverse((letter.buried_at_ms, letter.offset, letter.partition)));
    letters.truncate(limit as usize);
    let lines: Vec<Line> = letters.iter().map(Line::of).collect();
    output.list(&lines, table)?;
    Ok(Exit::Good)
}

fn table(lines: &[Line]) -> String {
    if lines.is_empty() {
        return "no dead letters\n".to_owned();
    }
    let mut table = Table::new(&["LETTER", "BURIED", "FROM", "EVENT", "CODE", "WHY"]);
    for line in lines {
        let mut reason: String = plain(&line.reason).chars().take(REASON_CHARACTERS_MAX).collect();
        if line.reason.chars().count() > REASON_CHARACTERS_MAX {
            reason.push('…');
        }
        table.row([
            line.letter.clone(),
            line.buried_at.clone().unwrap_or_default(),
            line.from(),
            line.event.clone().unwrap_or_default(),
            line.code.clone(),
            reason,
        ]);
    }
    table.render()
}

#[derive(Debug, Serialize)]
struct Whole {
    line: Line,
    /// As text, where all of it is.
    headers: Vec<(String, String)>,
    key: Option<String>,
    value: Option<String>,
    /// In hexadecimal digits, where it is no text.
    value_hex: Option<String>,
    left_out_bytes: Option<u64>,
}

fn show(settings: &Settings, name: Name, output: Output) -> Result<Exit, Failure> {
    let letter = one(settings, name)?;
    let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
    let value = letter.value.as_ref();
    let whole = Whole {
        line: Line::of(&letter),
        headers: letter.headers.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
        key: letter.key.as_ref().filter(|key| !key.is_empty()).map(text),
        value: value.and_then(|value| String::from_utf8(value.clone()).ok()),
        value_hex: value.filter(|value| std::str::from_utf8(value).is_err()).map(hex::encode),
        left_out_bytes: letter.left_out_bytes,
    };
    output.one(&whole, shown)?;
    Ok(Exit::Good)
}

fn shown(whole: &Whole) -> String {
    let line = &whole.line;
    let mut text = facts(&[
        ("letter", Some(line.letter.clone())),
        ("buried", line.buried_at.clone()),
        ("from", Some(line.from())),
        ("code", Some(line.code.clone())),
        ("hint", line.hint.clone()),
        ("key", whole.key.clone()),
        ("left out", whole.left_out_bytes.map(|bytes| format!("{bytes} bytes, too many to be kept"))),
    ]);
    text.push_str("why\n");
    for why in line.reason.lines() {
        text.extend(["  ", &plain(why), "\n"]);
    }
    text.push_str("headers\n");
    for (name, value) in &whole.headers {
        text.extend(["  ", &plain(name), ": ", &plain(value), "\n"]);
    }
    text.push_str("value\n");
    let none = if whole.left_out_bytes.is_some() { "  left out" } else { "  none: a tombstone" };
    let value = whole.value.as_ref().or(whole.value_hex.as_ref());
    match value {
        Some(value) => value.lines().for_each(|line| text.extend(["  ", &plain(line), "\n"])),
        None => text.extend([none, "\n"]),
    }
    text
}

#[derive(Debug, Serialize)]
struct Sent {
    letter: String,
    topic: Option<String>,
    partition: Option<u32>,
    offset: Option<u64>,
    /// Why it was not sent.
    refused: Option<String>,
}

fn resend(settings: &Settings, names: &[Name], all: bool, output: Output) -> Result<Exit, Failure> {
    let publisher = Publisher::open(settings).map_err(|error| failure(&error))?;
    let mut sent = vec![];
    let mut send = |letter: &Letter| -> Result<(), Failure> {
        let letter_name = name_of(letter).to_string();
        let refused = |why: String| Sent {
            letter: letter_name.clone(),
            topic: None,
            partition: None,
            offset: None,
            refused: Some(why),
        };
        sent.push(match letter.original() {
            Err(error) => refused(error.to_string()),
            Ok(write) => match publisher.publish_and_wait(&write) {
                Ok(written) => Sent {
                    letter: letter_name,
                    topic: Some(write.topic),
                    partition: Some(written.partition),
                    offset: Some(written.offset),
                    refused: None,
                },
                Err(error) => refused(error.to_string()),
            },
        });
        Ok(())
    };
    if all {
        // Those that are there now: one that dies again becomes a new letter, and is not sent for ever.
        let follower = follow(settings, &Begin::Beginning)?;
        let ends = follower.ends(SILENT_MAX).map_err(|error| failure(&error))?;
        read(settings, &follower, |letter| {
            if ends.get(&letter.partition).is_some_and(|end| letter.offset < *end) {
                send(&letter)?;
            }
            Ok(Next::More)
        })?;
    } else {
        for name in names {
            send(&one(settings, *name)?)?;
        }
    }
    output.list(&sent, |sent| {
        if sent.is_empty() {
            return "no dead letters\n".to_owned();
        }
        let mut table = Table::new(&["LETTER", "SENT TO", ""]);
        for one in sent {
            let to = one.topic.as_ref().zip(one.partition).zip(one.offset);
            let to = to.map(|((topic, partition), offset)| format!("{topic} {partition}:{offset}"));
            let refused = one.refused.clone().unwrap_or_default();
            table.row([one.letter.clone(), to.unwrap_or_else(|| "not sent".to_owned()), refused]);
        }
        table.render()
    })?;
    let refused = sent.iter().any(|one| one.refused.is_some());
    Ok(if refused { Exit::Failed } else { Exit::Good })
}

#[derive(Debug, Serialize)]
struct Dropped {
    partition: u32,
    /// The first letter that is kept.
    kept_from: u64,
}

fn drop_up_to(settings: &Settings, name: Name, output: Output) -> Result<Exit, Failure> {
    // One that is not there is told, instead of dropping everything before a mistyped number.
    one(settings, name)?;
    let kept_from = log_kafka::topics::drop_letters_before(settings, name.partition, name.offset + 1)
        .map_err(|error| Failure::of_topics(&error))?;
    let dropped = Dropped { partition: name.partition, kept_from };
    output.one(&dropped, |dropped| format!("letters before {} are dropped\n", dropped.kept_from))?;
    Ok(Exit::Good)
}

/// Whether to read on.
enum Next {
    More,
    Enough,
}

fn one(settings: &Settings, name: Name) -> Result<Letter, Failure> {
    let mut found = None;
    let begin = Begin::Offsets(BTreeMap::from([(name.partition, name.offset)]));
    read(settings, &follow(settings, &begin)?, |letter| {
        if name_of(&letter) == name {
            found = Some(letter);
            return Ok(Next::Enough);
        }
        let is_beyond = letter.partition == name.partition && letter.offset > name.offset;
        Ok(if is_beyond { Next::Enough } else { Next::More })
    })?;
    found.ok_or_else(|| {
        Failure::new(
            Exit::Failed,
            "UNKNOWN_LETTER",
            format!("expected a dead letter {name}, but there is none"),
        )
        .hint("`modelrail dead-letters list` names those that are there; they are kept for 30 days")
    })
}

fn follow(settings: &Settings, begin: &Begin) -> Result<Follower, Failure> {
    let topic = Topic::DeadLetters.name(&settings.prefix);
    let follower = Follower::open(settings, &topic, begin, &Bell::default(), SILENT_MAX);
    follower.map_err(|error| failure(&error))
}

/// All letters that are there now.
fn read(
    settings: &Settings,
    follower: &Follower,
    mut each: impl FnMut(Letter) -> Result<Next, Failure>,
) -> Result<(), Failure> {
    let mut heard = Instant::now();
    loop {
        match follower.next(WAIT).map_err(|error| failure(&error))? {
            Some(Followed::Record(read)) => {
                heard = Instant::now();
                if let Next::Enough = each(Letter::open(*read))? {
                    return Ok(());
                }
            }
            Some(Followed::End) => return Ok(()),
            None if heard.elapsed() < SILENT_MAX => {}
            None => {
                let why = follower.health().trouble().unwrap_or_else(|| "they do not answer".to_owned());
                return Err(failure(&Error::NotReached { brokers: settings.brokers.clone(), why }));
            }
        }
    }
}

/// What went wrong with a topic, for people.
pub(super) fn failure(error: &Error) -> Failure {
    let failure = match error {
        Error::NotReached { .. } => Failure::new(Exit::NotReachable, "KAFKA_SILENT", error.to_string())
            .field("kafka.brokers")
            .hint("is `kafka.brokers` right, and does a broker listen there? `modelrail topics check` says more"),
        Error::Client(_) => Failure::usage("KAFKA_SETTINGS", error.to_string())
            .hint("see `[kafka]` in `deploy/modelrail.toml`"),
        Error::Asking { .. } | Error::Expelled(_) | Error::Full | Error::Write(_) | Error::Gone { .. } => {
            Failure::new(Exit::Failed, "KAFKA_REFUSED", error.to_string())
                .hint("`modelrail topics check` says whether the topics are as they should be")
        }
    };
    match std::error::Error::source(error) {
        Some(source) => failure.cause(source),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        Line {
            letter: "17".into(),
            buried_at: Some("2026-11-21T10:00:00.000Z".into()),
            code: "NO_WORKFLOW".into(),
            reason:
                "model: expected a model that a workflow's trigger matches, but found `frod`\nand\u{1b}[2J"
                    .into(),
            hint: Some("nearest is `fraud` of the workflow `one`".into()),
            topic: Some("model-trained".into()),
            partition: Some(3),
            offset: Some(41),
            event: Some("e-7".into()),
            bytes: Some(2),
        }
    }

    #[test]
    fn letters_stand_in_a_table_newest_first_as_they_come() {
        insta::assert_snapshot!(table(&[line()]), @r"
        LETTER  BURIED                    FROM                EVENT  CODE         WHY
        17      2026-11-21T10:00:00.000Z  model-trained 3:41  e-7    NO_WORKFLOW  model: expected a model that a workflow's trigger matches, but found `frod` and …
        ");
        assert_eq!(table(&[]), "no dead letters\n");
    }

    #[test]
    fn a_letter_is_shown_whole() {
        let whole = Whole {
            line: line(),
            headers: vec![("ce_id".into(), "e-7".into())],
            key: None,
            value: None,
            value_hex: Some("ff7b".into()),
            left_out_bytes: None,
        };
        insta::assert_snapshot!(shown(&whole), @r"
        letter    17
        buried    2026-11-21T10:00:00.000Z
        from      model-trained 3:41
        code      NO_WORKFLOW
        hint      nearest is `fraud` of the workflow `one`
        why
          model: expected a model that a workflow's trigger matches, but found `frod`
          and [2J
        headers
          ce_id: e-7
        value
          ff7b
        ");
    }

    #[test]
    fn a_letter_is_called_by_its_offset_and_by_its_partition_where_there_are_several() {
        for (text, name) in [("17", (0, 17)), ("2:5", (2, 5))] {
            let name = Name { partition: name.0, offset: name.1 };
            assert_eq!((text.parse(), name.to_string().as_str()), (Ok(name), text));
        }
        for wrong in ["", "a", "1:", ":1", "1:2:3", "-1"] {
            assert!(wrong.parse::<Name>().is_err(), "{wrong}");
        }
    }
}
