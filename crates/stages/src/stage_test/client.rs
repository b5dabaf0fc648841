//! A client of the Open Inference Protocol v2.
//!
//! An answer, whatever its status, is a fact about the model. Only a call that got none is trouble, and so is a
//! server without room, which says nothing about the model.

use std::time::Duration;

use domain::time::Millis;
use reqwest::blocking::Client as Http;
use serde_json::Value;

use crate::http;
use crate::port::Endpoint;
use crate::trouble::Trouble;

/// Bytes of one answer that are read.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Calls one loaded model.
#[derive(Debug)]
pub struct Client {
    endpoint: Endpoint,
    http: Http,
}

/// A status and a body; a body that is no JSON is null.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    pub status: u16,
    pub body: Value,
}

impl Reply {
    pub fn is_ok(&self) -> bool {
        self.status == 200
    }

    pub fn is_refusal(&self) -> bool {
        (400..500).contains(&self.status)
    }

    /// The status and the error's text, for people.
    pub fn words(&self) -> String {
        match self.body.get("error").and_then(Value::as_str) {
            Some(error) => format!("{}: {}", self.status, error.chars().take(200).collect::<String>()),
            None => self.status.to_string(),
        }
    }
}

impl Client {
    pub fn new(endpoint: Endpoint, timeout: Millis) -> Result<Self, Trouble> {
        let made = http::client(Duration::from_millis(timeout.0));
        let http =
            made.map_err(|source| Trouble::Call { url: endpoint.url.clone(), source: source.into() })?;
        Ok(Self { endpoint, http })
    }

    /// The address below which the model answers.
    fn base(&self) -> String {
        let Endpoint { url, model, version } = &self.endpoint;
        match version {
            Some(version) => format!("{url}/v2/models/{model}/versions/{version}"),
            None => format!("{url}/v2/models/{model}"),
        }
    }

    pub fn server_ready(&self) -> Result<Reply, Trouble> {
        self.get(format!("{}/v2/health/ready", self.endpoint.url))
    }

    pub fn ready(&self) -> Result<Reply, Trouble> {
        self.get(format!("{}/ready", self.base()))
    }

    pub fn metadata(&self) -> Result<Reply, Trouble> {
        self.get(self.base())
    }

    pub fn infer(&self, request: &Value) -> Result<Reply, Trouble> {
        self.infer_bytes(request.to_string().into_bytes())
    }

    /// Sends a body that need not be one.
    pub fn infer_bytes(&self, body: Vec<u8>) -> Result<Reply, Trouble> {
        self.post(format!("{}/infer", self.base()), body)
    }

    /// Asks for a model of another name.
    pub fn infer_as(&self, model: &str, request: &Value) -> Result<Reply, Trouble> {
        let url = format!("{}/v2/models/{model}/infer", self.endpoint.url);
        self.post(url, request.to_string().into_bytes())
    }

    /// A call of the load generator: only whether a good answer came, and no room is an answer too.
    pub(crate) fn infer_for_load(&self, body: &[u8]) -> Result<bool, Trouble> {
        let url = format!("{}/infer", self.base());
        let failed = |source: reqwest::Error| Trouble::Call { url: url.clone(), source: source.into() };
        let call = self.http.post(&url).header("content-type", "application/json").body(body.to_vec());
        let response = call.send().map_err(failed)?;
        let good = response.status().is_success();
        // Read to its end: an answer that does not arrive is none, and the connection can be used again.
        response.bytes().map_err(failed)?;
        Ok(good)
    }

    fn get(&self, url: String) -> Result<Reply, Trouble> {
        self.call(self.http.get(&url), url)
    }

    fn post(&self, url: String, body: Vec<u8>) -> Result<Reply, Trouble> {
        self.call(self.http.post(&url).header("content-type", "application/json").body(body), url)
    }

    #[expect(clippy::unused_self, reason = "reads as a call by this client")]
    fn call(&self, request: reqwest::blocking::RequestBuilder, url: String) -> Result<Reply, Trouble> {
        use std::io::Read as _;

        let mut body = Vec::new();
        let answer =
            request.send().map_err(|source| Trouble::Call { url: url.clone(), source: source.into() })?;
        let status = answer.status().as_u16();
        let read = answer.take(ANSWER_BYTES_MAX).read_to_end(&mut body);
        read.map_err(|source| Trouble::Call { url, source: source.into() })?;
        if status == 503 {
            return Err(Trouble::Overloaded);
        }
        Ok(Reply { status, body: serde_json::from_slice(&body).unwrap_or(Value::Null) })
    }
}
