//! What workers of other processes reach of gateways, model servers and predictions.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use domain::name::{Environment, TargetId};
use domain::routes::RouteTable;
use domain::time::{Millis, Timestamp};
use domain::work::GatewayObserved;
use domain::workflow::StageKind;
use engine::message::encode_said;
use engine::placement::partition_of;
use engine::port::blobs::Blobs;
use engine::port::predictions::{Error as PredictionsError, Label, Prediction, Predictions};
use engine::request::Said;
use log_kafka::{Publisher, Settings, Topic, Write};
use stages::port::{RemoteServing, Routers, RoutersError, Serving};
use wire::record::Lane;

use super::predictions::Keeping;
use super::routers::{Heard, Routed, TopicRouters};
use super::stored::Stored;
use super::topic::{Following, KafkaTopic, Kind, opens};
use crate::config::Config;
use crate::node::clock::SystemClock;
use crate::node::{StartError, control_token, observe};

/// How often everything is said again though it is no news.
const SAID_AGAIN: Millis = Millis::minutes(1);

/// The model servers of each environment.
pub fn servers(config: &Config) -> Result<BTreeMap<Environment, Vec<Arc<dyn Serving>>>, StartError> {
    let credential = control_token(config)?;
    let mut environments = BTreeMap::new();
    for (name, servers) in &config.environments {
        let bad = || StartError::Environment(name.clone());
        let server = |url: &String| -> Result<Arc<dyn Serving>, StartError> {
            Ok(Arc::new(RemoteServing::new(url, &credential).map_err(|_| bad())?))
        };
        let servers = servers.servers.iter().map(server).collect::<Result<_, _>>()?;
        environments.insert(Environment::parse(name).map_err(|_| bad())?, servers);
    }
    Ok(environments)
}

/// What stands behind a rollout worker: gateways and model servers, and whoever tells the engines what they do.
#[derive(Debug)]
pub struct Behind {
    pub servers: BTreeMap<Environment, Vec<Arc<dyn Serving>>>,
    pub routers: Arc<dyn Routers>,
    following: Vec<Following>,
    observer: observe::Running,
}

impl Behind {
    pub fn start(config: &Config, settings: &Settings, source: &str) -> Result<Self, StartError> {
        let publisher = Publisher::open(settings).map_err(StartError::Topics)?;
        let kind = Kind { topic: Topic::Routes, name: "io.modelrail.routes.v1" };
        let routes = Arc::new(KafkaTopic::new(settings, &publisher, kind, source));
        let heard = Heard::new(Duration::from_millis(config.limits.gateway_silent_ms));
        let routed = Routed::default();
        let following = vec![
            heard.listen(opens(settings, Topic::Gateways)).map_err(StartError::Thread)?,
            routed.follow(opens(settings, Topic::Routes)).map_err(StartError::Thread)?,
        ];
        let servers = servers(config)?;
        let routers: Arc<dyn Routers> = Arc::new(TopicRouters::new(routes, heard));
        let looked = observe::Looked {
            targets: Box::new(move || routed.targets()),
            say: said_in_lane(config, settings, publisher, source),
            servers: servers.clone(),
            routers: Arc::clone(&routers),
        };
        let observer =
            observe::start(looked, None, &Arc::new(SystemClock::default())).map_err(StartError::Thread)?;
        Ok(Self { servers, routers, following, observer })
    }

    pub fn stop(self) {
        self.observer.stop();
        for following in self.following {
            following.stop();
        }
    }
}

/// To the engines, by the lane of outcomes of the target's partition.
fn said_in_lane(config: &Config, settings: &Settings, publisher: Publisher, source: &str) -> observe::Say {
    let (topic, source) = (Topic::Lane(Lane::Outcomes).name(&settings.prefix), source.to_owned());
    let partitions = config.store.partitions;
    observe::news(SAID_AGAIN, move |target, what| {
        let header = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
        let write = Write {
            topic: topic.clone(),
            partition: Some(partition_of(target, partitions)),
            key: target.to_string().into_bytes(),
            headers: vec![
                header("ce_specversion", "1.0"),
                header("ce_id", &uuid::Uuid::new_v4().to_string()),
                header("ce_type", "io.modelrail.said.v1"),
                header("ce_source", &source),
                header("content-type", "application/protobuf"),
            ],
            value: Some(encode_said(&Said::Observed { target: target.clone(), what })),
        };
        match publisher.publish_and_wait(&write) {
            Ok(_) => true,
            Err(error) => {
                tracing::warn!(%target, error = &error as &dyn std::error::Error, "what gateways and servers do could not be said; it is tried again");
                false
            }
        }
    })
}

/// The folder where bundles and evidence are kept, shared by all processes or in front of a registry.
pub fn blobs(config: &Config) -> Result<Arc<dyn Blobs>, StartError> {
    Ok(Arc::new(rocks::Blobs::shared(&blobs_folder(config))?))
}

fn blobs_folder(config: &Config) -> PathBuf {
    let folder = &config.blobs.folder;
    if folder.as_os_str().is_empty() { config.store.data.join("blobs") } else { folder.clone() }
}

/// What the workers of a process reach, by the stages that they work for.
#[derive(Debug)]
pub struct Reach {
    pub ports: stages::Ports,
    behind: Option<Behind>,
    measured: Option<Measured>,
}

impl Reach {
    /// Waits for no broker. `source` names this process in what it writes.
    pub fn start(
        config: &Config,
        settings: &Settings,
        stages: &[StageKind],
        source: &str,
    ) -> Result<Self, StartError> {
        let has = |stage| stages.contains(&stage);
        let behind = has(StageKind::Rollout).then(|| Behind::start(config, settings, source)).transpose()?;
        let measures = has(StageKind::Rollout) || has(StageKind::Monitor);
        let measured = measures.then(|| Measured::start(config, settings)).transpose()?;
        let stored = Stored::of(config)?;
        let ports = stages::Ports {
            blobs: stored.blobs(blobs(config)?),
            predictions: match &measured {
                Some(measured) => Arc::clone(&measured.log) as Arc<dyn Predictions>,
                None => Arc::new(NotReached),
            },
            clock: Arc::new(SystemClock::default()),
            referrers: stored.referrers(&blobs_folder(config).join("referrers"))?,
            servers: match &behind {
                Some(behind) => behind.servers.clone(),
                None if has(StageKind::StageTest) => servers(config)?,
                None => BTreeMap::new(),
            },
            routers: match &behind {
                Some(behind) => Arc::clone(&behind.routers),
                None => Arc::new(NotReached),
            },
        };
        Ok(Self { ports, behind, measured })
    }

    pub fn stop(self) {
        if let Some(behind) = self.behind {
            behind.stop();
        }
        if let Some(measured) = self.measured {
            measured.stop();
        }
    }
}

/// What no stage of this process works with.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("expected a worker of another stage, which reaches gateways and predictions")]
struct NotReached;

impl Routers for NotReached {
    fn apply(&self, _table: &RouteTable) -> Result<Vec<GatewayObserved>, RoutersError> {
        Err(RoutersError(Self.into()))
    }

    fn observed(&self, _target: &TargetId) -> Result<Vec<GatewayObserved>, RoutersError> {
        Err(RoutersError(Self.into()))
    }
}

impl Predictions for NotReached {
    fn append(&self, _predictions: &[Prediction]) -> Result<(), PredictionsError> {
        Err(PredictionsError(Self.into()))
    }

    fn label(&self, _labels: &[Label]) -> Result<(), PredictionsError> {
        Err(PredictionsError(Self.into()))
    }

    fn scan(
        &self,
        _target: &TargetId,
        _from: Timestamp,
        _to: Timestamp,
        _visit: &mut dyn FnMut(&Prediction, Option<f64>),
    ) -> Result<(), PredictionsError> {
        Err(PredictionsError(Self.into()))
    }

    fn sweep(&self, _before: Timestamp) -> Result<(), PredictionsError> {
        Ok(())
    }
}

/// The predictions of this process, kept up with the topics.
#[derive(Debug)]
pub struct Measured {
    pub log: Arc<rocks::Predictions>,
    keeping: Keeping,
}

impl Measured {
    /// In the data folder, in a database of their own.
    pub fn start(config: &Config, settings: &Settings) -> Result<Self, StartError> {
        let log = Arc::new(rocks::Predictions::open_alone(&config.store.data.join("predictions"))?);
        let opens = |topic| opens(settings, topic);
        let keeping = Keeping::start(&log, settings, &opens, config.store.predictions_days);
        Ok(Self { log, keeping: keeping.map_err(StartError::Thread)? })
    }

    pub fn stop(self) {
        self.keeping.stop();
    }
}
