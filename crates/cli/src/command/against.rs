//! Are two copies of a log one log? They are as long as the shorter of each partition is the beginning of the longer:
//! every record commits to all before it, and each start of an engine writes a claim with a nonce of its own, so two
//! copies that were both started differ from that record on.

use std::path::Path;

use rocks::LogCopy;
use serde::Serialize;
use wire::record::{Body, decode, peek};

use crate::argv::Global;
use crate::exit::{Exit, Failure};
use crate::output::{Output, Table};

/// How many records of each copy are read at once.
const RECORDS_MAX: usize = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Same,
    /// The other is the beginning of ours.
    OtherBehind,
    /// Ours is the beginning of the other.
    OtherAhead,
    Forked,
}

#[derive(Debug, Serialize)]
struct Compared {
    partition: u32,
    verdict: Verdict,
    /// How many records are in both.
    common: u64,
    ours: u64,
    theirs: u64,
    /// The first record that differs, in words, of each.
    our_next: Option<String>,
    their_next: Option<String>,
}

pub(super) fn against(global: &Global, other: &Path, output: Output) -> Result<Exit, Failure> {
    let data = super::data_folder(global)?;
    let (ours, theirs) = (open(&data)?, open(other)?);
    if (ours.log_id(), ours.partitions()) != (theirs.log_id(), theirs.partitions()) {
        let text = format!(
            "expected two copies of one log, but {} has {} and {} has {}",
            data.display(),
            hex::encode(ours.log_id()),
            other.display(),
            hex::encode(theirs.log_id()),
        );
        return Err(Failure::usage("OTHER_LOG", text).hint("they never had anything in common"));
    }
    let compared = (0..ours.partitions()).map(|partition| compare(&ours, &theirs, partition));
    let compared: Vec<Compared> =
        compared.collect::<Result<_, _>>().map_err(|error| Failure::of_folder(&error))?;
    output.list(&compared, text)?;
    let forked = compared.iter().any(|compared| compared.verdict == Verdict::Forked);
    Ok(if forked { Exit::Failed } else { Exit::Good })
}

fn open(path: &Path) -> Result<LogCopy, Failure> {
    LogCopy::open(path).map_err(|error| match error {
        rocks::Error::InUse { .. } => {
            Failure::of_folder(&error).hint("stop the server, or take a backup of it and compare that")
        }
        error => Failure::of_folder(&error),
    })
}

fn compare(ours: &LogCopy, theirs: &LogCopy, partition: u32) -> Result<Compared, rocks::Error> {
    let ends = (ours.end(partition), theirs.end(partition));
    let mut common = 0;
    let mut next = (None, None);
    loop {
        let here = ours.read(partition, common, RECORDS_MAX)?;
        let there = theirs.read(partition, common, RECORDS_MAX)?;
        let equal = here.iter().zip(&there).take_while(|(here, there)| here == there).count();
        common += equal as u64;
        if equal < RECORDS_MAX {
            let words = |records: &[engine::port::log::Landed]| records.get(equal).map(|it| words(&it.bytes));
            next = if next == (None, None) { (words(&here), words(&there)) } else { next };
            break;
        }
    }
    let verdict = match &next {
        (Some(_), Some(_)) => Verdict::Forked,
        (Some(_), None) => Verdict::OtherBehind,
        (None, Some(_)) => Verdict::OtherAhead,
        (None, None) => Verdict::Same,
    };
    let (our_next, their_next) = next;
    Ok(Compared { partition, verdict, common, ours: ends.0, theirs: ends.1, our_next, their_next })
}

fn words(bytes: &[u8]) -> String {
    // Without the definitions before it a transition may not be read; its head is.
    let Ok(record) = decode(bytes, &()) else {
        return peek(bytes).map_or_else(
            |_| "a record that cannot be read".to_owned(),
            |peek| format!("record {}: a transition", peek.seq),
        );
    };
    let seq = record.seq;
    match record.body {
        Body::Created { .. } => format!("record {seq}: created"),
        Body::Claimed { nonce, binary, .. } => {
            format!("record {seq}: claimed by {binary}, nonce {}", hex::encode(nonce))
        }
        Body::Transition(recorded) => format!("record {seq}: a transition of {}", recorded.now),
        Body::FormatRaised { format } => format!("record {seq}: raised to format {format}"),
    }
}

fn text(all: &[Compared]) -> String {
    let mut table = Table::new(&["PARTITION", "COMMON", "OURS", "THEIRS", "VERDICT"]);
    for compared in all {
        let verdict = match compared.verdict {
            Verdict::Same => "the same",
            Verdict::OtherBehind => "the other is behind",
            Verdict::OtherAhead => "the other is ahead",
            Verdict::Forked => "FORKED",
        };
        let counts = [compared.common, compared.ours, compared.theirs].map(|count| count.to_string());
        let [common, ours, theirs] = counts;
        table.row([compared.partition.to_string(), common, ours, theirs, verdict.to_owned()]);
        if compared.verdict == Verdict::Forked {
            for (whose, next) in [("ours", &compared.our_next), ("theirs", &compared.their_next)] {
                let next = next.clone().unwrap_or_default();
                table.row([String::new(), String::new(), String::new(), whose.to_owned(), next]);
            }
        }
    }
    table.render()
}
