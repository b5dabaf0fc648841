//! One connection of a caller: plain requests to infer are read and answered here, on one task and from one buffer;
//! with the first request of another form the connection goes to hyper, with all that was read of it.
//!
//! Invariant: a head must come in time, a body too, and a body is read only by whoever has a place among the requests
//! in flight. Whoever hangs up is asked for no longer. On stop the connection ends after the request that it is at.

use std::convert::Infallible;
use std::io::ErrorKind::WouldBlock;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, Sleep};

use crate::gateway::Gateway;
use crate::infer::{self, Inferred};
use crate::paths::Place;
use crate::plain::{self, Date, End, Plain, Room};
use crate::refusal::Refusal;

/// Bytes for which room is made before reading.
const READ_BYTES: usize = 8 << 10;

/// Bodies up to this size are copied behind their head, so that both are one write.
const COPIED_BYTES_MAX: usize = 64 << 10;

/// Kept bytes of a buffer between two requests.
const KEPT_BYTES_MAX: usize = 64 << 10;

/// Serves one connection; on stop it ends after the request that it is at.
pub(crate) async fn serve(
    gateway: Gateway,
    stream: TcpStream,
    stopped: watch::Receiver<()>,
    _place: OwnedSemaphorePermit,
) {
    // Answers are small and each is one write: waiting for more would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "failed to set TCP_NODELAY");
    }
    let drain = Duration::from_millis(gateway.limits().drain_timeout_ms);
    let mut stopping = stopped.clone();
    let late = async {
        // An error is a stop too.
        let _ = stopping.changed().await;
        tokio::time::sleep(drain).await;
    };
    tokio::select! {
        biased;
        () = answer_all(gateway, stream, stopped) => {}
        () = late => tracing::warn!("a request was still in flight at the end of the shutdown"),
    }
}

async fn answer_all(gateway: Gateway, stream: TcpStream, mut stopped: watch::Receiver<()>) {
    let mut caller =
        Caller { stream, read: BytesMut::new(), out: vec![], date: Date::default(), stays_open: true };
    let head_timeout = Duration::from_millis(gateway.limits().head_timeout_ms);
    let mut alarm = pin!(tokio::time::sleep(head_timeout));
    while caller.stays_open {
        let head = match caller.head(head_timeout, alarm.as_mut(), &mut stopped).await {
            Came::Head(head) => head,
            Came::Other => return to_hyper(gateway, caller, stopped).await,
            Came::Nothing => return,
        };
        let mut room: Room<'_> = [const { std::mem::MaybeUninit::uninit() }; plain::HEADERS_MAX];
        let Some(plain) =
            plain::read(&head, &mut room).filter(|plain| plain.body_bytes <= gateway.limits().body_bytes_max)
        else {
            caller.put_back(head);
            return to_hyper(gateway, caller, stopped).await;
        };
        let Some(inferred) = caller.infer(&gateway, &plain).await else { return };
        // A stop closes the connection behind this answer.
        caller.stays_open &= matches!(stopped.has_changed(), Ok(false));
        if let Err(error) = caller.say(inferred).await {
            return tracing::debug!(%error, "connection ended early");
        }
    }
}

/// What came next on a connection.
enum Came {
    Head(BytesMut),
    /// Something that is not read here.
    Other,
    /// Nothing in time, the end, or a stop before anything came.
    Nothing,
}

struct Caller {
    stream: TcpStream,
    /// What was read and not yet used.
    read: BytesMut,
    out: Vec<u8>,
    date: Date,
    stays_open: bool,
}

impl Caller {
    /// Waits for a whole head. The alarm is set anew only when it goes off: most heads come long before.
    async fn head(
        &mut self,
        timeout: Duration,
        mut alarm: Pin<&mut Sleep>,
        stopped: &mut watch::Receiver<()>,
    ) -> Came {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(end) = plain::end_of_head(&self.read) {
                return Came::Head(self.read.split_to(end));
            }
            if !self.read.is_empty() && !plain::may_become_plain(&self.read) {
                return Came::Other;
            }
            self.read.reserve(READ_BYTES);
            let is_between = self.read.is_empty();
            tokio::select! {
                biased;
                // A read that leaves room says that there is no more: neither this nor `hung_up` asks the system again.
                read = self.stream.read_buf(&mut self.read) => match read {
                    Ok(1..) => {}
                    Ok(0) | Err(_) => return Came::Nothing,
                },
                () = alarm.as_mut() => {
                    if Instant::now() >= deadline {
                        return Came::Nothing;
                    }
                    alarm.as_mut().reset(deadline);
                }
                _ = stopped.changed(), if is_between => return Came::Nothing,
            }
        }
    }

    fn put_back(&mut self, mut head: BytesMut) {
        head.unsplit(std::mem::take(&mut self.read));
        self.read = head;
    }

    /// What the caller is answered; nothing when it hung up.
    async fn infer(&mut self, gateway: &Gateway, plain: &Plain<'_, '_>) -> Option<Result<Inferred, Refusal>> {
        let Place::Model { target, model, .. } = &plain.place else { return None };
        let target = match gateway.find(target.as_deref(), model) {
            Ok(target) => target,
            Err(refusal) => {
                self.pass_over(plain.body_bytes);
                return Some(Err(refusal));
            }
        };
        let shared = &*gateway.shared;
        let _place = match infer::admit(shared, plain.headers) {
            Ok(place) => place,
            Err(refusal) => {
                self.pass_over(plain.body_bytes);
                return Some(infer::counted(shared, Err(refusal)));
            }
        };
        let body = match self.body(plain.body_bytes, gateway.limits().body_timeout_ms).await {
            Ok(body) => body,
            Err(refusal) => {
                self.stays_open = false;
                return Some(infer::counted(shared, Err(refusal)));
            }
        };
        tokio::select! {
            biased;
            inferred = infer::ask_chosen(shared, &target, plain.headers, body) => {
                Some(infer::counted(shared, inferred))
            }
            () = hung_up(&self.stream) => None,
        }
    }

    /// Passes over a body that nobody reads; what has not come of it ends the connection.
    fn pass_over(&mut self, bytes: usize) {
        if bytes <= self.read.len() {
            drop(self.read.split_to(bytes));
        } else {
            self.stays_open = false;
        }
    }

    async fn body(&mut self, bytes: usize, timeout_ms: u64) -> Result<Bytes, Refusal> {
        if self.read.len() < bytes {
            let rest = self.more(bytes);
            let read = tokio::time::timeout(Duration::from_millis(timeout_ms), rest).await;
            let read = read.map_err(|_| infer::too_slow(timeout_ms))?;
            read.map_err(|error| infer::broken(&error))?;
        }
        Ok(self.read.split_to(bytes).freeze())
    }

    /// Reads until so many bytes are here.
    async fn more(&mut self, bytes: usize) -> std::io::Result<()> {
        while self.read.len() < bytes {
            self.read.reserve((bytes - self.read.len()).max(READ_BYTES));
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    /// Writes an answer; head and body of a small one at once.
    async fn say(&mut self, inferred: Result<Inferred, Refusal>) -> std::io::Result<()> {
        let (date, stays_open) = (self.date.now(), self.stays_open);
        self.out.clear();
        let body = match &inferred {
            Ok(inferred) => {
                let body = inferred.reply.body.clone();
                let end = End { date, body_bytes: body.len(), stays_open };
                plain::write_inferred(&mut self.out, inferred, &end);
                body
            }
            Err(refusal) => {
                let body = Bytes::from(refusal.body());
                let end = End { date, body_bytes: body.len(), stays_open };
                plain::write(&mut self.out, &refusal.answer(), &end);
                body
            }
        };
        let is_copied = body.len() <= COPIED_BYTES_MAX;
        if is_copied {
            self.out.extend_from_slice(&body);
        }
        let sent = match self.stream.try_write(&self.out) {
            Ok(sent) => sent,
            Err(error) if error.kind() == WouldBlock => 0,
            Err(error) => return Err(error),
        };
        if sent < self.out.len() {
            self.stream.write_all(&self.out[sent..]).await?;
        }
        if !is_copied {
            self.stream.write_all(&body).await?;
        }
        self.out.clear();
        self.out.shrink_to(KEPT_BYTES_MAX);
        if self.read.is_empty() && self.read.capacity() > KEPT_BYTES_MAX {
            self.read = BytesMut::new();
        }
        Ok(())
    }
}

/// Ends when the caller has hung up. One who sends the next request early is not looked at again.
async fn hung_up(stream: &TcpStream) {
    let mut byte = [0];
    if matches!(stream.peek(&mut byte).await, Ok(1..)) {
        std::future::pending::<()>().await;
    }
}

async fn to_hyper(gateway: Gateway, caller: Caller, mut stopped: watch::Receiver<()>) {
    let head_timeout = Duration::from_millis(gateway.limits().head_timeout_ms);
    let answers = service_fn(move |request| {
        let gateway = gateway.clone();
        async move { Ok::<_, Infallible>(gateway.answer(request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        // Head and body of a small answer are copied together: cheaper than to have the kernel gather them.
        .writev(false)
        .serve_connection(TokioIo::new(Rewound { first: caller.read, stream: caller.stream }), answers);
    let mut served = pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        _ = stopped.changed() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended early");
    }
}

/// A stream of which something was read before.
struct Rewound {
    first: BytesMut,
    stream: TcpStream,
}

impl AsyncRead for Rewound {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, into);
        }
        let bytes = into.remaining().min(self.first.len());
        into.put_slice(&self.first.split_to(bytes));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
