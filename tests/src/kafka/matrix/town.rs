//! The processes that a round is about: two engines, two workers of all stages, ingress, API, and those that nobody
//! harms: a gateway, a model server, and whoever is told by a webhook.

use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use log_kafka::Settings;
use log_kafka::topics::Durability;

use super::hook::Hook;
use super::plan::Role;
use crate::kafka::cluster::Cluster;
use crate::kafka::fleet::{Fleet, PATIENCE};
use crate::kafka::vandal::Vandal;
use crate::process::asking::{Client, Current};
use crate::process::place::{Pace, Place, Server};

const STAGES: [&str; 5] = ["package", "stage-test", "gate", "rollout", "monitor"];
/// How much of what a process said is shown when something failed.
const LAST_LINES: usize = 30;
/// Of the topic that events come from.
const PARTITIONS: u32 = 2;

pub(super) struct Town {
    pub(super) place: Place,
    pub(super) settings: Settings,
    /// The topic that events come from.
    pub(super) trained: String,
    pub(super) hook: Hook,
    /// Those that may be harmed.
    pub(super) processes: Vec<Process>,
    _planes: [Server; 2],
}

/// One that may be harmed.
pub(super) struct Process {
    pub(super) name: &'static str,
    pub(super) role: Role,
    pub(super) server: Server,
    pub(super) started: Instant,
    /// What only it has in its environment, in each of its lives.
    own: Vec<(&'static str, String)>,
}

impl Process {
    /// It has the same folder and the same name in each of its lives.
    pub(super) fn start(
        place: &Place,
        name: &'static str,
        role: Role,
        own: &[(&'static str, String)],
    ) -> Self {
        let own = [&[("MODELRAIL_KAFKA__INSTANCE", name.to_owned())], own].concat();
        Self { name, role, server: launch(place, name, role, &own), started: Instant::now(), own }
    }

    /// Another life, which has these variables besides.
    pub(super) fn start_again(&mut self, place: &Place, variables: &[(&'static str, String)]) {
        self.server.end();
        self.server = launch(place, self.name, self.role, &[&self.own, variables].concat());
        self.started = Instant::now();
    }
}

fn launch(place: &Place, name: &str, role: Role, variables: &[(&str, String)]) -> Server {
    let folder = place.root().join(name);
    match role {
        Role::Engine | Role::Ingress | Role::Api => place.serve_as_with(role.as_str(), &folder, variables),
        Role::Worker => place.work(&STAGES, &folder, variables),
    }
}

impl Town {
    /// `brokers` are those that the first engine goes by; nothing is those of the cluster.
    pub(super) fn begin(
        cluster: &Cluster,
        durability: Durability,
        brokers: Option<String>,
    ) -> (Self, Current, Client) {
        let hook = Hook::start();
        let Fleet { mut place, settings, .. } = Fleet::over_as(cluster, Place::of(Pace::Quick), durability);
        let trained = format!("{}trained", settings.prefix);
        Vandal::at(&settings.brokers).create(&trained, PARTITIONS, &[]);
        place.set("MODELRAIL_KAFKA__MODEL_TRAINED", trained.clone());
        place.set("MODELRAIL_NOTIFY__WEBHOOK", hook.address());
        let folder = |name: &str| place.root().join(name);
        // The first makes the administrator, the keys and the tokens that the others read.
        let mut api = Process::start(&place, "api", Role::Api, &[]);
        let mut addresses = api.server.listening(&place);
        let mut models = place.serve_as("model-server", &folder("models"));
        let environment =
            format!("[environments.production]\nservers = [{:?}]\n", models.listening(&place).models);
        let mut config = std::fs::File::options().append(true).open(place.config()).unwrap();
        config.write_all(environment.as_bytes()).unwrap();
        let mut gateway = place.serve_as("gateway", &folder("gateway"));
        addresses.gateway = gateway.listening(&place).gateway;
        let mut processes = vec![api];
        for (name, role) in [
            ("engine-1", Role::Engine),
            ("engine-2", Role::Engine),
            ("worker-1", Role::Worker),
            ("worker-2", Role::Worker),
            ("ingress", Role::Ingress),
        ] {
            let own = brokers.clone().filter(|_| name == "engine-1");
            let own: Vec<_> = own.map(|brokers| ("MODELRAIL_KAFKA__BROKERS", brokers)).into_iter().collect();
            processes.push(Process::start(&place, name, role, &own));
        }
        for process in &mut processes {
            process.server.listening(&place);
        }
        let current = Arc::new(Mutex::new(addresses));
        let client = Client::new(Arc::clone(&current), &folder("secrets"));
        (Self { place, settings, trained, hook, processes, _planes: [models, gateway] }, current, client)
    }
}

/// Whoever looks for what went wrong sees what each process said last.
impl Drop for Town {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for process in &mut self.processes {
                let (said, ended) = (self.place.errors_of(&process.server), process.server.ended());
                let from = said.lines().count().saturating_sub(LAST_LINES);
                println!("== {}, ended: {ended:?}", process.name);
                said.lines().skip(from).for_each(|line| println!("{line}"));
            }
        }
    }
}

/// Waits until something is so.
pub(super) fn until(what: &str, mut is: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < PATIENCE, "it never came about: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
