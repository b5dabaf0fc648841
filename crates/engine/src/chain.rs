//! The one comparison on which everything rests: a record is accepted if its `prev` is the hash of the last
//! accepted one. The same rules serve the engine, every other reader and `verify`.
//!
//! ```text
//!   prev == head.hash ? --no--> loser: counted, never applied;  too far ahead? -> HISTORY_GAP
//!        | yes
//!   seq, epoch, positions, time, dispatched follow the head ? --no--> stops with a named code
//!        | yes
//!   accepted: the new head
//! ```

use domain::name::Digest;
use domain::time::Timestamp;
use wire::record::{Body, FORMAT, Kind, LaneClaim, NO_PREV, Peek, Record, Recorded};

use crate::code::{Code, Stopped};
use crate::port::store::Head;

/// Which log a reader expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Nothing takes any: for a reader of a file.
    pub log_id: Option<[u8; 16]>,
    pub partition: u32,
    pub partitions: u32,
}

/// Where a reader stands before the first record.
pub fn before_first(identity: Identity) -> Head {
    Head {
        log_id: identity.log_id.unwrap_or_default(),
        partitions: identity.partitions,
        seq: 0,
        hash: NO_PREV,
        next_offset: 0,
        epoch: 0,
        format: FORMAT,
        in_flight_records_max: 0,
        now: Timestamp(0),
        positions: [0; 3],
        topics: [NO_TOPIC; 3],
        dispatched: 0,
        losers: 0,
    }
}

/// Whether a record fits the head. One that does not is a loser, unless it proves that records are missing.
pub fn fits(head: &Head, peek: &Peek) -> Result<bool, Stopped> {
    if peek.prev == head.hash {
        return Ok(true);
    }
    let bound = match peek.kind {
        Kind::Created => u64::MAX,
        Kind::Claimed { .. } => head.seq + 1,
        Kind::Transition { .. } | Kind::FormatRaised { .. } => {
            head.seq + u64::from(head.in_flight_records_max)
        }
    };
    if peek.seq > bound {
        let text =
            format!("after record {} came record {}, but at most {bound} can follow", head.seq, peek.seq);
        return Err(Stopped::new(Code::HistoryGap, text));
    }
    Ok(false)
}

/// The head after a record that fits; its `next_offset` is the reader's to set. `hash` is of all its bytes.
pub fn follow(head: &Head, identity: Identity, record: &Record, hash: Digest) -> Result<Head, Stopped> {
    if record.seq != head.seq + 1 {
        let text = format!("record {} follows record {}", record.seq, head.seq);
        return Err(Stopped::new(Code::SeqBroken, text));
    }
    let mut next = Head { seq: record.seq, hash, ..head.clone() };
    match &record.body {
        Body::Created { log_id, partition, partitions, format, in_flight_records_max } => {
            let same_log = identity.log_id.is_none_or(|expected| expected == *log_id);
            let same_place = (identity.partition, identity.partitions) == (*partition, *partitions);
            if head.seq != 0 || !same_log || !same_place {
                let text = format!(
                    "expected partition {} of {}, but record {} creates partition {partition} of {partitions}{}",
                    identity.partition,
                    identity.partitions,
                    record.seq,
                    if same_log { "" } else { " of another log" }
                );
                return Err(Stopped::new(Code::ForeignLog, text));
            }
            next.log_id = *log_id;
            next.format = *format;
            next.in_flight_records_max = *in_flight_records_max;
        }
        _ if head.seq == 0 => {
            return Err(Stopped::new(Code::ForeignLog, "the first record does not create a log"));
        }
        Body::Claimed { lanes, .. } => {
            next.epoch = record.seq;
            for claim in lanes {
                claimed(&mut next, claim)?;
            }
        }
        Body::FormatRaised { format } => {
            if *format <= head.format {
                let text = format!("record {} raises format {} to {format}", record.seq, head.format);
                return Err(Stopped::new(Code::FormatBroken, text));
            }
            next.format = *format;
        }
        Body::Transition(recorded) => transition(&mut next, head, recorded)?,
    }
    Ok(next)
}

/// Of a lane without a topic.
pub const NO_TOPIC: u64 = 0;

/// Tells one topic of a lane from another.
pub fn topic_mark(topic: &str) -> u64 {
    if topic.is_empty() {
        return NO_TOPIC;
    }
    let digest = Digest::of(topic.as_bytes());
    u64::from_be_bytes(std::array::from_fn(|index| digest.0[index]))
}

/// Only a topic that is another than before may begin elsewhere.
fn claimed(next: &mut Head, claim: &LaneClaim) -> Result<(), Stopped> {
    let lane = claim.lane.index();
    let (mark, known) = (topic_mark(&claim.topic), next.topics[lane]);
    if let Some(begins_at) = claim.rebased_to {
        if mark == known {
            let text = format!(
                "record {} moves lane {:?} from {} to {begins_at}, but its topic is the same",
                next.seq, claim.lane, next.positions[lane]
            );
            return Err(Stopped::new(Code::PositionBroken, text));
        }
        next.positions[lane] = begins_at;
    }
    next.topics[lane] = mark;
    Ok(())
}

fn transition(next: &mut Head, head: &Head, recorded: &Recorded) -> Result<(), Stopped> {
    let seq = next.seq;
    let (before, after) = (recorded.before, recorded.after);
    let fail = |code, text| Err(Stopped::new(code, format!("record {seq} {text}")));
    if recorded.epoch != head.epoch {
        return fail(Code::EpochBroken, format!("has epoch {}, not {}", recorded.epoch, head.epoch));
    }
    if before != head.positions {
        return fail(
            Code::PositionBroken,
            format!("begins at positions {before:?}, not {:?}", head.positions),
        );
    }
    if after.iter().zip(before).any(|(after, before)| *after < before) {
        return fail(Code::PositionBroken, format!("goes back from positions {before:?} to {after:?}"));
    }
    if recorded.now < head.now {
        return fail(Code::TimeBroken, format!("is of {}, before {}", recorded.now, head.now));
    }
    if recorded.dispatched < head.dispatched || recorded.dispatched >= seq {
        let text = format!("has dispatched {} after {}", recorded.dispatched, head.dispatched);
        return fail(Code::DispatchedBroken, text);
    }
    next.positions = after;
    next.now = recorded.now;
    next.dispatched = recorded.dispatched;
    Ok(())
}
/// A log of one writer ends with the last accepted record. So many behind it that do not follow are damage: either they
/// or the record before them are not what was written.
pub fn one_writer_ends(after: u64, losers_at_end: u64) -> Result<(), Stopped> {
    if losers_at_end == 0 {
        return Ok(());
    }
    let text = format!(
        "expected the log to end with record {after} or with one that follows it, but {losers_at_end} behind it do not"
    );
    Err(Stopped::new(Code::HistoryGap, text))
}
