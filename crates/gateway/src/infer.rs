//! One request to infer: read it, choose its release, ask it, log what it said.
//!
//! Invariant: a release that fails is not covered up by another: its error is the caller's answer, and logged as
//! its own. Only when the chosen release is gone (unloaded after a newer table came) the newer table chooses, once.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use domain::name::Digest;
use domain::routes::Sticky;
use engine::port::predictions::Prediction;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::HeaderMap;
use hyper::body::{Body, Bytes};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::http::{Response, StatusCode};
use tokio::sync::SemaphorePermit;

use crate::answer::{self, Predicted};
use crate::backend::{Ask, Fault, Reply};
use crate::gateway::{Shared, Target};
use crate::instant;
use crate::limits::Limits;
use crate::metrics::{Counts, ReleaseCounts};
use crate::protocol::{self, Asked, ID_BYTES_MAX};
use crate::refusal::{Answer, JSON, RETRY_AFTER_SECONDS, Refusal, text_with_causes};
use crate::tables::{Led, Serving};

const RELEASE: HeaderName = HeaderName::from_static("x-modelrail-release");
const GENERATION: HeaderName = HeaderName::from_static("x-modelrail-generation");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const BINARY: HeaderName = HeaderName::from_static("inference-header-content-length");

/// What a caller says beside its body.
pub(crate) trait Headers: Sync {
    /// The value of the first header of that name, in whatever case.
    fn first(&self, name: &str) -> Option<&[u8]>;
}

impl Headers for HeaderMap {
    fn first(&self, name: &str) -> Option<&[u8]> {
        self.get(name).map(HeaderValue::as_bytes)
    }
}

impl Headers for [httparse::Header<'_>] {
    fn first(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
    }
}

/// Answers a request to infer, whatever becomes of it.
pub(crate) async fn infer<B>(shared: &Shared, target: &Target, headers: &HeaderMap, body: B) -> Answer
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let inferred = async {
        let _place = admit(shared, headers)?;
        let body = read(&shared.limits, body).await?;
        ask_chosen(shared, target, headers, body).await
    };
    counted(shared, inferred.await).map_or_else(|refusal| refusal.answer(), Inferred::answer)
}

/// Counts a request that was refused.
pub(crate) fn counted<T>(shared: &Shared, result: Result<T, Refusal>) -> Result<T, Refusal> {
    let counts = &shared.counts;
    result.inspect_err(|refusal| {
        let count = if refusal.status.is_client_error() { &counts.refused } else { &counts.unserved };
        count.fetch_add(1, Relaxed);
    })
}

/// Counts a request and gives it a place among those in flight, to be had before a body is read.
pub(crate) fn admit<'a>(
    shared: &'a Shared,
    headers: &(impl Headers + ?Sized),
) -> Result<SemaphorePermit<'a>, Refusal> {
    shared.counts.requests.fetch_add(1, Relaxed);
    let place = shared.in_flight.try_acquire().map_err(|_| {
        let text = format!("expected to have at most {} requests in flight", shared.limits.in_flight_max);
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "OVERLOADED", text)
    })?;
    if headers.first(BINARY.as_str()).is_some() {
        let text = "expected to infer with tensors as JSON, but the request has the binary extension";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "BINARY_UNSUPPORTED", text));
    }
    Ok(place)
}

/// What a release said, and which one it was.
#[derive(Debug)]
pub(crate) struct Inferred {
    pub(crate) reply: Reply,
    release: HeaderValue,
    generation: HeaderValue,
    request_id: Option<HeaderValue>,
    /// How soon the caller may come again.
    retry_after: Option<HeaderValue>,
}

impl Inferred {
    /// Headers beside those of every answer.
    pub(crate) fn said(&self) -> impl Iterator<Item = (HeaderName, &HeaderValue)> {
        let id = self.request_id.as_ref().map(|id| (REQUEST_ID, id));
        let retry = self.retry_after.as_ref().map(|after| (RETRY_AFTER, after));
        [(RELEASE, &self.release), (GENERATION, &self.generation)].into_iter().chain(id).chain(retry)
    }

    fn answer(self) -> Answer {
        let mut answer = pass_on(self.reply.clone());
        for (name, value) in self.said() {
            answer.headers_mut().insert(name, value.clone());
        }
        answer
    }
}

/// Chooses a release, asks it, and logs what it said.
pub(crate) async fn ask_chosen(
    shared: &Shared,
    target: &Target,
    headers: &(impl Headers + ?Sized),
    body: Bytes,
) -> Result<Inferred, Refusal> {
    let mut serving = target.serving.load_full();
    let asked = protocol::read(body, id_of(headers), parameter_of(&serving))?;
    let key = key(&serving, headers, &asked);
    let mut led = choose(&serving, target, key)?;
    let mut told = ask(shared, target, led, &asked.body).await;
    if matches!(told.result, Err(Failure::Fault(Fault::Gone))) {
        let newer = target.serving.load_full();
        if !Arc::ptr_eq(&newer, &serving) {
            shared.counts.rerouted.fetch_add(1, Relaxed);
            serving = newer;
            led = choose(&serving, target, key)?;
            told = ask(shared, target, led, &asked.body).await;
        }
    }
    let request_id = HeaderValue::from_str(&asked.id).ok();
    let unit = unit(key);
    let (release, generation) = (led.version.clone(), serving.generation.clone());
    let (reply, retry_after) = finish(shared, target, &serving, led, asked, unit, told);
    Ok(Inferred { reply, release, generation, request_id, retry_after })
}

/// Reads a whole body within the limits.
pub(crate) async fn read<B>(limits: &Limits, body: B) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let bytes_max = limits.body_bytes_max;
    let too_large = || {
        let text = format!("expected to read a body of at most {bytes_max} bytes, but it has more");
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE", text)
    };
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_large());
    }
    let timeout = Duration::from_millis(limits.body_timeout_ms);
    match tokio::time::timeout(timeout, Limited::new(body, bytes_max).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => Err(broken(&*error)),
        Err(_) => Err(too_slow(limits.body_timeout_ms)),
    }
}

pub(crate) fn broken(error: &(dyn std::error::Error + 'static)) -> Refusal {
    let text = format!("failed to read the body: {}", text_with_causes(error));
    Refusal::new(StatusCode::BAD_REQUEST, "BODY_BROKEN", text)
}

pub(crate) fn too_slow(timeout_ms: u64) -> Refusal {
    let text = format!("expected to read the body within {timeout_ms} ms");
    Refusal::new(StatusCode::REQUEST_TIMEOUT, "BODY_TOO_SLOW", text)
}

fn id_of(headers: &(impl Headers + ?Sized)) -> Option<&str> {
    let id = headers.first(REQUEST_ID.as_str())?;
    let is_visible = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~');
    let id = std::str::from_utf8(id).ok().filter(|_| id.iter().all(is_visible))?;
    (!id.is_empty() && id.len() <= ID_BYTES_MAX).then_some(id)
}

fn parameter_of(serving: &Serving) -> Option<&str> {
    match serving.sticky() {
        Sticky::Parameter(name) => Some(name),
        Sticky::None | Sticky::Header(_) => None,
    }
}

/// What the caller is drawn by: what keeps it with one release, or the request's id where that is missing.
fn key<'a>(serving: &Serving, headers: &'a (impl Headers + ?Sized), asked: &'a Asked) -> &'a [u8] {
    let sticky = match serving.sticky() {
        Sticky::Header(name) => headers.first(name),
        Sticky::Parameter(_) => asked.sticky.as_deref(),
        Sticky::None => None,
    };
    sticky.unwrap_or(asked.id.as_bytes())
}

fn choose<'a>(serving: &'a Serving, target: &Target, key: &[u8]) -> Result<&'a Led, Refusal> {
    serving.choose(key).ok_or_else(|| no_release(target, serving))
}

/// Says that nobody answers at a target, and why.
pub(crate) fn no_release(target: &Target, serving: &Serving) -> Refusal {
    let why = match (&serving.overridden, &serving.intended) {
        (Some(_), _) => "its releases were killed and none is stable",
        (None, None) => "its table has not come yet",
        (None, Some(_)) => "none serves there yet",
    };
    let text = format!("expected a release to answer at `{}`, but {why}", target.id);
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "NO_RELEASE", text)
}

enum Failure {
    Fault(Fault),
    TimedOut,
}

/// What came of asking a release.
struct Told {
    result: Result<Reply, Failure>,
    latency_us: u32,
}

/// Counts a request at a release for as long as it lives, so that one whose caller hung up is counted too.
struct AtRelease<'a> {
    release: &'a ReleaseCounts,
    counts: &'a Counts,
    answered: bool,
}

impl Drop for AtRelease<'_> {
    fn drop(&mut self) {
        self.release.in_flight.fetch_sub(1, Relaxed);
        if !self.answered {
            self.counts.hung_up.fetch_add(1, Relaxed);
        }
    }
}

async fn ask(shared: &Shared, target: &Target, led: &Led, body: &Bytes) -> Told {
    led.counts.in_flight.fetch_add(1, Relaxed);
    let mut at_release = AtRelease { release: &led.counts, counts: &shared.counts, answered: false };
    let call = led.call(target, Ask::Infer(body.clone()));
    let timeout = Duration::from_millis(shared.limits.infer_timeout_ms);
    let began = Instant::now();
    let result = match tokio::time::timeout(timeout, led.backend.call(&call)).await {
        Ok(result) => result.map_err(Failure::Fault),
        Err(_) => Err(Failure::TimedOut),
    };
    at_release.answered = true;
    Told { result, latency_us: u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX) }
}

/// Counts and logs what a release said, and makes it the answer; says also how soon the caller may come again.
fn finish(
    shared: &Shared,
    target: &Target,
    serving: &Serving,
    led: &Led,
    asked: Asked,
    unit: u64,
    told: Told,
) -> (Reply, Option<HeaderValue>) {
    let is_error = told.result.as_ref().map_or(true, |reply| reply.status.is_server_error());
    let predicted = match &told.result {
        Ok(reply) if reply.status.is_success() && asked.is_one_row => answer::read(&reply.body),
        _ => None,
    };
    let Predicted { output, score } = predicted.unwrap_or_default();
    let counts = &led.counts;
    counts.requests.fetch_add(1, Relaxed);
    counts.latency_us.fetch_add(u64::from(told.latency_us), Relaxed);
    counts.errors.fetch_add(u64::from(is_error), Relaxed);
    shared.log.push(&Prediction {
        target: target.id.clone(),
        request_id: asked.id,
        at: instant::now(),
        bundle: led.release.bundle,
        generation: serving.effective.generation,
        unit,
        latency_us: told.latency_us,
        error: is_error,
        features: asked.features,
        output,
        score,
    });
    match told.result {
        Ok(reply) => (reply, None),
        Err(failure) => {
            let refusal = failed(shared, led, &failure);
            let retry_after = refusal.status == StatusCode::SERVICE_UNAVAILABLE;
            let body = Bytes::from(refusal.body());
            let reply = Reply { status: refusal.status, content_type: None, body };
            (reply, retry_after.then_some(RETRY_AFTER_SECONDS))
        }
    }
}

/// The first 64 bits of the key's SHA-256. Method `sha-256-64/1`.
fn unit(key: &[u8]) -> u64 {
    let digest = Digest::of(key).0;
    digest[..8].iter().fold(0, |unit, byte| unit << 8 | u64::from(*byte))
}

pub(crate) fn pass_on(reply: Reply) -> Answer {
    let mut answer = Response::new(Full::new(reply.body));
    *answer.status_mut() = reply.status;
    answer.headers_mut().insert(CONTENT_TYPE, reply.content_type.unwrap_or(JSON));
    answer
}

fn failed(shared: &Shared, led: &Led, failure: &Failure) -> Refusal {
    let release = &led.release;
    match failure {
        Failure::Fault(fault) => {
            let text = text_with_causes(fault);
            tracing::warn!(version = %release.version, bundle = %release.bundle, error = text, "a release failed");
            refused_by(fault)
        }
        Failure::TimedOut => {
            let timeout_ms = shared.limits.infer_timeout_ms;
            tracing::warn!(version = %release.version, bundle = %release.bundle, timeout_ms, "a release timed out");
            let text = format!("expected the release to answer within {timeout_ms} ms");
            Refusal::new(StatusCode::GATEWAY_TIMEOUT, "RELEASE_TIMED_OUT", text)
        }
    }
}

/// What a caller is told of a fault; addresses of model servers stay in the log.
pub(crate) fn refused_by(fault: &Fault) -> Refusal {
    let (status, code) = match fault {
        Fault::Gone => (StatusCode::SERVICE_UNAVAILABLE, "RELEASE_GONE"),
        Fault::Unreachable(_) => (StatusCode::BAD_GATEWAY, "RELEASE_UNREACHABLE"),
        Fault::Broken(_) => (StatusCode::BAD_GATEWAY, "RELEASE_BROKEN"),
    };
    Refusal::new(status, code, fault.to_string())
}
