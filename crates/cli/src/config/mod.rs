//! The configuration: defaults, then a file, then the environment. `deploy/modelrail.toml` is the defaults and
//! their documentation in one.
//!
//! Every problem is named at once, with the key, what was expected and the nearest key that exists.

mod blobs;
mod environments;
mod kafka;
mod limits;
mod merge;
mod secret;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use blobs::Blobs;
pub use environments::Environments;
pub use kafka::Kafka;
pub use limits::Limits;
pub use merge::{Effective, Origin, Problem};

/// The defaults, as the file that documents them.
pub const DEFAULTS: &str = include_str!("../../../../deploy/modelrail.toml");

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub server: Server,
    pub store: Store,
    pub kafka: Kafka,
    pub workflows: Workflows,
    pub artifacts: Artifacts,
    pub blobs: Blobs,
    pub environments: Environments,
    pub gateway: Gateway,
    pub model_server: Listen,
    pub workers: Workers,
    pub notify: Notify,
    pub telemetry: Telemetry,
    pub limits: Limits,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    pub listen: SocketAddr,
    pub exposed: String,
    pub wait_seconds: u64,
    pub drain_seconds: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    pub data: PathBuf,
    pub secrets: PathBuf,
    pub partitions: u32,
    pub predictions_days: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workflows {
    pub folder: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artifacts {
    pub roots: Vec<PathBuf>,
    pub prefixes: Vec<String>,
    pub size_max_mib: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    pub listen: SocketAddr,
    pub id: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    pub listen: SocketAddr,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workers {
    pub package: usize,
    pub stage_test: usize,
    pub gate: usize,
    pub rollout: usize,
    pub monitor: usize,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notify {
    pub webhook: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    pub log: String,
    pub format: LogFormat,
    pub otel_endpoint: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

impl Config {
    /// Where keys and users are.
    pub fn secrets(&self) -> &Path {
        if self.store.secrets.as_os_str().is_empty() { &self.store.data } else { &self.store.secrets }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("failed to read configuration `{path}`")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("failed to parse configuration `{path}`: {why}")]
    Parse { path: PathBuf, why: String },
    #[error("{}", list(.0))]
    Problems(Vec<Problem>),
    #[error("failed to read the secret that `{key}` names")]
    Secret { key: &'static str, source: secret::Error },
}

fn list(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    format!("{} in the configuration:\n  {}", count(problems.len()), lines.join("\n  "))
}

fn count(problems: usize) -> String {
    if problems == 1 { "1 problem".into() } else { format!("{problems} problems") }
}

/// The configuration in force: from `file` (or where one is found), the environment, and the data folder given.
pub fn load(file: Option<&Path>, data: Option<&Path>) -> Result<(Config, Effective), Error> {
    let found = file.map(Path::to_path_buf).or_else(|| find(data));
    let environment =
        std::env::vars().filter(|(name, _)| name.starts_with("MODELRAIL_") && name.contains("__"));
    let mut effective = Effective::defaults();
    if let Some(path) = &found {
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.clone(), source })?;
        effective.merge_file(path, &text)?;
    }
    effective.merge_environment(environment);
    if let Some(data) = data {
        effective.set("store.data", data.display().to_string().into(), Origin::Argument("--data"));
    }
    let config = effective.parse()?;
    Ok((config, effective))
}

/// `MODELRAIL_CONFIG`, the data folder, the working directory, in that order.
fn find(data: Option<&Path>) -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("MODELRAIL_CONFIG") {
        return Some(path.into());
    }
    let places = [data.map(|data| data.join("modelrail.toml")), Some("modelrail.toml".into())];
    places.into_iter().flatten().find(|path| path.is_file())
}
