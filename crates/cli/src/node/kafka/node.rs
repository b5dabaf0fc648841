//! A process of distributed mode: reads the whole log into its mirror, and is an engine, an API, or both.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use api::auth::Users;
use api::{Engine as _, Origin, Submitted};
use engine::partition::{Answer, Bounds};
use engine::port::blobs::Blobs;
use engine::request::{Request, Said};
use engine::token::Key;
use log_kafka::{Settings, Topic, topics};
use tokio::sync::watch;
use wire::record::Lane;

use super::ingress::{self, Ingress};
use super::pulse;
use super::running::{Membership, Opening, Running};
use super::shown::Shown;
use super::watch::Watched;
use crate::argv::Role;
use crate::config::Config;
use crate::node::clock::SystemClock;
use crate::node::{
    FolderBackups, Secrets, StartError, Stored, backups, bind, load_workflows, shared_blobs, wait_for,
};

/// How long an API waits at its start until the engines have taken the roles.
const ROLES_WAIT: Duration = Duration::from_secs(5);
/// And how long it rests until it says them again.
const ROLES_AGAIN: Duration = Duration::from_secs(1);

/// A running process of distributed mode.
#[derive(Debug)]
pub struct KafkaNode {
    /// Where the API listens, when this process has it.
    pub api: Option<SocketAddr>,
    /// Where a process without an API says how it is, if it was told to.
    pub health: Option<SocketAddr>,
    /// What reads the log, for an engine and an API.
    running: Option<Running>,
    ingress: Option<ingress::Running>,
    http: Option<Arc<api::Api>>,
    closing: watch::Sender<bool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl KafkaNode {
    /// Opens the mirror, joins what its roles join, and listens. Without an API it says at `health` how it is.
    pub async fn start(
        config: &Config,
        settings: Settings,
        found: topics::Found,
        roles: &[Role],
        health: Option<SocketAddr>,
    ) -> Result<Self, StartError> {
        let listen = api::Listen { exposed: config.server.exposed.clone() };
        if roles.contains(&Role::Api) {
            api::check_listen(config.server.listen, &listen)?;
        }
        let path = config.store.data.as_path();
        for folder in [path, config.secrets()] {
            std::fs::create_dir_all(folder)
                .map_err(|source| StartError::Secret { path: folder.to_owned(), source })?;
        }
        let clock = Arc::new(SystemClock::default());
        let running = if roles.iter().any(|role| role.reads_log()) {
            Some(Self::open(config, settings.clone(), &found, roles, &clock).await?)
        } else {
            None
        };
        let (closing, closed) = watch::channel(false);
        let taken = roles.contains(&Role::Ingress).then(Arc::<ingress::Counts>::default);
        let mut node =
            Self { api: None, health: None, running, ingress: None, http: None, closing, tasks: vec![] };
        if roles.contains(&Role::Api) {
            node.serve_api(config, clock, taken.clone(), closed).await?;
        }
        // After the API, which makes the first user.
        if let Some(counts) = taken {
            let ingress = ingress_of(config, settings, counts)?;
            node.ingress = Some(ingress.start().map_err(StartError::Ingress)?);
        }
        if let (None, Some(address)) = (node.api, health) {
            node.health = Some(pulse::listen(node.pulse(), config, address).await?);
        }
        Ok(node)
    }

    /// Opens the mirror of the log, and joins the engines if it is one.
    async fn open(
        config: &Config,
        settings: Settings,
        found: &topics::Found,
        roles: &[Role],
        clock: &Arc<SystemClock>,
    ) -> Result<Running, StartError> {
        let secrets = Secrets::open(config.secrets())?;
        let running = {
            let (config, clock) = (config.clone(), Arc::clone(clock));
            let id = |topic| found.there(topic).map(|there| there.id.clone()).unwrap_or_default();
            let instance = (!config.kafka.instance.is_empty()).then(|| config.kafka.instance.clone());
            let lane_topics = Lane::ALL.map(|lane| id(Topic::Lane(lane)));
            let watched = Watched {
                wanted: config.kafka.wanted(config.store.partitions),
                known: found.ids(),
                every: Duration::from_secs(config.kafka.check_seconds),
            };
            let owns = roles.contains(&Role::Engine).then_some(Membership { instance, lane_topics, watched });
            let new_log = format!("{} {}", found.cluster, id(Topic::Events));
            // Waits for the brokers.
            tokio::task::spawn_blocking(move || {
                Running::open(Opening {
                    settings: &settings,
                    partitions: config.store.partitions,
                    data: &config.store.data,
                    bounds: Bounds {
                        lane_waiting_max: config.limits.lane_waiting_max,
                        streams_cached_max: config.limits.streams_cached_max,
                        request_memory_records: config.limits.request_memory_records,
                        ..Bounds::default()
                    },
                    key: Key(secrets.engine),
                    binary: backups::binary(),
                    owns,
                    new_log: &new_log,
                    clock,
                })
            })
        };
        match running.await {
            Ok(opened) => opened.map_err(|error| StartError::Kafka(Box::new(error))),
            Err(panicked) => Err(StartError::Thread(std::io::Error::other(panicked))),
        }
    }

    async fn serve_api(
        &mut self,
        config: &Config,
        clock: Arc<SystemClock>,
        taken: Option<Arc<ingress::Counts>>,
        closed: watch::Receiver<bool>,
    ) -> Result<(), StartError> {
        let users = Arc::new(Users::open(config.secrets())?);
        users.create_admin_if_absent()?;
        let workflows = Arc::new(load_workflows(&config.workflows.folder).map_err(StartError::Workflows)?);
        let running = self.running.as_ref().expect("an API reads the log");
        let folder = running.folder();
        let listener = bind(config.server.listen).await?;
        let address = listener.local_addr().expect("a bound listener has an address");
        let handle = Arc::new(running.handle(&format!("/modelrail/api/{address}"), taken));
        let near: Arc<dyn Blobs> =
            if config.blobs.folder.as_os_str().is_empty() { folder.blobs() } else { shared_blobs(config)? };
        let blobs = Stored::of(config)?.blobs(near);
        let ports = api::Ports {
            engine: Arc::clone(&handle) as Arc<dyn api::Engine>,
            store: folder.database(),
            log: folder.database(),
            blobs,
            clock,
            users: Arc::clone(&users),
            workflows,
            backups: Arc::new(FolderBackups(folder.backups())),
            parsers: wire::definitions::parsers(),
        };
        let wait_default = Duration::from_secs(config.server.wait_seconds);
        let http = api::Api::new(ports, api::Config { wait_default, ..config.limits.api() });
        self.tasks.push(tokio::spawn(record_roles(handle, users, closed.clone())));
        self.tasks.push(tokio::spawn({
            let http = Arc::clone(&http);
            async move {
                if let Err(error) = api::serve(http, listener, wait_for(closed)).await {
                    tracing::error!(%error, "the API stopped");
                }
            }
        }));
        (self.api, self.http) = (Some(address), Some(http));
        Ok(())
    }

    fn pulse(&self) -> Pulse {
        Pulse {
            shown: self.running.as_ref().map(|running| Arc::clone(running.shown())),
            ingress: self.ingress.as_ref().map(ingress::Running::shown),
        }
    }

    /// Whether it goes on; it ends by itself when its folder or the brokers refuse it.
    pub fn is_running(&self) -> bool {
        self.running.as_ref().is_none_or(Running::is_running)
            && self.ingress.as_ref().is_none_or(ingress::Running::is_running)
    }

    /// Ends: connections are drained, the group is left.
    pub async fn stop(self) {
        if let Some(http) = &self.http {
            http.close();
        }
        self.closing.send_replace(true);
        for task in self.tasks {
            // A task that panicked has said so; there is nothing left to drain of it.
            let _ended = task.await;
        }
        let (running, ingress) = (self.running, self.ingress);
        let stopped = tokio::task::spawn_blocking(move || {
            if let Some(ingress) = ingress {
                ingress.stop();
            }
            running.map_or(Ok(()), Running::stop)
        });
        match stopped.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "the mirror was not closed cleanly; the next start reads a little more");
            }
            Err(error) => tracing::error!(%error, "a thread did not end as it should"),
        }
    }
}

/// What a process without an API says of itself.
struct Pulse {
    shown: Option<Arc<Shown>>,
    ingress: Option<ingress::Shown>,
}

impl pulse::Pulse for Pulse {
    fn ready(&self) -> Result<(), String> {
        let shown = self.shown.as_ref().map_or(Ok(()), |shown| shown.ready());
        shown.map_err(|hindered| hindered.to_string())?;
        self.ingress.as_ref().map_or(Ok(()), ingress::Shown::ready)
    }

    fn metrics(&self) -> String {
        let shown = self.shown.as_ref().map(|shown| shown.render()).unwrap_or_default();
        shown + &self.ingress.as_ref().map(ingress::Shown::render).unwrap_or_default()
    }
}

/// Events name their owners as people do: without the list of users an owner could approve what is her own.
fn ingress_of(
    config: &Config,
    settings: Settings,
    counts: Arc<ingress::Counts>,
) -> Result<Ingress, StartError> {
    let users = Users::open(config.secrets())?;
    if users.is_empty() {
        return Err(StartError::NoUsers { folder: config.secrets().to_owned() });
    }
    let workflows = load_workflows(&config.workflows.folder).map_err(StartError::Workflows)?;
    Ok(Ingress {
        settings,
        topic: config.kafka.model_trained.clone(),
        partitions: config.store.partitions,
        instance: (!config.kafka.instance.is_empty()).then(|| config.kafka.instance.clone()),
        workflows: Arc::new(workflows),
        users: Arc::new(users),
        counts,
    })
}

/// Has the roles recorded that this instance knows, as soon as somebody decides.
async fn record_roles(handle: Arc<super::Handle>, users: Arc<Users>, mut closed: watch::Receiver<bool>) {
    let origin = Origin { input_id: uuid::Uuid::new_v4().to_string(), traceparent: None };
    loop {
        let said = Said::Request(Box::new(Request::Define(users.define())));
        match handle.submit(said, origin.clone(), ROLES_WAIT).await {
            Ok(Submitted::Decided(Answer::Recorded { refused: None, .. } | Answer::Repeat { .. })) => return,
            Ok(Submitted::Decided(answer)) => {
                tracing::error!(?answer, "the roles were not taken");
                return;
            }
            // Nobody decides yet, or what was said before is on its way: under the same id it is decided once.
            Ok(Submitted::Pending) | Err(_) => {}
        }
        tokio::select! {
            () = tokio::time::sleep(ROLES_AGAIN) => {}
            _ = closed.wait_for(|closed| *closed) => return,
        }
    }
}
