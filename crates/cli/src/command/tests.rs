//! Commands against a real node and against the folder it left.

use std::path::Path;

use api::view::{TokenView, UserList, VerifyView};

use super::*;
use crate::argv::{Form, Global};
use crate::config::{self, Config};
use crate::node::Node;

fn global(data: &Path, server: Option<String>) -> Global {
    Global { output: Form::Json, server, token: None, data: Some(data.to_owned()), config: None }
}

fn config(data: &Path) -> Config {
    let (mut config, _) = config::load(None, Some(data)).unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    config.server.listen = any;
    config.gateway.listen = any;
    config.model_server.listen = any;
    config.store.partitions = 2;
    config.workflows.folder = data.join("no-workflows");
    config
}

/// The folder, as soon as the last thread of the node has let it go.
async fn opened(data: &Path) -> Client {
    for _ in 0..1_000 {
        let client = Client::recorded(&global(data, None)).unwrap();
        if client.is_offline() {
            return client;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the folder of a stopped node stays in use");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_answers_as_the_server_did() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start(&config(data.path())).await.unwrap();
    let client = Client::server(&global(data.path(), Some(format!("http://{}", node.api)))).unwrap();
    client.ready().await.unwrap();
    let new = api::view::NewUser { name: "alice".into(), roles: vec!["ml".into()], tool: false };
    let made: TokenView = client.post("/v1/users", &new).await.unwrap();
    assert_eq!(made.user.name, "alice");
    let live: VerifyView = client.act("POST", "/v1/verify").await.unwrap();
    assert!(live.good);

    let not_entitled =
        Global { token: Some(made.token), ..global(data.path(), Some(format!("http://{}", node.api))) };
    let refused = Client::server(&not_entitled).unwrap().get::<UserList>("/v1/users", &[]).await.unwrap_err();
    assert_eq!((refused.exit, refused.code.as_str()), (Exit::NotEntitled, "NOT_ENTITLED"));
    node.stop().await;

    let folder = opened(data.path()).await;
    let offline: VerifyView = folder.act("POST", "/v1/verify").await.unwrap();
    assert_eq!(live, offline);
    let unknown = folder.get::<api::view::RunView>("/v1/runs/01KA", &[]).await.unwrap_err();
    assert_eq!((unknown.exit, unknown.code.as_str()), (Exit::Failed, "UNKNOWN_RUN"));
    let refused = folder.post::<_, TokenView>("/v1/users", &new).await.unwrap_err();
    assert_eq!(refused.code, "NEEDS_SERVER");
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_told_with_field_and_hint() {
    let data = tempfile::tempdir().unwrap();
    let failure = Client::recorded(&global(data.path(), None)).unwrap_err();
    assert_eq!((failure.exit, failure.code.as_str()), (Exit::Usage, "DATA_MISSING"));

    let new = rocks::NewLog { log_id: [7; 16], partitions: 1 };
    rocks::Folder::open_or_create(data.path(), &new).unwrap().close().unwrap();
    let format = std::fs::read_to_string(data.path().join("FORMAT")).unwrap();
    std::fs::write(data.path().join("FORMAT"), format.replace("modelrail-data 1", "modelrail-data 2"))
        .unwrap();
    let failure = Client::recorded(&global(data.path(), None)).unwrap_err();
    assert_eq!((failure.exit, failure.code.as_str()), (Exit::Usage, "DATA_VERSION"));
    assert_eq!(failure.field.as_deref(), Some("store.data"));
    assert!(failure.hint.is_some());
}

#[tokio::test]
async fn no_server_is_told_as_such() {
    let data = tempfile::tempdir().unwrap();
    // A port that was free a moment ago, and is not listened on.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = Client::server(&global(data.path(), Some(format!("http://{address}")))).unwrap();
    let failure = client.ready().await.unwrap_err();
    assert_eq!((failure.exit, failure.code.as_str()), (Exit::NotReachable, "NOT_REACHABLE"));
    assert!(failure.hint.is_some());
}
