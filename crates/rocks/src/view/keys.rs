//! Keys of the view. Numbers are big-endian, so that keys sort as what they name.
//!
//! ```text
//!  H partition(4)                                   -> head
//!  S partition(4) stream seq(8)                     -> (seq, offset) of some records in a row; the first in the key
//!  K partition(4) stream                            -> a state of it
//!  R run(16)                                        -> run row
//!  T target                                         -> target row
//!  O partition(4) stream                            -> (something is under way for it: see `RunRow::is_open`)
//!  W partition(4) wake at(8) stream                 -> (it is to be woken)
//!  A started(8) run(16)                             -> (every run)
//!  X state 0 started(8) run(16)                     -> (runs by state)
//!  M model 0 started(8) run(16)                     -> (runs by model)
//!  G target 0 started(8) run(16)                    -> (runs by target)
//!  Q partition(4) input id                          -> request row
//!  C partition(4) seq(8) next offset(8)             -> input ids answered by one batch, for dropping them
//! ```
//!
//! Names have no zero byte, so a zero ends them. A stream is its kind and then its run, or the two names of its target:
//! keys sort as streams do.

use domain::name::{Environment, ModelName, RunId, StreamId, TargetId};
use domain::time::Timestamp;
use engine::port::row::RunRow;
use engine::port::store::{Query, Wake};

use crate::bytes::{Malformed, Reader};

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
    put_stream(&mut key, stream);
    key
}

pub(crate) fn kept(partition: u32, stream: &StreamId) -> Vec<u8> {
    let mut key = tagged(b'K', partition);
    put_stream(&mut key, stream);
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

/// What the keys of a partition's open streams begin with; the stream follows.
pub(crate) fn opens(partition: u32) -> Vec<u8> {
    tagged(b'O', partition)
}

pub(crate) fn open(partition: u32, stream: &StreamId) -> Vec<u8> {
    let mut key = opens(partition);
    put_stream(&mut key, stream);
    key
}

/// What the keys of a partition's moments begin with; moment and stream follow.
pub(crate) fn wakes(partition: u32) -> Vec<u8> {
    tagged(b'W', partition)
}

pub(crate) fn wake(partition: u32, at: Timestamp, stream: &StreamId) -> Vec<u8> {
    let mut key = wakes(partition);
    key.extend_from_slice(&at.0.to_be_bytes());
    put_stream(&mut key, stream);
    key
}

pub(crate) fn wake_of(rest: &[u8]) -> Result<Wake, Malformed> {
    let mut reader = Reader::new(rest);
    let at = Timestamp(u64::from_be_bytes(reader.array()?));
    Ok((at, stream_of(reader.rest())?))
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

/// Where the lists have the run from its beginning on.
pub(crate) fn lists(row: &RunRow) -> [Vec<u8>; 3] {
    let mut keys = [
        vec![b'A'],
        named(b'M', |key| key.extend_from_slice(row.model.as_str().as_bytes())),
        named(b'G', |key| put_target(key, &row.target)),
    ];
    for key in &mut keys {
        key.extend_from_slice(&place(row.started_at, row.run));
    }
    keys
}

/// Where the list of this state has the run.
pub(crate) fn state(row: &RunRow, state: &str) -> Vec<u8> {
    let mut key = named(b'X', |key| key.extend_from_slice(state.as_bytes()));
    key.extend_from_slice(&place(row.started_at, row.run));
    key
}

fn named(tag: u8, name: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut key = Vec::with_capacity(64);
    key.push(tag);
    name(&mut key);
    key.push(0);
    key
}

fn put_stream(key: &mut Vec<u8>, stream: &StreamId) {
    match stream {
        StreamId::Definitions => key.push(0),
        StreamId::Run(run) => {
            key.push(1);
            key.extend_from_slice(&run.0);
        }
        StreamId::Target(target) => {
            key.push(2);
            for name in [target.model.as_str(), target.environment.as_str()] {
                key.extend_from_slice(name.as_bytes());
                key.push(0);
            }
        }
    }
}

/// The stream that a key ends with.
pub(crate) fn stream_of(bytes: &[u8]) -> Result<StreamId, Malformed> {
    match bytes {
        [0] => Ok(StreamId::Definitions),
        [1, run @ ..] => run.try_into().map(|run| StreamId::Run(RunId(run))).map_err(|_| Malformed("a run")),
        [2, names @ ..] => {
            let text = std::str::from_utf8(names).map_err(|_| Malformed("text"))?;
            let mut names = text.split('\0');
            let (Some(model), Some(environment), Some(""), None) =
                (names.next(), names.next(), names.next(), names.next())
            else {
                return Err(Malformed("the two names of a target"));
            };
            let model = ModelName::parse(model).map_err(|_| Malformed("a model"))?;
            let environment = Environment::parse(environment).map_err(|_| Malformed("an environment"))?;
            Ok(StreamId::Target(TargetId { model, environment }))
        }
        _ => Err(Malformed("a stream")),
    }
}

fn put_target(key: &mut Vec<u8>, target: &TargetId) {
    key.extend_from_slice(target.model.as_str().as_bytes());
    key.push(b'@');
    key.extend_from_slice(target.environment.as_str().as_bytes());
}
