//! Serves ONNX models of plain operators by the Open Inference Protocol v2, over HTTP or in process.
//!
//! ```text
//! HTTP -> listen -> routes -> server -> protocol (JSON) -> model (names, shapes) -> plan (tract)
//!                `-> control    ^    loads and unloads, with a credential of its own
//!                    in process, by Server::infer or Server::infer_json
//!                keep: who keeps which version loaded, each by its latest attempt
//! ```
//!
//! Invariant: a number that is not finite never leaves, neither at load nor at a request; the model
//! then counts as broken and the answer is an error. Bytes of any kind may be loaded: what tract cannot
//! run is refused with a code, and its panics end here. One gap: an operator such as Range may ask for
//! memory while tract still analyses the graph, so load strangers' models under a memory limit.
//! Does not fetch models, choose between releases or log predictions: that is for the crates around it.

mod signature;

mod keep;
mod model;
mod server;

mod control;
mod listen;
mod routes;

mod elements;
mod protocol;

mod finite;
mod load;
mod plan;
mod values;

mod error;

#[cfg(test)]
mod tests;

pub use control::{Credential, control};
pub use error::{CallError, InferError, LoadError, RuntimeError};
pub use keep::{KeepError, Keeper, Kept, Superseded};
pub use model::{ID_BYTES_MAX, Model, ROWS_MAX, Request, Response};
pub use routes::router;
pub use server::{Limits, LoadOutcome, Loaded, Server};
pub use signature::{ANY, Datatype, Signature, Tensor};
pub use values::{Filled, Values};
