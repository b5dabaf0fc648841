//! Asks the API: a server over HTTP, or, when no process has the data folder open, the same API over the folder
//! itself, so that both give the same answers.
//!
//! **Invariant:** a folder is asked for what is recorded only; whatever is to be decided needs a server. Every
//! request that changes something carries an `Idempotency-Key`.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use api::view::ProblemBody;
use async_trait::async_trait;
use axum::body::Body;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tower::ServiceExt as _;

use crate::argv::Global;
use crate::config::{self, Config};
use crate::exit::{Exit, Failure};
use crate::node;

const JSON: &str = "application/json";
const EVENT: &str = "application/cloudevents+json";
const EVENTS: &str = "application/cloudevents-batch+json";
/// What is posted and asks nothing of the engine; everything else does.
const OF_A_FOLDER: [&str; 2] = ["/v1/verify", "/v1/backups"];
/// How long to wait for a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// The most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// Where questions go.
#[derive(Debug)]
pub struct Client {
    asked: Asked,
    token: Option<String>,
}

#[derive(Debug)]
enum Asked {
    Server {
        http: reqwest::Client,
        base: String,
    },
    /// The folder stays open, and locked, for as long as it is asked.
    Folder {
        router: axum::Router,
        _folder: Box<rocks::Folder>,
    },
}

/// Whole answer of either kind.
struct Answer {
    status: u16,
    body: Vec<u8>,
}

impl Client {
    /// Of the server.
    pub fn server(global: &Global) -> Result<Self, Failure> {
        let config = config::load(global.config.as_deref(), global.data.as_deref());
        // With both given, a broken configuration is none of our concern.
        let (server, token) = if let (Some(server), Some(token)) = (&global.server, &global.token) {
            (server.clone(), Some(token.clone()))
        } else {
            let (config, _) = config.map_err(|error| Failure::of_config(&error))?;
            let server = global.server.clone().unwrap_or_else(|| format!("http://{}", config.server.listen));
            (server, token(global, &config)?)
        };
        provide_tls();
        let http = reqwest::Client::builder().connect_timeout(CONNECT_WITHIN).no_proxy().build().map_err(
            |error| Failure::new(Exit::Failed, "CLIENT", "failed to make an HTTP client").cause(&error),
        )?;
        Ok(Self { asked: Asked::Server { http, base: server.trim_end_matches('/').to_owned() }, token })
    }

    /// Of the data folder, when `--data` names one that no process has open; else of the server.
    pub fn recorded(global: &Global) -> Result<Self, Failure> {
        let Some(data) = global.data.as_deref().filter(|_| global.server.is_none()) else {
            return Self::server(global);
        };
        match rocks::Folder::open(data) {
            Ok(folder) => Self::folder(folder),
            Err(rocks::Error::InUse { .. }) => Self::server(global),
            Err(error) => Err(Failure::of_folder(&error)),
        }
    }

    /// Of a folder that was opened.
    fn folder(folder: rocks::Folder) -> Result<Self, Failure> {
        let failed = |error: api::auth::Error| Failure::new(Exit::Failed, error.code(), error.to_string());
        let users = api::auth::Users::open(folder.path()).map_err(failed)?;
        // Whoever can read and write the folder is its administrator.
        let path = users.create_admin_if_absent().map_err(failed)?;
        let token = read_token(&path)?;
        let database = folder.database();
        node::complete_view(&folder).map_err(|error| {
            Failure::new(Exit::Failed, "DATA_DAMAGED", "failed to read the log into its view").cause(&error)
        })?;
        let ports = api::Ports {
            engine: Arc::new(NoEngine(watch::Sender::new(0))),
            store: Arc::clone(&database) as Arc<dyn engine::port::store::Store>,
            log: database as Arc<dyn engine::port::log::Log>,
            blobs: folder.blobs(),
            clock: Arc::new(node::SystemClock::default()),
            users: Arc::new(users),
            // They start new runs, and nothing starts here.
            workflows: Arc::default(),
            backups: Arc::new(node::FolderBackups(folder.backups())),
            parsers: wire::definitions::parsers(),
        };
        let router = api::router(api::Api::new(ports, api::Config::default()));
        Ok(Self { asked: Asked::Folder { router, _folder: Box::new(folder) }, token })
    }

    pub fn is_offline(&self) -> bool {
        matches!(self.asked, Asked::Folder { .. })
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, String)]) -> Result<T, Failure> {
        let pairs: Vec<String> =
            query.iter().map(|(name, value)| format!("{name}={}", segment(value))).collect();
        let path = if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) };
        parsed(&self.ask("GET", &path, None).await?)
    }

    pub async fn post<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T, Failure> {
        let body = serde_json::to_vec(body).expect("views consist of texts and numbers");
        parsed(&self.ask("POST", path, Some((JSON, body))).await?)
    }

    /// Without a body.
    pub async fn act<T: DeserializeOwned>(&self, method: &str, path: &str) -> Result<T, Failure> {
        parsed(&self.ask(method, path, None).await?)
    }

    /// One event, or several in a list.
    pub async fn publish<T: DeserializeOwned>(&self, event: &serde_json::Value) -> Result<T, Failure> {
        let kind = if event.is_array() { EVENTS } else { EVENT };
        let body = serde_json::to_vec(event).expect("what was parsed from JSON is JSON");
        parsed(&self.ask("POST", "/v1/events", Some((kind, body))).await?)
    }

    /// Server-sent events from after `last` on.
    pub async fn stream(&self, path: &str, last: Option<u64>) -> Result<reqwest::Response, Failure> {
        let Asked::Server { http, base } = &self.asked else {
            return Err(needs_server());
        };
        let mut request = http.get(format!("{base}{path}")).header("accept", "text/event-stream");
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(last) = last {
            request = request.header("last-event-id", last.to_string());
        }
        let response = request.send().await.map_err(|error| not_reachable(base, &error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(|error| not_reachable(base, &error))?;
        Err(refused(&Answer { status, body: body.to_vec() }))
    }

    /// Whether it is there and can work.
    pub async fn ready(&self) -> Result<(), Failure> {
        let answer = self.ask("GET", "/readyz", None).await?;
        if answer.status == 200 { Ok(()) } else { Err(refused(&answer)) }
    }

    async fn ask(&self, method: &str, path: &str, body: Option<(&str, Vec<u8>)>) -> Result<Answer, Failure> {
        let method = method.parse::<reqwest::Method>().expect("a method of HTTP");
        let changes = method != reqwest::Method::GET;
        match &self.asked {
            Asked::Server { http, base } => {
                let mut request = http.request(method, format!("{base}{path}"));
                if let Some(token) = &self.token {
                    request = request.bearer_auth(token);
                }
                if changes {
                    request = request.header("idempotency-key", uuid::Uuid::now_v7().to_string());
                }
                if let Some((kind, body)) = body {
                    request = request.header("content-type", kind).body(body);
                }
                let response = request.send().await.map_err(|error| not_reachable(base, &error))?;
                let status = response.status().as_u16();
                let body = response.bytes().await.map_err(|error| not_reachable(base, &error))?;
                Ok(Answer { status, body: body.to_vec() })
            }
            Asked::Folder { router, .. } => {
                if changes && !OF_A_FOLDER.contains(&path) {
                    return Err(needs_server());
                }
                let token = self.token.as_deref().unwrap_or_default();
                let request = axum::http::Request::builder()
                    .method(method.as_str())
                    .uri(path)
                    .header("authorization", format!("Bearer {token}"))
                    .header("content-type", JSON)
                    .body(body.map_or_else(Body::empty, |(_, body)| Body::from(body)))
                    .map_err(|error| {
                        Failure::usage("BAD_ID", "expected a name that fits a path").cause(&error)
                    })?;
                let response = match router.clone().oneshot(request).await {
                    Ok(response) => response,
                    Err(never) => match never {},
                };
                let status = response.status().as_u16();
                let body =
                    axum::body::to_bytes(response.into_body(), ANSWER_BYTES_MAX).await.map_err(|error| {
                        Failure::new(Exit::Failed, "ANSWER", "failed to read an answer").cause(&error)
                    })?;
                Ok(Answer { status, body: body.to_vec() })
            }
        }
    }
}

/// Makes ring the provider of TLS in this process. Without one no HTTP client can be made.
pub fn provide_tls() {
    // Whoever was first has installed the same.
    let _present = rustls::crypto::ring::default_provider().install_default();
}

/// What stands in a path or a query, percent-encoded.
pub fn segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'@' | b':' => {
                encoded.push(byte as char);
            }
            _ => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

fn token(global: &Global, config: &Config) -> Result<Option<String>, Failure> {
    match &global.token {
        Some(token) => Ok(Some(token.clone())),
        None => read_token(&config.secrets().join(api::auth::ADMIN_TOKEN_FILE)),
    }
}

fn read_token(path: &Path) -> Result<Option<String>, Failure> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        // The server says what is missing, if it asks for one.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            Err(Failure::new(Exit::NotEntitled, "TOKEN", format!("failed to read `{}`", path.display()))
                .cause(&error)
                .hint("give a token with MODELRAIL_TOKEN"))
        }
    }
}

fn parsed<T: DeserializeOwned>(answer: &Answer) -> Result<T, Failure> {
    if !(200..300).contains(&answer.status) {
        return Err(refused(answer));
    }
    serde_json::from_slice(&answer.body).map_err(|error| {
        Failure::new(Exit::Failed, "ANSWER", "expected an answer that this release knows")
            .cause(&error)
            .hint("use the same release as the server")
    })
}

fn refused(answer: &Answer) -> Failure {
    match serde_json::from_slice::<ProblemBody>(&answer.body) {
        Ok(problem) => Failure::of_problem(problem),
        Err(_) => Failure::new(
            Exit::Failed,
            "ANSWER",
            format!("expected a problem, but found HTTP {}", answer.status),
        )
        .hint("is it a Modelrail server that listens there? `modelrail doctor` looks"),
    }
}

fn not_reachable(base: &str, error: &reqwest::Error) -> Failure {
    Failure::new(
        Exit::NotReachable,
        "NOT_REACHABLE",
        format!("expected a server at {base}, but it does not answer"),
    )
    .cause(error)
    .hint("start one with `modelrail serve`, or name another with --server; `modelrail doctor` looks further")
}

fn needs_server() -> Failure {
    Failure::new(Exit::NotReachable, "NEEDS_SERVER", "expected a server, but only the data folder was opened")
        .hint("start it with `modelrail serve --data DIR`")
}

/// Where an engine would be: nothing is decided.
#[derive(Debug)]
struct NoEngine(watch::Sender<u64>);

#[async_trait]
impl api::Engine for NoEngine {
    async fn submit(
        &self,
        _said: engine::request::Said,
        _origin: api::Origin,
        _wait: Duration,
    ) -> Result<api::Submitted, api::NotSubmitted> {
        Err(api::NotSubmitted::Closing)
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }

    fn ready(&self) -> Result<(), api::NotSubmitted> {
        Ok(())
    }

    fn metrics(&self) -> String {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_a_path() {
        for (text, encoded) in [
            ("flights@production", "flights@production"),
            ("a/b c", "a%2Fb%20c"),
            ("25%", "25%25"),
            ("2026-11-20T10:00:00Z", "2026-11-20T10:00:00Z"),
            ("ü", "%C3%BC"),
        ] {
            assert_eq!(segment(text), encoded);
        }
    }

    #[test]
    fn the_administrators_token_is_where_the_secrets_are() {
        let folder = tempfile::tempdir().unwrap();
        let (data, secrets) = (folder.path().join("data"), folder.path().join("secrets"));
        std::fs::create_dir_all(&data).unwrap();
        std::fs::create_dir_all(&secrets).unwrap();
        std::fs::write(secrets.join(api::auth::ADMIN_TOKEN_FILE), "mr_shared\n").unwrap();
        let file = data.join("modelrail.toml");
        std::fs::write(&file, format!("[store]\nsecrets = {secrets:?}\n")).unwrap();
        let (config, _) = config::load(Some(&file), Some(&data)).unwrap();
        let global = Global {
            output: crate::argv::Form::Json,
            server: None,
            token: None,
            data: Some(data),
            config: Some(file),
        };
        assert_eq!(token(&global, &config).unwrap().as_deref(), Some("mr_shared"));
    }
}
