//! When each stream is to be looked at next.

use std::collections::{BTreeMap, BTreeSet};

use domain::name::StreamId;
use domain::time::Timestamp;

#[derive(Debug, Default)]
pub(super) struct Timers {
    order: BTreeSet<(Timestamp, StreamId)>,
    by_stream: BTreeMap<StreamId, Timestamp>,
}

impl Timers {
    /// Replaces the stream's moment.
    pub(super) fn set(&mut self, stream: &StreamId, at: Option<Timestamp>) {
        if let Some(former) = self.by_stream.remove(stream) {
            self.order.remove(&(former, stream.clone()));
        }
        if let Some(at) = at {
            self.by_stream.insert(stream.clone(), at);
            self.order.insert((at, stream.clone()));
        }
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        self.order.first().map(|(at, _)| *at)
    }

    /// The stream that is due for longest.
    pub(super) fn due(&self, now: Timestamp) -> Option<StreamId> {
        self.order.first().filter(|(at, _)| *at <= now).map(|(_, stream)| stream.clone())
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
