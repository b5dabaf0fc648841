//! Serves the gateway on a listener until told to stop, and leads each request to its place.
//!
//! Invariant: at most `connections_max` connections are open, each must send its head in time, and the end of the
//! shutdown is bounded by `drain_timeout_ms`. What was answered before the end is in the prediction log. No TLS here.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::http::{Method, Request, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::backend::Ask;
use crate::connection;
use crate::gateway::{Gateway, Target};
use crate::infer::{self, infer};
use crate::kill::KillError;
use crate::labels;
use crate::paths::{self, Place, Verb};
use crate::refusal::{Answer, Refusal, json as answer, text_with_causes};

/// Pause after the system refused to accept (it is out of descriptors), so as not to spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

const SERVER_NAME: &str = "modelrail-gateway";
/// What the names of counts begin with.
const METRICS_PREFIX: &str = "modelrail_";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

impl Gateway {
    /// Serves on `listener` until `shutdown` ends; then lets the requests in flight end and writes the log.
    pub async fn serve(&self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let limits = self.limits();
        let places = Arc::new(Semaphore::new(limits.connections_max.min(Semaphore::MAX_PERMITS)));
        let (stop, stopped) = watch::channel(());
        let accept = async {
            loop {
                let place = Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed");
                match listener.accept().await {
                    Ok((stream, _)) => self.begin(stream, stopped.clone(), place),
                    Err(error) => {
                        tracing::warn!(%error, "failed to accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        };
        tokio::select! {
            () = accept => {}
            () = shutdown => {}
        }
        drop(listener);
        drop(stopped);
        stop.send_replace(());
        let drain = Duration::from_millis(limits.drain_timeout_ms);
        if tokio::time::timeout(drain, stop.closed()).await.is_err() {
            tracing::warn!("requests were still in flight at the end of the shutdown");
        }
        self.flush().await;
    }

    fn begin(&self, stream: TcpStream, stopped: watch::Receiver<()>, place: OwnedSemaphorePermit) {
        let gateway = self.clone();
        let stream = stream.into_std();
        self.shared.lanes.give(async move {
            match stream.and_then(TcpStream::from_std) {
                Ok(stream) => connection::serve(gateway, stream, stopped, place).await,
                Err(error) => tracing::warn!(%error, "a connection could not be begun"),
            }
        });
    }

    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Answer {
        self.lead(request).await.unwrap_or_else(|refusal| refusal.answer())
    }

    async fn lead(&self, request: Request<Incoming>) -> Result<Answer, Refusal> {
        let (head, body) = request.into_parts();
        let Some(place) = paths::find(head.uri.path()) else {
            let text = "there is no such path";
            return Err(Refusal::new(StatusCode::NOT_FOUND, "PATH_UNKNOWN", text)
                .hint("infer by POST /{model}@{environment}/v2/models/{model}/infer"));
        };
        let wanted = match place {
            Place::Model { verb: Verb::Infer, .. } | Place::Labels { .. } | Place::Kill { .. } => {
                Method::POST
            }
            _ => Method::GET,
        };
        if head.method != wanted && !matches!(place, Place::Version) {
            let text = format!("expected {wanted} at this path, but it is {}", head.method);
            let mut answer =
                Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", text).answer();
            let allow = HeaderValue::from_static(if wanted == Method::POST { "POST" } else { "GET" });
            answer.headers_mut().insert(ALLOW, allow);
            return Ok(answer);
        }
        match place {
            Place::Model { target, model, verb } => {
                let target = self.find(target.as_deref(), model)?;
                match verb {
                    Verb::Infer => Ok(infer(&self.shared, &target, &head.headers, body).await),
                    Verb::Metadata => self.first(&target, Ask::Metadata).await,
                    Verb::Ready => self.first(&target, Ask::Ready).await,
                }
            }
            Place::Version => {
                let text = "expected the route table to choose the version, but the path names one";
                Err(Refusal::new(StatusCode::BAD_REQUEST, "VERSION_NOT_CHOSEN", text)
                    .hint("leave /versions/… out of the path"))
            }
            Place::Labels { target } => {
                let target = self.target(&target)?;
                let body = infer::read(self.limits(), body).await?;
                labels::take(&self.shared, &target.id, body).await
            }
            Place::Kill { target } => {
                self.check_credential(head.headers.get(AUTHORIZATION))?;
                let target = self.target(&target)?;
                let body = infer::read(self.limits(), body).await?;
                self.killed(target, &body).await
            }
            Place::TargetReady { target } => {
                let ready = self.target(&target)?.serving.load().first().is_some();
                Ok(ready_or_not(ready))
            }
            Place::ServerReady => Ok(ready_or_not(self.shared.is_current() && self.shared.serves())),
            Place::Readyz => Ok(ready_or_not(self.shared.is_current())),
            Place::ServerLive => Ok(answer(StatusCode::OK, &json!({ "live": true }))),
            Place::Metrics => Ok(self.metrics()),
            Place::Healthz => Ok(answer(StatusCode::OK, &json!({ "gateway": self.id() }))),
            Place::ServerMetadata => {
                let version = env!("CARGO_PKG_VERSION");
                Ok(answer(
                    StatusCode::OK,
                    &json!({ "name": SERVER_NAME, "version": version, "extensions": [] }),
                ))
            }
        }
    }

    fn metrics(&self) -> Answer {
        let text = self.render_openmetrics(METRICS_PREFIX) + "# EOF\n";
        let mut answer = Answer::new(text.into());
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(OPENMETRICS));
        answer
    }

    fn target(&self, id: &str) -> Result<Arc<Target>, Refusal> {
        self.shared.target(id).ok_or_else(|| {
            let id: String = id.chars().take(80).collect();
            let text = format!("expected a target that is served here, but there is no table of `{id}`");
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "NO_RELEASE", text)
        })
    }

    /// The target of a path, which must have the model that the path names.
    pub(crate) fn find(&self, id: Option<&str>, model: &str) -> Result<Arc<Target>, Refusal> {
        let named: String = model.chars().take(80).collect();
        let Some(id) = id else {
            return self.shared.target_of_model(model).ok_or_else(|| {
                let text = format!("expected one target of the model, but `{named}` has none or several");
                Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "NO_RELEASE", text)
                    .hint("name the target: /{model}@{environment}/v2/models/{model}/infer")
            });
        };
        let target = self.target(id)?;
        if target.id.model.as_str() == model {
            return Ok(target);
        }
        let text = format!("expected the model of `{}`, but it is `{named}`", target.id);
        Err(Refusal::new(StatusCode::NOT_FOUND, "MODEL_UNKNOWN", text))
    }

    /// Asks the release that answers most plainly: the first with a share.
    async fn first(&self, target: &Target, ask: Ask) -> Result<Answer, Refusal> {
        let serving = target.serving.load_full();
        let led = serving.first().ok_or_else(|| infer::no_release(target, &serving))?;
        let call = led.call(target, ask);
        let timeout_ms = self.limits().ready_timeout_ms;
        match tokio::time::timeout(Duration::from_millis(timeout_ms), led.backend.call(&call)).await {
            Ok(Ok(reply)) => Ok(infer::pass_on(reply)),
            Ok(Err(fault)) => Err(infer::refused_by(&fault)),
            Err(_) => {
                let text = format!("expected the release to answer within {timeout_ms} ms");
                Err(Refusal::new(StatusCode::GATEWAY_TIMEOUT, "RELEASE_TIMED_OUT", text))
            }
        }
    }

    fn check_credential(&self, given: Option<&HeaderValue>) -> Result<(), Refusal> {
        let Some(credential) = &self.shared.credential else {
            let text = "expected to have a credential for the kill switch, but none is configured";
            return Err(Refusal::new(StatusCode::FORBIDDEN, "KILL_SHUT", text));
        };
        let given = given.and_then(|value| value.to_str().ok()).and_then(|text| text.strip_prefix("Bearer "));
        if given.is_some_and(|secret| credential.is(secret)) {
            return Ok(());
        }
        let text = "expected the credential of the kill switch, but it is missing or another";
        Err(Refusal::new(StatusCode::UNAUTHORIZED, "CREDENTIAL_WRONG", text)
            .hint("send it as Authorization: Bearer …"))
    }

    async fn killed(&self, target: Arc<Target>, body: &[u8]) -> Result<Answer, Refusal> {
        let asked = Kill::read(body)?;
        let gateway = self.clone();
        let killed = tokio::task::spawn_blocking(move || {
            gateway.kill(&target.id, asked.release.as_deref(), asked.reason.as_deref().unwrap_or_default())
        });
        let overridden = killed.await.map_err(|panicked| {
            tracing::error!(%panicked, "the kill switch broke");
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "KILL_BROKE", "failed to kill")
        })?;
        let overridden = overridden.map_err(|error| {
            let status = match error {
                KillError::TargetUnknown { .. } | KillError::ReleaseUnknown { .. } => StatusCode::NOT_FOUND,
                KillError::OnlyStable { .. } => StatusCode::CONFLICT,
                KillError::NotKept { .. } => StatusCode::INTERNAL_SERVER_ERROR,
            };
            Refusal::new(status, error.code(), text_with_causes(&error)).hint(error.hint())
        })?;
        let body = json!({
            "target": overridden.target.to_string(),
            "generation": overridden.generation.0,
            "killed": overridden.killed.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "to": overridden.to.as_ref().map(|release| release.version.as_str()),
        });
        Ok(answer(StatusCode::OK, &body))
    }
}

/// What a kill may say.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kill {
    release: Option<String>,
    reason: Option<String>,
}

impl Kill {
    pub(crate) fn read(body: &[u8]) -> Result<Self, Refusal> {
        let asked = if body.trim_ascii().is_empty() { b"{}" } else { body.trim_ascii() };
        let malformed = |why: &str| {
            Refusal::new(
                StatusCode::BAD_REQUEST,
                "MALFORMED",
                format!("expected to read the kill, but {why}"),
            )
            .hint("send nothing, or {\"release\": a version or digest, \"reason\": a text}")
        };
        // serde takes a list for an object, by the order of its fields.
        if !asked.starts_with(b"{") {
            return Err(malformed("it is no object"));
        }
        serde_json::from_slice(asked).map_err(|error| malformed(&error.to_string()))
    }
}

fn ready_or_not(ready: bool) -> Answer {
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    answer(status, &json!({ "ready": ready }))
}
