//! What a message may hold, and what is known while it is decoded: the text it brings, and how rules are parsed.
//!
//! **Invariant:** nothing that an edge accepts (an event, a workflow, a request) is refused here.

use std::sync::Arc;

use domain::definition::{DEFINITION_BYTES_MAX, Kind};
use domain::name::Digest;
use domain::roles::RoleMap;
use domain::rule::Rule;
use domain::workflow::Workflow;
use prost::Message;

use crate::codec::{Bounds, Definitions, Error, Parsers, Place, Resolve, Wire};
use crate::fields;
use crate::generated::v1::{self, request::Request, said::Said};
use crate::rule;

/// The most bytes of a message: what brokers and clients take unless they are told otherwise.
pub const MESSAGE_BYTES_MAX: usize = 1_000_000;
/// The most bytes of a heartbeat and of a cancel.
pub const SIGN_OF_LIFE_BYTES_MAX: usize = 1 << 10;
/// The most bytes of a label.
pub const LABEL_BYTES_MAX: usize = 4 << 10;
/// The most bytes of a text that is not a definition.
pub const TEXT_BYTES_MAX: usize = 16 << 10;
/// The most bytes of the join key of prediction and label.
pub const REQUEST_ID_BYTES_MAX: usize = 256;
/// How many definitions are kept to know them again.
pub const RECENT_MAX: usize = 64;
/// The most elements of a list.
pub const LIST_MAX: usize = fields::LIST_MAX;

// A character has at most four bytes.
const _: () = assert!(TEXT_BYTES_MAX >= 4 * fields::TEXT_CHARS_MAX && TEXT_BYTES_MAX >= rule::RULE_BYTES_MAX);

pub(super) const LABEL_VALUE: Place = Place { message: "Label", field: "value" };
const DEFINE_KIND: Place = Place { message: "Define", field: "kind" };
const DEFINE_DIGEST: Place = Place { message: "Define", field: "digest" };
const DEFINE_TEXT: Place = Place { message: "Define", field: "text" };
const DEFINE_ROLES: Place = Place { message: "Define", field: "roles" };
const TRIGGER_DIGEST: Place = Place { message: "Trigger", field: "workflow" };
const TRIGGER_TEXT: Place = Place { message: "Trigger", field: "workflow_text" };

pub(super) fn whole(message: &'static str) -> Place {
    Place { message, field: "" }
}

pub(super) fn parse<P: Message + Default>(
    bytes: &[u8],
    message: &'static str,
    bytes_max: usize,
) -> Result<P, Error> {
    bounded(bytes.len(), bytes_max, whole(message))?;
    Ok(P::decode(bytes)?)
}

fn bounded(found: usize, max: usize, place: Place) -> Result<(), Error> {
    if found > max { Err(Error::TooMuch { place, what: "bytes", max, found }) } else { Ok(()) }
}

/// Holds the text that a message brings against its digest, and parses it unless it is known.
pub(super) fn register(proto: &v1::Said, definitions: &mut Definitions) -> Result<(), Error> {
    let mut define = |kind, digest, text: &str, place| {
        bounded(text.len(), DEFINITION_BYTES_MAX, place)?;
        definitions.define(kind, digest, text)
    };
    match &proto.said {
        Some(Said::Trigger(trigger)) => {
            let digest = Digest::take(trigger.workflow.clone(), &(), TRIGGER_DIGEST)?;
            define(Kind::Workflow, digest, &trigger.workflow_text, TRIGGER_TEXT)
        }
        Some(Said::Request(v1::Request { request: Some(Request::Define(proto)) })) => {
            let kind = Kind::take(proto.kind, &(), DEFINE_KIND)?;
            if kind == Kind::Roles && proto.roles.is_none() {
                return Err(Error::Missing(DEFINE_ROLES));
            }
            let digest = Digest::take(proto.digest.clone(), &(), DEFINE_DIGEST)?;
            // Another text's role map may be known, and is not what this one says.
            if proto.roles.as_ref().is_some_and(|roles| *roles != proto.digest) {
                return Err(Error::OtherRoles(DEFINE_ROLES));
            }
            define(kind, digest, &proto.text, DEFINE_TEXT)
        }
        _ => Ok(()),
    }
}

/// What is known while a message is decoded.
#[derive(Debug)]
pub(super) struct Known<'a> {
    definitions: Option<&'a Definitions>,
    parsers: Option<&'a Parsers>,
}

impl<'a> Known<'a> {
    pub(super) fn definitions(definitions: &'a Definitions) -> Self {
        Self { definitions: Some(definitions), parsers: None }
    }

    pub(super) fn rules(parsers: &'a Parsers) -> Self {
        Self { definitions: None, parsers: Some(parsers) }
    }

    /// For messages without definitions and rules.
    pub(super) fn nothing() -> Self {
        Self { definitions: None, parsers: None }
    }
}

impl Resolve for Known<'_> {
    fn workflow(&self, digest: Digest) -> Option<Arc<Workflow>> {
        self.definitions?.workflow(digest)
    }

    fn roles(&self, digest: Digest) -> Option<Arc<RoleMap>> {
        self.definitions?.roles(digest)
    }

    fn rule(&self, text: &str) -> Result<Rule, String> {
        self.parsers.map_or_else(|| ().rule(text), |parsers| (parsers.rule)(text))
    }

    fn bounds(&self, at: Place) -> Bounds {
        let text_bytes_max = match at {
            DEFINE_TEXT | TRIGGER_TEXT => DEFINITION_BYTES_MAX,
            Place { message: "Prediction" | "Label", field: "request_id" } => REQUEST_ID_BYTES_MAX,
            _ => TEXT_BYTES_MAX,
        };
        Bounds { text_bytes_max, list_max: LIST_MAX }
    }
}
