//! Reads the `data` of a tensor: numbers or booleans, flat or nested, straight from the JSON text.
//!
//! Invariant: what was nested is rectangular, or the first trouble is told. The datatype may stand
//! after the data, so the elements are kept as JSON has them and converted by [`Elements::into_values`].

use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use crate::signature::Datatype;
use crate::values::Values;

/// How deep `data` may nest.
pub(crate) const DEPTH_MAX: usize = 8;

/// The elements of one tensor, before their datatype is known.
#[derive(Debug, Default)]
pub(crate) struct Elements {
    scalars: Scalars,
    /// Length of the arrays at each depth; more than one entry when nested.
    lengths: Vec<usize>,
    /// At which depth the scalars stand.
    leaf: Option<usize>,
    trouble: Option<String>,
}

#[derive(Debug, Default)]
enum Scalars {
    #[default]
    None,
    Integers(Vec<i64>),
    Floats(Vec<f64>),
    Bools(Vec<bool>),
}

impl Elements {
    /// The elements as `datatype`, when each of them is one and the nesting agrees with `shape`.
    pub(crate) fn into_values(self, datatype: Datatype, shape: &[usize]) -> Result<Values, String> {
        if let Some(trouble) = self.trouble {
            return Err(trouble);
        }
        if self.lengths.len() > 1 && self.lengths != shape {
            return Err(format!("they are nested as {:?}", self.lengths));
        }
        match (datatype, self.scalars) {
            (Datatype::Fp32, Scalars::None) => Ok(Values::Fp32(Vec::new())),
            (Datatype::Fp32, Scalars::Floats(floats)) => {
                floats.into_iter().map(single).collect::<Result<_, _>>().map(Values::Fp32)
            }
            (Datatype::Fp32, Scalars::Integers(integers)) => {
                Ok(Values::Fp32(integers.into_iter().map(|it| it as f32).collect()))
            }
            (Datatype::Fp64, Scalars::None) => Ok(Values::Fp64(Vec::new())),
            (Datatype::Fp64, Scalars::Floats(floats)) => Ok(Values::Fp64(floats)),
            (Datatype::Fp64, Scalars::Integers(integers)) => {
                Ok(Values::Fp64(integers.into_iter().map(|it| it as f64).collect()))
            }
            (Datatype::Int32, Scalars::None) => Ok(Values::Int32(Vec::new())),
            (Datatype::Int32, Scalars::Integers(integers)) => integers
                .into_iter()
                .map(|it| i32::try_from(it).map_err(|_| format!("{it} is out of range")))
                .collect::<Result<_, _>>()
                .map(Values::Int32),
            (Datatype::Int64, Scalars::None) => Ok(Values::Int64(Vec::new())),
            (Datatype::Int64, Scalars::Integers(integers)) => Ok(Values::Int64(integers)),
            (Datatype::Bool, Scalars::None) => Ok(Values::Bool(Vec::new())),
            (Datatype::Bool, Scalars::Bools(bools)) => Ok(Values::Bool(bools)),
            (Datatype::Int32 | Datatype::Int64, Scalars::Floats(_)) => {
                Err("one is no integer in range".to_owned())
            }
            (Datatype::Bool, Scalars::Integers(_) | Scalars::Floats(_)) => Err("one is a number".to_owned()),
            (_, Scalars::Bools(_)) => Err("one is a boolean".to_owned()),
        }
    }

    fn trouble(&mut self, what: impl Into<String>) {
        self.trouble.get_or_insert_with(|| what.into());
    }

    /// Notes that a scalar stands at `depth`, and says whether to keep it.
    fn stands_at(&mut self, depth: usize) -> bool {
        if *self.leaf.get_or_insert(depth) != depth {
            self.trouble("they are nested unevenly");
        }
        self.trouble.is_none()
    }

    fn push_integer(&mut self, integer: i64) {
        match &mut self.scalars {
            Scalars::Integers(integers) => integers.push(integer),
            Scalars::Floats(floats) => floats.push(integer as f64),
            Scalars::None => self.scalars = Scalars::Integers(vec![integer]),
            Scalars::Bools(_) => self.trouble("numbers and booleans are mixed"),
        }
    }

    fn push_float(&mut self, float: f64) {
        match &mut self.scalars {
            Scalars::Floats(floats) => floats.push(float),
            Scalars::Integers(integers) => {
                let mut floats: Vec<f64> = integers.iter().map(|&integer| integer as f64).collect();
                floats.push(float);
                self.scalars = Scalars::Floats(floats);
            }
            Scalars::None => self.scalars = Scalars::Floats(vec![float]),
            Scalars::Bools(_) => self.trouble("numbers and booleans are mixed"),
        }
    }

    fn push_bool(&mut self, bool: bool) {
        match &mut self.scalars {
            Scalars::Bools(bools) => bools.push(bool),
            Scalars::None => self.scalars = Scalars::Bools(vec![bool]),
            Scalars::Integers(_) | Scalars::Floats(_) => self.trouble("numbers and booleans are mixed"),
        }
    }

    /// Notes that an array at `depth` ended with `length` entries.
    fn ended_at(&mut self, depth: usize, length: usize) {
        if self.lengths.len() <= depth {
            self.lengths.resize(depth + 1, usize::MAX);
        }
        if self.lengths[depth] == usize::MAX {
            self.lengths[depth] = length;
        } else if self.lengths[depth] != length {
            self.trouble("they are nested unevenly");
        }
    }
}

fn single(float: f64) -> Result<f32, String> {
    let single = float as f32;
    if single.is_finite() { Ok(single) } else { Err(format!("{float:e} is out of range")) }
}

impl<'de> Deserialize<'de> for Elements {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut elements = Self::default();
        deserializer.deserialize_seq(Level { elements: &mut elements, depth: 0 })?;
        Ok(elements)
    }
}

/// One entry at `depth` arrays deep: a scalar or the next array.
struct Level<'a> {
    elements: &'a mut Elements,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array of numbers or booleans")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        if self.depth == DEPTH_MAX {
            return Err(A::Error::custom(format_args!("data nested more than {DEPTH_MAX} deep")));
        }
        let mut length = 0;
        while array.next_element_seed(Level { elements: self.elements, depth: self.depth + 1 })?.is_some() {
            length += 1;
        }
        self.elements.ended_at(self.depth, length);
        Ok(())
    }

    fn visit_i64<E: Error>(self, integer: i64) -> Result<(), E> {
        if self.elements.stands_at(self.depth) {
            self.elements.push_integer(integer);
        }
        Ok(())
    }

    fn visit_u64<E: Error>(self, integer: u64) -> Result<(), E> {
        match i64::try_from(integer) {
            Ok(integer) => self.visit_i64(integer),
            Err(_) => self.visit_f64(integer as f64),
        }
    }

    fn visit_f64<E: Error>(self, float: f64) -> Result<(), E> {
        if self.elements.stands_at(self.depth) {
            self.elements.push_float(float);
        }
        Ok(())
    }

    fn visit_bool<E: Error>(self, bool: bool) -> Result<(), E> {
        if self.elements.stands_at(self.depth) {
            self.elements.push_bool(bool);
        }
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        self.elements.trouble("one is a text");
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.elements.trouble("one is null");
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.elements.trouble("one is an object");
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }
}
