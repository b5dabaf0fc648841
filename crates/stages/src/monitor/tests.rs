//! Windows of real traffic against the real baseline.

use std::sync::Arc;

use domain::check::drift::Drift;
use domain::check::error_rate::ErrorRate;
use domain::check::quality::{Metric, Quality};
use domain::check::{Check, Kind};
use domain::evidence::Evidence;
use domain::model::{Release, Trained};
use domain::name::Digest;
use domain::routes::Generation;
use domain::time::Timestamp;
use domain::work::{Order, Watch};
use engine::port::blobs::Blobs as _;
use engine::port::predictions::{Label, Prediction, Predictions as _};

use crate::testing::{Bench, NOW, bench, check, code_of, codes, flights, run, stage, target, trained};

fn drift(features: &[&str]) -> Check {
    let features = features.iter().map(|it| (*it).into()).collect();
    check("drift", Kind::Drift(Drift { features, max: 0.2, fdr: 0.05 }))
}

fn watch(release: &Release, trained: &Trained, checks: Vec<Check>) -> Order {
    Order::Watch(Watch {
        run: run(),
        stage: stage(),
        release: release.clone(),
        trained: Arc::new(trained.clone()),
        from: Timestamp(NOW.0 - 1_000_000),
        to: NOW,
        checks,
    })
}

/// The rows of a flights evaluation file as predictions of this release, each with its label.
fn feed(bench: &Bench, release: &Release, version: &str, change: impl Fn(&mut Vec<f32>)) {
    let text = std::fs::read_to_string(flights().join(format!("evaluation/{version}.csv"))).unwrap();
    let (mut predictions, mut labels) = (Vec::new(), Vec::new());
    for (row, line) in text.lines().skip(1).enumerate() {
        let mut features: Vec<f32> = line.split(',').map(|cell| cell.parse().unwrap()).collect();
        let truth = f64::from(features.pop().unwrap());
        change(&mut features);
        let (request_id, at) = (format!("r{row}"), Timestamp(NOW.0 - 1_000_000 + row as u64));
        labels.push(Label { target: target(), request_id: request_id.clone(), at, value: truth });
        predictions.push(Prediction {
            target: target(),
            request_id,
            at,
            bundle: release.bundle,
            generation: Generation(1),
            unit: row as u64,
            latency_us: 700,
            error: row % 100 == 0,
            features,
            // Right but for one in ten.
            output: Some(if row % 10 == 5 { 1.0 - truth } else { truth }),
            score: Some(if truth > 0.5 { 0.9 } else { 0.1 }),
        });
    }
    bench.predictions.append(&predictions).unwrap();
    bench.predictions.label(&labels).unwrap();
}

fn index(evidence: &Evidence, feature: &str) -> f64 {
    let found = evidence.measurements.iter().find(|it| &*it.unit == feature);
    found.unwrap_or_else(|| panic!("no {feature}")).value("psi").unwrap()
}

#[test]
fn held_out_rows_do_not_drift_and_moved_ones_do() {
    let trained = trained("v2");
    let (still, moved) = (bench(), bench());
    let (release, _) = still.release(&trained);
    moved.release(&trained);
    feed(&still, &release, "v2", |_| {});
    feed(&moved, &release, "v2", |features| features[3] += 600.0);
    let still = still.measured(watch(&release, &trained, vec![drift(&[])]));
    let moved = moved.measured(watch(&release, &trained, vec![drift(&[])]));
    assert_eq!((still.measurements.len(), moved.measurements.len()), (18, 18));
    for feature in ["dep_hour", "distance", "origin_ewr", "carrier_network"] {
        assert!(index(&still, feature) < 0.02, "{feature} {}", index(&still, feature));
    }
    assert!(index(&moved, "distance") > 1.0);
    assert!((index(&moved, "dep_hour") - index(&still, "dep_hour")).abs() < 1e-12);
    let distance = moved.measurements.iter().find(|it| &*it.unit == "distance").unwrap();
    assert_eq!(distance.value("m"), Some(5_000.0));
    assert_eq!(distance.counts.iter().sum::<u64>(), 5_000);
    assert_eq!(distance.value("bins"), Some(distance.counts.len() as f64));
    assert_eq!(distance.inputs, trained.baseline.map(|file| file.sha256));
}

#[test]
fn only_the_features_asked_for_are_measured() {
    let (bench, trained) = (bench(), trained("v2"));
    let (release, _) = bench.release(&trained);
    feed(&bench, &release, "v2", |_| {});
    let evidence = bench.measured(watch(&release, &trained, vec![drift(&["temp", "distance"])]));
    assert_eq!(evidence.measurements.len(), 2);
    let evidence = bench.measured(watch(&release, &trained, vec![drift(&["no_such"])]));
    assert_eq!(codes(&evidence.findings), ["FEATURE_UNKNOWN"]);
    assert!(evidence.findings[0].check.as_str() != "drift", "it must not look like drift");
}

#[test]
fn a_window_counts_what_the_release_answered() {
    let (bench, trained) = (bench(), trained("v2"));
    let (release, _) = bench.release(&trained);
    feed(&bench, &release, "v2", |_| {});
    let checks = vec![
        check("errors", Kind::ErrorRate(ErrorRate { max: Some(0.1), margin: None })),
        check("f1", Kind::Quality(Quality { metric: Metric::F1, min: 0.5 })),
    ];
    let evidence = bench.measured(watch(&release, &trained, checks.clone()));
    let [errors, quality] = &evidence.measurements[..] else { panic!("{evidence:?}") };
    assert_eq!((errors.n, errors.sum as u64), (5_000, 50));
    assert_eq!((quality.n, quality.sum as u64), (4_950, 4_950 - 500));
    assert_eq!(quality.counts.iter().sum::<u64>(), 4_950);
    assert_eq!(quality.value("auc"), Some(1.0));
    let other = Release { bundle: Digest::of(b"other"), ..release };
    assert_eq!(bench.measured(watch(&other, &trained, checks)).measurements, [], "nothing is no measurement");
}

#[test]
fn a_baseline_that_is_none_is_no_data_and_one_that_is_gone_is_trouble() {
    let (bench, mut trained) = (bench(), trained("v2"));
    let (release, _) = bench.release(&trained);
    feed(&bench, &release, "v2", |_| {});
    for (profile, code) in [
        (&br#"{"method":"other","n":1,"features":[]}"#[..], "BASELINE_UNREADABLE"),
        (br#"{"method":"psi/ref-quantile-10","n":1,"features":[{"name":"a","edges":[2,1],"counts":[1,1,1]}]}"#, "BASELINE_UNREADABLE"),
        (br#"{"method":"psi/ref-quantile-10","n":1,"features":[{"name":"a","edges":[1],"counts":[1]}]}"#, "BASELINE_UNREADABLE"),
        (br#"{"method":"psi/ref-quantile-10","n":1,"features":[{"name":"a","edges":[1],"counts":[1,1]}]}"#, "FEATURES_MISMATCH"),
        (b"[]", "BASELINE_UNREADABLE"),
    ] {
        trained.baseline.as_mut().unwrap().sha256 = bench.blobs.put(profile).unwrap();
        let evidence = bench.measured(watch(&release, &trained, vec![drift(&[])]));
        assert_eq!((codes(&evidence.findings), evidence.measurements.len()), (vec![code], 0));
    }
    trained.baseline.as_mut().unwrap().sha256 = Digest::of(b"gone");
    let outcome = bench.carry_out(watch(&release, &trained, vec![drift(&[])]));
    assert_eq!(code_of(&outcome), Some("BLOB_MISSING"));
    trained.baseline = None;
    let evidence = bench.measured(watch(&release, &trained, vec![drift(&[])]));
    assert!(evidence.measurements.is_empty() && evidence.findings.is_empty());
}
