//! Values of one field: numbers, texts, names, identities, and the containers around them.

use std::sync::Arc;

use domain::name::{
    BadName, CheckName, Digest, Environment, ModelName, Role, RunId, StageName, Subject, TargetId, Version,
};
use domain::routes::Generation;
use domain::time::{Millis, Timestamp};
use domain::weight::Weight;

use super::{Error, Place, Resolve, Wire};

macro_rules! itself {
    ($($type:ty),*) => { $(
        impl Wire<$type> for $type {
            fn put(&self) -> $type {
                self.clone()
            }
            fn take(proto: $type, _: &dyn Resolve, _: Place) -> Result<Self, Error> {
                Ok(proto)
            }
        }
    )* };
}
itself!(bool, u32, u64, i64, f32, f64);

/// A place in a list.
impl Wire<u32> for usize {
    fn put(&self) -> u32 {
        u32::try_from(*self).unwrap_or(u32::MAX)
    }
    fn take(proto: u32, _: &dyn Resolve, _: Place) -> Result<Self, Error> {
        Ok(proto as Self)
    }
}

/// A number that is always present: a field without presence would lose the sign of a negative zero.
impl Wire<Option<f64>> for f64 {
    fn put(&self) -> Option<f64> {
        Some(*self)
    }
    fn take(proto: Option<f64>, _: &dyn Resolve, at: Place) -> Result<Self, Error> {
        proto.ok_or(Error::Missing(at))
    }
}

impl Wire<String> for String {
    fn put(&self) -> String {
        self.clone()
    }
    fn take(proto: String, known: &dyn Resolve, place: Place) -> Result<Self, Error> {
        within(proto.len(), known.bounds(place).text_bytes_max, "bytes", place)?;
        Ok(proto)
    }
}

impl Wire<String> for Arc<str> {
    fn put(&self) -> String {
        (**self).to_owned()
    }
    fn take(proto: String, known: &dyn Resolve, at: Place) -> Result<Self, Error> {
        String::take(proto, known, at).map(Into::into)
    }
}

fn within(found: usize, max: usize, what: &'static str, place: Place) -> Result<(), Error> {
    if found > max { Err(Error::TooMuch { place, what, max, found }) } else { Ok(()) }
}

fn named<T>(parsed: Result<T, BadName>, place: Place) -> Result<T, Error> {
    parsed.map_err(|source| Error::BadName { place, source })
}

macro_rules! names {
    ($($type:ty),*) => { $(
        impl Wire<String> for $type {
            fn put(&self) -> String {
                self.to_string()
            }
            fn take(proto: String, _: &dyn Resolve, at: Place) -> Result<Self, Error> {
                named(Self::parse(&proto), at)
            }
        }
    )* };
}
names!(CheckName, Environment, ModelName, Role, StageName, Subject, TargetId, Version);

/// Bytes of a fixed length.
pub(crate) fn exactly<const N: usize>(bytes: &[u8], place: Place) -> Result<[u8; N], Error> {
    bytes.try_into().map_err(|_| Error::BadLength { place, expected: N, found: bytes.len() })
}

impl Wire<Vec<u8>> for Digest {
    fn put(&self) -> Vec<u8> {
        self.0.to_vec()
    }
    fn take(proto: Vec<u8>, _: &dyn Resolve, at: Place) -> Result<Self, Error> {
        Ok(Self(exactly(&proto, at)?))
    }
}

impl Wire<Vec<u8>> for RunId {
    fn put(&self) -> Vec<u8> {
        self.0.to_vec()
    }
    fn take(proto: Vec<u8>, _: &dyn Resolve, at: Place) -> Result<Self, Error> {
        Ok(Self(exactly(&proto, at)?))
    }
}

macro_rules! numbers {
    ($($type:ident),*) => { $(
        impl Wire<u64> for $type {
            fn put(&self) -> u64 {
                self.0
            }
            fn take(proto: u64, _: &dyn Resolve, _: Place) -> Result<Self, Error> {
                Ok(Self(proto))
            }
        }
    )* };
}
numbers!(Timestamp, Millis, Generation);

impl Wire<u32> for Weight {
    fn put(&self) -> u32 {
        u32::from(self.points())
    }
    fn take(proto: u32, _: &dyn Resolve, place: Place) -> Result<Self, Error> {
        let points = u16::try_from(proto).ok().and_then(Self::basis_points);
        points.ok_or(Error::OutOfRange { place, max: 10_000, found: u64::from(proto) })
    }
}

impl<T: Wire<P>, P> Wire<Option<P>> for Option<T> {
    fn put(&self) -> Option<P> {
        self.as_ref().map(Wire::put)
    }
    fn take(proto: Option<P>, known: &dyn Resolve, at: Place) -> Result<Self, Error> {
        proto.map(|proto| Wire::take(proto, known, at)).transpose()
    }
}

impl<T: Wire<P>, P> Wire<Vec<P>> for Vec<T> {
    fn put(&self) -> Vec<P> {
        self.iter().map(Wire::put).collect()
    }
    fn take(proto: Vec<P>, known: &dyn Resolve, at: Place) -> Result<Self, Error> {
        within(proto.len(), known.bounds(at).list_max, "elements", at)?;
        proto.into_iter().map(|proto| Wire::take(proto, known, at)).collect()
    }
}

impl<T: Wire<P>, P> Wire<P> for Arc<T> {
    fn put(&self) -> P {
        T::put(self)
    }
    fn take(proto: P, known: &dyn Resolve, at: Place) -> Result<Self, Error> {
        T::take(proto, known, at).map(Self::new)
    }
}

impl<T: Wire<P>, P> Wire<P> for Box<T> {
    fn put(&self) -> P {
        T::put(self)
    }
    fn take(proto: P, known: &dyn Resolve, at: Place) -> Result<Self, Error> {
        T::take(proto, known, at).map(Self::new)
    }
}
