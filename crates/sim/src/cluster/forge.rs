//! What a process reads next; and how it reads and writes with a guard taken away.

use engine::chain;
use engine::partition::Signal;
use engine::port::log::Landed;
use wire::record::{self, Body, Kind, Record};

use super::{Cluster, PARTITIONS, Sender};
use crate::options::Sabotage;

impl Cluster {
    /// The next record of the log, as the process sees it.
    pub(super) fn next_record(&mut self, number: usize, partition: u32) -> Option<Landed> {
        let committed_only = number == 0 && self.is_sabotaged(Sabotage::ReadCommitted);
        loop {
            let from = self.nodes[number].seats[partition as usize].next;
            let Some(landed) = self.broker.read(partition, from, committed_only) else {
                let end = self.broker.end(partition);
                self.nodes[number].seats[partition as usize].next = end;
                return None;
            };
            self.nodes[number].seats[partition as usize].next = landed.offset + 1;
            if let Some(landed) = self.as_read(number, partition, landed) {
                return Some(landed);
            }
        }
    }

    /// As it is, unless a guard is missing; nothing for what is passed over.
    fn as_read(&mut self, number: usize, partition: u32, landed: Landed) -> Option<Landed> {
        let Some(sabotage) = self.options.sabotage else { return Some(landed) };
        let Ok(peek) = record::peek(&landed.bytes) else { return Some(landed) };
        let known = self.audit.checker.known(partition);
        let seat = &mut self.nodes[number].seats[partition as usize];
        let head = seat.machine.head().clone();
        match sabotage {
            Sabotage::GapRuleOff => {
                let fits = chain::fits(&head, &peek).is_ok();
                fits.then_some(landed)
            }
            Sabotage::OwnBySeq => {
                let bytes = seat.own.get(&peek.seq).filter(|_| peek.seq == head.seq + 1);
                Some(Landed { bytes: bytes.cloned().unwrap_or(landed.bytes), ..landed })
            }
            Sabotage::HashWithoutClaim => {
                if peek.prev == head.hash {
                    seat.before_claims = match peek.kind {
                        Kind::Claimed { .. } => Some(seat.before_claims.unwrap_or(head.hash)),
                        _ => None,
                    };
                    return Some(landed);
                }
                let is_decided = matches!(peek.kind, Kind::Transition { .. });
                if !is_decided || seat.before_claims != Some(peek.prev) {
                    return Some(landed);
                }
                let Ok(mut record) = record::decode(&landed.bytes, known) else { return Some(landed) };
                seat.before_claims = None;
                (record.seq, record.prev) = (head.seq + 1, head.hash);
                if let Body::Transition(recorded) = &mut record.body {
                    recorded.epoch = head.epoch;
                }
                Some(Landed { bytes: record::encode(&record), ..landed })
            }
            _ => Some(landed),
        }
    }

    /// Takes its record for accepted, where the log says that it has landed.
    pub(super) fn act_on_acknowledgement(&mut self, from: Sender, offset: u64, bytes: Vec<u8>) {
        let seat = &mut self.nodes[from.node].seats[from.partition as usize];
        if !seat.queue.is_empty() || offset < seat.next {
            return;
        }
        seat.next = offset + 1;
        self.step(from.node, from.partition, Signal::RecordRead(Landed { offset, bytes }));
        self.wake(from.node, 1);
    }

    /// The last record in two, when it is of a run and of its target.
    pub(super) fn split(&self, partition: u32, mut records: Vec<Vec<u8>>) -> (Vec<Vec<u8>>, bool) {
        let known = self.audit.checker.known(partition);
        let Some(Ok(mut first)) = records.last().map(|bytes| record::decode(bytes, known)) else {
            return (records, false);
        };
        let Body::Transition(recorded) = &mut first.body else { return (records, false) };
        let stream = recorded.transition.steps[0].stream();
        let mut rest = recorded.clone();
        recorded.transition.steps.retain(|step| step.stream() == stream);
        rest.transition.steps.retain(|step| step.stream() != stream);
        if rest.transition.steps.is_empty() {
            return (records, false);
        }
        (rest.before, rest.lane, rest.input_id) = (rest.after, None, None);
        let bytes = record::encode(&first);
        let second = Record { seq: first.seq + 1, prev: record::hash(&bytes), body: Body::Transition(rest) };
        records.pop();
        records.extend([bytes, record::encode(&second)]);
        (records, true)
    }

    /// Deletes an accepted record that some process has not read yet, and after which a claim was accepted: that it
    /// cannot follow shows the gap. Gives whether there was one.
    pub(super) fn delete_unread(&mut self) -> bool {
        for partition in 0..PARTITIONS {
            let seats = self.nodes.iter().filter_map(|node| node.seats.get(partition as usize));
            let mut places = seats.map(|seat| (seat.next, seat.machine.head().clone()));
            let found = places.find_map(|(from, head)| {
                let records = self.broker.records(partition).skip(from as usize);
                let mut records = records.filter_map(|bytes| Some((record::peek(bytes).ok()?, bytes)));
                let (first, _) = records.next()?;
                let follows = first.prev == head.hash && first.seq == head.seq + 1;
                let shows = |(peek, bytes): (record::Peek, &Vec<u8>)| {
                    matches!(peek.kind, Kind::Claimed { .. })
                        && peek.seq > head.seq + 1
                        && self.audit.is_accepted(partition, peek.seq, record::hash(bytes))
                };
                (follows && records.any(shows)).then_some(from)
            });
            if let Some(from) = found {
                self.broker.delete(partition, from);
                self.line(&format!("record at {from} of {partition} is deleted"));
                return true;
            }
        }
        false
    }
}
