//! One connection to a model server: a request goes out in one piece, its answer is read to its end.
//!
//! The caller's own task writes and reads. A connection with a task of its own would cost two wake-ups and two
//! channels a request, which is more than the work itself.

use hyper::body::Bytes;
use hyper::http::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::http1::{Broken, End, HEAD_BYTES_MAX, Head, read_chunk_size, read_head};
use crate::backend::Reply;

/// Bytes read at once.
const READ_BYTES: usize = 8 << 10;

/// Bodies up to this size are copied behind their head, so that both are one write.
const COPIED_BYTES_MAX: usize = 64 << 10;

/// Kept bytes of a buffer between two requests.
const KEPT_BYTES_MAX: usize = 64 << 10;

/// Why nothing came of a request.
#[derive(Debug)]
pub(super) enum Failed {
    /// Nothing of it was sent.
    Unsent,
    Broken(Broken),
}

#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    out: Vec<u8>,
    /// What was read and not yet used.
    read: Vec<u8>,
}

impl Connection {
    pub(super) async fn open(host: &str, port: u16) -> std::io::Result<Self> {
        let stream = TcpStream::connect((host, port)).await?;
        // Each request is one write: waiting for more would only delay it.
        stream.set_nodelay(true)?;
        Ok(Self { stream, out: Vec::with_capacity(READ_BYTES), read: Vec::with_capacity(READ_BYTES) })
    }

    /// Whether the other end has neither closed this connection nor said anything that nobody asked for.
    pub(super) fn is_quiet(&self) -> bool {
        let mut byte = [0];
        matches!(self.stream.try_read(&mut byte), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    }

    /// Sends a request, whose head is written by `head`, and reads the answer. Says also whether another may follow.
    pub(super) async fn ask(
        &mut self,
        head: impl FnOnce(&mut Vec<u8>),
        body: &Bytes,
        bytes_max: usize,
    ) -> Result<(Reply, bool), Failed> {
        self.out.clear();
        head(&mut self.out);
        let is_copied = body.len() <= COPIED_BYTES_MAX;
        if is_copied {
            self.out.extend_from_slice(body);
        }
        let rest: &[u8] = if is_copied { &[] } else { body };
        let is_sent = self.send(rest).await?;
        let (reply, stays_open) = self.answer(bytes_max).await.map_err(Failed::Broken)?;
        self.out.shrink_to(KEPT_BYTES_MAX);
        self.read.shrink_to(KEPT_BYTES_MAX);
        Ok((reply, stays_open && is_sent && self.read.is_empty()))
    }

    /// Sends what is in `out` and then `rest`; ends early when the answer comes before all was sent, and says so.
    async fn send(&mut self, rest: &[u8]) -> Result<bool, Failed> {
        let sent = match self.stream.try_write(&self.out) {
            Ok(sent) if sent == self.out.len() && rest.is_empty() => return Ok(true),
            Ok(sent) => sent,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => 0,
            Err(_) => return Err(Failed::Unsent),
        };
        let (reading, mut writing) = self.stream.split();
        let all = async {
            writing.write_all(&self.out[sent..]).await?;
            writing.write_all(rest).await
        };
        tokio::select! {
            biased;
            // Whoever refuses a body may answer, and close, without having read it.
            ready = reading.readable() => ready.map(|()| false),
            written = all => written.map(|()| true),
        }
        .map_err(|error| Failed::Broken(error.into()))
    }

    async fn answer(&mut self, bytes_max: usize) -> Result<(Reply, bool), Broken> {
        let head = loop {
            match read_head(&self.read)? {
                // What comes before the answer, such as `100 Continue`.
                Some(head) if head.status == StatusCode::SWITCHING_PROTOCOLS => {
                    return Err(Broken::Malformed("it speaks another protocol from here on"));
                }
                Some(head) if head.status.is_informational() => self.take(head.bytes),
                Some(head) => break head,
                None => self.more().await?,
            }
        };
        let Head { status, content_type, end, stays_open, bytes } = head;
        self.take(bytes);
        let too_large = || Broken::TooLarge { bytes_max };
        let mut body = vec![];
        match end {
            End::After(length) if length > bytes_max => return Err(too_large()),
            End::After(length) => self.move_to(&mut body, length).await?,
            End::Chunked => loop {
                let size = self.chunk_size().await?;
                if size == 0 {
                    self.trailers().await?;
                    break;
                }
                if size > bytes_max - body.len() {
                    return Err(too_large());
                }
                self.move_to(&mut body, size).await?;
                self.line_end().await?;
            },
            End::Closed => {
                body.append(&mut self.read);
                let left = (bytes_max as u64 + 1).saturating_sub(body.len() as u64);
                (&mut self.stream).take(left).read_to_end(&mut body).await?;
                if body.len() > bytes_max {
                    return Err(too_large());
                }
            }
        }
        Ok((Reply { status, content_type, body: Bytes::from(body) }, stays_open))
    }

    /// Reads once.
    async fn more(&mut self) -> Result<(), Broken> {
        self.read.reserve(READ_BYTES);
        match self.stream.read_buf(&mut self.read).await? {
            0 => Err(Broken::Closed),
            _ => Ok(()),
        }
    }

    fn take(&mut self, bytes: usize) {
        self.read.drain(..bytes);
    }

    /// Moves the next bytes behind `body`; those that were not read yet go there without a detour.
    async fn move_to(&mut self, body: &mut Vec<u8>, bytes: usize) -> Result<(), Broken> {
        let here = bytes.min(self.read.len());
        body.reserve(bytes);
        body.extend_from_slice(&self.read[..here]);
        self.take(here);
        let left = (bytes - here) as u64;
        if left == 0 {
            return Ok(());
        }
        match (&mut self.stream).take(left).read_to_end(body).await? {
            read if read as u64 == left => Ok(()),
            _ => Err(Broken::Closed),
        }
    }

    async fn chunk_size(&mut self) -> Result<usize, Broken> {
        loop {
            if let Some((begin, size)) = read_chunk_size(&self.read)? {
                self.take(begin);
                return Ok(size);
            }
            self.more().await?;
        }
    }

    async fn line_end(&mut self) -> Result<(), Broken> {
        while self.read.len() < 2 {
            self.more().await?;
        }
        if !self.read.starts_with(b"\r\n") {
            return Err(Broken::Malformed("a chunk is longer than it says"));
        }
        self.take(2);
        Ok(())
    }

    /// Passes over the lines after the last chunk.
    async fn trailers(&mut self) -> Result<(), Broken> {
        let mut bytes = 0;
        loop {
            let Some(line) = self.read.windows(2).position(|pair| pair == b"\r\n") else {
                if self.read.len() > HEAD_BYTES_MAX {
                    return Err(Broken::Malformed("what follows its body is too long"));
                }
                self.more().await?;
                continue;
            };
            self.take(line + 2);
            bytes += line + 2;
            if line == 0 {
                return Ok(());
            }
            if bytes > HEAD_BYTES_MAX {
                return Err(Broken::Malformed("what follows its body is too long"));
            }
        }
    }
}
