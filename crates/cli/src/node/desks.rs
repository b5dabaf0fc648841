//! The worker host of each stage: a thread that owns the desk, and a bounded pool of threads that carry out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use domain::name::AttemptId;
use domain::work::Outcome;
use domain::workflow::StageKind;
use engine::desk::{Action, Bounds, Desk, Signal};
use engine::fail::{self, Point};
use engine::partition::WorkOrder;
use engine::port::clock::Clock as _;
use engine::port::journal::{self, Journal};
use stages::Workers;

use super::clock::SystemClock;
use super::engine_thread::Message;
use crate::config::Config;
use crate::telemetry;

/// How often a desk looks at the time.
const TICK: Duration = Duration::from_millis(200);

pub enum DeskMessage {
    Order(Box<WorkOrder>),
    Cancel(AttemptId),
    Finished { attempt: AttemptId, outcome: Box<Outcome> },
    Acknowledged(AttemptId),
    Stop,
}

/// Where the engine hands its orders to. A desk takes what comes at once, and hands back what it cannot hold.
#[derive(Debug, Clone)]
pub struct Orders(BTreeMap<StageKind, Sender<DeskMessage>>);

impl Orders {
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
    threads: Vec<JoinHandle<()>>,
}

impl Running {
    pub fn orders(&self) -> Orders {
        self.orders.clone()
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

pub fn start(
    config: &Config,
    workers: Arc<Workers>,
    journal: Arc<dyn Journal>,
    engine: SyncSender<Message>,
    clock: &Arc<SystemClock>,
) -> std::io::Result<Running> {
    let mut orders = BTreeMap::new();
    let mut threads = vec![];
    for stage in StageKind::ALL {
        let pool = match stage {
            StageKind::Package => config.workers.package,
            StageKind::StageTest => config.workers.stage_test,
            StageKind::Gate => config.workers.gate,
            StageKind::Rollout => config.workers.rollout,
            StageKind::Monitor => config.workers.monitor,
        };
        let (sender, receiver) = channel();
        let bounds = Bounds { pool, backlog_max: config.limits.backlog_max, ..Bounds::default() };
        let mut host = Host {
            desk: Desk::new(bounds, Arc::clone(&journal), clock.wall()),
            workers: Arc::clone(&workers),
            own: sender.clone(),
            engine: engine.clone(),
            clock: Arc::clone(clock),
            cancelled: BTreeMap::new(),
        };
        let name = format!("desk-{}", stage.as_str());
        threads.push(std::thread::Builder::new().name(name).spawn(move || {
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
    Ok(Running { orders: Orders(orders), threads })
}

struct Host {
    desk: Desk,
    workers: Arc<Workers>,
    own: Sender<DeskMessage>,
    engine: SyncSender<Message>,
    clock: Arc<SystemClock>,
    /// What is under way, and whether it is still wanted.
    cancelled: BTreeMap<AttemptId, Arc<AtomicBool>>,
}

impl Host {
    fn drive(&mut self, messages: &Receiver<DeskMessage>) -> Result<(), journal::Error> {
        let mut ticked = self.clock.monotonic_us();
        loop {
            let signal = match messages.recv_timeout(TICK) {
                Ok(DeskMessage::Order(order)) => Some(Signal::Command(order)),
                Ok(DeskMessage::Cancel(attempt)) => Some(Signal::Cancel(attempt)),
                Ok(DeskMessage::Finished { attempt, outcome }) => {
                    self.cancelled.remove(&attempt);
                    Some(Signal::Finished { attempt, outcome: *outcome })
                }
                Ok(DeskMessage::Acknowledged(attempt)) => Some(Signal::Acknowledged(attempt)),
                Ok(DeskMessage::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    // What is under way is done again after the next start, under the same attempt id.
                    self.cancelled.values().for_each(|cancelled| cancelled.store(true, Relaxed));
                    return Ok(());
                }
                Err(RecvTimeoutError::Timeout) => None,
            };
            if let Some(signal) = signal {
                let actions = self.desk.step(signal)?;
                self.carry_out(actions);
            }
            let now = self.clock.monotonic_us();
            if now - ticked >= TICK.as_micros() as u64 {
                ticked = now;
                let actions = self.desk.step(Signal::Tick(self.clock.wall()))?;
                self.carry_out(actions);
            }
        }
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Begin(order) => self.begin(*order),
                Action::Abandon(attempt) => {
                    if let Some(cancelled) = self.cancelled.remove(&attempt) {
                        cancelled.store(true, Relaxed);
                    }
                }
                // An engine that has ended asks again after the next start.
                Action::Send(report) => {
                    drop(
                        self.engine
                            .send(Message::Report { report: Box::new(report), desk: self.own.clone() }),
                    );
                    fail::at(Point::E5);
                }
                Action::Heartbeat(beat) => {
                    drop(self.engine.try_send(Message::Heard { attempt: beat.attempt, at: beat.at }));
                }
            }
        }
    }

    /// The desk bounds how many of these there are.
    fn begin(&mut self, order: WorkOrder) {
        let cancelled = Arc::new(AtomicBool::new(false));
        self.cancelled.insert(order.command.attempt.clone(), Arc::clone(&cancelled));
        let (workers, own, engine) = (Arc::clone(&self.workers), self.own.clone(), self.engine.clone());
        let clock = Arc::clone(&self.clock);
        let attempt = order.command.attempt.clone();
        let spawned = std::thread::Builder::new().name("worker".into()).spawn(move || {
            let command = &order.command;
            let span = telemetry::attempt_span(command);
            let _entered = span.enter();
            let heard = |words: &str| {
                fail::at(Point::E3);
                tracing::debug!(attempt = %command.attempt, words, "progress");
                // A lost sign of life is followed by the next.
                drop(engine.try_send(Message::Heard { attempt: command.attempt.clone(), at: clock.wall() }));
            };
            let outcome = workers.carry_out(command, &|| cancelled.load(Relaxed), &heard);
            drop(own.send(DeskMessage::Finished {
                attempt: command.attempt.clone(),
                outcome: Box::new(outcome),
            }));
        });
        if let Err(error) = spawned {
            let outcome = Outcome::CouldNotTell {
                code: "NO_THREAD".into(),
                reason: error.to_string().into(),
                retry_after: None,
            };
            drop(self.own.send(DeskMessage::Finished { attempt, outcome: Box::new(outcome) }));
        }
    }
}
