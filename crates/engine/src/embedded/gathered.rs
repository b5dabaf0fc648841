//! The actions of one pass, kept until they can be carried out: what is written together, and what is released
//! once it is.

use std::collections::BTreeMap;

use super::Passed;
use crate::partition::Action;
use crate::port::log::Append;
use crate::port::store::{Batch, Commit};

/// The actions of a pass, until they can be carried out.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// Not read back yet.
    appends: Vec<(u32, Vec<Vec<u8>>)>,
    /// Read back, in order.
    landed: Vec<Append>,
    /// One for each partition.
    pub(super) commits: BTreeMap<u32, Commit>,
    pub(super) suspensions: Vec<Action>,
    pub(super) passed: Passed,
}

impl Gathered {
    pub(super) fn take(&mut self, partition: u32, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Append(records) => self.appends.push((partition, records)),
                Action::Commit(commit) => match self.commits.remove(&partition) {
                    Some(former) => {
                        self.commits.insert(partition, former.followed_by(*commit));
                    }
                    None => {
                        self.commits.insert(partition, *commit);
                    }
                },
                Action::Dispatch { orders, cancels, .. } => {
                    // What begins and ends in one pass was never sent.
                    let passed = &mut self.passed;
                    for attempt in cancels {
                        let before = passed.orders.len();
                        passed.orders.retain(|order| order.command.attempt != attempt);
                        if passed.orders.len() == before {
                            passed.cancels.push(attempt);
                        }
                    }
                    passed.orders.extend(orders);
                }
                Action::Reply(reply) => self.passed.replies.push((partition, reply)),
                // The lanes are in memory, and one process has the log.
                Action::DropProducer | Action::ReadLanes(_) => {}
                Action::Alarm(alarm) => self.passed.alarms.push(alarm),
                Action::Suspend { .. } | Action::Resume => self.suspensions.push(action),
                Action::Stop(stopped) => self.passed.stopped.push((partition, stopped)),
            }
        }
    }

    pub(super) fn next_append(&mut self) -> Option<(u32, Vec<Vec<u8>>)> {
        if self.appends.is_empty() {
            return None;
        }
        let (partition, records) = self.appends.remove(0);
        self.passed.records += records.len();
        self.landed.push(Append { partition, records: records.clone() });
        Some((partition, records))
    }

    pub(super) fn batch(&mut self) -> Batch {
        Batch {
            appends: std::mem::take(&mut self.landed),
            commits: std::mem::take(&mut self.commits).into_values().collect(),
        }
    }
}
