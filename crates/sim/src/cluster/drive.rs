//! The driver: what a process reads, in which order it tells its machines, and how it carries out what they want.

use std::collections::BTreeSet;

use engine::code::{Code, refused};
use engine::partition::{Action, Hindrance, LaneInput, Role, Signal, WorkOrder};
use wire::record::{self, Lane};

use super::{Cluster, Event, PARTITIONS, Sender};
use crate::defects;
use crate::options::{Fault, Sabotage};

/// Whether a process goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goes {
    On,
    /// It is gone, asleep, or cannot carry out what comes next.
    No,
}

impl Cluster {
    /// A process looks around: carries out what is left, reads, takes inputs, ticks.
    pub(super) fn poll(&mut self, number: usize) -> Result<(), String> {
        self.delete_a_record();
        let node = &mut self.nodes[number];
        if !node.is_awake() || node.poll_at.is_none_or(|at| at > self.now_ms) {
            return Ok(());
        }
        node.poll_at = None;
        for partition in 0..PARTITIONS {
            if self.poll_partition(number, partition)? == Goes::No && !self.nodes[number].is_awake() {
                return Ok(());
            }
        }
        self.nodes[number].has_ticked = true;
        if self.chance.one_in(4) {
            let commits = self.nodes[number].unsynced();
            self.nodes[number].sync(commits)?;
        }
        self.plan_poll(number);
        Ok(())
    }

    fn poll_partition(&mut self, number: usize, partition: u32) -> Result<Goes, String> {
        if self.drain(number, partition)? == Goes::No {
            return Ok(Goes::No);
        }
        if self.read_records(number, partition)? == Goes::No {
            if let Some(seat) = self.nodes[number].seats.get_mut(partition as usize) {
                seat.gather_rest();
                return seat.release().map(|()| Goes::No);
            }
            return Ok(Goes::No);
        }
        let is_at_end = self.nodes[number].seats[partition as usize].next == self.broker.end(partition);
        if !is_at_end {
            self.wake(number, 5);
        }
        if self.take_inputs(number, partition)? == Goes::No {
            return Ok(Goes::No);
        }
        let reading = self.reading(number);
        if self.tell_machine(number, partition, Signal::Tick(reading))? == Goes::No {
            return Ok(Goes::No);
        }
        let seat = &mut self.nodes[number].seats[partition as usize];
        if seat.is_wanted && !seat.is_told && is_at_end {
            seat.is_told = true;
            let nonce = self.chance.nonce();
            return self.tell_machine(number, partition, Signal::Assigned { nonce });
        }
        Ok(Goes::On)
    }

    /// Reads what there is, or the first of it. In half of all polls what comes of it is gathered, as the driver of
    /// distributed mode does.
    fn read_records(&mut self, number: usize, partition: u32) -> Result<Goes, String> {
        let mut records = if self.chance.one_in(4) { self.chance.between(1, 3) } else { u64::MAX };
        self.nodes[number].seats[partition as usize].gathers = self.chance.one_in(2);
        while records > 0 && !self.nodes[number].is_away {
            records -= 1;
            let Some(landed) = self.next_record(number, partition) else { break };
            let seat = &self.nodes[number].seats[partition as usize];
            if seat.gathers
                && seat.machine.steps_back_at(&landed)
                && !self.is_sabotaged(Sabotage::StepsBackUncommitted)
                && self.release(number, partition)? == Goes::No
            {
                if let Some(seat) = self.nodes[number].seats.get_mut(partition as usize) {
                    seat.next = landed.offset;
                }
                return Ok(Goes::No);
            }
            if self.tell_machine(number, partition, Signal::RecordRead(landed))? == Goes::No {
                return Ok(Goes::No);
            }
        }
        self.release(number, partition)
    }

    /// Gives the view what was gathered, and lets go what rests on it.
    fn release(&mut self, number: usize, partition: u32) -> Result<Goes, String> {
        self.nodes[number].seats[partition as usize].release()?;
        self.drain(number, partition)
    }

    fn take_inputs(&mut self, number: usize, partition: u32) -> Result<Goes, String> {
        for lane in Lane::ALL {
            loop {
                let seat = &mut self.nodes[number].seats[partition as usize];
                let Some(cursor) = &mut seat.cursor else { break };
                if seat.machine.role() != Role::Owning || seat.machine.room(lane) == 0 {
                    break;
                }
                let Some((offset, entry)) = self.broker.input(partition, lane, cursor[lane.index()]) else {
                    break;
                };
                let offset = *offset;
                cursor[lane.index()] = offset + 1;
                let input = LaneInput {
                    lane,
                    offset,
                    input_id: entry.input_id.clone(),
                    traceparent: None,
                    said: entry.said.clone(),
                };
                let group = &mut self.broker.group[partition as usize][lane.index()];
                *group = (*group).max(offset + 1);
                if self.tell_machine(number, partition, Signal::Input(Box::new(input)))? == Goes::No {
                    return Ok(Goes::No);
                }
            }
        }
        Ok(Goes::On)
    }

    fn tell_machine(&mut self, number: usize, partition: u32, signal: Signal) -> Result<Goes, String> {
        self.step(number, partition, signal);
        self.drain(number, partition)
    }

    /// Carries out what is told, action by action; between any two the process may die or fall asleep.
    fn drain(&mut self, number: usize, partition: u32) -> Result<Goes, String> {
        loop {
            let node = &mut self.nodes[number];
            if node.seats[partition as usize].queue.is_empty() {
                return Ok(Goes::On);
            }
            if let Some(left) = &mut node.dies_in {
                if *left == 0 {
                    node.dies_in = None;
                    self.note(Fault::CrashBetweenActions, &format!("process {number}"));
                    self.crash(number)?;
                    return Ok(Goes::No);
                }
                *left -= 1;
            }
            if let Some((left, span)) = &mut node.sleeps_in {
                if *left == 0 {
                    let span = *span;
                    node.sleeps_in = None;
                    node.sleeps_until = Some(self.now_ms + span);
                    self.note(Fault::Paused, &format!("process {number} for {span}"));
                    self.push_in(span, Event::Mend(number, Fault::Paused));
                    return Ok(Goes::No);
                }
                *left -= 1;
            }
            let seat = &mut self.nodes[number].seats[partition as usize];
            let Some(action) = seat.queue.pop_front() else { return Ok(Goes::On) };
            let Some(action) = seat.gather(action) else { continue };
            if let Some(action) = self.carry_out(number, partition, action)? {
                // Kept, and carried out first when it can be.
                self.nodes[number].seats[partition as usize].queue.push_front(action);
                return Ok(Goes::No);
            }
        }
    }

    /// Gives back an action that cannot be carried out now.
    fn carry_out(&mut self, number: usize, partition: u32, action: Action) -> Result<Option<Action>, String> {
        match action {
            Action::Append(records) => self.append(number, partition, records)?,
            Action::DropProducer => {
                let seat = &mut self.nodes[number].seats[partition as usize];
                seat.producer += 1;
                seat.unacknowledged.clear();
                seat.own.clear();
            }
            Action::ReadLanes(positions) => {
                let from_group = self.broker.group[partition as usize];
                let (is_group, is_lazy) = (
                    self.is_sabotaged(Sabotage::PositionsFromGroup),
                    self.is_sabotaged(Sabotage::LanesNotReadAgain),
                );
                let seat = &mut self.nodes[number].seats[partition as usize];
                seat.takes_over = true;
                seat.cursor = match seat.cursor {
                    Some(cursor) if is_lazy => Some(cursor),
                    _ if is_group => Some(from_group),
                    _ => Some(positions),
                };
                self.line(&format!("process {number} owns {partition}, lanes from {positions:?}"));
            }
            Action::Commit(mut commit) => {
                let node = &mut self.nodes[number];
                let machine = &mut node.seats[partition as usize].machine;
                machine.add_rows(&mut commit).map_err(|stopped| stopped.to_string())?;
                if node.is_full {
                    if node.seats[partition as usize].machine.hindrance() != Some(Hindrance::DiskFull) {
                        self.step(number, partition, Signal::Hindered(Hindrance::DiskFull));
                    }
                    return Ok(Some(Action::Commit(commit)));
                }
                let text = |text| format!("process {number} {text}");
                self.audit.expect_commit(partition, &commit).map_err(text)?;
                let seq = commit.head.seq;
                node.commit(*commit)?;
                self.step(number, partition, Signal::Committed { seq });
            }
            Action::Dispatch { seq, orders, cancels } => {
                self.dispatch(number, partition, seq, orders)?;
                for attempt in cancels {
                    for worker in 0..self.workers.len() {
                        if !self.is_calm && self.chance.one_in(6) {
                            self.note(Fault::CancelLost, &attempt.to_string());
                            continue;
                        }
                        let wait = self.chance.between(1, 40);
                        self.push_in(wait, Event::Cancel(worker, attempt.clone()));
                    }
                }
            }
            Action::Reply(reply) => {
                self.audit
                    .expect_reply(partition, &reply)
                    .map_err(|text| format!("process {number}: {text}"))?;
            }
            Action::Alarm(alarm)
                if alarm.code == refused::QUARANTINED && alarm.text.contains(defects::PLANTED) =>
            {
                self.note(Fault::Quarantined, &format!("{}: {}", alarm.stream, alarm.text));
            }
            Action::Alarm(alarm) => {
                return Err(format!("alarm {} of {}: {}", alarm.code, alarm.stream, alarm.text));
            }
            Action::Suspend { code, text } if code == Code::FormatUnknown.as_str() => {
                self.note(Fault::OldBinary, &format!("process {number}: {text}"));
            }
            Action::Suspend { code, text } => self.line(&format!("process {number} suspends: {code} {text}")),
            Action::Resume => self.line(&format!("process {number} resumes")),
            Action::Stop(stopped) => return Err(format!("process {number} stopped {partition}: {stopped}")),
        }
        Ok(None)
    }

    fn append(&mut self, number: usize, partition: u32, records: Vec<Vec<u8>>) -> Result<(), String> {
        let (records, is_split) = if self.is_sabotaged(Sabotage::SplitTransition) {
            self.split(partition, records)
        } else {
            (records, false)
        };
        let node = &mut self.nodes[number];
        let seat = &mut node.seats[partition as usize];
        let from = Sender { node: number, life: node.life, partition, producer: seat.producer };
        if self.options.sabotage == Some(Sabotage::OwnBySeq) {
            for bytes in &records {
                let peek = record::peek(bytes).map_err(|error| error.to_string())?;
                seat.own.insert(peek.seq, bytes.clone());
            }
        }
        let mut fate = self.broker.fate(records.len(), &mut self.chance);
        if is_split && self.chance.one_in(3) {
            fate.landings.truncate(1);
        }
        if self.nodes[number].is_away {
            // In the producer's memory until the log is back, and then perhaps.
            let wait = self.chance.between(1_000, 40_000);
            fate.landings.iter_mut().for_each(|(_, at)| *at += wait);
        }
        if let Some(fault) = fate.fault {
            self.note(fault, &format!("{} records of process {number} to {partition}", records.len()));
        }
        let is_aborted = fate.is_aborted;
        for (index, wait) in fate.landings {
            let bytes = records[index].clone();
            self.push_in(wait, Event::Land { from, bytes, is_aborted });
        }
        if let Some(wait) = fate.doubted_after {
            self.push_in(wait, Event::Doubt(from));
        }
        Ok(())
    }

    pub(super) fn land(&mut self, from: Sender, bytes: Vec<u8>, is_aborted: bool) -> Result<(), String> {
        let offset = self.broker.land(from.partition, bytes.clone(), is_aborted);
        let line = self.audit.read(from.partition, &bytes, &self.broker)?;
        self.line(&line);
        if self.is_sabotaged(Sabotage::ActOnAcknowledgement) && self.is_alive(from) {
            self.act_on_acknowledgement(from, offset, bytes);
        }
        self.wake_all();
        Ok(())
    }

    /// Whether what was sent is still waited for.
    pub(super) fn is_alive(&self, from: Sender) -> bool {
        let node = &self.nodes[from.node];
        let seat = node.seats.get(from.partition as usize);
        node.is_awake() && node.life == from.life && seat.is_some_and(|seat| seat.producer == from.producer)
    }

    pub(super) fn told_of_doubt(&mut self, from: Sender) -> Result<(), String> {
        let has_rest =
            |cluster: &Self| !cluster.nodes[from.node].seats[from.partition as usize].queue.is_empty();
        if self.is_alive(from) && !has_rest(self) {
            self.tell_machine(from.node, from.partition, Signal::InDoubt)?;
            self.wake(from.node, 20);
        }
        Ok(())
    }

    fn dispatch(
        &mut self,
        number: usize,
        partition: u32,
        seq: u64,
        orders: Vec<WorkOrder>,
    ) -> Result<(), String> {
        let node = &mut self.nodes[number];
        let life = node.life;
        let seat = &mut node.seats[partition as usize];
        let is_takeover = std::mem::take(&mut seat.takes_over);
        if is_takeover && self.options.sabotage == Some(Sabotage::DispatchedDroppedAtTakeover) {
            self.step(number, partition, Signal::Dispatched { seq });
            return Ok(());
        }
        let from = Sender { node: number, life, partition, producer: seat.producer };
        let attempts: BTreeSet<_> = orders.iter().map(|order| order.command.attempt.clone()).collect();
        seat.unacknowledged.entry(seq).or_default().extend(attempts);
        for order in orders {
            self.audit.expect_order(partition, &order).map_err(|text| format!("process {number} {text}"))?;
            self.send_order(from, seq, order)?;
        }
        if self.is_sabotaged(Sabotage::DispatchedBeforeAcknowledged) {
            self.step(number, partition, Signal::Dispatched { seq });
        }
        self.settle_dispatched(number, partition);
        Ok(())
    }

    /// Gives a command to its topic; what is not acknowledged is given again.
    pub(super) fn send_order(&mut self, from: Sender, seq: u64, order: WorkOrder) -> Result<(), String> {
        let attempt = order.command.attempt.clone();
        let node = &self.nodes[from.node];
        let is_here = node.life == from.life
            && node.seats.get(from.partition as usize).is_some_and(|seat| {
                seat.producer == from.producer
                    && seat.unacknowledged.get(&seq).is_some_and(|waiting| waiting.contains(&attempt))
            });
        if !is_here {
            return Ok(());
        }
        let fate = if self.is_calm { 99 } else { self.chance.below(16) };
        if fate == 0 {
            self.note(Fault::CommandLost, &attempt.to_string());
        } else {
            self.audit.in_topic.insert(attempt.clone());
            self.line(&format!("{} {attempt} is in its topic", order.command.order.as_str()));
            self.hand_out(&order)?;
        }
        if fate == 1 {
            self.note(Fault::CommandUnacknowledged, &attempt.to_string());
        }
        let wait = self.chance.between(1, 30);
        if fate <= 1 {
            self.push_in(wait + 2_000, Event::Send(from, seq, Box::new(order)));
        } else {
            self.push_in(wait, Event::Acknowledge(from, seq, attempt));
        }
        Ok(())
    }

    pub(super) fn acknowledged(&mut self, from: Sender, seq: u64, attempt: &domain::name::AttemptId) {
        let node = &mut self.nodes[from.node];
        let Some(seat) = node.seats.get_mut(from.partition as usize) else { return };
        if node.life != from.life || seat.producer != from.producer {
            return;
        }
        if let Some(waiting) = seat.unacknowledged.get_mut(&seq) {
            waiting.remove(attempt);
        }
        self.settle_dispatched(from.node, from.partition);
    }

    /// Tells how far everything is acknowledged, without a hole.
    fn settle_dispatched(&mut self, number: usize, partition: u32) {
        loop {
            let seat = &mut self.nodes[number].seats[partition as usize];
            let Some(first) = seat.unacknowledged.first_entry().filter(|first| first.get().is_empty()) else {
                return;
            };
            let (seq, _) = first.remove_entry();
            self.step(number, partition, Signal::Dispatched { seq });
        }
    }
}
