//! YAML to a tree with places. One document of plain maps, lists and scalars: no aliases, anchors, tags or
//! directives, which configuration does not need and with which a short text can be made to mean a huge one.
//!
//! **Invariant:** never deeper than [`DEPTH_MAX`], never more than [`TEXT_BYTES_MAX`] bytes.

use std::collections::BTreeSet;

use granit_parser::{Event, Parser, ScalarStyle, Span, options};

use crate::problem::{Notes, Place, Problem, code};
use crate::tree::{Entry, Node, Value, shortened};

/// The most bytes of a text: those of a definition.
pub(crate) const TEXT_BYTES_MAX: usize = domain::definition::DEFINITION_BYTES_MAX;
/// The most maps and lists inside each other.
pub(crate) const DEPTH_MAX: usize = 16;

/// Reads one document. Problems with its form end the reading; keys that stand twice are noted, and the first
/// one counts.
pub(crate) fn read(text: &str, notes: &mut Notes) -> Option<Node> {
    match read_document(text, notes) {
        Ok(node) => Some(node),
        Err(problem) => {
            notes.problem(problem);
            None
        }
    }
}

fn read_document(text: &str, notes: &mut Notes) -> Result<Node, Problem> {
    if text.len() > TEXT_BYTES_MAX {
        let text = format!("expected at most {TEXT_BYTES_MAX} bytes, but found {}", text.len());
        return Err(Problem::new(code::TOO_LARGE, "", text));
    }
    let options = options! {
        disallow_directives: true,
        flow_nesting_limit: DEPTH_MAX,
        block_nesting_limit: DEPTH_MAX,
    };
    let mut events = Events { parser: Parser::new_from_str_with_options(text, options) };
    let mut document = None;
    loop {
        let (event, span) = events.next()?;
        match event {
            Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
            Event::StreamEnd => break,
            event if document.is_none() => document = Some(events.node(event, &span, 0, notes)?),
            _ => return Err(malformed(place(&span), "expected one document, but found another one")),
        }
    }
    document.ok_or_else(|| malformed(None, "expected a document, but found nothing"))
}

fn malformed(place: Option<Place>, text: &str) -> Problem {
    Problem::new(code::MALFORMED, "", text).at(place)
}

fn place(span: &Span) -> Option<Place> {
    let start = &span.start;
    Some(Place {
        line: u32::try_from(start.line()).ok()?,
        column: u32::try_from(start.col()).ok()?.saturating_add(1),
    })
}

struct Events<'a> {
    parser: Parser<'a, granit_parser::StrInput<'a>>,
}

impl<'a> Events<'a> {
    /// The next event that is not a comment; after the last one, the end.
    fn next(&mut self) -> Result<(Event<'a>, Span), Problem> {
        loop {
            match self.parser.next_event() {
                Some(Ok((Event::Comment(..), _))) => {}
                Some(Ok(event)) => return Ok(event),
                Some(Err(error)) => {
                    let at = error.marker();
                    let place = Place { line: at.line() as u32, column: at.col() as u32 + 1 };
                    let text = format!("expected YAML, but {}", error.info());
                    return Err(malformed(Some(place), &text));
                }
                None => return Err(malformed(None, "expected YAML, but found its end")),
            }
        }
    }

    fn node(
        &mut self,
        event: Event<'a>,
        span: &Span,
        depth: usize,
        notes: &mut Notes,
    ) -> Result<Node, Problem> {
        let place = place(span);
        if depth > DEPTH_MAX {
            let text =
                format!("expected at most {DEPTH_MAX} maps and lists inside each other, but found more");
            return Err(Problem::new(code::TOO_DEEP, "", text).at(place));
        }
        let (Event::Scalar(_, _, anchor, ref tag)
        | Event::SequenceStart(_, anchor, ref tag)
        | Event::MappingStart(_, anchor, ref tag)) = event
        else {
            return Err(malformed(place, "expected a value, but found an alias (`*`), which is not allowed"));
        };
        if anchor != 0 {
            return Err(malformed(
                place,
                "expected a value, but found an anchor (`&`), which is not allowed",
            ));
        }
        if tag.is_some() {
            return Err(malformed(place, "expected a value, but found a tag (`!`), which is not allowed"));
        }
        let mut inner = None;
        let value = match event {
            Event::Scalar(text, style, ..) => {
                let quoted = matches!(style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted);
                let one_line = quoted || style == ScalarStyle::Plain;
                inner = place
                    .filter(|_| one_line && span.start.line() == span.end.line())
                    .map(|at| Place { line: at.line, column: at.column + u32::from(quoted) });
                if style == ScalarStyle::Plain { plain(&text) } else { Value::Text(text.into_owned()) }
            }
            Event::SequenceStart(..) => Value::List(self.list(depth, notes)?),
            _ => Value::Map(self.map(depth, notes)?),
        };
        Ok(Node { place, inner, value })
    }

    fn list(&mut self, depth: usize, notes: &mut Notes) -> Result<Vec<Node>, Problem> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(items),
                (event, span) => items.push(self.node(event, &span, depth + 1, notes)?),
            }
        }
    }

    fn map(&mut self, depth: usize, notes: &mut Notes) -> Result<Vec<Entry>, Problem> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut keys = BTreeSet::new();
        loop {
            let (event, span) = self.next()?;
            let key_place = place(&span);
            let key = match event {
                Event::MappingEnd => return Ok(entries),
                Event::Scalar(key, _, 0, None) => key.into_owned(),
                _ => return Err(malformed(key_place, "expected a key, but found something else")),
            };
            let (event, span) = self.next()?;
            let node = self.node(event, &span, depth + 1, notes)?;
            if keys.insert(key.clone()) {
                entries.push(Entry { key, place: key_place, node });
            } else {
                let text = format!("expected each key once, but found `{}` again", shortened(&key));
                notes.problem(Problem::new(code::DUPLICATE, shortened(&key), text).at(key_place));
            }
        }
    }
}

/// A scalar without quotes, by the core schema of YAML 1.2 without its octal, hexadecimal and infinite numbers.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let numeric = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E'))
        && text.bytes().any(|b| b.is_ascii_digit());
    if numeric && let Ok(whole) = text.parse() {
        return Value::Whole(whole);
    }
    match text.parse::<f64>() {
        Ok(real) if numeric && real.is_finite() => Value::Real(real),
        _ => Value::Text(text.to_owned()),
    }
}
