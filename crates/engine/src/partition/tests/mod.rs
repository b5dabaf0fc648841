//! The partition against a log, a view, lanes and workers that are driven one action at a time, so that a test
//! can crash between any two.

mod chain;
mod chapters;
mod deciding;
mod moments;
mod owning;
mod parked;
mod quarantine;
mod recovery;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use domain::name::{AttemptId, Digest, RunId, StreamId};
use domain::run::Run;
use domain::time::{Millis, Timestamp};
use domain::work::{Order, Outcome};
use wire::record::Lane;

use super::*;
use crate::port::log::{Append, Log as _};
use crate::port::memory;
use crate::port::row::RunRow;
use crate::port::store::{Commit, Query, Store as _};
use crate::replay;
use crate::request::{Report, Said, WorkerAnswer};
use crate::samples::{self, START};
use crate::token;

/// How many turns a world may take before a test says that it hangs.
const TURNS_MAX: usize = 500;

/// The process died at a planned place.
#[derive(Debug, PartialEq)]
struct Crash;

struct World {
    config: Config,
    database: Arc<memory::Embedded>,
    partition: Partition,
    /// Durable, as on Kafka.
    lanes: [Vec<LaneInput>; 3],
    /// Their topics, where they have some.
    lane_topics: Option<[&'static str; 3]>,
    /// Orders at the worker, durable too: what was sent is answered.
    sent: VecDeque<WorkOrder>,
    cancelled: Vec<AttemptId>,
    /// How often each thing was done outside, by its effect key.
    done: BTreeMap<Digest, Vec<AttemptId>>,
    replies: Vec<Reply>,
    alarms: Vec<Alarm>,
    suspensions: Vec<&'static str>,
    stopped: Option<Stopped>,
    now: Timestamp,
    /// Actions until the process dies; nothing never.
    dies_in: Option<usize>,
    actions_done: usize,
    answer: fn(&Order, Timestamp) -> Option<Outcome>,
}

fn every_run(database: &memory::Embedded) -> Vec<RunRow> {
    database.runs(&Query { runs_max: usize::MAX, ..Query::default() }).unwrap()
}

impl World {
    fn new() -> Self {
        Self::with(samples::config(1))
    }

    fn with(config: Config) -> Self {
        let database = Arc::new(memory::Embedded::new(config.partitions));
        let partition = Partition::open(config.clone(), Arc::clone(&database) as Arc<dyn Store>).unwrap();
        let mut world = Self {
            config,
            database,
            partition,
            lanes: [vec![], vec![], vec![]],
            sent: VecDeque::new(),
            cancelled: vec![],
            done: BTreeMap::new(),
            replies: vec![],
            alarms: vec![],
            suspensions: vec![],
            stopped: None,
            now: START,
            dies_in: None,
            lane_topics: None,
            actions_done: 0,
            answer: |order, now| Some(samples::answer(order, now)),
        };
        world.start().unwrap();
        world
    }

    /// What a process does when it starts: open the view, read the log, claim.
    fn start(&mut self) -> Result<(), Crash> {
        let store = Arc::clone(&self.database) as Arc<dyn Store>;
        self.partition = Partition::open(self.config.clone(), store).unwrap();
        let from = self.partition.head().next_offset;
        for landed in self.database.read(0, from, usize::MAX).unwrap() {
            self.signal(Signal::RecordRead(landed))?;
        }
        if let Some(topics) = self.lane_topics {
            self.signal(Signal::LanesFound(
                topics.map(|topic| LaneFound { topic: topic.into(), begins_at: 0 }),
            ))?;
        }
        self.signal(Signal::Assigned { nonce: [1; 16] })?;
        assert_eq!(self.partition.role(), Role::Owning);
        Ok(())
    }

    fn restart(&mut self) {
        self.dies_in = None;
        self.start().unwrap();
    }

    fn say(&mut self, lane: Lane, said: Said) -> u64 {
        self.say_as(lane, said, None)
    }

    fn say_as(&mut self, lane: Lane, said: Said, input_id: Option<&str>) -> u64 {
        let queue = &mut self.lanes[lane.index()];
        let offset = queue.len() as u64;
        let input_id = input_id.map(Into::into);
        queue.push(LaneInput { lane, offset, input_id, traceparent: None, said });
        offset
    }

    /// Gives the partition what waits in the lanes, lets it decide, and lets the worker answer.
    fn turn(&mut self) -> Result<(), Crash> {
        for lane in Lane::ALL {
            let from = self.partition.taken[lane.index()] as usize;
            let waiting = self.lanes[lane.index()].split_off(from);
            self.lanes[lane.index()].extend(waiting.iter().cloned());
            for input in waiting {
                self.signal(Signal::Input(Box::new(input)))?;
            }
        }
        let reading = Reading { wall: self.now, monotonic: Millis(self.now.0) };
        self.signal(Signal::Tick(reading))?;
        while let Some(order) = self.sent.pop_front() {
            let command = &order.command;
            if let Some(outcome) = (self.answer)(&command.order, self.now) {
                let attempts = self.done.entry(command.effect_key).or_default();
                if !attempts.contains(&command.attempt) {
                    attempts.push(command.attempt.clone());
                }
                self.report(&order, WorkerAnswer::Done(outcome));
            }
        }
        Ok(())
    }

    fn report(&mut self, order: &WorkOrder, answer: WorkerAnswer) {
        let report = Report { attempt: order.command.attempt.clone(), token: order.token, answer };
        self.say(Lane::Outcomes, Said::Report(Box::new(report)));
    }

    /// Turns until nothing is left but moments to come; then on to the next of them, until `upto`.
    fn run_until(&mut self, upto: Timestamp) -> Result<(), Crash> {
        for _ in 0..TURNS_MAX {
            self.turn()?;
            let unread = Lane::ALL
                .into_iter()
                .any(|lane| self.lanes[lane.index()].len() as u64 > self.partition.taken[lane.index()]);
            if unread || !self.sent.is_empty() {
                continue;
            }
            match self.partition.wake_at() {
                Some(at) if at <= upto => self.now = self.now.max(at),
                _ => return Ok(()),
            }
        }
        panic!("the world does not come to rest");
    }

    fn signal(&mut self, signal: Signal) -> Result<(), Crash> {
        let mut actions: VecDeque<Action> = self.partition.step(signal).into();
        while let Some(action) = actions.pop_front() {
            match self.dies_in {
                Some(0) => return Err(Crash),
                Some(left) => self.dies_in = Some(left - 1),
                None => {}
            }
            self.actions_done += 1;
            match action {
                Action::Append(records) => {
                    self.database.append(&[Append { partition: 0, records }]).unwrap();
                    let from = self.partition.head().next_offset;
                    for landed in self.database.read(0, from, usize::MAX).unwrap() {
                        actions.extend(self.partition.step(Signal::RecordRead(landed)));
                    }
                }
                Action::Commit(commit) => {
                    let seq = commit.head.seq;
                    self.database.commit(&[*commit]).unwrap();
                    actions.extend(self.partition.step(Signal::Committed { seq }));
                }
                Action::Dispatch { seq, orders, cancels } => {
                    self.cancelled.extend(cancels);
                    self.sent.extend(orders);
                    actions.extend(self.partition.step(Signal::Dispatched { seq }));
                }
                Action::ReadLanes(positions) => assert_eq!(positions, self.partition.positions()),
                Action::DropProducer => {}
                Action::Reply(reply) => self.replies.push(reply),
                Action::Alarm(alarm) => self.alarms.push(alarm),
                Action::Suspend { code, .. } => self.suspensions.push(code),
                Action::Resume => self.suspensions.push("resumed"),
                Action::Stop(stopped) => self.stopped = Some(stopped),
            }
        }
        Ok(())
    }

    /// The answers so far, and none left.
    fn answers(&mut self) -> Vec<Answer> {
        std::mem::take(&mut self.replies).into_iter().map(|reply| reply.answer).collect()
    }

    fn verify(&self) -> replay::Report {
        let reader = replay::Reader::new(self.config.identity(), self.config.parsers);
        let report = replay::verify(replay::from_log(&*self.database, 0), reader).unwrap();
        assert_eq!(report.differences, [], "every input is decided again as it was recorded");
        let differing = report.rows_differing(0, &*self.database).unwrap();
        assert!(differing.is_empty(), "rows are what a fresh fold gives: {differing:?}");
        report
    }

    fn run(&mut self, run: RunId) -> Arc<Run> {
        Arc::clone(&self.partition.streams.run(run).unwrap().folded.state)
    }

    fn records(&self) -> usize {
        self.database.end(0).unwrap() as usize
    }
}

fn refused_code(answer: &Answer) -> &str {
    match answer {
        Answer::Refused(refusal)
        | Answer::Recorded { refused: Some(refusal), .. }
        | Answer::Repeat { refused: Some(refusal), .. } => &refusal.code,
        Answer::Recorded { .. } | Answer::Repeat { .. } => "",
    }
}
