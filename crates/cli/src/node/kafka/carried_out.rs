//! What a driver does with what its partitions want: appends, lanes, commits, and what rests on them.

use engine::code::Code;
use engine::fail::{self, Point};
use engine::partition::{Action, Role, Signal, WorkOrder};
use log_kafka::Write;

use super::driver::{Driver, Ended};
use super::outside::{self, Acknowledged};

impl Driver {
    pub(super) fn carry_out(&mut self, partition: u32, action: Action) -> Result<(), Ended> {
        match action {
            Action::Append(records) => {
                let Some(owner) = &mut self.owner else { return Ok(()) };
                fail::at(Point::K3);
                let sent = owner.appender.append(partition, &records);
                fail::at(Point::P1);
                if let Err(error) = sent {
                    tracing::warn!(partition, %error, "an append was not sent whole");
                    self.tell(partition, Signal::InDoubt)?;
                }
            }
            Action::DropProducer => {
                self.leave(partition)?;
            }
            Action::ReadLanes(positions) => {
                let Some(owner) = &self.owner else { return Ok(()) };
                self.seats[partition as usize].clear_inputs();
                owner.lanes.begin(partition, &positions)?;
                tracing::info!(
                    partition,
                    epoch = self.seats[partition as usize].machine.head().epoch,
                    "owns a partition"
                );
            }
            Action::Commit(commit) => match self.commits.remove(&partition) {
                Some(former) => {
                    self.commits.insert(partition, former.followed_by(*commit));
                }
                None => {
                    self.commits.insert(partition, *commit);
                }
            },
            // In their order, once what they rest on can be read here.
            action @ (Action::Dispatch { .. } | Action::Reply(_)) => {
                self.after_commit.push((partition, action));
            }
            Action::Alarm(alarm) => {
                tracing::error!(code = alarm.code, stream = %alarm.stream, text = alarm.text, "look at this");
            }
            Action::Suspend { code, text } => {
                tracing::warn!(partition, code, text, "a partition is suspended");
                self.seats[partition as usize].suspended = Some((code, text));
            }
            Action::Resume => self.seats[partition as usize].suspended = None,
            Action::Stop(stopped) => {
                // Its states may be ahead of the last commit, where the store failed in between.
                if stopped.code == Code::StoreFailed {
                    self.commits.remove(&partition);
                }
                self.stop(partition, stopped)?;
            }
        }
        Ok(())
    }

    /// Writes what was accepted to the mirror, and releases what rests on it.
    pub(super) fn commit(&mut self) -> Result<(), Ended> {
        let commits = std::mem::take(&mut self.commits);
        if !commits.is_empty() {
            let (mut written, mut failed) = (Vec::with_capacity(commits.len()), vec![]);
            for (partition, mut commit) in commits {
                match self.seats[partition as usize].machine.add_rows(&mut commit) {
                    Ok(()) => written.push(commit),
                    Err(stopped) => failed.push((partition, stopped)),
                }
            }
            if self.owner.is_some() {
                fail::at(Point::K6);
            }
            self.store.commit(&written)?;
            for commit in &written {
                self.tell(commit.partition, Signal::Committed { seq: commit.head.seq })?;
            }
            for (partition, stopped) in failed {
                self.stop(partition, stopped)?;
            }
            self.changed.send_modify(|count| *count += 1);
        }
        let rests_on_it = std::mem::take(&mut self.after_commit);
        if rests_on_it.is_empty() {
            return Ok(());
        }
        fail::at(Point::K7);
        for (partition, action) in rests_on_it {
            match action {
                Action::Dispatch { seq, orders, cancels } => {
                    self.dispatch(partition, seq, orders, &cancels)?;
                }
                Action::Reply(reply) => {
                    outside::tell_refused(partition, &reply);
                    if let Some(owner) = &self.owner {
                        fail::at(Point::A1);
                        outside::answer(owner.commands.prompt(), &self.prefix, partition, &reply);
                    }
                    self.waiting.tell(partition, reply);
                }
                _ => {}
            }
        }
        fail::at(Point::K8);
        Ok(())
    }

    fn dispatch(
        &mut self,
        partition: u32,
        seq: u64,
        orders: Vec<WorkOrder>,
        cancels: &[domain::name::AttemptId],
    ) -> Result<(), Ended> {
        let Some(owner) = &self.owner else { return Ok(()) };
        // Given up meanwhile: whoever owns it next sends them again.
        if self.seats[partition as usize].machine.role() != Role::Owning {
            return Ok(());
        }
        for attempt in cancels {
            outside::cancel(owner.commands.prompt(), &self.prefix, attempt);
        }
        self.seats[partition as usize].dispatches(seq, orders.len());
        for order in orders {
            let write = outside::command(&self.prefix, &order);
            self.send_command(partition, seq, write);
        }
        if let Some(seq) = self.seats[partition as usize].dispatched() {
            self.tell(partition, Signal::Dispatched { seq })?;
        }
        Ok(())
    }

    pub(super) fn send_command(&self, partition: u32, seq: u64, write: Write) {
        let Some(owner) = &self.owner else { return };
        let term = self.seats[partition as usize].term;
        let (told, bell) = (owner.acknowledged.0.clone(), self.bell.clone());
        let again = write.clone();
        let sent = owner.commands.publish(&write, {
            let told = told.clone();
            move |result| {
                let failed = result.err().map(|error| (again, error));
                let is_to_be_sent_again = failed.is_some();
                // A driver that has ended hears nothing more; the next owner sends them again.
                drop(told.send(Acknowledged { partition, term, seq, failed }));
                // That one arrived goes into the next commit, whenever that is: nobody is woken for it.
                if is_to_be_sent_again {
                    bell.ring();
                }
            }
        });
        if let Err(error) = sent {
            drop(told.send(Acknowledged { partition, term, seq, failed: Some((write, error)) }));
        }
    }
}
