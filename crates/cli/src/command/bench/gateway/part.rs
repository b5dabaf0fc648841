//! What runs in the processes: the real model server, the real gateway, the load.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use gateway::{Backend, Gateway, Http, Limits, Settings};
use rocks::{Folder, NewLog};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::runtime::Handle;

use super::load::{self, Demand, Measuring};
use super::models::{CANDIDATE, Models, requests};
use super::{Part, PartArguments};

/// Between two changes of the table.
const CHANGE_EVERY: Duration = Duration::from_millis(2);
/// The candidate's share after each change, over and over: also nobody and all.
const SHARES: [u16; 5] = [2_500, 5_000, 10_000, 0, CANDIDATE];

/// Said when a server listens.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Listening {
    pub(super) address: SocketAddr,
}

/// What a gateway is asked by its parent.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Question {
    ChangeTables(u64),
    Counts,
}

/// What the gateway has counted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Counts {
    pub(super) requests: u64,
    pub(super) predictions_written: u64,
    pub(super) predictions_dropped: u64,
    pub(super) predictions_lost: u64,
    pub(super) tables_applied: u64,
    pub(super) tables_refused: u64,
    /// Of the changes just made.
    pub(super) seconds: f64,
}

/// Runs a part until stdin ends.
pub(super) fn run(arguments: &PartArguments) -> io::Result<()> {
    match arguments.part {
        Part::ModelServer => serve_models(&arguments.examples),
        Part::Gateway => serve_gateway(arguments),
        Part::Load => carry_out_jobs(arguments),
    }
}

fn say(what: &impl Serialize) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{}", serde_json::to_string(what).map_err(io::Error::other)?)?;
    stdout.flush()
}

fn lines() -> impl Iterator<Item = io::Result<String>> {
    io::stdin().lock().lines()
}

fn listen() -> io::Result<TcpListener> {
    Handle::current().block_on(TcpListener::bind("127.0.0.1:0"))
}

fn serve_models(examples: &Path) -> io::Result<()> {
    let server = Models::read(examples)?.server()?;
    let listener = listen()?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { server.serve(listener, std::future::pending()).await });
    say(&Listening { address })?;
    lines().try_for_each(|line| line.map(drop))
}

fn serve_gateway(arguments: &PartArguments) -> io::Result<()> {
    let models = Models::read(&arguments.examples)?;
    let path = arguments.folder.as_deref().ok_or_else(|| io::Error::other("a gateway needs a folder"))?;
    let folder = Folder::open_or_create(path, &NewLog { log_id: [7; 16], partitions: 1 });
    let folder = folder.map_err(io::Error::other)?;
    let backend: Arc<dyn Backend> = match arguments.upstream {
        Some(address) => Arc::new(Http::at(address)),
        None => Arc::new(crate::node::in_process(models.server()?)),
    };
    let gateway = Gateway::open(Settings {
        id: "bench".to_owned(),
        folder: path.join("gateway"),
        backend,
        environments: BTreeMap::new(),
        predictions: folder.predictions(),
        kill: None,
        limits: Limits::default(),
    });
    let gateway = gateway.map_err(io::Error::other)?;
    let runtime = Handle::current();
    let mut generation = 1;
    let table = models.table(generation, CANDIDATE)?;
    runtime.block_on(gateway.apply(table)).map_err(io::Error::other)?;
    let listener = listen()?;
    let address = listener.local_addr()?;
    let serving = gateway.clone();
    tokio::spawn(async move { serving.serve(listener, std::future::pending()).await });
    say(&Listening { address })?;
    for line in lines() {
        let began = Instant::now();
        match serde_json::from_str(&line?).map_err(io::Error::other)? {
            Question::ChangeTables(changes) => {
                for change in 0..changes as usize {
                    generation += 1;
                    let table = models.table(generation, SHARES[change % SHARES.len()])?;
                    // A refusal is counted by the gateway.
                    let _refused = runtime.block_on(gateway.apply(table));
                    std::thread::sleep(CHANGE_EVERY);
                }
            }
            Question::Counts => runtime.block_on(gateway.flush()),
        }
        say(&counts(&gateway, began.elapsed()))?;
    }
    Ok(())
}

fn counts(gateway: &Gateway, took: Duration) -> Counts {
    let counts = gateway.counts();
    Counts {
        requests: counts.requests.load(Relaxed),
        predictions_written: counts.predictions_written.load(Relaxed),
        predictions_dropped: counts.predictions_dropped.load(Relaxed),
        predictions_lost: counts.predictions_lost.load(Relaxed),
        tables_applied: counts.tables_applied.load(Relaxed),
        tables_refused: counts.tables_refused.load(Relaxed),
        seconds: took.as_secs_f64(),
    }
}

fn carry_out_jobs(arguments: &PartArguments) -> io::Result<()> {
    let asked = Arc::new(requests(&arguments.examples, arguments.rows)?);
    let mut lines = lines();
    let mut salt = 0;
    while let Some(line) = lines.next() {
        let demand: Demand = serde_json::from_str(&line?).map_err(io::Error::other)?;
        let seconds = demand.seconds;
        salt += 1;
        let wait = || match seconds {
            Some(seconds) => {
                std::thread::sleep(Duration::from_secs_f64(seconds));
                Ok(())
            }
            None => lines.next().transpose().map(drop),
        };
        let outcome = load::carry_out(demand, Arc::clone(&asked), salt, || say(&Measuring {}), wait)?;
        say(&outcome)?;
    }
    Ok(())
}
