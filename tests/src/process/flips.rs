//! Bit rot: one flipped bit in any file of a stopped folder is found and named, mended, or changes no answer.
//!
//! The folder has tables and a write-ahead log: it was closed once, and killed once. Each flip gets a copy of its
//! own, a start, and every question again. 200 flips in the test command; `MODELRAIL_FLIPS=1000` for the long round.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use domain::name::Digest;
use reqwest::blocking::Client as Http;
use serde_json::{Value, json};

use super::asking::{Client, Current, asked, http};
use super::callers::Calling;
use super::place::{Addresses, Pace, Place, event};
use super::random::{Random, asked_for, seed};
use super::report::Report;

const FLIPS: usize = 200;
/// Folders that are looked at side by side.
const PLACES: usize = 2;
/// One in so many is verified by the command line besides, before the start.
const BY_COMMAND: usize = 5;
const START_MAX: Duration = Duration::from_secs(30);
/// What says nothing about the cause.
const NAMELESS: [&str; 3] = ["INTERNAL", "START", ""];
/// Kinds of files whose damage must have been found at least once.
const FOUND: [&str; 7] = ["wal", "table", "manifest", "current", "format", "users", "blob"];

#[test]
fn a_flipped_bit_is_found_and_named_or_changes_no_answer() {
    let seed = seed();
    let flips = asked_for("MODELRAIL_FLIPS", FLIPS);
    Report::of("flips", seed, |report| {
        let base = Base::new();
        let kinds = files_by_kind(&base.place.data());
        println!("{kinds:#?}");
        let mut random = Random::new(seed);
        let names: Vec<&&str> = kinds.keys().collect();
        let planned: Vec<Flip> = (0..flips)
            .map(|number| {
                let kind: &'static str = names[number % names.len()];
                let (path, size) = random.one_of(&kinds[kind]).clone();
                let (at, bit) = (random.below(size) as usize, random.below(8) as u8);
                Flip { kind, path, at, bit }
            })
            .collect();
        let (next, found) = (AtomicUsize::new(0), Mutex::new(vec![]));
        std::thread::scope(|scope| {
            for _ in 0..PLACES {
                scope.spawn(|| {
                    let place = Place::of(Pace::Quick);
                    while let Some((number, flip)) = Some(next.fetch_add(1, Relaxed))
                        .and_then(|number| Some((number, planned.get(number)?)))
                    {
                        let outcome = base.look(&place, flip, number % BY_COMMAND == 0);
                        found.lock().unwrap().push((flip.clone(), outcome));
                    }
                });
            }
        });
        let found = found.into_inner().unwrap();
        let mut named: BTreeMap<&str, usize> = BTreeMap::new();
        for (flip, outcome) in &found {
            report.fault(flip.kind);
            match outcome {
                Outcome::Equal(checked) => {
                    report.effects_checked += checked;
                    report.outcome("no answer changed");
                }
                Outcome::Named(code) => {
                    *named.entry(flip.kind).or_default() += 1;
                    report.outcome(&format!("{}: {code}", flip.kind));
                }
                Outcome::Wrong(text) => report.violations.push(format!("{flip:?}: {text}")),
            }
        }
        report.runs = found.len();
        assert_eq!(found.len(), flips, "fewer flips than planned");
        let unseen: Vec<&&str> = FOUND.iter().filter(|kind| !named.contains_key(**kind)).collect();
        assert!(unseen.is_empty(), "no flip in these was found: {unseen:?}, of {:?}", report.faults);
    });
}

#[derive(Debug, Clone)]
struct Flip {
    kind: &'static str,
    /// Below the data folder.
    path: PathBuf,
    at: usize,
    bit: u8,
}

#[derive(Debug)]
enum Outcome {
    /// All answers are those of before; so many were asked for.
    Equal(usize),
    /// Refused, or a question not answered, with this code.
    Named(String),
    Wrong(String),
}

/// What is known of the folder as it was.
struct Base {
    place: Place,
    http: Http,
    admin: String,
    /// Somebody with one role.
    voter: String,
    answers: Answers,
}

/// What must not change.
#[derive(Debug, Default, PartialEq)]
struct Answers {
    users: Value,
    /// By run: what is fixed from its start, its transitions, and its state at the last of them.
    runs: BTreeMap<String, (Vec<Value>, Vec<Value>, Value)>,
}

impl Base {
    fn new() -> Self {
        let place = Place::of(Pace::Quick);
        let mut server = place.serve();
        let current: Current = Arc::new(Mutex::new(server.listening(&place)));
        let client = Client::new(Arc::clone(&current), &place.data());
        let voter = client.add("ada", &["ml"]).token;
        client.add("bea", &["business"]);
        let calling = Calling::start(&current, "flights-a");
        let live = |model: &str| {
            let run = client.publish(&event("v1", model, &format!("{model}-v1"))).unwrap().run;
            client.until(&run, "live", |run| run.state == "live");
        };
        live("flights-a");
        drop(calling);
        assert_eq!(server.stop(), Some(0), "{}", place.errors());
        server = place.serve();
        *current.lock().unwrap() = server.listening(&place);
        let calling = Calling::start(&current, "flights-b");
        live("flights-b");
        drop(calling);
        let waits = client.publish(&event("v2", "flights-a", "flights-a-v2")).unwrap().run;
        client.until(&waits, "asking people", |run| asked(run).is_some());
        server.kill();
        let admin = fs::read_to_string(place.data().join(api::auth::ADMIN_TOKEN_FILE)).unwrap();
        let admin = admin.trim().to_owned();
        let mut base = Self { place, http: http(), admin, voter, answers: Answers::default() };
        base.answers = base.unharmed();
        base
    }

    /// Starts a server on a copy, and asks it.
    fn copied<T>(&self, asks: impl Fn(&Addresses) -> T) -> T {
        let place = Place::of(Pace::Quick);
        copy(&self.place.data(), &place.data());
        let mut server = place.serve();
        asks(&server.listening(&place))
    }

    /// What two servers on unharmed copies agree on: what they write themselves differs.
    fn unharmed(&self) -> Answers {
        let [mut one, other] = [0, 1].map(|_| {
            self.copied(|addresses| {
                let ask = |path: &str| self.ask(addresses, path).unwrap();
                let mut answers = Answers { users: ask("/v1/users"), ..Answers::default() };
                for run in ask("/v1/runs")["runs"].as_array().unwrap() {
                    let id = run["run"].as_str().unwrap().to_owned();
                    let transitions = ask(&format!("/v1/runs/{id}/transitions?limit=500"));
                    let transitions = transitions["transitions"].as_array().unwrap().clone();
                    answers.runs.insert(id, (fixed(run), transitions, Value::Null));
                }
                answers
            })
        });
        assert_eq!((one.runs.len(), &one.users), (3, &other.users));
        for (id, (fixed, transitions, _)) in &mut one.runs {
            let (others_fixed, others, _) = &other.runs[id];
            assert_eq!(fixed, others_fixed, "what is fixed does not change");
            let alike = transitions.iter().zip(others).take_while(|(one, other)| one == other).count();
            assert!(alike > 3, "run {id}: {alike} of {} are the folder's", transitions.len());
            transitions.truncate(alike);
        }
        self.copied(|addresses| {
            let state = |(id, (_, transitions, _)): (&String, &(_, Vec<Value>, _))| {
                let at = &transitions[transitions.len() - 1]["seq"];
                (id.clone(), self.ask(addresses, &format!("/v1/runs/{id}/state?at={at}")).unwrap())
            };
            one.runs.iter().map(state).collect::<Vec<_>>()
        })
        .into_iter()
        .for_each(|(id, state)| one.runs.get_mut(&id).unwrap().2 = state);
        one
    }

    /// An answer, or the status and the code of a refusal.
    fn ask(&self, addresses: &Addresses, path: &str) -> Result<Value, (u16, String)> {
        self.send(addresses, reqwest::Method::GET, path, &self.admin)
    }

    fn send(
        &self,
        addresses: &Addresses,
        method: reqwest::Method,
        path: &str,
        token: &str,
    ) -> Result<Value, (u16, String)> {
        let url = format!("{}{path}", addresses.api);
        let sent = self.http.request(method, url).bearer_auth(token).header("idempotency-key", path).send();
        let response = sent.map_err(|error| (0, format!("no answer: {error}")))?;
        let status = response.status().as_u16();
        let body: Value = response.json().map_err(|error| (status, format!("no JSON: {error}")))?;
        if status < 300 {
            Ok(body)
        } else {
            Err((status, body["code"].as_str().unwrap_or_default().to_owned()))
        }
    }

    /// Flips, starts, asks.
    fn look(&self, place: &Place, flip: &Flip, by_command: bool) -> Outcome {
        let data = place.data();
        if data.exists() {
            fs::remove_dir_all(&data).unwrap();
        }
        copy(&self.place.data(), &data);
        let path = data.join(&flip.path);
        let mut bytes = fs::read(&path).unwrap();
        bytes[flip.at] ^= 1 << flip.bit;
        fs::write(&path, bytes).unwrap();

        if by_command {
            let said = place.run(&["verify", "--output", "json", "--data", &data.display().to_string()]);
            let code = code_in(&said.errors);
            let good = said.code == Some(0);
            if !good && NAMELESS.contains(&code.as_str()) && !said.out.contains("\"code\"") {
                return Outcome::Wrong(format!("verify said: {said:?}"));
            }
        }
        let mut server = place.serve();
        let began = Instant::now();
        while server.addresses().is_none() && !server.has_ended() {
            if began.elapsed() > START_MAX {
                return Outcome::Wrong(format!("it neither starts nor ends: {}", place.errors_of(&server)));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let answers = server.addresses().map(|addresses| self.compare(&addresses, flip));
        let (errors, ended) = (place.errors_of(&server), server.ended());
        server.kill();
        if errors.contains("panicked") || ended.is_some_and(|status| status.code().is_none()) {
            return Outcome::Wrong(format!("it crashed with {ended:?}: {errors}"));
        }
        let code = code_in(&errors);
        match answers {
            Some(Ok(_)) if ended.is_some() => Outcome::Wrong(format!("it ended by itself: {errors}")),
            Some(Ok(checked)) => Outcome::Equal(checked),
            Some(Err(Found::Wrong(text))) => Outcome::Wrong(format!("{text}; it logged {errors}")),
            Some(Err(Found::Refused(code))) => named(code, &errors),
            None => named(code, &errors),
        }
    }

    /// Asks everything again.
    fn compare(&self, addresses: &Addresses, flip: &Flip) -> Result<usize, Found> {
        let get = |path: &str| self.ask(addresses, path).map_err(|(_, code)| Found::Refused(code));
        let same = |what: &str, now: &Value, before: &Value| {
            if now == before {
                Ok(1)
            } else {
                Err(Found::Wrong(format!("{what} was {before}, and is {now}")))
            }
        };
        let mut checked = same("the list of users", &get("/v1/users")?, &self.answers.users)?;
        let voter = self.send(addresses, reqwest::Method::GET, "/v1/runs", &self.voter);
        voter.map_err(|(status, code)| Found::Wrong(format!("a token counts no more: {status} {code}")))?;
        let listed = get("/v1/runs")?;
        let listed = listed["runs"].as_array().cloned().unwrap_or_default();
        let listed: BTreeMap<&str, Vec<Value>> =
            listed.iter().map(|run| (run["run"].as_str().unwrap_or_default(), fixed(run))).collect();
        for (id, (fixed, transitions, state)) in &self.answers.runs {
            let found = listed.get(id.as_str()).ok_or_else(|| Found::Wrong(format!("run {id} is gone")))?;
            checked += same("a run", &json!(found), &json!(fixed))?;
            let now = get(&format!("/v1/runs/{id}/transitions?limit=500"))?;
            let now = now["transitions"].as_array().cloned().unwrap_or_default();
            for (index, before) in transitions.iter().enumerate() {
                checked += same("a transition", now.get(index).unwrap_or(&Value::Null), before)?;
            }
            let at = state["seq"].as_u64().unwrap();
            checked += same("a state", &get(&format!("/v1/runs/{id}/state?at={at}"))?, state)?;
        }
        let verified = self.send(addresses, reqwest::Method::POST, "/v1/verify", &self.admin);
        let verified = verified.map_err(|(_, code)| Found::Refused(code))?;
        if verified["good"] != true {
            return Err(Found::Refused(broken_in(&verified)));
        }
        self.blob(addresses, flip).map(|()| checked + 2)
    }

    /// What is named by its digest has these bytes, or is not given.
    fn blob(&self, addresses: &Addresses, flip: &Flip) -> Result<(), Found> {
        let name: String = flip.path.iter().map(|part| part.to_string_lossy()).skip(2).collect();
        let (true, Ok(digest)) = (flip.kind == "blob", Digest::parse(&format!("sha256:{name}"))) else {
            return Ok(());
        };
        let url = format!("{}/v1/evidence/{digest}", addresses.api);
        let answer = self.http.get(url).bearer_auth(&self.admin).send().unwrap();
        if answer.status().is_success() {
            let bytes = answer.bytes().unwrap();
            let is_right = Digest::of(&bytes) == digest;
            return is_right.then_some(()).ok_or_else(|| Found::Wrong(format!("other bytes for {digest}")));
        }
        let body: Value = answer.json().unwrap_or_default();
        Err(Found::Refused(body["code"].as_str().unwrap_or_default().to_owned()))
    }
}

/// Why not all answers are equal.
enum Found {
    Refused(String),
    Wrong(String),
}

fn named(code: String, errors: &str) -> Outcome {
    if NAMELESS.contains(&code.as_str()) || code.contains(' ') {
        Outcome::Wrong(format!("a cause without a name, `{code}`: {errors}"))
    } else {
        Outcome::Named(code)
    }
}

/// The code of what a command ended with.
fn code_in(errors: &str) -> String {
    let code = errors.rsplit_once("error[").and_then(|(_, rest)| rest.split_once(']'));
    code.map(|(code, _)| code.to_owned()).unwrap_or_default()
}

/// What verification names.
fn broken_in(verified: &Value) -> String {
    let partitions = verified["partitions"].as_array().cloned().unwrap_or_default();
    let codes = partitions.iter().filter_map(|partition| partition["broken"]["code"].as_str());
    let differs = partitions.iter().any(|partition| partition["rows_differing"] != json!([]));
    codes.map(str::to_owned).next().unwrap_or(if differs { "VIEW_DIFFERS".into() } else { String::new() })
}

/// Of a line of the list: what no later transition changes.
fn fixed(run: &Value) -> Vec<Value> {
    ["run", "model", "version", "target", "workflow", "started_at"].map(|name| run[name].clone()).into()
}

pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() { copy(&from, &to) } else { fs::copy(from, to).map(|_| ()).unwrap() }
    }
}

/// All files with something in them, and how much, by what they are.
fn files_by_kind(data: &Path) -> BTreeMap<&'static str, Vec<(PathBuf, u64)>> {
    let mut kinds: BTreeMap<&'static str, Vec<(PathBuf, u64)>> = BTreeMap::new();
    let mut folders = vec![data.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let size = entry.metadata().unwrap().len();
            let path = entry.path().strip_prefix(data).unwrap().to_owned();
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else if size > 0 {
                kinds.entry(kind(&path)).or_default().push((path, size));
            }
        }
    }
    for files in kinds.values_mut() {
        files.sort();
    }
    kinds
}

fn kind(path: &Path) -> &'static str {
    let text = path.to_string_lossy();
    let (first, last) =
        (text.split('/').next().unwrap_or_default(), text.rsplit('/').next().unwrap_or_default());
    let is = |extension: &str| path.extension().is_some_and(|found| found == extension);
    match first {
        "predictions" => "predictions",
        "blobs" => "blob",
        "log" if is("log") => "wal",
        "log" if is("sst") => "table",
        "log" if last.starts_with("MANIFEST") => "manifest",
        "log" if last == "CURRENT" => "current",
        "log" => "log's other files",
        "HEAD" => "head",
        "FORMAT" => "format",
        "users.json" => "users",
        _ => "keys and others",
    }
}
