//! Digests of definitions to shared parsed values, and what else decoding must be told.
//!
//! A record that holds a definition registers it before the rest of the record is decoded, so that a log can be
//! read from its start with nothing known beforehand.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use domain::definition::Kind;
use domain::name::Digest;
use domain::roles::RoleMap;
use domain::rule::Rule;
use domain::workflow::Workflow;
use prost::Message;

use super::{Error, Place, Wire};
use crate::generated::v1;

/// Finds what a digest stands for.
pub trait Resolve {
    fn workflow(&self, digest: Digest) -> Option<Arc<Workflow>>;
    fn roles(&self, digest: Digest) -> Option<Arc<RoleMap>>;

    /// Parses a rule. What is in a log holds none but within its definitions.
    fn rule(&self, _text: &str) -> Result<Rule, String> {
        Err("rules are not read here".to_owned())
    }

    /// How long the text or list at this place may be. What is in a log was bounded before it was written.
    fn bounds(&self, _at: Place) -> Bounds {
        Bounds::NONE
    }
}

/// How much one field may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    pub text_bytes_max: usize,
    pub list_max: usize,
}

impl Bounds {
    pub const NONE: Self = Self { text_bytes_max: usize::MAX, list_max: usize::MAX };
}

/// Knows nothing: for messages that name no definition.
impl Resolve for () {
    fn workflow(&self, _: Digest) -> Option<Arc<Workflow>> {
        None
    }
    fn roles(&self, _: Digest) -> Option<Arc<RoleMap>> {
        None
    }
}

/// How the texts of definitions and rules are parsed.
#[derive(Clone, Copy)]
pub struct Parsers {
    pub workflow: fn(&str) -> Result<Workflow, String>,
    pub roles: fn(&str) -> Result<RoleMap, String>,
    pub rule: fn(&str) -> Result<Rule, String>,
}

impl fmt::Debug for Parsers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Parsers")
    }
}

/// The definitions that a log has shown so far, each parsed once.
#[derive(Debug, Clone)]
pub struct Definitions {
    parsers: Parsers,
    workflows: BTreeMap<Digest, Arc<Workflow>>,
    roles: BTreeMap<Digest, Arc<RoleMap>>,
}

impl Definitions {
    pub fn new(parsers: Parsers) -> Self {
        Self { parsers, workflows: BTreeMap::new(), roles: BTreeMap::new() }
    }

    /// How many it keeps.
    pub fn count(&self) -> usize {
        self.workflows.len() + self.roles.len()
    }

    /// Parses and keeps one text; gives its digest.
    pub fn insert(&mut self, kind: Kind, text: &str) -> Result<Digest, Error> {
        let digest = Digest::of(text.as_bytes());
        self.keep(kind, digest, text)?;
        Ok(digest)
    }

    fn keep(&mut self, kind: Kind, digest: Digest, text: &str) -> Result<(), Error> {
        let bad = |reason| Error::BadDefinition { digest, reason };
        match kind {
            Kind::Workflow if !self.workflows.contains_key(&digest) => {
                self.workflows.insert(digest, Arc::new((self.parsers.workflow)(text).map_err(bad)?));
            }
            Kind::Roles if !self.roles.contains_key(&digest) => {
                self.roles.insert(digest, Arc::new((self.parsers.roles)(text).map_err(bad)?));
            }
            Kind::Workflow | Kind::Roles => {}
        }
        Ok(())
    }

    /// Keeps a value that is parsed already, such as one about to be defined.
    pub fn insert_workflow(&mut self, digest: Digest, value: Arc<Workflow>) {
        self.workflows.insert(digest, value);
    }

    /// Keeps a value that is parsed already, such as one about to be defined.
    pub fn insert_roles(&mut self, digest: Digest, value: Arc<RoleMap>) {
        self.roles.insert(digest, value);
    }

    /// Parses and keeps the definitions that a record holds. Call it for each accepted record, in order, before
    /// the record is decoded.
    pub fn register(&mut self, record: &[u8]) -> Result<(), Error> {
        self.register_message(&v1::Record::decode(record)?)
    }

    pub(crate) fn register_message(&mut self, record: &v1::Record) -> Result<(), Error> {
        let Some(v1::record::Body::Transition(transition)) = &record.body else { return Ok(()) };
        for step in &transition.steps {
            if let Some(v1::step::Step::Definitions(step)) = &step.step
                && let Some(define) = &step.input
            {
                self.register_define(define)?;
            }
        }
        Ok(())
    }

    /// Parses and keeps the definition that an input of a lane holds, if it is one.
    pub fn register_input(&mut self, input: &[u8]) -> Result<(), Error> {
        match v1::Input::decode(input)?.input {
            Some(v1::input::Input::Define(define)) => self.register_define(&define),
            _ => Ok(()),
        }
    }

    fn register_define(&mut self, define: &v1::Define) -> Result<(), Error> {
        let at = |field| Place { message: "Define", field };
        let kind = Kind::take(define.kind, &(), at("kind"))?;
        let expected = Digest::take(define.digest.clone(), &(), at("digest"))?;
        self.define(kind, expected, &define.text)
    }

    /// Parses and keeps a text that must have this digest.
    pub(crate) fn define(&mut self, kind: Kind, expected: Digest, text: &str) -> Result<(), Error> {
        let found = Digest::of(text.as_bytes());
        if found != expected {
            return Err(Error::OtherDefinition { expected, found });
        }
        self.keep(kind, expected, text)
    }
}

impl Resolve for Definitions {
    fn workflow(&self, digest: Digest) -> Option<Arc<Workflow>> {
        self.workflows.get(&digest).cloned()
    }
    fn roles(&self, digest: Digest) -> Option<Arc<RoleMap>> {
        self.roles.get(&digest).cloned()
    }
}
