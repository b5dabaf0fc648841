//! HTTP/1.1 as far as a gateway speaks it to a model server: bytes to heads and back. Pure.
//!
//! Invariant: where an answer ends is either said in one way (RFC 9112, 6.3) or the answer is refused: whoever reads
//! on from a wrong place would give one caller the answer of another.

use hyper::header::HeaderValue;
use hyper::http::StatusCode;

/// Headers of one answer.
const HEADERS_MAX: usize = 64;

/// Bytes of an answer's head, of a chunk's first line, and of the lines after the last chunk.
pub(super) const HEAD_BYTES_MAX: usize = 16 << 10;

/// Why an answer cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("the connection failed")]
    Io(#[from] std::io::Error),
    #[error("the connection was closed before the answer was whole")]
    Closed,
    #[error("expected an answer of HTTP/1.1, but {0}")]
    Malformed(&'static str),
    #[error("expected an answer of at most {bytes_max} bytes, but it has more")]
    TooLarge { bytes_max: usize },
}

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    After(usize),
    Chunked,
    /// With the connection.
    Closed,
}

/// What stands before a body.
#[derive(Debug, PartialEq)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) content_type: Option<HeaderValue>,
    pub(super) end: End,
    /// Whether another request may follow on this connection.
    pub(super) stays_open: bool,
    pub(super) bytes: usize,
}

/// Writes a request's head into `out`.
pub(super) fn write_head(
    out: &mut Vec<u8>,
    method: &str,
    path: &[&str],
    host: &str,
    body_bytes: Option<usize>,
) {
    let mut put = |text: &str| out.extend_from_slice(text.as_bytes());
    put(method);
    put(" ");
    for part in path {
        put(part);
    }
    put(" HTTP/1.1\r\nhost: ");
    put(host);
    if let Some(bytes) = body_bytes {
        put("\r\ncontent-type: application/json\r\ncontent-length: ");
        put(&bytes.to_string());
    }
    put("\r\n\r\n");
}

/// Reads the head at the beginning of `bytes`; nothing when it is not whole yet.
pub(super) fn read_head(bytes: &[u8]) -> Result<Option<Head>, Broken> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut answer = httparse::Response::new(&mut headers);
    let parsed = answer.parse(bytes).map_err(|_| Broken::Malformed("its head is none"))?;
    let httparse::Status::Complete(end_of_head) = parsed else {
        return if bytes.len() < HEAD_BYTES_MAX {
            Ok(None)
        } else {
            Err(Broken::Malformed("its head is too long"))
        };
    };
    let status = answer.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or(Broken::Malformed("its code is none"))?;
    let (mut length, mut chunked, mut content_type) = (None, false, None);
    let mut stays_open = answer.version == Some(1);
    for header in answer.headers.iter() {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is("content-length") {
            let number = number(header.value).ok_or(Broken::Malformed("its length is no number"))?;
            if length.is_some_and(|other| other != number) {
                return Err(Broken::Malformed("it has two lengths"));
            }
            length = Some(number);
        } else if is("transfer-encoding") {
            if chunked || !header.value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                return Err(Broken::Malformed("its transfer encoding is another than chunked"));
            }
            chunked = true;
        } else if is("connection") {
            let mut options = header.value.split(|byte| *byte == b',');
            stays_open &= !options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"));
        } else if is("content-type") {
            content_type = HeaderValue::from_bytes(header.value).ok();
        }
    }
    let end = match (length, chunked) {
        _ if has_no_body(status) => End::After(0),
        (Some(_), true) => return Err(Broken::Malformed("it has a length and a transfer encoding")),
        (None, true) => End::Chunked,
        (Some(length), false) => End::After(length),
        (None, false) => End::Closed,
    };
    stays_open &= end != End::Closed;
    Ok(Some(Head { status, content_type, end, stays_open, bytes: end_of_head }))
}

fn has_no_body(status: StatusCode) -> bool {
    status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Digits only: `usize::from_str` would take a sign.
fn number(text: &[u8]) -> Option<usize> {
    let text = text.trim_ascii();
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    digits.then(|| std::str::from_utf8(text).ok()?.parse().ok())?
}

/// Reads the first line of a chunk: its size, and where its data begins; nothing when the line is not whole yet.
pub(super) fn read_chunk_size(bytes: &[u8]) -> Result<Option<(usize, usize)>, Broken> {
    match httparse::parse_chunk_size(bytes) {
        Ok(httparse::Status::Complete((begin, size))) => match usize::try_from(size) {
            Ok(size) => Ok(Some((begin, size))),
            Err(_) => Err(Broken::Malformed("a chunk is too long")),
        },
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_BYTES_MAX => Ok(None),
        Ok(httparse::Status::Partial) | Err(_) => Err(Broken::Malformed("the size of a chunk is none")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<Option<(u16, End, bool, usize)>, String> {
        let head = read_head(text.as_bytes()).map_err(|error| error.to_string())?;
        Ok(head.map(|it| (it.status.as_u16(), it.end, it.stays_open, it.bytes)))
    }

    #[test]
    fn an_answer_ends_where_its_head_says() {
        let ok = "HTTP/1.1 200 OK\r\n";
        for (rest, end, stays_open) in [
            ("Content-Length: 12\r\n\r\n", End::After(12), true),
            ("content-length: 12\r\ncontent-length: 12\r\n\r\n", End::After(12), true),
            ("transfer-encoding: Chunked\r\n\r\n", End::Chunked, true),
            ("content-length: 0\r\nConnection: x, Close\r\n\r\n", End::After(0), false),
            ("\r\n", End::Closed, false),
        ] {
            let text = format!("{ok}{rest}");
            assert_eq!(check(&text), Ok(Some((200, end, stays_open, text.len()))), "{rest}");
            for cut in 0..text.len() {
                assert_eq!(check(&text[..cut]), Ok(None), "{rest} cut at {cut}");
            }
        }
        assert_eq!(
            check("HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\n"),
            Ok(Some((200, End::After(1), false, 38)))
        );
        assert_eq!(check("HTTP/1.1 204 \r\n\r\n"), Ok(Some((204, End::After(0), true, 17))));
    }

    #[test]
    fn an_answer_that_ends_in_two_ways_is_refused() {
        for rest in [
            "content-length: 1\r\ncontent-length: 2\r\n",
            "content-length: 1, 1\r\n",
            "content-length: +1\r\n",
            "content-length: \r\n",
            "content-length: 99999999999999999999\r\n",
            "content-length: 1\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: gzip, chunked\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        ] {
            check(&format!("HTTP/1.1 200 OK\r\n{rest}\r\n")).expect_err(rest);
        }
        check("SMTP ready\r\n\r\n").expect_err("another protocol");
        check(&format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(HEAD_BYTES_MAX)))
            .expect_err("a head without end");
    }
}
