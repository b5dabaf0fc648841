//! When each stream is to be looked at next: those that come soon, and those of which the view does not tell.
//!
//! ```text
//!   here      |. .. . ... .|      .        .         later ones only where the row says otherwise, or not yet
//!   view      |            |. . . . .... . . . ..    as the rows say, however many wait
//!            now        read to
//! ```
//!
//! **Invariant:** a stream that asks to be woken is here, at that moment or before; or its row in the view names that
//! moment, and is not read yet. One that is looked at too early is only set again.

use std::collections::{BTreeMap, BTreeSet};

use domain::name::StreamId;
use domain::time::Timestamp;

use super::{Partition, stopped_by};
use crate::code::Stopped;
use crate::port::store::Wake;

#[derive(Debug, Default)]
pub(super) struct Timers {
    order: BTreeSet<Wake>,
    by_stream: BTreeMap<StreamId, Timer>,
    reach: Reach,
    /// How many were left when it was made smaller.
    left: usize,
}

#[derive(Debug)]
struct Timer {
    at: Timestamp,
    /// Whether its row names the same moment, once it is in the view.
    in_row: bool,
}

/// How far the rows of the view were read.
#[derive(Debug, Default)]
enum Reach {
    #[default]
    Nothing,
    To(Wake),
    All,
}

impl Timers {
    /// Replaces the stream's moment; `in_row` is the one that its row names.
    pub(super) fn set(&mut self, stream: &StreamId, at: Option<Timestamp>, in_row: Option<Timestamp>) {
        if let Some(former) = self.by_stream.remove(stream) {
            self.order.remove(&(former.at, stream.clone()));
        }
        if let Some(at) = at {
            self.by_stream.insert(stream.clone(), Timer { at, in_row: in_row == Some(at) });
            self.order.insert((at, stream.clone()));
        }
    }

    /// When something may be due: what is not read yet may come right after what is.
    pub(super) fn next(&self) -> Option<Timestamp> {
        let here = self.order.first().map(|(at, _)| *at);
        let (Reach::To((read_to, _)), false) = (&self.reach, self.is_known()) else { return here };
        Some(*read_to)
    }

    /// The stream that is due for longest. Only while that is known.
    fn due(&self, now: Timestamp) -> Option<StreamId> {
        debug_assert!(self.is_known(), "another may be due before");
        self.order.first().filter(|(at, _)| *at <= now).map(|(_, stream)| stream.clone())
    }

    /// Whether the first that is here is the first of all.
    fn is_known(&self) -> bool {
        match &self.reach {
            Reach::Nothing => false,
            Reach::To(read_to) => self.order.first().is_some_and(|first| first <= read_to),
            Reach::All => true,
        }
    }

    /// Takes what rows of the view say next; of what is here already more is known.
    fn take(&mut self, wakes: Vec<Wake>, are_last: bool) {
        self.reach = match wakes.last() {
            Some(last) if !are_last => Reach::To(last.clone()),
            Some(_) | None => Reach::All,
        };
        for (at, stream) in wakes {
            if !self.by_stream.contains_key(&stream) {
                self.set(&stream, Some(at), Some(at));
            }
        }
    }

    /// Leaves to the view what comes late, when there is too much here. Rows of what is `held` are not in it yet.
    fn shrink(&mut self, near_max: usize, is_held: impl Fn(&StreamId) -> bool) {
        // Twice what was left, so that shrinking is rare where little can go.
        if self.order.len() <= near_max.max(self.left) * 2 {
            return;
        }
        let Some(near) = self.order.iter().nth(near_max).cloned() else { return };
        let read_to = match &self.reach {
            Reach::To(read_to) => read_to.clone().min(near),
            Reach::All => near,
            Reach::Nothing => return,
        };
        for wake in self.order.split_off(&read_to) {
            let is_in_view =
                self.by_stream.get(&wake.1).is_some_and(|timer| timer.in_row) && !is_held(&wake.1);
            if is_in_view && wake > read_to {
                self.by_stream.remove(&wake.1);
            } else {
                self.order.insert(wake);
            }
        }
        self.reach = Reach::To(read_to);
        self.left = self.order.len();
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }
}

impl Partition {
    /// The stream that is due for longest.
    pub(super) fn due(&mut self, now: Timestamp) -> Result<Option<StreamId>, Stopped> {
        self.read_timers()?;
        Ok(self.timers.due(now))
    }

    /// Reads on in the view, until it is known what comes first.
    pub(super) fn read_timers(&mut self) -> Result<(), Stopped> {
        let near_max = self.config.bounds.timers_near_max.max(1);
        while !self.timers.is_known() {
            let after = match &self.timers.reach {
                Reach::To(read_to) => Some(read_to),
                Reach::Nothing | Reach::All => None,
            };
            let wakes = self.store.wakes(self.config.partition, after, near_max).map_err(stopped_by)?;
            let are_last = wakes.len() < near_max;
            self.timers.take(wakes, are_last);
        }
        Ok(())
    }

    /// Once the view has more.
    pub(super) fn shrink_timers(&mut self) {
        let streams = &self.streams;
        self.timers.shrink(self.config.bounds.timers_near_max.max(1), |stream| streams.is_held(stream));
    }
}

#[cfg(test)]
mod tests {
    use domain::name::RunId;

    use super::*;

    fn run(number: u8) -> StreamId {
        StreamId::Run(RunId([number; 16]))
    }

    #[test]
    fn only_what_the_view_has_is_left_to_it() {
        let mut timers = Timers::default();
        timers.take(vec![], true);
        for number in 1..=9 {
            let at = Timestamp(u64::from(number));
            // The row of the seventh names a moment that has been.
            timers.set(&run(number), Some(at), Some(if number == 7 { Timestamp(1) } else { at }));
        }
        let held = run(5);
        timers.shrink(2, |stream| *stream == held);
        let here: Vec<u64> = timers.order.iter().map(|(at, _)| at.0).collect();
        assert_eq!(here, [1, 2, 3, 5, 7], "the next, what is not written yet, and what its row does not say");
        assert_eq!(timers.by_stream.len(), here.len());
        for number in 1..=3 {
            assert!(timers.is_known());
            assert_eq!(timers.due(Timestamp(9)), Some(run(number)));
            timers.set(&run(number), None, None);
        }
        assert!(!timers.is_known(), "the fourth comes before the fifth");
        assert_eq!(timers.next(), Some(Timestamp(3)), "it is read now");
        timers.take([4, 6, 7].map(|at| (Timestamp(u64::from(at)), run(at))).to_vec(), false);
        assert_eq!(timers.due(Timestamp(9)), Some(run(4)));
        let here: Vec<u64> = timers.order.iter().map(|(at, _)| at.0).collect();
        assert_eq!(here, [4, 5, 6, 7]);
    }
}
