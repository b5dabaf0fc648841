//! The transitions of a run as they happen.

use axum::body::{Body, BodyDataStream};
use axum::http::Request;
use domain::time::Millis;
use futures_util::StreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tower::ServiceExt as _;

use crate::world::World;

async fn follow(world: &World, run: &str, last: Option<u64>) -> BodyDataStream {
    let mut request = Request::get(format!("/v1/runs/{run}/events"))
        .header("authorization", format!("Bearer {}", world.admin));
    if let Some(last) = last {
        request = request.header("last-event-id", last.to_string());
    }
    let response = world.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 200);
    response.into_body().into_data_stream()
}

/// The id of the next event; nothing at the stream's end.
async fn next(stream: &mut BodyDataStream) -> Option<u64> {
    let bytes = stream.next().await?.unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    assert!(text.contains("event: transition\n"), "{text}");
    let id = text.lines().find_map(|line| line.strip_prefix("id: ")).unwrap();
    let data = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
    let view: api::view::TransitionView = serde_json::from_str(data).unwrap();
    assert_eq!(view.seq.to_string(), id);
    Some(view.seq)
}

#[tokio::test]
async fn a_stream_resumes_where_it_broke_off_and_ends_with_the_run() {
    let world = World::new().await;
    let run = world.start("fraud", "v1").await;
    let page = world.get(&format!("/v1/runs/{run}/transitions")).await.json();
    let before: Vec<u64> =
        page["transitions"].as_array().unwrap().iter().map(|one| one["seq"].as_u64().unwrap()).collect();
    assert!(before.len() >= 2);

    let mut whole = follow(&world, &run, None).await;
    for seq in &before {
        assert_eq!(next(&mut whole).await, Some(*seq));
    }
    let mut rest = follow(&world, &run, Some(before[0])).await;
    for seq in &before[1..] {
        assert_eq!(next(&mut rest).await, Some(*seq));
    }

    let aborted = {
        let path = format!("/v1/runs/{run}/requests");
        world.ask(&path, r#"{"kind":"abort","reason":"enough"}"#).await.json()["seq"].as_u64().unwrap()
    };
    world.driver.advance(Millis::seconds(1));
    for stream in [&mut whole, &mut rest] {
        assert_eq!(next(stream).await, Some(aborted));
        assert_eq!(next(stream).await, None, "an ended run has nothing more to tell");
    }
}

#[tokio::test]
async fn a_closing_server_ends_its_streams() {
    let world = World::new().await;
    let run = world.start("fraud", "v1").await;
    let last = world.get(&format!("/v1/runs/{run}")).await.json()["seq"].as_u64().unwrap();
    let mut stream = follow(&world, &run, Some(last)).await;
    let (ended, ()) = tokio::join!(next(&mut stream), async {
        tokio::task::yield_now().await;
        world.api.close();
    });
    assert_eq!(ended, None);
}

#[tokio::test]
async fn a_server_on_a_socket_stops_though_a_stream_is_open() {
    let world = World::new().await;
    let run = world.start("fraud", "v1").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(api::serve(world.api.clone(), listener, async {
        stopped.await.unwrap();
    }));
    let mut client = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /v1/runs/{run}/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n",
        world.admin
    );
    client.write_all(request.as_bytes()).await.unwrap();
    let mut seen = String::new();
    while !seen.contains("event: transition") {
        let mut bytes = [0; 4096];
        let read = client.read(&mut bytes).await.unwrap();
        assert!(read > 0, "{seen}");
        seen.push_str(&String::from_utf8_lossy(&bytes[..read]));
    }
    assert!(seen.starts_with("HTTP/1.1 200"), "{seen}");
    stop.send(()).unwrap();
    server.await.unwrap().unwrap();
}
