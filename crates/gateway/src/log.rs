//! The prediction log's near end: a bounded queue, and a thread that writes it in batches.
//!
//! Invariant: an answer never waits for the log. What finds the queue full is dropped and counted; what could not
//! be written is counted too, so that a measurement can say how many it had.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::port::predictions::{Prediction, Predictions};
use tokio::sync::oneshot;

use crate::limits::Limits;
use crate::metrics::Counts;
use crate::refusal::text_with_causes;
use crate::rows::Rows;

/// How long the thread lets predictions gather: waking it for each would cost as much as the answer itself.
const LINGER: Duration = Duration::from_millis(5);

/// The queue's end for those who answer.
#[derive(Debug)]
pub(crate) struct Log {
    queue: Arc<Queue>,
    waiting_max: usize,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    came: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    /// What the thread has not taken.
    rows: Rows,
    /// Predictions that are not being written yet, also those that the thread has taken.
    number: usize,
    /// Each is answered when all before it was written.
    marks: Vec<oneshot::Sender<()>>,
    /// The thread waits to be told that something came.
    is_asleep: bool,
    is_over: bool,
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, mut waiting: MutexGuard<'_, Waiting>) {
        let was_asleep = std::mem::take(&mut waiting.is_asleep);
        drop(waiting);
        if was_asleep {
            self.came.notify_one();
        }
    }
}

impl Log {
    /// Starts the writing thread; it ends after the last prediction when this is dropped.
    pub(crate) fn start(
        predictions: Arc<dyn Predictions>,
        limits: &Limits,
        counts: Arc<Counts>,
    ) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let batch_max = limits.predictions_batch_max.max(1);
        let (taken, written) = (Arc::clone(&queue), Arc::clone(&counts));
        std::thread::Builder::new()
            .name("predictions".to_owned())
            .spawn(move || write(&taken, &*predictions, batch_max, &written))?;
        Ok(Self { queue, waiting_max: limits.predictions_waiting_max, counts })
    }

    pub(crate) fn push(&self, prediction: &Prediction) {
        let mut waiting = self.queue.waiting();
        if waiting.number >= self.waiting_max {
            self.counts.predictions_dropped.fetch_add(1, Relaxed);
            return;
        }
        waiting.number += 1;
        waiting.rows.push(prediction);
        self.queue.wake(waiting);
    }

    /// Waits until what was pushed before is written or counted as lost.
    pub(crate) async fn flush(&self) {
        let (mark, reached) = oneshot::channel();
        {
            let mut waiting = self.queue.waiting();
            waiting.marks.push(mark);
            self.queue.wake(waiting);
        }
        if reached.await.is_err() {
            tracing::error!("the thread that writes predictions has ended");
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let mut waiting = self.queue.waiting();
        waiting.is_over = true;
        self.queue.wake(waiting);
    }
}

fn write(queue: &Queue, predictions: &dyn Predictions, batch_max: usize, counts: &Counts) {
    let (mut taken, mut batch) = (Rows::default(), vec![]);
    // A full disk fails each batch: said once, then counted.
    let mut fails = false;
    loop {
        let Some(marks) = take(queue, &mut taken, batch_max) else { return };
        let mut rows = taken.unread();
        loop {
            let number = rows.fill(&mut batch, batch_max);
            if number == 0 {
                break;
            }
            queue.waiting().number -= number;
            append(predictions, &batch[..number], counts, &mut fails);
        }
        taken.clear();
        for mark in marks {
            // Whoever waited may have gone.
            let _ = mark.send(());
        }
    }
}

/// Waits for what comes and takes all of it, with the marks behind it; nothing when it is over.
fn take(queue: &Queue, taken: &mut Rows, batch_max: usize) -> Option<Vec<oneshot::Sender<()>>> {
    let mut waiting = queue.waiting();
    while waiting.rows.is_empty() && waiting.marks.is_empty() {
        if waiting.is_over {
            return None;
        }
        waiting.is_asleep = true;
        waiting = queue.came.wait(waiting).unwrap_or_else(PoisonError::into_inner);
    }
    if waiting.marks.is_empty() && !waiting.is_over && batch_max > 1 {
        drop(waiting);
        std::thread::sleep(LINGER);
        waiting = queue.waiting();
    }
    std::mem::swap(&mut waiting.rows, taken);
    Some(std::mem::take(&mut waiting.marks))
}

fn append(predictions: &dyn Predictions, batch: &[Prediction], counts: &Counts, fails: &mut bool) {
    let number = batch.len() as u64;
    match predictions.append(batch) {
        Ok(()) => {
            *fails = false;
            counts.predictions_written.fetch_add(number, Relaxed)
        }
        Err(error) => {
            if !std::mem::replace(fails, true) {
                tracing::error!(number, error = text_with_causes(&error), "failed to write predictions");
            }
            counts.predictions_lost.fetch_add(number, Relaxed)
        }
    };
}
