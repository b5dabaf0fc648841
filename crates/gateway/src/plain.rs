//! The one form of request that callers send over and over, from bytes and to bytes: `POST` with a length. Pure.
//!
//! Invariant: a request that is read here means the same to hyper. Whatever a head may say besides (another method,
//! chunks, an expectation, another protocol, a connection that ends) is not read here but left to hyper, unchanged.

use std::mem::MaybeUninit;
use std::time::SystemTime;

use hyper::http::StatusCode;

use crate::infer::Inferred;
use crate::paths::{self, Place, Verb};
use crate::refusal::{Answer, JSON};

/// Bytes of a head.
pub(crate) const HEAD_BYTES_MAX: usize = 16 << 10;

/// Headers of a head.
pub(crate) const HEADERS_MAX: usize = 32;

/// Room for the headers of a head.
pub(crate) type Room<'a> = [MaybeUninit<httparse::Header<'a>>; HEADERS_MAX];

/// A request to infer, but for its body.
#[derive(Debug)]
pub(crate) struct Plain<'h, 'b> {
    pub(crate) place: Place<'b>,
    pub(crate) headers: &'h [httparse::Header<'b>],
    pub(crate) body_bytes: usize,
}

/// Where the first head in `bytes` ends; nothing when it is not whole yet.
pub(crate) fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + bytes.get(from..)?.iter().position(|byte| *byte == b'\r')?;
        let rest = &bytes[at..];
        match rest {
            [b'\r', b'\n', b'\r', b'\n', ..] => return Some(at + 4),
            // An ordinary line: the next one may be the empty one.
            [b'\r', b'\n', ..] => from = at + 2,
            _ if rest.len() < 4 => return None,
            _ => from = at + 1,
        }
    }
}

/// Whether what has come of a head may still become one that ends as [`end_of_head`] says.
pub(crate) fn may_become_plain(bytes: &[u8]) -> bool {
    let mut room = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut []);
    let parsed = request.parse_with_uninit_headers(bytes, &mut room);
    bytes.len() < HEAD_BYTES_MAX && matches!(parsed, Ok(httparse::Status::Partial))
}

/// Reads a whole head; nothing when it is not of the one form.
pub(crate) fn read<'h, 'b>(head: &'b [u8], room: &'h mut Room<'b>) -> Option<Plain<'h, 'b>> {
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(head, room) {
        Ok(httparse::Status::Complete(bytes)) if bytes == head.len() => {}
        _ => return None,
    }
    let httparse::Request { method: Some("POST"), path: Some(path), version: Some(1), headers } = request
    else {
        return None;
    };
    let is_simple = |byte: u8| byte.is_ascii_alphanumeric() || b"/@._-%".contains(&byte);
    if !path.bytes().all(is_simple) {
        return None;
    }
    let place = paths::find(path)?;
    if !matches!(place, Place::Model { verb: Verb::Infer, .. }) {
        return None;
    }
    let mut body_bytes = None;
    for header in &*headers {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        match header.name.len() {
            14 if is("content-length") => {
                let digits = header.value;
                let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
                let number = std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse::<usize>().ok()?;
                if body_bytes.replace(number).is_some() {
                    return None;
                }
            }
            10 if is("connection") && !header.value.eq_ignore_ascii_case(b"keep-alive") => return None,
            17 if is("transfer-encoding") => return None,
            6 if is("expect") => return None,
            7 if is("upgrade") => return None,
            _ => {}
        }
    }
    Some(Plain { place, headers, body_bytes: body_bytes? })
}

/// The time as heads say it, put into words once a second.
#[derive(Debug, Default)]
pub(crate) struct Date {
    second: u64,
    text: String,
}

impl Date {
    pub(crate) fn now(&mut self) -> &str {
        let now = SystemTime::now();
        let second = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        if self.second != second || self.text.is_empty() {
            self.second = second;
            self.text = httpdate::fmt_http_date(now);
        }
        &self.text
    }
}

/// What is said at the end of each head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End<'a> {
    pub(crate) date: &'a str,
    pub(crate) body_bytes: usize,
    /// Whether another request may follow.
    pub(crate) stays_open: bool,
}

/// Writes the head of what a release answered.
pub(crate) fn write_inferred(out: &mut Vec<u8>, inferred: &Inferred, end: &End<'_>) {
    put_status(out, inferred.reply.status);
    put(out, "content-type", inferred.reply.content_type.as_ref().unwrap_or(&JSON).as_bytes());
    for (name, value) in inferred.said() {
        put(out, name.as_str(), value.as_bytes());
    }
    put_end(out, end);
}

/// Writes the head of any answer.
pub(crate) fn write(out: &mut Vec<u8>, answer: &Answer, end: &End<'_>) {
    put_status(out, answer.status());
    for (name, value) in answer.headers() {
        put(out, name.as_str(), value.as_bytes());
    }
    put_end(out, end);
}

fn put_status(out: &mut Vec<u8>, status: StatusCode) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn put(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn put_end(out: &mut Vec<u8>, end: &End<'_>) {
    if !end.stays_open {
        put(out, "connection", b"close");
    }
    put(out, "content-length", end.body_bytes.to_string().as_bytes());
    put(out, "date", end.date.as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_plain(head: &str) -> bool {
        let mut room = [const { MaybeUninit::uninit() }; HEADERS_MAX];
        read(head.as_bytes(), &mut room).is_some()
    }

    const LINE: &str = "POST /m@e/v2/models/m/infer HTTP/1.1\r\n";

    #[test]
    fn a_head_ends_at_its_first_empty_line() {
        let head = format!("{LINE}a: b\r\ncontent-length: 3\r\n\r\n");
        for cut in 0..head.len() {
            assert_eq!(end_of_head(&head.as_bytes()[..cut]), None, "cut at {cut}");
            assert!(cut == 0 || may_become_plain(&head.as_bytes()[..cut]), "cut at {cut}");
        }
        assert_eq!(end_of_head(format!("{head}\r\n\r\n").as_bytes()), Some(head.len()));
        assert_eq!(end_of_head(b"a\r\r\n\r\nb"), Some(6));
        assert!(!may_become_plain(head.replace("\r\n", "\n").as_bytes()));
        assert!(!may_become_plain(b"\x16\x03\x01"), "TLS");
        assert!(!may_become_plain(format!("{LINE}a: {}", "b".repeat(HEAD_BYTES_MAX)).as_bytes()));
    }

    #[test]
    fn only_what_hyper_would_read_the_same_is_plain() {
        let length = "Content-Length: 3\r\n";
        assert!(is_plain(&format!("{LINE}{length}Connection: Keep-Alive\r\nx: y\r\n\r\n")));
        for headers in [
            "",
            "content-length: 3\r\ncontent-length: 3\r\n",
            "content-length: 3, 3\r\n",
            "content-length: +3\r\n",
            "content-length: \r\n",
            "content-length: 99999999999999999999\r\n",
            "content-length: 3\r\ntransfer-encoding: chunked\r\n",
            "content-length: 3\r\nTransfer-Encoding: identity\r\n",
            "content-length: 3\r\nexpect: 100-continue\r\n",
            "content-length: 3\r\nconnection: close\r\n",
            "content-length: 3\r\nconnection: upgrade\r\nupgrade: h2c\r\n",
            "content-length: 3\r\nupgrade: h2c\r\n",
            "content-length: 3\r\na: b\r\n folded\r\n",
            "content-length : 3\r\n",
        ] {
            assert!(!is_plain(&format!("{LINE}{headers}\r\n")), "{headers:?}");
        }
        for line in [
            "GET /m@e/v2/models/m/infer HTTP/1.1\r\n",
            "POST /m@e/v2/models/m/infer HTTP/1.0\r\n",
            "POST /m@e/v2/models/m/infer?a HTTP/1.1\r\n",
            "POST http://h/m@e/v2/models/m/infer HTTP/1.1\r\n",
            "POST /m@e/v2/models/m/versions/1/infer HTTP/1.1\r\n",
            "POST /m@e/labels HTTP/1.1\r\n",
        ] {
            assert!(!is_plain(&format!("{line}{length}\r\n")), "{line:?}");
        }
        let many = "x: y\r\n".repeat(HEADERS_MAX);
        assert!(!is_plain(&format!("{LINE}{length}{many}\r\n")));
    }
}
