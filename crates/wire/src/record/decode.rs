//! Bytes to a record.

use domain::name::{Digest, StreamId};
use domain::transition::{Step, Transition};
use prost::Message;

use super::direct::Outline;
use super::{Body, Error, Lane, LaneClaim, Positions, Record, Recorded, direct, repeats};
use crate::codec::{Definitions, Place, Resolve, Wire, exactly};
use crate::generated::v1;

choice!(Lane => Lane { Requests, Outcomes, Triggers });
wire_message!(LaneClaim => LaneClaim { lane, topic, rebased_to });

/// Reads a record. The definitions that it names, its own included, must be known: see
/// [`Definitions::register`](crate::codec::Definitions::register).
///
/// Steps of a newer format are left out and named in [`Recorded::unread`].
pub fn decode(bytes: &[u8], known: &dyn Resolve) -> Result<Record, Error> {
    open(bytes)?.decode(known)
}

/// A record of which is known where it stands, and nothing in it looked up yet. For readers of many: the bytes are
/// walked once, whatever is asked of them.
#[derive(Debug)]
pub struct Opened<'a> {
    bytes: &'a [u8],
    form: Form<'a>,
}

#[derive(Debug)]
enum Form<'a> {
    /// A transition, most likely as any other.
    Outlined(Outline<'a>),
    Message(Box<v1::Record>),
}

/// Reads where a record stands.
pub fn open(bytes: &[u8]) -> Result<Opened<'_>, Error> {
    let form = match direct::outline(bytes) {
        Some(outline) => Form::Outlined(outline),
        None => Form::Message(Box::new(v1::Record::decode(bytes)?)),
    };
    Ok(Opened { bytes, form })
}

impl Opened<'_> {
    /// Whether it was made to stand after the record with this hash.
    pub fn follows(&self, hash: &Digest) -> bool {
        match &self.form {
            Form::Outlined(outline) => outline.prev == *hash,
            Form::Message(message) => message.prev == hash.0,
        }
    }

    /// Keeps the definitions that it holds: as [`Definitions::register`].
    pub fn register(&self, known: &mut Definitions) -> Result<(), Error> {
        match &self.form {
            Form::Outlined(_) => Ok(()),
            Form::Message(message) => known.register_message(message),
        }
    }

    /// As [`decode`].
    pub fn decode(self, known: &dyn Resolve) -> Result<Record, Error> {
        let message = match self.form {
            Form::Outlined(outline) => match direct::decode(outline, known) {
                Some(record) => return Ok(record),
                None => v1::Record::decode(self.bytes)?,
            },
            Form::Message(message) => *message,
        };
        through_messages(message, self.bytes, known)
    }
}

/// Any record, and why it cannot be read.
pub(super) fn through_messages(
    message: v1::Record,
    bytes: &[u8],
    known: &dyn Resolve,
) -> Result<Record, Error> {
    match read(message, known, all_steps) {
        Err(error) if error.needs_upgrade() => read(v1::Record::decode(bytes)?, known, readable_steps),
        read => read,
    }
}

type Steps = Result<(Vec<Step>, Vec<(StreamId, String)>), Error>;

fn read(
    message: v1::Record,
    known: &dyn Resolve,
    steps: fn(Vec<v1::Step>, &dyn Resolve) -> Steps,
) -> Result<Record, Error> {
    let v1::Record { seq, prev, body } = message;
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
            Body::Transition(Box::new(recorded(transition, known, steps)?))
        }
        Some(v1::record::Body::FormatRaised(raised)) => Body::FormatRaised { format: raised.format },
    };
    Ok(Record { seq, prev, body })
}

fn recorded(
    proto: v1::Transition,
    known: &dyn Resolve,
    steps: fn(Vec<v1::Step>, &dyn Resolve) -> Steps,
) -> Result<Recorded, Error> {
    let at = |field| Place { message: "Transition", field };
    let (steps, unread) = steps(proto.steps, known)?;
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
        unread,
    })
}

const STEPS: Place = Place { message: "Transition", field: "steps" };

fn all_steps(mut protos: Vec<v1::Step>, known: &dyn Resolve) -> Steps {
    for step in &mut protos {
        repeats::restore(step)?;
    }
    Ok((Wire::take(protos, known, STEPS)?, vec![]))
}

/// The steps that this binary can read, and whose the others are. One of the definitions must be read: every other
/// record may name it.
fn readable_steps(protos: Vec<v1::Step>, known: &dyn Resolve) -> Steps {
    let (mut steps, mut unread) = (vec![], vec![]);
    for mut proto in protos {
        let stream = stream(&proto, known)?;
        let step = repeats::restore(&mut proto).and_then(|()| Step::take(proto, known, STEPS));
        match (step, stream) {
            (Ok(step), _) => steps.push(step),
            (Err(error), Some(stream)) if error.needs_upgrade() => unread.push((stream, error.to_string())),
            (Err(error), _) => return Err(error),
        }
    }
    Ok((steps, unread))
}

fn stream(step: &v1::Step, known: &dyn Resolve) -> Result<Option<StreamId>, Error> {
    Ok(match &step.step {
        None | Some(v1::step::Step::Definitions(_)) => None,
        Some(v1::step::Step::Run(step)) => {
            let place = Place { message: "RunStep", field: "run" };
            Some(StreamId::Run(Wire::take(step.run.clone(), known, place)?))
        }
        Some(v1::step::Step::Target(step)) => {
            let place = Place { message: "TargetStep", field: "target" };
            Some(StreamId::Target(Wire::take(step.target.clone(), known, place)?))
        }
    })
}

pub(super) fn positions(offsets: &[u64], place: Place) -> Result<Positions, Error> {
    let expected = Lane::ALL.len();
    offsets.try_into().map_err(|_| Error::BadLength { place, expected, found: offsets.len() })
}
