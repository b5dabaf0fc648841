//! Both arms measured, plans foretold, servers prepared, tables applied.

use domain::check::error_rate::ErrorRate;
use domain::check::latency::Latency;
use domain::check::outcome::Outcome as OutcomeCheck;
use domain::check::{Check, Kind};
use domain::evidence::{Arm, Evidence, Measurement};
use domain::model::Release;
use domain::name::{AttemptId, Digest, StreamId, Version};
use domain::routes::{Generation, Route, RouteTable, Sticky};
use domain::time::{Millis, Timestamp};
use domain::verdict::On;
use domain::weight::Weight;
use domain::work::{Apply, Command, Measure, Order, Outcome, Plan, Planned, Prepare};
use domain::workflow::{RolloutStep, RolloutWith, Strategy};
use engine::port::blobs::Blobs as _;
use engine::port::predictions::{Label, Prediction, Predictions as _};

use crate::bundle::{Draft, Signer};
use crate::port::Serving as _;
use crate::testing::{
    Bench, FakeServer, LocalServer, NOW, bench, check, code_of, codes, command, flights, run, stage, target,
    trained, with_servers,
};

fn release(version: &str) -> Release {
    let bundle = Digest::of(version.as_bytes());
    Release { version: Version::parse(version).unwrap(), bundle, run: None }
}

fn prediction(id: usize, release: &Release, at: Timestamp) -> Prediction {
    Prediction {
        target: target(),
        request_id: format!("r{id}"),
        at,
        bundle: release.bundle,
        generation: Generation(7),
        unit: id as u64,
        latency_us: 1_000 + id as u32,
        error: false,
        features: vec![],
        output: Some(1.0),
        score: None,
    }
}

fn label(id: usize, value: f64) -> Label {
    Label { target: target(), request_id: format!("r{id}"), at: NOW, value }
}

fn checks() -> Vec<Check> {
    let outcome = OutcomeCheck { field: "label-match".into(), min: None, margin: Some(0.01) };
    vec![
        check("errors", Kind::ErrorRate(ErrorRate { max: None, margin: Some(0.01) })),
        check("match", Kind::Outcome(outcome)),
        check("latency", Kind::Latency(Latency { rate_per_second: 0.0, for_ms: 0, p99_max_ms: 50.0 })),
    ]
}

fn measure(bench: &Bench, live: Option<Release>) -> Evidence {
    bench.measured(Order::Measure(Measure {
        run: run(),
        stage: stage(),
        candidate: release("v2"),
        live,
        since: Timestamp(NOW.0 - 60_000),
        generation: Generation(7),
        share: 0.25,
        checks: checks(),
    }))
}

fn of<'a>(evidence: &'a Evidence, name: &str, arm: Arm) -> Option<&'a Measurement> {
    evidence.measurements.iter().find(|it| it.check.as_str() == name && it.arm == arm)
}

#[test]
fn both_arms_are_counted_of_one_generation_and_time() {
    let bench = bench();
    let (candidate, live) = (release("v2"), release("v1"));
    let at = Timestamp(NOW.0 - 1_000);
    let mut all = Vec::new();
    for id in 0..400 {
        let arm = if id % 4 == 0 { &candidate } else { &live };
        let mut one = prediction(id, arm, at);
        one.error = id % 40 == 0;
        // Two requests a caller.
        one.unit = (id / 8 * 4 + id % 4) as u64;
        all.push(one);
    }
    // None of these counts.
    let mut older = prediction(1_000, &candidate, at);
    older.generation = Generation(6);
    let mut newer = prediction(1_001, &candidate, at);
    newer.generation = Generation(8);
    all.extend([older, newer, prediction(1_002, &candidate, Timestamp(NOW.0 - 60_001))]);
    all.push(prediction(1_003, &release("v0"), at));
    bench.predictions.append(&all).unwrap();
    // Labels of the first half; of the candidate's one in four is wrong.
    let labels: Vec<Label> = (0..200).map(|id| label(id, if id % 16 == 4 { 0.0 } else { 1.0 })).collect();
    bench.predictions.label(&labels).unwrap();

    let evidence = measure(&bench, Some(live.clone()));
    let count = |name: &str, arm| of(&evidence, name, arm).map(|it| (it.n, it.sum as u64)).unwrap();
    assert_eq!(count("errors", Arm::Candidate), (100, 10));
    assert_eq!(count("errors", Arm::Live), (300, 0));
    // 50 candidates labelled, 5 of them errors without an answer; 12 or 13 wrong.
    assert_eq!(count("match", Arm::Candidate), (45, 45 - 13));
    assert_eq!(count("match", Arm::Live), (150, 150));
    assert_eq!(count("sample-ratio", Arm::Candidate).0, 50);
    assert_eq!(count("sample-ratio", Arm::Live).0, 150);
    let latency = of(&evidence, "latency", Arm::Candidate).unwrap();
    assert_eq!(latency.n, 90, "of good answers");
    assert!(latency.value("p99_ms").unwrap() >= 1.3 && latency.value("p99_upper_ms").is_none());
    assert!(bench.blobs.contains(evidence.digest).unwrap(), "the digest names bytes that are there");
    assert_eq!(measure(&bench, Some(live)).digest, evidence.digest, "measured twice, the same digest");
}

#[test]
fn nothing_seen_is_no_measurement() {
    let bench = bench();
    let evidence = measure(&bench, Some(release("v1")));
    assert_eq!(evidence.findings, []);
    let names: Vec<&str> = evidence.measurements.iter().map(|it| it.check.as_str()).collect();
    assert_eq!(names, ["sample-ratio"; 2], "only that no caller was seen");
    assert_eq!(measure(&bench, None).measurements, []);
}

fn with(steps: &[(u16, u64, u64)]) -> RolloutWith {
    let step = |(weight, samples, bake): &(u16, u64, u64)| RolloutStep {
        weight: Weight::basis_points(*weight).unwrap(),
        samples: *samples,
        bake: Millis::seconds(*bake),
        deadline: None,
    };
    RolloutWith {
        strategy: Strategy::Canary,
        sticky: Sticky::None,
        steps: steps.iter().map(step).collect(),
        analysis: checks(),
        alpha: 0.05,
        share_cap: Weight::ALL,
        tick: Millis::seconds(10),
        on: On::LIVE,
        leave_deadline: Millis::seconds(60),
        keep_warm: Millis::hours(1),
    }
}

fn plan(bench: &Bench, live: Option<Release>, steps: &[(u16, u64, u64)]) -> Planned {
    match bench.carry_out(Order::Plan(Plan { run: run(), stage: stage(), live, with: with(steps) })) {
        Outcome::Planned(planned) => planned,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_plan_follows_the_traffic_there_is() {
    let bench = bench();
    let live = release("v1");
    // 10 a second for 100 seconds; one in five of the labels disagrees.
    let at = |id: usize| Timestamp(NOW.0 - 100_000 + 100 * id as u64);
    let all: Vec<Prediction> = (0..1_000).map(|id| prediction(id, &live, at(id))).collect();
    bench.predictions.append(&all).unwrap();
    let labels: Vec<Label> = (0..1_000).map(|id| label(id, if id % 5 == 0 { 0.0 } else { 1.0 })).collect();
    bench.predictions.label(&labels).unwrap();
    let planned = plan(&bench, Some(live.clone()), &[(500, 500, 60), (2_500, 2_000, 1_000), (10_000, 0, 36)]);
    let near = |found: f64, wanted: f64| assert!((found - wanted).abs() < 1e-9 * wanted, "{found} {wanted}");
    near(planned.requests_per_second, 10.0);
    // 500 samples at 0.5 a second; a bake of 1,000 s is longer than 2,000 at 2.5; then 36 s.
    near(planned.hours.unwrap(), (1_000.0 + 1_000.0 + 36.0) / 3_600.0);
    near(planned.requests_exposed.unwrap(), 500.0 + 2_500.0);
    let expected = stats::power::detectable_difference(0.2, 2_500, 7_500, 0.05, 0.8).unwrap();
    assert_eq!(planned.detectable, expected);
    assert!((0.02..0.03).contains(&expected.unwrap()));
    assert!(bench.blobs.contains(planned.digest).unwrap());
    let blue_green = plan(&bench, Some(live), &[(10_000, 0, 60)]);
    assert_eq!((blue_green.requests_exposed, blue_green.detectable), (Some(0.0), None));
}

#[test]
fn a_plan_without_traffic_promises_nothing() {
    let planned = plan(&bench(), Some(release("v1")), &[(500, 500, 60), (10_000, 0, 60)]);
    let Planned { requests_per_second, hours, requests_exposed, detectable, .. } = planned;
    assert_eq!((requests_per_second, hours, requests_exposed, detectable), (0.0, None, None, None));
}

fn prepare(bench: &Bench, releases: &[&Release]) -> Outcome {
    bench.carry_out(Order::Prepare(Prepare { releases: releases.iter().map(|it| (*it).clone()).collect() }))
}

#[test]
fn exactly_the_wanted_releases_are_loaded_warm_and_told() {
    let mut bench = bench();
    let server = with_servers(&mut bench);
    let (one, _) = bench.release(&trained("v1"));
    let (two, _) = bench.release(&trained("v2"));
    let (three, _) = bench.release(&trained("v3"));
    for wanted in [vec![&one, &two], vec![&one, &two], vec![&two, &three], vec![]] {
        let Outcome::Prepared { servers } = prepare(&bench, &wanted) else { panic!() };
        let mut bundles: Vec<Digest> = wanted.iter().map(|release| release.bundle).collect();
        bundles.sort();
        assert_eq!((servers.len(), &servers[0].bundles, servers[0].heard_at), (1, &bundles, NOW));
        assert_eq!(servers[0].failed, []);
        assert_eq!(server.loaded().unwrap().len(), wanted.len());
    }
}

#[test]
fn a_release_that_cannot_be_loaded_keeps_no_other_from_it() {
    let mut bench = bench();
    with_servers(&mut bench);
    let (good, _) = bench.release(&trained("v1"));
    let bad = trained("v2");
    let draft = Draft::new(&bad, "onnx", &bad.signature, b"no model");
    let bundle = draft.store(bench.blobs.as_ref(), b"no model").unwrap();
    let broken = Release { version: bad.version, bundle, run: None };
    let swept = release("v3");
    let Outcome::Prepared { servers } = prepare(&bench, &[&broken, &swept, &good]) else { panic!() };
    assert_eq!(servers[0].bundles, [good.bundle]);
    assert_eq!(codes(&servers[0].failed), ["MODEL_UNREADABLE", "BLOB_MISSING"]);
}

#[test]
fn a_release_that_does_not_infer_is_not_left_loaded() {
    let mut bench = bench();
    let server = FakeServer::start(|_, _| (500, "{}".to_owned()));
    bench.workers.ports.servers.insert(target().environment, vec![server.clone()]);
    let (mute, _) = bench.release(&trained("v1"));
    let Outcome::Prepared { servers } = prepare(&bench, &[&mute]) else { panic!() };
    assert_eq!((codes(&servers[0].failed), servers[0].bundles.len()), (vec!["INFERENCE_FAILED"], 0));
    assert_eq!(server.loaded().unwrap(), []);
}

#[test]
fn with_a_key_an_unsigned_release_is_not_loaded() {
    let mut bench = bench();
    with_servers(&mut bench);
    let (unsigned, _) = bench.release(&trained("v1"));
    let signer = Signer::from_secret(&[7; 32]);
    bench.workers.config.trusted_keys = vec![signer.public_key()];
    let Outcome::Prepared { servers } = prepare(&bench, &[&unsigned]) else { panic!() };
    assert_eq!((codes(&servers[0].failed), servers[0].bundles.len()), (vec!["SIGNATURE_INVALID"], 0));
}

#[test]
fn an_attempt_that_another_one_overtook_takes_nothing_away() {
    let mut bench = bench();
    let server = with_servers(&mut bench);
    let (one, _) = bench.release(&trained("v1"));
    let (two, _) = bench.release(&trained("v2"));
    let attempt = |number: u32, releases: &[&Release], meanwhile: &dyn Fn()| {
        let order = Prepare { releases: releases.iter().map(|it| (*it).clone()).collect() };
        let owner = StreamId::Target(target());
        let command = Command { attempt: AttemptId { owner, number }, ..command(Order::Prepare(order)) };
        let began = |what: &str| {
            if what == "loading a release" {
                meanwhile();
            }
        };
        bench.workers.carry_out(&command, &|| false, &began)
    };
    // The target wants v1 of it, then both; the first attempt stood still before it loaded anything, and goes on now.
    let late = attempt(5, &[&one], &|| {
        let Outcome::Prepared { servers } = attempt(6, &[&one, &two], &|| {}) else { panic!() };
        assert_eq!(servers[0].bundles.len(), 2);
    });
    assert_eq!(code_of(&late), Some("SUPERSEDED"));
    assert_eq!(server.loaded().unwrap().len(), 2, "what the latest attempt prepared stays");
    assert_eq!(code_of(&attempt(5, &[], &|| {})), Some("SUPERSEDED"));
    assert_eq!(server.loaded().unwrap().len(), 2);
    let Outcome::Prepared { servers } = attempt(7, &[&two], &|| {}) else { panic!() };
    assert_eq!(servers[0].bundles, [two.bundle]);
}

#[test]
fn an_attempt_that_was_overtaken_at_one_server_goes_to_no_other() {
    let mut bench = bench();
    let first = with_servers(&mut bench);
    let second = LocalServer::start();
    bench.workers.ports.servers.get_mut(&target().environment).unwrap().push(second.clone());
    let (one, _) = bench.release(&trained("v1"));
    let order = Order::Prepare(Prepare { releases: vec![one] });
    let owner = StreamId::Target(target());
    let attempt = |number| AttemptId { owner: owner.clone(), number };
    // The next one has come to the first server only.
    let (next, onnx) = (trained("v2"), std::fs::read(flights().join("models/v2.onnx")).unwrap());
    first.load(&attempt(6), &next.model, Digest::of(b"next"), &onnx, &next.signature).unwrap();
    let late = Command { attempt: attempt(5), ..command(order) };
    let late = bench.workers.carry_out(&late, &|| false, &|_| {});
    assert_eq!(code_of(&late), Some("SUPERSEDED"));
    assert_eq!(second.loaded().unwrap(), []);
}

#[test]
fn without_a_server_preparing_is_trouble() {
    assert_eq!(code_of(&prepare(&bench(), &[])), Some("SERVER_MISSING"));
}

#[test]
fn a_table_is_applied_and_what_is_obeyed_is_read_back() {
    let bench = bench();
    let apply = |generation: u64| {
        let routes = vec![Route { release: release("v1"), weight: Weight::ALL }];
        let generation = Generation(generation);
        let table = RouteTable { target: target(), generation, routes, stable: None, sticky: Sticky::None };
        match bench.carry_out(Order::Apply(Apply { table })) {
            Outcome::Applied { gateways } => gateways[0].generation.0,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!([apply(3), apply(3), apply(2), apply(4)], [3, 3, 3, 4], "an older table is passed over");
    assert_eq!(bench.gateway.table(&target()).unwrap().generation, Generation(4));
}
