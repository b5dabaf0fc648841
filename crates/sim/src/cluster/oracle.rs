//! Who should own, as a consumer group says it: late, and sometimes wrong. Safety never rests on it.

use engine::partition::Signal;

use super::{Cluster, Event, PARTITIONS};
use crate::options::Fault;

impl Cluster {
    /// From time to time: a partition that nobody is to own gets somebody.
    pub(super) fn look_after_owners(&mut self) {
        for partition in 0..PARTITIONS {
            let is_owner = |number: &usize| {
                let node = &self.nodes[*number];
                node.is_awake() && node.seats.get(partition as usize).is_some_and(|seat| seat.is_wanted)
            };
            let owners: Vec<usize> = (0..self.nodes.len()).filter(is_owner).collect();
            if owners.is_empty() {
                self.rebalance(partition);
            } else if self.is_calm {
                self.settle(partition);
            }
        }
        self.push_in(3_000, Event::Oracle);
    }

    /// In the end the group settles on one.
    pub(super) fn settle(&mut self, partition: u32) {
        let is_owner = |number: &usize| {
            let node = &self.nodes[*number];
            node.is_awake() && node.seats.get(partition as usize).is_some_and(|seat| seat.is_wanted)
        };
        let owners: Vec<usize> = (0..self.nodes.len()).filter(is_owner).collect();
        for number in owners.into_iter().skip(1) {
            self.push_in(1, Event::Revoke(number, partition));
        }
    }

    /// Another process is to own. The former is told at once, late, or not at all.
    pub(super) fn rebalance(&mut self, partition: u32) {
        let awake: Vec<usize> = (0..self.nodes.len())
            .filter(|number| self.nodes[*number].is_awake() && self.may_own(*number, partition))
            .collect();
        if awake.is_empty() {
            return;
        }
        let owner = self.chance.pick(&awake);
        self.line(&format!("process {owner} is to own {partition}"));
        let wait = self.chance.between(1, 1_500);
        self.push_in(wait, Event::Assign(owner, partition));
        for number in (0..self.nodes.len()).filter(|number| *number != owner) {
            let is_wanted =
                self.nodes[number].seats.get(partition as usize).is_some_and(|seat| seat.is_wanted);
            if !is_wanted {
                continue;
            }
            let wait = match self.chance.below(4) {
                _ if self.is_calm => 1,
                0 | 1 => self.chance.between(1, 1_500),
                _ => {
                    self.note(Fault::RevokedLate, &format!("process {number}, {partition}"));
                    self.chance.between(2_000, 20_000)
                }
            };
            self.push_in(wait, Event::Revoke(number, partition));
        }
    }

    /// A binary that does not know the log's format leaves the group.
    fn may_own(&self, number: usize, partition: u32) -> bool {
        let seat = self.nodes[number].seats.get(partition as usize);
        seat.is_some_and(|seat| seat.machine.check_format().is_ok())
    }

    pub(super) fn assign(&mut self, number: usize, partition: u32) {
        if let Some(seat) = self.nodes[number].seats.get_mut(partition as usize) {
            (seat.is_wanted, seat.is_told) = (true, false);
            self.wake(number, 5);
        }
    }

    pub(super) fn revoke(&mut self, number: usize, partition: u32) {
        if !self.nodes[number].is_up {
            return;
        }
        if !self.nodes[number].is_awake() || self.has_rest(number, partition) {
            // It hears of it when it can.
            self.push_in(300, Event::Revoke(number, partition));
            return;
        }
        let seat = &mut self.nodes[number].seats[partition as usize];
        (seat.is_wanted, seat.is_told) = (false, false);
        self.line(&format!("process {number} is no longer to own {partition}"));
        self.step(number, partition, Signal::Revoked);
        self.wake(number, 1);
    }

    fn has_rest(&self, number: usize, partition: u32) -> bool {
        !self.nodes[number].seats[partition as usize].queue.is_empty()
    }
}
