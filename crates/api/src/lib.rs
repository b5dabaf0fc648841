//! The HTTP API over the engine: events in, runs and targets out, requests of people and tools, the log verified.
//!
//! ```text
//!   request -> [route] -> auth -> parse (wire, names) -> Engine::submit ----> the driver's lanes
//!                              \-> Store, Blobs, Log --> fold (domain) --> show -> view -> JSON
//! ```
//!
//! **Invariant:** nothing is decided here. What is written goes through [`Engine`]; what is read is folded from
//! the recorded events each time, so that an answer is what the log says.
//!
//! Does not run an engine, open a store or know how either is built: crate `cli` hands the ports over.

pub mod auth;
pub mod decoders;
pub mod view;

mod api;
mod clock;
mod listen;
mod ports;
mod problem;
mod reader;
mod route;
mod show;
mod submit;
mod take;
mod trigger;

pub use api::{Api, Config};
pub use clock::parse_timestamp;
pub use listen::{Listen, ListenRefused, check_listen, serve};
pub use ports::{Backups, Engine, Loaded, NotSubmitted, NotTaken, Origin, Ports, Submitted, Workflows};
pub use problem::Problem;
pub use route::{openapi, router};
