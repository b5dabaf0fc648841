//! What waits to be decided: a bounded queue per lane, and what of each a step takes.

use std::collections::VecDeque;

use wire::record::{Lane, Positions};

use super::config::Bounds;
use super::signal::LaneInput;

#[derive(Debug, Default)]
pub(super) struct Intake {
    waiting: [VecDeque<LaneInput>; 3],
    /// The offset that is expected next from each lane.
    expected: Positions,
    /// How many inputs came that had come before.
    pub repeats: u64,
}

/// What became of an input that was offered.
#[derive(Debug)]
pub(super) enum Offered {
    Waits,
    /// It came before.
    Repeat,
    Full(LaneInput),
}

impl Intake {
    /// Waits from these positions on; what waited is forgotten.
    pub(super) fn rewind(&mut self, positions: Positions) {
        self.waiting.iter_mut().for_each(VecDeque::clear);
        self.expected = positions;
    }

    pub(super) fn expected(&self) -> Positions {
        self.expected
    }

    pub(super) fn offer(&mut self, input: LaneInput, bounds: &Bounds) -> Offered {
        let lane = input.lane.index();
        if input.offset < self.expected[lane] {
            self.repeats += 1;
            return Offered::Repeat;
        }
        if self.waiting[lane].len() >= bounds.lane_waiting_max {
            return Offered::Full(input);
        }
        self.expected[lane] = input.offset + 1;
        self.waiting[lane].push_back(input);
        Offered::Waits
    }

    pub(super) fn room(&self, lane: Lane, bounds: &Bounds) -> usize {
        bounds.lane_waiting_max.saturating_sub(self.waiting[lane.index()].len())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.iter().all(VecDeque::is_empty)
    }

    /// How many of each lane a step takes: the more important lane first, and each its least share.
    pub(super) fn shares(&self, bounds: &Bounds) -> [usize; 3] {
        let waiting = [0, 1, 2].map(|lane: usize| self.waiting[lane].len());
        let least = waiting.map(|count| count.min(bounds.lane_share_min));
        let mut left = bounds.inputs_per_step_max.saturating_sub(least.iter().sum());
        let mut shares = least;
        for lane in 0..3 {
            let more = (waiting[lane] - least[lane]).min(left);
            shares[lane] += more;
            left -= more;
        }
        shares
    }

    pub(super) fn take(&mut self, lane: Lane) -> Option<LaneInput> {
        self.waiting[lane.index()].pop_front()
    }
}
