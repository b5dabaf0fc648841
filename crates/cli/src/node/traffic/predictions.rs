//! Predictions and labels between processes: a gateway writes them to two topics, workers that measure keep them.
//!
//! ```text
//!  gateway: bounded queue -> modelrail.predictions --+--> Predictions of each worker that measures,
//!           labels, acknowledged -> modelrail.labels -+    with the offsets it was read to
//! ```
//!
//! **Invariant:** no caller of a gateway waits for a prediction to be written. A worker notes how far it read behind
//! what it appended, so that what it reads again after a crash replaces itself.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use domain::name::TargetId;
use domain::time::{Millis, Timestamp};
use engine::message::{decode_label, decode_prediction, encode_label, encode_prediction};
use engine::port::clock::Clock as _;
use engine::port::predictions::{Error, Label, Prediction, Predictions};
use log_kafka::{Followed, Settings, Topic};

use super::topic::{self, Following, Opens, Publish};
use crate::node::clock::SystemClock;

/// What a gateway gives its predictions and labels to.
#[derive(Debug)]
pub struct ToTopics {
    predictions: Arc<dyn Publish>,
    labels: Arc<dyn Publish>,
    /// Sent, and not landed.
    lost: Arc<AtomicU64>,
    /// Said once, until one lands.
    fails: Arc<AtomicBool>,
}

#[derive(Debug, thiserror::Error)]
enum NotHere {
    #[error("expected to read predictions where they are kept, but a gateway only writes them")]
    Reading,
    #[error("the topic said nothing of a label")]
    Unsaid,
}

impl ToTopics {
    pub fn new(predictions: Arc<dyn Publish>, labels: Arc<dyn Publish>) -> Self {
        Self { predictions, labels, lost: Arc::default(), fails: Arc::default() }
    }

    /// How many were sent and did not land, as far as is known.
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }
}

impl Predictions for ToTopics {
    /// Does not wait until they landed. Those that find no room are refused, with those behind them.
    fn append(&self, predictions: &[Prediction]) -> Result<(), Error> {
        for prediction in predictions {
            let (lost, fails) = (Arc::clone(&self.lost), Arc::clone(&self.fails));
            let told = move |result: Result<(), log_kafka::Error>| match result {
                Ok(()) => fails.store(false, Relaxed),
                Err(error) => {
                    lost.fetch_add(1, Relaxed);
                    if !fails.swap(true, Relaxed) {
                        tracing::warn!(error = &error as &dyn std::error::Error, "predictions do not land");
                    }
                }
            };
            let key = prediction.target.to_string();
            let sent = self.predictions.send(&key, encode_prediction(prediction), Box::new(told));
            sent.map_err(|error| Error(error.into()))?;
        }
        Ok(())
    }

    /// Waits until all of them landed.
    fn label(&self, labels: &[Label]) -> Result<(), Error> {
        let (told, hears) = sync_channel(labels.len());
        for label in labels {
            let told = told.clone();
            let tell = move |result| drop(told.send(result));
            let sent = self.labels.send(&label.target.to_string(), encode_label(label), Box::new(tell));
            sent.map_err(|error| Error(error.into()))?;
        }
        drop(told);
        for _ in labels {
            let landed = hears.recv().map_err(|_| Error(NotHere::Unsaid.into()))?;
            landed.map_err(|error| Error(error.into()))?;
        }
        Ok(())
    }

    fn scan(
        &self,
        _target: &TargetId,
        _from: Timestamp,
        _to: Timestamp,
        _visit: &mut dyn FnMut(&Prediction, Option<f64>),
    ) -> Result<(), Error> {
        Err(Error(NotHere::Reading.into()))
    }

    /// The topics have a retention of their own.
    fn sweep(&self, _before: Timestamp) -> Result<(), Error> {
        Ok(())
    }
}

/// Records that are kept together.
const BATCH_MAX: usize = 512;
/// How long a record waits for others to be kept with.
const BATCH_WAIT: Duration = Duration::from_millis(50);
/// How long a batch that could not be kept waits to be tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How often old predictions are dropped.
const SWEEP_EVERY: Millis = Millis::hours(1);

/// Keeps what the two topics hold in a prediction log of this process, for as long as it runs.
#[derive(Debug)]
pub struct Keeping {
    predictions: Following,
    labels: Following,
}

impl Keeping {
    /// Goes on where the log says that it was. `opens` gives a follower of each topic.
    pub fn start(
        log: &Arc<rocks::Predictions>,
        settings: &Settings,
        opens: &dyn Fn(Topic) -> Opens,
        days: u64,
    ) -> std::io::Result<Self> {
        let mut keep = Keep::new(log, Topic::Predictions.name(&settings.prefix), days);
        let from = topic::begin_at(&log.positions(), &keep.topic);
        let predictions = Following::start("predictions", opens(Topic::Predictions), from, move |seen| {
            keep.take(seen, decode_prediction, Predictions::append);
        })?;
        let mut keep = Keep::new(log, Topic::Labels.name(&settings.prefix), days);
        let from = topic::begin_at(&log.positions(), &keep.topic);
        let labels = Following::start("labels", opens(Topic::Labels), from, move |seen| {
            keep.take(seen, decode_label, Predictions::label);
        })?;
        Ok(Self { predictions, labels })
    }

    pub fn stop(self) {
        self.predictions.stop();
        self.labels.stop();
    }
}

/// One topic on its way into the log.
struct Keep<T> {
    log: Arc<rocks::Predictions>,
    topic: String,
    batch: Vec<T>,
    /// When the batch was last empty.
    began: Instant,
    /// The next offset of each partition, behind what is in the batch.
    read: BTreeMap<String, u64>,
    unread: u64,
    clock: SystemClock,
    retention: Millis,
    swept_at: Timestamp,
}

impl<T> Keep<T> {
    fn new(log: &Arc<rocks::Predictions>, topic: String, days: u64) -> Self {
        Self {
            log: Arc::clone(log),
            topic,
            batch: vec![],
            began: Instant::now(),
            read: BTreeMap::new(),
            unread: 0,
            clock: SystemClock::default(),
            retention: Millis::days(days),
            swept_at: Timestamp::default(),
        }
    }

    fn take<E: Display>(
        &mut self,
        seen: Option<Followed>,
        decode: fn(&[u8]) -> Result<T, E>,
        keep: fn(&rocks::Predictions, &[T]) -> Result<(), Error>,
    ) {
        let is_idle = !matches!(seen, Some(Followed::Record(_)));
        if self.read.is_empty() {
            self.began = Instant::now();
        }
        if let Some(Followed::Record(record)) = seen {
            match record.value.as_deref().map(decode) {
                Some(Ok(value)) => self.batch.push(value),
                Some(Err(error)) => {
                    self.unread += 1;
                    if self.unread == 1 {
                        tracing::warn!(topic = self.topic, %error, "a record cannot be read; it and its like are passed over");
                    }
                }
                None => {}
            }
            self.read.insert(format!("{}/{}", self.topic, record.partition), record.offset + 1);
        }
        let is_due = is_idle || self.batch.len() >= BATCH_MAX || self.began.elapsed() >= BATCH_WAIT;
        if is_due && !self.read.is_empty() {
            self.keep(keep);
        }
        if is_idle {
            self.sweep();
        }
    }

    fn keep(&mut self, keep: fn(&rocks::Predictions, &[T]) -> Result<(), Error>) {
        let kept = keep(&self.log, &self.batch).and_then(|()| self.log.note(&self.read));
        match kept {
            Ok(()) => {
                self.batch.clear();
                self.read.clear();
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(topic = self.topic, error, "what was read cannot be kept; it is tried again");
                std::thread::sleep(AGAIN_AFTER);
            }
        }
    }

    fn sweep(&mut self) {
        let now = self.clock.wall();
        if now - self.swept_at < SWEEP_EVERY {
            return;
        }
        self.swept_at = now;
        if let Err(error) = self.log.sweep(Timestamp(now.0.saturating_sub(self.retention.0))) {
            tracing::warn!(%error, "old predictions could not be dropped");
        }
    }
}

#[cfg(test)]
mod tests;
