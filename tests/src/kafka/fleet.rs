//! Processes of distributed mode over a cluster: engines with folders of their own, an API, what people ask of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use log_kafka::Settings;
use log_kafka::topics::{self, Durability, Wanted};

use super::cluster::Cluster;
use super::nodes::settings;
use crate::process::asking::Client;
use crate::process::place::{Pace, Place, Server};

/// As the place's configuration says.
pub(super) const PARTITIONS: u32 = 4;
const WANTED: Wanted =
    Wanted { partitions: PARTITIONS, command_partitions: 4, durability: Durability::SingleBroker };
/// How long something may take on a machine that does other things too.
pub(super) const PATIENCE: Duration = Duration::from_mins(2);

pub(super) struct Fleet {
    pub(super) place: Place,
    pub(super) settings: Settings,
    engines: BTreeMap<String, Server>,
    api: Option<Server>,
}

impl Fleet {
    /// With topics that no other test has.
    pub(super) fn over(cluster: &Cluster) -> Self {
        Self::with(cluster, Place::of(Pace::Quick))
    }

    /// The same in a place that is there.
    pub(super) fn with(cluster: &Cluster, place: Place) -> Self {
        Self::over_as(cluster, place, Durability::SingleBroker)
    }

    pub(super) fn over_as(cluster: &Cluster, mut place: Place, durability: Durability) -> Self {
        let settings = settings(cluster);
        let made = topics::create(&settings, &Wanted { durability, ..WANTED }).unwrap();
        assert!(made.iter().all(|made| made.outcome == topics::Outcome::Created), "{made:?}");
        let secrets = place.root().join("secrets").display().to_string();
        place.set("MODELRAIL_KAFKA__BROKERS", settings.brokers.clone());
        place.set("MODELRAIL_KAFKA__PREFIX", settings.prefix.clone());
        let durability = match durability {
            Durability::SingleBroker => "single-broker",
            Durability::Replicated => "replicated",
        };
        place.set("MODELRAIL_KAFKA__DURABILITY", durability.into());
        place.set("MODELRAIL_KAFKA__COMMAND_PARTITIONS", "4".into());
        place.set("MODELRAIL_KAFKA__CHECK_SECONDS", "1".into());
        place.set("MODELRAIL_STORE__SECRETS", secrets);
        place.set("MODELRAIL_BLOBS__FOLDER", place.root().join("blobs").display().to_string());
        place.set("MODELRAIL_TELEMETRY__LOG", "info".into());
        Self { place, settings, engines: BTreeMap::new(), api: None }
    }

    pub(super) fn folder(&self, name: &str) -> PathBuf {
        self.place.root().join(name)
    }

    /// Starts an engine on the folder of its name, which stays when it ends.
    pub(super) fn start(&mut self, engine: &str) {
        self.start_with(engine, &[]);
    }

    /// With these variables in its environment.
    pub(super) fn start_with(&mut self, engine: &str, variables: &[(&str, String)]) {
        let server = self.place.serve_as_with("engine", &self.folder(engine), variables);
        assert!(self.engines.insert(engine.to_owned(), server).is_none(), "{engine} runs");
    }

    /// Starts a process of another role.
    pub(super) fn start_as(&mut self, role: &str, name: &str) {
        let server = self.place.serve_as(role, &self.folder(name));
        assert!(self.engines.insert(name.to_owned(), server).is_none(), "{name} runs");
    }

    /// Starts an engine that says how it is, and gives where.
    pub(super) fn start_telling(&mut self, engine: &str) -> String {
        let mut server = self.place.serve_telling("engine", &self.folder(engine));
        let health = server.listening(&self.place).health;
        assert!(self.engines.insert(engine.to_owned(), server).is_none(), "{engine} runs");
        health
    }

    /// Where it listens, once it does.
    pub(super) fn address(&mut self, name: &str) -> String {
        self.engines.get_mut(name).expect("it runs").listening(&self.place).api
    }

    /// A client of an API that was started by its name.
    pub(super) fn client_of(&mut self, api: &str) -> Client {
        let addresses = self.engines.get_mut(api).expect("it runs").listening(&self.place);
        Client::new(Arc::new(Mutex::new(addresses)), &self.folder("secrets"))
    }

    /// Lets it end in order.
    pub(super) fn stop(&mut self, name: &str) {
        let code = self.engines.remove(name).expect("it runs").stop();
        assert_eq!(code, Some(0), "{}", self.place.errors());
    }

    /// Starts a worker on the folder of its name, and waits until it takes commands.
    pub(super) fn work(&self, worker: &str, stages: &[&str], variables: &[(&str, String)]) -> Server {
        let mut server = self.place.work(stages, &self.folder(worker), variables);
        server.listening(&self.place);
        server
    }

    pub(super) fn kill(&mut self, engine: &str) {
        self.engines.remove(engine).expect("it runs").kill();
    }

    pub(super) fn has_ended(&mut self, engine: &str) -> bool {
        self.engines.get_mut(engine).expect("it was started").has_ended()
    }

    /// SIGSTOP, SIGCONT.
    pub(super) fn signal(&self, engine: &str, name: &str) {
        let id = self.engines[engine].id().to_string();
        let sent = std::process::Command::new("kill").args([&format!("-{name}"), &id]).status();
        assert!(sent.unwrap().success());
    }

    /// What the engine said so far.
    pub(super) fn said(&self, engine: &str) -> String {
        self.place.errors_of(&self.engines[engine])
    }

    /// Waits until the engine has said something so often.
    pub(super) fn hears(&self, engine: &str, what: &str, times: usize) {
        let began = Instant::now();
        while self.said(engine).matches(what).count() < times {
            assert!(
                began.elapsed() < PATIENCE,
                "{engine} did not say `{what}` {times} times:\n{}",
                self.said(engine)
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Starts the API, and gives a client of it once it answers.
    pub(super) fn client(&mut self) -> Client {
        let mut api = self.place.serve_as("api", &self.folder("api"));
        let addresses = api.listening(&self.place);
        self.api = Some(api);
        Client::new(Arc::new(Mutex::new(addresses)), &self.folder("secrets"))
    }
}
