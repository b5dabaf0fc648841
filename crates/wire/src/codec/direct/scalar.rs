//! Values of one field, as [`codec::scalar`](crate::codec) has them for messages.

use std::sync::Arc;

use domain::definition::Pinned;
use domain::name::{
    CheckName, Digest, Environment, ModelName, Role, RunId, StageName, Subject, TargetId, Version,
};
use domain::roles::RoleMap;
use domain::routes::Generation;
use domain::time::{Millis, Timestamp};
use domain::weight::Weight;
use domain::workflow::Workflow;

use super::{Direct, Fields, Reading, Value, Writing};

/// Numbers as seven bits a byte: from what is written, and to it. A list of them is one field.
macro_rules! numbers {
    ($($type:ty as $form:ty: $of:expr, $to:expr;)*) => { $(
        impl Direct<$form> for $type {
            fn absent() -> Option<Self> {
                let of: fn(u64) -> Option<Self> = $of;
                of(0)
            }
            fn read(value: Value<'_>, _: &Reading<'_>) -> Option<Self> {
                let of: fn(u64) -> Option<Self> = $of;
                of(value.number()?)
            }
            fn write_present(&self, number: u32, out: &mut Writing) {
                let to: fn(&Self) -> u64 = $to;
                out.number(number, to(self));
            }
            fn write(&self, number: u32, out: &mut Writing) {
                let to: fn(&Self) -> u64 = $to;
                if to(self) != 0 {
                    out.number(number, to(self));
                }
            }
            fn add_to(list: &mut Vec<Self>, value: Value<'_>, at: &Reading<'_>) -> Option<()> {
                let Value::Bytes(packed) = value else {
                    list.push(Self::read(value, at)?);
                    return Some(());
                };
                let mut packed = Fields(packed);
                while !packed.is_over() {
                    list.push(Self::read(Value::Number(packed.number()?), at)?);
                }
                Some(())
            }
            fn write_all(list: &[Self], number: u32, out: &mut Writing) {
                let to: fn(&Self) -> u64 = $to;
                if !list.is_empty() {
                    out.within(number, |out| list.iter().for_each(|value| out.varint(to(value))));
                }
            }
        }
    )* };
}
numbers! {
    bool as bool: |number| Some(number != 0), |flag| u64::from(*flag);
    u32 as u32: |number| Some(number as u32), |number| u64::from(*number);
    u64 as u64: Some, |number| *number;
    usize as u32: |number| Some(number as u32 as usize), |place| u64::from(u32::try_from(*place).unwrap_or(u32::MAX));
    // The sign is the lowest bit.
    i64 as i64: |bits| Some((bits >> 1) as i64 ^ -((bits & 1) as i64)), |number| (number << 1 ^ number >> 63) as u64;
    Timestamp as u64: |number| Some(Self(number)), |moment| moment.0;
    Millis as u64: |number| Some(Self(number)), |span| span.0;
    Generation as u64: |number| Some(Self(number)), |generation| generation.0;
    Weight as u32: |number| u16::try_from(number as u32).ok().and_then(Self::basis_points), |weight| u64::from(weight.points());
}

/// Always present, as [`Wire`](crate::codec::Wire) has it; and within an `Option` by itself.
macro_rules! double {
    ($form:ty) => {
        impl Direct<$form> for f64 {
            fn absent() -> Option<Self> {
                None
            }
            fn read(value: Value<'_>, _: &Reading<'_>) -> Option<Self> {
                value.fixed().map(Self::from_bits)
            }
            fn write_present(&self, number: u32, out: &mut Writing) {
                out.fixed(number, self.to_bits());
            }
        }
    };
}
double!(f64);
double!(Option<f64>);

/// Values that are written as some text.
macro_rules! texts {
    ($($type:ty: $of:expr;)*) => { $(
        impl Direct<String> for $type {
            fn absent() -> Option<Self> {
                let of: fn(&str) -> Option<Self> = $of;
                of("")
            }
            fn read(value: Value<'_>, _: &Reading<'_>) -> Option<Self> {
                let of: fn(&str) -> Option<Self> = $of;
                of(std::str::from_utf8(value.bytes()?).ok()?)
            }
            fn write_present(&self, number: u32, out: &mut Writing) {
                out.bytes(number, text(self).as_bytes());
            }
            fn write(&self, number: u32, out: &mut Writing) {
                if !text(self).is_empty() {
                    self.write_present(number, out);
                }
            }
        }
    )* };
}

/// Texts that are kept as they are written.
trait Written {
    fn written(&self) -> &str;
}

fn text(value: &impl Written) -> &str {
    value.written()
}

impl Written for String {
    fn written(&self) -> &str {
        self
    }
}
impl Written for Arc<str> {
    fn written(&self) -> &str {
        self
    }
}

macro_rules! names {
    ($($type:ident),*) => {
        $(impl Written for $type {
            fn written(&self) -> &str {
                self.as_str()
            }
        })*
        texts! { $($type: |text| $type::parse(text).ok();)* }
    };
}
names!(CheckName, Environment, ModelName, Role, StageName, Subject, Version);
texts! {
    String: |text| Some(text.to_owned());
    Arc<str>: |text| Some(text.into());
}

impl Direct<String> for TargetId {
    fn absent() -> Option<Self> {
        None
    }
    fn read(value: Value<'_>, _: &Reading<'_>) -> Option<Self> {
        Self::parse(std::str::from_utf8(value.bytes()?).ok()?).ok()
    }
    fn write_present(&self, number: u32, out: &mut Writing) {
        out.within(number, |out| {
            let (model, environment) = (self.model.as_str(), self.environment.as_str());
            for part in [model, "@", environment] {
                out.bytes.extend_from_slice(part.as_bytes());
            }
        });
    }
}

macro_rules! identities {
    ($($type:ident),*) => { $(
        impl Direct<Vec<u8>> for $type {
            fn absent() -> Option<Self> {
                None
            }
            fn read(value: Value<'_>, _: &Reading<'_>) -> Option<Self> {
                value.bytes()?.try_into().ok().map(Self)
            }
            fn write_present(&self, number: u32, out: &mut Writing) {
                out.bytes(number, &self.0);
            }
        }
    )* };
}
identities!(Digest, RunId);

macro_rules! pinned {
    ($($type:ty: $find:ident;)*) => { $(
        impl Direct<Vec<u8>> for Pinned<$type> {
            fn absent() -> Option<Self> {
                None
            }
            fn read(value: Value<'_>, at: &Reading<'_>) -> Option<Self> {
                let digest = Digest::read(value, at)?;
                Some(Self { digest, value: at.known.$find(digest)? })
            }
            fn write_present(&self, number: u32, out: &mut Writing) {
                self.digest.write_present(number, out);
            }
        }
    )* };
}
pinned! {
    Workflow: workflow;
    RoleMap: roles;
}
