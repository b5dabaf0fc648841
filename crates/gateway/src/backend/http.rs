//! A model server over HTTP/1.1, with a pool of connections that are kept open.
//!
//! Invariant: a request is sent a second time only when nothing of it had been sent: the connection could not be
//! made (once more here), or a kept one turned out to be closed before the first byte (the pool's own rule).

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use hyper::http::{Method, Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::{Ask, Backend, Call, Fault, Reply};
use crate::refusal::JSON;

/// Bytes of one answer.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// Kept connections of one model server that are idle.
const IDLE_MAX: usize = 256;

/// Shorter than the time after which a model server closes an idle connection, so that the two do not cross.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A model server at an address.
#[derive(Debug, Clone)]
pub struct Http {
    authority: Authority,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Http {
    /// The model server at `authority`, such as `127.0.0.1:8001`.
    pub fn new(authority: Authority) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(IDLE_MAX)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_timer(TokioTimer::new())
            .build(connector);
        Self { authority, client }
    }

    /// The model server at an address of this network.
    pub fn at(address: std::net::SocketAddr) -> Self {
        Self::new(address.to_string().parse().expect("an address and port are an authority"))
    }

    async fn send(&self, call: &Call) -> Result<Response<Incoming>, Fault> {
        match self.client.request(self.request(call)).await {
            Err(error) if error.is_connect() => self.client.request(self.request(call)).await,
            result => result,
        }
        .map_err(|error| {
            if error.is_connect() { Fault::Unreachable(error.into()) } else { Fault::Broken(error.into()) }
        })
    }

    fn request(&self, call: &Call) -> Request<Full<Bytes>> {
        let (method, verb, body) = match &call.ask {
            Ask::Infer(body) => (Method::POST, "/infer", body.clone()),
            Ask::Metadata => (Method::GET, "", Bytes::new()),
            Ask::Ready => (Method::GET, "/ready", Bytes::new()),
        };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = self.uri(call, verb);
        if matches!(call.ask, Ask::Infer(_)) {
            request.headers_mut().insert(CONTENT_TYPE, JSON);
        }
        request
    }

    fn uri(&self, call: &Call, verb: &str) -> Uri {
        let path = format!("/v2/models/{}/versions/{}{verb}", call.model, call.version);
        let path = PathAndQuery::from_maybe_shared(Bytes::from(path));
        let mut parts = hyper::http::uri::Parts::default();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(self.authority.clone());
        parts.path_and_query =
            Some(path.expect("a model's name and hexadecimal digits stand in a path as they are"));
        Uri::from_parts(parts).expect("scheme, authority and path are there")
    }
}

#[async_trait::async_trait]
impl Backend for Http {
    async fn call(&self, call: &Call) -> Result<Reply, Fault> {
        let (head, body) = self.send(call).await?.into_parts();
        if head.status == StatusCode::NOT_FOUND {
            return Err(Fault::Gone);
        }
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(Fault::Broken)?.to_bytes();
        Ok(Reply { status: head.status, content_type: head.headers.get(CONTENT_TYPE).cloned(), body })
    }
}
