//! Finds pickles, and what they would import. Never loads one.
//!
//! Tells only that a pickle is there: there is no "safe" pickle here, and the list of imports is for people.
//! Torch's zip files and joblib's files are pickles too.

use std::collections::BTreeSet;

use super::{Stop, refuse};

/// Opcodes that are followed in one pickle.
const OPCODES_MAX: usize = 1_000_000;
/// Imports that are kept.
pub(super) const IMPORTS_MAX: usize = 64;
/// Imports that are listed for people.
const LISTED_MAX: usize = 8;
/// Characters of one import that are kept.
const IMPORT_CHARS_MAX: usize = 160;
/// Bytes of a text that are kept until something takes it.
const TEXT_BYTES_MAX: usize = 80;
/// Members of an archive that are looked at.
const MEMBERS_MAX: usize = 10_000;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// What it would import, sorted.
    pub imports: BTreeSet<String>,
    /// It could be followed to its end.
    pub complete: bool,
}

impl Found {
    fn import(&mut self, what: String) {
        if self.imports.len() < IMPORTS_MAX {
            self.imports.insert(what);
        }
    }

    pub(super) fn into_stop(self, place: &str) -> Stop {
        if !self.complete && self.imports.is_empty() {
            let text = format!("{place} begins as a pickle and cannot be followed to its end");
            return refuse("PICKLE_UNPARSEABLE", text);
        }
        let imports: Vec<&str> = self.imports.iter().take(LISTED_MAX).map(String::as_str).collect();
        let imports = if imports.is_empty() { "nothing".to_owned() } else { imports.join(", ") };
        let text =
            format!("{place} is a pickle, which runs code when loaded (it imports {imports}): use ONNX");
        refuse("PICKLE_PRESENT", text)
    }
}

/// Whether the bytes are a pickle.
pub(super) fn look(bytes: &[u8]) -> Option<Found> {
    // From protocol 2 on a pickle says so. Before, it is text that ends in a dot and works out.
    let says_so = matches!(bytes, [0x80, 2..=5, ..]);
    let found = walk(bytes);
    (says_so || (found.complete && bytes.len() > 2)).then_some(found)
}

/// The first pickle among the members of a zip archive.
pub(super) fn look_into_zip(bytes: &[u8]) -> Option<(String, Found)> {
    let (mut at, mut seen) = (0, 0);
    while let Some(start) = find(&bytes[at..], b"PK\x03\x04").map(|offset| at + offset) {
        seen += 1;
        if seen > MEMBERS_MAX {
            return Some(("(too many)".to_owned(), Found { imports: BTreeSet::new(), complete: false }));
        }
        let field = |offset: usize| {
            bytes
                .get(start + offset..start + offset + 2)
                .map(|it| usize::from(u16::from_le_bytes([it[0], it[1]])))
        };
        let (Some(method), Some(name), Some(extra)) = (field(8), field(26), field(28)) else { break };
        let name_at = start + 30;
        let Some(name_bytes) = bytes.get(name_at..name_at + name) else { break };
        let member = String::from_utf8_lossy(name_bytes).into_owned();
        let content = bytes.get(name_at + name + extra..).unwrap_or_default();
        let lower = member.to_ascii_lowercase();
        let by_name = [".pkl", ".pickle", ".joblib"].iter().any(|end| lower.ends_with(end));
        if method == 0 && matches!(content, [0x80, 2..=5, ..]) {
            return Some((member, walk(content)));
        }
        if by_name {
            return Some((member, Found { imports: BTreeSet::new(), complete: true }));
        }
        at = name_at + name;
    }
    None
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// How long an opcode's argument is.
#[derive(Clone, Copy)]
enum Argument {
    Nothing,
    Bytes(usize),
    /// A length in so many bytes, little-endian, then as many bytes.
    Counted(usize),
    Lines(usize),
}

/// The argument of an opcode of any protocol; none for what is no opcode.
fn argument(opcode: u8) -> Option<Argument> {
    Some(match opcode {
        b'(' | b'.' | b'0' | b'1' | b'2' | b'N' | b'Q' | b'R' | b'a' | b'b' | b'd' | b'}' | b'e' | b'l'
        | b']' | b'o' | b's' | b't' | b')' | b'u' => Argument::Nothing,
        0x81 | 0x85..=0x89 | 0x8f..=0x91 | 0x92 | 0x93 | 0x94 | 0x97 | 0x98 => Argument::Nothing,
        b'K' | b'h' | b'q' | 0x80 | 0x82 => Argument::Bytes(1),
        b'M' | 0x83 => Argument::Bytes(2),
        b'J' | b'j' | b'r' | 0x84 => Argument::Bytes(4),
        b'G' | 0x95 => Argument::Bytes(8),
        b'U' | b'C' | 0x8a | 0x8c => Argument::Counted(1),
        b'T' | b'B' | b'X' | 0x8b => Argument::Counted(4),
        0x8d | 0x8e | 0x96 => Argument::Counted(8),
        b'F' | b'I' | b'L' | b'P' | b'S' | b'V' | b'g' | b'p' => Argument::Lines(1),
        b'c' | b'i' => Argument::Lines(2),
        _ => return None,
    })
}

/// Follows the opcodes to the first STOP. joblib puts its arrays in between: such a pickle shows imports and no end.
fn walk(bytes: &[u8]) -> Found {
    let mut found = Found { imports: BTreeSet::new(), complete: false };
    let mut rest = bytes;
    // The texts pushed last: what STACK_GLOBAL takes.
    let mut texts: Vec<String> = Vec::new();
    for followed in 0..OPCODES_MAX {
        let Some((&opcode, after)) = rest.split_first() else { return found };
        let Some(kind) = argument(opcode) else { return found };
        let Some((argument, after)) = take(kind, after) else { return found };
        rest = after;
        match opcode {
            b'.' => {
                // A stop with nothing before it has nothing to give: that is a text that begins with a dot.
                found.complete = followed > 0;
                return found;
            }
            b'c' | b'i' => {
                let text = String::from_utf8_lossy(&argument[..argument.len().min(IMPORT_CHARS_MAX)]);
                found.import(text.trim().replace('\n', "."));
            }
            b'X' | 0x8c | 0x8d | b'U' | b'T' => {
                if texts.len() == 2 {
                    texts.remove(0);
                }
                let start = &argument[..argument.len().min(TEXT_BYTES_MAX)];
                texts.push(String::from_utf8_lossy(start).into_owned());
            }
            0x93 => {
                found.import(texts.join("."));
            }
            _ => {}
        }
    }
    found
}

fn take(kind: Argument, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    match kind {
        Argument::Nothing => Some((&[], bytes)),
        Argument::Bytes(count) => bytes.split_at_checked(count),
        Argument::Counted(width) => {
            let (length, rest) = bytes.split_at_checked(width)?;
            let mut whole = [0; 8];
            whole[..width].copy_from_slice(length);
            rest.split_at_checked(usize::try_from(u64::from_le_bytes(whole)).ok()?)
        }
        Argument::Lines(count) => {
            let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(place, _)| place);
            let end = ends.take(count).nth(count - 1)?;
            bytes.split_at_checked(end + 1)
        }
    }
}
