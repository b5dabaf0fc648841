//! All partitions of one process over one database: a step of everything is one batch with one sync.
//!
//! ```text
//!   offer -> lanes (in memory) --+
//!                                v
//!   pass:  tick each partition -> appends -> read back (in memory) -> commits
//!                                   \___________ one write, one sync ______/
//!                                                     |
//!          only now: orders, cancels, replies <-------+
//! ```
//!
//! **Invariant:** nothing is released before the sync of the batch that it stands in. A write that fails poisons
//! the engine: whether it landed is known after a restart, which is the normal start.

mod gathered;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::name::{AttemptId, RunId, StreamId};
use domain::refusal::{Kind, Refusal};
use domain::time::Timestamp;
use wire::record::Lane;

use self::gathered::Gathered;
use crate::chain;
use crate::code::{Code, Stopped, refused};
use crate::fail::{self, Point};
use crate::partition::{
    Action, Alarm, Answer, Config, Defect, LaneInput, OpenError, Partition, Reply, Role, RowsPutOff, Signal,
    WorkOrder,
};
use crate::placement::partition_of;
use crate::port::clock::Reading;
use crate::port::log::{self, Landed};
use crate::port::store::{self, Batch};
use crate::request::{Request, Said};

/// How many records of one partition are read, and committed to a view that is built again, at once.
pub const REBUILD_RECORDS_MAX: usize = 1_000;

/// Of how many runs it is remembered where they live.
const HOMES_MAX: usize = 16_384;

/// What one pass releases.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Passed {
    pub orders: Vec<WorkOrder>,
    pub cancels: Vec<AttemptId>,
    /// With the partition they come from.
    pub replies: Vec<(u32, Reply)>,
    pub alarms: Vec<Alarm>,
    /// Partitions that stopped in this pass. The others go on.
    pub stopped: Vec<(u32, Stopped)>,
    /// Whether decisions are suspended, and why.
    pub suspended: Option<(&'static str, String)>,
    /// How many records were written.
    pub records: usize,
}

/// Where an offered input stands, to match its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket {
    pub partition: u32,
    pub lane: Lane,
    pub offset: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("failed to open the engine")]
    Open(#[from] OpenError),
    #[error("failed to read the log")]
    Log(#[from] log::Error),
    /// The process must stop.
    #[error("failed to write a step")]
    Write(#[source] store::Error),
    #[error("failed to read the view")]
    Read(#[source] store::Error),
    #[error("partition {partition} stopped while it was opened")]
    Stopped {
        partition: u32,
        #[source]
        source: Stopped,
    },
    #[error("expected a log of {expected} partitions, but it has {found}")]
    Partitions { expected: u32, found: u32 },
    #[error("an earlier write failed")]
    Poisoned,
}

/// The partitions of an embedded engine, each owned by this process.
#[derive(Debug)]
pub struct Engine {
    database: Arc<dyn store::Embedded>,
    partitions: Vec<Partition>,
    /// The offset that the next input of each lane gets.
    next_offsets: Vec<[u64; 3]>,
    /// Where runs live whose orders went out lately; of others the view is asked.
    homes: BTreeMap<RunId, u32>,
    suspended: Option<(&'static str, String)>,
    is_poisoned: bool,
    /// Released by opening, given out by the first pass.
    opened: Passed,
}

/// An engine on its way: it has read the view, and owns nothing yet.
#[derive(Debug)]
pub struct Opening(Engine);

impl Opening {
    /// Reads what the view knows. `config` is that of each partition, but for its number.
    pub fn new(config: &Config, database: Arc<dyn store::Embedded>) -> Result<Self, Error> {
        let (expected, found) = (config.partitions, database.partitions());
        if expected != found {
            return Err(Error::Partitions { expected, found });
        }
        let mut partitions = Vec::with_capacity(expected as usize);
        for partition in 0..expected {
            let view: Arc<dyn store::Store> = Arc::clone(&database) as Arc<dyn store::Store>;
            let mut machine = Partition::open(Config { partition, ..config.clone() }, view)?;
            machine.put_rows_off(RowsPutOff::Always);
            partitions.push(machine);
        }
        Ok(Self(Engine {
            database,
            partitions,
            next_offsets: vec![],
            homes: BTreeMap::new(),
            suspended: None,
            is_poisoned: false,
            opened: Passed::default(),
        }))
    }

    /// Reads the log from where the view stands, and completes the view.
    pub fn catch_up(&mut self) -> Result<(), Error> {
        let Self(engine) = self;
        for index in 0..engine.partitions.len() {
            let partition = index as u32;
            let end = engine.database.end(partition)?;
            let stopped = |source| Error::Stopped { partition, source };
            engine.partitions[index].check_end(end).map_err(stopped)?;
            let mut losers_at_end = 0;
            loop {
                let from = engine.partitions[index].head().next_offset;
                let records = engine.database.read(partition, from, REBUILD_RECORDS_MAX)?;
                if records.is_empty() {
                    break;
                }
                let mut pass = Gathered::default();
                for landed in records {
                    let losers = engine.partitions[index].head().losers;
                    pass.take(partition, engine.partitions[index].step(Signal::RecordRead(landed)));
                    let is_loser = engine.partitions[index].head().losers > losers;
                    losers_at_end = if is_loser { losers_at_end + 1 } else { 0 };
                }
                if let Some((_, source)) = pass.passed.stopped.pop() {
                    return Err(stopped(source));
                }
                fail::at(Point::K6);
                let batch = engine.batch(&mut pass)?;
                engine.write(&batch)?;
                engine.settled(partition);
            }
            let last = engine.partitions[index].head().seq;
            chain::one_writer_ends(last, losers_at_end).map_err(stopped)?;
        }
        Ok(())
    }

    /// Claims every partition, after `catch_up`, and has every outstanding command ready for the first pass.
    pub fn own(self, nonce: [u8; 16]) -> Result<Engine, Error> {
        let Self(mut engine) = self;
        let assigned =
            (0..engine.partitions.len() as u32).map(|partition| (partition, Signal::Assigned { nonce }));
        let mut opened = engine.carry_out(assigned.collect())?;
        if let Some((partition, source)) = opened.stopped.pop() {
            return Err(Error::Stopped { partition, source });
        }
        for (partition, machine) in (0..).zip(&engine.partitions) {
            machine.check_format().map_err(|source| Error::Stopped { partition, source })?;
        }
        engine.next_offsets = engine.partitions.iter().map(Partition::positions).collect();
        engine.opened = opened;
        Ok(engine)
    }
}

impl Engine {
    /// Reads what the view lacks, claims every partition, and has every outstanding command ready for the first
    /// pass. `config` is that of each partition, but for its number.
    pub fn open(config: &Config, database: Arc<dyn store::Embedded>, nonce: [u8; 16]) -> Result<Self, Error> {
        let mut opening = Opening::new(config, database)?;
        opening.catch_up()?;
        opening.own(nonce)
    }

    /// Completes the view of a log that nobody owns now: what is read from it is then as new as the log.
    pub fn complete(config: &Config, database: Arc<dyn store::Embedded>) -> Result<(), Error> {
        Opening::new(config, database)?.catch_up()
    }

    /// Lets an input wait for the next pass, or says that its lane is full.
    pub fn offer(
        &mut self,
        partition: u32,
        lane: Lane,
        said: Said,
        input_id: Option<String>,
        traceparent: Option<String>,
    ) -> Result<Ticket, Refusal> {
        let Some(machine) = self.partitions.get_mut(partition as usize) else {
            return Err(refuse(
                Kind::Malformed,
                refused::WRONG_PARTITION,
                "expected a partition that exists",
            ));
        };
        if machine.role() == Role::Stopped {
            return Err(refuse(
                Kind::Busy,
                refused::BUSY,
                "expected a partition that goes on, but it stopped",
            ));
        }
        if machine.room(lane) == 0 {
            return Err(refuse(
                Kind::Busy,
                refused::BUSY,
                "expected room in the lane, but its queue is full",
            ));
        }
        let next = &mut self.next_offsets[partition as usize][lane.index()];
        let offset = *next;
        *next += 1;
        let input = LaneInput { lane, offset, input_id, traceparent, said };
        // There is room and the offset is fresh: the partition takes it without an action.
        let _none = machine.step(Signal::Input(Box::new(input)));
        Ok(Ticket { partition, lane, offset })
    }

    /// Where an input belongs; nothing for a definition, which belongs everywhere.
    pub fn partition_for(&self, said: &Said) -> Result<Option<u32>, Refusal> {
        let partitions = self.partitions.len() as u32;
        let of_stream = |stream: &StreamId| match stream {
            StreamId::Definitions => Ok(None),
            StreamId::Target(target) => Ok(Some(partition_of(target, partitions))),
            StreamId::Run(run) if self.homes.contains_key(run) => Ok(self.homes.get(run).copied()),
            StreamId::Run(run) => match self.database.run(*run) {
                Ok(Some(row)) => Ok(Some(row.partition)),
                Ok(None) => Err(Refusal {
                    hint: Some("list runs with `modelrail runs`".into()),
                    ..refuse(
                        Kind::State,
                        refused::UNKNOWN_RUN,
                        &format!("expected a run {run}, but there is none"),
                    )
                }),
                Err(error) => Err(refuse(Kind::Busy, Code::StoreFailed.as_str(), &error.to_string())),
            },
        };
        match said {
            Said::Trigger(trigger) => Ok(Some(partition_of(&trigger.target, partitions))),
            Said::Observed { target, .. } => Ok(Some(partition_of(target, partitions))),
            Said::Report(report) => of_stream(&report.attempt.owner),
            Said::Request(request) => match &**request {
                Request::Define(_) => Ok(None),
                Request::Run { run, .. } => of_stream(&StreamId::Run(*run)),
                Request::Target { target, .. } => Ok(Some(partition_of(target, partitions))),
            },
        }
    }

    /// A worker gave a sign of life.
    pub fn heard(&mut self, attempt: &AttemptId, at: Timestamp) {
        for partition in &mut self.partitions {
            let _none = partition.step(Signal::Heard { attempt: attempt.clone(), at });
        }
    }

    /// Decides what waits and what is due, writes it with one sync, and releases what follows.
    pub fn pass(&mut self, now: Reading) -> Result<Passed, Error> {
        let ticks =
            (0..self.partitions.len() as u32).map(|partition| (partition, Signal::Tick(now))).collect();
        let mut passed = self.carry_out(ticks)?;
        let mut opened = std::mem::take(&mut self.opened);
        opened.orders.retain(|order| !passed.cancels.contains(&order.command.attempt));
        passed.orders.splice(0..0, opened.orders);
        Ok(passed)
    }

    /// To be called when there is nothing to decide: what was put off is done.
    pub fn settle(&mut self) -> Result<(), Error> {
        self.database.settle().map_err(|error| {
            self.is_poisoned = true;
            Error::Write(error)
        })
    }

    /// When the next pass is needed though nothing is said.
    pub fn wake_at(&self) -> Option<Timestamp> {
        self.partitions.iter().filter_map(Partition::wake_at).min()
    }

    /// Whether a pass would find inputs waiting, or release what opening found outstanding.
    pub fn is_waiting(&self) -> bool {
        !self.opened.orders.is_empty() || self.partitions.iter().any(Partition::is_waiting)
    }

    /// As [`Partition::plant`], in every partition.
    pub fn plant(&mut self, defect: Defect) {
        self.partitions.iter_mut().for_each(|partition| partition.plant(defect));
    }

    pub fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    pub fn suspended(&self) -> Option<&(&'static str, String)> {
        self.suspended.as_ref()
    }

    fn carry_out(&mut self, signals: Vec<(u32, Signal)>) -> Result<Passed, Error> {
        if self.is_poisoned {
            return Err(Error::Poisoned);
        }
        let mut pass = Gathered::default();
        for (partition, signal) in signals {
            let actions = self.partitions[partition as usize].step(signal);
            pass.take(partition, actions);
        }
        // The read-back: what is appended is read before it is written, and acted on only after.
        while let Some((partition, records)) = pass.next_append() {
            let machine = &mut self.partitions[partition as usize];
            for bytes in records {
                let offset = machine.head().next_offset;
                let actions = machine.step(Signal::RecordRead(Landed { offset, bytes }));
                pass.take(partition, actions);
            }
        }
        let touched: Vec<u32> = pass.commits.keys().copied().collect();
        let batch = self.batch(&mut pass)?;
        if !batch.is_empty() {
            fail::at(Point::K3);
        }
        self.write(&batch)?;
        if !batch.is_empty() {
            fail::at(Point::K5);
            fail::at_after(Point::T2, Point::T1);
        }
        for partition in touched {
            self.settled(partition);
        }
        for action in std::mem::take(&mut pass.suspensions) {
            self.suspended = match action {
                Action::Suspend { code, text } => Some((code, text)),
                _ => None,
            };
        }
        pass.passed.suspended.clone_from(&self.suspended);
        self.note_homes(&pass.passed.orders);
        Ok(pass.passed)
    }

    fn note_homes(&mut self, orders: &[WorkOrder]) {
        if self.homes.len() > HOMES_MAX {
            self.homes.clear();
        }
        for order in orders {
            if let StreamId::Run(run) = order.command.attempt.owner {
                self.homes.insert(run, partition_of(&order.command.target, self.partitions.len() as u32));
            }
        }
    }

    /// What the pass writes: all that was decided is read back, so the rows are of what is committed.
    fn batch(&mut self, pass: &mut Gathered) -> Result<Batch, Error> {
        for (partition, commit) in &mut pass.commits {
            self.partitions[*partition as usize].add_rows(commit).map_err(|source| {
                self.is_poisoned = true;
                Error::Stopped { partition: *partition, source }
            })?;
        }
        Ok(pass.batch())
    }

    fn write(&mut self, batch: &Batch) -> Result<(), Error> {
        if batch.is_empty() {
            return Ok(());
        }
        self.database.write_sync(batch).map_err(|error| {
            self.is_poisoned = true;
            Error::Write(error)
        })
    }

    /// The partition's records are durable, and its commands are about to be handed over; none survives a crash.
    fn settled(&mut self, partition: u32) {
        let machine = &mut self.partitions[partition as usize];
        let seq = machine.head().seq;
        let _none = machine.step(Signal::Committed { seq });
        let _none = machine.step(Signal::Dispatched { seq });
    }
}

fn refuse(kind: Kind, code: &str, text: &str) -> Refusal {
    Refusal { kind, code: code.to_owned(), text: text.to_owned(), hint: None }
}

/// Whether a refusal of an answer is of the engine itself, to be tried again.
pub fn is_busy(answer: &Answer) -> bool {
    matches!(answer, Answer::Refused(refusal) if refusal.kind == Kind::Busy)
}
