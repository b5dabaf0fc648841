//! A worker of distributed mode: takes the commands of its stages from their topics, carries them out, and answers in the
//! lane of outcomes.
//!
//! ```text
//!  commands.<stage> -> take -> desk: journal -> pool -> desk: journal -> outcomes
//!                       ^         |                          ^    |
//!                     offset <----+              cancels ----+    +--> heartbeats
//! ```
//!
//! **Invariant:** a command is in its topic, or in the journal, or answered where the answer cannot get lost; an entry is
//! closed when the topic of outcomes has acknowledged it. Nothing here waits for work but the pools.

mod cancels;
mod commands;
mod home;
mod places;
mod shown;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use domain::name::Digest;
use domain::time::Millis;
use domain::workflow::StageKind;
use engine::desk::{Bounds, Redelivery};
use engine::port::clock::Clock as _;
use engine::port::journal::Journal;
use log_kafka::topics::Found;
use log_kafka::{Bulk, Publisher, Settings, Topic};
use rocks::{Folder, NewLog};

use self::cancels::Cancels;
use self::commands::Commands;
use self::home::Topics;
use self::shown::Pulse;
use crate::config::Config;
use crate::node::StartError;
use crate::node::clock::SystemClock;
use crate::node::desks::{self, CarryOut, Home};
use crate::node::kafka::pulse;
use crate::node::kafka::traffic::Clients;

/// Longer than the client tries by itself: what is not acknowledged by then did not land, or nobody will know.
const RESEND_AFTER: Millis = Millis::seconds(35);
/// Where the journal is in the data folder.
const JOURNAL: &str = "journal";

/// A running worker.
#[derive(Debug)]
pub struct WorkerNode {
    desks: desks::Running,
    commands: Vec<Commands>,
    cancels: Cancels,
    folder: Folder,
    pulse: Pulse,
}

impl WorkerNode {
    /// Takes up what its journal holds, and joins the groups of its stages. Waits for no broker.
    pub fn start(
        config: &Config,
        settings: &Settings,
        found: &Found,
        stages: &[StageKind],
        workers: &Arc<dyn CarryOut>,
        source: &str,
    ) -> Result<Self, StartError> {
        // Whatever is wrong with a journal, it is begun anew: that costs a repeat under the same effect keys.
        let (folder, _anew) = Folder::open_mirror(&config.store.data.join(JOURNAL), &of_log(config, found))?;
        let journal: Arc<dyn Journal> = folder.database();
        let publisher = Publisher::open(settings).map_err(StartError::Topics)?;
        let bulk = Bulk::open(settings, publisher).map_err(StartError::Topics)?;
        let topics = Topics::new(settings, &bulk, config.store.partitions, source);
        let home: Arc<dyn Home> = Arc::new(topics);
        let clock = Arc::new(SystemClock::default());
        let bounds =
            Bounds { redelivery: Redelivery::Nobody, resend_after: RESEND_AFTER, ..Bounds::default() };
        let desks = desks::start_at(&home, stages, bounds, config, workers, &journal, &clock)
            .map_err(StartError::Thread)?;
        let cancels = Cancels::start(settings, desks.orders(), clock.wall()).map_err(StartError::Thread)?;
        let instance = Some(&config.kafka.instance).filter(|instance| !instance.is_empty());
        let mut commands = vec![];
        let mut rooms = vec![];
        let mut clients = Clients::default();
        clients.add("outcomes", bulk.prompt().health());
        clients.add("outcomes-together", bulk.health());
        for stage in stages {
            let desk = desks.desk(*stage).expect("it was just started");
            rooms.push((*stage, desk.1.clone()));
            let taking = Commands::start(settings, *stage, instance.cloned(), bulk.prompt(), desk)?;
            clients.add(stage.as_str(), &taking.health);
            commands.push(taking);
        }
        let pulse = Pulse { rooms, bulk, clients, is_ending: Arc::default() };
        Ok(Self { desks, commands, cancels, folder, pulse })
    }

    /// Says how it is at this address, for as long as it lives.
    pub async fn listen(&self, config: &Config, address: SocketAddr) -> Result<SocketAddr, StartError> {
        pulse::listen(self.pulse.clone(), config, address).await
    }

    /// Whether every desk goes on and takes commands; one ends by itself when its journal cannot be written.
    pub fn is_running(&self) -> bool {
        self.desks.is_running() && self.commands.iter().all(Commands::is_running)
    }

    /// Takes nothing more, hands back what is not begun, and waits for what is under way. Whether all of it was answered
    /// in time.
    pub async fn drain(&mut self, within: Duration) -> bool {
        self.pulse.is_ending.store(true, Relaxed);
        let commands = std::mem::take(&mut self.commands);
        let left = tokio::task::spawn_blocking(move || Commands::stop_all(commands));
        if let Err(error) = left.await {
            tracing::error!(%error, "a thread did not end as it should");
        }
        self.desks.drain(within).await
    }

    /// Ends. What is under way is done again after the next start.
    pub async fn stop(self) {
        let Self { desks, commands, cancels, folder, .. } = self;
        let ended = tokio::task::spawn_blocking(move || {
            Commands::stop_all(commands);
            cancels.stop();
            desks.stop();
            folder.close()
        });
        match ended.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the journal was not closed cleanly"),
            Err(error) => tracing::error!(%error, "a thread did not end as it should"),
        }
    }
}

/// A journal is of one log: what it holds of another is nobody's.
fn of_log(config: &Config, found: &Found) -> NewLog {
    let topic = found.there(Topic::Events).map(|there| there.id.as_str()).unwrap_or_default();
    let digest = Digest::of(format!("{} {topic}", found.cluster).as_bytes());
    let mut log_id = [0; 16];
    log_id.copy_from_slice(&digest.0[..16]);
    NewLog { log_id, partitions: config.store.partitions }
}
