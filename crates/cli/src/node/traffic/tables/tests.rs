//! A gateway's process over topics in memory: what it obeys, when it is ready, what it says.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use domain::model::Release;
use domain::name::{Digest, Version};
use domain::routes::{Route, Sticky};
use domain::weight::Weight;
use engine::message::{decode_gateway_report, encode_table};
use engine::port::memory as ports;
use gateway::{Direct, Fault, Limits, Reply, Settings};
use hyper::StatusCode;
use log_kafka::Begin;
use tokio::task::JoinHandle;

use super::*;
use crate::node::traffic::memory::{MemoryTopic, until};
use crate::node::traffic::topic::Following;

fn target(name: &str) -> TargetId {
    TargetId::parse(name).unwrap()
}

fn release(version: &str) -> Release {
    Release { version: Version::parse(version).unwrap(), bundle: Digest::of(version.as_bytes()), run: None }
}

fn table_of(of: &str, generation: u64, version: &str) -> RouteTable {
    RouteTable {
        target: target(of),
        generation: Generation(generation),
        routes: vec![Route { release: release(version), weight: Weight::ALL }],
        stable: None,
        sticky: Sticky::None,
    }
}

fn table(generation: u64, version: &str) -> RouteTable {
    table_of("fraud@production", generation, version)
}

/// The releases that the model servers have.
#[derive(Debug, Clone, Default)]
struct Loaded(Arc<Mutex<BTreeSet<Digest>>>);

impl Loaded {
    fn load(&self, version: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(release(version).bundle);
    }

    fn of(versions: &[&str]) -> Self {
        let loaded = Self::default();
        for version in versions {
            loaded.load(version);
        }
        loaded
    }
}

/// The world outside of a gateway.
struct World {
    routes: MemoryTopic,
    gateways: MemoryTopic,
    loaded: Loaded,
    folder: tempfile::TempDir,
}

/// One life of a gateway.
struct Life {
    gateway: Gateway,
    current: watch::Receiver<bool>,
    following: Following,
    obeying: JoinHandle<()>,
    /// Each generation that was obeyed, in order.
    obeyed: Arc<Mutex<Vec<u64>>>,
}

impl World {
    fn new(loaded: &[&str]) -> Self {
        let (routes, gateways) = (MemoryTopic::default(), MemoryTopic::default());
        Self { routes, gateways, loaded: Loaded::of(loaded), folder: tempfile::tempdir().unwrap() }
    }

    fn write(&self, table: &RouteTable) {
        let key = format!("{}#{}", table.target, table.generation);
        self.routes.publish(&key, encode_table(table)).unwrap();
    }

    fn gateway(&self) -> Gateway {
        let loaded = self.loaded.clone();
        Gateway::open(Settings {
            id: "g".to_owned(),
            folder: self.folder.path().to_owned(),
            backend: Arc::new(Direct::new(move |call| {
                let loaded = loaded.0.lock().unwrap_or_else(PoisonError::into_inner);
                if loaded.contains(&call.bundle) {
                    Ok(Reply { status: StatusCode::OK, content_type: None, body: hyper::body::Bytes::new() })
                } else {
                    Err(Fault::Gone)
                }
            })),
            environments: BTreeMap::new(),
            predictions: Arc::new(ports::Predictions::default()),
            kill: None,
            limits: Limits::default(),
        })
        .unwrap()
    }

    fn start(&self) -> Life {
        let gateway = self.gateway();
        let (kept, before) = Kept::open(&self.folder.path().join("tables")).unwrap();
        let tables = Tables::new(gateway.clone(), kept, before, Arc::new(self.gateways.clone()));
        let current = tables.current();
        let (said, seen) = mpsc::channel(16);
        let following = Following::start("routes", self.routes.opens(), Begin::Beginning, move |seen| {
            drop(seen.map(|seen| said.blocking_send(seen)));
        });
        let obeyed = noted(&gateway);
        let obeying = tokio::spawn(tables.obey(seen));
        Life { gateway, current, following: following.unwrap(), obeying, obeyed }
    }

    /// What was said last, by target.
    fn said(&self) -> Vec<(String, u64, usize)> {
        let reports = self.gateways.values();
        let report = reports.last().map(|bytes| decode_gateway_report(bytes).unwrap());
        let targets = report.map(|report| report.targets).unwrap_or_default();
        targets.iter().map(|it| (it.target.to_string(), it.generation.0, it.killed.len())).collect()
    }
}

impl Life {
    fn generation(&self, of: &str) -> Option<u64> {
        self.gateway.observed(&target(of))?.generation.map(|generation| generation.0)
    }

    async fn until_current(&mut self) {
        self.current.wait_for(|current| *current).await.unwrap();
    }

    /// As a crash ends it: nothing is said any more.
    async fn end(self) {
        self.obeying.abort();
        tokio::task::spawn_blocking(|| self.following.stop()).await.unwrap();
    }
}

/// Each generation that the gateway obeys from now on.
fn noted(gateway: &Gateway) -> Arc<Mutex<Vec<u64>>> {
    let obeyed = Arc::new(Mutex::new(vec![]));
    let (mut changes, noted, observed) = (gateway.changes(), Arc::clone(&obeyed), gateway.clone());
    tokio::spawn(async move {
        while changes.changed().await.is_ok() {
            let generation = observed.observed(&target("fraud@production")).and_then(|it| it.generation);
            noted.lock().unwrap().push(generation.unwrap_or_default().0);
        }
    });
    obeyed
}

async fn until_so(look: impl FnMut() -> bool + Send + 'static) {
    let mut look = look;
    tokio::task::spawn_blocking(move || until(|| look().then_some(()))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_what_stands_in_the_topic_only_the_greatest_generation_is_ever_obeyed() {
    let world = World::new(&["v1", "v2", "v3"]);
    // Twice, and out of order.
    for table in [table(3, "v3"), table(1, "v1"), table(3, "v3"), table(2, "v2")] {
        world.write(&table);
    }
    world.routes.publish("x", b"no table".to_vec()).unwrap();
    let mut life = world.start();
    life.until_current().await;
    assert_eq!(life.generation("fraud@production"), Some(3));
    world.write(&table(2, "v2"));
    world.write(&table(4, "v1"));
    let gateway = life.gateway.clone();
    until_so(move || {
        gateway.observed(&target("fraud@production")).unwrap().generation == Some(Generation(4))
    })
    .await;
    let obeyed = life.obeyed.lock().unwrap().clone();
    assert!(obeyed.iter().all(|generation| [3, 4].contains(generation)), "{obeyed:?}");
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_is_ready_only_when_the_topic_was_read_and_serves_what_it_kept_if_it_cannot_be() {
    let world = World::new(&["v1", "v2"]);
    world.write(&table(1, "v1"));
    let mut first = world.start();
    assert!(!*first.current.borrow());
    first.until_current().await;
    first.end().await;
    world.write(&table(2, "v2"));
    world.routes.away(true);
    // An old folder, and no brokers.
    let mut second = world.start();
    let gateway = second.gateway.clone();
    until_so(move || gateway.observed(&target("fraud@production")).is_some()).await;
    assert_eq!(second.generation("fraud@production"), Some(1), "what it obeyed before");
    assert!(!*second.current.borrow(), "it serves, and is not ready");
    let said_before = world.gateways.values().len();
    world.routes.away(false);
    second.until_current().await;
    assert_eq!(second.generation("fraud@production"), Some(2));
    let gateways = world.gateways.clone();
    until_so(move || gateways.values().len() > said_before).await;
    assert_eq!(world.said(), [("fraud@production".to_owned(), 2, 0)], "and says nothing before it knows");
    second.end().await;
    // An empty folder: from the topic alone.
    std::fs::remove_dir_all(world.folder.path().join("tables")).unwrap();
    let mut third = world.start();
    third.until_current().await;
    assert_eq!((third.generation("fraud@production"), &*third.obeyed.lock().unwrap()), (Some(2), &vec![2]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_topic_is_read_slowly_what_was_kept_serves_and_no_history() {
    let world = World::new(&["v1", "v2", "v3"]);
    let gateway = world.gateway();
    let (kept, _) = Kept::open(&world.folder.path().join("tables")).unwrap();
    let tables = Tables::new(gateway.clone(), kept, vec![table(1, "v1")], Arc::new(world.gateways.clone()));
    let mut current = tables.current();
    let obeyed = noted(&gateway);
    let (said, seen) = mpsc::channel(1);
    let obeying = tokio::spawn(tables.obey(seen));
    let record = |value: Vec<u8>| {
        let key = Some(b"x".to_vec());
        let (topic, headers) = ("routes".to_owned(), vec![]);
        let read = log_kafka::Read {
            topic,
            partition: 0,
            offset: 0,
            key,
            value: Some(value),
            headers,
            timestamp_ms: None,
        };
        Followed::Record(Box::new(read))
    };
    let served = gateway.clone();
    until_so(move || served.observed(&target("fraud@production")).is_some()).await;
    // Each is taken before the next has room: it could have been offered by then.
    said.send(record(encode_table(&table(2, "v2")))).await.unwrap();
    for _ in 0..8 {
        said.send(record(b"no table".to_vec())).await.unwrap();
    }
    said.send(record(encode_table(&table(3, "v3")))).await.unwrap();
    assert!(!*current.borrow());
    said.send(Followed::End).await.unwrap();
    current.wait_for(|current| *current).await.unwrap();
    until_so(move || obeyed.lock().unwrap().last() == Some(&3) && !obeyed.lock().unwrap().contains(&2)).await;
    obeying.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_table_that_was_damaged_is_none() {
    let world = World::new(&["v1"]);
    world.write(&table(1, "v1"));
    let mut life = world.start();
    life.until_current().await;
    life.end().await;
    let folder = world.folder.path().join("tables");
    let path = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(Kept::open(&folder).unwrap().1, [table(1, "v1")]);
    for damaged in [&bytes[..bytes.len() - 1], &bytes[..9], b""] {
        std::fs::write(&path, damaged).unwrap();
        assert!(Kept::open(&folder).unwrap().1.is_empty());
    }
    let mut life = world.start();
    life.until_current().await;
    assert_eq!(life.generation("fraud@production"), Some(1), "the topic has it");
    assert_eq!(Kept::open(&folder).unwrap().1, [table(1, "v1")], "and it is kept again");
}

#[test]
fn an_older_table_never_replaces_what_was_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (kept, _) = Kept::open(folder.path()).unwrap();
    kept.put(&table(2, "v2")).unwrap();
    kept.put(&table(1, "v1")).unwrap();
    assert_eq!(Kept::open(folder.path()).unwrap().1, [table(2, "v2")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_ready_is_offered_again_and_keeps_no_other_target_waiting() {
    let world = World::new(&["v1"]);
    world.write(&table(1, "v9"));
    world.write(&table_of("other@production", 5, "v1"));
    let mut life = world.start();
    life.until_current().await;
    assert_eq!((life.generation("fraud@production"), life.generation("other@production")), (None, Some(5)));
    let said = [("fraud@production".to_owned(), 0, 0), ("other@production".to_owned(), 5, 0)];
    let (gateways, expected) = (world.gateways.clone(), said.to_vec());
    let look = World { gateways, ..World::new(&[]) };
    until_so(move || look.said() == expected).await;
    world.loaded.load("v9");
    let gateway = life.gateway.clone();
    until_so(move || gateway.observed(&target("fraud@production")).is_some()).await;
    assert_eq!(life.generation("fraud@production"), Some(1));
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_said_at_once_and_all_is_said_again_and_again() {
    let world = World::new(&["v1", "v2"]);
    let mut both = table(1, "v1");
    both.stable = Some(release("v1"));
    world.write(&both);
    let mut life = world.start();
    life.until_current().await;
    let gateways = world.gateways.clone();
    let look = World { gateways: gateways.clone(), ..World::new(&[]) };
    until_so(move || look.said() == [("fraud@production".to_owned(), 1, 0)]).await;
    // Nothing changes: it is said all the same, however the brokers are meanwhile.
    world.gateways.away(true);
    let before = gateways.values().len();
    world.gateways.away(false);
    let again = gateways.clone();
    until_so(move || again.values().len() > before + 1).await;
    // The kill switch, without the topic of tables.
    world.routes.away(true);
    let gateway = life.gateway.clone();
    let killed =
        tokio::task::spawn_blocking(move || gateway.kill(&target("fraud@production"), Some("v1"), ""));
    killed.await.unwrap().unwrap();
    let said_at = std::time::Instant::now();
    let look = World { gateways, ..World::new(&[]) };
    until_so(move || look.said() == [("fraud@production".to_owned(), 1, 1)]).await;
    assert!(said_at.elapsed() < SAID_EVERY, "at once");
    life.end().await;
}
