//! What is wrong is refused with a status, a stable code, the field and a hint.

use api::{Config, NotSubmitted, view};
use axum::body::Body;
use axum::http::Request;
use engine::code::{Code, Stopped};
use futures_util::FutureExt as _;

use tower::ServiceExt as _;

use crate::world::{World, event};

#[tokio::test]
async fn bad_events_are_refused_with_what_is_wrong() {
    let world = World::new().await;
    let structured = "application/cloudevents+json";
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(300 * 1024));
    let without = |field: &str| {
        let mut event: serde_json::Value = serde_json::from_str(&event("fraud", "v1")).unwrap();
        event["data"].as_object_mut().unwrap().remove(field);
        event.to_string()
    };
    let with = |field: &str, value: &str| {
        let mut event: serde_json::Value = serde_json::from_str(&event("fraud", "v1")).unwrap();
        event["data"][field] = value.into();
        event.to_string()
    };
    for (body, status, code, field) in [
        ("{".to_owned(), 400, "MALFORMED", None),
        (String::new(), 400, "MALFORMED", None),
        (deep, 400, "TOO_DEEP", None),
        (long, 413, "TOO_LARGE", None),
        ("[".to_owned(), 400, "MALFORMED", None),
        (r#"{"id":"1","id":"2"}"#.to_owned(), 400, "MALFORMED", None),
        (
            with("version", "v1").replacen("\"version\":", "\"version\":NaN,\"version\":", 1),
            400,
            "MALFORMED",
            None,
        ),
        (
            event("fraud", "v1").replacen("\"id\":", "\"id\":9007199254740993,\"ide\":", 1),
            422,
            "WRONG_TYPE",
            Some("id"),
        ),
        (r#"{"id":1e999}"#.to_owned(), 400, "MALFORMED", None),
        (r#"{"specversion":"1.0"}"#.to_owned(), 422, "MISSING", Some("type")),
        (without("artifact"), 422, "MISSING", Some("data.artifact")),
        (with("model", "Fraud"), 422, "OUT_OF_RANGE", Some("data.model")),
        (event("frued", "v1"), 422, "NO_WORKFLOW", Some("model")),
        (with("workflow", "gatd"), 422, "NO_WORKFLOW", Some("workflow")),
        (event("fraud", "v1").replace("model.trained", "model.trainde"), 422, "UNKNOWN_TYPE", Some("type")),
    ] {
        let got = world.post(&world.admin, "/v1/events", &[("content-type", structured)], &body).await;
        let problem: view::ProblemBody = got.view();
        let head: String = body.chars().take(100).collect();
        assert_eq!((got.problem(), problem.field.as_deref()), ((status, code.to_owned()), field), "{head}");
        if code == "NO_WORKFLOW" {
            assert!(problem.hint.is_some(), "the nearest is named");
        }
    }
    let list: view::RunList = world.get("/v1/runs").await.view();
    assert!(list.runs.is_empty());
}

#[tokio::test]
async fn every_fault_of_an_event_is_told_at_once() {
    let world = World::new().await;
    let body =
        r#"{"specversion":"1.0","type":"io.modelrail.model.trained.v1","source":"s","id":"1","data":{}}"#;
    let problem: view::ProblemBody = world.publish(body).await.view();
    let fields: Vec<&str> = problem.problems.iter().filter_map(|fault| fault.field.as_deref()).collect();
    assert_eq!(fields, ["data.model", "data.version", "data.artifact"]);
}

#[tokio::test]
async fn requests_that_cannot_be_understood_name_the_field() {
    let world = World::new().await;
    let run = world.start("fraud", "v1").await;
    let digest = "0".repeat(64);
    let runs = format!("/v1/runs/{run}/requests");
    let targets = "/v1/targets/fraud@production/requests";
    let long = "x".repeat(4_097);
    for (path, body, status, code, field) in [
        (runs.as_str(), "{".to_owned(), 400, "MALFORMED", None),
        (&runs, String::new(), 400, "MALFORMED", None),
        (&runs, r#"["pause",null,null,null,null,"x"]"#.to_owned(), 400, "MALFORMED", None),
        (&runs, r#"{"kind":"pause","kind":"abort","reason":"x"}"#.to_owned(), 400, "MALFORMED", None),
        (&runs, r#"{"kind":"pause","reason":NaN}"#.to_owned(), 400, "MALFORMED", None),
        (&runs, r#"{"kind":"pause","reason":"x"} {}"#.to_owned(), 400, "MALFORMED", None),
        (&runs, "[".repeat(65), 400, "TOO_DEEP", None),
        (&runs, r#"{"kind":"aprove"}"#.to_owned(), 422, "MALFORMED", Some("kind")),
        (&runs, r#"{"kind":"pause","raeson":"x"}"#.to_owned(), 422, "MALFORMED", Some("raeson")),
        (&runs, r#"{"kind":"pause"}"#.to_owned(), 422, "MISSING", Some("reason")),
        (&runs, r#"{"kind":"approve","role":"ml"}"#.to_owned(), 422, "MISSING", Some("evidence")),
        (&runs, r#"{"kind":"retry","stage":"No","reason":"x"}"#.to_owned(), 400, "BAD_ID", Some("stage")),
        (&runs, r#"{"kind":"promote","to":"110%","reason":"x"}"#.to_owned(), 422, "MALFORMED", Some("to")),
        (&runs, format!(r#"{{"kind":"pause","reason":"{long}"}}"#), 413, "TOO_LARGE", Some("reason")),
        (
            &runs,
            format!(
                r#"{{"kind":"approve","stage":"a","role":"ml","evidence":"{digest}","rationale":"{long}"}}"#
            ),
            413,
            "TOO_LARGE",
            Some("rationale"),
        ),
        (targets, format!(r#"{{"kind":"freeze","reason":"{long}"}}"#), 413, "TOO_LARGE", Some("reason")),
        (targets, r#"{"kind":"freeze"}"#.to_owned(), 422, "MALFORMED", None),
        (
            targets,
            r#"{"kind":"freeze","reason":"x","until":"soon"}"#.to_owned(),
            422,
            "MALFORMED",
            Some("until"),
        ),
        (targets, r#"{"kind":"kill","reason":"x","bundle":"z"}"#.to_owned(), 400, "BAD_ID", Some("bundle")),
        (
            targets,
            format!(r#"{{"kind":"adopt","reason":"x","version":"1","bundle":"{digest}"}}"#),
            422,
            "UNKNOWN_BUNDLE",
            Some("bundle"),
        ),
    ] {
        let got = world.ask(path, &body).await;
        let problem: view::ProblemBody = got.view();
        assert_eq!((got.problem(), problem.field.as_deref()), ((status, code.to_owned()), field), "{body}");
    }
    let other = world.post(&world.admin, &runs, &[("content-type", "text/plain")], "x").await;
    assert_eq!(other.problem(), (415, "UNSUPPORTED_MEDIA_TYPE".to_owned()));
}

#[tokio::test]
async fn what_the_core_refuses_has_the_status_of_its_kind() {
    let world = World::new().await;
    let (mo, olga) = (world.user("mo", &["ml"]).await, world.user("olga", &["ml"]).await);
    let run = world.start("fraud", "v1").await;
    let requests = format!("/v1/runs/{run}/requests");
    let json = [("content-type", "application/json")];

    let owner = world.approve(&olga, &run, "k").await;
    assert_eq!(owner.problem(), (403, "SOD_VIOLATION".to_owned()), "the owner is known by name");
    let paused = world.post(&mo, &requests, &json, r#"{"kind":"pause","reason":"x"}"#).await;
    assert_eq!(paused.problem(), (403, "NOT_ENTITLED".to_owned()));
    let unknown = r#"{"kind":"retry","stage":"nope","reason":"x"}"#;
    assert_eq!(world.ask(&requests, unknown).await.problem(), (422, "NO_SUCH_STAGE".to_owned()));
    let resumed = world.ask(&requests, r#"{"kind":"resume","reason":"x"}"#).await;
    assert_eq!(resumed.problem(), (409, "WRONG_STATE".to_owned()));
    assert!(resumed.json()["hint"].as_str().is_some());

    assert_eq!(world.approve(&mo, &run, "once").await.status, 200);
    let missing =
        world.ask("/v1/targets/nobody@production/requests", r#"{"kind":"freeze","reason":"x"}"#).await;
    assert_eq!(missing.problem(), (404, "UNKNOWN_TARGET".to_owned()));
}

#[tokio::test]
async fn the_same_key_is_answered_alike_and_another_content_conflicts() {
    let world = World::new().await;
    world.start("fraud", "v1").await;
    let path = "/v1/targets/fraud@production/requests";
    let headers = [("content-type", "application/json"), ("idempotency-key", "k-1")];
    let freeze = r#"{"kind":"freeze","reason":"christmas"}"#;
    let first = world.post(&world.admin, path, &headers, freeze).await;
    let again = world.post(&world.admin, path, &headers, freeze).await;
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (200, 200), "{}", again.text());
    assert_eq!(first.json(), again.json());
    let other = world.post(&world.admin, path, &headers, r#"{"kind":"unfreeze","reason":"x"}"#).await;
    assert_eq!(other.problem(), (409, "CONFLICT".to_owned()));
    let target: view::TargetView = world.get("/v1/targets/fraud@production").await.view();
    assert_eq!(target.frozen.unwrap().by.unwrap().name.as_deref(), Some("admin"));
}

#[tokio::test]
async fn an_engine_that_cannot_take_more_says_when_to_come_back() {
    let world = World::new().await;
    *world.driver.broken.lock().unwrap() = Some(NotSubmitted::Busy);
    let busy = world.publish(&event("fraud", "v1")).await;
    assert_eq!(busy.problem(), (503, "BUSY".to_owned()));
    assert_eq!(busy.header("retry-after"), "1");
    assert_eq!(world.get("/readyz").await.problem(), (503, "BUSY".to_owned()));
    assert_eq!(world.get("/healthz").await.status, 200);
    let stopped = Stopped::new(Code::WriteFailed, "the disk is gone");
    *world.driver.broken.lock().unwrap() = Some(NotSubmitted::Stopped(stopped));
    assert_eq!(world.get("/readyz").await.problem(), (503, "WRITE_FAILED".to_owned()));
    let (code, hint) = ("DISK_FULL", "free some room");
    let text = "the disk has 3 MiB left".to_owned();
    *world.driver.broken.lock().unwrap() = Some(NotSubmitted::Suspended { code, text, hint });
    for suspended in [world.publish(&event("fraud", "v1")).await, world.get("/readyz").await] {
        assert_eq!(suspended.problem(), (503, "DISK_FULL".to_owned()));
        assert_eq!((suspended.header("retry-after"), &suspended.json()["hint"]), ("5", &hint.into()));
    }

    *world.driver.broken.lock().unwrap() = None;
    *world.driver.slow.lock().unwrap() = true;
    let pending = world.publish(&event("fraud", "v1")).await;
    assert_eq!(pending.status, 202);
    assert_eq!(pending.json()["events"][0]["outcome"], "pending");
    let asked = world.ask("/v1/targets/fraud@production/requests", r#"{"kind":"freeze","reason":"x"}"#).await;
    assert_eq!(asked.status, 202);
    assert!(asked.json()["id"].as_str().is_some());
}

#[tokio::test]
async fn requests_beyond_the_bound_are_refused_before_they_are_read() {
    let world = World::with(Config { requests_max: 1, ..Config::default() }).await;
    let body = Body::from_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let request = Request::post("/v1/users")
        .header("authorization", format!("Bearer {}", world.admin))
        .header("content-type", "application/json");
    let mut slow = Box::pin(world.router.clone().oneshot(request.body(body).unwrap()));
    assert!((&mut slow).now_or_never().is_none(), "it waits for its body");
    let refused = world.get("/v1/runs").await;
    assert_eq!(refused.problem(), (503, "BUSY".to_owned()));
    assert_eq!(refused.header("retry-after"), "1");
    assert!(refused.json()["hint"].as_str().unwrap().contains("limits.requests_max"));
    assert_eq!(world.get("/healthz").await.status, 200, "what tells of the process is answered always");
    drop(slow);
    assert_eq!(world.get("/v1/runs").await.status, 200, "its place is free again");
}

#[tokio::test]
async fn event_streams_beyond_the_bound_are_refused() {
    let world = World::with(Config { streams_max: 1, ..Config::default() }).await;
    let run = world.start("fraud", "v1").await;
    let path = format!("/v1/runs/{run}/events");
    let request = Request::get(&path).header("authorization", format!("Bearer {}", world.admin));
    let open = world.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(open.status(), 200);
    let refused = world.get(&path).await;
    assert_eq!(refused.problem(), (503, "BUSY".to_owned()));
    assert_eq!(refused.header("retry-after"), "1");
    drop(open);
    let request = Request::get(&path).header("authorization", format!("Bearer {}", world.admin));
    let again = world.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(again.status(), 200, "its place is free again");
}

#[tokio::test]
async fn a_backup_is_for_administrators_and_to_an_absolute_path() {
    let world = World::new().await;
    let (json, body) = ([("content-type", "application/json")], r#"{"to":"/backups/1"}"#);
    let bob = world.user("bob", &["ml"]).await;
    let refused = world.post(&bob, "/v1/backups", &json, body).await;
    assert_eq!(refused.problem(), (403, "NOT_ENTITLED".to_owned()));
    let relative = world.ask("/v1/backups", r#"{"to":"backups/1"}"#).await;
    assert_eq!(relative.problem(), (422, "MALFORMED".to_owned()));
    let refused = world.ask("/v1/backups", body).await;
    assert_eq!(refused.problem(), (409, "BACKUP_EXISTS".to_owned()));
    assert_eq!(refused.json()["hint"], "name another");
}

#[tokio::test]
async fn bad_questions_are_refused() {
    let world = World::new().await;
    let run = world.start("fraud", "v1").await;
    for (path, status, code) in [
        ("/v1/runs?modle=fraud".to_owned(), 400, "BAD_QUERY"),
        ("/v1/runs?limit=0".to_owned(), 400, "BAD_QUERY"),
        ("/v1/runs?limit=501".to_owned(), 400, "BAD_QUERY"),
        ("/v1/runs?state=happy".to_owned(), 400, "BAD_ID"),
        ("/v1/runs?target=fraud".to_owned(), 400, "BAD_ID"),
        ("/v1/runs?cursor=x".to_owned(), 400, "BAD_CURSOR"),
        ("/v1/runs/00000000000000000000000000".to_owned(), 404, "UNKNOWN_RUN"),
        ("/v1/runs/0000".to_owned(), 404, "UNKNOWN_RUN"),
        ("/v1/runs/..%2Fusers.json".to_owned(), 400, "BAD_ID"),
        ("/v1/runs/%FF".to_owned(), 400, "BAD_ID"),
        (format!("/v1/runs/{run}/state"), 400, "BAD_QUERY"),
        (format!("/v1/runs/{run}/state?at=yesterday"), 400, "BAD_ID"),
        (format!("/v1/runs/{run}/transitions?cursor=-1"), 400, "BAD_CURSOR"),
        ("/v1/targets/fraud".to_owned(), 400, "BAD_ID"),
        ("/v1/targets/none@production".to_owned(), 404, "UNKNOWN_TARGET"),
        ("/v1/evidence/abc".to_owned(), 400, "BAD_ID"),
        (format!("/v1/evidence/{}", "0".repeat(64)), 404, "MISSING"),
        ("/v1/nothing".to_owned(), 404, "NO_SUCH_PATH"),
        ("/v1/verify".to_owned(), 405, "NO_SUCH_METHOD"),
    ] {
        assert_eq!(world.get(&path).await.problem(), (status, code.to_owned()), "{path}");
    }
    let twins = ["r\u{e9}sum\u{e9}@production", "re\u{301}sume\u{301}@production"];
    let ids = ["../x", "..\\x", "%2e%2e%2f", "a\0b", "\u{202e}gnp.exe", " ", &"0".repeat(10_000), "-rf"];
    for id in ids.into_iter().chain(twins) {
        let escaped = id.bytes().fold(String::new(), |text, byte| format!("{text}%{byte:02X}"));
        for path in [
            format!("/v1/runs/{escaped}"),
            format!("/v1/runs/{escaped}/transitions"),
            format!("/v1/targets/{escaped}"),
            format!("/v1/evidence/{escaped}"),
            format!("/v1/runs?model={escaped}&target={escaped}"),
        ] {
            let got = world.get(&path).await;
            assert_eq!(got.problem(), (400, "BAD_ID".to_owned()), "{path}");
            assert!(got.text().len() < 1_000, "what is wrong is not repeated in full: {path}");
        }
    }
    let small = World::with(Config { body_bytes_max: 10, ..Config::default() }).await;
    let got = small.ask("/v1/users", r#"{"name":"somebody","roles":[]}"#).await;
    assert_eq!(got.problem(), (413, "TOO_LARGE".to_owned()));
}

/// Whoever reads the log anew cannot know that there is no such run, nor how the others are now: a client is to ask again.
#[tokio::test]
async fn before_the_log_was_read_to_its_end_nothing_is_said_of_runs_and_targets() {
    let world = World::new().await;
    let run = world.start("fraud", "v1").await;
    let (run_missing, target_missing) =
        ("/v1/runs/00000000000000000000000000", "/v1/targets/none@production");
    let reading =
        NotSubmitted::Suspended { code: "READING", text: "two partitions are left".into(), hint: "wait" };
    *world.driver.behind.lock().unwrap() = Some(reading);
    let (shown, of_target) = (format!("/v1/runs/{run}"), "/v1/targets/fraud@production");
    let transitions = format!("{shown}/transitions");
    let there = [&shown, &transitions, "/v1/runs", "/v1/targets", of_target];
    for path in [run_missing, "/v1/runs/0000", target_missing].into_iter().chain(there) {
        let answer = world.get(path).await;
        assert_eq!(answer.problem(), (503, "READING".to_owned()), "{path}");
        assert!(answer.headers.contains_key("retry-after"), "{path}");
    }
    let asked = world.ask(&format!("{run_missing}/requests"), r#"{"kind":"pause","reason":"x"}"#).await;
    assert_eq!(asked.problem(), (503, "READING".to_owned()));
    *world.driver.behind.lock().unwrap() = None;
    for path in there {
        assert_eq!(world.get(path).await.status, 200, "{path}");
    }
    assert_eq!(world.get(run_missing).await.problem(), (404, "UNKNOWN_RUN".to_owned()));
}
