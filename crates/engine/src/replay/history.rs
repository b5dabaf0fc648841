//! What happened to one stream: every record that touches it, with what was said, what was decided, and what the
//! world had to do from then on.

use domain::name::StreamId;
use wire::record::{Body, Recorded};

use super::{ReadError, Reader, States, Step};
use crate::fold;

/// One record of a stream.
#[derive(Debug, Clone)]
pub struct Entry {
    pub seq: u64,
    /// The how-manieth of this stream, from 1.
    pub number: u64,
    pub recorded: Recorded,
    /// The commands that are new after it, and the attempts that are gone, as text.
    pub began: Vec<String>,
    pub ended: Vec<String>,
}

/// The stream's records, in order.
pub fn history<E: Into<ReadError>>(
    records: impl IntoIterator<Item = Result<Vec<u8>, E>>,
    mut reader: Reader,
    stream: &StreamId,
) -> Result<Vec<Entry>, ReadError> {
    let mut states = States::default();
    let mut entries = vec![];
    for bytes in records {
        let Step::Accepted(record) = reader.read(&bytes.map_err(Into::into)?)? else { continue };
        let Body::Transition(recorded) = record.body else { continue };
        let before = open_attempts(&states, stream);
        states.apply(record.seq, &recorded);
        let unread = recorded.unread.iter().any(|(unread, _)| unread == stream);
        if !unread && recorded.transition.steps.iter().all(|step| step.stream() != *stream) {
            continue;
        }
        let after = open_attempts(&states, stream);
        let without = |all: &[String], those: &[String]| {
            all.iter().filter(|attempt| !those.contains(attempt)).cloned().collect()
        };
        entries.push(Entry {
            seq: record.seq,
            number: entries.len() as u64 + 1,
            began: without(&after, &before),
            ended: without(&before, &after),
            recorded: *recorded,
        });
    }
    Ok(entries)
}

fn open_attempts(states: &States, stream: &StreamId) -> Vec<String> {
    let name = |command: &domain::work::Command| format!("{} {}", command.order.as_str(), command.attempt);
    match stream {
        StreamId::Definitions => vec![],
        StreamId::Run(run) => {
            let folded = states.runs.get(run);
            folded.map(|folded| fold::commands(folded.effects()).map(name).collect()).unwrap_or_default()
        }
        StreamId::Target(target) => {
            let folded = states.targets.get(target);
            folded.map(|folded| fold::commands(folded.effects()).map(name).collect()).unwrap_or_default()
        }
    }
}
