//! The engine in one process, and its desks in another: what `modelrail bench` kills, and who lives on.
//!
//! The two parts are those of a whole process; only the channels between them end elsewhere.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender};
use std::time::{Duration, Instant};

use engine::embedded::Opening;
use engine::port::journal::Journal;
use engine::port::store::Embedded;
use rocks::{Folder, NewLog};

use super::desks::{self, CarryOut, DeskMessage, Orders};
use super::disk::Disk;
use super::engine_thread::{self, Message};
use super::{Secrets, StartError, SystemClock, partition_config};
use crate::config::Config;

/// How long each part of opening took.
#[derive(Debug, Clone, Copy)]
pub struct Opened {
    pub folder: Duration,
    pub view: Duration,
    pub catch_up: Duration,
    pub claim: Duration,
    /// How many records the log has then.
    pub records: u64,
}

/// An engine over a data folder, whose orders go wherever they are taken.
#[derive(Debug)]
pub struct EngineAlone {
    folder: Folder,
    engine: engine_thread::Running,
    pub opened: Opened,
}

impl EngineAlone {
    /// Opens the folder, or makes it. `messages` is what it is told by, `orders` takes what it wants done.
    pub fn start(
        config: &Config,
        messages: (SyncSender<Message>, Receiver<Message>),
        orders: &Sender<DeskMessage>,
    ) -> Result<Self, StartError> {
        let path: &Path = &config.store.data;
        let began = Instant::now();
        let new = NewLog { log_id: uuid::Uuid::new_v4().into_bytes(), partitions: config.store.partitions };
        let folder = Folder::open_or_create(path, &new)?;
        let secrets = Secrets::open(path)?;
        let folder_open = Instant::now();
        let embedded: Arc<dyn Embedded> = folder.database();
        let mut opening = Opening::new(&partition_config(config, &folder, &secrets), embedded)?;
        let view_read = Instant::now();
        opening.catch_up()?;
        let caught_up = Instant::now();
        let opened = opening.own(new.log_id)?;
        let records = opened.partitions().iter().map(|partition| partition.head().seq).sum();
        let times = Opened {
            folder: folder_open - began,
            view: view_read - folder_open,
            catch_up: caught_up - view_read,
            claim: caught_up.elapsed(),
            records,
        };
        let (sender, receiver) = messages;
        let (clock, disk) = (Arc::new(SystemClock::default()), Disk::new(path.to_owned(), 0));
        let engine = engine_thread::start(opened, sender, receiver, Orders::to(orders), clock, disk)
            .map_err(StartError::Thread)?;
        Ok(Self { folder, engine, opened: times })
    }

    /// Ends without haste: everything is durable afterwards.
    pub fn stop(self) -> Result<(), rocks::Error> {
        self.engine.stop();
        self.folder.close()
    }
}

/// The desks of all stages, whose answers go wherever they are taken.
#[derive(Debug)]
pub struct DesksAlone {
    running: desks::Running,
}

impl DesksAlone {
    pub fn start(
        config: &Config,
        workers: &Arc<dyn CarryOut>,
        journal: &Arc<dyn Journal>,
        engine: &SyncSender<Message>,
    ) -> Result<Self, StartError> {
        let clock = Arc::new(SystemClock::default());
        let running = desks::start(config, workers, journal, engine, &clock).map_err(StartError::Thread)?;
        Ok(Self { running })
    }

    pub fn orders(&self) -> Orders {
        self.running.orders()
    }

    pub fn stop(self) {
        self.running.stop();
    }
}

/// What an engine is told by: `messages_max` wait for it.
pub fn messages(messages_max: usize) -> (SyncSender<Message>, Receiver<Message>) {
    engine_thread::channel(messages_max)
}
