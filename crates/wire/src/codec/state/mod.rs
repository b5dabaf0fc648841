//! The canonical bytes of a folded state: what a chapter carries, and what replay and verification hash.
//!
//! The bytes are those of `CarriedRun`, `CarriedTarget` and `DefinitionsState`; `state.proto` says in which form.
//! `prost` writes that form: fields in ascending order, defaults left out, nothing unknown.
//!
//! **Invariant:** every field of a state is in its bytes, so two states that differ in any have different digests, and
//! what was written is read back whole. A state that gains a field gains a version with it: an older binary then parks
//! the stream, instead of forgetting what it does not know.

mod run;
mod target;

use domain::definition::Definitions;
use domain::name::Digest;
use domain::run::Run;
use domain::target::Target;
use prost::Message;

use super::direct::{Content, Direct, Fields, Reading, Value, Writing};
use super::{Error, Place, Resolve, Wire};
use crate::generated::{Tagged as _, v1};

/// The version of the states' shape that this binary writes, and the newest that it reads.
pub const STATE_VERSION: u32 = 1;

/// Room for most states.
const STATE_BYTES: usize = 2_048;

/// A state that has canonical bytes.
pub trait Canonical {
    fn canonical(&self) -> Vec<u8>;
}

/// SHA-256 of the canonical bytes: the same for the same history, on every platform.
pub fn state_digest(state: &impl Canonical) -> Digest {
    Digest::of(&state.canonical())
}

message!(domain::chapter::Chapter => Chapter { opened, events });
message!(domain::quarantine::Quarantine => Quarantine { why, since, holds_cause });

macro_rules! carried {
    ($domain:ident => $carried:ident) => {
        impl Canonical for $domain {
            fn canonical(&self) -> Vec<u8> {
                let mut out = Writing { bytes: Vec::with_capacity(STATE_BYTES), repeats: false };
                Content::<v1::$carried>::write_content(self, &mut out);
                out.bytes
            }
        }

        impl Content<v1::$carried> for $domain {
            fn read_content(bytes: &[u8], at: &Reading<'_>) -> Option<Self> {
                let tags = v1::$carried::TAGS;
                let (mut version, mut state) = (None, None);
                let mut fields = Fields(bytes);
                while !fields.is_over() {
                    let (number, value) = fields.next()?;
                    if number == tags.version {
                        form!(v1::$carried, version).add(&mut version, value, at)?;
                    } else if number == tags.state {
                        form!(v1::$carried, state).add(&mut state, value, at)?;
                    }
                }
                if version == Some(STATE_VERSION) { state } else { None }
            }
            fn write_content(&self, out: &mut Writing) {
                let tags = v1::$carried::TAGS;
                form!(v1::$carried, version).write(&STATE_VERSION, tags.version, out);
                form!(v1::$carried, state).write(self, tags.state, out);
            }
        }

        impl Direct<Vec<u8>> for $domain {
            fn absent() -> Option<Self> {
                None
            }
            fn read(value: Value<'_>, at: &Reading<'_>) -> Option<Self> {
                Content::<v1::$carried>::read_content(value.bytes()?, at)
            }
            fn write_present(&self, number: u32, out: &mut Writing) {
                out.within(number, |out| Content::<v1::$carried>::write_content(self, out));
            }
        }

        impl Wire<Vec<u8>> for $domain {
            fn put(&self) -> Vec<u8> {
                self.canonical()
            }
            fn take(proto: Vec<u8>, known: &dyn Resolve, _: Place) -> Result<Self, Error> {
                let at = |field| Place { message: stringify!($carried), field };
                let v1::$carried { version, state } = v1::$carried::decode(&*proto)?;
                match version {
                    STATE_VERSION => Wire::take(state, known, at("state")),
                    0 => Err(Error::Missing(at("version"))),
                    newer => Err(Error::UnknownVersion { place: at("version"), version: newer }),
                }
            }
        }
    };
}
carried!(Run => CarriedRun);
carried!(Target => CarriedTarget);

impl Canonical for Definitions {
    fn canonical(&self) -> Vec<u8> {
        let Self { known, roles } = self;
        let known = known.iter().map(Wire::put).collect();
        v1::DefinitionsState { known, roles: roles.put() }.encode_to_vec()
    }
}

/// The state that canonical bytes stand for.
pub fn decode_run_state(bytes: &[u8], known: &dyn Resolve) -> Result<Run, Error> {
    Wire::take(bytes.to_vec(), known, Place { message: "CarriedRun", field: "" })
}

/// The state that canonical bytes stand for.
pub fn decode_target_state(bytes: &[u8], known: &dyn Resolve) -> Result<Target, Error> {
    Wire::take(bytes.to_vec(), known, Place { message: "CarriedTarget", field: "" })
}

#[cfg(test)]
mod tests;
