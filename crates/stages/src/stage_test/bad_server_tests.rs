//! Servers that misbehave: each check must see it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::check::Kind;
use domain::check::contract::Contract;
use domain::check::latency::Latency;
use domain::check::quality::{Metric, Quality};
use domain::check::smoke::Smoke;
use domain::evidence::Evidence;
use serde_json::{Value, json};

use super::tests::tested;
use crate::testing::{Answer, FakeServer, bench, check, codes, staging, trained};

fn against(answer: Answer, kind: Kind) -> Evidence {
    let mut bench = bench();
    bench.workers.ports.servers.insert(staging(), vec![FakeServer::start(answer)]);
    tested(&bench, &trained("v1"), vec![check("check", kind)])
}

fn seen(answer: Answer, kind: Kind) -> BTreeSet<String> {
    codes(&against(answer, kind).findings).into_iter().map(str::to_owned).collect()
}

fn set(codes: &[&str]) -> BTreeSet<String> {
    codes.iter().map(|code| (*code).to_owned()).collect()
}

/// A good answer to any request with rows.
fn good(body: &Value) -> Value {
    let rows = body["inputs"][0]["shape"][0].as_u64().unwrap_or(1);
    let zeros = |zero: Value| vec![zero; rows as usize];
    json!({
        "model_name": "flights-late",
        "id": body["id"],
        "outputs": [
            { "name": "probability", "datatype": "FP32", "shape": [rows, 1], "data": zeros(json!(0.0)) },
            { "name": "label", "datatype": "INT64", "shape": [rows], "data": zeros(json!(0)) },
        ],
    })
}

#[test]
fn a_server_that_accepts_everything_breaks_the_contract() {
    let answer: Answer = |_, body| (200, good(body).to_string());
    assert_eq!(
        seen(answer, Kind::Contract(Contract)),
        set(&["BAD_REQUEST_ACCEPTED", "UNKNOWN_MODEL_ANSWERED"])
    );
}

#[test]
fn each_broken_answer_has_its_code() {
    let wrong_id: Answer = |_, body| {
        let mut answer = good(body);
        answer["id"] = json!("other");
        (200, answer.to_string())
    };
    let wrong_datatype: Answer = |_, body| {
        let mut answer = good(body);
        answer["outputs"][1]["datatype"] = json!("INT32");
        (200, answer.to_string())
    };
    let wrong_shape: Answer = |_, body| {
        let mut answer = good(body);
        answer["outputs"][0]["shape"] = json!([1, 2]);
        (200, answer.to_string())
    };
    let too_short: Answer = |_, body| {
        let mut answer = good(body);
        answer["outputs"][0]["data"] = json!([]);
        (200, answer.to_string())
    };
    let missing: Answer = |_, body| {
        let mut answer = good(body);
        answer["outputs"] = json!([]);
        (200, answer.to_string())
    };
    for (answer, code) in [
        (wrong_id, "ID_NOT_ECHOED"),
        (wrong_datatype, "OUTPUT_DATATYPE"),
        (wrong_shape, "OUTPUT_SHAPE"),
        (too_short, "OUTPUT_SHAPE"),
        (missing, "OUTPUT_MISSING"),
        (|_, _| (500, String::new()), "BAD_REQUEST_FAILED"),
        (|_, _| (400, String::new()), "GOOD_REQUEST_REFUSED"),
    ] {
        let seen = seen(answer, Kind::Contract(Contract));
        assert!(seen.contains(code), "{code}: {seen:?}");
    }
}

#[test]
fn smoke_sees_what_is_not_ready_not_described_or_does_not_answer() {
    let all = ["SERVER_NOT_READY", "MODEL_NOT_READY", "METADATA_INCOMPLETE", "INFERENCE_FAILED"];
    assert_eq!(seen(|_, _| (500, "{}".into()), Kind::Smoke(Smoke)), set(&all));
    assert_eq!(seen(|_, _| (200, "{}".into()), Kind::Smoke(Smoke)), set(&["METADATA_INCOMPLETE"]));
}

#[test]
fn quality_does_not_count_answers_that_are_none() {
    let quality = || Kind::Quality(Quality { metric: Metric::F1, min: 0.1 });
    assert_eq!(seen(|_, _| (500, "{}".into()), quality()), set(&["INFERENCE_FAILED"]));
    assert_eq!(seen(|_, _| (200, "{}".into()), quality()), set(&["OUTPUT_SHAPE"]));
    let constant = against(|_, body| (200, good(body).to_string()), quality());
    let counts = &constant.measurements[0].counts;
    assert_eq!(
        (counts[0], counts[1], counts.iter().sum::<u64>()),
        (0, 0, 5_000),
        "nothing was called positive"
    );
    assert_eq!(constant.measurements[0].value("auc"), Some(0.5));
}

fn load(rate_per_second: f64, for_ms: u64) -> Kind {
    Kind::Latency(Latency { rate_per_second, for_ms, p99_max_ms: 1_000.0 })
}

#[test]
fn a_stall_is_charged_to_all_who_would_have_waited() {
    // The 100th request of the load stalls all behind it for 400 ms: at 200 a second that is 80 requests.
    static CALLS: AtomicU64 = AtomicU64::new(0);
    static DOOR: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let answer: Answer = |_, body| {
        let _held = DOOR.lock().unwrap();
        if CALLS.fetch_add(1, Ordering::Relaxed) == 120 {
            std::thread::sleep(Duration::from_millis(400));
        }
        (200, good(body).to_string())
    };
    let evidence = against(answer, load(200.0, 2_000));
    let latency = &evidence.measurements[0];
    assert_eq!(latency.n, 400);
    // A generator that waits for answers would see one slow request of 400, and a median and p99 of nothing.
    assert!(latency.value("p99_ms").unwrap() > 300.0, "{:?}", latency.values);
    assert!(latency.sum > 80.0 * 400.0 / 2.0 * 0.8, "{}", latency.sum);
}

#[test]
fn a_load_that_was_not_kept_or_not_answered_is_said() {
    // 32 senders at 100 ms an answer send 320 a second at most.
    let slow: Answer = |_, body| {
        std::thread::sleep(Duration::from_millis(100));
        (200, good(body).to_string())
    };
    assert_eq!(seen(slow, load(1_000.0, 1_000)), set(&["LOAD_NOT_KEPT"]));
    assert_eq!(seen(|_, _| (500, String::new()), load(100.0, 100)), set(&["LOAD_ERRORS"]));
    assert_eq!(seen(|_, _| (200, String::new()), load(0.0, 100)), set(&["LOAD_UNFIT"]));
    assert_eq!(seen(|_, _| (200, String::new()), load(f64::NAN, 100)), set(&["LOAD_UNFIT"]));
}
