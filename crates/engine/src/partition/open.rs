//! Starting from the view: its head, the definitions, and what is outstanding.
//!
//! Recovery is the normal start: there is no other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use domain::name::StreamId;
use domain::time::Millis;
use domain::transition;
use wire::record::Body;

use super::claims::{Claims, Counts};
use super::config::{Config, Redispatch};
use super::decide::Decide;
use super::effects::Settled;
use super::intake::Intake;
use super::signal::Action;
use super::streams::Streams;
use super::timers::Timers;
use super::{Partition, Role, RowsPutOff, stopped, stopped_by};
use crate::chain;
use crate::code::{Code, Stopped};
use crate::fold;
use crate::port::store::{self, Store};

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The view is of another log: it can be deleted and is built again.
    #[error("expected the view of partition {partition} of this log, but found another's")]
    Foreign { partition: u32 },
    #[error("failed to read the view of partition {partition}")]
    Store {
        partition: u32,
        #[source]
        source: store::Error,
    },
    #[error("failed to fold the definitions of partition {partition}")]
    Definitions {
        partition: u32,
        #[source]
        source: Stopped,
    },
}

impl Partition {
    /// Opens at the head of the view. The log is read from [`store::Head::next_offset`] on.
    pub fn open(config: Config, store: Arc<dyn Store>) -> Result<Self, OpenError> {
        Self::open_deciding(config, store, transition::transact)
    }

    pub(super) fn open_deciding(
        config: Config,
        store: Arc<dyn Store>,
        decide: Decide,
    ) -> Result<Self, OpenError> {
        let partition = config.partition;
        let stored = store.head(partition).map_err(|source| OpenError::Store { partition, source })?;
        let head = stored.unwrap_or_else(|| chain::before_first(config.identity()));
        if head.log_id != config.log_id || head.partitions != config.partitions {
            return Err(OpenError::Foreign { partition });
        }
        let streams = Streams::open(&config, Arc::clone(&store), head.seq)
            .map_err(|error| OpenError::Definitions { partition, source: stopped(error) })?;
        let mut opened = Self {
            role: Role::Reading,
            claims: Claims::default(),
            counts: Counts::default(),
            lanes: Default::default(),
            pending: VecDeque::new(),
            streams,
            intake: Intake::default(),
            taken: head.positions,
            timers: Timers::default(),
            spent: BTreeMap::new(),
            attempts: BTreeMap::new(),
            outstanding: BTreeSet::new(),
            withheld: BTreeMap::new(),
            owning_since: None,
            dispatched: head.dispatched,
            recent: BTreeMap::new(),
            trusted: None,
            monotonic: Millis(0),
            hindrances: BTreeSet::new(),
            decide,
            defect: None,
            actions: vec![],
            head,
            rows_put_off: RowsPutOff::Never,
            tells_of_others: false,
            config,
            store,
        };
        opened.intake.rewind(opened.head.positions);
        let failed = |source| OpenError::Definitions { partition, source };
        opened.recall().map_err(failed)?;
        opened.watch_format();
        Ok(opened)
    }

    /// The end of the log, as the driver knows it. A view that is ahead of its log is refused.
    pub fn check_end(&self, end: u64) -> Result<(), Stopped> {
        if self.head.next_offset > end {
            let text =
                format!("the view was read to offset {}, the log ends at {end}", self.head.next_offset);
            return Err(Stopped::new(Code::ForeignStore, text));
        }
        Ok(())
    }

    /// Takes from the view what is under way, and what comes next: not what waits.
    pub(super) fn recall(&mut self) -> Result<(), Stopped> {
        self.timers.clear();
        self.outstanding.clear();
        self.withheld.clear();
        let open = self.store.open(self.config.partition).map_err(stopped_by)?;
        let runs = open.runs.iter().map(|row| (StreamId::Run(row.run), row.outstanding, &row.withheld));
        let targets = open
            .targets
            .iter()
            .map(|row| (StreamId::Target(row.target.clone()), row.outstanding, &row.withheld));
        for (stream, outstanding, withheld) in runs.chain(targets) {
            self.note_withheld(stream.clone(), withheld);
            if outstanding > 0 {
                self.outstanding.insert(stream);
            }
        }
        self.read_timers()
    }

    /// Has the lanes read, and sends out again what is outstanding: the claim is accepted, so nobody else does. What was
    /// sent before the log `has_moved` stands where no worker looks any more.
    pub(super) fn begin_owning(&mut self, has_moved: bool) -> Result<(), Stopped> {
        self.role = Role::Owning;
        self.owning_since = None;
        self.taken = self.head.positions;
        self.intake.rewind(self.head.positions);
        self.dispatched = self.head.dispatched;
        self.actions.push(Action::ReadLanes(self.head.positions));
        let mut orders = vec![];
        for stream in self.outstanding.clone() {
            let commands = self.streams.commands(&stream).map_err(stopped)?;
            let sent = match self.config.redispatch {
                Redispatch::All => vec![],
                Redispatch::AboveDispatched if has_moved => vec![],
                Redispatch::AboveDispatched => {
                    self.streams.commands_at(&stream, self.head.dispatched).map_err(stopped)?
                }
            };
            for command in commands {
                self.attempts.insert(command.attempt.clone(), None);
                if !sent.iter().any(|sent| sent.attempt == command.attempt) {
                    orders.push(self.order(command));
                }
            }
        }
        self.actions.push(Action::Dispatch { seq: self.head.seq, orders, cancels: vec![] });
        self.raise_format()
    }
}

impl Partition {
    /// Raises the log's format, when this process is told to.
    fn raise_format(&mut self) -> Result<(), Stopped> {
        let format = self.config.format.wanted.min(self.config.format.known);
        if format > self.head.format {
            let bytes = self.append(Body::FormatRaised { format }, Settled::default())?;
            self.actions.push(Action::Append(vec![bytes]));
        }
        Ok(())
    }
}

impl Streams {
    /// The stream's outstanding commands.
    fn commands(
        &mut self,
        stream: &StreamId,
    ) -> Result<Vec<domain::work::Command>, super::streams::Unavailable> {
        Ok(match stream {
            StreamId::Definitions => vec![],
            StreamId::Run(run) => fold::commands(self.run(*run)?.folded.effects()).cloned().collect(),
            StreamId::Target(target) => {
                fold::commands(self.target(target)?.folded.effects()).cloned().collect()
            }
        })
    }

    fn commands_at(
        &mut self,
        stream: &StreamId,
        upto: u64,
    ) -> Result<Vec<domain::work::Command>, super::streams::Unavailable> {
        Ok(match stream {
            StreamId::Definitions => vec![],
            StreamId::Run(run) => fold::commands(self.run_at(*run, upto)?.effects()).cloned().collect(),
            StreamId::Target(target) => {
                fold::commands(self.target_at(target, upto)?.effects()).cloned().collect()
            }
        })
    }
}
