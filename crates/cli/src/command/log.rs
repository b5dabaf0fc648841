//! Moves a log between a data folder and the topics of distributed mode: every accepted record, byte for byte.

use std::time::{Duration, Instant};

use engine::chain::topic_mark;
use engine::port::log::Log;
use engine::port::store::Head;
use engine::replay::{self, CopyError, ReadError};
use log_kafka::topics::Found;
use log_kafka::{Bell, KafkaLog, LaneReader, LaneSeen, Settings, Topic};
use rocks::{Folder, NewLog};
use serde::Serialize;
use wire::codec::Definitions;
use wire::record::{self, Body, Lane};

use super::serve::apart;
use crate::argv::{Global, LogCommand};
use crate::config::{self, Config};
use crate::exit::{Exit, Failure};
use crate::output::{Output, Table, say};

/// How long the brokers may take to say where lanes end.
const ASK_MAX: Duration = Duration::from_secs(10);
/// How long to wait for inputs between looks.
const LOOK: Duration = Duration::from_millis(50);
/// How many inputs are named.
const NAMED_MAX: usize = 20;
/// It is said now and then how far a copy is.
const TELL_EVERY: u64 = 100_000;

/// What was copied of a partition.
#[derive(Debug, Serialize)]
struct CopiedView {
    partition: u32,
    /// Accepted ones, all in all.
    records: u64,
    /// Which were not there yet.
    copied: u64,
    /// The SHA-256 of the last one.
    head: String,
}

pub(super) async fn log(global: &Global, command: &LogCommand, output: Output) -> Result<Exit, Failure> {
    let (config, _) = config::load(global.config.as_deref(), global.data.as_deref())
        .map_err(|error| Failure::of_config(&error))?;
    if config.kafka.is_embedded() {
        return Err(Failure::usage(
            "NO_BROKERS",
            "expected brokers that have the topics, but none are named",
        )
        .field("kafka.brokers")
        .hint("MODELRAIL_KAFKA__BROKERS names brokers too"));
    }
    let (settings, found) = apart::topics(&config, "log").await?;
    let command = command.clone();
    let done = tokio::task::spawn_blocking(move || match command {
        LogCommand::Push => push(&config, &settings),
        LogCommand::Pull { leave_inputs } => pull(&config, &settings, &found, leave_inputs),
    });
    let failed = |error| Failure::new(Exit::Failed, "COPY", "failed to copy the log").cause(&error);
    let copied = done.await.map_err(failed)??;
    output.list(&copied, table)?;
    Ok(Exit::Good)
}

/// From the folder into the topics.
fn push(config: &Config, settings: &Settings) -> Result<Vec<CopiedView>, Failure> {
    let folder = Folder::open(&config.store.data).map_err(|error| Failure::of_folder(&error))?;
    let from = folder.database();
    check_partitions(from.partitions(), config)?;
    let to = KafkaLog::open(settings, from.partitions()).map_err(|error| of_kafka(&error))?;
    let (copied, _) = copy(&*from, &to)?;
    say(
        "the log is in the topics. What it names is not: copy the blobs to `blobs.folder`, and keys, tokens and users to \
         `store.secrets`, before an engine starts; never start this folder again",
    );
    Ok(copied)
}

/// From the topics into the folder.
fn pull(
    config: &Config,
    settings: &Settings,
    found: &Found,
    leave_inputs: bool,
) -> Result<Vec<CopiedView>, Failure> {
    let partitions = config.store.partitions;
    let from = KafkaLog::open(settings, partitions).map_err(|error| of_kafka(&error))?;
    let log_id = log_id(&from)?;
    let folder = Folder::open_or_create(&config.store.data, &NewLog { log_id, partitions })
        .map_err(|error| Failure::of_folder(&error))?;
    let to = folder.database();
    check_partitions(to.partitions(), config)?;
    let (copied, heads) = copy(&from, &*to)?;
    let behind = behind(settings, found, &heads)?;
    if !behind.is_empty() && !leave_inputs {
        return Err(left(&behind));
    }
    folder.close().map_err(|error| Failure::of_folder(&error))?;
    say(
        "the log is in the folder. What it names is not: copy the blobs to `blobs` there, and keys, tokens and users beside \
         it, before it is served; engines and this folder must never both go on",
    );
    Ok(copied)
}

fn check_partitions(there: u32, config: &Config) -> Result<(), Failure> {
    let wanted = config.store.partitions;
    if there == wanted {
        return Ok(());
    }
    let text = format!("expected a log in {wanted} partitions, but the folder's is in {there}");
    Err(Failure::usage("PARTITIONS", text)
        .field("store.partitions")
        .hint("the count is for life: make the topics with the folder's"))
}

fn copy(from: &dyn Log, to: &dyn Log) -> Result<(Vec<CopiedView>, Vec<Head>), Failure> {
    let (mut views, mut heads) = (vec![], vec![]);
    for partition in 0..from.partitions() {
        let mut told = 0;
        let tell = |records: u64| {
            if records >= told + TELL_EVERY {
                told = records;
                say(&format!("partition {partition}: {records} records"));
            }
        };
        let copied = replay::copy(from, to, partition, wire::definitions::parsers(), tell)
            .map_err(|error| not_copied(&error))?;
        views.push(CopiedView {
            partition,
            records: copied.head.seq,
            copied: copied.records,
            head: copied.head.hash.to_string(),
        });
        heads.push(copied.head);
    }
    Ok((views, heads))
}

/// As the first record of any partition has it.
fn log_id(log: &KafkaLog) -> Result<[u8; 16], Failure> {
    for partition in 0..log.partitions() {
        let first = log.read(partition, 0, 1);
        let first = first.map_err(|error| not_copied(&CopyError::Read(error.into())))?;
        let Some(landed) = first.first() else { continue };
        let known = Definitions::new(wire::definitions::parsers());
        let record = record::open(&landed.bytes).and_then(|opened| opened.decode(&known));
        if let Ok(Body::Created { log_id, .. }) = record.map(|record| record.body) {
            return Ok(log_id);
        }
    }
    Err(Failure::new(
        Exit::Failed,
        "NO_LOG",
        "expected topics with a log, but none begins with a record that creates one",
    ))
}

/// The inputs that stand in the lanes behind the last one that a record of the log has taken, each in words.
fn behind(settings: &Settings, found: &Found, heads: &[Head]) -> Result<Vec<String>, Failure> {
    let bell = Bell::default();
    let lanes = LaneReader::open(settings, &bell).map_err(|error| of_kafka(&error))?;
    let mut expected = 0;
    for (partition, head) in (0..).zip(heads) {
        let bounds = lanes.bounds(partition, ASK_MAX).map_err(|error| of_kafka(&error))?;
        let from = Lane::ALL.map(|lane| {
            let topic = found.there(Topic::Lane(lane)).map(|there| topic_mark(&there.id));
            // Of a lane that no claim has named nothing was taken.
            let is_known = topic == Some(head.topics[lane.index()]);
            bounds[lane.index()].0.max(if is_known { head.positions[lane.index()] } else { 0 })
        });
        expected += from.iter().zip(bounds).map(|(from, (_, end))| end.saturating_sub(*from)).sum::<u64>();
        lanes.begin(partition, &from).map_err(|error| of_kafka(&error))?;
    }
    let mut behind = vec![];
    let until = Instant::now() + ASK_MAX;
    while (behind.len() as u64) < expected {
        match lanes.next().map_err(|error| of_kafka(&error))? {
            // What is not there is not behind.
            Some(LaneSeen::Gone) => {}
            Some(LaneSeen::Input(lane, read)) => {
                let id = read.header("ce_id").unwrap_or("without an id");
                behind.push(format!("{lane:?} {}/{}: {id}", read.partition, read.offset).to_lowercase());
            }
            None if Instant::now() < until => bell.wait(LOOK),
            None => {
                let text =
                    format!("expected {expected} inputs in the lanes, but {} came in time", behind.len());
                return Err(Failure::new(Exit::NotReachable, "KAFKA", text));
            }
        }
    }
    behind.sort_unstable();
    Ok(behind)
}

fn left(behind: &[String]) -> Failure {
    let named: Vec<&str> = behind.iter().take(NAMED_MAX).map(String::as_str).collect();
    let text = format!(
        "expected nothing in the lanes behind what the log has taken, but there are {} inputs: {}{}",
        behind.len(),
        named.join(", "),
        if behind.len() > NAMED_MAX { ", and more" } else { "" },
    );
    Failure::new(Exit::Failed, "INPUTS_WAIT", text).hint(
        "run engines until they have decided them, stop them, and call this again: it goes on where it is. What stays then is \
         repeats, which leave no record: `--leave-inputs` leaves them behind",
    )
}

fn not_copied(error: &CopyError) -> Failure {
    let (code, hint) = match error {
        CopyError::Differs { .. } => {
            ("OTHER_LOG", "what is there is another log, or went on by itself: nothing was changed")
        }
        CopyError::Ahead { .. } => {
            ("LOG_AHEAD", "it went on by itself after it was copied: nothing was changed")
        }
        CopyError::Write(_) | CopyError::Read(ReadError::Source(_)) => {
            ("COPY", "call it again: it goes on where it is")
        }
        CopyError::Read(_) => {
            ("LOG_BROKEN", "`modelrail verify` names what is wrong with the log that is read")
        }
    };
    let failure = Failure::new(Exit::Failed, code, error.to_string()).hint(hint);
    match std::error::Error::source(error) {
        Some(source) => failure.cause(source),
        None => failure,
    }
}

fn of_kafka(error: &log_kafka::Error) -> Failure {
    let failure = Failure::new(Exit::NotReachable, "KAFKA", error.to_string());
    match std::error::Error::source(error) {
        Some(source) => failure.cause(source),
        None => failure,
    }
}

fn table(copied: &[CopiedView]) -> String {
    let mut table = Table::new(&["PARTITION", "RECORDS", "COPIED", "HEAD"]);
    for it in copied {
        let head = it.head.clone();
        table.row([it.partition.to_string(), it.records.to_string(), it.copied.to_string(), head]);
    }
    table.render()
}
