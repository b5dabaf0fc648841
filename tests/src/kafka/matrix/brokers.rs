//! What befalls brokers, and the way to them: one that leads is killed and comes back, one stands still until nobody
//! waits for its acknowledgements any more, an engine is cut off for twice its session.
//!
//! `MODELRAIL_KAFKA_BROKER_ROUNDS=10` for the long round.

use std::thread;
use std::time::{Duration, Instant};

use log_kafka::topics::Durability;

use super::publishing::{self, Publishing};
use super::town::Town;
use super::{LANES, mirrors};
use crate::kafka::cluster::Cluster;
use crate::kafka::proxy::Proxy;
use crate::kafka::vandal::Vandal;
use crate::process::random::{Random, asked_for, seed};
use crate::process::report::Report;
use crate::process::workload::under;

/// Longer than an append is waited for (`append_doubt`), and twice the session of an engine.
const BEYOND: Duration = Duration::from_secs(12);
/// How long all is well between two faults.
const WELL: Duration = Duration::from_secs(2);
const DOWN_MS: u64 = 6_000;
const NODES: u8 = 3;

#[derive(Debug, Clone, Copy)]
enum Fault {
    Killed,
    Frozen,
    CutOff,
}

impl Fault {
    const ROUND: [Self; 3] = [Self::Killed, Self::Frozen, Self::CutOff];

    fn kind(self) -> &'static str {
        match self {
            Self::Killed => "broker is killed",
            Self::Frozen => "broker stands still, acknowledgements are lost",
            Self::CutOff => "engine is cut off from all brokers",
        }
    }
}

#[test]
fn faults_of_brokers_and_of_the_way_to_them_lose_nothing_and_leave_nothing_stuck() {
    let rounds = asked_for("MODELRAIL_KAFKA_BROKER_ROUNDS", 1);
    let Some(cluster) = Cluster::own_proxied(NODES) else { return };
    let seed = seed();
    let proxy = Proxy::at(&cluster.proxied());
    Report::of("kafka-brokers", seed, |report| {
        for round in 0..rounds {
            one_round(&cluster, &proxy, seed.wrapping_add(round as u64), report);
        }
        let hit: usize = Fault::ROUND.iter().map(|fault| report.faults[fault.kind()]).sum();
        assert_eq!(hit, rounds * Fault::ROUND.len());
        assert!(report.faults[publishing::REPEATED] > 0 && report.runs > 0);
    });
}

/// Each has a town of its own on the same brokers: the model server of one that stays would be full after two.
fn one_round(cluster: &Cluster, proxy: &Proxy, seed: u64, report: &mut Report) {
    println!("a round of MODELRAIL_SEED={seed}");
    let mut random = Random::new(seed);
    let (town, current, client) = Town::begin(cluster, Durability::Replicated, Some(cluster.proxied()));
    let publishing = Publishing::to(&town.settings, &town.trained, Random::new(random.below(u64::MAX)));
    let publish = |client: &_, lane, event: &_| publishing.publish(client, lane, event);
    let ((), mut told) = under(LANES, &publish, current, client, |_| {
        let first = random.below(u64::from(NODES));
        for (number, fault) in (first..).zip(Fault::ROUND) {
            // One after the other, so that each leads something that is hit.
            let node = 1 + (number % u64::from(NODES)) as u8;
            thread::sleep(WELL);
            let began = Instant::now();
            befall(cluster, proxy, node, fault, &mut random);
            println!("node {node}: {fault:?} in {:?}", began.elapsed());
            report.fault(fault.kind());
        }
    });
    report.runs += told.ledger.published.len();
    report.effects_checked += told.ledger.settle(&told.client, &told.seen) + town.hook.applied_once();
    let settings = town.settings.clone();
    report.effects_checked += mirrors::show_the_same(town, &told.client);
    Vandal::at(&settings.brokers).delete_all(&settings.prefix);
    *report.faults.entry(publishing::REPEATED.to_owned()).or_default() += publishing.repeats();
}

fn befall(cluster: &Cluster, proxy: &Proxy, node: u8, fault: Fault, random: &mut Random) {
    match fault {
        Fault::Killed => {
            cluster.kill(node);
            thread::sleep(Duration::from_millis(random.below(DOWN_MS)));
            cluster.start_again(node);
        }
        Fault::Frozen => {
            cluster.freeze(node);
            thread::sleep(BEYOND);
            cluster.thaw(node);
        }
        Fault::CutOff => {
            proxy.cut();
            thread::sleep(BEYOND);
            proxy.mend();
        }
    }
}
