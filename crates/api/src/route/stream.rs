//! The transitions of a run as server-sent events: what happened since `Last-Event-ID`, then what happens.
//!
//! **Invariant:** events come in the order of `seq`, each once, and none is left out: the stream reads the view
//! anew whenever it changed, from the last record that it sent.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use domain::name::{RunId, StreamId};
use futures_util::stream::{self, Stream};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::run_id::find;
use crate::api::Api;
use crate::problem::Problem;
use crate::show::{Names, transition_view};
use crate::take;
use crate::view::TransitionView;

/// How many records are read at once for one stream.
const RECORDS_MAX: usize = 100;
/// After how long without an event a comment is sent, so that nobody in between gives the stream up.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Where one stream is.
struct Follow {
    api: Arc<Api>,
    partition: u32,
    run: RunId,
    /// The record to read next.
    from: u64,
    waiting: VecDeque<TransitionView>,
    ended: bool,
    changes: watch::Receiver<u64>,
    closing: watch::Receiver<bool>,
    /// Held for as long as the stream lives.
    _place: OwnedSemaphorePermit,
}

pub(super) async fn run_events(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    take::Named(run): take::Named,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let from = match headers.get("last-event-id") {
        None => 0,
        Some(id) => {
            id.to_str().ok().and_then(|id| id.parse::<u64>().ok()).ok_or_else(|| {
                Problem::new(StatusCode::BAD_REQUEST, "BAD_ID", "expected the id of an event of this stream")
                    .field("Last-Event-ID")
            })? + 1
        }
    };
    let Ok(place) = Arc::clone(&api.streams).try_acquire_owned() else {
        let text = format!("expected at most {} event streams at once", api.config.streams_max);
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "BUSY", text)
            .hint("try again when another stream has ended; `limits.streams_max` is the bound")
            .retry_later());
    };
    let row = api.read(move |api| find(api, &run)).await?;
    let (changes, closing) = (api.ports.engine.changes(), api.closing());
    let follow = Follow {
        api,
        partition: row.partition,
        run: row.run,
        from,
        waiting: VecDeque::new(),
        ended: false,
        changes,
        closing,
        _place: place,
    };
    let events = stream::unfold(follow, |mut follow| async move {
        let next = follow.next().await?;
        Some((Ok(event(&next)), follow))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

impl Follow {
    /// The next transition, once there is one; nothing after the run ended, when the server closes, and when the
    /// view cannot be read (the client comes back with the last id it saw).
    async fn next(&mut self) -> Option<TransitionView> {
        loop {
            if let Some(next) = self.waiting.pop_front() {
                return Some(next);
            }
            // Marked as seen before reading: a change while reading wakes the next wait.
            self.changes.borrow_and_update();
            if !self.read().await? {
                if self.ended {
                    return None;
                }
                tokio::select! {
                    changed = self.changes.changed() => changed.ok()?,
                    _ = self.closing.wait_for(|closing| *closing) => return None,
                }
            }
        }
    }

    /// Whether there was something to read.
    async fn read(&mut self) -> Option<bool> {
        let (partition, run, from) = (self.partition, self.run, self.from);
        let read = self.api.read(move |api| {
            // Whether it ended is read first: a record that comes in between is read next time.
            let ended = api.ports.store.run(run)?.is_some_and(|row| row.ended && row.last_seq < from);
            let entries = api.reader.entries(partition, &StreamId::Run(run), from, RECORDS_MAX)?;
            let names = Names(api.ports.users.names());
            Ok((ended, entries.iter().map(|entry| transition_view(entry, &names)).collect::<Vec<_>>()))
        });
        let (ended, views) = read.await.ok()?;
        self.ended = ended;
        if let Some(last) = views.last() {
            self.from = last.seq + 1;
        }
        self.waiting.extend(views);
        Some(!self.waiting.is_empty())
    }
}

fn event(transition: &TransitionView) -> Event {
    Event::default()
        .event("transition")
        .id(transition.seq.to_string())
        .json_data(transition)
        .expect("a view consists of texts and numbers")
}
