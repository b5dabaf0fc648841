//! The fields of a message as they stand in its bytes.

/// What one field holds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    Number(u64),
    Fixed(u64),
    Bytes(&'a [u8]),
    /// Four bytes, which no field of a record holds.
    Short,
}

impl<'a> Value<'a> {
    pub(crate) fn number(self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(number),
            Self::Fixed(_) | Self::Bytes(_) | Self::Short => None,
        }
    }

    pub(crate) fn fixed(self) -> Option<u64> {
        match self {
            Self::Fixed(bits) => Some(bits),
            Self::Number(_) | Self::Bytes(_) | Self::Short => None,
        }
    }

    pub(crate) fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Number(_) | Self::Fixed(_) | Self::Short => None,
        }
    }
}

const NUMBER: u64 = 0;
const FIXED: u64 = 1;
const BYTES: u64 = 2;
const SHORT: u64 = 5;

/// The rest of a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// The next field and its number; nothing when the bytes are none.
    pub(crate) fn next(&mut self) -> Option<(u32, Value<'a>)> {
        let key = u32::try_from(self.number()?).ok()?;
        let value = match u64::from(key & 7) {
            NUMBER => Value::Number(self.number()?),
            FIXED => Value::Fixed(u64::from_le_bytes(*self.take(8)?.first_chunk()?)),
            BYTES => {
                let length = usize::try_from(self.number()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            SHORT => {
                self.take(4)?;
                Value::Short
            }
            _ => return None,
        };
        (key >> 3 > 0).then_some((key >> 3, value))
    }

    /// Seven bits a byte, the lowest first.
    #[inline]
    pub(crate) fn number(&mut self) -> Option<u64> {
        let (first, rest) = self.0.split_first()?;
        if *first < 0x80 {
            self.0 = rest;
            return Some(u64::from(*first));
        }
        self.long_number()
    }

    fn long_number(&mut self) -> Option<u64> {
        let mut number = 0;
        for (place, byte) in self.0.iter().take(10).enumerate() {
            // Of the tenth byte one bit is left.
            if place == 9 && *byte > 1 {
                return None;
            }
            number |= u64::from(byte & 0x7f) << (7 * place);
            if *byte < 0x80 {
                self.0 = &self.0[place + 1..];
                return Some(number);
            }
        }
        None
    }

    #[inline]
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

/// Bytes that are being written.
#[derive(Debug, Default)]
pub(crate) struct Writing {
    pub bytes: Vec<u8>,
    /// Whether the event that comes now leaves out what the input of its step says already.
    pub repeats: bool,
}

impl Writing {
    pub(crate) fn number(&mut self, number: u32, value: u64) {
        self.key(number, NUMBER);
        self.varint(value);
    }

    pub(crate) fn fixed(&mut self, number: u32, bits: u64) {
        self.key(number, FIXED);
        self.bytes.extend_from_slice(&bits.to_le_bytes());
    }

    pub(crate) fn bytes(&mut self, number: u32, bytes: &[u8]) {
        self.key(number, BYTES);
        self.varint(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    /// A field whose length is known only once it is written.
    pub(crate) fn within(&mut self, number: u32, write: impl FnOnce(&mut Self)) {
        self.key(number, BYTES);
        let begin = self.bytes.len();
        // Most are short: their length is one byte.
        self.bytes.push(0);
        write(self);
        let length = self.bytes.len() - begin - 1;
        if length < 0x80 {
            self.bytes[begin] = length as u8;
            return;
        }
        let end = self.bytes.len();
        self.varint(length as u64);
        let width = self.bytes.len() - end;
        self.bytes[begin + 1..].rotate_right(width);
        self.bytes.remove(begin);
    }

    pub(crate) fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    fn key(&mut self, number: u32, kind: u64) {
        self.varint(u64::from(number) << 3 | kind);
    }
}
