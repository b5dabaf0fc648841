//! A model on its way: published, approved, live, and everything that can be read about it.

use api::view;
use domain::time::Millis;
use engine::port::blobs::Blobs as _;

use crate::world::{World, event};

#[tokio::test]
async fn a_published_model_goes_live_after_approval_and_all_of_it_can_be_read() {
    let world = World::new().await;
    let (mo, _) = (world.user("mo", &["ml"]).await, world.user("olga", &["ml"]).await);
    let run = world.start("fraud", "v1").await;

    let got = world.get(&format!("/v1/runs/{run}")).await;
    let shown: view::RunView = got.view();
    assert_eq!(shown.state, "active");
    assert_eq!(shown.owner.as_deref(), Some("olga"), "the owner is named, not the subject");
    let states: Vec<(&str, &str)> =
        shown.stages.iter().map(|stage| (stage.name.as_str(), stage.state.as_str())).collect();
    assert_eq!(states, [("package", "pass"), ("board", "waiting"), ("switch", "pending")]);
    let gate = shown.stages[1].gate.as_ref().unwrap();
    assert_eq!((gate.seats[0].role.as_str(), gate.seats[0].asked, gate.seats[0].given), ("ml", 1, 0));

    let waits: view::WaitsView = world.get(&format!("/v1/runs/{run}/why")).await.view();
    let people = waits.waits.iter().find(|wait| wait.kind == "people").unwrap();
    assert!(people.text.contains("1 more approval as ml"), "{people:?}");
    assert!(people.until.is_some());

    let accepted = world.approve(&mo, &run, "k1").await;
    assert_eq!(accepted.status, 200, "{}", accepted.text());
    let answer: view::RequestAnswer = accepted.view();
    assert_eq!((answer.id.as_str(), answer.outcome), ("k1", view::RequestOutcome::Accepted));
    world.driver.advance(Millis::minutes(2));
    world.driver.advance(Millis::minutes(2));

    let live: view::RunView = world.get(&format!("/v1/runs/{run}")).await.view();
    assert_eq!(live.state, "live", "{live:#?}");
    assert_eq!(live.stages[1].gate.as_ref().unwrap().votes[0].who.name.as_deref(), Some("mo"));
    assert!(
        live.stages[2]
            .rollout
            .as_ref()
            .unwrap()
            .plan
            .as_ref()
            .is_none_or(|plan| plan.requests_per_second.is_none())
    );

    let target: view::TargetView = world.get("/v1/targets/fraud@production").await.view();
    assert_eq!(target.live.as_ref().unwrap().release.version, "v1");
    assert_eq!(target.routes[0].weight, "100%");
    let list: view::TargetList = world.get("/v1/targets").await.view();
    assert_eq!(list.targets[0].live_version.as_deref(), Some("v1"));
    let history: view::TargetHistory = world.get("/v1/targets/fraud@production/history").await.view();
    let what: Vec<&str> = history.history.iter().map(|line| line.what.as_str()).collect();
    assert_eq!(what, ["generation_raised", "live_changed"]);

    let list: view::RunList = world.get("/v1/runs?state=live&model=fraud").await.view();
    assert_eq!(list.runs.len(), 1);
    assert_eq!(list.runs[0].run, run);
    let none: view::RunList = world.get("/v1/runs?state=blocked").await.view();
    assert!(none.runs.is_empty());

    let verified: view::VerifyView = world.ask("/v1/verify", "").await.view();
    assert!(verified.good, "{verified:#?}");
    assert!(verified.partitions.iter().map(|partition| partition.decided).sum::<u64>() > 5);
}

#[tokio::test]
async fn the_past_is_shown_as_it_was() {
    let world = World::new().await;
    let mo = world.user("mo", &["ml"]).await;
    let run = world.start("fraud", "v1").await;
    let before: view::RunView = world.get(&format!("/v1/runs/{run}")).await.view();
    assert_eq!(world.approve(&mo, &run, "k").await.status, 200);
    world.driver.advance(Millis::minutes(5));

    let then = world.get(&format!("/v1/runs/{run}/state?at={}", before.seq)).await;
    assert_eq!(then.view::<view::RunView>(), before);
    let by_time: view::RunView =
        world.get(&format!("/v1/runs/{run}/state?at={}", before.updated_at)).await.view();
    assert_eq!(by_time.run, run);
    let early = world.get(&format!("/v1/runs/{run}/state?at=2000-01-01T00:00:00Z")).await;
    assert_eq!(early.problem(), (404, "NOT_YET".to_owned()));

    let mut cursor = String::new();
    let mut all: Vec<view::TransitionView> = vec![];
    loop {
        let page: view::TransitionList =
            world.get(&format!("/v1/runs/{run}/transitions?limit=2{cursor}")).await.view();
        assert!(page.transitions.len() <= 2);
        all.extend(page.transitions);
        let Some(next) = page.next_cursor else { break };
        cursor = format!("&cursor={next}");
    }
    assert!(all.is_sorted_by(|a, b| a.seq < b.seq));
    let now: view::RunView = world.get(&format!("/v1/runs/{run}")).await.view();
    assert_eq!(all.len() as u64, now.transitions);
    let vote = all.iter().find(|one| one.input == "Approve").unwrap();
    assert_eq!(vote.who.as_ref().unwrap().name.as_deref(), Some("mo"));
    assert!(vote.said.iter().any(|said| said.name == "rationale" && said.value == "looks good"));
    let approved = vote.steps[0].events.iter().find(|event| event.event == "Approved").unwrap();
    assert_eq!(approved.value("by"), Some("mo"));
}

#[tokio::test]
async fn the_same_event_again_is_answered_with_the_same_run() {
    let world = World::new().await;
    let mo = world.user("mo", &["ml"]).await;
    let first = world.publish(&event("fraud", "v1")).await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = [("content-type", "application/cloudevents+json"), ("traceparent", trace)];
    let again = world.post(&mo, "/v1/events", &headers, &event("fraud", "v1")).await;
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (202, 202), "{}", again.text());
    assert_eq!(first.header("location"), again.header("location"));
    let (first, again): (view::EventAnswers, view::EventAnswers) = (first.view(), again.view());
    assert_eq!(first.events[0].run, again.events[0].run);
    assert_eq!((first.events[0].repeated, again.events[0].repeated), (false, true));

    let other = event("fraud", "v1").replace(".onnx", "-other.onnx");
    assert_eq!(world.publish(&other).await.problem(), (409, "CONFLICT".to_owned()));
}

#[tokio::test]
async fn binary_and_batch_mode_start_runs_too() {
    let world = World::new().await;
    let whole: serde_json::Value = serde_json::from_str(&event("fraud", "v1")).unwrap();
    let headers = [
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-type", "io.modelrail.model.trained.v1"),
        ("ce-source", "/training"),
        ("ce-id", "v1"),
    ];
    let binary = world.post(&world.admin, "/v1/events", &headers, &whole["data"].to_string()).await;
    assert_eq!(binary.status, 202, "{}", binary.text());
    // A message with model, version, artifact and a tier that would nest too deep if it were JSON.
    let (sha256, tier) = ("a".repeat(32), "[".repeat(65));
    let message = format!("\x0a\x05fraud\x12\x02v9\x1a\x2f\x0a\x0bfile:m.onnx\x12\x20{sha256}\x72\x41{tier}");
    let mut headers = headers;
    (headers[0].1, headers[4].1) = ("application/protobuf", "v9");
    let protobuf = world.post(&world.admin, "/v1/events", &headers, &message).await;
    assert_eq!(protobuf.status, 202, "{}", protobuf.text());

    let batch = format!("[{},{}]", event("fraud", "v1"), event("churn-eu", "v2"));
    let headers = [("content-type", "application/cloudevents-batch+json")];
    let batch = world.post(&world.admin, "/v1/events", &headers, &batch).await;
    let answers: view::EventAnswers = batch.view();
    let repeated: Vec<bool> = answers.events.iter().map(|one| one.repeated).collect();
    assert_eq!(repeated, [true, false]);
    assert_eq!(answers.events[1].target, "churn-eu@production");
}

#[tokio::test]
async fn a_run_is_found_by_a_prefix_that_only_it_has() {
    let world = World::new().await;
    let run = world.start("fraud", "v1").await;
    let got: view::RunView = world.get(&format!("/v1/runs/{}", run[..6].to_lowercase())).await.view();
    assert_eq!(got.run, run);
    assert_eq!(world.get(&format!("/v1/runs/{}", &run[..3])).await.problem(), (400, "BAD_ID".to_owned()));
    // Among this many ids two begin alike.
    let mut seen = std::collections::BTreeMap::from([(run[..4].to_owned(), run)]);
    for number in 0.. {
        let run = world.start("fraud", &format!("v1-{number}")).await;
        if let Some(other) = seen.insert(run[..4].to_owned(), run.clone()) {
            let got = world.get(&format!("/v1/runs/{}", &run[..4])).await;
            assert_eq!(got.problem(), (409, "AMBIGUOUS_RUN".to_owned()));
            let mut candidates = [other, run];
            candidates.sort_unstable();
            let body: view::ProblemBody = got.view();
            let mut told = body.candidates;
            told.sort_unstable();
            assert_eq!(told, candidates);
            break;
        }
    }
}

#[tokio::test]
async fn an_unchanged_run_is_not_sent_again() {
    let world = World::new().await;
    let run = world.start("fraud", "v1").await;
    let first = world.get(&format!("/v1/runs/{run}")).await;
    let tag = first.header("etag").to_owned();
    let again = world.get_with(&format!("/v1/runs/{run}"), &[("if-none-match", &tag)]).await;
    assert_eq!((again.status.as_u16(), again.bytes.len()), (304, 0));
    let body = r#"{"kind":"pause","reason":"lunch"}"#;
    assert_eq!(world.ask(&format!("/v1/runs/{run}/requests"), body).await.status, 200);
    let changed = world.get_with(&format!("/v1/runs/{run}"), &[("if-none-match", &tag)]).await;
    assert_eq!(changed.status, 200);
    assert!(changed.view::<view::RunView>().paused_since.is_some());
}

#[tokio::test]
async fn a_verdict_is_explained_and_blobs_are_given() {
    let world = World::new().await;
    let run = world.start("fraud", "v1").await;
    let explained: view::Explanation = world.get(&format!("/v1/runs/{run}/explain?stage=board")).await.view();
    assert_eq!(explained.stages.len(), 1);
    let missing = world.get(&format!("/v1/runs/{run}/explain?stage=no")).await;
    assert_eq!(missing.problem(), (404, "NO_SUCH_STAGE".to_owned()));

    let digest = world.blobs.put(br#"{"a":1}"#).unwrap();
    let got = world.get(&format!("/v1/evidence/{digest}")).await;
    assert_eq!((got.header("content-type"), got.text().as_str()), ("application/json", r#"{"a":1}"#));
    let digest = world.blobs.put(b"<script>").unwrap();
    let got = world.get(&format!("/v1/bundles/{}", digest.hex())).await;
    assert_eq!(got.header("content-type"), "application/octet-stream");
    assert_eq!(got.header("x-content-type-options"), "nosniff");
}

#[tokio::test]
async fn lists_have_pages() {
    let world = World::new().await;
    for number in 0..5 {
        world.start("fraud", &format!("v{number}")).await;
        world.driver.advance(Millis::seconds(1));
    }
    let mut versions = vec![];
    let mut cursor = String::new();
    loop {
        let page: view::RunList = world.get(&format!("/v1/runs?limit=2{cursor}")).await.view();
        versions.extend(page.runs.into_iter().map(|run| run.version));
        let Some(next) = page.next_cursor else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(versions, ["v4", "v3", "v2", "v1", "v0"], "newest first, each once");
}
