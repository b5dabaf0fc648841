//! Streams, attempts, actors, and named values.

use domain::evidence::Text;
use domain::name::{AttemptId, StreamId};
use domain::roles::Actor;

use super::{Error, Place, Resolve, Wire};
use crate::generated::v1;
use crate::generated::v1::stream_id::Stream;

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

message!(AttemptId => AttemptId { owner, number });
message!(Actor => Actor { subject, issuer, method, on_behalf_of });

impl Wire<v1::NamedNumber> for (Text, f64) {
    fn put(&self) -> v1::NamedNumber {
        v1::NamedNumber { name: self.0.put(), value: self.1.put() }
    }
    fn take(proto: v1::NamedNumber, known: &dyn Resolve, _: Place) -> Result<Self, Error> {
        let at = |field| Place { message: "NamedNumber", field };
        Ok((Wire::take(proto.name, known, at("name"))?, Wire::take(proto.value, known, at("value"))?))
    }
}

impl Wire<v1::NamedText> for (Text, Text) {
    fn put(&self) -> v1::NamedText {
        v1::NamedText { name: self.0.put(), text: self.1.put() }
    }
    fn take(proto: v1::NamedText, known: &dyn Resolve, _: Place) -> Result<Self, Error> {
        let at = |field| Place { message: "NamedText", field };
        Ok((Wire::take(proto.name, known, at("name"))?, Wire::take(proto.text, known, at("text"))?))
    }
}
