//! What every process shares: the log, the lanes, the consumer group's offsets. It keeps what landed, in the order
//! in which it landed; when and whether something lands is decided by its fate.

use std::collections::VecDeque;

use engine::port::log::Landed;
use engine::request::Said;
use wire::record::{Lane, Positions};

use crate::chance::Chance;
use crate::options::Fault;

/// A record of the log, as it lies there.
#[derive(Debug, Clone)]
struct Lying {
    bytes: Vec<u8>,
    /// Written within a foreign transaction that was given up: `read_committed` does not show it.
    is_aborted: bool,
    is_deleted: bool,
}

/// Something that was said, as it lies in a lane.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub said: Said,
    pub input_id: Option<String>,
}

/// What becomes of the records of one append: when each lands, and whether.
#[derive(Debug, Clone, Default)]
pub(super) struct Fate {
    pub fault: Option<Fault>,
    /// Which record lands after how long; one may come twice.
    pub landings: Vec<(usize, u64)>,
    pub is_aborted: bool,
    /// After how long the process learns that it does not know.
    pub doubted_after: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Broker {
    logs: Vec<Vec<Lying>>,
    /// Offsets of a lane have gaps.
    lanes: Vec<[Vec<(u64, Entry)>; 3]>,
    /// What the consumer group has committed.
    pub group: Vec<Positions>,
    /// Faults that wait for an append.
    pub armed: VecDeque<Fault>,
}

impl Broker {
    pub(super) fn new(partitions: u32) -> Self {
        let each = 0..partitions;
        Self {
            logs: each.clone().map(|_| vec![]).collect(),
            lanes: each.clone().map(|_| Default::default()).collect(),
            group: each.map(|_| [0; 3]).collect(),
            armed: VecDeque::new(),
        }
    }

    pub(super) fn end(&self, partition: u32) -> u64 {
        self.logs[partition as usize].len() as u64
    }

    /// The next record from the offset on that is shown.
    pub(super) fn read(&self, partition: u32, from: u64, committed_only: bool) -> Option<Landed> {
        let log = &self.logs[partition as usize];
        let shown = |record: &Lying| !(record.is_deleted || committed_only && record.is_aborted);
        let offset = (from..log.len() as u64).find(|offset| shown(&log[*offset as usize]))?;
        Some(Landed { offset, bytes: log[offset as usize].bytes.clone() })
    }

    pub(super) fn records(&self, partition: u32) -> impl Iterator<Item = &Vec<u8>> {
        self.logs[partition as usize].iter().map(|record| &record.bytes)
    }

    pub(super) fn land(&mut self, partition: u32, bytes: Vec<u8>, is_aborted: bool) -> u64 {
        let log = &mut self.logs[partition as usize];
        log.push(Lying { bytes, is_aborted, is_deleted: false });
        log.len() as u64 - 1
    }

    /// Deletes a record, as compaction by mistake does.
    pub(super) fn delete(&mut self, partition: u32, offset: u64) {
        self.logs[partition as usize][offset as usize].is_deleted = true;
    }

    pub(super) fn say(&mut self, partition: u32, lane: Lane, entry: Entry, gap: u64) {
        let lane = &mut self.lanes[partition as usize][lane.index()];
        let offset = lane.last().map_or(0, |(offset, _)| offset + 1) + gap;
        lane.push((offset, entry));
    }

    /// The next input from the offset on.
    pub(super) fn input(&self, partition: u32, lane: Lane, from: u64) -> Option<&(u64, Entry)> {
        let entries = &self.lanes[partition as usize][lane.index()];
        entries.get(entries.partition_point(|(offset, _)| *offset < from))
    }

    /// The inputs from one offset up to, and without, another.
    pub(super) fn inputs(
        &self,
        partition: u32,
        lane: Lane,
        from: u64,
        to: u64,
    ) -> impl Iterator<Item = &(u64, Entry)> {
        let entries = &self.lanes[partition as usize][lane.index()];
        let begin = entries.partition_point(|(offset, _)| *offset < from);
        entries[begin..].iter().take_while(move |(offset, _)| *offset < to)
    }

    /// What becomes of an append of so many records.
    pub(super) fn fate(&mut self, records: usize, chance: &mut Chance) -> Fate {
        let soon = chance.between(1, 25);
        let all = |at: u64| (0..records).map(|index| (index, at)).collect::<Vec<_>>();
        let Some(fault) = self.armed.pop_front() else {
            return Fate { landings: all(soon), ..Fate::default() };
        };
        let late = chance.between(300, 40_000);
        let mut fate = Fate { fault: Some(fault), ..Fate::default() };
        match fault {
            Fault::AppendLost => {
                // Of several, the first may have landed.
                let landed = chance.below(records as u64) as usize;
                fate.landings = all(soon).into_iter().take(landed).collect();
            }
            Fault::AppendLate => fate.landings = all(late),
            Fault::AppendDoubled => {
                fate.landings = all(soon);
                fate.landings.extend(all(soon + late / 4));
            }
            Fault::AppendReordered => {
                fate.landings = all(0).into_iter().map(|(index, _)| (index, chance.between(1, 60))).collect();
            }
            Fault::AppendAborted => {
                fate.landings = all(soon);
                fate.is_aborted = true;
            }
            // Landed, unseen.
            _ => {
                fate.landings = all(chance.between(1, 2_000));
                fate.doubted_after = Some(chance.between(1, 1_000));
            }
        }
        fate
    }
}
