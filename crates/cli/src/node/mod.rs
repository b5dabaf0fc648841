//! Embedded mode: one process, all roles.
//!
//! ```text
//!  api, gateway, model servers   (tokio)
//!        | Submit     ^ answers, changes
//!        v            |
//!  engine thread:  offer -> pass (one batch, one sync) -> orders, cancels, replies
//!        |                                            ^ reports, heartbeats
//!        v                                            |
//!  desk threads, one a stage -> pool threads -> Workers::carry_out
//! ```
//!
//! **Invariant:** every queue between the parts is bounded or drained by a bounded state machine; the engine never
//! waits for a worker.

mod apart;
mod backend;
mod backups;
mod bare;
mod clock;
mod counts;
mod desks;
mod disk;
mod engine_thread;
pub mod kafka;
mod observe;
mod routers;
mod secrets;
mod serving;
mod traffic;
mod workflows;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use api::auth::Users;
use domain::name::Environment;
use domain::time::Millis;
use engine::partition::{Bounds, Config as PartitionConfig, Redispatch};
use engine::port::journal::Journal;
use engine::port::log::Log;
use engine::port::predictions::Predictions;
use engine::port::store::{Embedded, Store};
use gateway::{Credential, Gateway};
use rocks::{Folder, NewLog};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::config::Config;

pub use apart::{DesksAlone, EngineAlone, messages};
pub use backend::of as in_process;
pub use backups::{FolderBackups, heads};
pub use bare::Bare;
pub use clock::SystemClock;
pub use desks::{CarryOut, DeskMessage, Orders};
pub use disk::{DISK_FULL, free_bytes, is_full};
pub use engine_thread::Message;
pub use secrets::Secrets;
pub use traffic::{GatewayNode, ModelServerNode, Reach, Stored, blobs as shared_blobs};
pub use workflows::load as load_workflows;

/// A running process of all roles.
#[derive(Debug)]
pub struct Node {
    pub api: SocketAddr,
    pub gateway_address: SocketAddr,
    pub models: SocketAddr,
    pub gateway: Gateway,
    engine: engine_thread::Running,
    desks: desks::Running,
    observer: observe::Running,
    http: Arc<api::Api>,
    closing: watch::Sender<bool>,
    serving: Vec<tokio::task::JoinHandle<()>>,
    folder: Folder,
    disk: Arc<disk::Disk>,
    watch: disk::Watch,
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("failed to open the data folder")]
    Folder(#[from] rocks::Error),
    #[error("failed to open the engine")]
    Engine(#[from] engine::embedded::Error),
    #[error("failed to listen on {address}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("failed to read or make a secret in `{path}`")]
    Secret { path: std::path::PathBuf, source: std::io::Error },
    #[error("failed to read the users")]
    Users(#[from] api::auth::Error),
    #[error("failed to read the workflows: {0}")]
    Workflows(String),
    #[error("failed to open the gateway")]
    Gateway(#[from] gateway::OpenError),
    #[error("failed to start a thread")]
    Thread(#[source] std::io::Error),
    #[error("{0}")]
    Listening(#[from] api::ListenRefused),
    #[error("failed to record the roles: {0}")]
    Roles(String),
    #[error("failed to begin with Kafka")]
    Kafka(#[source] Box<kafka::OpeningError>),
    #[error("failed to begin to take events")]
    Ingress(#[source] kafka::ingress::StartError),
    #[error("expected users in `{folder}`, but there are none")]
    NoUsers { folder: std::path::PathBuf },
    #[error("failed to write to topics")]
    Topics(#[source] log_kafka::Error),
    #[error(transparent)]
    Configuration(#[from] crate::config::Error),
    #[error("failed to use `{path}`")]
    Unusable { path: std::path::PathBuf, source: std::io::Error },
    #[error("expected model servers of environment `{0}`, but what the configuration names is none")]
    Environment(String),
}

/// How long callers wait after a start for their target to be routed again.
const ROUTED_WAIT_MAX: Duration = Duration::from_secs(10);
const ROUTED_LOOK_EVERY: Duration = Duration::from_millis(20);

/// How the name of the one gateway and the one server of this process stand in the log.
const NAME: &str = "embedded";

impl Node {
    /// Opens the folder, takes up everything that is outstanding, and listens.
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        let listen = api::Listen { exposed: config.server.exposed.clone() };
        for address in [config.server.listen, config.gateway.listen, config.model_server.listen] {
            api::check_listen(address, &listen)?;
        }
        let path = &config.store.data;
        let new = NewLog { log_id: uuid::Uuid::new_v4().into_bytes(), partitions: config.store.partitions };
        let folder = Folder::open_or_create(path, &new)?;
        let disk = disk::Disk::new(path.clone(), config.limits.disk_free_min_mib);
        let watch = disk::Watch::start(Arc::clone(&disk), folder.database()).map_err(StartError::Thread)?;
        let secrets = Secrets::open(path)?;
        let users = Arc::new(Users::open(path)?);
        users.create_admin_if_absent()?;
        stages::http::install_tls();
        let workflows = Arc::new(load_workflows(&config.workflows.folder).map_err(StartError::Workflows)?);
        let clock = Arc::new(SystemClock::default());
        let database = folder.database();
        let store: Arc<dyn Store> = Arc::clone(&database) as Arc<dyn Store>;
        let log: Arc<dyn Log> = Arc::clone(&database) as Arc<dyn Log>;
        let journal: Arc<dyn Journal> = Arc::clone(&database) as Arc<dyn Journal>;
        let embedded: Arc<dyn Embedded> = Arc::clone(&database) as Arc<dyn Embedded>;
        let stored = Stored::of(config)?;
        let blobs = stored.blobs(folder.blobs());
        let predictions: Arc<dyn Predictions> =
            Arc::new(disk::WithinReserve { inner: folder.predictions(), disk: Arc::clone(&disk) });

        let production = model_server::Server::new(config.limits.model_server());
        let staging = model_server::Server::new(config.limits.model_server());
        let (closing, closed) = watch::channel(false);
        let mut tasks = vec![];
        let listener = bind(config.model_server.listen).await?;
        let production_at = listener.local_addr().expect("a bound listener has an address");
        tasks.push(serve_models(production.clone(), listener, closed.clone()));
        let listener = bind("127.0.0.1:0".parse().expect("a literal address")).await?;
        let staging_at = listener.local_addr().expect("a bound listener has an address");
        tasks.push(serve_models(staging.clone(), listener, closed.clone()));

        let gateway = Gateway::open(gateway::Settings {
            id: NAME.to_owned(),
            folder: path.join("gateway"),
            backend: Arc::new(backend::of(production.clone())),
            environments: BTreeMap::new(),
            predictions: Arc::clone(&predictions),
            kill: Some(Credential::new(&secrets.kill)),
            limits: config.limits.gateway(),
        })?;
        let listener = bind(config.gateway.listen).await?;
        let gateway_address = listener.local_addr().expect("a bound listener has an address");
        let gateway_listener = listener;

        let engine = engine::embedded::Engine::open(
            &partition_config(config, &folder, &secrets),
            embedded,
            new.log_id,
        )?;
        folder.restored_is_recorded()?;
        let environment = |name: &str| Environment::parse(name).expect("a plain name");
        let serving: Arc<serving::InProcess> =
            Arc::new(serving::InProcess::new(NAME, production, production_at));
        let testing = Arc::new(serving::InProcess::new("staging", staging, staging_at));
        let routers = Arc::new(routers::OneGateway::new(gateway.clone(), tokio::runtime::Handle::current()));
        let workers = Arc::new(stages::Workers {
            config: worker_config(config, &secrets),
            ports: stages::Ports {
                blobs: Arc::clone(&blobs),
                predictions: Arc::clone(&predictions),
                clock: Arc::clone(&clock) as Arc<dyn engine::port::clock::Clock>,
                referrers: stored.referrers(&path.join("referrers"))?,
                servers: BTreeMap::from([
                    (environment("production"), vec![Arc::clone(&serving) as Arc<dyn stages::port::Serving>]),
                    (environment("staging"), vec![testing as Arc<dyn stages::port::Serving>]),
                ]),
                routers: Arc::clone(&routers) as Arc<dyn stages::port::Routers>,
            },
        });

        let (engine_sender, engine_receiver) = engine_thread::channel(config.limits.messages_max);
        let workers = workers as Arc<dyn desks::CarryOut>;
        let desks =
            desks::start(config, &workers, &journal, &engine_sender, &clock).map_err(StartError::Thread)?;
        let engine = engine_thread::start(
            engine,
            engine_sender,
            engine_receiver,
            desks.orders(),
            Arc::clone(&clock),
            Arc::clone(&disk),
        )
        .map_err(StartError::Thread)?;
        record_roles(&engine, &users, &disk).await?;
        let looked = observe::Looked {
            targets: targets_of(Arc::clone(&store)),
            say: said_to(engine.sender()),
            servers: BTreeMap::from([(
                environment("production"),
                vec![serving as Arc<dyn stages::port::Serving>],
            )]),
            routers,
        };
        let swept = Some((predictions, Millis::days(config.store.predictions_days)));
        let observer = observe::start(looked, swept, &clock).map_err(StartError::Thread)?;

        tasks.push(tokio::spawn({
            let (gateway, store, closed) = (gateway.clone(), Arc::clone(&store), closed.clone());
            async move {
                routed_again(&gateway, &store).await;
                gateway.serve(gateway_listener, wait_for(closed)).await;
            }
        }));
        let handle = engine.handle(gateway.clone());
        let ports = api::Ports {
            engine: Arc::new(handle),
            store,
            log,
            blobs,
            clock,
            users,
            workflows,
            backups: Arc::new(FolderBackups(folder.backups())),
            parsers: wire::definitions::parsers(),
        };
        let wait_default = Duration::from_secs(config.server.wait_seconds);
        let http = api::Api::new(ports, api::Config { wait_default, ..config.limits.api() });
        let listener = bind(config.server.listen).await?;
        let address = listener.local_addr().expect("a bound listener has an address");
        tasks.push(tokio::spawn({
            let (http, closed) = (Arc::clone(&http), closed);
            async move {
                if let Err(error) = api::serve(http, listener, wait_for(closed)).await {
                    tracing::error!(%error, "the API stopped");
                }
            }
        }));
        Ok(Self {
            api: address,
            gateway_address,
            models: production_at,
            gateway,
            engine,
            desks,
            observer,
            http,
            closing,
            serving: tasks,
            folder,
            disk,
            watch,
        })
    }

    /// Whether the engine goes on; it ends by itself only when a write failed.
    pub fn is_running(&self) -> bool {
        self.engine.is_running()
    }

    /// Whether a write found no room on the disk: nothing is decided until the folder was opened again.
    pub fn is_full(&self) -> bool {
        self.disk.has_failed() || self.folder.database().is_full()
    }

    /// Whether the folder is to be opened again, and there is room for it.
    pub fn wants_reopening(&self) -> bool {
        self.disk.wants_reopening()
    }

    /// Takes no new work and waits for what is under way; reading and serving go on. Whether all of it ended in time.
    pub async fn drain(&self, within: Duration) -> bool {
        self.engine.close();
        self.desks.drain(within).await
    }

    /// Ends: connections are drained, everything is durable.
    pub async fn stop(self) {
        self.http.close();
        self.closing.send_replace(true);
        for task in self.serving {
            // A task that panicked has said so; there is nothing left to drain of it.
            let _ended = task.await;
        }
        self.gateway.flush().await;
        let (observer, desks, engine, watch) = (self.observer, self.desks, self.engine, self.watch);
        let joined = tokio::task::spawn_blocking(move || {
            observer.stop();
            desks.stop();
            engine.stop();
            watch.stop();
        });
        if let Err(error) = joined.await {
            tracing::error!(%error, "a thread did not end as it should");
        }
        if let Err(error) = self.folder.close() {
            tracing::warn!(%error, "the data folder was not closed cleanly; the next start reads a little more");
        }
    }
}

/// The targets of the view.
fn targets_of(store: Arc<dyn Store>) -> observe::Targets {
    Box::new(move || match store.targets() {
        Ok(rows) => rows.into_iter().map(|row| row.target).collect(),
        Err(error) => {
            tracing::warn!(%error, "targets could not be listed");
            vec![]
        }
    })
}

/// To the engine of this process, which records only what is news. What finds no room is said again at the next look.
fn said_to(engine: std::sync::mpsc::SyncSender<Message>) -> observe::Say {
    Box::new(move |target, what| drop(engine.try_send(Message::Observed { target: target.clone(), what })))
}

/// Until what served before this start is routed again, or it takes too long: callers who come meanwhile wait for
/// their connection instead of being told that nobody serves.
async fn routed_again(gateway: &Gateway, store: &Arc<dyn Store>) {
    let routed = async {
        loop {
            let rows = store.targets().unwrap_or_default();
            let waits = rows.iter().filter(|row| row.generation > 0).any(|row| {
                let observed = gateway.observed(&row.target).and_then(|observed| observed.generation);
                observed.is_none_or(|generation| generation.0 < row.generation)
            });
            if !waits {
                return;
            }
            tokio::time::sleep(ROUTED_LOOK_EVERY).await;
        }
    };
    if tokio::time::timeout(ROUTED_WAIT_MAX, routed).await.is_err() {
        tracing::warn!("some targets are not routed again yet; the gateway answers 503 for them");
    }
}

/// Brings the view of a folder up to its log, as a server does when it starts.
pub fn complete_view(folder: &Folder) -> Result<(), engine::embedded::Error> {
    let config = PartitionConfig {
        log_id: folder.log_id(),
        partition: 0,
        partitions: folder.partitions(),
        binary: String::new(),
        parsers: wire::definitions::parsers(),
        // Nothing is sent out, so nothing is signed.
        key: engine::token::Key([0; 32]),
        format: engine::partition::Format::default(),
        redispatch: Redispatch::All,
        bounds: Bounds::default(),
    };
    engine::embedded::Engine::complete(&config, folder.database())
}

fn partition_config(config: &Config, folder: &Folder, secrets: &Secrets) -> PartitionConfig {
    let bounds = Bounds {
        lane_waiting_max: config.limits.lane_waiting_max,
        streams_cached_max: config.limits.streams_cached_max,
        request_memory_records: config.limits.request_memory_records,
        ..Bounds::default()
    };
    PartitionConfig {
        log_id: folder.log_id(),
        partition: 0,
        partitions: folder.partitions(),
        binary: claimant(folder),
        parsers: wire::definitions::parsers(),
        key: engine::token::Key(secrets.engine),
        redispatch: Redispatch::All,
        format: engine::partition::Format::default(),
        bounds,
    }
}

/// Who claims: after a restore with the words for it, so that the log says where it went on from a copy.
fn claimant(folder: &Folder) -> String {
    let binary = backups::binary();
    folder.restored().map_or(binary.clone(), |words| format!("{binary}, {words}"))
}

/// The workers of a process of distributed mode, which reach so much.
pub fn workers(config: &Config, ports: stages::Ports) -> Result<stages::Workers, StartError> {
    stages::http::install_tls();
    Ok(stages::Workers { config: worker_config(config, &Secrets::open(config.secrets())?), ports })
}

/// A model server of this process, for bundles under test.
pub async fn staging(
    config: &Config,
    closed: watch::Receiver<bool>,
) -> Result<Arc<dyn stages::port::Serving>, StartError> {
    let server = model_server::Server::new(config.limits.model_server());
    let listener = bind("127.0.0.1:0".parse().expect("a literal address")).await?;
    let at = listener.local_addr().expect("a bound listener has an address");
    // It ends with the process: nobody else reaches it.
    drop(serve_models(server.clone(), listener, closed));
    Ok(Arc::new(serving::InProcess::new("staging", server, at)))
}

fn worker_config(config: &Config, secrets: &Secrets) -> stages::Config {
    let signer = stages::bundle::Signer::from_secret(&secrets.signing);
    let webhook = &config.notify.webhook;
    let webhooks = (!webhook.is_empty()).then(|| stages::config::Webhook {
        name: "webhook".to_owned(),
        url: webhook.clone(),
        token: None,
    });
    stages::Config {
        fetch: stages::config::Fetch {
            file_roots: config.artifacts.roots.clone(),
            url_prefixes: config.artifacts.prefixes.clone(),
            bytes_max: config.artifacts.size_max_mib << 20,
            ..stages::config::Fetch::default()
        },
        // Whoever runs this folder signs what it packs. Unsigned bundles are served where a workflow says so.
        signer: Some(signer),
        trusted_keys: vec![],
        webhooks: webhooks.into_iter().collect(),
        ..stages::Config::default()
    }
}

/// The users' roles are the role map in force, in every partition, before anything is decided.
///
/// On a full disk nothing is decided: they wait in front of everything else then, and the start goes on.
async fn record_roles(
    engine: &engine_thread::Running,
    users: &Users,
    disk: &disk::Disk,
) -> Result<(), StartError> {
    let defined = engine.define(users.define())?;
    if disk.is_low() {
        tokio::spawn(async move {
            if let Err(error) = defined.await {
                tracing::error!(%error, "the roles could not be recorded");
            }
        });
        return Ok(());
    }
    defined.await
}

/// What opens the control surface of model servers.
fn control_token(config: &Config) -> Result<String, StartError> {
    secrets::token(config.secrets(), secrets::CONTROL_TOKEN_FILE)
}

/// What opens the kill switch of gateways.
fn kill_token(config: &Config) -> Result<String, StartError> {
    secrets::token(config.secrets(), secrets::KILL_TOKEN_FILE)
}

async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, source })
}

fn serve_models(
    server: model_server::Server,
    listener: TcpListener,
    closed: watch::Receiver<bool>,
) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move { server.serve(listener, wait_for(closed)).await })
}

async fn wait_for(mut closed: watch::Receiver<bool>) {
    // The sender lives as long as the node; without it there is nothing to serve either.
    let _closing = closed.wait_for(|closed| *closed).await;
}

/// Whether a folder looks like a data folder.
pub fn is_folder(path: &Path) -> bool {
    path.join("FORMAT").is_file()
}
