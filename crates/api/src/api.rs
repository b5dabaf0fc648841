//! What every route shares: the ports, the configuration, and what is known of recorded definitions.

use std::sync::Arc;
use std::time::Duration;

use domain::name::TargetId;
use engine::placement;
use tokio::sync::watch;

use crate::ports::Ports;
use crate::problem::Problem;
use crate::reader::Reader;

/// Bounds and choices of the API.
#[derive(Debug, Clone)]
pub struct Config {
    /// How long a request waits for its decision unless `Prefer: wait=SECONDS` says otherwise.
    pub wait_default: Duration,
    /// The longest wait that a caller may ask for.
    pub wait_max: Duration,
    /// The most bytes of a request's body.
    pub body_bytes_max: usize,
    /// How long the body of a request may take to arrive.
    pub body_wait_max: Duration,
    /// `/metrics` answers without a token: for listening on loopback.
    pub metrics_open: bool,
    /// The most requests that are answered at once; what tells of the process itself is answered always.
    pub requests_max: usize,
    /// The most server-sent event streams at once.
    pub streams_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            wait_default: Duration::from_secs(10),
            wait_max: Duration::from_mins(1),
            body_bytes_max: 256 * 1024,
            body_wait_max: Duration::from_secs(30),
            metrics_open: true,
            requests_max: 256,
            streams_max: 256,
        }
    }
}

/// The API over one log.
#[derive(Debug)]
pub struct Api {
    pub(crate) ports: Ports,
    pub(crate) config: Config,
    pub(crate) reader: Reader,
    pub(crate) requests: tokio::sync::Semaphore,
    pub(crate) streams: Arc<tokio::sync::Semaphore>,
    /// Held while the log is verified.
    pub(crate) verifying: tokio::sync::Mutex<()>,
    /// Held while a backup is taken.
    pub(crate) backing_up: tokio::sync::Mutex<()>,
    closing: watch::Sender<bool>,
}

impl Api {
    pub fn new(ports: Ports, config: Config) -> Arc<Self> {
        let reader = Reader::new(Arc::clone(&ports.store), ports.parsers);
        let requests = tokio::sync::Semaphore::new(config.requests_max);
        let streams = Arc::new(tokio::sync::Semaphore::new(config.streams_max));
        let (closing, _) = watch::channel(false);
        Arc::new(Self {
            ports,
            config,
            reader,
            requests,
            streams,
            verifying: tokio::sync::Mutex::new(()),
            backing_up: tokio::sync::Mutex::new(()),
            closing,
        })
    }

    /// Ends all event streams, which would otherwise keep a server from closing.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    pub(crate) fn closing(&self) -> watch::Receiver<bool> {
        self.closing.subscribe()
    }

    /// The partition that a target lives in.
    pub(crate) fn partition_of(&self, target: &TargetId) -> u32 {
        placement::partition_of(target, self.ports.log.partitions())
    }

    /// Reads with ports that may block, away from the runtime's own threads.
    pub(crate) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let api = Arc::clone(self);
        match tokio::task::spawn_blocking(move || read(&api)).await {
            Ok(answer) => answer,
            Err(failure) => Err(Problem::internal(&failure)),
        }
    }
}
