//! Which records of a topic were taken and which are done with: offsets move in order, whatever order that is in.

use std::collections::{BTreeMap, BTreeSet};

/// By partition.
#[derive(Debug, Default)]
pub(super) struct Places(BTreeMap<u32, Place>);

#[derive(Debug, Default)]
struct Place {
    /// Not done with.
    taken: BTreeSet<u64>,
    /// Behind the last one taken.
    next: u64,
    told: Option<u64>,
}

impl Places {
    pub(super) fn take(&mut self, partition: u32, offset: u64) {
        let place = self.0.entry(partition).or_default();
        place.taken.insert(offset);
        place.next = place.next.max(offset + 1);
    }

    /// Of a partition that was given to another meanwhile, it is that one's.
    pub(super) fn done(&mut self, partition: u32, offset: u64) {
        if let Some(place) = self.0.get_mut(&partition) {
            place.taken.remove(&offset);
        }
    }

    /// It is another's, who begins where this says, if anything was taken.
    pub(super) fn give(&mut self, partition: u32) -> Option<u64> {
        self.0.remove(&partition).map(|place| place.begin())
    }

    /// How many were taken and are not done with.
    pub(super) fn waiting(&self) -> usize {
        self.0.values().map(|place| place.taken.len()).sum()
    }

    pub(super) fn waiting_of(&self, partition: u32) -> usize {
        self.0.get(&partition).map_or(0, |place| place.taken.len())
    }

    /// Where whoever is given a partition next is to begin, where that moved since this was asked last.
    pub(super) fn moved(&mut self) -> Vec<(u32, u64)> {
        let mut moved = vec![];
        for (partition, place) in &mut self.0 {
            let begin = place.begin();
            if place.told.replace(begin) != Some(begin) {
                moved.push((*partition, begin));
            }
        }
        moved
    }
}

impl Place {
    /// Where whoever is given it next is to begin.
    fn begin(&self) -> u64 {
        self.taken.first().copied().unwrap_or(self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_moves_behind_what_is_done_with_and_never_over_what_is_not() {
        let mut places = Places::default();
        for offset in [4, 5, 9] {
            places.take(1, offset);
        }
        places.take(2, 0);
        assert_eq!((places.moved(), places.waiting()), (vec![(1, 4), (2, 0)], 4));
        places.done(1, 5);
        places.done(1, 9);
        assert_eq!(places.moved(), [], "the first is not done with");
        places.done(1, 4);
        assert_eq!((places.moved(), places.waiting()), (vec![(1, 10)], 1));
        assert_eq!((places.waiting_of(1), places.waiting_of(2)), (0, 1));
        assert_eq!((places.give(2), places.give(3)), (Some(0), None));
        places.done(2, 0);
        assert_eq!((places.moved(), places.waiting()), (vec![], 0), "what was lost is another's");
        places.take(2, 7);
        assert_eq!(places.moved(), [(2, 7)], "given again");
    }
}
