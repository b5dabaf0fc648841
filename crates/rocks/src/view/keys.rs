//! Keys of the view. Numbers are big-endian, so that keys sort as what they name.
//!
//! ```text
//!  H partition(4)                                   -> head
//!  S partition(4) stream seq(8)                     -> (seq, offset) of some records in a row; the first in the key
//!  R run(16)                                        -> run row
//!  T target                                         -> target row
//!  O partition(4) run(16)                           -> (a run that has not ended)
//!  A started(8) run(16)                             -> (every run)
//!  X state 0 started(8) run(16)                     -> (runs by state)
//!  M model 0 started(8) run(16)                     -> (runs by model)
//!  G target 0 started(8) run(16)                    -> (runs by target)
//!  Q partition(4) input id                          -> request row
//!  C partition(4) seq(8) next offset(8)             -> input ids answered by one batch, for dropping them
//! ```
//!
//! Names have no zero byte, so a zero ends them; a stream is its kind and then its run or target and a zero.

use domain::name::{RunId, StreamId, TargetId};
use domain::time::Timestamp;
use engine::port::row::RunRow;
use engine::port::store::Query;

use crate::bytes::Malformed;

pub(crate) const TARGETS: &[u8] = b"T";
pub(crate) const HEADS: &[u8] = b"H";
pub(crate) const PLACE_BYTES: usize = 24;

fn tagged(tag: u8, partition: u32) -> Vec<u8> {
    let mut key = Vec::with_capacity(40);
    key.push(tag);
    key.extend_from_slice(&partition.to_be_bytes());
    key
}

pub(crate) fn head(partition: u32) -> Vec<u8> {
    tagged(b'H', partition)
}

/// What all keys of a stream begin with; `seq` follows.
pub(crate) fn stream(partition: u32, stream: &StreamId) -> Vec<u8> {
    let mut key = tagged(b'S', partition);
    match stream {
        StreamId::Definitions => key.push(0),
        StreamId::Run(run) => {
            key.push(1);
            key.extend_from_slice(&run.0);
        }
        StreamId::Target(target) => {
            key.push(2);
            put_target(&mut key, target);
            key.push(0);
        }
    }
    key
}

pub(crate) fn run(run: RunId) -> [u8; 17] {
    let mut key = [b'R'; 17];
    key[1..].copy_from_slice(&run.0);
    key
}

pub(crate) fn target(target: &TargetId) -> Vec<u8> {
    let mut key = TARGETS.to_vec();
    put_target(&mut key, target);
    key
}

/// What the keys of a partition's open runs begin with; the run follows.
pub(crate) fn open(partition: u32) -> Vec<u8> {
    tagged(b'O', partition)
}

pub(crate) fn request(partition: u32, input_id: &str) -> Vec<u8> {
    let mut key = tagged(b'Q', partition);
    key.extend_from_slice(input_id.as_bytes());
    key
}

/// What the keys of a partition's answered commits begin with; `seq` and the next offset follow.
pub(crate) fn answered(partition: u32) -> Vec<u8> {
    tagged(b'C', partition)
}

/// Where a run stands in every index of runs.
pub(crate) fn place(started_at: Timestamp, run: RunId) -> [u8; PLACE_BYTES] {
    let mut place = [0; PLACE_BYTES];
    place[..8].copy_from_slice(&started_at.0.to_be_bytes());
    place[8..].copy_from_slice(&run.0);
    place
}

pub(crate) fn run_of_place(place: &[u8]) -> Result<RunId, Malformed> {
    let run = place.get(8..).and_then(|run| run.try_into().ok());
    run.map(RunId).ok_or(Malformed("the place of a run"))
}

/// What the keys of the narrowest index for a query begin with.
pub(crate) fn index_of(query: &Query) -> Vec<u8> {
    if let Some(target) = &query.target {
        named(b'G', |key| put_target(key, target))
    } else if let Some(model) = &query.model {
        named(b'M', |key| key.extend_from_slice(model.as_str().as_bytes()))
    } else if let Some(state) = &query.state {
        named(b'X', |key| key.extend_from_slice(state.as_bytes()))
    } else {
        vec![b'A']
    }
}

/// All index keys of a row in this state.
pub(crate) fn indexes(row: &RunRow, state: &str, ended: bool) -> Vec<Vec<u8>> {
    let mut keys = vec![
        vec![b'A'],
        named(b'X', |key| key.extend_from_slice(state.as_bytes())),
        named(b'M', |key| key.extend_from_slice(row.model.as_str().as_bytes())),
        named(b'G', |key| put_target(key, &row.target)),
    ];
    for key in &mut keys {
        key.extend_from_slice(&place(row.started_at, row.run));
    }
    if !ended {
        let mut key = open(row.partition);
        key.extend_from_slice(&row.run.0);
        keys.push(key);
    }
    keys
}

fn named(tag: u8, name: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut key = Vec::with_capacity(64);
    key.push(tag);
    name(&mut key);
    key.push(0);
    key
}

fn put_target(key: &mut Vec<u8>, target: &TargetId) {
    key.extend_from_slice(target.model.as_str().as_bytes());
    key.push(b'@');
    key.extend_from_slice(target.environment.as_str().as_bytes());
}
