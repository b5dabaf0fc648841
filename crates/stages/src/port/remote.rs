//! A model server in another process, by its control surface over HTTP.
//!
//! **Invariant:** only 422 is the model's fault, and 409 alone says that a later attempt was there. A wrong credential, a
//! server that is not there, and an answer that is none say nothing about a model, and may be tried again.

use std::io::Read as _;
use std::sync::OnceLock;
use std::time::Duration;

use domain::evidence::Text;
use domain::model::{Signature, Tensor};
use domain::name::{AttemptId, Digest, ModelName};
use reqwest::Url;
use reqwest::blocking::{Client, RequestBuilder};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Endpoint, Serving, ServingError};
use crate::http;

/// How long a load may take: less than the lease of an errand, so that whoever asked still lives when it ends.
const LOAD_TIMEOUT: Duration = Duration::from_secs(20);
/// How long anything else may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of one answer that are read: a line for each loaded model.
const ANSWER_BYTES_MAX: u64 = 4 << 20;

/// The model server at an address.
pub struct RemoteServing {
    /// Without a slash at its end.
    url: String,
    credential: String,
    /// Made by the first call: a blocking client cannot be made where a runtime starts this.
    http: OnceLock<Client>,
}

impl std::fmt::Debug for RemoteServing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteServing").field("url", &self.url).finish_non_exhaustive()
    }
}

/// An address that is none of a model server.
#[derive(Debug, thiserror::Error)]
#[error("expected the address of a model server, such as http://127.0.0.1:7402, but `{url}` {why}")]
pub struct BadServer {
    url: String,
    why: &'static str,
}

/// Why a server did not do as asked.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("failed to prepare calls to model servers")]
    Client(#[source] reqwest::Error),
    #[error("failed to call `{url}`")]
    Call { url: String, source: reqwest::Error },
    #[error("failed to read the answer of `{url}`")]
    Read { url: String, source: std::io::Error },
    #[error(
        "expected `{url}` to take the credential of its control surface, but it is another; hint: both need the same `control.token`"
    )]
    Credential { url: String },
    #[error("expected `{url}` to do as asked, but it answered {status}: {text}")]
    Answered { url: String, status: u16, text: String },
    #[error("expected an answer of the control surface from `{url}`, but it is none")]
    Malformed { url: String, source: serde_json::Error },
}

impl From<Failed> for ServingError {
    fn from(failed: Failed) -> Self {
        Self::Unreachable(failed.into())
    }
}

/// What the server has.
#[derive(Deserialize)]
struct State {
    models: Vec<Model>,
    model_bytes_max: usize,
}

#[derive(Deserialize)]
struct Model {
    name: String,
    version: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    error: String,
    code: String,
    hint: Option<String>,
}

impl RemoteServing {
    /// The server at `url`, whose control surface takes `credential`.
    pub fn new(url: &str, credential: &str) -> Result<Self, BadServer> {
        let bad = |why| BadServer { url: url.to_owned(), why };
        let parsed = Url::parse(url).map_err(|_| bad("is none"))?;
        if parsed.scheme() != "http" {
            return Err(bad("does not begin with `http://`"));
        }
        if parsed.host_str().is_none() || parsed.path() != "/" || parsed.query().is_some() {
            return Err(bad("is not a host and a port alone"));
        }
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(bad("names a user"));
        }
        let (url, credential) = (url.trim_end_matches('/').to_owned(), credential.to_owned());
        Ok(Self { url, credential, http: OnceLock::new() })
    }

    /// Where a gateway asks: the same address.
    pub fn url(&self) -> &str {
        &self.url
    }

    fn http(&self) -> Result<&Client, ServingError> {
        if let Some(http) = self.http.get() {
            return Ok(http);
        }
        let made = http::client(LOAD_TIMEOUT).map_err(Failed::Client)?;
        Ok(self.http.get_or_init(|| made))
    }

    fn state(&self) -> Result<State, ServingError> {
        let url = format!("{}/control/v1/models", self.url);
        let body = self.ask(self.http()?.get(&url).timeout(ASK_TIMEOUT), &url)?;
        Ok(serde_json::from_slice(&body).map_err(|source| Failed::Malformed { url, source })?)
    }

    fn place(&self, model: &ModelName, bundle: Digest) -> String {
        format!("{}/control/v1/models/{model}/versions/{}", self.url, bundle.hex())
    }

    fn ask(&self, request: RequestBuilder, url: &str) -> Result<Vec<u8>, ServingError> {
        let url = || url.to_owned();
        let answer = request.bearer_auth(&self.credential).send();
        let answer = answer.map_err(|source| Failed::Call { url: url(), source })?;
        let status = answer.status().as_u16();
        let mut body = vec![];
        let read = answer.take(ANSWER_BYTES_MAX).read_to_end(&mut body);
        read.map_err(|source| Failed::Read { url: url(), source })?;
        match status {
            200 => Ok(body),
            409 => {
                let refusal: Refusal = serde_json::from_slice(&body)
                    .map_err(|source| Failed::Malformed { url: url(), source })?;
                Err(ServingError::Superseded(refusal.error.into()))
            }
            401 => Err(Failed::Credential { url: url() }.into()),
            422 => {
                let refusal: Refusal = serde_json::from_slice(&body)
                    .map_err(|source| Failed::Malformed { url: url(), source })?;
                let hint = refusal.hint.map_or(String::new(), |hint| format!("; hint: {hint}"));
                let text = format!("{}{hint}", refusal.error);
                Err(ServingError::Refused { code: refusal.code.into(), text: text.into() })
            }
            status => {
                // A body that is none of ours says nothing more than the status.
                let refusal: Refusal = serde_json::from_slice(&body).unwrap_or_default();
                Err(Failed::Answered { url: url(), status, text: refusal.error }.into())
            }
        }
    }
}

impl Serving for RemoteServing {
    fn name(&self) -> Text {
        self.url.as_str().into()
    }

    fn load(
        &self,
        by: &AttemptId,
        model: &ModelName,
        bundle: Digest,
        onnx: &[u8],
        signature: &Signature,
    ) -> Result<Endpoint, ServingError> {
        // A server that refuses a body before it was sent is seldom heard: it is asked first.
        let bytes_max = self.state()?.model_bytes_max;
        if onnx.len() > bytes_max {
            let text = format!(
                "expected to load a model of at most {bytes_max} bytes, but it has {}; hint: raise \
                 `limits.model_max_mib` of the model server, or serve the model by another runtime",
                onnx.len()
            );
            return Err(ServingError::Refused { code: "MODEL_TOO_LARGE".into(), text: text.into() });
        }
        let mut body = line_of(signature).into_bytes();
        body.push(b'\n');
        body.extend_from_slice(onnx);
        let url = self.place(model, bundle);
        self.ask(self.http()?.put(put_by(&url, by)).body(body), &url)?;
        let (url, model) = (self.url.clone(), model.to_string());
        Ok(Endpoint { url, model, version: Some(bundle.hex()) })
    }

    fn keep(&self, by: &AttemptId, model: &ModelName, bundles: &[Digest]) -> Result<(), ServingError> {
        let url = format!("{}/control/v1/models/{model}/kept", self.url);
        let versions = json!(bundles.iter().map(Digest::hex).collect::<Vec<_>>()).to_string();
        let request = self.http()?.put(put_by(&url, by)).body(versions).timeout(ASK_TIMEOUT);
        self.ask(request, &url).map(drop)
    }

    fn loaded(&self) -> Result<Vec<(ModelName, Digest)>, ServingError> {
        let named = self.state()?.models.into_iter().filter_map(|loaded| {
            Some((ModelName::parse(&loaded.name).ok()?, Digest::parse(&loaded.version).ok()?))
        });
        Ok(named.collect())
    }
}

/// Names of streams need no escape.
fn put_by(url: &str, by: &AttemptId) -> String {
    format!("{url}?keeper={}&attempt={}", by.owner, by.number)
}

/// `null` when training declared none: what the model says of itself counts then.
fn line_of(signature: &Signature) -> String {
    if signature.inputs.is_empty() && signature.outputs.is_empty() {
        return Value::Null.to_string();
    }
    let tensor = |tensor: &Tensor| json!({ "name": *tensor.name, "datatype": *tensor.datatype, "shape": tensor.shape });
    let tensors = |tensors: &[Tensor]| tensors.iter().map(tensor).collect::<Vec<_>>();
    json!({ "inputs": tensors(&signature.inputs), "outputs": tensors(&signature.outputs) }).to_string()
}

#[cfg(test)]
mod tests;
