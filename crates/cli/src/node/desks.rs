//! The worker host of each stage: a thread that owns the desk, and a bounded pool of threads that carry out.
//!
//! ```text
//!  orders, outcomes, acknowledgements -> desk thread -> work -> pool of threads -> outcome
//!                                             `-> reports, signs of life -> home: the engine, or topics
//! ```

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use domain::name::{AttemptId, TargetId};
use domain::work::{Command, Outcome};
use domain::workflow::StageKind;
use engine::desk::{Action, Bounds, Desk, Heartbeat, Opened, Redelivery, Signal};
use engine::fail::{self, Point};
use engine::message::Addressee;
use engine::partition::WorkOrder;
use engine::port::clock::Clock as _;
use engine::port::journal::{self, Journal};
use engine::request::Report;
use stages::Workers;

use super::clock::SystemClock;
use super::engine_thread::Message;
use crate::config::Config;
use crate::telemetry;

/// How often a desk looks at the time.
const TICK: Duration = Duration::from_millis(200);
/// How many messages a desk takes at once, and writes to the journal together.
const MESSAGES_PER_STEP: usize = 1_024;

/// What carries out commands.
pub trait CarryOut: Send + Sync {
    /// `cancelled` is to be asked before each step outside; `progress` hears a few words at each.
    fn carry_out(&self, command: &Command, cancelled: &dyn Fn() -> bool, progress: &dyn Fn(&str)) -> Outcome;

    /// The engine has recorded the outcome.
    fn recorded(&self, _attempt: &AttemptId) {}
}

impl CarryOut for Workers {
    fn carry_out(&self, command: &Command, cancelled: &dyn Fn() -> bool, progress: &dyn Fn(&str)) -> Outcome {
        Self::carry_out(self, command, cancelled, progress)
    }
}

/// Where answers and signs of life go.
pub trait Home: Send + Sync {
    /// Gives it an answer. `desk` hears `Acknowledged` once the answer is where it cannot get lost.
    fn report(&self, target: &TargetId, report: Report, desk: &Sender<DeskMessage>);

    /// A sign of life that gets lost is followed by the next.
    fn heard(&self, beat: Heartbeat);
}

/// The engine of this process. One that has ended asks again after the next start.
impl Home for SyncSender<Message> {
    fn report(&self, _: &TargetId, report: Report, desk: &Sender<DeskMessage>) {
        drop(self.send(Message::Report { report: Box::new(report), desk: desk.clone() }));
    }

    fn heard(&self, beat: Heartbeat) {
        drop(self.try_send(Message::Heard { attempt: beat.attempt, at: beat.at }));
    }
}

/// Told once, from the desk's thread: it must not wait.
pub type Told = Box<dyn FnOnce() + Send>;

pub enum DeskMessage {
    Order(Box<WorkOrder>),
    /// From a topic: it may be forgotten there once the journal has it.
    Command {
        order: Box<WorkOrder>,
        journaled: Told,
    },
    /// From a topic too, and no more can be read of it than whom it is for.
    Unreadable {
        addressee: Addressee,
        bytes: Vec<u8>,
        why: String,
        journaled: Told,
    },
    Cancel(AttemptId),
    Finished {
        attempt: AttemptId,
        outcome: Box<Outcome>,
    },
    Acknowledged(AttemptId),
    /// Begins nothing more; what is given is dropped when nothing is under way.
    Drain(tokio::sync::mpsc::Sender<()>),
    Stop,
}

/// Where the engine hands its orders to. A desk takes what comes at once, and hands back what it cannot hold.
#[derive(Debug, Clone)]
pub struct Orders(BTreeMap<StageKind, Sender<DeskMessage>>);

impl Orders {
    /// To whoever takes the orders of all stages.
    pub fn to(taker: &Sender<DeskMessage>) -> Self {
        Self(StageKind::ALL.into_iter().map(|stage| (stage, taker.clone())).collect())
    }

    pub fn send(&self, order: WorkOrder) {
        let desk = &self.0[&order.command.stage()];
        // A desk that has ended gets its orders again at the next start.
        drop(desk.send(DeskMessage::Order(Box::new(order))));
    }

    pub fn cancel(&self, attempt: &AttemptId) {
        for desk in self.0.values() {
            drop(desk.send(DeskMessage::Cancel(attempt.clone())));
        }
    }
}

#[derive(Debug)]
pub struct Running {
    orders: Orders,
    rooms: BTreeMap<StageKind, Room>,
    threads: Vec<JoinHandle<()>>,
}

/// How many more commands a desk takes, as it was after its last step.
#[derive(Debug, Clone)]
pub struct Room {
    now: Arc<AtomicUsize>,
    /// When nothing waits and nothing is under way.
    pub max: usize,
}

impl Room {
    pub fn now(&self) -> usize {
        self.now.load(Ordering::Acquire)
    }

    fn is(&self, room: usize) {
        self.now.store(room, Ordering::Release);
    }
}

impl Running {
    /// Of one stage: what its desk is told by, and its room.
    pub fn desk(&self, stage: StageKind) -> Option<(Sender<DeskMessage>, Room)> {
        Some((self.orders.0.get(&stage)?.clone(), self.rooms.get(&stage)?.clone()))
    }

    pub fn orders(&self) -> Orders {
        self.orders.clone()
    }

    /// Whether no desk has ended by itself.
    pub fn is_running(&self) -> bool {
        !self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Begins nothing more, and waits for what is under way. Whether all of it ended in time.
    pub async fn drain(&self, within: Duration) -> bool {
        let (busy, mut idle) = tokio::sync::mpsc::channel(1);
        for desk in self.orders.0.values() {
            drop(desk.send(DeskMessage::Drain(busy.clone())));
        }
        drop(busy);
        // Nobody says anything: it ends when every desk has let go.
        tokio::time::timeout(within, idle.recv()).await.is_ok()
    }

    pub fn stop(self) {
        for desk in self.orders.0.values() {
            drop(desk.send(DeskMessage::Stop));
        }
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a desk's thread panicked");
            }
        }
    }
}

/// The desks of all stages, beside their engine.
pub fn start(
    config: &Config,
    workers: &Arc<dyn CarryOut>,
    journal: &Arc<dyn Journal>,
    engine: &SyncSender<Message>,
    clock: &Arc<SystemClock>,
) -> std::io::Result<Running> {
    let home: Arc<dyn Home> = Arc::new(engine.clone());
    let bounds = Bounds { redelivery: Redelivery::TheEngine, ..Bounds::default() };
    start_at(&home, &StageKind::ALL, bounds, config, workers, journal, clock)
}

/// The desks of some stages. Of `bounds`, the pool and the backlog are those of the configuration.
pub fn start_at(
    home: &Arc<dyn Home>,
    stages: &[StageKind],
    bounds: Bounds,
    config: &Config,
    workers: &Arc<dyn CarryOut>,
    journal: &Arc<dyn Journal>,
    clock: &Arc<SystemClock>,
) -> std::io::Result<Running> {
    let mut orders = BTreeMap::new();
    let mut rooms = BTreeMap::new();
    let mut threads = vec![];
    for stage in stages.iter().copied() {
        let pool = match stage {
            StageKind::Package => config.workers.package,
            StageKind::StageTest => config.workers.stage_test,
            StageKind::Gate => config.workers.gate,
            StageKind::Rollout => config.workers.rollout,
            StageKind::Monitor => config.workers.monitor,
        };
        let (sender, receiver) = channel();
        let bounds = Bounds { pool, backlog_max: config.limits.backlog_max, ..bounds };
        let (work, taken) = channel();
        let taken = Arc::new(Mutex::new(taken));
        for _ in 0..pool {
            let worker = Worker {
                work: Arc::clone(&taken),
                workers: Arc::clone(workers),
                desk: sender.clone(),
                home: Arc::clone(home),
                clock: Arc::clone(clock),
            };
            let name = format!("work-{}", stage.as_str());
            // Not waited for at the end: what is under way then is done again after the next start.
            std::thread::Builder::new().name(name).spawn(move || worker.work())?;
        }
        let opened = Desk::open(bounds, Arc::clone(journal), &[stage], clock.wall());
        let Opened { desk, actions, forgotten } = opened.map_err(std::io::Error::other)?;
        for attempt in forgotten {
            tracing::warn!(%attempt, "what the journal has of it cannot be read; the engine issues the next attempt");
        }
        let room = Room { now: Arc::default(), max: bounds.pool + bounds.backlog_max };
        room.is(desk.room());
        rooms.insert(stage, room.clone());
        let mut host = Host {
            desk,
            room,
            journaled: vec![],
            workers: Arc::clone(workers),
            own: sender.clone(),
            work,
            home: Arc::clone(home),
            clock: Arc::clone(clock),
            cancelled: BTreeMap::new(),
            draining: false,
            busy: None,
        };
        let name = format!("desk-{}", stage.as_str());
        threads.push(std::thread::Builder::new().name(name).spawn(move || {
            host.carry_out(actions);
            if let Err(error) = host.drive(&receiver) {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    stage = stage.as_str(),
                    "a desk stops"
                );
            }
        })?);
        orders.insert(stage, sender);
    }
    Ok(Running { orders: Orders(orders), rooms, threads })
}

/// Work that a desk has begun.
struct Work {
    order: WorkOrder,
    cancelled: Arc<AtomicBool>,
}

struct Host {
    desk: Desk,
    room: Room,
    /// Told after this step.
    journaled: Vec<Told>,
    workers: Arc<dyn CarryOut>,
    own: Sender<DeskMessage>,
    /// What the pool takes from; the desk bounds how much there is. Dropping it ends the pool.
    work: Sender<Work>,
    home: Arc<dyn Home>,
    clock: Arc<SystemClock>,
    /// What is under way, and whether it is still wanted.
    cancelled: BTreeMap<AttemptId, Arc<AtomicBool>>,
    draining: bool,
    /// Held while draining, for as long as something is under way.
    busy: Option<tokio::sync::mpsc::Sender<()>>,
}

impl Host {
    fn drive(&mut self, messages: &Receiver<DeskMessage>) -> Result<(), journal::Error> {
        let mut ticked = self.clock.monotonic_us();
        loop {
            let first = match messages.recv_timeout(TICK) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            };
            let mut signals = vec![];
            for message in first.into_iter().chain(messages.try_iter().take(MESSAGES_PER_STEP)) {
                if !self.take(message, &mut signals) {
                    // What is under way is done again after the next start, under the same attempt id.
                    self.cancelled.values().for_each(|cancelled| cancelled.store(true, Relaxed));
                    // What may be forgotten is.
                    return self.desk.step(Signal::Tick(self.clock.wall())).map(drop);
                }
            }
            let now = self.clock.monotonic_us();
            if now - ticked >= TICK.as_micros() as u64 {
                ticked = now;
                signals.push(Signal::Tick(self.clock.wall()));
            }
            let actions = self.desk.steps(signals)?;
            self.room.is(self.desk.room());
            self.journaled.drain(..).for_each(|told| told());
            self.carry_out(actions);
            if self.busy.is_some() && self.desk.is_idle() {
                self.busy = None;
            }
        }
    }

    /// False when the desk is to end.
    fn take(&mut self, message: DeskMessage, signals: &mut Vec<Signal>) -> bool {
        match message {
            // It stays outstanding or in its topic, and comes again after the next start, or to another.
            DeskMessage::Order(_) | DeskMessage::Command { .. } | DeskMessage::Unreadable { .. }
                if self.draining => {}
            DeskMessage::Order(order) => signals.push(Signal::Command(order)),
            DeskMessage::Command { order, journaled } => {
                signals.push(Signal::Command(order));
                self.journaled.push(journaled);
            }
            DeskMessage::Unreadable { addressee, bytes, why, journaled } => {
                signals.push(Signal::Unreadable { addressee, bytes, why });
                self.journaled.push(journaled);
            }
            DeskMessage::Cancel(attempt) => signals.push(Signal::Cancel(attempt)),
            DeskMessage::Finished { attempt, outcome } => {
                self.cancelled.remove(&attempt);
                signals.push(Signal::Finished { attempt, outcome: *outcome });
            }
            DeskMessage::Acknowledged(attempt) => {
                self.workers.recorded(&attempt);
                signals.push(Signal::Acknowledged(attempt));
            }
            DeskMessage::Drain(busy) => {
                signals.push(Signal::Drain);
                (self.draining, self.busy) = (true, Some(busy));
            }
            DeskMessage::Stop => return false,
        }
        true
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Begin(order) => {
                    let cancelled = Arc::new(AtomicBool::new(false));
                    self.cancelled.insert(order.command.attempt.clone(), Arc::clone(&cancelled));
                    // A pool that has ended does so because this process ends.
                    drop(self.work.send(Work { order: *order, cancelled }));
                }
                Action::Abandon(attempt) => {
                    if let Some(cancelled) = self.cancelled.remove(&attempt) {
                        cancelled.store(true, Relaxed);
                    }
                }
                Action::Send { target, report } => {
                    self.home.report(&target, report, &self.own);
                    fail::at(Point::E5);
                }
                Action::Heartbeat(beat) => self.home.heard(beat),
            }
        }
    }
}

/// One thread of a pool.
struct Worker {
    work: Arc<Mutex<Receiver<Work>>>,
    workers: Arc<dyn CarryOut>,
    desk: Sender<DeskMessage>,
    home: Arc<dyn Home>,
    clock: Arc<SystemClock>,
}

impl Worker {
    /// Until the desk has ended.
    fn work(&self) {
        loop {
            let taken = self.work.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(Work { order, cancelled }) = taken else { return };
            let outcome = self.carry_out(&order.command, &cancelled);
            let attempt = order.command.attempt;
            drop(self.desk.send(DeskMessage::Finished { attempt, outcome: Box::new(outcome) }));
        }
    }

    fn carry_out(&self, command: &Command, cancelled: &AtomicBool) -> Outcome {
        let span = telemetry::attempt_span(command);
        let _entered = span.enter();
        let heard = |words: &str| {
            fail::at(Point::E3);
            tracing::debug!(attempt = %command.attempt, words, "progress");
            let attempt = command.attempt.clone();
            self.home.heard(Heartbeat { attempt, at: self.clock.wall(), is_begun: true });
        };
        let work = || self.workers.carry_out(command, &|| cancelled.load(Relaxed), &heard);
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Outcome::CouldNotTell {
            code: "WORKER_PANICKED".into(),
            reason: words(&*panic).into(),
            retry_after: None,
        })
    }
}

/// What a panic said.
fn words(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
