//! Gateways, model servers and predictions as processes of their own.
//!
//! ```text
//!  rollout worker --- load, keep (HTTP, credential) -----> [ model server ] <---- infer (HTTP) ---+
//!       |   ^                                                                                     |
//!       |   +------ modelrail.gateways: what each obeys ------------------------------------ [ gateway ] <-- callers
//!       +---------- modelrail.routes: a table a generation --------------------------------->     |
//!                                                                                                 |
//!  workers that measure <--- modelrail.predictions, modelrail.labels -----------------------------+
//! ```
//!
//! **Invariant:** a gateway and a model server need nobody to go on serving: neither the brokers, nor an engine, nor
//! a worker.

mod kept;
mod tables;
mod topic;

mod predictions;
mod routers;

mod gateway;
mod models;
mod stored;
mod worker;

pub use self::gateway::GatewayNode;
pub use models::ModelServerNode;
pub use stored::Stored;
pub use worker::{Reach, blobs};

#[cfg(test)]
mod memory;
