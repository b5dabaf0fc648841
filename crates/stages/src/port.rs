//! What the workers need of model servers, gateways and the store, as small ports, each with a written contract.
//! `memory` has one of each for tests, `suite` what every model server must keep; the binary has the real ones.

pub mod memory;
mod referrers;
mod remote;
pub mod suite;

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::evidence::Text;
use domain::model::Signature;
use domain::name::{AttemptId, Digest, Environment, ModelName, TargetId};
use domain::routes::RouteTable;
use domain::work::GatewayObserved;
use engine::port::blobs::Blobs;
use engine::port::clock::Clock;
use engine::port::predictions::Predictions;

pub use referrers::{FolderReferrers, Referrers};
pub use remote::{BadServer, RemoteServing};

/// What the workers reach.
#[derive(Debug, Clone)]
pub struct Ports {
    pub blobs: Arc<dyn Blobs>,
    pub predictions: Arc<dyn Predictions>,
    pub clock: Arc<dyn Clock>,
    pub referrers: Arc<dyn Referrers>,
    /// The model servers of each environment. An environment has servers of its own: a bundle under test is
    /// never on a server that production reaches.
    pub servers: BTreeMap<Environment, Vec<Arc<dyn Serving>>>,
    pub routers: Arc<dyn Routers>,
}

/// Why a model server did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum ServingError {
    /// The model is at fault: it cannot be served, however often it is tried.
    #[error("{text}")]
    Refused { code: Text, text: Text },
    /// A later attempt of the same owner was here: what this one wants is nobody's wish any more.
    #[error("{0}; hint: this passes by itself, unless two installations share a model server")]
    Superseded(Text),
    /// The server is at fault, or the way to it. May be tried again.
    #[error("failed to reach the model server")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Where a loaded model answers, by the Open Inference Protocol v2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Without a slash at its end, such as `http://127.0.0.1:8001`.
    pub url: String,
    /// As the server names it.
    pub model: String,
    /// As the server names it; none when it knows one version only.
    pub version: Option<String>,
}

/// One model server.
///
/// Contract:
/// 1. After `load` returned, the endpoint answers for exactly these bytes, while anybody keeps it or until the
///    server's end. Who loads keeps.
/// 2. Loading what is loaded, and keeping what is kept or is not there, changes nothing and is no error.
/// 3. `loaded` tells what the server has, not what was asked of it: after its restart that may be nothing.
/// 4. An owner's later attempt fences its earlier ones off: they are told `Superseded` and change nothing.
/// 5. What one owner keeps no other one takes away.
pub trait Serving: Send + Sync + std::fmt::Debug {
    /// A name for people, the same for the server's life.
    fn name(&self) -> Text;
    fn load(
        &self,
        by: &AttemptId,
        model: &ModelName,
        bundle: Digest,
        onnx: &[u8],
        signature: &Signature,
    ) -> Result<Endpoint, ServingError>;
    /// Of this model the attempt's owner keeps these, as far as they are loaded, and nothing else. What nobody keeps is
    /// unloaded.
    fn keep(&self, by: &AttemptId, model: &ModelName, bundles: &[Digest]) -> Result<(), ServingError>;
    /// Models and their bundles, in any order.
    fn loaded(&self) -> Result<Vec<(ModelName, Digest)>, ServingError>;
}

/// The routers could not be reached.
#[derive(Debug, thiserror::Error)]
#[error("failed to reach the gateways")]
pub struct RoutersError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// The gateways in front of the targets.
///
/// Contract:
/// 1. `apply` is absolute, and a table older than one that a gateway obeys is passed over by it.
/// 2. What comes back is read back from the gateways: the generation that each obeys, also where it is not the
///    one of the table. A gateway that was not heard is missing from it.
pub trait Routers: Send + Sync + std::fmt::Debug {
    fn apply(&self, table: &RouteTable) -> Result<Vec<GatewayObserved>, RoutersError>;
    fn observed(&self, target: &TargetId) -> Result<Vec<GatewayObserved>, RoutersError>;
}
