//! Callers: real flights in their order, asked at a steady rate, whatever the answers take; labels come later, as
//! they do in nature.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Client as Http;
use serde_json::json;
use tokio::task::JoinHandle;

use super::Error;

/// Requests a second.
const RATE: u64 = 600;
/// How many callers ask side by side.
const CALLERS: u64 = 12;
/// A flight day passes in this time, so that a label that is an hour late comes 60 ms late.
const DAY: Duration = Duration::from_millis(1_500);
/// A label comes no sooner than this.
const LABEL_LATE_MIN: Duration = Duration::from_millis(300);
/// The interval in which labels are sent.
const LABELS_EVERY: Duration = Duration::from_millis(200);
const FEATURES: usize = 18;

/// One flight: what is asked, and what turned out.
#[derive(Debug, Clone)]
pub struct Row {
    unit: String,
    features: [f32; FEATURES],
    label: u8,
    late: Duration,
}

/// Reads the traffic; the seed says where in the autumn it begins.
pub fn read(path: &Path, seed: u64) -> Result<Vec<Row>, Error> {
    let failed = |source| Error::Io { path: path.to_owned(), source };
    let invalid = |text: String| failed(std::io::Error::new(std::io::ErrorKind::InvalidData, text));
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).map_err(failed)?;
    let mut rows = vec![];
    for (number, line) in text.lines().enumerate().skip(1) {
        let row = parse(line).ok_or_else(|| invalid(format!("line {}: expected a flight", number + 1)))?;
        rows.push(row);
    }
    let begin = (seed.wrapping_sub(1) as usize * 1_000) % (rows.len() / 4).max(1);
    rows.rotate_left(begin);
    Ok(rows)
}

fn parse(line: &str) -> Option<Row> {
    let mut fields = line.split(',');
    let time: u64 = fields.next()?.parse().ok()?;
    let unit = fields.next()?.to_owned();
    let mut features = [0.0; FEATURES];
    for feature in &mut features {
        *feature = fields.next()?.parse().ok()?;
    }
    let label = fields.next()?.parse().ok()?;
    let known: u64 = fields.next()?.parse().ok()?;
    let late = known.saturating_sub(time) as f64 / 86_400_000.0;
    Some(Row { unit, features, label, late: DAY.mul_f64(late).max(LABEL_LATE_MIN) })
}

/// What callers were answered.
#[derive(Debug, Clone, Default)]
pub struct Served {
    pub answered: u64,
    /// Anything but a prediction, with the first reason.
    pub failed: u64,
    pub first_failure: Option<String>,
    /// Answers by version.
    pub by_version: BTreeMap<String, Answers>,
    /// Answers by generation: of all, and of each version.
    pub by_generation: BTreeMap<u64, BTreeMap<String, u64>>,
    pub latencies_us: Vec<u32>,
    pub elapsed: Duration,
}

/// When a version answered first and last, in Unix milliseconds, how often, and how often it was right.
#[derive(Debug, Clone, Copy, Default)]
pub struct Answers {
    pub count: u64,
    pub right: u64,
    pub first_ms: u64,
    pub last_ms: u64,
}

pub struct Traffic {
    callers: Mutex<Vec<JoinHandle<()>>>,
    served: Arc<Mutex<Served>>,
    answered: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    began: Instant,
}

/// What one caller shares with the others.
struct Shared {
    http: Http,
    url: String,
    rows: Vec<Row>,
    began: Instant,
    served: Arc<Mutex<Served>>,
    answered: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    labels: Mutex<Vec<(Instant, String, u8)>>,
}

impl Traffic {
    pub fn start(gateway: SocketAddr, target: &str, rows: Vec<Row>) -> Self {
        let (served, answered, stop) =
            (Arc::default(), Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let began = Instant::now();
        let shared = Arc::new(Shared {
            http: Http::new(),
            url: format!("http://{gateway}/{target}"),
            rows,
            began,
            served: Arc::clone(&served),
            answered: Arc::clone(&answered),
            stop: Arc::clone(&stop),
            labels: Mutex::default(),
        });
        let mut callers: Vec<_> =
            (0..CALLERS).map(|caller| tokio::spawn(call(Arc::clone(&shared), caller))).collect();
        callers.push(tokio::spawn(tell_labels(shared)));
        Self { callers: Mutex::new(callers), served, answered, stop, began }
    }

    pub fn answered(&self) -> u64 {
        self.answered.load(Relaxed)
    }

    /// Until so many were answered, or the time is over.
    pub async fn wait_for(&self, answered: u64, at_most: Duration) {
        let began = Instant::now();
        while self.answered() < answered && began.elapsed() < at_most {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn stop(&self) -> Served {
        self.stop.store(true, Relaxed);
        let callers = std::mem::take(&mut *self.callers.lock().unwrap_or_else(PoisonError::into_inner));
        for caller in callers {
            // A caller that panicked has said so.
            let _ended = caller.await;
        }
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner).clone();
        served.elapsed = self.began.elapsed();
        served.latencies_us.sort_unstable();
        served
    }
}

/// Asks every `CALLERS`-th flight at its time, open-loop.
async fn call(shared: Arc<Shared>, caller: u64) {
    let mut number = caller;
    while !shared.stop.load(Relaxed) {
        let due = shared.began + Duration::from_micros(number * 1_000_000 / RATE);
        tokio::time::sleep_until(due.into()).await;
        ask(&shared, number).await;
        number += CALLERS;
    }
}

async fn ask(shared: &Shared, number: u64) {
    let row = &shared.rows[number as usize % shared.rows.len()];
    let id = format!("{}-{number}", row.unit);
    let body = json!({
        "id": id,
        "inputs": [{ "name": "features", "shape": [1, FEATURES], "datatype": "FP32", "data": row.features }],
    });
    let began = Instant::now();
    let url = format!("{}/v2/models/flights-late/infer", shared.url);
    let sent = shared.http.post(url).header("x-unit", &row.unit).body(body.to_string()).send().await;
    let answer = match sent {
        Ok(response) if response.status().is_success() => {
            let header = |name: &str| {
                response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
            };
            let (version, generation) = (header("x-modelrail-release"), header("x-modelrail-generation"));
            match response.json::<serde_json::Value>().await {
                Ok(body) => {
                    Ok((version.unwrap_or_default(), generation.unwrap_or_default(), predicted(&body)))
                }
                Err(error) => Err(error.to_string()),
            }
        }
        Ok(response) => Err(format!("{}: {}", response.status(), response.text().await.unwrap_or_default())),
        Err(error) => Err(error.to_string()),
    };
    shared.answered.fetch_add(1, Relaxed);
    let took = began.elapsed().as_micros() as u32;
    note(&mut shared.served.lock().unwrap_or_else(PoisonError::into_inner), row, answer, took);
    let due = Instant::now() + row.late;
    shared.labels.lock().unwrap_or_else(PoisonError::into_inner).push((due, id, row.label));
}

fn predicted(body: &serde_json::Value) -> Option<i64> {
    let outputs = body.get("outputs")?.as_array()?;
    let label =
        outputs.iter().find(|output| output.get("name").and_then(|name| name.as_str()) == Some("label"))?;
    label.get("data")?.get(0)?.as_i64()
}

fn note(served: &mut Served, row: &Row, answer: Result<(String, String, Option<i64>), String>, took: u32) {
    served.answered += 1;
    served.latencies_us.push(took);
    match answer {
        Ok((version, generation, Some(label))) => {
            let now = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |at| at.as_millis() as u64);
            let answers = served.by_version.entry(version.clone()).or_default();
            answers.count += 1;
            answers.right += u64::from(label == i64::from(row.label));
            if answers.first_ms == 0 {
                answers.first_ms = now;
            }
            answers.last_ms = now;
            let generation = generation.parse().unwrap_or(0);
            *served.by_generation.entry(generation).or_default().entry(version).or_default() += 1;
        }
        Ok((.., None)) => fail(served, "an answer without a label".to_owned()),
        Err(why) => fail(served, why),
    }
}

fn fail(served: &mut Served, why: String) {
    served.failed += 1;
    served.first_failure.get_or_insert(why);
}

/// Sends the labels whose time has come.
async fn tell_labels(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(LABELS_EVERY).await;
        let stops = shared.stop.load(Relaxed);
        let now = Instant::now();
        let due: Vec<_> = {
            let mut labels = shared.labels.lock().unwrap_or_else(PoisonError::into_inner);
            let (due, later) = labels.drain(..).partition(|(at, ..)| *at <= now);
            *labels = later;
            due
        };
        if !due.is_empty() {
            let labels: Vec<_> =
                due.iter().map(|(_, id, label)| json!({ "id": id, "label": label })).collect();
            let body = serde_json::Value::Array(labels).to_string();
            let sent = shared.http.post(format!("{}/labels", shared.url)).body(body).send().await;
            let refused = match sent {
                Ok(response) if response.status().is_success() => None,
                Ok(response) => Some(format!("labels: {}", response.status())),
                Err(error) => Some(format!("labels: {error}")),
            };
            if let Some(why) = refused {
                fail(&mut shared.served.lock().unwrap_or_else(PoisonError::into_inner), why);
            }
        }
        if stops {
            return;
        }
    }
}
