//! Opens the log and its mirror, and runs the driver on a thread of its own.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::Duration;

use domain::name::Digest;
use engine::code::{Code, Stopped};
use engine::message;
use engine::partition::{Bounds, Config, Format, OpenError, Partition, Redispatch, RowsPutOff};
use engine::port::store::Store;
use engine::token::Key;
use log_kafka::{
    Appender, Begin, Bell, Bulk, Follower, Joining, LaneReader, LogReader, Member, Publisher, Settings, Topic,
};
use rocks::{Folder, NewLog};
use tokio::sync::watch;
use wire::codec::Definitions;
use wire::record::{self, Body, Lane};

use super::driver::{Driver, Owner};
use super::handle::Handle;
use super::ingress;
use super::seat::Seat;
use super::shown::Shown;
use super::traffic::Clients;
use super::waiting::Waiting;
use super::watch::{Watch, Watched};
use crate::node::clock::SystemClock;

/// How long the brokers may take to say what there is.
const ASK_MAX: Duration = Duration::from_secs(10);

/// What a driver is opened with.
#[derive(Debug)]
pub struct Opening<'a> {
    pub settings: &'a Settings,
    /// Of the log; the topics have as many.
    pub partitions: u32,
    /// The folder of the mirror.
    pub data: &'a Path,
    pub bounds: Bounds,
    /// Signs the tokens of attempts; the same in every engine.
    pub key: Key,
    pub binary: String,
    /// Decides too, as a member of the engines' group; else it only reads.
    pub owns: Option<Membership>,
    /// What a log that is empty is told from all others by: the cluster and the topic's id.
    pub new_log: &'a str,
    pub clock: Arc<SystemClock>,
}

/// How an engine takes part.
#[derive(Debug, Clone)]
pub struct Membership {
    /// The same for every life of this process.
    pub instance: Option<String>,
    /// The ids of the lanes' topics, as the brokers have them.
    pub lane_topics: [String; 3],
    pub watched: Watched,
}

#[derive(Debug, thiserror::Error)]
pub enum OpeningError {
    #[error("failed to work with Kafka")]
    Kafka(#[from] log_kafka::Error),
    #[error("failed to open the mirror")]
    Folder(#[from] rocks::Error),
    #[error("failed to open a partition")]
    Partition(#[from] OpenError),
    #[error("failed to read the first record of partition {partition}: {why}")]
    First { partition: u32, why: String },
    #[error("failed to start a thread")]
    Thread(#[source] std::io::Error),
}

/// A driver on its thread.
#[derive(Debug)]
pub struct Running {
    stop: Arc<AtomicBool>,
    bell: Bell,
    thread: Option<JoinHandle<()>>,
    folder: Arc<Folder>,
    publisher: Publisher,
    prefix: String,
    partitions: u32,
    waiting: Arc<Waiting>,
    shown: Arc<Shown>,
    changes: watch::Receiver<u64>,
}

impl Running {
    /// Opens everything, and begins to read. Blocks for as long as the brokers take to answer.
    pub fn open(opening: Opening<'_>) -> Result<Self, OpeningError> {
        let Opening { settings, partitions, data, bounds, key, binary, owns, new_log, clock } = opening;
        let bell = Bell::default();
        let publisher = Publisher::open(settings)?;
        // Opened first: its first write would wait.
        let appender = owns.is_some().then(|| Appender::open(settings)).transpose()?;
        let log_id = log_id(settings, partitions, new_log)?;
        // Why it was begun anew, if it was, is said there.
        let (folder, _anew) = Folder::open_mirror(data, &NewLog { log_id, partitions })?;
        let store: Arc<dyn Store> = folder.database();
        let mut seats = vec![];
        for partition in 0..partitions {
            let config = Config {
                log_id,
                partition,
                partitions,
                binary: binary.clone(),
                parsers: wire::definitions::parsers(),
                key,
                redispatch: Redispatch::AboveDispatched,
                format: Format::default(),
                bounds,
            };
            let mut machine = Partition::open(config, Arc::clone(&store))?;
            machine.tell_of_others();
            machine.put_rows_off(RowsPutOff::WhileReading);
            seats.push(Seat::new(machine));
        }
        let from: Vec<u64> = seats.iter().map(|seat| seat.machine.head().next_offset).collect();
        let reader = LogReader::open(settings, &from, &bell)?;
        for (seat, (low, high)) in seats.iter_mut().zip(reader.bounds(ASK_MAX)?) {
            let next = seat.machine.head().next_offset;
            seat.stopped = seat.machine.check_end(high).err().or_else(|| {
                let text = format!("expected the record at offset {next} of the log, but it begins at {low}");
                (next < low).then(|| Stopped::new(Code::HistoryGap, text))
            });
            if let Some(stopped) = &seat.stopped {
                let partition = seat.machine.config().partition;
                tracing::error!(partition, code = %stopped.code, text = stopped.text, hint = stopped.code.hint(), "a partition stopped");
            }
        }
        let owner = match (owns, appender) {
            (Some(membership), Some(appender)) => {
                Some(owner(settings, &bell, membership, appender, &publisher)?)
            }
            _ => None,
        };
        let answers = Topic::Answers.name(&settings.prefix);
        let answers = Follower::open(settings, &answers, &Begin::End, &bell, ASK_MAX)?;
        let (changed, changes) = watch::channel(0);
        let mut clients = Clients::default();
        clients.add("log", reader.health());
        clients.add("sent", publisher.health());
        if let Some(owner) = &owner {
            let [prompt, gathering] = owner.appender.health();
            clients.add("appends", prompt);
            clients.add("appends-together", gathering);
            clients.add("sent-together", owner.commands.health());
            clients.add("lanes", owner.lanes.health());
            clients.add("group", owner.member.health());
        }
        let (waiting, shown) = (Arc::<Waiting>::default(), Arc::new(Shown::new(clients)));
        let mut driver = Driver {
            seats,
            store,
            reader,
            answers,
            owner,
            prefix: settings.prefix.clone(),
            recent: message::Recent::new(wire::definitions::parsers()),
            bell: bell.clone(),
            clock,
            waiting: Arc::clone(&waiting),
            shown: Arc::clone(&shown),
            changed,
            commits: BTreeMap::new(),
            after_commit: vec![],
            gathering_since: None,
            looks_for_gaps: false,
            looks_at_lanes: false,
            is_away: false,
            asks_at: 0,
        };
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new().name("driver".into()).spawn({
            let (stop, shown) = (Arc::clone(&stop), Arc::clone(&shown));
            move || {
                while !stop.load(Relaxed) {
                    if let Err(error) = driver.turn() {
                        tracing::error!(error = &error as &dyn std::error::Error, "the driver ends");
                        shown.ended(error.to_string());
                        return;
                    }
                    driver.rest();
                }
                driver.hand_over();
                shown.ended("it was asked to end".to_owned());
            }
        });
        Ok(Self {
            stop,
            bell,
            thread: Some(thread.map_err(OpeningError::Thread)?),
            folder: Arc::new(folder),
            publisher,
            prefix: settings.prefix.clone(),
            partitions,
            waiting,
            shown,
            changes,
        })
    }

    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Whether the driver goes on.
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// What it shows of itself.
    pub(super) fn shown(&self) -> &Arc<Shown> {
        &self.shown
    }

    /// What the API sees of the engines.
    pub fn handle(&self, source: &str, taken: Option<Arc<ingress::Counts>>) -> Handle {
        Handle {
            publisher: self.publisher.clone(),
            prefix: self.prefix.clone(),
            partitions: self.partitions,
            store: self.folder.database(),
            waiting: Arc::clone(&self.waiting),
            shown: Arc::clone(&self.shown),
            changes: self.changes.clone(),
            source: source.to_owned(),
            taken,
        }
    }

    /// Ends: the group is left, so that others take over at once.
    pub fn stop(mut self) -> Result<(), rocks::Error> {
        self.stop.store(true, Relaxed);
        self.bell.ring();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the driver's thread panicked");
        }
        match Arc::try_unwrap(self.folder) {
            Ok(folder) => folder.close(),
            // Somebody still reads; the mirror is read again from a little earlier then.
            Err(_) => Ok(()),
        }
    }
}

fn owner(
    settings: &Settings,
    bell: &Bell,
    membership: Membership,
    appender: Appender,
    publisher: &Publisher,
) -> Result<Owner, OpeningError> {
    let joining = Joining {
        group: format!("{}engines", settings.prefix),
        topics: vec![Topic::Lane(Lane::Requests).name(&settings.prefix)],
        instance: membership.instance,
        reads: false,
        gives: None,
    };
    let heartbeats = Topic::Heartbeats.name(&settings.prefix);
    Ok(Owner {
        appender,
        lanes: LaneReader::open(settings, bell)?,
        heartbeats: Follower::open(settings, &heartbeats, &Begin::End, bell, ASK_MAX)?,
        commands: Bulk::open(settings, publisher.clone())?,
        lane_topics: membership.lane_topics,
        watch: Watch::start(settings, membership.watched, bell).map_err(OpeningError::Thread)?,
        acknowledged: channel(),
        // Last: from here on partitions are given to this process.
        member: Member::join(settings, joining, bell)?,
    })
}

/// The log's id, as its first record has it. A log that has none yet gets one that every engine derives alike.
fn log_id(settings: &Settings, partitions: u32, new_log: &str) -> Result<[u8; 16], OpeningError> {
    let firsts = LogReader::first_records(settings, partitions, ASK_MAX)?;
    for (partition, first) in (0..).zip(&firsts) {
        let Some(landed) = first else { continue };
        let unreadable = |error: record::Error| OpeningError::First { partition, why: error.to_string() };
        let opened = record::open(&landed.bytes).map_err(unreadable)?;
        let record = opened.decode(&Definitions::new(wire::definitions::parsers())).map_err(unreadable)?;
        if let Body::Created { log_id, .. } = record.body {
            return Ok(log_id);
        }
    }
    let digest = Digest::of_parts([b"modelrail log".as_slice(), new_log.as_bytes()]);
    Ok(std::array::from_fn(|index| digest.0[index]))
}
