//! The thread that reads the log and, in an engine, decides what is said to the partitions that this process owns.
//!
//! ```text
//!   group: assigned, revoked --+
//!   the log: records ----------+--> Partition::step --> appends, commits, commands, answers
//!   lanes, signs of life ------+          ^                  |
//!   the clock -----------------+          +-- doubt, acknowledged, committed
//! ```
//!
//! One turn takes what there is of everything, with a bound, commits it to the mirror with one write, and lets the
//! partitions decide. A partition that is about to step back finds in the mirror all that it accepted. While an append is
//! under way the inputs that come are gathered; the next append takes them all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

use domain::time::Timestamp;
use engine::chain::topic_mark;
use engine::code::Stopped;
use engine::fail::{self, Point};
use engine::message;
use engine::partition::{Action, Hindrance, LaneFound, LaneInput, Role, Signal};
use engine::port::clock::{self, Clock as _};
use engine::port::store::{Commit, Store};
use log_kafka::group::Event;
use log_kafka::{
    Appender, Bell, Bulk, Followed, Follower, LaneReader, LaneSeen, LogReader, Member, Read, Seen,
};
use tokio::sync::watch;
use wire::record::Lane;

use super::outside::{self, Acknowledged};
use super::seat::Seat;
use super::shown::Shown;
use super::waiting::Waiting;
use super::watch::Watch;
use crate::node::clock::SystemClock;

/// How many records of the log one turn takes.
const RECORDS_PER_TURN: usize = 4_096;
/// How many inputs one turn takes.
const INPUTS_PER_TURN: usize = 4_096;
/// How long inputs gather at most behind an append of another partition that does not come back.
const GATHER_MAX: Duration = Duration::from_millis(20);
/// The longest sleep, so that a stop and the clients' own events are noticed.
const SLEEP_MAX: Duration = Duration::from_millis(100);
/// How often to look for what an append that is under way has become, while more waits behind it.
const GATHER_LOOK: Duration = Duration::from_millis(1);
/// How often to ask brokers that are away, and how long each time.
const AWAY_ASK_EVERY: Duration = Duration::from_secs(1);
const AWAY_ASK_MAX: Duration = Duration::from_millis(300);
/// How long the broker may take to say where lanes begin.
pub(super) const ASK_MAX: Duration = Duration::from_secs(1);

/// What an engine has, and a mere reader has not.
#[derive(Debug)]
pub(super) struct Owner {
    pub appender: Appender,
    pub member: Member,
    pub lanes: LaneReader,
    pub heartbeats: Follower,
    pub commands: Bulk,
    /// The topics of the lanes, by their ids.
    pub lane_topics: [String; 3],
    pub acknowledged: (Sender<Acknowledged>, Receiver<Acknowledged>),
    pub watch: Watch,
}

#[derive(Debug)]
pub(super) struct Driver {
    pub seats: Vec<Seat>,
    pub store: Arc<dyn Store>,
    pub reader: LogReader,
    pub answers: Follower,
    pub owner: Option<Owner>,
    pub prefix: String,
    /// Reads what is said; workflows that came lately are not parsed again.
    pub recent: message::Recent,
    pub bell: Bell,
    pub clock: Arc<SystemClock>,
    pub waiting: Arc<Waiting>,
    pub shown: Arc<Shown>,
    pub changed: watch::Sender<u64>,
    /// What the turn commits, by partition, and what comes after.
    pub commits: BTreeMap<u32, Commit>,
    pub after_commit: Vec<(u32, Action)>,
    /// Since when inputs gather.
    pub gathering_since: Option<u64>,
    /// Some partition may lack records, and the brokers did not say which.
    pub looks_for_gaps: bool,
    /// Some lane may lack the input that comes next.
    pub looks_at_lanes: bool,
    /// No broker answers, and when to ask again.
    pub is_away: bool,
    pub asks_at: u64,
}

/// Why a driver ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    #[error("failed to work with Kafka")]
    Kafka(#[from] log_kafka::Error),
    #[error("failed to write the mirror")]
    Store(#[from] engine::port::store::Error),
}

impl Driver {
    /// One turn: what there is of everything.
    pub fn turn(&mut self) -> Result<(), Ended> {
        self.watch_brokers()?;
        self.watch_topics()?;
        self.take_membership()?;
        self.read_log()?;
        self.commit()?;
        self.begin_to_own()?;
        self.take_answers()?;
        self.take_outside()?;
        self.take_inputs()?;
        self.tick()?;
        self.commit()?;
        self.shown.show(&self.seats, self.reader.health());
        Ok(())
    }

    /// Until there is something to do, or the longest sleep is over.
    pub fn rest(&self) {
        let now = clock::read(&*self.clock);
        let mut sleep = SLEEP_MAX;
        let (mut waits, mut in_flight) = (false, 0);
        for seat in self.seats.iter().filter(|seat| seat.stopped.is_none()) {
            let by = seat.machine.tick_by().map(|at| at.0.saturating_sub(now.monotonic.0));
            let wake = seat.machine.wake_at().filter(|_| seat.machine.role() == Role::Owning);
            let wake = wake.map(|at: Timestamp| (at - now.wall).0);
            if let Some(sooner) = by.into_iter().chain(wake).min() {
                sleep = sleep.min(Duration::from_millis(sooner.max(1)));
            }
            waits |= seat.machine.is_waiting() && seat.machine.role() == Role::Owning;
            in_flight += seat.machine.in_flight();
        }
        match (waits, in_flight > 0) {
            (true, false) => {}
            (true, true) => self.bell.wait(GATHER_LOOK.min(sleep)),
            (false, _) => self.bell.wait(sleep),
        }
    }

    /// Has the next turn begin at once: clients ring for what comes where nothing was, and not for what is left.
    fn go_on(&self) {
        self.bell.ring();
    }

    /// Ends; others own what it owned.
    pub fn hand_over(self) {
        if let Some(owner) = self.owner {
            owner.member.hand_over();
        }
    }

    /// Nothing is decided while no broker answers. Whether one does again is asked, for where nothing is written
    /// nothing is read either.
    fn watch_brokers(&mut self) -> Result<(), Ended> {
        if self.reader.health().is_away() {
            let now = self.clock.monotonic().0;
            if now >= self.asks_at {
                self.asks_at = now + AWAY_ASK_EVERY.as_millis() as u64;
                if let Err(error) = self.reader.bounds_of(0, AWAY_ASK_MAX) {
                    tracing::debug!(%error, "the brokers are away");
                }
            }
        }
        let is_away = self.reader.health().is_away();
        if is_away != std::mem::replace(&mut self.is_away, is_away) {
            for partition in 0..self.seats.len() as u32 {
                let signal = if is_away { Signal::Hindered } else { Signal::Cleared };
                self.tell(partition, signal(Hindrance::LogAway))?;
            }
        }
        Ok(())
    }

    /// Nothing is decided any more over topics that lose or forge history. What is there can be read.
    fn watch_topics(&mut self) -> Result<(), Ended> {
        let Some(stopped) = self.owner.as_ref().and_then(|owner| owner.watch.found.take()) else {
            return Ok(());
        };
        for partition in 0..self.seats.len() as u32 {
            self.stop(partition, stopped.clone())?;
        }
        Ok(())
    }

    /// What the group says of who should own what.
    fn take_membership(&mut self) -> Result<(), Ended> {
        let mut changes = vec![];
        if let Some(owner) = &mut self.owner {
            while let Some(event) = owner.member.next(Duration::ZERO)? {
                changes.push(event);
            }
        }
        for event in changes {
            match event {
                Event::Assigned(places) => {
                    for (_, partition) in places {
                        tracing::info!(partition, "this engine is to own a partition");
                        self.seats[partition as usize].is_wanted = true;
                    }
                }
                Event::Revoked(places) => {
                    for (_, partition) in places {
                        tracing::info!(partition, "a partition is taken from this engine");
                        let seat = &mut self.seats[partition as usize];
                        seat.is_wanted = false;
                        if std::mem::take(&mut seat.is_told) {
                            self.tell(partition, Signal::Revoked)?;
                        }
                        if let Some(owner) = &self.owner {
                            owner.lanes.end(partition)?;
                        }
                    }
                }
                // Its partitions are paused: only who owns what is asked of this member.
                Event::Record(_) => {}
            }
        }
        Ok(())
    }

    fn read_log(&mut self) -> Result<(), Ended> {
        for number in 1..=RECORDS_PER_TURN {
            if number == RECORDS_PER_TURN {
                self.go_on();
            }
            match self.reader.next()? {
                None => break,
                Some(Seen::Record { partition, landed }) => {
                    let seat = &mut self.seats[partition as usize];
                    seat.at_end = false;
                    if seat.machine.in_flight() > 0 {
                        fail::at(Point::K5);
                    }
                    if seat.machine.steps_back_at(&landed) {
                        self.commit()?;
                    }
                    self.tell(partition, Signal::RecordRead(landed))?;
                }
                Some(Seen::End { partition }) => {
                    let seat = &mut self.seats[partition as usize];
                    (seat.at_end, seat.caught_up) = (true, true);
                }
                Some(Seen::Gone) => self.look_for_gaps()?,
            }
        }
        if self.looks_for_gaps {
            self.look_for_gaps()?;
        }
        Ok(())
    }

    /// Has partitions claimed that the group gave to this process, once they were read to their ends and what was read
    /// is committed.
    fn begin_to_own(&mut self) -> Result<(), Ended> {
        (0..self.seats.len() as u32).try_for_each(|partition| self.claim_when_read(partition))
    }

    fn claim_when_read(&mut self, partition: u32) -> Result<(), Ended> {
        let seat = &mut self.seats[partition as usize];
        let Some(owner) = &self.owner else { return Ok(()) };
        if !seat.is_wanted || seat.is_told || !seat.at_end || seat.stopped.is_some() {
            return Ok(());
        }
        // Where lanes begin is asked only of topics that were made anew: only they are read from there.
        let known = seat.machine.head().topics;
        let is_known = |lane: Lane| topic_mark(&owner.lane_topics[lane.index()]) == known[lane.index()];
        let bounds = if Lane::ALL.into_iter().all(is_known) || seat.machine.head().epoch == 0 {
            [(0, 0); 3]
        } else {
            match owner.lanes.bounds(partition, ASK_MAX) {
                Ok(bounds) => bounds,
                Err(error) => {
                    tracing::warn!(partition, %error, "where lanes begin is not known yet; it is asked again");
                    return Ok(());
                }
            }
        };
        seat.is_told = true;
        owner.watch.ask();
        let found = Lane::ALL.map(|lane| LaneFound {
            topic: owner.lane_topics[lane.index()].clone(),
            begins_at: bounds[lane.index()].0,
        });
        self.tell(partition, Signal::LanesFound(found))?;
        let nonce = uuid::Uuid::new_v4().into_bytes();
        self.tell(partition, Signal::Assigned { nonce })
    }

    pub(super) fn stop(&mut self, partition: u32, stopped: Stopped) -> Result<(), Ended> {
        let seat = &mut self.seats[partition as usize];
        if seat.stopped.is_some() {
            return Ok(());
        }
        tracing::error!(partition, code = %stopped.code, text = stopped.text, hint = stopped.code.hint(), "a partition stopped");
        seat.stopped = Some(stopped);
        self.leave(partition)
    }

    /// Neither reads the partition's lanes nor sends what was appended to it any more.
    pub(super) fn leave(&mut self, partition: u32) -> Result<(), Ended> {
        self.seats[partition as usize].leave();
        let Some(owner) = &mut self.owner else { return Ok(()) };
        owner.lanes.end(partition)?;
        let others = owner.appender.give_up(partition)?;
        if !others.is_empty() {
            self.commit()?;
        }
        for other in others {
            self.tell(other, Signal::InDoubt)?;
        }
        Ok(())
    }

    /// What came from outside the log and the lanes: signs of life, acknowledgements, failed appends.
    fn take_outside(&mut self) -> Result<(), Ended> {
        let Some(owner) = &mut self.owner else { return Ok(()) };
        let mut heard = vec![];
        while let Some(followed) = owner.heartbeats.next(Duration::ZERO)? {
            if let Followed::Record(read) = followed {
                heard.push(read);
            }
        }
        let acknowledged: Vec<Acknowledged> = owner.acknowledged.1.try_iter().collect();
        let failed = owner.appender.poll();
        for read in heard {
            self.hear(&read)?;
        }
        for it in acknowledged {
            self.take_acknowledged(it)?;
        }
        for (partition, error) in failed {
            tracing::warn!(partition, %error, "an append failed: whether it landed is known by reading");
            self.tell(partition, Signal::InDoubt)?;
        }
        Ok(())
    }

    /// Answers that engines gave without a record, for whoever waits here.
    fn take_answers(&mut self) -> Result<(), Ended> {
        while let Some(followed) = self.answers.next(Duration::ZERO)? {
            let Followed::Record(read) = followed else { continue };
            match message::decode_answer(read.value.as_deref().unwrap_or_default()) {
                Ok(answer) => self.waiting.tell_unrecorded(answer),
                Err(error) => tracing::warn!(offset = read.offset, %error, "an answer that cannot be read"),
            }
        }
        Ok(())
    }

    fn hear(&mut self, read: &Read) -> Result<(), Ended> {
        let Ok(beat) = message::decode_heartbeat(read.value.as_deref().unwrap_or_default()) else {
            tracing::warn!(topic = read.topic, offset = read.offset, "a sign of life that cannot be read");
            return Ok(());
        };
        for partition in 0..self.seats.len() as u32 {
            if self.seats[partition as usize].machine.role() == Role::Owning {
                self.tell(partition, Signal::Heard { attempt: beat.attempt.clone(), at: beat.at })?;
            }
        }
        Ok(())
    }

    fn take_acknowledged(&mut self, it: Acknowledged) -> Result<(), Ended> {
        let seat = &mut self.seats[it.partition as usize];
        if seat.term != it.term {
            return Ok(());
        }
        match it.failed {
            None => seat.acknowledged(it.seq),
            Some((write, error)) => {
                tracing::warn!(partition = it.partition, %error, "a command did not reach its topic: it is sent again");
                self.send_command(it.partition, it.seq, write);
            }
        }
        let seat = &mut self.seats[it.partition as usize];
        if let Some(seq) = seat.dispatched() {
            self.tell(it.partition, Signal::Dispatched { seq })?;
        }
        Ok(())
    }

    fn take_inputs(&mut self) -> Result<(), Ended> {
        if self.owner.is_none() {
            return Ok(());
        }
        if self.looks_at_lanes {
            self.look_at_lanes()?;
        }
        for number in 1..=INPUTS_PER_TURN {
            if number == INPUTS_PER_TURN {
                self.go_on();
            }
            let Some(owner) = &self.owner else { break };
            match owner.lanes.next()? {
                None => break,
                Some(LaneSeen::Input(lane, read)) => self.take_input(lane, read)?,
                Some(LaneSeen::Gone) => self.look_at_lanes()?,
            }
        }
        for partition in 0..self.seats.len() as u32 {
            if self.seats[partition as usize].machine.role() != Role::Owning {
                continue;
            }
            for lane in Lane::ALL {
                while let Some(input) = self.seats[partition as usize].next_input(lane) {
                    self.tell(partition, Signal::Input(Box::new(input)))?;
                }
            }
            if let Some(owner) = &self.owner {
                for lane in self.seats[partition as usize].resumed() {
                    owner.lanes.resume(partition, lane)?;
                }
            }
        }
        Ok(())
    }

    fn take_input(&mut self, lane: Lane, read: Read) -> Result<(), Ended> {
        let Some(owner) = &self.owner else { return Ok(()) };
        fail::at(Point::K1);
        let partition = read.partition;
        let said = match self.recent.decode_said(read.value.as_deref().unwrap_or_default()) {
            Ok(said) => said,
            Err(error) => {
                outside::bury(owner.commands.prompt(), &self.prefix, &read, &error.to_string());
                return Ok(());
            }
        };
        let input = LaneInput {
            lane,
            offset: read.offset,
            input_id: read.header("ce_id").map(str::to_owned),
            traceparent: read.header("traceparent").map(str::to_owned),
            said,
        };
        if self.seats[partition as usize].keep(input) {
            owner.lanes.pause(partition, lane)?;
        }
        Ok(())
    }

    /// Lets every partition decide, unless what waits should gather behind an append that is under way.
    fn tick(&mut self) -> Result<(), Ended> {
        let now = clock::read(&*self.clock);
        let in_flight: usize = self.seats.iter().map(|seat| seat.machine.in_flight()).sum();
        if in_flight == 0 {
            self.gathering_since = None;
        } else {
            let since = *self.gathering_since.get_or_insert(now.monotonic.0);
            if now.monotonic.0.saturating_sub(since) < GATHER_MAX.as_millis() as u64 {
                return Ok(());
            }
            self.gathering_since = Some(now.monotonic.0);
        }
        if self.seats.iter().any(|seat| seat.machine.is_waiting()) {
            fail::at(Point::K2);
        }
        for partition in 0..self.seats.len() as u32 {
            self.tell(partition, Signal::Tick(now))?;
        }
        Ok(())
    }

    pub(super) fn tell(&mut self, partition: u32, signal: Signal) -> Result<(), Ended> {
        let seat = &mut self.seats[partition as usize];
        if seat.stopped.is_some() {
            return Ok(());
        }
        for action in seat.machine.step(signal) {
            self.carry_out(partition, action)?;
        }
        Ok(())
    }
}
