//! Which records are taken and not done, so that offsets are committed in order whatever order acknowledgements come in.
//!
//! ```text
//!   offset    7      8      9      10
//!   waits for -      1      -      2 writes       next to commit: 8
//! ```
//!
//! **Invariant:** an offset is committed when every write of its record, and of all records before it, is acknowledged.
//! What was acknowledged of a partition that was given up since counts nothing.

use std::collections::{BTreeMap, VecDeque};

/// A partition of a topic.
pub(super) type Place = (String, u32);

/// The records that wait.
#[derive(Debug, Default)]
pub(super) struct Order {
    places: BTreeMap<Place, Queue>,
    /// How many times partitions were given to this process.
    terms: u64,
}

#[derive(Debug)]
struct Queue {
    term: u64,
    records: VecDeque<Record>,
    /// The offset after the last record that was taken.
    next: u64,
    /// The offset to commit, where it was not given out yet.
    commit: Option<u64>,
}

#[derive(Debug)]
struct Record {
    offset: u64,
    /// How many writes are not acknowledged.
    left: usize,
}

/// One record's place in the order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ticket {
    place: Place,
    term: u64,
    offset: u64,
}

impl Order {
    pub(super) fn assigned(&mut self, place: Place) {
        self.terms += 1;
        let queue = Queue { term: self.terms, records: VecDeque::new(), next: 0, commit: None };
        self.places.insert(place, queue);
    }

    pub(super) fn revoked(&mut self, place: &Place) {
        self.places.remove(place);
    }

    /// A record that so many writes are to be made of. Nothing when it is not ours to take, or was taken before.
    pub(super) fn take(&mut self, place: Place, offset: u64, writes: usize) -> Option<Ticket> {
        let queue = self.places.get_mut(&place)?;
        if offset < queue.next {
            return None;
        }
        queue.next = offset + 1;
        queue.records.push_back(Record { offset, left: writes });
        queue.advance();
        Some(Ticket { place, term: queue.term, offset })
    }

    /// One write of it is where it cannot get lost.
    pub(super) fn acknowledged(&mut self, ticket: &Ticket) {
        let queue = self.places.get_mut(&ticket.place).filter(|queue| queue.term == ticket.term);
        let Some(queue) = queue else { return };
        let found = queue.records.binary_search_by_key(&ticket.offset, |record| record.offset);
        if let Ok(at) = found {
            queue.records[at].left = queue.records[at].left.saturating_sub(1);
        }
        queue.advance();
    }

    /// Whether the ticket's partition is still ours.
    pub(super) fn is_ours(&self, ticket: &Ticket) -> bool {
        self.places.get(&ticket.place).is_some_and(|queue| queue.term == ticket.term)
    }

    /// The offsets to commit, each given out once.
    pub(super) fn commits(&mut self) -> Vec<(Place, u64)> {
        let commits = self.places.iter_mut().filter_map(|(place, queue)| {
            let next = queue.commit.take()?;
            Some((place.clone(), next))
        });
        commits.collect()
    }

    /// How many records wait.
    pub(super) fn waiting(&self) -> usize {
        self.places.values().map(|queue| queue.records.len()).sum()
    }
}

impl Queue {
    fn advance(&mut self) {
        while self.records.front().is_some_and(|record| record.left == 0) {
            self.commit = self.records.pop_front().map(|record| record.offset + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(partition: u32) -> Place {
        ("model-trained".to_owned(), partition)
    }

    fn order() -> Order {
        let mut order = Order::default();
        order.assigned(place(0));
        order
    }

    #[test]
    fn offsets_are_committed_in_order_whatever_order_writes_are_acknowledged_in() {
        let mut order = order();
        let tickets = [7, 8, 9, 12].map(|offset| order.take(place(0), offset, 1).unwrap());
        assert_eq!((order.waiting(), order.commits()), (4, vec![]));
        order.acknowledged(&tickets[1]);
        order.acknowledged(&tickets[3]);
        assert_eq!(order.commits(), [], "the first is not done");
        order.acknowledged(&tickets[0]);
        assert_eq!(order.commits(), [(place(0), 9)]);
        assert_eq!(order.commits(), [], "once");
        order.acknowledged(&tickets[2]);
        assert_eq!((order.commits(), order.waiting()), (vec![(place(0), 13)], 0));
    }

    #[test]
    fn a_record_is_done_when_all_its_writes_are() {
        let mut order = order();
        let several = order.take(place(0), 4, 3).unwrap();
        let none = order.take(place(0), 5, 0).unwrap();
        for _ in 0..2 {
            order.acknowledged(&several);
            assert_eq!(order.commits(), []);
        }
        order.acknowledged(&several);
        assert_eq!(order.commits(), [(place(0), 6)], "and what nothing was made of");
        order.acknowledged(&none);
        assert_eq!(order.commits(), []);
    }

    #[test]
    fn a_partition_that_was_given_up_is_forgotten_and_starts_anew() {
        let mut order = order();
        order.assigned(place(1));
        let (before, other) = (order.take(place(0), 7, 1).unwrap(), order.take(place(1), 3, 1).unwrap());
        order.revoked(&place(0));
        assert_eq!(order.take(place(0), 8, 1), None, "it is another's");
        order.assigned(place(0));
        let again = order.take(place(0), 7, 1).unwrap();
        assert!(!order.is_ours(&before) && order.is_ours(&again) && order.is_ours(&other));
        order.acknowledged(&before);
        assert_eq!(order.commits(), [], "acknowledged in a former term");
        order.acknowledged(&again);
        order.acknowledged(&other);
        assert_eq!(order.commits(), [(place(0), 8), (place(1), 4)]);
    }

    #[test]
    fn a_record_that_comes_twice_is_taken_once() {
        let mut order = order();
        let first = order.take(place(0), 7, 1).unwrap();
        assert_eq!(order.take(place(0), 7, 1), None);
        order.acknowledged(&first);
        assert_eq!(order.take(place(0), 7, 1), None, "done or not");
        assert_eq!(order.commits(), [(place(0), 8)]);
    }

    /// Any order of takings and acknowledgements: no commit runs ahead of what is done, and all is done in the end.
    #[test]
    fn no_commit_runs_ahead_in_any_order() {
        let mut seed = std::env::var("MODELRAIL_SEED").ok().and_then(|it| it.parse().ok()).unwrap_or(7_u64);
        println!("MODELRAIL_SEED={seed}");
        let mut next = |bound: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % bound
        };
        for _ in 0..200 {
            let mut order = order();
            let (mut open, mut left, mut committed) = (vec![], vec![], 0);
            let mut offset = 0;
            while offset < 40 || !open.is_empty() {
                if offset < 40 && next(2) == 0 {
                    let writes = next(4);
                    let ticket = order.take(place(0), offset, writes).unwrap();
                    left.push(writes);
                    open.extend(std::iter::repeat_n(ticket, writes));
                    offset += 1;
                } else if !open.is_empty() {
                    let ticket = open.swap_remove(next(open.len()));
                    order.acknowledged(&ticket);
                    left[ticket.offset as usize] -= 1;
                }
                for (_, commit) in order.commits() {
                    assert!(commit > committed, "{commit} after {committed}");
                    assert!(left[..commit as usize].iter().all(|left| *left == 0), "{commit}: {left:?}");
                    committed = commit;
                }
            }
            assert_eq!((committed, order.waiting()), (40, 0));
        }
    }
}
