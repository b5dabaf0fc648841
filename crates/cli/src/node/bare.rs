//! The engine's thread and the desks over a data folder, without the network: what `modelrail bench` drives.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use engine::embedded::Engine;
use engine::port::journal::Journal;
use engine::port::store::{Embedded, Store};
use rocks::{Folder, NewLog};

use super::desks::{self, CarryOut};
use super::disk::Disk;
use super::engine_thread::{self, Message};
use super::{Secrets, StartError, SystemClock, partition_config};
use crate::config::Config;

/// A running engine with workers of the caller's.
#[derive(Debug)]
pub struct Bare {
    pub folder: Folder,
    engine: engine_thread::Running,
    desks: desks::Running,
}

impl Bare {
    /// Opens the folder, or makes it, and takes up what is outstanding.
    pub fn start(config: &Config, workers: &Arc<dyn CarryOut>) -> Result<Self, StartError> {
        let path: &Path = &config.store.data;
        let new = NewLog { log_id: uuid::Uuid::new_v4().into_bytes(), partitions: config.store.partitions };
        let folder = Folder::open_or_create(path, &new)?;
        let secrets = Secrets::open(path)?;
        let clock = Arc::new(SystemClock::default());
        let database = folder.database();
        let journal: Arc<dyn Journal> = Arc::clone(&database) as Arc<dyn Journal>;
        let embedded: Arc<dyn Embedded> = Arc::clone(&database) as Arc<dyn Embedded>;
        let opened = Engine::open(&partition_config(config, &folder, &secrets), embedded, new.log_id)?;
        let (sender, receiver) = engine_thread::channel(config.limits.messages_max);
        let desks = desks::start(config, workers, &journal, &sender, &clock).map_err(StartError::Thread)?;
        let disk = Disk::new(path.to_owned(), 0);
        let engine = engine_thread::start(opened, sender, receiver, desks.orders(), clock, disk)
            .map_err(StartError::Thread)?;
        Ok(Self { folder, engine, desks })
    }

    /// What the engine is told by.
    pub fn sender(&self) -> SyncSender<Message> {
        self.engine.sender()
    }

    pub fn store(&self) -> Arc<dyn Store> {
        self.folder.database()
    }

    /// Ends without haste: everything is durable afterwards.
    pub fn stop(self) {
        let Self { folder, engine, desks } = self;
        desks.stop();
        engine.stop();
        if let Err(error) = folder.close() {
            tracing::warn!(%error, "the data folder was not closed cleanly");
        }
    }
}
