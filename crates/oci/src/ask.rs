//! Calls to a registry: with what entitles us once it was asked for, bounded in time and size.
//!
//! **Invariant:** what entitles us goes to the registry alone, and the password besides only to whom it names for tokens;
//! neither goes anywhere without TLS where the configuration did not allow that.

use std::io::Read as _;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use reqwest::blocking::{Client, Response};
use reqwest::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Method, Url};
use serde::Deserialize;

use crate::address::Repository;
use crate::challenge::{self, Account, Challenge};
use crate::error::Error;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a registry may take for one request; of an answer's bytes, for the next of them.
const CALL_TIMEOUT: Duration = Duration::from_mins(1);
/// Registries lead to the storage behind them.
const REDIRECTS_MAX: usize = 3;
/// Bytes of a refusal or of a token's answer that are read.
const ANSWER_BYTES_MAX: u64 = 256 << 10;

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Ask<'a> {
    /// For people: `get a blob`.
    pub(crate) what: &'static str,
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: &'a [u8],
}

impl<'a> Ask<'a> {
    pub(crate) fn new(what: &'static str, method: Method, url: Url) -> Self {
        Self { what, method, url, headers: vec![], body: &[] }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn body(mut self, body: &'a [u8]) -> Self {
        self.body = body;
        self
    }
}

/// An answer whose body was not read yet.
#[derive(Debug)]
pub(crate) struct Answer {
    what: &'static str,
    url: Url,
    response: Response,
}

/// What a token is given as.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Token {
    token: String,
    access_token: String,
}

/// A registry, as it is called.
#[derive(Debug)]
pub(crate) struct Calls {
    repository: Repository,
    account: Option<Account>,
    /// Made by the first call: a blocking client cannot be made where a runtime starts this.
    client: OnceLock<Client>,
    entitled: Mutex<Entitled>,
}

/// The header that the registry asked for last.
#[derive(Default)]
struct Entitled(Option<String>);

impl std::fmt::Debug for Entitled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Entitled(..)" } else { "Entitled(none)" })
    }
}

impl Calls {
    pub(crate) fn new(repository: Repository, account: Option<Account>) -> Self {
        Self { repository, account, client: OnceLock::new(), entitled: Mutex::default() }
    }

    pub(crate) fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Whatever it answers, after it asked who we are.
    pub(crate) fn send(&self, ask: &Ask<'_>) -> Result<Answer, Error> {
        if !self.repository.admits(&ask.url) {
            return Err(Error::strange(
                ask.what,
                &ask.url,
                "expected `https`, but the registry led to `http`",
            ));
        }
        let before = self.entitled().0.clone();
        let first = self.once(ask, before.as_deref())?;
        if first.status() != 401 || !self.repository.is_at(&ask.url) {
            return Ok(first);
        }
        let Some(header) = self.entitle(ask, &first)? else { return Ok(first) };
        self.entitled().0 = Some(header.clone());
        self.once(ask, Some(&header))
    }

    /// The same, where only such an answer is of use.
    pub(crate) fn expect(&self, ask: &Ask<'_>, wanted: &[u16]) -> Result<Answer, Error> {
        let answer = self.send(ask)?;
        if wanted.contains(&answer.status()) { Ok(answer) } else { Err(answer.refused()) }
    }

    fn once(&self, ask: &Ask<'_>, entitled: Option<&str>) -> Result<Answer, Error> {
        let mut request = self.client()?.request(ask.method.clone(), ask.url.clone());
        for (name, value) in &ask.headers {
            request = request.header(*name, value);
        }
        if let Some(header) = entitled.filter(|_| self.repository.is_at(&ask.url)) {
            request = request.header(AUTHORIZATION, header);
        }
        // A length is sent for nothing too: some registries want one.
        let bodied = matches!(ask.method, Method::POST | Method::PUT | Method::PATCH);
        let request = if bodied { request.body(ask.body.to_vec()) } else { request };
        let sent =
            request.send().map_err(|error| Error::unreachable(ask.what, &ask.url, error.without_url()));
        sent.map(|response| Answer { what: ask.what, url: ask.url.clone(), response })
    }

    /// What the registry wants to see; nothing when we have nothing that it asks for.
    fn entitle(&self, ask: &Ask<'_>, refused: &Answer) -> Result<Option<String>, Error> {
        let headers = refused.response.headers().get_all(WWW_AUTHENTICATE);
        match challenge::read(headers.iter().filter_map(|value| value.to_str().ok())) {
            Some(Challenge::Basic) => Ok(self.account.as_ref().map(Account::basic)),
            Some(Challenge::Bearer { realm, service, scope }) => {
                self.token(ask, &realm, service.as_deref(), scope.as_deref()).map(Some)
            }
            None => Err(Error::strange(
                ask.what,
                &ask.url,
                "it asks who we are by neither Basic nor Bearer; hint: see how the registry authenticates",
            )),
        }
    }

    fn token(
        &self,
        ask: &Ask<'_>,
        realm: &str,
        service: Option<&str>,
        scope: Option<&str>,
    ) -> Result<String, Error> {
        const WHAT: &str = "get a token";
        let mut url = Url::parse(realm)
            .map_err(|_| Error::strange(ask.what, &ask.url, "it names no address to get a token from"))?;
        if !self.repository.admits(&url) {
            let why = "expected `https`, but the registry wants the password sent there by `http`";
            return Err(Error::strange(WHAT, &url, why));
        }
        // A registry names the least that one request needs; what is put next would be refused by such a token.
        let all = format!("repository:{}:pull,push", self.repository.name());
        let scope = scope.filter(|scope| scope.contains("push")).unwrap_or(&all);
        if let Some(service) = service {
            url.query_pairs_mut().append_pair("service", service);
        }
        url.query_pairs_mut().append_pair("scope", scope);
        let mut request = self.client()?.get(url.clone());
        if let Some(account) = &self.account {
            request = request.header(AUTHORIZATION, account.basic());
        }
        let response = request.send().map_err(|error| Error::unreachable(WHAT, &url, error.without_url()))?;
        let answer = Answer { what: WHAT, url: url.clone(), response };
        if answer.status() != 200 {
            return Err(answer.refused());
        }
        let body = answer.read(ANSWER_BYTES_MAX)?;
        let given: Token = serde_json::from_slice(&body).unwrap_or_default();
        let token = if given.token.is_empty() { given.access_token } else { given.token };
        if token.is_empty() {
            return Err(Error::strange(WHAT, &url, "its answer has none"));
        }
        Ok(format!("Bearer {token}"))
    }

    fn entitled(&self) -> MutexGuard<'_, Entitled> {
        self.entitled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn client(&self) -> Result<&Client, Error> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        // An error says that a provider stands already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let repository = self.repository.clone();
        let follow = move |attempt: Attempt<'_>| {
            if attempt.previous().len() > REDIRECTS_MAX {
                attempt.error("it leads on and on")
            } else if repository.admits(attempt.url()) {
                attempt.follow()
            } else {
                attempt.error("it leads to `http`, where `https` is expected")
            }
        };
        let made = Client::builder()
            .redirect(Policy::custom(follow))
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(CALL_TIMEOUT)
            .build()
            .map_err(Error::Prepare)?;
        Ok(self.client.get_or_init(|| made))
    }
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// Where an upload goes on, as the registry says.
    pub(crate) fn location(&self) -> Result<Url, Error> {
        let said = self.response.headers().get("location").and_then(|value| value.to_str().ok());
        let url = said.and_then(|said| self.url.join(said).ok());
        url.ok_or_else(|| Error::strange(self.what, &self.url, "its answer does not say where to go on"))
    }

    /// The body, of so many bytes at most.
    pub(crate) fn read(self, bytes_max: u64) -> Result<Vec<u8>, Error> {
        let (what, url) = (self.what, self.url.clone());
        let bytes = self.read_up_to(bytes_max + 1)?;
        if bytes.len() as u64 > bytes_max {
            let why = format!("expected at most {bytes_max} bytes, but there are more");
            return Err(Error::strange(what, &url, why));
        }
        Ok(bytes)
    }

    fn read_up_to(self, bytes: u64) -> Result<Vec<u8>, Error> {
        let mut body = Vec::new();
        let read = self.response.take(bytes).read_to_end(&mut body);
        read.map_err(|error| Error::unreachable(self.what, &self.url, error))?;
        Ok(body)
    }

    /// Nothing was found, in the registry's own words.
    pub(crate) fn missing(self) -> Result<(), Error> {
        let (what, url, status) = (self.what, self.url.clone(), self.status());
        let body = self.read_up_to(ANSWER_BYTES_MAX)?;
        if status == 404 && crate::error::is_said_by_a_registry(&body) {
            return Ok(());
        }
        Err(Error::answered(what, &url, status, &body))
    }

    pub(crate) fn refused(self) -> Error {
        let (what, url, status) = (self.what, self.url.clone(), self.status());
        // A refusal whose text cannot be read is one all the same.
        let body = self.read_up_to(ANSWER_BYTES_MAX).unwrap_or_default();
        Error::answered(what, &url, status, &body)
    }
}
