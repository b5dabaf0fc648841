//! A process's part in one partition: the machine, and what of its wishes is under way.

use std::collections::VecDeque;

use engine::code::Stopped;
use engine::partition::{LaneInput, Partition};
use wire::record::{Lane, Positions};

/// How many inputs of a lane wait here before the lane is paused.
const BUFFERED_MAX: usize = 2_048;
/// And how many are left when it goes on.
const BUFFERED_LOW: usize = 512;

#[derive(Debug)]
pub(super) struct Seat {
    pub machine: Partition,
    /// It was read to its end, and nothing came since.
    pub at_end: bool,
    /// It was read to its end once: what is shown is what was there when this process began.
    pub caught_up: bool,
    /// The group says that this process should own it.
    pub is_wanted: bool,
    /// And the machine knows.
    pub is_told: bool,
    pub stopped: Option<Stopped>,
    pub suspended: Option<(&'static str, String)>,
    /// Inputs that were read and found no room yet, by lane, and whether the lane is paused for that.
    buffered: [(VecDeque<LaneInput>, bool); 3],
    /// Records whose commands are on their way, oldest first, with how many are not acknowledged.
    dispatching: VecDeque<(u64, usize)>,
    /// Counts how often this process began to own: acknowledgements of former times are nobody's.
    pub term: u64,
}

impl Seat {
    pub fn new(machine: Partition) -> Self {
        Self {
            machine,
            at_end: false,
            caught_up: false,
            is_wanted: false,
            is_told: false,
            stopped: None,
            suspended: None,
            buffered: Default::default(),
            dispatching: VecDeque::new(),
            term: 0,
        }
    }

    /// Owning ended: what was under way for it is nobody's.
    pub fn leave(&mut self) {
        self.term += 1;
        self.dispatching.clear();
        self.clear_inputs();
    }

    /// The lanes are read again from where the log says.
    pub fn clear_inputs(&mut self) {
        self.buffered = Default::default();
    }

    /// Keeps an input until the machine has room. True when its lane is to be paused.
    pub fn keep(&mut self, input: LaneInput) -> bool {
        let (inputs, is_paused) = &mut self.buffered[input.lane.index()];
        inputs.push_back(input);
        let pauses = !*is_paused && inputs.len() >= BUFFERED_MAX;
        *is_paused |= pauses;
        pauses
    }

    /// The next kept input of a lane for which the machine has room.
    pub fn next_input(&mut self, lane: Lane) -> Option<LaneInput> {
        if self.machine.room(lane) == 0 {
            return None;
        }
        self.buffered[lane.index()].0.pop_front()
    }

    /// The offset of each lane that is to be read next.
    pub fn next_offsets(&self) -> Positions {
        let given = self.machine.given();
        Lane::ALL.map(|lane| {
            let (inputs, _) = &self.buffered[lane.index()];
            inputs.back().map_or(given[lane.index()], |last| last.offset + 1)
        })
    }

    /// All lanes give again, paused ones too: what is kept stays.
    pub fn lanes_begun(&mut self) {
        self.buffered.iter_mut().for_each(|(_, is_paused)| *is_paused = false);
    }

    /// Lanes that go on now.
    pub fn resumed(&mut self) -> Vec<Lane> {
        let mut lanes = vec![];
        for lane in Lane::ALL {
            let (inputs, is_paused) = &mut self.buffered[lane.index()];
            if *is_paused && inputs.len() <= BUFFERED_LOW {
                *is_paused = false;
                lanes.push(lane);
            }
        }
        lanes
    }

    pub fn dispatches(&mut self, seq: u64, commands: usize) {
        self.dispatching.push_back((seq, commands));
    }

    /// One command of the record is where it cannot get lost.
    pub fn acknowledged(&mut self, seq: u64) {
        if let Some((_, left)) = self.dispatching.iter_mut().find(|(of, _)| *of == seq) {
            *left = left.saturating_sub(1);
        }
    }

    /// Up to which record all commands are where they cannot get lost, when that is news.
    pub fn dispatched(&mut self) -> Option<u64> {
        let mut upto = None;
        while self.dispatching.front().is_some_and(|(_, left)| *left == 0) {
            upto = self.dispatching.pop_front().map(|(seq, _)| seq);
        }
        upto
    }

    pub fn is_dispatching(&self) -> bool {
        !self.dispatching.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use domain::name::TargetId;
    use engine::partition::{Bounds, Config, Format, Redispatch};
    use engine::port::memory;
    use engine::request::{Observation, Said};
    use engine::token::Key;

    use super::*;

    fn seat() -> Seat {
        let config = Config {
            log_id: [1; 16],
            partition: 0,
            partitions: 1,
            binary: "test".into(),
            parsers: wire::definitions::parsers(),
            key: Key([7; 32]),
            redispatch: Redispatch::AboveDispatched,
            format: Format::default(),
            bounds: Bounds::default(),
        };
        Seat::new(Partition::open(config, Arc::new(memory::Embedded::new(1))).unwrap())
    }

    fn input(lane: Lane, offset: u64) -> LaneInput {
        let target = TargetId::parse("flights@production").unwrap();
        let said = Said::Observed { target, what: Observation::Loaded(vec![]) };
        LaneInput { lane, offset, input_id: None, traceparent: None, said }
    }

    #[test]
    fn a_full_lane_is_paused_and_when_it_is_begun_again_it_is_paused_again() {
        let mut seat = seat();
        let lane = Lane::Outcomes;
        let end = BUFFERED_MAX as u64;
        let pauses: Vec<u64> = (0..end).filter(|offset| seat.keep(input(lane, *offset))).collect();
        assert_eq!(pauses, [end - 1], "once, when it is full");
        assert!(!seat.keep(input(lane, end)), "what was on its way");
        assert_eq!(seat.next_offsets(), [0, end + 1, 0]);
        seat.lanes_begun();
        assert!(seat.keep(input(lane, end + 1)), "it gives again, and holds as much as it may");
    }

    #[test]
    fn what_is_read_next_follows_what_is_kept_or_what_was_given() {
        let mut seat = seat();
        seat.keep(input(Lane::Requests, 4));
        let kept = seat.next_input(Lane::Requests).unwrap();
        let _none = seat.machine.step(engine::partition::Signal::Input(Box::new(kept)));
        assert_eq!(seat.next_offsets(), [5, 0, 0]);
        seat.keep(input(Lane::Requests, 5));
        assert_eq!(seat.next_offsets(), [6, 0, 0]);
    }
}
