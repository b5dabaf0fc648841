//! What an operator says about the workers.

use std::path::PathBuf;

use domain::time::Millis;

use crate::bundle::{PublicKey, Signer};

/// Bounds and keys of the workers. The default trusts nobody and fetches from nowhere.
#[derive(Debug, Clone, Default)]
pub struct Config {
    pub fetch: Fetch,
    /// Signs bundles, where the workflow asks for it.
    pub signer: Option<Signer>,
    /// Whose bundles are tested and served. When empty, signatures are not looked at; else a bundle without a
    /// signature by one of these is not loaded.
    pub trusted_keys: Vec<PublicKey>,
    /// Who is told that a gate waits.
    pub webhooks: Vec<Webhook>,
    pub plan: Plan,
    pub test: Test,
}

/// From where artifacts and test files may be fetched.
#[derive(Debug, Clone)]
pub struct Fetch {
    /// Folders below which `file:` may lead, by default none. A relative address is looked for in each.
    pub file_roots: Vec<PathBuf>,
    /// Beginnings of `https:` addresses (`http:` on this machine only), by default none, such as
    /// `https://models.example/flights/`.
    pub url_prefixes: Vec<String>,
    /// Bytes of one file, whatever a workflow allows; default 512 MiB. It is held in memory while it is looked at.
    pub bytes_max: u64,
    /// How long one file may take, default 10 minutes.
    pub timeout: Millis,
}

impl Default for Fetch {
    fn default() -> Self {
        Self { file_roots: vec![], url_prefixes: vec![], bytes_max: 512 << 20, timeout: Millis::minutes(10) }
    }
}

/// An address that is told that a gate waits.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// For people, and what the outcome says was told.
    pub name: String,
    /// `https:`, or `http:` on this machine.
    pub url: String,
    /// Sent as a bearer token. Never shown.
    pub token: Option<String>,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").field("name", &self.name).finish_non_exhaustive()
    }
}

/// How a rollout is foretold.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How far back traffic is counted, default 1 hour.
    pub window: Millis,
    /// The chance of noticing the difference that is called detectable, default 0.8.
    pub power: f64,
}

impl Default for Plan {
    fn default() -> Self {
        Self { window: Millis::hours(1), power: 0.8 }
    }
}

/// How bundles are tested.
#[derive(Debug, Clone, Copy)]
pub struct Test {
    /// How long one request may take, default 10 s.
    pub call_timeout: Millis,
    /// Rows a request of the quality check, default 250.
    pub rows_per_request: usize,
    /// How many requests of the latency check may wait for their answers at the same time, default 32.
    pub senders: usize,
}

impl Default for Test {
    fn default() -> Self {
        Self { call_timeout: Millis::seconds(10), rows_per_request: 250, senders: 32 }
    }
}
