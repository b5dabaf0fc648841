//! Hears what is no longer wanted: every worker reads all of it, from before what its journal may hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use domain::time::{Millis, Timestamp};
use engine::message;
use log_kafka::{Begin, Bell, Error, Followed, Follower, Settings, Topic};

use crate::node::desks::Orders;

/// How long the topic keeps cancels, and how far back a worker reads at its start.
const BACK: Millis = Millis::hours(1);
/// How long the brokers may take to answer.
const OPEN_WITHIN: Duration = Duration::from_secs(10);
/// How long a look waits for a record.
const LOOK: Duration = Duration::from_millis(100);
/// How long a follower that failed is left alone.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The thread that listens.
#[derive(Debug)]
pub(super) struct Cancels {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Cancels {
    pub(super) fn start(settings: &Settings, orders: Orders, now: Timestamp) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (settings, stopped) = (settings.clone(), Arc::clone(&stop));
        let thread = std::thread::Builder::new().name("cancels".into()).spawn(move || {
            let mut from = now.0.saturating_sub(BACK.0);
            while !stopped.load(Relaxed) {
                if let Err(error) = listen(&settings, &orders, &mut from, &stopped) {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(error, "cancels cannot be heard; it is tried again");
                    std::thread::sleep(AGAIN_AFTER);
                }
            }
        })?;
        Ok(Self { stop, thread })
    }

    pub(super) fn stop(self) {
        self.stop.store(true, Relaxed);
        if self.thread.join().is_err() {
            tracing::error!("the thread that hears cancels panicked");
        }
    }
}

/// Until it is to stop. `from` moves along; what is heard twice is nothing new.
fn listen(settings: &Settings, orders: &Orders, from: &mut u64, stopped: &AtomicBool) -> Result<(), Error> {
    let topic = Topic::Cancels.name(&settings.prefix);
    let follower = Follower::open(settings, &topic, &Begin::Time(*from), &Bell::default(), OPEN_WITHIN)?;
    while !stopped.load(Relaxed) {
        let Some(Followed::Record(read)) = follower.next(LOOK)? else { continue };
        *from = read.timestamp_ms.unwrap_or(*from).max(*from);
        match message::decode_cancel(read.value.as_deref().unwrap_or_default()) {
            Ok(attempt) => orders.cancel(&attempt),
            Err(error) => {
                tracing::warn!(partition = read.partition, offset = read.offset, %error, "a cancel that cannot be read");
            }
        }
    }
    Ok(())
}
