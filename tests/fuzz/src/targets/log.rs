//! The bytes of the log and of its lanes.

use domain::definition::Kind;
use domain::name::Digest;
use wire::codec::{self, Definitions};
use wire::definitions::parsers;
use wire::record;

/// A workflow that records may name.
const WORKFLOW: &str = include_str!("../../../../workflows/blue-green-basic.yaml");
/// The texts whose digests the samples of crate `wire` name, from which the corpus was made.
const SAMPLE_WORKFLOW: &str = "workflow: sample";
const SAMPLE_ROLES: &str = "operator: [ada]";

fn definitions() -> Definitions {
    let mut known = Definitions::new(parsers());
    let workflow = wire::definitions::pin_workflow(WORKFLOW).expect("a shipped workflow parses").value;
    known.insert_workflow(Digest::of(SAMPLE_WORKFLOW.as_bytes()), workflow);
    known.insert(Kind::Roles, SAMPLE_ROLES).expect("a role map");
    known
}

/// A record. One that was read whole is written and read again as the same, and its head says the same.
pub(crate) fn record(bytes: &[u8]) {
    let mut known = definitions();
    let registered = known.register(bytes);
    let head = record::peek(bytes);
    let read = record::decode(bytes, &known);
    // Readers refuse a record whose definitions are not what their digests say, before they read the rest.
    let (Ok(()), Ok(read)) = (registered, read) else { return };
    let head = head.expect("what can be read has a head");
    assert!((head.seq, head.prev) == (read.seq, read.prev), "the head is another record's");
    let unread = match &read.body {
        record::Body::Transition(recorded) => recorded.unread.as_slice(),
        _ => &[],
    };
    if !unread.is_empty() {
        // What a newer binary wrote is skipped, and such a record is never written by this one.
        return;
    }
    let written = record::encode(&read);
    let again = record::decode(&written, &known).expect("what was written is read");
    // Bytes and not values: a NaN is equal to nothing.
    assert!(record::encode(&again) == written, "a record changed on its way");
    assert!(record::peek(&written).is_ok_and(|found| found == head), "the head changed on its way");
}

/// Events, inputs and outcomes by themselves: the first byte says which.
pub(crate) fn codec(bytes: &[u8]) {
    let Some((which, bytes)) = bytes.split_first() else { return };
    let mut known = definitions();
    let _unknown = known.register_input(bytes);
    macro_rules! twice {
        ($decode:expr, $encode:path) => {
            if let Ok(read) = $decode(bytes) {
                let written = $encode(&read);
                let again = $decode(&written).expect("what was written is read");
                assert!($encode(&again) == written, "a value changed on its way");
            }
        };
    }
    match which % 6 {
        0 => twice!(codec::decode_outcome, codec::encode_outcome),
        1 => twice!(|bytes: &[u8]| codec::decode_run_input(bytes, &known), codec::encode_run_input),
        2 => twice!(|bytes: &[u8]| codec::decode_target_input(bytes, &known), codec::encode_target_input),
        3 => twice!(|bytes: &[u8]| codec::decode_input(bytes, &known), codec::encode_input),
        4 => twice!(|bytes: &[u8]| codec::decode_run_event(bytes, &known), codec::encode_run_event),
        _ => twice!(|bytes: &[u8]| codec::decode_target_event(bytes, &known), codec::encode_target_event),
    }
}
