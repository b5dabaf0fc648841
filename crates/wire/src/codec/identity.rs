//! Streams, attempts, actors, and named values.

use domain::evidence::Text;
use domain::name::{AttemptId, StreamId};
use domain::roles::Actor;

use super::direct::{Content, Fields, Reading, Writing, form_of};
use super::{Error, Place, Resolve, Wire};
use crate::generated::v1::stream_id::Stream;
use crate::generated::{Tagged as _, v1};

impl Wire<v1::StreamId> for StreamId {
    fn put(&self) -> v1::StreamId {
        let stream = match self {
            Self::Definitions => Stream::Definitions(true),
            Self::Run(run) => Stream::Run(run.put()),
            Self::Target(target) => Stream::Target(target.put()),
        };
        v1::StreamId { stream: Some(stream) }
    }
    fn take(proto: v1::StreamId, known: &dyn Resolve, _: Place) -> Result<Self, Error> {
        let at = |field| Place { message: "StreamId", field };
        match proto.stream {
            None => Err(Error::UnknownVariant("StreamId")),
            Some(Stream::Definitions(_)) => Ok(Self::Definitions),
            Some(Stream::Run(run)) => Wire::take(run, known, at("run")).map(Self::Run),
            Some(Stream::Target(target)) => Wire::take(target, known, at("target")).map(Self::Target),
        }
    }
}
required!(StreamId => StreamId);
content!(StreamId => StreamId);

impl Content<v1::StreamId> for StreamId {
    fn read_content(bytes: &[u8], at: &Reading<'_>) -> Option<Self> {
        let tags = v1::StreamId::TAGS;
        let mut fields = Fields(bytes);
        let (number, value) = fields.next()?;
        let stream = match number {
            number if number == tags.Definitions => value.number().map(|_| Self::Definitions),
            number if number == tags.Run => form_of(Stream::Run).read(value, at).map(Self::Run),
            number if number == tags.Target => form_of(Stream::Target).read(value, at).map(Self::Target),
            _ => None,
        };
        stream.filter(|_| fields.is_over())
    }
    fn write_content(&self, out: &mut Writing) {
        let tags = v1::StreamId::TAGS;
        match self {
            Self::Definitions => form_of(Stream::Definitions).write_present(&true, tags.Definitions, out),
            Self::Run(run) => form_of(Stream::Run).write_present(run, tags.Run, out),
            Self::Target(target) => form_of(Stream::Target).write_present(target, tags.Target, out),
        }
    }
}

message!(AttemptId => AttemptId { owner, number });
message!(Actor => Actor { subject, issuer, method, on_behalf_of });

pair!(Text, f64 => NamedNumber { name, value });
pair!(Text, Text => NamedText { name, text });
