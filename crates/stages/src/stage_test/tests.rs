//! Real checks against the real model server, over HTTP.

use std::sync::Arc;

use domain::check::contract::Contract;
use domain::check::latency::Latency;
use domain::check::quality::{Metric, Quality};
use domain::check::smoke::Smoke;
use domain::check::{Check, Kind, Setting};
use domain::evidence::{Arm, Evidence};
use domain::model::Trained;
use domain::name::{AttemptId, RunId, StreamId};
use domain::verdict::Verdict;
use domain::work::{Command, Order, Outcome, Test};
use engine::port::blobs::Blobs as _;

use crate::bundle::Draft;
use crate::testing::{
    Bench, bench, check, code_of, codes, command, flights, run, stage, staging, target, trained, with_servers,
};

fn all() -> Vec<Check> {
    vec![
        check("smoke", Kind::Smoke(Smoke)),
        check("contract", Kind::Contract(Contract)),
        check("f1", Kind::Quality(Quality { metric: Metric::F1, min: 0.3 })),
        check("auc", Kind::Quality(Quality { metric: Metric::Auc, min: 0.6 })),
        check(
            "latency",
            Kind::Latency(Latency { rate_per_second: 200.0, for_ms: 2_000, p99_max_ms: 1_000.0 }),
        ),
    ]
}

fn order(release: domain::model::Release, trained: &Trained, checks: Vec<Check>) -> Order {
    let trained = Arc::new(trained.clone());
    Order::Test(Test {
        run: run(),
        stage: stage(),
        environment: staging(),
        release,
        live: None,
        trained,
        checks,
    })
}

/// Packs and tests.
pub(super) fn tested(bench: &Bench, trained: &Trained, checks: Vec<Check>) -> Evidence {
    let (release, _) = bench.release(trained);
    bench.measured(order(release, trained, checks))
}

fn ready() -> Bench {
    let mut bench = bench();
    with_servers(&mut bench);
    bench
}

fn claim(trained: &Trained, name: &str) -> f64 {
    trained.claims.iter().find(|claim| &*claim.name == name).unwrap().value
}

#[test]
fn flights_models_pass_and_measure_what_training_found() {
    let bench = ready();
    for version in ["v1", "v2", "v3"] {
        let trained = trained(version);
        let evidence = tested(&bench, &trained, all());
        assert_eq!(evidence.findings, [], "{version}");
        for check in all() {
            let setting = Setting { alpha: 0.05, samples: 0, no_counterpart: None };
            let judgement = check.judge(&evidence, setting);
            assert_eq!(judgement.verdict, Verdict::Pass, "{version} {}: {judgement:?}", check.name);
        }
        let quality = evidence.measurements.iter().find(|it| it.check.as_str() == "auc").unwrap();
        assert_eq!((quality.arm, quality.n), (Arm::Candidate, 5_000));
        // The events give four decimals.
        let near = |found: f64, name: &str| {
            assert!((found - claim(&trained, name)).abs() < 6e-5, "{version} {name}");
        };
        near(quality.sum / quality.n as f64, "label-match");
        near(quality.value("auc").unwrap(), "auc");
        near(quality.value("log_loss").unwrap(), "log-loss");
        let [tp, fp, fn_, _] = quality.counts[..] else { panic!("four cells") };
        near(2.0 * tp as f64 / (2 * tp + fp + fn_) as f64, "f1");
        let latency = evidence.measurements.last().unwrap();
        assert_eq!(latency.n, 400);
        assert!(latency.value("p99_ms") >= latency.value("p50_ms") && latency.value("errors") == Some(0.0));
    }
}

#[test]
fn staging_is_empty_after_the_tests() {
    let bench = ready();
    tested(&bench, &trained("v1"), all()[..1].to_vec());
    assert_eq!(bench.workers.ports.servers[&staging()][0].loaded().unwrap(), []);
}

#[test]
fn tests_of_one_bundle_side_by_side_leave_it_to_each_other() {
    let bench = ready();
    let trained = trained("v1");
    let (release, _) = bench.release(&trained);
    let order = order(release, &trained, all()[..2].to_vec());
    let attempt = |of: &str, number: u32, meanwhile: &dyn Fn()| {
        let owner = StreamId::Run(RunId::derive("/test", of, &target()));
        let command = Command { attempt: AttemptId { owner, number }, ..command(order.clone()) };
        // Loaded, and nothing asked yet.
        let began = |what: &str| {
            if what == "smoke" {
                meanwhile();
            }
        };
        bench.workers.carry_out(&command, &|| false, &began)
    };
    let found_nothing = |outcome: Outcome| match outcome {
        Outcome::Measured(evidence) => assert_eq!(evidence.findings, []),
        other => panic!("expected to measure, but {other:?}"),
    };
    found_nothing(attempt("one", 1, &|| found_nothing(attempt("another", 1, &|| {}))));
    // An attempt that stood still ends in the middle of the next one of the same run.
    let late = || assert_eq!(code_of(&attempt("one", 1, &|| {})), Some("SUPERSEDED"));
    found_nothing(attempt("one", 2, &late));
    assert_eq!(bench.workers.ports.servers[&staging()][0].loaded().unwrap(), [], "and nobody keeps it");
}

#[test]
fn a_server_that_lost_the_bundle_meanwhile_says_nothing_of_the_model() {
    let bench = ready();
    let trained = trained("v1");
    let (release, _) = bench.release(&trained);
    let command = command(order(release, &trained, all()[..2].to_vec()));
    // Somebody has it unloaded in the name of the same attempt.
    let server = &bench.workers.ports.servers[&staging()][0];
    let lose = |what: &str| {
        if what == "smoke" {
            server.keep(&command.attempt, &trained.model, &[]).unwrap();
        }
    };
    let outcome = bench.workers.carry_out(&command, &|| false, &lose);
    assert_eq!(code_of(&outcome), Some("BUNDLE_UNLOADED"), "{outcome:?}");
}

/// Packs bytes that packaging would have refused, or that only a server can refuse.
fn forced(bench: &Bench, trained: &Trained, model: &[u8]) -> domain::model::Release {
    let draft = Draft::new(trained, "onnx", &trained.signature, model);
    let bundle = draft.store(bench.blobs.as_ref(), model).unwrap();
    domain::model::Release { version: trained.version.clone(), bundle, run: None }
}

#[test]
fn a_model_that_no_server_takes_is_a_finding_of_every_check() {
    let bench = ready();
    let trained = trained("v1");
    let release = forced(&bench, &trained, b"no model");
    let evidence = bench.measured(order(release, &trained, all()));
    assert_eq!(codes(&evidence.findings), ["MODEL_UNREADABLE"; 5]);
    assert_eq!(evidence.measurements, []);
}

#[test]
fn an_evaluation_that_does_not_fit_is_a_finding() {
    let quality = || vec![all()[2].clone()];
    for (csv, code) in [
        ("", "EVALUATION_UNUSABLE"),
        ("a,b\n1,2\n", "EVALUATION_UNUSABLE"),
        ("a,label\n1,1\n", "EVALUATION_UNUSABLE"),
        ("a,label\nx,1\n", "EVALUATION_UNUSABLE"),
        ("a,label\n1,2\n", "EVALUATION_UNUSABLE"),
        ("a,label\n", "EVALUATION_UNUSABLE"),
    ] {
        let bench = ready();
        let mut trained = trained("v1");
        let (release, _) = bench.release(&trained);
        trained.evaluation.as_mut().unwrap().sha256 = bench.blobs.put(csv.as_bytes()).unwrap();
        let evidence = bench.measured(order(release, &trained, quality()));
        assert_eq!(codes(&evidence.findings), [code], "{csv}");
    }
    let bench = ready();
    let mut trained = trained("v1");
    trained.evaluation = None;
    let evidence = tested(&bench, &trained, quality());
    assert!(evidence.findings.is_empty() && evidence.measurements.is_empty(), "no evaluation is no data");
}

#[test]
fn what_is_missing_or_unreachable_is_trouble_and_no_verdict() {
    let bench = ready();
    let trained = trained("v1");
    let (release, _) = bench.release(&trained);
    let mut nowhere = crate::testing::bench();
    nowhere.workers.ports.blobs = bench.blobs.clone();
    let outcome = nowhere.carry_out(order(release.clone(), &trained, all()));
    assert_eq!(code_of(&outcome), Some("SERVER_MISSING"));
    // A server that takes the model, and nobody listens where it should answer.
    nowhere.workers.ports.servers.insert(staging(), vec![Arc::new(crate::port::memory::Server::default())]);
    let outcome = nowhere.carry_out(order(release.clone(), &trained, all()));
    assert_eq!(code_of(&outcome), Some("SERVER_UNREACHABLE"), "{outcome:?}");
    assert_eq!(nowhere.workers.ports.servers[&staging()][0].loaded().unwrap(), [], "unloaded all the same");
    let swept = domain::model::Release { bundle: domain::name::Digest::of(b"swept"), ..release };
    let outcome = bench.carry_out(order(swept, &trained, all()));
    assert_eq!(code_of(&outcome), Some("BLOB_MISSING"));
}

#[test]
fn a_check_of_production_traffic_is_told_that_staging_has_none() {
    let bench = ready();
    let error_rate = domain::check::error_rate::ErrorRate { max: Some(0.1), margin: None };
    let evidence = tested(&bench, &trained("v1"), vec![check("error-rate", Kind::ErrorRate(error_rate))]);
    assert_eq!(codes(&evidence.findings), ["CHECK_NOT_HERE"]);
}

#[test]
fn the_evaluation_files_are_those_of_the_example() {
    for version in ["v1", "v2", "v3"] {
        let bytes = std::fs::read(flights().join(format!("evaluation/{version}.csv"))).unwrap();
        assert_eq!(domain::name::Digest::of(&bytes), trained(version).evaluation.unwrap().sha256);
    }
}
