//! Callers of a target: they ask one after the other, tell labels, and keep what they were answered.
//!
//! **Invariant:** one caller asks at a time, so that a generation that goes back is seen as one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use reqwest::blocking::Client as Http;
use serde_json::{Value, json};

use super::asking::{Current, http, now};
use super::place::examples;

const FEATURES: usize = 18;
const ASK_EVERY: Duration = Duration::from_millis(8);
const LABELS_EVERY: usize = 15;

/// What callers of all targets saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) answered: u64,
    /// Not reachable: the process was down.
    pub(crate) unreachable: u64,
    /// Answered, but with no prediction: how often, by code.
    pub(crate) failed: BTreeMap<String, u64>,
    /// The versions that answered, by target and generation.
    pub(crate) versions: BTreeMap<(String, u64), BTreeSet<String>>,
    /// Of these, those from a target that had given a prediction before.
    pub(crate) failed_later: u64,
    /// A generation after a newer one: target, newer, older.
    pub(crate) went_back: Vec<(String, u64, u64)>,
}

/// Which target is asked now; none for the time being.
#[derive(Debug, Default)]
pub(crate) struct Asked(Mutex<Option<String>>);

impl Asked {
    pub(crate) fn set(&self, model: Option<&str>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = model.map(str::to_owned);
    }

    fn now(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A caller of one model in a thread of its own, until this is dropped.
pub(crate) struct Calling {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Calling {
    pub(crate) fn start(current: &Current, model: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (current, stops, asked) = (Arc::clone(current), Arc::clone(&stop), Asked::default());
        asked.set(Some(model));
        let thread = std::thread::spawn(move || call(&current, &asked, &stops, &Mutex::default()));
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        // A caller that panicked has said so.
        let _ended = self.thread.take().map(JoinHandle::join);
    }
}

fn rows() -> Vec<Vec<f32>> {
    let text = std::fs::read_to_string(examples().join("evaluation/v2.csv")).unwrap();
    let features = |line: &str| line.split(',').take(FEATURES).map(|it| it.parse().unwrap()).collect();
    text.lines().skip(1).map(features).collect()
}

/// Asks until told to stop. What `v3` predicts turns out to be wrong, what others predict right.
pub(crate) fn call(current: &Current, asked: &Asked, stop: &AtomicBool, seen: &Mutex<Seen>) {
    let (http, rows) = (http(), rows());
    let mut labels = vec![];
    let mut latest: BTreeMap<String, u64> = BTreeMap::new();
    for number in 0_usize.. {
        if stop.load(Relaxed) {
            return;
        }
        let began = Instant::now();
        if let Some(model) = asked.now() {
            let target = format!("{model}@production");
            let base = format!("{}/{target}", now(current).gateway);
            let id = format!("{model}-{number}");
            let answer = ask(&http, &base, &model, &id, &rows[number % rows.len()]);
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            match answer {
                Ok((version, generation, label)) => {
                    seen.answered += 1;
                    let newest = latest.entry(target.clone()).or_default();
                    if generation < *newest {
                        seen.went_back.push((target.clone(), *newest, generation));
                    }
                    *newest = generation.max(*newest);
                    let label = if version == "v3" { 1 - label } else { label };
                    labels.push(json!({ "id": id, "label": label }));
                    seen.versions.entry((target, generation)).or_default().insert(version);
                }
                Err(Some(text)) => {
                    seen.failed_later += u64::from(latest.contains_key(&target));
                    *seen.failed.entry(text).or_default() += 1;
                }
                Err(None) => seen.unreachable += 1,
            }
            drop(seen);
            if labels.len() >= LABELS_EVERY {
                // Labels that a kill swallows are lost, as they would be in nature.
                let body = Value::Array(std::mem::take(&mut labels)).to_string();
                let _told = http.post(format!("{base}/labels")).body(body).send();
            }
        } else {
            labels.clear();
        }
        std::thread::sleep(ASK_EVERY.saturating_sub(began.elapsed()).max(Duration::from_millis(1)));
    }
}

/// The version, the generation and the label of an answer; else its status and code, if there was any.
fn ask(
    http: &Http,
    base: &str,
    model: &str,
    id: &str,
    row: &[f32],
) -> Result<(String, u64, i64), Option<String>> {
    let body = json!({
        "id": id,
        "inputs": [{ "name": "features", "shape": [1, FEATURES], "datatype": "FP32", "data": row }],
    });
    let url = format!("{base}/v2/models/{model}/infer");
    let sent = http.post(url).header("x-unit", id).body(body.to_string()).send();
    let response = sent.map_err(|_| None)?;
    let status = response.status().as_u16();
    if status != 200 {
        let body: Value = response.json().map_err(|_| None)?;
        return Err(Some(format!("{status} {}", body["code"].as_str().unwrap_or_default())));
    }
    let header = |name: &str| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
    let version = header("x-modelrail-release").expect("an answer names its release");
    let generation = header("x-modelrail-generation").and_then(|text| text.parse().ok());
    let generation = generation.expect("an answer names its generation");
    let body: Value = response.json().map_err(|_| None)?;
    let outputs = body["outputs"].as_array().cloned().unwrap_or_default();
    let label = outputs.iter().find(|output| output["name"] == "label").and_then(|it| it["data"][0].as_i64());
    Ok((version, generation, label.expect("the model gives a label")))
}
