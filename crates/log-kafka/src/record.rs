//! A record of any topic, as it is read and as it is written.

use rdkafka::message::{BorrowedMessage, Header, Headers as _, Message as _, OwnedHeaders};

/// The name of a header, and its bytes.
pub type Headers = Vec<(String, Vec<u8>)>;

/// A record that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    pub topic: String,
    pub partition: u32,
    pub offset: u64,
    pub key: Option<Vec<u8>>,
    /// Nothing is a tombstone.
    pub value: Option<Vec<u8>>,
    pub headers: Headers,
    /// As the broker or the writer stamped it.
    pub timestamp_ms: Option<u64>,
}

impl Read {
    pub(crate) fn of(message: &BorrowedMessage<'_>) -> Self {
        Self {
            topic: message.topic().to_owned(),
            partition: message.partition() as u32,
            offset: message.offset() as u64,
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: message.headers().map_or(vec![], |headers| {
                let one = |header: Header<'_, &[u8]>| {
                    (header.key.to_owned(), header.value.unwrap_or_default().to_vec())
                };
                headers.iter().map(one).collect()
            }),
            timestamp_ms: message.timestamp().to_millis().and_then(|at| at.try_into().ok()),
        }
    }

    /// The first header of this name, when it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.and_then(|(_, value)| std::str::from_utf8(value).ok())
    }
}

pub(crate) fn headers(headers: &[(String, Vec<u8>)]) -> OwnedHeaders {
    let empty = OwnedHeaders::new_with_capacity(headers.len());
    headers.iter().fold(empty, |all, (key, value)| all.insert(Header { key, value: Some(value) }))
}
