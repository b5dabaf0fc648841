//! What the API needs of the process that hosts it: a way to say something to the engine, the view, the log, the
//! blobs, the loaded workflows.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use engine::code::Stopped;
use engine::partition::Answer;
use engine::port::blobs::Blobs;
use engine::port::clock::Clock;
use engine::port::log::Log;
use engine::port::store::Store;
use engine::request::Said;
pub use engine::workflows::{Loaded, Workflows};
use tokio::sync::watch;
use wire::codec::Parsers;

use crate::auth::Users;
use crate::view::BackupView;

/// The engine, as its driver offers it.
///
/// Contract:
/// 1. What `submit` gave as decided is durable. What it gave as pending may still be decided, once.
/// 2. The same `input_id` with the same content is decided once and answered alike; with another content it is
///    refused as a conflict.
/// 3. A definition (`Request::Define`) goes to every partition; it is decided when all of them decided it.
/// 4. `changes` yields a new value after every commit to the view, and never before it can be read there.
#[async_trait]
pub trait Engine: Send + Sync + std::fmt::Debug {
    /// Says something to the engine and waits for the answer, at most for `wait`.
    async fn submit(&self, said: Said, origin: Origin, wait: Duration) -> Result<Submitted, NotSubmitted>;
    /// A counter that grows with every commit to the view.
    fn changes(&self) -> watch::Receiver<u64>;
    /// Whether every partition is read to its end and decides, and new requests are taken.
    fn ready(&self) -> Result<(), NotSubmitted>;
    /// Why something may be recorded that is not found here: the log was not read to its end yet. Nothing once it was. To be
    /// asked before it is looked for.
    fn behind(&self) -> Option<NotSubmitted> {
        None
    }
    /// Metrics of everything that runs in this process, as OpenMetrics text without the closing `# EOF`.
    fn metrics(&self) -> String;
}

/// Under which id something is said, and in which trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub input_id: String,
    /// W3C trace context.
    pub traceparent: Option<String>,
}

/// What became of something said.
#[derive(Debug, Clone, PartialEq)]
pub enum Submitted {
    Decided(Answer),
    /// It waits in its lane. Ask again under the same id.
    Pending,
}

/// Why something could not be said at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSubmitted {
    /// The lane is full.
    #[error("expected room in the engine's queue, but it is full")]
    Busy,
    #[error("expected an engine that decides, but it stopped: {0}")]
    Stopped(Stopped),
    /// Nothing is decided for now; it goes on by itself. Reading does meanwhile.
    #[error("expected an engine that decides, but it is suspended: {text}")]
    Suspended { code: &'static str, text: String, hint: &'static str },
    #[error("expected an engine that runs, but it is shutting down")]
    Closing,
}

/// Takes backups of everything that this process keeps.
///
/// Contract: what was taken has everything that was decided before; a failure leaves nothing at the place. Blocks.
pub trait Backups: Send + Sync + std::fmt::Debug {
    fn take(&self, to: &Path) -> Result<BackupView, NotTaken>;
}

/// Why there is no backup.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct NotTaken {
    pub code: &'static str,
    pub text: String,
    pub hint: Option<&'static str>,
    /// Another place would do.
    pub is_askers: bool,
}

/// All that the API is built on.
#[derive(Debug, Clone)]
pub struct Ports {
    pub engine: Arc<dyn Engine>,
    pub store: Arc<dyn Store>,
    pub log: Arc<dyn Log>,
    pub blobs: Arc<dyn Blobs>,
    pub clock: Arc<dyn Clock>,
    pub users: Arc<Users>,
    pub workflows: Arc<Workflows>,
    pub backups: Arc<dyn Backups>,
    /// How recorded definitions are parsed.
    pub parsers: Parsers,
}
