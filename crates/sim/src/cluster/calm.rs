//! The calm: no faults any more, one owner for each partition, workers that can tell, people who help. Whatever the
//! storm left must come to an end, and every process must hold the same.

use std::convert::Infallible;

use domain::run::{self, Phase};
use engine::port::store::Store;

use super::{Cluster, Event, PARTITIONS, STORM_MS};
use crate::defects;

/// The interval at which people look.
const LOOK_MS: u64 = 30_000;
/// By then everything has ended.
const CALM_MAX_MS: u64 = 4 * 3_600_000;
/// How long a planned fault may wait for its occasion after the storm.
const PLANNED_MAX_MS: u64 = 3_600_000;

impl Cluster {
    /// Whether everything has come to rest. If not, people do what is left to do.
    pub(super) fn calm_down(&mut self) -> Result<bool, String> {
        let left = self
            .planned
            .iter()
            .find(|(fault, planned)| self.faults.get(fault).copied().unwrap_or(0) < **planned);
        let left = left.map(|(fault, _)| *fault);
        let is_shaken = left.is_some() || self.nodes.iter().any(|node| !node.is_awake());
        if !self.is_calm && is_shaken {
            if let Some(fault) = left.filter(|_| self.now_ms > STORM_MS + PLANNED_MAX_MS) {
                return Err(format!("{fault:?} was planned and did not befall"));
            }
            self.push_in(2_000, Event::Calm);
            for number in 0..2 {
                let deed = self.cast.provoke(number);
                self.carry_out_deed(deed)?;
            }
            return Ok(false);
        }
        self.push_in(LOOK_MS, Event::Calm);
        if !self.is_calm {
            self.begin_calm();
            return Ok(false);
        }
        if self.is_at_rest() {
            return Ok(true);
        }
        if self.now_ms > STORM_MS + PLANNED_MAX_MS + CALM_MAX_MS {
            return Err(self.what_is_stuck());
        }
        for deed in self.cast.help(&self.audit.checker) {
            self.carry_out_deed(deed)?;
        }
        Ok(false)
    }

    fn begin_calm(&mut self) {
        self.is_calm = true;
        self.line("calm");
        self.cast.heal();
        self.outside.end_silence();
        defects::mend();
        for number in 0..self.nodes.len() {
            self.nodes[number].skew_ms = 0;
        }
        for partition in 0..PARTITIONS {
            self.rebalance(partition);
        }
    }

    fn is_at_rest(&self) -> bool {
        let settled = |run: &run::Run| run.is_ended() || matches!(run.phase, Phase::Live | Phase::Standby);
        self.audit.checker.runs().all(|(_, run)| settled(run))
            && self.audit.checker.targets().all(|(id, target)| {
                target.quarantine().is_none()
                    && target.table.as_ref().is_none_or(|table| self.outside.obeys(id, table.generation))
            })
            && (0..PARTITIONS).all(|partition| self.audit.waiting(partition, &self.broker).is_none())
            && self.differing().is_none()
    }

    /// A process that does not stand where the log does, or whose view does not.
    fn differing(&self) -> Option<String> {
        for partition in 0..PARTITIONS {
            let (seq, hash) = self.audit.head(partition);
            for (number, node) in self.nodes.iter().enumerate() {
                let head = node.seats.get(partition as usize).map(|seat| seat.machine.head());
                let same = head.is_some_and(|head| (head.seq, Some(head.hash)) == (seq, hash));
                if !same && seq > 0 {
                    return Some(format!("process {number} does not stand at record {partition}/{seq}"));
                }
                let written = node.view.head(partition).ok().flatten().map_or(0, |head| head.seq);
                if written < seq {
                    let text =
                        format!("the view of process {number} does not stand at record {partition}/{seq}");
                    return Some(text);
                }
            }
        }
        None
    }

    fn what_is_stuck(&self) -> String {
        let mut stuck: Vec<String> = vec![];
        for (id, run) in self.audit.checker.runs() {
            if !run.is_ended() && !matches!(run.phase, Phase::Live | Phase::Standby) {
                let open = &run.attempts_open;
                stuck.push(format!("run {id} is {:?}: {:?} open {open:?}", run.phase, run::why(run)));
            }
        }
        for (id, target) in self.audit.checker.targets() {
            let generation = target.table.as_ref().map(|table| table.generation).unwrap_or_default();
            if target.table.is_some() && !self.outside.obeys(id, generation) {
                stuck.push(format!("gateways of {id} do not obey generation {generation}"));
            }
        }
        for partition in 0..PARTITIONS {
            stuck.extend(self.audit.waiting(partition, &self.broker));
            for (number, node) in self.nodes.iter().enumerate() {
                if let Some(seat) = node.seats.get(partition as usize) {
                    stuck.push(format!(
                        "process {number} is {:?} of {partition}, wanted {}, told {}, hindered {:?}, looks at {:?}, \
                         claims by {:?}, has read to {} of {}, has {} actions left, is away {}, full {}",
                        seat.machine.role(),
                        seat.is_wanted,
                        seat.is_told,
                        seat.machine.hindrance(),
                        node.poll_at,
                        seat.machine.tick_by(),
                        seat.next,
                        self.broker.end(partition),
                        seat.queue.len(),
                        node.is_away,
                        node.is_full,
                    ));
                }
            }
        }
        stuck.extend(self.differing());
        format!("stuck after {CALM_MAX_MS} ms of calm: {}", stuck.join("; "))
    }

    /// The whole log read again from its first record, every input decided again, and the views of all processes.
    pub(super) fn verify(&self) -> Result<(), String> {
        for partition in 0..PARTITIONS {
            let records = self.broker.records(partition).map(|bytes| Ok::<_, Infallible>(bytes.clone()));
            let views: Vec<&dyn Store> = self.nodes.iter().map(|node| &*node.view as &dyn Store).collect();
            self.audit.checker.verify_partition(partition, records, &views)?;
        }
        Ok(())
    }
}
