//! The kill matrix of distributed mode: engines, workers, ingress and API end at named points and at random moments,
//! stand still for twice their session, come and go, while events are published, thrice and in any order. Nothing is
//! lost, decided twice, applied twice or stuck, and every mirror shows the same.
//!
//! Each process has a plan of faults, drawn from the seed, and a thread that carries it out. `MODELRAIL_KAFKA_KILLS=5000`
//! for the long round, in rounds of [`plan::FAULTS`].

mod brokers;
mod harm;
mod hook;
mod mirrors;
mod plan;
mod publishing;
mod town;

use std::collections::BTreeMap;

use log_kafka::topics::Durability;

use self::publishing::Publishing;
use self::town::Town;
use super::cluster::shared;
use super::vandal::Vandal;
use crate::process::random::{Random, asked_for, seed};
use crate::process::report::Report;
use crate::process::workload::under;

/// Deliveries side by side: over HTTP and the topic, over HTTP, and over the topic alone.
const LANES: usize = 3;

#[test]
fn faults_of_processes_lose_nothing_change_nothing_and_leave_nothing_stuck() {
    let rounds = asked_for("MODELRAIL_KAFKA_KILLS", plan::FAULTS).div_ceil(plan::FAULTS);
    let seed = seed();
    Report::of("kafka-kills", seed, |report| {
        let mut planned = BTreeMap::<String, usize>::new();
        for round in 0..rounds {
            one_round(seed.wrapping_add(round as u64), report, &mut planned);
        }
        let seen = |kind: &str| report.faults.get(kind).copied().unwrap_or_default();
        for (kind, times) in &planned {
            assert!(seen(kind) >= *times, "{kind}: {} of {times} times", seen(kind));
        }
        assert!(report.faults_all() >= rounds * plan::FAULTS, "{} faults", report.faults_all());
        assert!(seen(publishing::REPEATED) > 0 && report.runs > 0);
    });
}

fn one_round(seed: u64, report: &mut Report, planned: &mut BTreeMap<String, usize>) {
    let mut random = Random::new(seed);
    let plans = plan::draw(&mut random);
    for (role, fault) in plans.iter().flat_map(|plan| plan.faults.iter().map(|fault| (plan.role, fault))) {
        *planned.entry(fault.kind(role)).or_default() += 1;
    }
    let (mut town, current, client) = Town::begin(shared(), Durability::SingleBroker, None);
    let publishing = Publishing::to(&town.settings, &town.trained, Random::new(random.below(u64::MAX)));
    let publish = |client: &_, lane, event: &_| publishing.publish(client, lane, event);
    let (befell, mut told) = under(LANES, &publish, current, client, |shared| {
        harm::carry_out(&mut town, shared, plans, &mut random)
    });
    report.runs += told.ledger.published.len();
    report.effects_checked += told.ledger.settle(&told.client, &told.seen);
    report.effects_checked += town.hook.applied_once();
    let settings = town.settings.clone();
    report.effects_checked += mirrors::show_the_same(town, &told.client);
    Vandal::at(&settings.brokers).delete_all(&settings.prefix);
    for (kind, times) in befell.into_iter().chain([(publishing::REPEATED.to_owned(), publishing.repeats())]) {
        let counted = if kind == harm::NOT_STARTED { &mut report.outcomes } else { &mut report.faults };
        *counted.entry(kind).or_default() += times;
    }
}
