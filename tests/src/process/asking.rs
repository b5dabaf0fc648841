//! Asks a server over HTTP as a patient client does: every request is sent again, with the same key, until it is
//! answered; a restart in between is not noticed.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use api::view::{EventAnswer, EventAnswers, ProblemBody, RequestAnswer, RequestOutcome, RunView, TokenView};
use api::view::{RunList, TransitionList, TransitionView, VerifyView};
use reqwest::Method;
use reqwest::blocking::Client as Http;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::place::Addresses;

/// How long a client is patient with one request.
pub(crate) const ANSWER_MAX: Duration = Duration::from_mins(1);
const AGAIN_AFTER: Duration = Duration::from_millis(20);
pub(crate) const GATE: &str = "release-board";

/// Where the server is now; it moves with every restart.
pub(crate) type Current = Arc<Mutex<Addresses>>;

pub(crate) fn now(current: &Current) -> Addresses {
    current.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

pub(crate) fn http() -> Http {
    // Another test of this process may have installed the same.
    let _present = rustls::crypto::ring::default_provider().install_default();
    Http::builder().timeout(Duration::from_secs(20)).no_proxy().build().unwrap()
}

/// Somebody with a token.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) name: &'static str,
    pub(crate) role: &'static str,
    pub(crate) token: String,
}

#[derive(Clone)]
pub(crate) struct Client {
    http: Http,
    current: Current,
    admin: String,
}

impl Client {
    pub(crate) fn new(current: Current, data: &Path) -> Self {
        let admin = std::fs::read_to_string(data.join(api::auth::ADMIN_TOKEN_FILE)).unwrap();
        Self { http: http(), current, admin: admin.trim().to_owned() }
    }

    /// Where the server is.
    pub(crate) fn address(&self) -> String {
        now(&self.current).api
    }

    pub(crate) fn token(&self) -> &str {
        &self.admin
    }

    /// The answer's status and text, of the first answer that is one.
    fn ask(
        &self,
        method: &Method,
        path: &str,
        token: &str,
        key: &str,
        body: Option<&(&str, String)>,
    ) -> (u16, String) {
        let began = Instant::now();
        loop {
            let url = format!("{}{path}", now(&self.current).api);
            let mut request =
                self.http.request(method.clone(), url).bearer_auth(token).header("idempotency-key", key);
            if let Some((kind, body)) = body {
                request = request.header("content-type", *kind).body(body.clone());
            }
            let answer = request.send().and_then(|response| {
                let status = response.status().as_u16();
                response.text().map(|text| (status, text))
            });
            match answer {
                Ok((status, text)) if status != 503 && !self.is_a_strangers(token, status, &text) => {
                    return (status, text);
                }
                other => {
                    assert!(began.elapsed() < ANSWER_MAX, "{method} {path} is not answered: {other:?}");
                    std::thread::sleep(AGAIN_AFTER);
                }
            }
        }
    }

    /// Whether another process of these tests has the port of one that was killed: a model server, or another's API.
    fn is_a_strangers(&self, token: &str, status: u16, text: &str) -> bool {
        status == 401 && token == self.admin || status == 404 && text.contains("ROUTE_UNKNOWN")
    }

    fn good<T: DeserializeOwned>(path: &str, (status, text): (u16, String)) -> T {
        assert!((200..300).contains(&status), "{path}: {status}: {text}");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error} in {text}"))
    }

    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        Self::good(path, self.ask(&Method::GET, path, &self.admin, "", None))
    }

    /// Adds somebody, who votes in the first of the roles.
    pub(crate) fn add(&self, name: &'static str, roles: &[&'static str]) -> Person {
        let body = ("application/json", json!({ "name": name, "roles": roles }).to_string());
        let made: TokenView =
            Self::good("/v1/users", self.ask(&Method::POST, "/v1/users", &self.admin, name, Some(&body)));
        Person { name, role: roles[0], token: made.token }
    }

    /// Publishes while nobody decides: it is taken, and the answer is that it waits.
    pub(crate) fn say(&self, event: &Value) {
        let body = ("application/cloudevents+json", event.to_string());
        let (status, text) = self.ask(&Method::POST, "/v1/events", &self.admin, "", Some(&body));
        assert_eq!(status, 202, "{text}");
    }

    /// Publishes until it is accepted or refused.
    pub(crate) fn publish(&self, event: &Value) -> Result<EventAnswer, Box<ProblemBody>> {
        let body = ("application/cloudevents+json", event.to_string());
        let began = Instant::now();
        loop {
            let (status, text) = self.ask(&Method::POST, "/v1/events", &self.admin, "", Some(&body));
            if status >= 400 {
                return Err(problem(&text));
            }
            let answers: EventAnswers = serde_json::from_str(&text).unwrap();
            let first = answers.events.into_iter().next().unwrap();
            if first.outcome == RequestOutcome::Accepted {
                return Ok(first);
            }
            assert!(began.elapsed() < ANSWER_MAX, "an event is not decided: {text}");
        }
    }

    /// Asks something of a run, under a key of its own, until it is decided.
    pub(crate) fn request(
        &self,
        run: &str,
        token: &str,
        key: &str,
        body: &Value,
    ) -> Result<RequestAnswer, Box<ProblemBody>> {
        let path = format!("/v1/runs/{run}/requests");
        let body = ("application/json", body.to_string());
        let began = Instant::now();
        loop {
            let (status, text) = self.ask(&Method::POST, &path, token, key, Some(&body));
            if status >= 400 {
                return Err(problem(&text));
            }
            let answer: RequestAnswer = serde_json::from_str(&text).unwrap();
            if answer.outcome == RequestOutcome::Accepted {
                return Ok(answer);
            }
            assert!(began.elapsed() < ANSWER_MAX, "a request is not decided: {text}");
        }
    }

    pub(crate) fn approve(
        &self,
        run: &RunView,
        person: &Person,
        key: &str,
    ) -> Option<Result<RequestAnswer, Box<ProblemBody>>> {
        let evidence = asked(run)?;
        let body = json!({
            "kind": "approve",
            "stage": GATE,
            "role": person.role,
            "rationale": "measured in staging",
            "evidence": evidence,
        });
        Some(self.request(&run.run, &person.token, key, &body))
    }

    pub(crate) fn run(&self, run: &str) -> RunView {
        self.get(&format!("/v1/runs/{run}"))
    }

    /// A run that may not be there.
    pub(crate) fn find(&self, run: &str) -> Option<RunView> {
        let path = format!("/v1/runs/{run}");
        match self.ask(&Method::GET, &path, &self.admin, "", None) {
            (404, _) => None,
            answer => Some(Self::good(&path, answer)),
        }
    }

    /// Waits until a run is as it should be.
    pub(crate) fn until(&self, run: &str, what: &str, is: impl Fn(&RunView) -> bool) -> RunView {
        let began = Instant::now();
        loop {
            let view = self.run(run);
            if is(&view) {
                return view;
            }
            assert!(!view.ended, "run {run} ended before it was {what}: {view:#?}");
            assert!(began.elapsed() < ANSWER_MAX, "run {run} is not {what}: {view:#?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub(crate) fn runs(&self) -> Vec<api::view::RunLine> {
        let (mut all, mut cursor) = (vec![], String::new());
        loop {
            let page: RunList = self.get(&format!("/v1/runs?limit=100{cursor}"));
            all.extend(page.runs);
            let Some(next) = page.next_cursor else { return all };
            cursor = format!("&cursor={next}");
        }
    }

    pub(crate) fn transitions(&self, run: &str) -> Vec<TransitionView> {
        let (mut all, mut cursor) = (vec![], String::new());
        loop {
            let page: TransitionList = self.get(&format!("/v1/runs/{run}/transitions?limit=500{cursor}"));
            all.extend(page.transitions);
            let Some(next) = page.next_cursor else { return all };
            cursor = format!("&cursor={next}");
        }
    }

    pub(crate) fn verify(&self) -> VerifyView {
        Self::good("/v1/verify", self.ask(&Method::POST, "/v1/verify", &self.admin, "", None))
    }
}

/// The digest of the evidence that the gate asks people about, while it does.
pub(crate) fn asked(run: &RunView) -> Option<String> {
    let gate = run.stages.iter().find(|stage| stage.name == GATE && stage.state == "waiting")?;
    gate.gate.as_ref()?.asked.clone()
}

fn problem(text: &str) -> Box<ProblemBody> {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}
