//! JSON to a tree. A key that stands twice, more than [`DEPTH_MAX`] levels and numbers beyond binary64 are
//! refused: two readers must not understand the same event differently.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::problem::{Place, Problem, code};
use crate::tree::{Entry, Node, Value, shortened};

/// The most maps and lists inside each other.
pub const DEPTH_MAX: usize = 64;

pub(super) fn read(bytes: &[u8]) -> Result<Node, Problem> {
    let mut source = serde_json::Deserializer::from_slice(bytes);
    let value = Depth(0).deserialize(&mut source).and_then(|value| source.end().map(|()| value));
    value.map(node).map_err(|error| {
        let place = Place { line: error.line() as u32, column: error.column() as u32 };
        let words = error.to_string();
        let cause = words.split(" at line ").next().unwrap_or(&words);
        Problem::new(code::MALFORMED, "", format!("expected JSON, but {cause}")).at(Some(place))
    })
}

fn node(value: Value) -> Node {
    Node { place: None, inner: None, value }
}

struct Depth(usize);

impl<'de> DeserializeSeed<'de> for Depth {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Value, D::Error> {
        source.deserialize_any(self)
    }
}

impl Depth {
    fn deeper<E: Error>(&self) -> Result<usize, E> {
        if self.0 < DEPTH_MAX {
            Ok(self.0 + 1)
        } else {
            Err(E::custom(format!("found more than {DEPTH_MAX} levels inside each other")))
        }
    }
}

impl<'de> Visitor<'de> for Depth {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Whole(value.into()))
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Whole(value.into()))
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Real(value))
    }
    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut source: A) -> Result<Value, A::Error> {
        let depth = self.deeper()?;
        let mut items = Vec::new();
        while let Some(value) = source.next_element_seed(Depth(depth))? {
            items.push(node(value));
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut source: A) -> Result<Value, A::Error> {
        let depth = self.deeper()?;
        let mut keys = std::collections::BTreeSet::new();
        let mut entries: Vec<Entry> = Vec::new();
        while let Some(key) = source.next_key::<String>()? {
            if !keys.insert(key.clone()) {
                return Err(A::Error::custom(format!("found the key `{}` twice", shortened(&key))));
            }
            entries.push(Entry { key, place: None, node: node(source.next_value_seed(Depth(depth))?) });
        }
        Ok(Value::Map(entries))
    }
}
