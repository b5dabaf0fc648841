//! A process: a real partition machine for each partition, a view of its own, and how both live and die.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use domain::name::{AttemptId, Digest};
use engine::partition::{
    Action, Bounds, Config, Counts, Format, Hindrance, Partition, Redispatch, Role, RowsPutOff, Signal,
};
use engine::port::memory;
use engine::port::store::{Commit, Store};
use engine::token::Key;
use wire::record::Positions;

use super::{Cluster, Event, LOG_ID, PARTITIONS};
use crate::chance::Chance;
use crate::checker::CHAPTERS;
use crate::checker::chain_of;
use crate::defects;
use crate::options::Fault;

/// The format that a raise leads to, and the one before.
const FORMATS: (u32, u32) = (1, 2);

#[derive(Debug)]
pub(super) struct Node {
    pub life: u64,
    pub is_up: bool,
    pub seats: Vec<Seat>,
    /// What the process sees, what a crash leaves, and what lies between.
    pub view: Arc<memory::Embedded>,
    synced: memory::Embedded,
    unsynced: Vec<Commit>,
    pub skew_ms: i64,
    pub sleeps_until: Option<u64>,
    /// After so many actions it dies, or falls asleep for so long.
    pub dies_in: Option<u64>,
    pub sleeps_in: Option<(u64, u64)>,
    pub is_full: bool,
    pub is_away: bool,
    pub format: Format,
    pub poll_at: Option<u64>,
    /// Its clock was believed once in this life.
    pub has_ticked: bool,
}

/// A process's part in one partition.
#[derive(Debug)]
pub(super) struct Seat {
    pub machine: Partition,
    /// The offset of the log that is read next.
    pub next: u64,
    /// The offset of each lane that is read next; nothing before it ever owned.
    pub cursor: Option<Positions>,
    /// Told and not carried out.
    pub queue: VecDeque<Action>,
    /// It should own, as far as it was told.
    pub is_wanted: bool,
    /// And its machine knows.
    pub is_told: bool,
    pub producer: u64,
    /// Commands of records that their topic has not acknowledged.
    pub unacknowledged: BTreeMap<u64, BTreeSet<AttemptId>>,
    /// Appended, by `seq`.
    pub own: BTreeMap<u64, Vec<u8>>,
    /// The hash of the last accepted record before the claims at the end.
    pub before_claims: Option<Digest>,
    /// The next dispatch is that of a takeover.
    pub takes_over: bool,
    /// Commits are put together, and what rests on them waits.
    pub gathers: bool,
    gathered: Option<Commit>,
    rests_on_it: Vec<Action>,
}

impl Seat {
    /// Keeps what waits for the commit, or is it; gives back what is carried out at once.
    pub(super) fn gather(&mut self, action: Action) -> Option<Action> {
        if !self.gathers {
            return Some(action);
        }
        match action {
            Action::Commit(commit) => {
                self.gathered = Some(match self.gathered.take() {
                    Some(former) => former.followed_by(*commit),
                    None => *commit,
                });
                None
            }
            Action::Dispatch { .. } | Action::Reply(_) => {
                self.rests_on_it.push(action);
                None
            }
            other => Some(other),
        }
    }

    /// Gathers what was told and is not carried out, but for what is carried out at once.
    pub(super) fn gather_rest(&mut self) {
        let rest = std::mem::take(&mut self.queue);
        self.queue = rest.into_iter().filter_map(|action| self.gather(action)).collect();
    }

    /// Has what was gathered carried out next.
    pub(super) fn release(&mut self) -> Result<(), String> {
        self.gathers = false;
        let mut commit = self.gathered.take();
        if let Some(commit) = &mut commit {
            self.machine.add_rows(commit).map_err(|stopped| stopped.to_string())?;
        }
        let released = commit.map(|commit| Action::Commit(Box::new(commit))).into_iter();
        let rest = std::mem::take(&mut self.queue);
        self.queue = released.chain(std::mem::take(&mut self.rests_on_it)).chain(rest).collect();
        Ok(())
    }
}

impl Node {
    pub(super) fn new(chance: &mut Chance) -> Self {
        // Some begin as an older binary, and are replaced later.
        let known = if chance.one_in(2) { FORMATS.0 } else { FORMATS.1 };
        Self {
            life: 0,
            is_up: false,
            seats: vec![],
            view: Arc::new(memory::Embedded::new(PARTITIONS)),
            synced: memory::Embedded::new(PARTITIONS),
            unsynced: vec![],
            skew_ms: chance.below(60_000) as i64 - 30_000,
            sleeps_until: None,
            dies_in: None,
            sleeps_in: None,
            is_full: false,
            is_away: false,
            format: Format { known, wanted: FORMATS.0 },
            poll_at: None,
            has_ticked: false,
        }
    }

    /// It reads, decides and carries out.
    pub(super) fn is_awake(&self) -> bool {
        self.is_up && self.sleeps_until.is_none()
    }

    pub(super) fn commit(&mut self, commit: Commit) -> Result<(), String> {
        self.view.commit(std::slice::from_ref(&commit)).map_err(|error| chain_of(&error))?;
        self.unsynced.push(commit);
        Ok(())
    }

    /// What was written so far survives.
    pub(super) fn sync(&mut self, commits: usize) -> Result<(), String> {
        for commit in self.unsynced.drain(..commits) {
            self.synced.commit(&[commit]).map_err(|error| chain_of(&error))?;
        }
        Ok(())
    }

    pub(super) fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    pub(super) fn upgrade(&mut self) {
        self.format = Format { known: FORMATS.1, wanted: FORMATS.1 };
    }

    fn config(&self, partition: u32) -> Config {
        Config {
            log_id: LOG_ID,
            partition,
            partitions: PARTITIONS,
            binary: format!("sim {}", self.format.known),
            parsers: wire::definitions::parsers(),
            key: Key([7; 32]),
            redispatch: Redispatch::AboveDispatched,
            format: self.format,
            bounds: Bounds {
                streams_cached_max: 4,
                timers_near_max: 1,
                keep_every: 2,
                in_flight_records_max: 16,
                chapters: CHAPTERS,
                ..Bounds::default()
            },
        }
    }
}

impl Cluster {
    pub(super) fn start(&mut self, number: usize) -> Result<(), String> {
        let node = &mut self.nodes[number];
        node.life += 1;
        node.is_up = true;
        node.seats.clear();
        for partition in 0..PARTITIONS {
            let view = Arc::clone(&node.view) as Arc<dyn Store>;
            let mut machine =
                Partition::open(node.config(partition), view).map_err(|error| chain_of(&error))?;
            machine.plant(defects::strike);
            machine.put_rows_off(RowsPutOff::WhileReading);
            let end = self.broker.end(partition);
            machine.check_end(end).map_err(|stopped| stopped.to_string())?;
            node.seats.push(Seat {
                next: machine.head().next_offset,
                machine,
                cursor: None,
                queue: VecDeque::new(),
                is_wanted: false,
                is_told: false,
                producer: 0,
                unacknowledged: BTreeMap::new(),
                own: BTreeMap::new(),
                before_claims: None,
                takes_over: false,
                gathers: false,
                gathered: None,
                rests_on_it: vec![],
            });
        }
        let (life, known) = (node.life, node.format.known);
        self.line(&format!("process {number} begins life {life}, knows format {known}"));
        self.wake(number, 1);
        Ok(())
    }

    /// Everything in memory is gone, and what was not synced.
    pub(super) fn crash(&mut self, number: usize) -> Result<(), String> {
        self.line(&format!("process {number} dies"));
        self.retire(number);
        // What was still to befall it will befall another.
        if self.nodes[number].sleeps_in.is_some() {
            self.push_in(1_000, Event::Fail(Fault::Paused));
        }
        if self.nodes[number].dies_in.is_some() {
            self.push_in(1_000, Event::Fail(Fault::CrashBetweenActions));
        }
        let node = &mut self.nodes[number];
        node.is_up = false;
        node.has_ticked = false;
        node.seats.clear();
        (node.dies_in, node.sleeps_in, node.sleeps_until, node.poll_at) = (None, None, None, None);
        let unsynced = node.unsynced();
        let kept = self.chance.below(unsynced as u64 + 1) as usize;
        node.sync(kept)?;
        node.unsynced.clear();
        node.view = Arc::new(node.synced.copy());
        if kept < unsynced {
            self.note(Fault::ViewUnsynced, &format!("{} commits of process {number}", unsynced - kept));
        }
        if self.chance.one_in(8) {
            self.note(Fault::ViewLost, &format!("of process {number}"));
            let node = &mut self.nodes[number];
            node.view = Arc::new(memory::Embedded::new(PARTITIONS));
            node.synced = memory::Embedded::new(PARTITIONS);
        }
        if self.nodes[number].is_away {
            self.nodes[number].is_away = false;
        }
        if self.nodes[number].is_full {
            self.nodes[number].is_full = false;
        }
        self.nodes[number].skew_ms = self.chance.below(60_000) as i64 - 30_000;
        let wait = self.chance.between(500, 20_000);
        self.push_in(wait, Event::Start(number));
        Ok(())
    }

    /// Adds up what a process that is gone has counted.
    pub(super) fn retire(&mut self, number: usize) {
        for seat in &self.nodes[number].seats {
            let Counts { claims, claims_lost, doubts, displaced } = seat.machine.counts();
            self.counts.claims += claims;
            self.counts.claims_lost += claims_lost;
            self.counts.doubts += doubts;
            self.counts.displaced += displaced;
        }
    }

    pub(super) fn wake(&mut self, number: usize, wait: u64) {
        let at = self.now_ms + wait;
        let node = &mut self.nodes[number];
        if node.is_awake() && node.poll_at.is_none_or(|planned| at < planned) {
            node.poll_at = Some(at);
            self.push(at, Event::Poll(number));
        }
    }

    pub(super) fn wake_all(&mut self) {
        for number in 0..self.nodes.len() {
            if self.nodes[number].poll_at.is_none_or(|planned| planned > self.now_ms + 40) {
                let wait = self.chance.between(1, 40);
                self.wake(number, wait);
            }
        }
    }

    /// When to look again though nothing comes.
    pub(super) fn plan_poll(&mut self, number: usize) {
        let reading = self.reading(number);
        let node = &self.nodes[number];
        let mut wait: Option<u64> = None;
        let mut sooner = |other: u64| wait = Some(wait.map_or(other, |wait| wait.min(other)));
        for seat in &node.seats {
            if seat.machine.hindrance() == Some(Hindrance::ClockSuspect) {
                sooner(1_000);
            }
            if !seat.queue.is_empty() {
                sooner(500);
            }
            if seat.machine.is_waiting() && seat.machine.role() == Role::Owning {
                sooner(10);
            }
            if let Some(at) = seat.machine.tick_by() {
                sooner(at.0.saturating_sub(reading.monotonic.0).max(5));
            }
            if let Some(at) = seat.machine.wake_at().filter(|_| seat.machine.role() == Role::Owning) {
                sooner((at - reading.wall).0.max(10));
            }
        }
        if let Some(wait) = wait {
            self.wake(number, wait);
        }
    }

    pub(super) fn step(&mut self, number: usize, partition: u32, signal: Signal) {
        let seat = &mut self.nodes[number].seats[partition as usize];
        let actions = seat.machine.step(signal);
        seat.queue.extend(actions);
    }
}
