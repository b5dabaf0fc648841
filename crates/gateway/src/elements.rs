//! Reads the numbers of a tensor's `data` straight from the JSON text, as many as are wanted.
//!
//! Invariant: never fails on what is JSON: what is no number is told by `all_numbers`, and left to the release
//! to refuse. Nesting is flattened; whether it is rectangular is the release's concern too.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// How deep `data` may nest.
const DEPTH_MAX: usize = 8;

/// Numbers kept of one tensor.
pub(crate) const NUMBERS_MAX: usize = 1_024;

/// Numbers for which room is made at once.
const NUMBERS_EXPECTED: usize = 32;

/// The numbers of one tensor in row-major order; a boolean is 0 or 1.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Elements {
    /// The first [`NUMBERS_MAX`].
    pub(crate) first: Vec<f64>,
    pub(crate) count: usize,
    pub(crate) has_others: bool,
}

impl Elements {
    pub(crate) fn all_numbers(&self) -> bool {
        !self.has_others && self.count == self.first.len()
    }

    fn push(&mut self, number: f64) {
        if self.first.is_empty() {
            self.first.reserve(NUMBERS_EXPECTED);
        }
        if self.first.len() < NUMBERS_MAX {
            self.first.push(number);
        }
        self.count += 1;
    }
}

impl<'de> Deserialize<'de> for Elements {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut elements = Self::default();
        deserializer.deserialize_any(Collect { elements: &mut elements, depth: 0 })?;
        Ok(elements)
    }
}

struct Collect<'a> {
    elements: &'a mut Elements,
    depth: usize,
}

impl<'de> serde::de::DeserializeSeed<'de> for Collect<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Collect<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the elements of a tensor")
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.elements.push(value);
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.elements.push(value as f64);
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.elements.push(value as f64);
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.elements.push(f64::from(u8::from(value)));
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        self.elements.has_others = true;
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.elements.has_others = true;
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.elements.has_others = true;
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        if self.depth == DEPTH_MAX {
            return Err(A::Error::custom(format!("a tensor may nest {DEPTH_MAX} deep")));
        }
        let depth = self.depth + 1;
        while sequence.next_element_seed(Collect { elements: self.elements, depth })?.is_some() {}
        Ok(())
    }
}
