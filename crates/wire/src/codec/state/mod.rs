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

use super::{Error, Place, Resolve, Wire};
use crate::generated::v1;

/// The version of the states' shape that this binary writes, and the newest that it reads.
pub const STATE_VERSION: u32 = 1;

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
                v1::$carried { version: STATE_VERSION, state: Wire::put(self) }.encode_to_vec()
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

/// Two values in a message of two fields.
macro_rules! pair {
    ($first:ty, $second:ty => $proto:ident { $one:ident, $two:ident }) => {
        impl $crate::codec::Wire<v1::$proto> for ($first, $second) {
            fn put(&self) -> v1::$proto {
                v1::$proto {
                    $one: $crate::codec::Wire::put(&self.0),
                    $two: $crate::codec::Wire::put(&self.1),
                }
            }
            fn take(
                proto: v1::$proto,
                known: &dyn $crate::codec::Resolve,
                _: $crate::codec::Place,
            ) -> Result<Self, $crate::codec::Error> {
                let at = |field| $crate::codec::Place { message: stringify!($proto), field };
                let one = $crate::codec::Wire::take(proto.$one, known, at(stringify!($one)))?;
                Ok((one, $crate::codec::Wire::take(proto.$two, known, at(stringify!($two)))?))
            }
        }
    };
}
use pair;

#[cfg(test)]
mod tests;
