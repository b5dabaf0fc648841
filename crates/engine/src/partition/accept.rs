//! Reading the log: the owner's own records and anybody else's, by the one rule of [`crate::chain`].

use domain::transition::Step;
use wire::record::{self, Body, Lane, LaneClaim, Record, Recorded};

use super::effects::Settled;
use super::signal::{Action, Answer, LaneFound, Reply};
use super::{Partition, Pending, Role};
use crate::chain;
use crate::code::{Code, Stopped};
use crate::port::log::Landed;
use crate::port::store::{Accepted, Commit, Head};

impl Partition {
    pub(super) fn read(&mut self, landed: &Landed) -> Result<(), Stopped> {
        if landed.offset < self.head.next_offset {
            return Ok(());
        }
        let unreadable = |error: record::Error| {
            Stopped::new(Code::RecordUnreadable, format!("at offset {}: {error}", landed.offset))
        };
        let hash = record::hash(&landed.bytes);
        if self.pending.front().is_some_and(|pending| pending.hash == hash) {
            return self.accept_own(landed);
        }
        let peek = record::peek(&landed.bytes).map_err(unreadable)?;
        let fits = chain::fits(&self.head, &peek)?;
        if self.role != Role::Reading {
            // Another's record, fitting or not: what is in flight may never fit any more.
            self.counts.displaced += u64::from(self.role == Role::Owning);
            self.step_back()?;
        }
        self.head.next_offset = landed.offset + 1;
        if !fits {
            self.head.losers += 1;
            return Ok(());
        }
        let opened = record::open(&landed.bytes).map_err(unreadable)?;
        opened.register(&mut self.streams.known).map_err(unreadable)?;
        let record = opened.decode(&self.streams.known).map_err(unreadable)?;
        let next = chain::follow(&self.head, self.config.identity(), &record, hash)?;
        let settled = match &record.body {
            Body::Transition(recorded) => self.settle(record.seq, recorded, None)?,
            Body::Created { .. } | Body::Claimed { .. } | Body::FormatRaised { .. } => Settled::default(),
        };
        self.taken = next.positions;
        self.intake.rewind(next.positions);
        self.commit(next, settled.commit(), landed);
        if self.tells_of_others
            && let Body::Transition(recorded) = &record.body
        {
            self.actions.extend(told(record.seq, recorded).map(Action::Reply));
        }
        self.watch_format();
        Ok(())
    }

    fn accept_own(&mut self, landed: &Landed) -> Result<(), Stopped> {
        let Pending { head, mut settled, replies, .. } = self.pending.pop_front().expect("the caller saw it");
        let next = Head { next_offset: landed.offset + 1, losers: self.head.losers, ..head };
        let seq = next.seq;
        let is_claim = next.epoch == seq;
        // Where the lanes are others the commands' topics are too: of a log that was copied, or with topics made anew.
        let has_moved = self.head.epoch > 0 && self.head.topics != next.topics;
        let (orders, cancels) = (std::mem::take(&mut settled.orders), std::mem::take(&mut settled.cancels));
        self.commit(next, settled.commit(), landed);
        if !orders.is_empty() || !cancels.is_empty() {
            self.actions.push(Action::Dispatch { seq, orders, cancels });
        }
        self.actions.extend(replies.into_iter().map(Action::Reply));
        match self.role {
            Role::Claiming if is_claim => self.begin_owning(has_moved),
            Role::Claiming => self.claim(),
            Role::Owning => {
                self.claims.succeed();
                Ok(())
            }
            Role::Reading | Role::Stopped => Ok(()),
        }
    }

    fn commit(&mut self, head: Head, mut commit: Commit, landed: &Landed) {
        let after = std::mem::replace(&mut self.head, head.clone()).seq;
        commit.partition = self.config.partition;
        commit.after = after;
        commit.records = vec![Accepted {
            seq: head.seq,
            offset: landed.offset,
            bytes: landed.bytes.clone(),
            streams: std::mem::take(&mut commit.records).into_iter().flat_map(|it| it.streams).collect(),
        }];
        commit.requests_from = head.seq.saturating_sub(self.config.bounds.request_memory_records);
        commit.head = head;
        self.actions.push(Action::Commit(Box::new(commit)));
    }

    /// Appends the record that makes this process the owner, or first the one that creates the log.
    pub(super) fn claim(&mut self) -> Result<(), Stopped> {
        let body = if self.head.seq == 0 {
            Body::Created {
                log_id: self.config.log_id,
                partition: self.config.partition,
                partitions: self.config.partitions,
                format: record::FORMAT,
                in_flight_records_max: self.config.bounds.in_flight_records_max,
            }
        } else {
            Body::Claimed {
                nonce: self.claims.nonce(),
                binary: self.config.binary.clone(),
                lanes: Lane::ALL.into_iter().map(|lane| self.lane_claim(lane)).collect(),
            }
        };
        let settled = self.unpark()?;
        let bytes = self.append(body, settled)?;
        self.actions.push(Action::Append(vec![bytes]));
        Ok(())
    }

    /// The lane as it is now. A topic created anew counts from its own beginning, and the claim says so.
    fn lane_claim(&self, lane: Lane) -> LaneClaim {
        let LaneFound { topic, begins_at } = self.lanes[lane.index()].clone();
        let (mark, known) = (chain::topic_mark(&topic), self.head.topics[lane.index()]);
        // Before the first claim nothing was ever taken from it.
        let is_another = mark != chain::NO_TOPIC && mark != known && self.head.epoch > 0;
        LaneClaim { lane, topic, rebased_to: is_another.then_some(begins_at) }
    }

    /// Makes the record that follows the tip, and awaits it. What this process could not accept, it does not
    /// append.
    pub(super) fn append(&mut self, body: Body, settled: Settled) -> Result<Vec<u8>, Stopped> {
        let tip = self.tip();
        let record = Record { seq: tip.seq + 1, prev: tip.hash, body };
        let bytes = record::encode(&record);
        let hash = record::hash(&bytes);
        let head = chain::follow(tip, self.config.identity(), &record, hash)?;
        self.pending.push_back(Pending { hash, since: self.monotonic, head, settled, replies: vec![] });
        Ok(bytes)
    }

    /// Registers the definitions of an own record, which others' streams of this partition may name from now on.
    pub(super) fn learn(&mut self, bytes: &[u8]) -> Result<(), Stopped> {
        let known = &mut self.streams.known;
        known.register(bytes).map_err(|error| Stopped::new(Code::RecordUnreadable, error.to_string()))
    }

    /// What is in flight may be this many records more.
    pub(super) fn in_flight_room(&self) -> usize {
        let max = match self.head.in_flight_records_max {
            0 => self.config.bounds.in_flight_records_max,
            recorded => recorded,
        };
        (max as usize).saturating_sub(self.pending.len())
    }
}

/// The answer that stands in a record, when its input named itself.
fn told(seq: u64, recorded: &Recorded) -> Option<Reply> {
    let (lane, input_id) = (recorded.lane?, recorded.input_id.clone()?);
    let run = recorded.transition.steps.first().and_then(|step| match step {
        Step::Run { run, .. } => Some(*run),
        Step::Definitions { .. } | Step::Target { .. } => None,
    });
    let offset = recorded.after[lane.index()].saturating_sub(1);
    let answer = Answer::Recorded { seq, run, refused: recorded.transition.refused.clone() };
    Some(Reply { lane, offset, input_id: Some(input_id), answer })
}
