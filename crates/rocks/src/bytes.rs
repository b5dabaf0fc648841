//! Small compact encodings for keys and rows: big-endian numbers where order matters, LEB128 where size does.
//!
//! Reading is total: whatever the bytes are, it ends in a value or in [`Malformed`].

/// Bytes that are no row of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {0} in a row")]
pub(crate) struct Malformed(pub(crate) &'static str);

pub(crate) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads a row from its front.
#[derive(Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let Some((taken, rest)) = self.0.split_at_checked(count) else { return Err(Malformed("more bytes")) };
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        Ok(self.take(N)?.try_into().expect("as many bytes as were taken"))
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn number(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Malformed("a number of at most 64 bits"))
    }

    pub(crate) fn small(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.number()?).map_err(|_| Malformed("a number of at most 32 bits"))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(self.number()?).map_err(|_| Malformed("a length"))?;
        self.take(length)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed("text"))
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// Fails when something is left over.
    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed("nothing more")) }
    }
}

/// The four bytes at `from`, as a number.
pub(crate) fn u32_at(bytes: &[u8], from: usize) -> Result<u32, Malformed> {
    Ok(u32::from_be_bytes(Reader::new(bytes.get(from..).unwrap_or_default()).array()?))
}

/// The eight bytes at `from`, as a number.
pub(crate) fn u64_at(bytes: &[u8], from: usize) -> Result<u64, Malformed> {
    Ok(u64::from_be_bytes(Reader::new(bytes.get(from..).unwrap_or_default()).array()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_bytes_come_back() {
        for number in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut out = vec![];
            put_number(&mut out, number);
            put_bytes(&mut out, b"after");
            let mut reader = Reader::new(&out);
            assert_eq!(
                (reader.number(), reader.bytes(), reader.end()),
                (Ok(number), Ok(&b"after"[..]), Ok(()))
            );
        }
    }

    #[test]
    fn any_bytes_end_in_a_value_or_an_error() {
        for bytes in
            [&[][..], &[0x80], &[0xff; 11], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]]
        {
            assert!(Reader::new(bytes).bytes().is_err(), "{bytes:?}");
        }
        assert!(Reader::new(&[1, 0xff]).text().is_err());
        assert!(Reader::new(&[1]).end().is_err());
    }
}
