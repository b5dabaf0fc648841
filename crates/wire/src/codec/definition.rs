//! Definitions. A parsed text is written as its digest and read back as the shared parsed value.

use domain::definition::{Define, Event, Kind, Pinned};
use domain::name::Digest;
use domain::roles::RoleMap;
use domain::workflow::Workflow;

use super::{Error, Place, Resolve, Wire};
use crate::generated::v1;

choice!(Kind => DefinitionKind { Workflow, Roles });
wire_message!(Define => Define { actor, kind, digest, text, roles });
wire_oneof!(Event => DefinitionEvent.event as definition_event::Event {
    DefinitionRecorded { kind, digest, text, roles | same_as_input }
});

impl Wire<Vec<u8>> for Pinned<Workflow> {
    fn put(&self) -> Vec<u8> {
        self.digest.put()
    }
    fn take(proto: Vec<u8>, known: &dyn Resolve, place: Place) -> Result<Self, Error> {
        let digest = Digest::take(proto, known, place)?;
        let value = known.workflow(digest).ok_or(Error::UnknownDefinition { place, digest })?;
        Ok(Self { digest, value })
    }
}

impl Wire<Vec<u8>> for Pinned<RoleMap> {
    fn put(&self) -> Vec<u8> {
        self.digest.put()
    }
    fn take(proto: Vec<u8>, known: &dyn Resolve, place: Place) -> Result<Self, Error> {
        let digest = Digest::take(proto, known, place)?;
        let value = known.roles(digest).ok_or(Error::UnknownDefinition { place, digest })?;
        Ok(Self { digest, value })
    }
}
