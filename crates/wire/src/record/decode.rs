//! Bytes to a record.

use domain::transition::Transition;
use prost::Message;

use super::{Body, Error, Lane, LaneClaim, Positions, Record, Recorded, repeats};
use crate::codec::{Place, Resolve, Wire, exactly};
use crate::generated::v1;

choice!(Lane => Lane { Requests, Outcomes, Triggers });
message!(LaneClaim => LaneClaim { lane, topic, rebased_to });

/// Reads a record. The definitions that it names, its own included, must be known: see
/// [`Definitions::register`](crate::codec::Definitions::register).
pub fn decode(bytes: &[u8], known: &dyn Resolve) -> Result<Record, Error> {
    let v1::Record { seq, prev, body } = v1::Record::decode(bytes)?;
    let prev = Wire::take(prev, known, Place { message: "Record", field: "prev" })?;
    let body = match body {
        None => return Err(Error::UnknownVariant("Record")),
        Some(v1::record::Body::Created(created)) => Body::Created {
            log_id: exactly(&created.log_id, Place { message: "Created", field: "log_id" })?,
            partition: created.partition,
            partitions: created.partitions,
            format: created.format,
            in_flight_records_max: created.in_flight_records_max,
        },
        Some(v1::record::Body::Claimed(claimed)) => Body::Claimed {
            nonce: exactly(&claimed.nonce, Place { message: "Claimed", field: "nonce" })?,
            binary: claimed.binary,
            lanes: Wire::take(claimed.lanes, known, Place { message: "Claimed", field: "lanes" })?,
        },
        Some(v1::record::Body::Transition(transition)) => {
            Body::Transition(Box::new(recorded(transition, known)?))
        }
        Some(v1::record::Body::FormatRaised(raised)) => Body::FormatRaised { format: raised.format },
    };
    Ok(Record { seq, prev, body })
}

fn recorded(mut proto: v1::Transition, known: &dyn Resolve) -> Result<Recorded, Error> {
    let at = |field| Place { message: "Transition", field };
    for step in &mut proto.steps {
        repeats::restore(step)?;
    }
    let steps = Wire::take(proto.steps, known, at("steps"))?;
    let refused = Wire::take(proto.refused, known, at("refused"))?;
    Ok(Recorded {
        now: Wire::take(proto.now, known, at("now"))?,
        epoch: proto.epoch,
        engine_version: proto.engine_version,
        decide_revision: proto.decide_revision,
        lane: Wire::take(proto.lane, known, at("lane"))?,
        before: positions(&proto.before, at("before"))?,
        after: positions(&proto.after, at("after"))?,
        dispatched: proto.dispatched,
        input_id: proto.input_id,
        traceparent: proto.traceparent,
        transition: Transition { steps, refused },
    })
}

pub(super) fn positions(offsets: &[u64], place: Place) -> Result<Positions, Error> {
    let expected = Lane::ALL.len();
    offsets.try_into().map_err(|_| Error::BadLength { place, expected, found: offsets.len() })
}
