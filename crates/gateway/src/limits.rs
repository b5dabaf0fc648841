//! The bounds of a gateway, each with a name and a default that suits small tabular models.

/// Bounds of a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests to infer at the same time (their bodies are in memory), default 512; beyond it: 503.
    pub in_flight_max: usize,
    /// Open connections, default 2048; beyond it new ones wait to be accepted.
    pub connections_max: usize,
    /// Bytes of one request's body, default 2 MiB; beyond it: 413.
    pub body_bytes_max: usize,
    /// How long a client may take to send a request's head, or stay idle, default 30 s.
    pub head_timeout_ms: u64,
    /// How long a client may take to send a request's body, default 10 s.
    pub body_timeout_ms: u64,
    /// How long a release may take to answer, default 10 s; beyond it: 504, an error of the release.
    pub infer_timeout_ms: u64,
    /// How long a backend may take to say that a release is ready, default 5 s.
    pub ready_timeout_ms: u64,
    /// How long a shutdown waits for requests in flight, default 10 s.
    pub drain_timeout_ms: u64,
    /// Predictions that wait to be written, default 65,536; beyond it they are dropped and counted.
    pub predictions_waiting_max: usize,
    /// Predictions written at once, default 512.
    pub predictions_batch_max: usize,
    /// Labels of one request, default 10,000.
    pub labels_max: usize,
    /// Targets with a table or an override, default 1024.
    pub targets_max: usize,
    /// Releases of one table, default 8.
    pub routes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            in_flight_max: 512,
            connections_max: 2_048,
            body_bytes_max: 2 << 20,
            head_timeout_ms: 30_000,
            body_timeout_ms: 10_000,
            infer_timeout_ms: 10_000,
            ready_timeout_ms: 5_000,
            drain_timeout_ms: 10_000,
            predictions_waiting_max: 65_536,
            predictions_batch_max: 512,
            labels_max: 10_000,
            targets_max: 1_024,
            routes_max: 8,
        }
    }
}
