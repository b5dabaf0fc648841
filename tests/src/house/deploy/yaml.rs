//! YAML as JSON, with what the files of `deploy/` use of it: several documents, anchors, merges.

use std::collections::BTreeMap;

use granit_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

/// Each document of a text.
pub(super) fn parse(text: &str) -> Result<Vec<Value>, String> {
    let mut events = vec![];
    for event in Parser::new_from_str(text) {
        match event.map_err(|error| error.to_string())?.0 {
            Event::Comment(..) => {}
            event => events.push(event),
        }
    }
    let mut read = Read { events: events.into_iter(), anchors: BTreeMap::new() };
    let mut documents = vec![];
    while let Some(event) = read.events.next() {
        if let Event::DocumentStart(..) = event {
            let first = read.events.next().ok_or("expected a document, but found nothing")?;
            documents.push(read.node(first)?);
        }
    }
    Ok(documents)
}

struct Read<'a, I: Iterator<Item = Event<'a>>> {
    events: I,
    anchors: BTreeMap<usize, Value>,
}

impl<'a, I: Iterator<Item = Event<'a>>> Read<'a, I> {
    fn node(&mut self, event: Event<'a>) -> Result<Value, String> {
        let (anchor, value) = match event {
            Event::Alias(anchor) => {
                return self.anchors.get(&anchor).cloned().ok_or_else(|| "an alias of nothing".to_owned());
            }
            Event::Scalar(text, style, anchor, _) => (anchor, scalar(&text, style)),
            Event::SequenceStart(_, anchor, _) => {
                let mut list = vec![];
                loop {
                    match self.next()? {
                        Event::SequenceEnd => break,
                        event => list.push(self.node(event)?),
                    }
                }
                (anchor, Value::Array(list))
            }
            Event::MappingStart(_, anchor, _) => (anchor, Value::Object(self.map()?)),
            other => return Err(format!("unexpected: {other:?}")),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, value.clone());
        }
        Ok(value)
    }

    /// What is merged in stands behind what is said, wherever it stands.
    fn map(&mut self) -> Result<Map<String, Value>, String> {
        let (mut map, mut merged) = (Map::new(), Map::new());
        loop {
            let key = match self.next()? {
                Event::MappingEnd => break,
                Event::Scalar(text, ..) => text.into_owned(),
                other => return Err(format!("expected a key, but found {other:?}")),
            };
            let next = self.next()?;
            let value = self.node(next)?;
            if key == "<<" {
                let Value::Object(value) = value else { return Err("expected a map to merge".to_owned()) };
                merged.extend(value);
            } else if map.insert(key.clone(), value).is_some() {
                return Err(format!("`{key}` stands twice"));
            }
        }
        merged.extend(map);
        Ok(merged)
    }

    fn next(&mut self) -> Result<Event<'a>, String> {
        self.events.next().ok_or_else(|| "expected more, but the text ends".to_owned())
    }
}

/// Plain numbers and flags are those, all else is text.
fn scalar(text: &str, style: ScalarStyle) -> Value {
    let is_plain = matches!(style, ScalarStyle::Plain);
    match text {
        "" | "~" | "null" if is_plain => Value::Null,
        "true" | "false" if is_plain => Value::Bool(text == "true"),
        _ if is_plain => text.parse::<i64>().map_or_else(|_| text.into(), Value::from),
        _ => text.into(),
    }
}

#[test]
fn anchors_merges_and_documents_are_read() {
    let text = "a: &a {x: 1, y: '2'}\nb: {<<: *a, y: true}\n---\n- ~\n";
    let read = parse(text).expect("it parses");
    assert_eq!(read[0], serde_json::json!({"a": {"x": 1, "y": "2"}, "b": {"x": 1, "y": true}}));
    assert_eq!(read[1], serde_json::json!([null]));
    for bad in ["a: [", "a: 1\na: 2\n", "a: *b\n"] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}
