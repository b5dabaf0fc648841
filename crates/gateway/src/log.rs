//! The prediction log's near end: a bounded queue, and a thread that writes it in batches.
//!
//! Invariant: an answer never waits for the log. What finds the queue full is dropped and counted; what could not
//! be written is counted too, so that a measurement can say how many it had.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use engine::port::predictions::{Prediction, Predictions};
use tokio::sync::oneshot;

use crate::limits::Limits;
use crate::metrics::Counts;
use crate::refusal::text_with_causes;

/// How long the thread lets predictions gather: waking it for each would cost as much as the answer itself.
const LINGER: Duration = Duration::from_millis(5);

enum Entry {
    Prediction(Prediction),
    /// Answered when all before it was written.
    Mark(oneshot::Sender<()>),
}

/// The queue's end for those who answer.
#[derive(Debug)]
pub(crate) struct Log {
    queue: SyncSender<Entry>,
    counts: Arc<Counts>,
}

impl Log {
    /// Starts the writing thread; it ends after the last prediction when this is dropped.
    pub(crate) fn start(
        predictions: Arc<dyn Predictions>,
        limits: &Limits,
        counts: Arc<Counts>,
    ) -> std::io::Result<Self> {
        let (queue, entries) = sync_channel(limits.predictions_waiting_max);
        let batch_max = limits.predictions_batch_max.max(1);
        let written = Arc::clone(&counts);
        std::thread::Builder::new()
            .name("predictions".to_owned())
            .spawn(move || write(&entries, &*predictions, batch_max, &written))?;
        Ok(Self { queue, counts })
    }

    pub(crate) fn push(&self, prediction: Prediction) {
        match self.queue.try_send(Entry::Prediction(prediction)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.counts.predictions_dropped.fetch_add(1, Relaxed);
            }
        }
    }

    /// Waits until what was pushed before is written or counted as lost.
    pub(crate) async fn flush(self: &Arc<Self>) {
        let (mark, reached) = oneshot::channel();
        let queue = self.queue.clone();
        // The queue may be full, and then sending blocks.
        let sent = tokio::task::spawn_blocking(move || queue.send(Entry::Mark(mark)).is_ok()).await;
        if !matches!(sent, Ok(true)) || reached.await.is_err() {
            tracing::error!("the thread that writes predictions has ended");
        }
    }
}

fn write(entries: &Receiver<Entry>, predictions: &dyn Predictions, batch_max: usize, counts: &Counts) {
    let mut batch = Vec::with_capacity(batch_max);
    // A full disk fails each batch: said once, then counted.
    let mut fails = false;
    while let Ok(first) = entries.recv() {
        let mut marks = vec![];
        if batch_max > 1 {
            std::thread::sleep(LINGER);
        }
        for entry in std::iter::once(first).chain(entries.try_iter()) {
            match entry {
                Entry::Prediction(prediction) => batch.push(prediction),
                Entry::Mark(mark) => marks.push(mark),
            }
            if batch.len() == batch_max || !marks.is_empty() {
                break;
            }
        }
        let number = batch.len() as u64;
        match predictions.append(&batch) {
            Ok(()) => {
                fails = false;
                counts.predictions_written.fetch_add(number, Relaxed)
            }
            Err(error) => {
                if !std::mem::replace(&mut fails, true) {
                    tracing::error!(number, error = text_with_causes(&error), "failed to write predictions");
                }
                counts.predictions_lost.fetch_add(number, Relaxed)
            }
        };
        batch.clear();
        for mark in marks {
            // Whoever waited may have gone.
            let _ = mark.send(());
        }
    }
}
