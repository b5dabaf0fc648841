//! A record to bytes.

use prost::Message;

use super::{Body, LaneClaim, Record, Recorded, direct, repeats};
use crate::codec::Wire;
use crate::generated::v1;

/// The bytes of a record. The same record gives the same bytes.
pub fn encode(record: &Record) -> Vec<u8> {
    let directly = match &record.body {
        Body::Transition(recorded) => direct::encode(record.seq, &record.prev, recorded),
        Body::Created { .. } | Body::Claimed { .. } | Body::FormatRaised { .. } => None,
    };
    directly.unwrap_or_else(|| through_messages(record))
}

/// The same bytes, whatever the record is.
pub(super) fn through_messages(record: &Record) -> Vec<u8> {
    let body = match &record.body {
        Body::Created { log_id, partition, partitions, format, in_flight_records_max } => {
            v1::record::Body::Created(v1::Created {
                log_id: log_id.to_vec(),
                partition: *partition,
                partitions: *partitions,
                format: *format,
                in_flight_records_max: *in_flight_records_max,
            })
        }
        Body::Claimed { nonce, binary, lanes } => v1::record::Body::Claimed(v1::Claimed {
            nonce: nonce.to_vec(),
            binary: binary.clone(),
            lanes: lanes.iter().map(lane_claim).collect(),
        }),
        Body::Transition(recorded) => v1::record::Body::Transition(transition(recorded)),
        Body::FormatRaised { format } => v1::record::Body::FormatRaised(v1::FormatRaised { format: *format }),
    };
    v1::Record { seq: record.seq, prev: record.prev.put(), body: Some(body) }.encode_to_vec()
}

fn lane_claim(claim: &LaneClaim) -> v1::LaneClaim {
    v1::LaneClaim { lane: claim.lane.put(), topic: claim.topic.clone(), rebased_to: claim.rebased_to }
}

fn transition(recorded: &Recorded) -> v1::Transition {
    let mut steps: Vec<v1::Step> = recorded.transition.steps.put();
    for step in &mut steps {
        repeats::leave_out(step);
    }
    v1::Transition {
        now: recorded.now.put(),
        epoch: recorded.epoch,
        engine_version: recorded.engine_version.clone(),
        decide_revision: recorded.decide_revision,
        lane: recorded.lane.put(),
        before: recorded.before.to_vec(),
        after: recorded.after.to_vec(),
        dispatched: recorded.dispatched,
        input_id: recorded.input_id.clone(),
        traceparent: recorded.traceparent.clone(),
        steps,
        refused: recorded.transition.refused.put(),
    }
}
