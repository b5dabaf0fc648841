//! What makes the load: it writes triggers into their lane, and reads from the log which runs went live.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use domain::name::RunId;
use domain::run::Event;
use domain::transition::Step;
use engine::message;
use engine::placement::partition_of;
use engine::request::{Said, Trigger};
use log_kafka::{Bell, LogReader, Publisher, Security, Seen, Settings, Topic, Write};
use wire::codec::Definitions;
use wire::record::{self, Body, Lane};

use super::KafkaArguments;
use super::brokers::{Brokers, Counter, Topics};
use super::processes::Processes;
use crate::command::bench::cost;
use crate::command::bench::flow::{Completed, Triggers};
use crate::command::bench::load::{Load, Place};

/// How long the reader waits for a record before it looks whether it is to end.
const LOOK: Duration = Duration::from_millis(100);

pub(super) struct Kafka<'a> {
    brokers: &'a Brokers,
    processes: Processes,
    publisher: Publisher,
    counter: Counter,
    topic: String,
    partitions: u32,
    reading: Option<Reading>,
}

struct Reading {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// By kind of process.
pub(super) struct Costs {
    pub cpu_seconds: BTreeMap<&'static str, f64>,
    pub resident_mib: BTreeMap<&'static str, u64>,
    pub topics: Topics,
}

pub(super) fn start<'a>(
    arguments: &KafkaArguments,
    brokers: &'a Brokers,
    processes: Processes,
) -> Result<Load<Kafka<'a>>, String> {
    let settings = Settings {
        brokers: brokers.addresses.clone(),
        client_id: "modelrail-bench".to_owned(),
        prefix: processes.prefix.clone(),
        security: Security::default(),
    };
    let failed = |error: log_kafka::Error| error.to_string();
    let publisher = Publisher::open(&settings).map_err(failed)?;
    let bell = Bell::default();
    let from = vec![0; arguments.partitions as usize];
    let reader = LogReader::open(&settings, &from, &bell).map_err(failed)?;
    let (told, completed) = channel();
    let stop = Arc::new(AtomicBool::new(false));
    let thread = std::thread::Builder::new().name("log".into()).spawn({
        let stop = Arc::clone(&stop);
        move || {
            if let Err(why) = read(&reader, &bell, &told, &stop) {
                // The load hears nothing any more, and says so.
                tracing::error!(why, "the log cannot be read");
            }
        }
    });
    let thread = thread.map_err(|error| format!("failed to start a thread: {error}"))?;
    let kafka = Kafka {
        counter: brokers.counter(&processes.prefix),
        brokers,
        processes,
        publisher,
        topic: Topic::Lane(Lane::Triggers).name(&settings.prefix),
        partitions: arguments.partitions,
        reading: Some(Reading { stop, thread }),
    };
    Load::new(kafka, completed, Triggers::new("/bench".to_owned())?, arguments.targets)
}

fn read(reader: &LogReader, bell: &Bell, told: &Sender<Completed>, stop: &AtomicBool) -> Result<(), String> {
    let mut known = Definitions::new(wire::definitions::parsers());
    while !stop.load(Relaxed) {
        match reader.next().map_err(|error| error.to_string())? {
            None => bell.wait(LOOK),
            Some(Seen::End { .. }) => {}
            Some(Seen::Gone) => return Err("it lacks records".to_owned()),
            Some(Seen::Record { landed, .. }) => {
                let at = Instant::now();
                for run in went_live(&landed.bytes, &mut known).map_err(|error| error.to_string())? {
                    // Whoever measures may have ended.
                    drop(told.send(Completed { run, at }));
                }
            }
        }
    }
    Ok(())
}

/// The runs that this record says went live.
fn went_live(bytes: &[u8], known: &mut Definitions) -> Result<Vec<RunId>, record::Error> {
    let opened = record::open(bytes)?;
    opened.register(known)?;
    let Body::Transition(recorded) = opened.decode(known)?.body else { return Ok(vec![]) };
    let live = recorded.transition.steps.iter().filter_map(|step| match step {
        Step::Run { run, events, .. } => {
            let is_live = events.iter().any(|event| matches!(event, Event::WentLive { restored: false, .. }));
            is_live.then_some(*run)
        }
        Step::Definitions { .. } | Step::Target { .. } => None,
    });
    Ok(live.collect())
}

impl Place for Kafka<'_> {
    type Said = ();
    type Costs = Costs;

    fn say(&mut self, trigger: Trigger) -> Result<(), String> {
        let header = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
        let write = Write {
            topic: self.topic.clone(),
            partition: Some(partition_of(&trigger.target, self.partitions)),
            key: trigger.target.to_string().into_bytes(),
            headers: vec![
                header("ce_specversion", "1.0"),
                header("ce_id", &trigger.run().to_string()),
                header("ce_type", "io.modelrail.trigger.v1"),
                header("ce_source", "/modelrail/bench"),
                header("content-type", "application/protobuf"),
            ],
            value: Some(message::encode_said(&Said::Trigger(Box::new(trigger)))),
        };
        let told = |result: Result<_, log_kafka::Error>| {
            if let Err(error) = result {
                tracing::error!(%error, "a trigger did not land");
            }
        };
        self.publisher.publish(&write, told).map_err(|error| error.to_string())
    }

    fn stuck(&mut self, _: RunId, (): &mut ()) -> String {
        "did not go live, as the log has it: the logs of engines and workers may say why".to_owned()
    }

    fn costs(&mut self) -> Result<Costs, String> {
        let brokers = self.brokers.ids()?.into_iter().map(|id| ("brokers", id));
        let all = brokers.chain(self.processes.ids()).chain([("load", std::process::id())]);
        let (mut cpu_seconds, mut resident_mib) = (BTreeMap::new(), BTreeMap::new());
        for (kind, id) in all {
            *cpu_seconds.entry(kind).or_default() += cost::cpu_seconds_of(id)?;
            *resident_mib.entry(kind).or_default() += cost::resident_mib_of(id);
        }
        Ok(Costs { cpu_seconds, resident_mib, topics: self.counter.count()? })
    }
}

impl Drop for Kafka<'_> {
    fn drop(&mut self) {
        if let Some(Reading { stop, thread }) = self.reading.take() {
            stop.store(true, Relaxed);
            if thread.join().is_err() {
                tracing::error!("the thread that reads the log panicked");
            }
        }
    }
}
