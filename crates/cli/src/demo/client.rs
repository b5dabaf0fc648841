//! What the demo asks the API, as any client would.

use std::net::SocketAddr;
use std::path::Path;

use api::view::{EventAnswers, RequestOutcome, RunView, TokenView, VerifyView};
use reqwest::{Client as Http, RequestBuilder};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Error;

/// Two people who may approve, each in a role of their own.
const PEOPLE: [(&str, &str); 2] = [("ada", "ml"), ("bea", "business")];
/// How long it may take until somebody decides.
const DECIDED_MAX: std::time::Duration = std::time::Duration::from_mins(1);
const GATE: &str = "release-board";

pub struct Client {
    http: Http,
    base: String,
    admin: String,
}

/// Somebody with a token, and the role they vote in.
pub struct Person {
    role: &'static str,
    token: String,
}

fn failed(what: &str, why: impl ToString) -> Error {
    Error::Asked { what: what.to_owned(), why: why.to_string() }
}

impl Client {
    pub fn new(api: SocketAddr, data: &Path) -> Result<Self, Error> {
        let path = data.join(api::auth::ADMIN_TOKEN_FILE);
        let admin = std::fs::read_to_string(&path).map_err(|source| Error::Io { path, source })?;
        Ok(Self { http: Http::new(), base: format!("http://{api}"), admin: admin.trim().to_owned() })
    }

    async fn send<T: DeserializeOwned>(&self, what: &str, request: RequestBuilder) -> Result<T, Error> {
        let response = request.send().await.map_err(|error| failed(what, error))?;
        let state = response.status();
        let text = response.text().await.map_err(|error| failed(what, error))?;
        if !state.is_success() {
            return Err(failed(what, format!("{state}: {text}")));
        }
        serde_json::from_str(&text).map_err(|error| failed(what, format!("{error} in {text}")))
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.send(path, self.http.get(format!("{}{path}", self.base)).bearer_auth(&self.admin)).await
    }

    pub async fn add_people(&self) -> Result<Vec<Person>, Error> {
        let mut people = vec![];
        for (name, role) in PEOPLE {
            let request = self.http.post(format!("{}/v1/users", self.base)).bearer_auth(&self.admin);
            let added: TokenView =
                self.send("for a user", request.json(&json!({ "name": name, "roles": [role] }))).await?;
            people.push(Person { role, token: added.token });
        }
        Ok(people)
    }

    /// Publishes an event file under a workflow; its files are those beside it.
    pub async fn publish(&self, file: &Path, workflow: &str) -> Result<String, Error> {
        let text =
            std::fs::read_to_string(file).map_err(|source| Error::Io { path: file.to_owned(), source })?;
        let mut event: Value = serde_json::from_str(&text).map_err(|error| failed("the event", error))?;
        event["data"]["workflow"] = json!(workflow);
        // Until it is decided: the same event again is the same run.
        let began = std::time::Instant::now();
        loop {
            let request = self.http.post(format!("{}/v1/events", self.base)).bearer_auth(&self.admin);
            let request =
                request.header("content-type", "application/cloudevents+json").body(event.to_string());
            let answers: EventAnswers = self.send("to publish", request).await?;
            let first = answers.events.first().ok_or_else(|| failed("to publish", "no answer"))?;
            match first.outcome {
                RequestOutcome::Accepted => return Ok(first.run.clone()),
                RequestOutcome::Pending if began.elapsed() < DECIDED_MAX => {}
                RequestOutcome::Pending => return Err(failed("to publish", "nobody decides")),
            }
        }
    }

    pub async fn run(&self, run: &str) -> Result<RunView, Error> {
        self.get(&format!("/v1/runs/{run}")).await
    }

    /// Each person approves what the gate asks for, on the evidence that it names.
    pub async fn approve(&self, run: &str, people: &[Person]) -> Result<(), Error> {
        for person in people {
            let view = self.run(run).await?;
            if view.ended {
                return Ok(());
            }
            let gate =
                view.stages.iter().find(|stage| stage.name == GATE).and_then(|stage| stage.gate.as_ref());
            let evidence = gate
                .and_then(|gate| gate.asked.clone())
                .ok_or_else(|| failed("for approval", "no gate asks"))?;
            let body = json!({
                "kind": "approve",
                "stage": GATE,
                "role": person.role,
                "rationale": "measured in staging, and the plan is fine",
                "evidence": evidence,
            });
            let request =
                self.http.post(format!("{}/v1/runs/{run}/requests", self.base)).bearer_auth(&person.token);
            let _answer: Value = self.send("for approval", request.json(&body)).await?;
        }
        Ok(())
    }

    pub async fn verify(&self) -> Result<VerifyView, Error> {
        let request = self.http.post(format!("{}/v1/verify", self.base)).bearer_auth(&self.admin);
        self.send("to verify", request).await
    }
}
