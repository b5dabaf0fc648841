//! Who may: tokens, users, administrators, tools.

use std::os::unix::fs::PermissionsExt as _;

use api::auth::{ADMIN_TOKEN_FILE, Users};
use api::{Config, view};
use axum::body::Body;
use axum::http::Request;

use crate::world::World;

#[tokio::test]
async fn nothing_but_health_and_the_description_is_open() {
    let world = World::with(Config { metrics_open: false, ..Config::default() }).await;
    let description: serde_json::Value = world.get("/openapi.json").await.json();
    let mut checked = 0;
    for (path, methods) in description["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let path = path.replace(['{', '}'], "x");
            let request = Request::builder().method(method.to_uppercase().as_str()).uri(&path);
            let got = world.send(request.body(Body::empty()).unwrap()).await;
            let open = ["/healthz", "/readyz", "/openapi.json"].contains(&path.as_str());
            assert_eq!(got.status == 401, !open, "{method} {path}: {}", got.text());
            checked += 1;
        }
    }
    assert!(checked >= 20);
    for wrong in ["", "Basic abc", "Bearer", "Bearer mr_wrong", "Bearer  "] {
        let request = Request::get("/v1/runs").header("authorization", wrong).body(Body::empty()).unwrap();
        let got = world.send(request).await;
        assert_eq!(got.problem(), (401, "NOT_AUTHENTICATED".to_owned()), "{wrong}");
        assert!(got.header("www-authenticate").starts_with("Bearer"));
    }
}

#[tokio::test]
async fn metrics_are_open_where_the_configuration_says_so() {
    let world = World::new().await;
    let got = world.send(Request::get("/metrics").body(Body::empty()).unwrap()).await;
    assert_eq!(got.status, 200);
    assert!(got.text().ends_with("# EOF\n") && got.text().contains("modelrail_inputs_total 1\n"));
    assert!(got.header("content-type").starts_with("application/openmetrics-text"));
}

#[tokio::test]
async fn an_administrator_adds_and_revokes_users() {
    let world = World::new().await;
    let mo = world.user("mo", &["ml"]).await;
    let me: view::UserView = world
        .send(
            Request::get("/v1/whoami")
                .header("authorization", format!("Bearer {mo}"))
                .body(Body::empty())
                .unwrap(),
        )
        .await
        .view();
    assert_eq!((me.name.as_str(), me.roles.as_slice()), ("mo", ["ml".to_owned()].as_slice()));
    let json = [("content-type", "application/json")];
    let by_mo = world.post(&mo, "/v1/users", &json, r#"{"name":"x","roles":[]}"#).await;
    assert_eq!(by_mo.problem(), (403, "NOT_ENTITLED".to_owned()));
    for (body, status, code) in [
        (r#"{"name":"mo","roles":[]}"#, 409, "USER_EXISTS"),
        (r#"{"name":"Mo","roles":[]}"#, 422, "BAD_ID"),
        (r#"{"name":"x","roles":["A"]}"#, 400, "BAD_ID"),
    ] {
        assert_eq!(world.ask("/v1/users", body).await.problem(), (status, code.to_owned()), "{body}");
    }
    let users: view::UserList = world.get("/v1/users").await.view();
    let names: Vec<&str> = users.users.iter().map(|user| user.name.as_str()).collect();
    assert_eq!(names, ["admin", "mo"]);

    let delete = |name: &str| {
        Request::delete(format!("/v1/users/{name}"))
            .header("authorization", format!("Bearer {}", world.admin))
            .body(Body::empty())
            .unwrap()
    };
    assert_eq!(world.send(delete("mo")).await.status, 200);
    let gone = Request::get("/v1/runs").header("authorization", format!("Bearer {mo}")).body(Body::empty());
    assert_eq!(world.send(gone.unwrap()).await.status, 401);
    assert_eq!(world.send(delete("mo")).await.problem(), (404, "UNKNOWN_USER".to_owned()));
    assert_eq!(world.send(delete("admin")).await.problem(), (409, "LAST_ADMIN".to_owned()));
}

#[tokio::test]
async fn a_tool_acts_for_a_person_and_nobody_else_does() {
    let world = World::new().await;
    world.user("mo", &["operator"]).await;
    world.user("al", &["ml"]).await;
    let body = r#"{"name":"bot","roles":["operator"],"tool":true}"#;
    let bot = world.ask("/v1/users", body).await.json()["token"].as_str().unwrap().to_owned();
    world.start("fraud", "v1").await;
    let path = "/v1/targets/fraud@production/requests";
    let freeze = r#"{"kind":"freeze","reason":"x"}"#;
    let json = ("content-type", "application/json");
    let for_whom = |name| ("x-modelrail-on-behalf-of", name);
    let by_admin = world.post(&world.admin, path, &[json, for_whom("mo")], freeze).await;
    assert_eq!(by_admin.problem(), (403, "NOT_A_TOOL".to_owned()));
    let for_nobody = world.post(&bot, path, &[json, for_whom("nobody")], freeze).await;
    assert_eq!(for_nobody.problem(), (400, "BAD_ID".to_owned()));
    let for_al = world.post(&bot, path, &[json, for_whom("al")], freeze).await;
    assert_eq!(for_al.problem(), (403, "NOT_ENTITLED".to_owned()), "a tool may no more than its person");
    let for_mo = world.post(&bot, path, &[json, for_whom("mo")], freeze).await;
    assert_eq!(for_mo.status, 200, "{}", for_mo.text());
}

#[test]
fn users_outlive_a_restart_and_tokens_are_only_hashes_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(ADMIN_TOKEN_FILE);
    let users = Users::open(folder.path()).unwrap();
    assert_eq!(users.create_admin_if_absent().unwrap(), path);
    let admin = std::fs::read_to_string(&path).unwrap();
    let role = domain::name::Role::parse("ml").unwrap();
    let made = users.add("mo", &[role], false).unwrap();
    for file in [ADMIN_TOKEN_FILE, "users.json"] {
        let mode = std::fs::metadata(folder.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let kept = std::fs::read_to_string(folder.path().join("users.json")).unwrap();
    assert!(!kept.contains(&made.token) && !kept.contains(admin.trim()));
    assert!(!format!("{made:?}").contains(&made.token));

    let again = Users::open(folder.path()).unwrap();
    again.create_admin_if_absent().unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), admin, "the token stays");
    assert_eq!(again.authenticate(&made.token), Some(made.user.clone()));
    assert_eq!(again.define().digest, users.define().digest);

    std::fs::remove_file(&path).unwrap();
    again.create_admin_if_absent().unwrap();
    let anew = std::fs::read_to_string(&path).unwrap();
    assert!(again.authenticate(admin.trim()).is_none() && again.authenticate(anew.trim()).is_some());
    std::fs::write(&path, "of another life").unwrap();
    again.create_admin_if_absent().unwrap();
    let anew = std::fs::read_to_string(&path).unwrap();
    assert!(again.authenticate(anew.trim()).is_some(), "a token that nobody has is replaced");
    std::fs::write(folder.path().join("users.json"), "{}").unwrap();
    assert!(
        Users::open(folder.path()).is_err(),
        "a list that cannot be read is never taken for an empty one"
    );
}

#[test]
fn users_that_another_process_added_are_known_after_another_look() {
    let folder = tempfile::tempdir().unwrap();
    let (mine, theirs) = (Users::open(folder.path()).unwrap(), Users::open(folder.path()).unwrap());
    assert!(mine.is_empty());
    theirs.create_admin_if_absent().unwrap();
    let named = domain::name::Subject::parse("mo").unwrap();
    for name in ["lu", "mo"] {
        assert_eq!(mine.as_subject(named.clone()), named, "nobody is called so");
        theirs.add(name, &[], false).unwrap();
        mine.refresh().unwrap();
    }
    assert_eq!(Some(mine.as_subject(named)), theirs.subject_of("mo"));
    let ed = theirs.add("ed", &[], false).unwrap();
    assert_eq!(mine.authenticate(&ed.token), Some(ed.user), "another process may serve whom this one added");
    theirs.revoke("ed").unwrap();
    assert_eq!(mine.authenticate(&ed.token), None);
    std::fs::write(folder.path().join("users.json"), "{}").unwrap();
    assert!(mine.refresh().is_err() && !mine.is_empty(), "what was read last still counts");
}

#[test]
fn processes_that_change_the_users_at_once_lose_none() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("secrets");
    std::thread::scope(|scope| {
        for number in 0..8 {
            let folder = &folder;
            scope.spawn(move || {
                let users = Users::open(folder).unwrap();
                users.create_admin_if_absent().unwrap();
                users.add(&format!("user-{number}"), &[], false).unwrap();
            });
        }
    });
    let users = Users::open(&folder).unwrap();
    assert_eq!(users.list().len(), 9, "{:?}", users.list());
    let token = std::fs::read_to_string(folder.join(ADMIN_TOKEN_FILE)).unwrap();
    assert!(users.authenticate(token.trim()).is_some_and(|user| user.is_admin()));
}

#[tokio::test]
async fn the_description_names_every_view_it_refers_to() {
    let description = api::openapi();
    let schemas = description["components"]["schemas"].as_object().unwrap();
    let text = description.to_string();
    let prefix = "#/components/schemas/";
    for reference in text.split(prefix).skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "{name}");
    }
    assert!(schemas["RunView"]["properties"]["stages"].is_object());
}
