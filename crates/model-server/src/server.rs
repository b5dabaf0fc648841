//! The set of loaded releases, shared by all who call it.
//!
//! Readers take a snapshot without a lock; loading and unloading replace the snapshot. A request
//! holds its model by `Arc`, so unloading in the middle of it is safe.
//! Invariant: a version of a model never changes its bytes while it is loaded.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::error::{CallError, LoadError};
use crate::model::{Model, Request, Response};
use crate::protocol;
use crate::signature::Signature;

/// Bounds of a server. Each has a default that suits small tabular models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Loaded versions of all models together, default 64.
    pub models_max: usize,
    /// Bytes of one ONNX file, default 64 MiB.
    pub model_bytes_max: usize,
    /// Rows of one request, default 8192.
    pub rows_max: usize,
    /// Bytes of one request's body, default 2 MiB.
    pub body_bytes_max: usize,
    /// Requests to infer at the same time (their bodies are in memory), default 128; beyond it: 503.
    pub in_flight_max: usize,
    /// Open connections, default 1024; beyond it new ones wait to be accepted.
    pub connections_max: usize,
    /// How long a client may take to send a request's head, or stay idle, default 30 s.
    pub head_timeout_ms: u64,
    /// How long a client may take to send a request's body, default 10 s.
    pub body_timeout_ms: u64,
    /// How long a shutdown waits for requests in flight, default 10 s.
    pub drain_timeout_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            models_max: 64,
            model_bytes_max: 64 << 20,
            rows_max: 8192,
            body_bytes_max: 2 << 20,
            in_flight_max: 128,
            connections_max: 1024,
            head_timeout_ms: 30_000,
            body_timeout_ms: 10_000,
            drain_timeout_ms: 10_000,
        }
    }
}

/// One loaded version of a model.
#[derive(Debug)]
pub struct Loaded {
    pub model: String,
    /// The release's digest, or any other name of a version.
    pub version: String,
    /// SHA-256 of the ONNX file in lower-case hexadecimal.
    pub sha256: String,
    declared: Option<Signature>,
    onnx: Model,
}

impl Loaded {
    /// The signature found in the model.
    pub fn signature(&self) -> &Signature {
        self.onnx.signature()
    }
}

/// Whether a load changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadOutcome {
    Loaded,
    /// The same bytes were loaded under this version before.
    AlreadyLoaded,
}

/// Versions of each model, the most recently loaded one last.
type Models = BTreeMap<String, Vec<Arc<Loaded>>>;

#[derive(Debug)]
struct Shared {
    limits: Limits,
    models: ArcSwap<Models>,
    /// Held by whoever replaces `models`.
    replacing: Mutex<()>,
    in_flight: Semaphore,
    draining: AtomicBool,
}

/// A server of models; clones share everything.
#[derive(Clone, Debug)]
pub struct Server {
    shared: Arc<Shared>,
}

impl Server {
    pub fn new(limits: Limits) -> Self {
        let in_flight = Semaphore::new(limits.in_flight_max.min(Semaphore::MAX_PERMITS));
        Self {
            shared: Arc::new(Shared {
                limits,
                models: ArcSwap::default(),
                replacing: Mutex::new(()),
                in_flight,
                draining: AtomicBool::new(false),
            }),
        }
    }

    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// Loads a version; requests without a version go to it from now on.
    ///
    /// Synchronous and of milliseconds for small models. Loading the same bytes again changes nothing.
    pub fn load(
        &self,
        model: &str,
        version: &str,
        bytes: &[u8],
        signature: Option<&Signature>,
    ) -> Result<LoadOutcome, LoadError> {
        let limits = self.limits();
        check_name("the model's name", model)?;
        check_name("the version", version)?;
        if bytes.len() > limits.model_bytes_max {
            return Err(LoadError::TooLarge { bytes: bytes.len(), bytes_max: limits.model_bytes_max });
        }
        let sha256 = hexadecimal(&Sha256::digest(bytes));
        if let Some(outcome) = self.loaded_before(model, version, &sha256, signature)? {
            return Ok(outcome);
        }
        // The slow part, outside of the lock.
        let loaded = Loaded {
            model: model.to_owned(),
            version: version.to_owned(),
            sha256,
            declared: signature.cloned(),
            onnx: Model::load(bytes, signature)?,
        };
        let _replacing = self.shared.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(outcome) = self.loaded_before(model, version, &loaded.sha256, signature)? {
            return Ok(outcome);
        }
        let mut models = Models::clone(&self.shared.models.load());
        if models.values().map(Vec::len).sum::<usize>() >= limits.models_max {
            return Err(LoadError::Full { models_max: limits.models_max });
        }
        tracing::info!(model, version, sha256 = loaded.sha256, "model loaded");
        models.entry(model.to_owned()).or_default().push(Arc::new(loaded));
        self.shared.models.store(Arc::new(models));
        Ok(LoadOutcome::Loaded)
    }

    fn loaded_before(
        &self,
        model: &str,
        version: &str,
        sha256: &str,
        signature: Option<&Signature>,
    ) -> Result<Option<LoadOutcome>, LoadError> {
        match self.find(model, Some(version)) {
            Ok(former) if former.sha256 == sha256 && former.declared.as_ref() == signature => {
                Ok(Some(LoadOutcome::AlreadyLoaded))
            }
            Ok(_) => Err(LoadError::VersionTaken { model: model.to_owned(), version: version.to_owned() }),
            Err(_) => Ok(None),
        }
    }

    /// Unloads a version and says whether it was loaded. Requests in flight end as if it still were.
    pub fn unload(&self, model: &str, version: &str) -> bool {
        let _replacing = self.shared.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut models = Models::clone(&self.shared.models.load());
        let Some(versions) = models.get_mut(model) else { return false };
        let before = versions.len();
        versions.retain(|loaded| loaded.version != version);
        let found = versions.len() < before;
        if versions.is_empty() {
            models.remove(model);
        }
        self.shared.models.store(Arc::new(models));
        if found {
            tracing::info!(model, version, "model unloaded");
        }
        found
    }

    /// All loaded versions, by model, the most recently loaded version of each last.
    pub fn loaded(&self) -> Vec<Arc<Loaded>> {
        self.shared.models.load().values().flatten().cloned().collect()
    }

    /// The given version of a model, or its most recently loaded one.
    pub fn find(&self, model: &str, version: Option<&str>) -> Result<Arc<Loaded>, CallError> {
        let models = self.shared.models.load();
        let versions =
            models.get(model).ok_or_else(|| CallError::ModelUnknown { model: model.to_owned() })?;
        let found = match version {
            Some(version) => versions.iter().find(|loaded| loaded.version == version),
            None => versions.last(),
        };
        found.cloned().ok_or_else(|| CallError::VersionUnknown {
            model: model.to_owned(),
            version: version.unwrap_or_default().to_owned(),
        })
    }

    /// Infers in process, within the server's bounds.
    pub fn infer(
        &self,
        model: &str,
        version: Option<&str>,
        request: &Request,
    ) -> Result<Response, CallError> {
        let _admitted = self.admit()?;
        let loaded = self.find(model, version)?;
        Ok(loaded.onnx.infer_within(request, self.limits().rows_max)?)
    }

    /// Infers in process from a body of the protocol to a body of the protocol.
    pub fn infer_json(&self, model: &str, version: Option<&str>, body: &[u8]) -> Result<Vec<u8>, CallError> {
        let _admitted = self.admit()?;
        let loaded = self.find(model, version)?;
        self.answer(&loaded, body)
    }

    pub(crate) fn answer(&self, loaded: &Loaded, body: &[u8]) -> Result<Vec<u8>, CallError> {
        let bytes_max = self.limits().body_bytes_max;
        if body.len() > bytes_max {
            return Err(CallError::BodyTooLarge { bytes_max });
        }
        let request = protocol::read_request(body, &loaded.onnx)?;
        let response = loaded.onnx.infer_within(&request, self.limits().rows_max)?;
        Ok(protocol::write_response(&loaded.model, &loaded.version, &response))
    }

    /// A place among the requests in flight, or a refusal at once: nothing queues here.
    pub(crate) fn admit(&self) -> Result<SemaphorePermit<'_>, CallError> {
        let in_flight_max = self.limits().in_flight_max;
        self.shared.in_flight.try_acquire().map_err(|_| CallError::Overloaded { in_flight_max })
    }

    /// Whether new requests are welcome: until [`Server::drain`].
    pub fn is_ready(&self) -> bool {
        !self.shared.draining.load(Ordering::Relaxed)
    }

    /// Tells callers by `/v2/health/ready` to go elsewhere; requests are answered still.
    pub fn drain(&self) {
        self.shared.draining.store(true, Ordering::Relaxed);
    }
}

/// Names stand in URLs and logs.
fn check_name(what: &str, name: &str) -> Result<(), LoadError> {
    const NAME_BYTES_MAX: usize = 256;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:@+".contains(&byte);
    if name.is_empty()
        || name.len() > NAME_BYTES_MAX
        || !name.bytes().all(plain)
        || name == "."
        || name == ".."
    {
        return Err(LoadError::NameInvalid { what: format!("{what} is {name:?}") });
    }
    Ok(())
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
        text
    })
}
