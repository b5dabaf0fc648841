//! A process that is a gateway: obeys the topic of tables, and serves whatever becomes of the brokers.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use domain::name::Environment;
use engine::port::predictions::Predictions;
use gateway::{Backend, Credential, Gateway, Http, Several};
use log_kafka::{Begin, Followed, Publisher, Settings, Topic};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::kept::Kept;
use super::predictions::ToTopics;
use super::tables::{READ_WITHIN, Tables};
use super::topic::{Following, KafkaTopic, Kind, Opens, Publish, opens};
use crate::config::Config;
use crate::node::{StartError, bind, kill_token, wait_for};

/// Records of the topic of tables that wait to be taken.
const TABLES_WAITING_MAX: usize = 1_024;

/// What a gateway reads and writes.
pub struct Topics {
    /// What sends to the others; nothing where they keep nothing back.
    pub publisher: Option<Publisher>,
    pub routes: Opens,
    pub gateways: Arc<dyn Publish>,
    pub predictions: Arc<dyn Publish>,
    pub labels: Arc<dyn Publish>,
}

impl Topics {
    pub fn of_cluster(settings: &Settings, id: &str) -> Result<Self, log_kafka::Error> {
        let publisher = Publisher::open(settings)?;
        let source = format!("/modelrail/gateway/{id}");
        let topic = |topic, name| -> Arc<dyn Publish> {
            Arc::new(KafkaTopic::new(settings, &publisher, Kind { topic, name }, &source))
        };
        Ok(Self {
            routes: opens(settings, Topic::Routes),
            publisher: Some(publisher.clone()),
            gateways: topic(Topic::Gateways, "io.modelrail.gateway.v1"),
            predictions: topic(Topic::Predictions, "io.modelrail.prediction.v1"),
            labels: topic(Topic::Labels, "io.modelrail.label.v1"),
        })
    }
}

/// A running gateway.
#[derive(Debug)]
pub struct GatewayNode {
    pub address: SocketAddr,
    pub gateway: Gateway,
    closing: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    following: Following,
    predictions: Arc<ToTopics>,
    publisher: Option<Publisher>,
}

/// How long what was given to the brokers may take to land at the end, and how often to look.
const LAND_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(20);

impl GatewayNode {
    /// Opens its folder, begins to read the tables, and listens.
    pub async fn start(config: &Config, settings: &Settings) -> Result<Self, StartError> {
        let folder = config.store.data.join("gateway");
        let id = id(config, &folder)?;
        let topics = Topics::of_cluster(settings, &id).map_err(StartError::Topics)?;
        Self::over(config, id, topics).await
    }

    /// With topics of the caller's.
    pub async fn over(config: &Config, id: String, topics: Topics) -> Result<Self, StartError> {
        let listen = api::Listen { exposed: config.server.exposed.clone() };
        api::check_listen(config.gateway.listen, &listen)?;
        let folder = config.store.data.join("gateway");
        let predictions = Arc::new(ToTopics::new(topics.predictions, topics.labels));
        let gateway = Gateway::open(gateway::Settings {
            id,
            folder: folder.clone(),
            // An environment without servers has no release anywhere.
            backend: Arc::new(Several::new([])),
            environments: environments(config)?,
            predictions: Arc::clone(&predictions) as Arc<dyn Predictions>,
            kill: Some(Credential::new(&kill_token(config)?)),
            limits: config.limits.gateway(),
        })?;
        let tables = folder.join("tables");
        let (kept, before) =
            Kept::open(&tables).map_err(|source| StartError::Unusable { path: tables, source })?;
        let listener = bind(config.gateway.listen).await?;
        let address = listener.local_addr().expect("a bound listener has an address");
        let tables = Tables::new(gateway.clone(), kept, before, topics.gateways);
        let mut current = tables.current();
        let (said, seen) = mpsc::channel(TABLES_WAITING_MAX);
        let following =
            Following::start("routes", topics.routes, Begin::Beginning, move |seen: Option<Followed>| {
                // Nobody takes them any more when this process ends.
                drop(seen.map(|seen| said.blocking_send(seen)));
            });
        let following = following.map_err(StartError::Thread)?;
        let (closing, closed) = watch::channel(false);
        let serving = {
            let (gateway, closed) = (gateway.clone(), closed);
            async move {
                // Callers who come meanwhile wait for their connection instead of being told that nobody serves.
                let read = async { current.wait_for(|current| *current).await.is_ok() };
                if tokio::time::timeout(READ_WITHIN, read).await != Ok(true) {
                    tracing::warn!(
                        "the route tables could not be read in time; serving by those that were kept"
                    );
                }
                gateway.serve(listener, wait_for(closed)).await;
            }
        };
        let tasks = vec![tokio::spawn(tables.obey(seen)), tokio::spawn(serving)];
        let publisher = topics.publisher;
        Ok(Self { address, gateway, closing, tasks, following, predictions, publisher })
    }

    /// Ends: what is being answered is answered, and its predictions are on their way.
    pub async fn stop(self) {
        self.closing.send_replace(true);
        let following = self.following;
        // Its end is that of what takes from it.
        if let Err(error) = tokio::task::spawn_blocking(move || following.stop()).await {
            tracing::error!(%error, "a thread did not end as it should");
        }
        for task in self.tasks {
            // A task that panicked has said so; there is nothing left to drain of it.
            let _ended = task.await;
        }
        self.gateway.flush().await;
        let Some(publisher) = self.publisher else { return };
        let landed = async {
            while publisher.in_flight() > 0 {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        if tokio::time::timeout(LAND_WITHIN, landed).await.is_err() {
            tracing::warn!(waiting = publisher.in_flight(), "not all had landed at the end");
        }
        if self.predictions.lost() > 0 {
            tracing::warn!(lost = self.predictions.lost(), "predictions that did not land");
        }
    }
}

/// The servers of each environment.
fn environments(config: &Config) -> Result<BTreeMap<Environment, Arc<dyn Backend>>, StartError> {
    let mut environments = BTreeMap::new();
    for (name, servers) in config.environments.iter().filter(|(_, of)| !of.servers.is_empty()) {
        let servers = servers.servers.iter().map(|server| {
            let authority = server.trim_start_matches("http://").trim_end_matches('/').parse();
            let authority = authority.map_err(|_| StartError::Environment(name.clone()))?;
            Ok(Box::new(Http::new(authority)) as Box<dyn Backend>)
        });
        let servers: Vec<_> = servers.collect::<Result<_, StartError>>()?;
        let name = Environment::parse(name).map_err(|_| StartError::Environment(name.clone()))?;
        environments.insert(name, Arc::new(Several::new(servers)) as Arc<dyn Backend>);
    }
    Ok(environments)
}

/// The configured name, or the one that was drawn at the first start.
pub fn id(config: &Config, folder: &Path) -> Result<String, StartError> {
    if !config.gateway.id.is_empty() {
        return Ok(config.gateway.id.clone());
    }
    let path = folder.join("ID");
    let failed = |source| StartError::Unusable { path: path.clone(), source };
    match fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let id = format!("gateway-{}", &uuid::Uuid::new_v4().simple().to_string()[..12]);
    fs::create_dir_all(folder).map_err(failed)?;
    let beside = path.with_extension("new");
    fs::write(&beside, &id).and_then(|()| fs::rename(&beside, &path)).map_err(failed)?;
    Ok(id)
}
