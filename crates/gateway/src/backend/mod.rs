//! The port to what answers: a model server over HTTP, or one in this process.
//!
//! Contract:
//! 1. `call` is answered by exactly the release asked for, or fails; never by another one.
//! 2. `Fault::Gone` only when the release did not see the request because it is not loaded.
//! 3. What was sent is not sent again: an inference may cost money or count.
//! 4. `is_ready` is true only when a `call` right after it would reach the release.
//! 5. A future that is dropped leaves nothing behind but the work that the release had begun.

mod direct;
mod http;
mod several;

use std::sync::Arc;

use domain::name::{Digest, ModelName};
use hyper::body::Bytes;
use hyper::header::HeaderValue;
use hyper::http::StatusCode;

pub use direct::Direct;
pub use http::Http;
pub use several::{SERVERS_MAX, Several};

/// What is asked of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// To infer, with this body of the Open Inference Protocol.
    Infer(Bytes),
    /// What it takes and gives.
    Metadata,
    Ready,
}

/// One question to one release.
#[derive(Debug, Clone)]
pub struct Call {
    pub model: ModelName,
    /// The release's bundle.
    pub bundle: Digest,
    /// The bundle in hexadecimal: the version that a model server knows it by.
    pub version: Arc<str>,
    pub ask: Ask,
}

impl Call {
    pub fn new(model: ModelName, bundle: Digest, ask: Ask) -> Self {
        Self { model, bundle, version: bundle.hex().into(), ask }
    }
}

/// What the release answered, whatever its code.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: StatusCode,
    pub content_type: Option<HeaderValue>,
    pub body: Bytes,
}

/// Why a release gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("the release is not loaded")]
    Gone,
    #[error("failed to connect to the model server")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("failed to read the answer of the model server")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

#[async_trait::async_trait]
pub trait Backend: Send + Sync + std::fmt::Debug {
    async fn call(&self, call: &Call) -> Result<Reply, Fault>;

    async fn is_ready(&self, model: &ModelName, bundle: Digest) -> Result<bool, Fault> {
        let call = Call::new(model.clone(), bundle, Ask::Ready);
        match self.call(&call).await {
            Ok(reply) => Ok(reply.status.is_success()),
            Err(Fault::Gone) => Ok(false),
            Err(fault) => Err(fault),
        }
    }
}
