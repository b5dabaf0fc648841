//! Counts what a model would become in memory, before it is decoded: two bytes of protobuf can stand for a
//! structure of a hundred.
//!
//! **Invariant:** what passes is decoded to at most a few times [`CONTENT_BYTES_MAX`] and [`ENTRIES_MAX`] entries.
//! Allocates nothing. Field numbers are those of `onnx.proto`.

use super::{Stop, refuse};

/// Nodes, constants, tensors and operator sets of one graph.
const ENTRIES_MAX: usize = 1_000_000;
/// Bytes of what is read of them: descriptions of tensors, sizes of constants.
const CONTENT_BYTES_MAX: usize = 8 << 20;

#[derive(Debug, Default, PartialEq, Eq)]
struct Count {
    entries: usize,
    content: usize,
}

/// Refuses bytes that stand for more than is decoded here. What is no protobuf passes: the reader says so.
pub(super) fn check(bytes: &[u8]) -> Result<(), Stop> {
    let mut count = Count::default();
    // Whatever could be read counts, even if the rest is none.
    for (number, content) in Fields(bytes) {
        match number {
            7 => count.graph(content),
            8 => count.add(content.len()),
            _ => {}
        }
    }
    if count.entries <= ENTRIES_MAX && count.content <= CONTENT_BYTES_MAX {
        return Ok(());
    }
    let Count { entries, content } = count;
    let text = format!(
        "expected a graph of at most {ENTRIES_MAX} entries described in {CONTENT_BYTES_MAX} bytes, but it has \
         {entries} in {content}"
    );
    Err(refuse("MODEL_TOO_COMPLEX", text))
}

impl Count {
    fn add(&mut self, content: usize) {
        self.entries += 1;
        self.content += content;
    }

    fn graph(&mut self, bytes: &[u8]) {
        for (number, content) in Fields(bytes) {
            match number {
                // Of a node only its domain is read.
                1 => self.add(inside(content, 7)),
                // Of a constant its sizes and its name: the numbers are passed over.
                5 => self.add(inside(content, 1) + inside(content, 8)),
                11 | 12 => self.add(content.len()),
                _ => {}
            }
        }
    }
}

/// The bytes of one field in all of its places.
fn inside(bytes: &[u8], number: u64) -> usize {
    Fields(bytes).filter(|(found, _)| *found == number).map(|(_, content)| content.len()).sum()
}

/// The fields of a message with the bytes of each; ends at the first thing that is none.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (key, rest) = number(self.0)?;
        let (content, rest) = match key & 7 {
            0 => rest.split_at(rest.len() - number(rest)?.1.len()),
            1 => rest.split_at_checked(8)?,
            2 => {
                let (length, rest) = number(rest)?;
                rest.split_at_checked(usize::try_from(length).ok()?)?
            }
            5 => rest.split_at_checked(4)?,
            _ => return None,
        };
        self.0 = rest;
        Some((key >> 3, content))
    }
}

/// A number of at most ten bytes, and what follows it.
fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (place, byte) in bytes.iter().take(10).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * place);
        if *byte < 0x80 {
            return Some((number, &bytes[place + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![number << 3 | 2];
        let mut length = content.len();
        while length >= 0x80 {
            bytes.push(length as u8 | 0x80);
            length >>= 7;
        }
        bytes.push(length as u8);
        bytes.extend_from_slice(content);
        bytes
    }

    #[test]
    fn what_would_be_more_in_memory_than_it_is_on_disk_is_refused() {
        let many = |number: u8, count: usize| field(7, &[number << 3 | 2, 0].repeat(count));
        for number in [1, 5, 11, 12] {
            assert!(check(&many(number, ENTRIES_MAX)).is_ok(), "{number}");
            assert!(check(&many(number, ENTRIES_MAX + 1)).is_err(), "{number}");
        }
        // A graph in many places is one graph.
        let halves = [many(1, ENTRIES_MAX / 2 + 1), many(1, ENTRIES_MAX / 2)].concat();
        assert!(check(&halves).is_err());
        let dims = |count: usize| field(7, &field(5, &field(1, &vec![1; count])));
        assert!(check(&dims(CONTENT_BYTES_MAX)).is_ok());
        assert!(check(&dims(CONTENT_BYTES_MAX + 1)).is_err(), "sizes of a constant are eight bytes each");
        let shapes = |count: usize| field(7, &field(11, &field(2, &[0x0a, 0].repeat(count))));
        assert!(check(&shapes(CONTENT_BYTES_MAX / 2)).is_err(), "the shapes of tensors are read in full");
    }

    #[test]
    fn numbers_of_constants_do_not_count() {
        let constant = field(7, &field(5, &field(9, &vec![0; CONTENT_BYTES_MAX * 2])));
        assert!(check(&constant).is_ok());
    }
}
