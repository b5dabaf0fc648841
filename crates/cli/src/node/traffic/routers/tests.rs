//! Gateways that speak, are silent, or come late, as a rollout worker hears them.

use super::*;
use crate::node::traffic::memory::{MemoryTopic, until};
use domain::work::GatewayObserved;
use engine::message::{TargetServed, encode_gateway_report};

const SILENT: Duration = Duration::from_secs(1);

fn target() -> TargetId {
    TargetId::parse("fraud@production").unwrap()
}

fn table(generation: u64) -> RouteTable {
    RouteTable { generation: Generation(generation), ..RouteTable::empty(target()) }
}

/// Two topics, and a worker that listens.
struct Stage {
    routes: MemoryTopic,
    gateways: MemoryTopic,
    routers: TopicRouters,
    following: Following,
}

fn stage() -> Stage {
    let (routes, gateways) = (MemoryTopic::default(), MemoryTopic::default());
    // Of somebody who has gone long ago.
    says(&gateways, "gone", 99);
    let heard = Heard::new(SILENT);
    let following = heard.listen(gateways.opens()).unwrap();
    let routers = TopicRouters::new(Arc::new(routes.clone()), heard);
    Stage { routes, gateways, routers, following }
}

fn says(gateways: &MemoryTopic, gateway: &str, generation: u64) {
    let served = TargetServed {
        target: target(),
        generation: Generation(generation),
        override_to: None,
        killed: vec![],
    };
    let targets = if generation == 0 { vec![] } else { vec![served] };
    let report = GatewayReport { gateway: gateway.into(), heard_at: Timestamp(1), targets };
    gateways.publish(gateway, encode_gateway_report(&report)).unwrap();
}

/// Gateways that each say their generation every moment, until the guard is dropped.
fn speaking(gateways: &MemoryTopic, each: &[(&'static str, u64)]) -> Speaking {
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let (gateways, each) = (gateways.clone(), each.to_vec());
    let thread = std::thread::spawn(move || {
        while stopped.recv_timeout(SILENT / 10) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            for (gateway, generation) in &each {
                says(&gateways, gateway, *generation);
            }
        }
    });
    Speaking(Some((stop, thread)))
}

struct Speaking(Option<(std::sync::mpsc::Sender<()>, std::thread::JoinHandle<()>)>);

impl Drop for Speaking {
    fn drop(&mut self) {
        let (stop, thread) = self.0.take().unwrap();
        drop(stop);
        thread.join().unwrap();
    }
}

fn obeyed(gateways: &[GatewayObserved]) -> Vec<(&str, u64)> {
    gateways.iter().map(|gateway| (&*gateway.gateway, gateway.generation.0)).collect()
}

#[test]
fn a_table_is_written_under_target_and_generation_and_obeyed_by_all_heard() {
    let stage = stage();
    let speaking = speaking(&stage.gateways, &[("a", 7), ("b", 8)]);
    let gateways = stage.routers.apply(&table(7)).unwrap();
    assert_eq!(obeyed(&gateways), [("a", 7), ("b", 8)], "also who is ahead");
    assert_eq!(stage.routes.keys(), ["fraud@production#7"]);
    assert_eq!(decode_table(&stage.routes.values()[0]).unwrap(), table(7));
    assert!(gateways.iter().all(|gateway| gateway.heard_at > Timestamp(1)), "heard by this process's clock");
    stage.routers.apply(&table(7)).unwrap();
    assert_eq!(stage.routes.keys().len(), 2, "written again when it is asked for again");
    drop(speaking);
    stage.following.stop();
}

#[test]
fn nobody_is_known_before_this_has_listened_for_as_long_as_one_may_be_silent() {
    let stage = stage();
    let speaking = speaking(&stage.gateways, &[("a", 7)]);
    assert_eq!(stage.routers.observed(&target()).unwrap(), [], "who else there is, is not known yet");
    let began = Instant::now();
    assert_eq!(obeyed(&stage.routers.apply(&table(7)).unwrap()), [("a", 7)]);
    assert!(began.elapsed() >= SILENT / 2, "it waited for others");
    assert_eq!(
        obeyed(&stage.routers.observed(&target()).unwrap()),
        [("a", 7)],
        "and not who said something before"
    );
    drop(speaking);
    stage.following.stop();
}

#[test]
fn a_gateway_that_became_silent_is_missing_and_one_that_does_not_obey_is_told() {
    let stage = stage();
    let both = speaking(&stage.gateways, &[("a", 7), ("b", 7)]);
    stage.routers.apply(&table(7)).unwrap();
    drop(both);
    // b says nothing more, a obeys the next one.
    let one = speaking(&stage.gateways, &[("a", 8)]);
    let gateways = stage.routers.apply(&table(8)).unwrap();
    assert_eq!(obeyed(&gateways), [("a", 8)], "b is missing, and not waited for longer");
    drop(one);
    let behind = speaking(&stage.gateways, &[("a", 9), ("b", 8), ("new", 0)]);
    until(|| (stage.routers.heard.gateways().last.len() == 3).then_some(()));
    let began = Instant::now();
    let gateways = stage.routers.apply(&table(9)).unwrap();
    assert_eq!(
        obeyed(&gateways),
        [("a", 9), ("b", 8), ("new", 0)],
        "who does not obey in time is told as it is"
    );
    assert!(began.elapsed() >= SILENT, "it was waited for");
    drop(behind);
    stage.following.stop();
}

#[test]
fn a_table_that_did_not_land_is_told_and_nobody_at_all_is_nobody() {
    let stage = stage();
    stage.routes.away(true);
    assert!(stage.routers.apply(&table(7)).is_err());
    stage.routes.away(false);
    assert_eq!(stage.routers.apply(&table(7)).unwrap(), [], "nobody speaks");
    stage.following.stop();
}

#[test]
fn after_a_silence_of_everybody_who_there_is_is_found_out_anew() {
    let stage = stage();
    let both = speaking(&stage.gateways, &[("a", 7), ("b", 7)]);
    stage.routers.apply(&table(7)).unwrap();
    drop(both);
    stage.gateways.away(true);
    let began = Instant::now();
    let _silence = stage.routers.apply(&table(8)).unwrap();
    assert!(began.elapsed() >= SILENT && stage.routers.observed(&target()).unwrap().is_empty());
    stage.gateways.away(false);
    // One of them comes back first.
    let first = speaking(&stage.gateways, &[("a", 8)]);
    until(|| (stage.routers.heard.gateways().last.len() == 1).then_some(()));
    assert!(stage.routers.observed(&target()).unwrap().is_empty(), "one of them is not all of them");
    drop(first);
    stage.following.stop();
}

#[test]
fn targets_are_those_that_tables_name() {
    let routes = MemoryTopic::default();
    routes.publish("x", encode_table(&table(1))).unwrap();
    routes.publish("x", b"no table".to_vec()).unwrap();
    routes.publish("x", encode_table(&table(2))).unwrap();
    let routed = Routed::default();
    let following = routed.follow(routes.opens()).unwrap();
    assert_eq!(until(|| Some(routed.targets()).filter(|targets| !targets.is_empty())), [target()]);
    following.stop();
}
