//! The thread that owns the engine: takes what is said, passes, and hands on what is released.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use api::{NotSubmitted, Origin, Submitted};
use async_trait::async_trait;
use domain::definition::Define;
use domain::name::{AttemptId, TargetId};
use domain::time::Timestamp;
use engine::code::{Code, Stopped};
use engine::embedded::{Engine, Passed, Ticket, is_busy};
use engine::fail::{self, Point};
use engine::partition::Answer;
use engine::port::clock::{self, Clock as _};
use engine::request::{Observation, Report, Request, Said};
use gateway::Gateway;
use tokio::sync::{oneshot, watch};
use wire::record::Lane;

use super::StartError;
use super::clock::SystemClock;
use super::counts::Counts;
use super::desks::{DeskMessage, Orders};
use super::disk::{DISK_FULL, Disk, is_full};

/// How many messages one pass takes.
const MESSAGES_PER_PASS: usize = 1_024;
/// The longest sleep, so that a stop is noticed.
const SLEEP_MAX: Duration = Duration::from_millis(500);
/// How long to wait for messages between looks at the disk while decisions are suspended.
const SUSPENDED_SLEEP: Duration = Duration::from_millis(100);

pub enum Message {
    Say { said: Said, origin: Origin, answer: oneshot::Sender<Answer> },
    Report { report: Box<Report>, desk: Sender<DeskMessage> },
    Heard { attempt: AttemptId, at: Timestamp },
    Observed { target: TargetId, what: Observation },
    Stop,
}

/// `messages_max` wait for the engine; beyond it callers are told to come back.
pub fn channel(messages_max: usize) -> (SyncSender<Message>, Receiver<Message>) {
    sync_channel(messages_max)
}

/// Who waits for the answer to an input.
enum Waiter {
    Caller(oneshot::Sender<Answer>),
    Desk(Sender<DeskMessage>, AttemptId),
    /// One of the partitions of a definition.
    Definition(u64),
    Nobody,
}

/// A definition goes to every partition, and is answered when all have answered.
struct Everywhere {
    left: usize,
    answer: oneshot::Sender<Answer>,
}

#[derive(Debug)]
pub struct Running {
    sender: SyncSender<Message>,
    thread: Option<JoinHandle<()>>,
    changes: watch::Receiver<u64>,
    stopped: Arc<Mutex<Option<Stopped>>>,
    goes_on: Arc<AtomicBool>,
    counts: Arc<Counts>,
    disk: Arc<Disk>,
    closing: Arc<AtomicBool>,
}

pub fn start(
    engine: Engine,
    sender: SyncSender<Message>,
    receiver: Receiver<Message>,
    orders: Orders,
    clock: Arc<SystemClock>,
    disk: Arc<Disk>,
) -> std::io::Result<Running> {
    let (changed, changes) = watch::channel(0);
    let stopped = Arc::new(Mutex::new(None));
    let running = Arc::new(AtomicBool::new(true));
    let counts = Arc::new(Counts::default());
    let mut driver = Driver {
        engine,
        orders,
        clock,
        waiting: BTreeMap::new(),
        everywhere: BTreeMap::new(),
        definitions: 0,
        changed,
        stopped: Arc::clone(&stopped),
        counts: Arc::clone(&counts),
        disk: Arc::clone(&disk),
    };
    let is_running = Arc::clone(&running);
    let thread = std::thread::Builder::new().name("engine".into()).spawn(move || {
        driver.drive(&receiver);
        is_running.store(false, Relaxed);
    })?;
    let closing = Arc::default();
    Ok(Running { sender, thread: Some(thread), changes, stopped, goes_on: running, counts, disk, closing })
}

struct Driver {
    engine: Engine,
    orders: Orders,
    clock: Arc<SystemClock>,
    waiting: BTreeMap<Ticket, Waiter>,
    everywhere: BTreeMap<u64, Everywhere>,
    definitions: u64,
    changed: watch::Sender<u64>,
    stopped: Arc<Mutex<Option<Stopped>>>,
    counts: Arc<Counts>,
    disk: Arc<Disk>,
}

impl Driver {
    fn drive(&mut self, messages: &Receiver<Message>) {
        loop {
            let mut stops = match messages.recv_timeout(self.sleep()) {
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => true,
            };
            for message in messages.try_iter().take(MESSAGES_PER_PASS) {
                stops |= self.take(message);
            }
            if self.disk.is_low() {
                // What waits is decided when there is room.
                if stops {
                    return;
                }
                continue;
            }
            if self.engine.is_waiting() {
                fail::at(Point::K2);
            }
            let began = self.clock.monotonic_us();
            let passed = self.engine.pass(clock::read(&*self.clock)).and_then(|passed| {
                if passed.records == 0 {
                    self.engine.settle()?;
                }
                Ok(passed)
            });
            match passed {
                Ok(passed) => {
                    self.counts.passes.fetch_add(1, Relaxed);
                    self.counts.pass_us.fetch_add(self.clock.monotonic_us() - began, Relaxed);
                    let records = passed.records;
                    if records > 0 {
                        fail::at(Point::K7);
                    }
                    self.counts.note_withheld(self.engine.partitions());
                    self.release(passed);
                    if records > 0 {
                        fail::at(Point::K8);
                    }
                }
                Err(error) => {
                    // Whether the write landed is known after a restart, which is the normal start.
                    tracing::error!(error = &error as &dyn std::error::Error, "the engine stops");
                    if is_full(&error) {
                        self.disk.fail();
                    }
                    self.stop(Stopped::new(Code::WriteFailed, error.to_string()));
                    return;
                }
            }
            if stops {
                return;
            }
        }
    }

    fn sleep(&self) -> Duration {
        if self.disk.is_low() {
            return SUSPENDED_SLEEP;
        }
        if self.engine.is_waiting() {
            return Duration::ZERO;
        }
        let until = self.engine.wake_at().map(|at| at - self.clock.wall());
        until.map_or(SLEEP_MAX, |span| Duration::from_millis(span.0).min(SLEEP_MAX))
    }

    /// True when the thread is to end.
    fn take(&mut self, message: Message) -> bool {
        fail::at(Point::K1);
        self.counts.inputs.fetch_add(1, Relaxed);
        match message {
            Message::Stop => return true,
            Message::Heard { attempt, at } => self.engine.heard(&attempt, at),
            Message::Observed { target, what } => {
                let said = Said::Observed { target, what };
                self.offer(Lane::Outcomes, said, None, Waiter::Nobody);
            }
            Message::Report { report, desk } => {
                let attempt = report.attempt.clone();
                let waiter = Waiter::Desk(desk, attempt);
                self.offer(Lane::Outcomes, Said::Report(report), None, waiter);
            }
            Message::Say { said, origin, answer } => {
                let lane = if matches!(said, Said::Trigger(_)) { Lane::Triggers } else { Lane::Requests };
                self.offer(lane, said, Some(origin), Waiter::Caller(answer));
            }
        }
        false
    }

    fn offer(&mut self, lane: Lane, said: Said, origin: Option<Origin>, waiter: Waiter) {
        let (input_id, traceparent) =
            origin.map_or((None, None), |origin| (Some(origin.input_id), origin.traceparent));
        match self.engine.partition_for(&said) {
            Ok(Some(partition)) => self.offer_one(partition, lane, said, input_id, traceparent, waiter),
            Ok(None) => self.offer_everywhere(lane, &said, input_id.as_deref(), waiter),
            Err(refusal) => answer(waiter, Answer::Refused(refusal)),
        }
    }

    fn offer_one(
        &mut self,
        partition: u32,
        lane: Lane,
        said: Said,
        input_id: Option<String>,
        traceparent: Option<String>,
        waiter: Waiter,
    ) {
        match self.engine.offer(partition, lane, said, input_id, traceparent) {
            Ok(ticket) => {
                self.waiting.insert(ticket, waiter);
            }
            Err(refusal) => {
                self.counts.refused.fetch_add(1, Relaxed);
                self.reply(waiter, Answer::Refused(refusal));
            }
        }
    }

    fn offer_everywhere(&mut self, lane: Lane, said: &Said, input_id: Option<&str>, waiter: Waiter) {
        let Waiter::Caller(answer) = waiter else { return };
        self.definitions += 1;
        let (number, partitions) = (self.definitions, self.engine.partitions().len());
        self.everywhere.insert(number, Everywhere { left: partitions, answer });
        for partition in 0..partitions as u32 {
            let id = input_id.map(str::to_owned);
            self.offer_one(partition, lane, said.clone(), id, None, Waiter::Definition(number));
        }
    }

    fn release(&mut self, passed: Passed) {
        self.counts.records.fetch_add(passed.records as u64, Relaxed);
        for alarm in &passed.alarms {
            tracing::error!(code = alarm.code, stream = %alarm.stream, text = alarm.text, "look at this");
        }
        for (partition, stopped) in passed.stopped {
            tracing::error!(partition, code = %stopped.code, text = stopped.text, hint = stopped.code.hint(), "a partition stopped");
            self.stop(stopped);
        }
        for order in passed.orders {
            self.orders.send(order);
        }
        for attempt in passed.cancels {
            self.orders.cancel(&attempt);
        }
        if passed.records > 0 {
            self.changed.send_modify(|count| *count += 1);
        }
        for (partition, reply) in passed.replies {
            let ticket = Ticket { partition, lane: reply.lane, offset: reply.offset };
            if let Some(waiter) = self.waiting.remove(&ticket) {
                if reply.lane == Lane::Requests && matches!(waiter, Waiter::Caller(_)) {
                    fail::at(Point::A1);
                }
                self.reply(waiter, reply.answer);
            }
        }
    }

    fn reply(&mut self, waiter: Waiter, given: Answer) {
        let Waiter::Definition(number) = waiter else {
            answer(waiter, given);
            return;
        };
        let Some(everywhere) = self.everywhere.get_mut(&number) else { return };
        everywhere.left -= 1;
        let refused = matches!(given, Answer::Refused(_) | Answer::Recorded { refused: Some(_), .. });
        if (refused || everywhere.left == 0)
            && let Some(everywhere) = self.everywhere.remove(&number)
        {
            answer(Waiter::Caller(everywhere.answer), given);
        }
    }

    fn stop(&self, stopped: Stopped) {
        let mut place = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        place.get_or_insert(stopped);
    }
}

fn answer(waiter: Waiter, given: Answer) {
    match waiter {
        // A caller that waits no longer asks again under the same id.
        Waiter::Caller(sender) => drop(sender.send(given)),
        Waiter::Desk(desk, attempt) => {
            // A full lane takes the outcome later: the desk sends it again.
            if !is_busy(&given) {
                drop(desk.send(DeskMessage::Acknowledged(attempt)));
            }
        }
        Waiter::Definition(_) | Waiter::Nobody => {}
    }
}

impl Running {
    pub fn sender(&self) -> SyncSender<Message> {
        self.sender.clone()
    }

    pub fn is_running(&self) -> bool {
        self.goes_on.load(Relaxed)
    }

    /// Takes no new requests; what workers say is taken on.
    pub fn close(&self) {
        self.closing.store(true, Relaxed);
    }

    /// What the API sees of the engine.
    pub fn handle(&self, gateway: Gateway) -> Handle {
        Handle {
            sender: self.sender.clone(),
            changes: self.changes.clone(),
            stopped: Arc::clone(&self.stopped),
            goes_on: Arc::clone(&self.goes_on),
            counts: Arc::clone(&self.counts),
            disk: Arc::clone(&self.disk),
            closing: Arc::clone(&self.closing),
            gateway,
        }
    }

    /// Records a definition in every partition; in front of what is said after this call.
    pub fn define(
        &self,
        define: Define,
    ) -> Result<impl Future<Output = Result<(), StartError>> + Send + 'static, StartError> {
        let ended = || StartError::Roles("the engine has ended".to_owned());
        let (answer, answered) = oneshot::channel();
        let origin = Origin { input_id: uuid::Uuid::new_v4().to_string(), traceparent: None };
        let said = Said::Request(Box::new(Request::Define(define)));
        self.sender.send(Message::Say { said, origin, answer }).map_err(|_| ended())?;
        Ok(async move {
            match answered.await {
                Ok(Answer::Refused(refusal) | Answer::Recorded { refused: Some(refusal), .. }) => {
                    Err(StartError::Roles(refusal.to_string()))
                }
                Ok(Answer::Recorded { .. } | Answer::Repeat { .. }) => Ok(()),
                Err(_) => Err(ended()),
            }
        })
    }

    pub fn stop(mut self) {
        // When it has ended already there is nobody to tell.
        let _told = self.sender.send(Message::Stop);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the engine's thread panicked");
        }
    }
}

/// Never waits: a caller is told at once that there is no room.
fn send(sender: &SyncSender<Message>, message: Message) -> Result<(), NotSubmitted> {
    sender.try_send(message).map_err(|error| match error {
        TrySendError::Full(_) => NotSubmitted::Busy,
        TrySendError::Disconnected(_) => NotSubmitted::Closing,
    })
}

/// The engine as the API sees it.
#[derive(Debug)]
pub struct Handle {
    sender: SyncSender<Message>,
    changes: watch::Receiver<u64>,
    stopped: Arc<Mutex<Option<Stopped>>>,
    goes_on: Arc<AtomicBool>,
    counts: Arc<Counts>,
    disk: Arc<Disk>,
    closing: Arc<AtomicBool>,
    gateway: Gateway,
}

#[async_trait]
impl api::Engine for Handle {
    async fn submit(&self, said: Said, origin: Origin, wait: Duration) -> Result<Submitted, NotSubmitted> {
        self.ready()?;
        let (answer, answered) = oneshot::channel();
        send(&self.sender, Message::Say { said, origin, answer })?;
        match tokio::time::timeout(wait, answered).await {
            Ok(Ok(answer)) => Ok(Submitted::Decided(answer)),
            Ok(Err(_)) => Err(NotSubmitted::Closing),
            Err(_) => Ok(Submitted::Pending),
        }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }

    fn ready(&self) -> Result<(), NotSubmitted> {
        if self.closing.load(Relaxed) {
            return Err(NotSubmitted::Closing);
        }
        if let Some(suspended) = self.disk.suspended() {
            return Err(suspended);
        }
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match stopped {
            Some(stopped) => Err(NotSubmitted::Stopped(stopped)),
            None if !self.goes_on.load(Relaxed) => {
                Err(NotSubmitted::Stopped(Stopped::new(Code::WriteFailed, "the engine has ended")))
            }
            None => Ok(()),
        }
    }

    fn metrics(&self) -> String {
        let mut text = self.counts.render();
        let (free, suspended) = (self.disk.free_bytes(), u8::from(self.disk.is_low()));
        write!(text, "# TYPE modelrail_disk_free_bytes gauge\nmodelrail_disk_free_bytes {free}\n# TYPE modelrail_suspended gauge\nmodelrail_suspended{{code=\"{DISK_FULL}\"}} {suspended}\n")
            .expect("writing to a string");
        text.push_str(&self.gateway.render_openmetrics("modelrail_"));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_beyond_the_bound_are_refused_at_once() {
        let (sender, receiver) = channel(2);
        let sent = (0..4).map(|_| send(&sender, Message::Stop).is_ok());
        assert_eq!(sent.collect::<Vec<_>>(), [true, true, false, false]);
        assert_eq!(send(&sender, Message::Stop), Err(NotSubmitted::Busy));
        drop(receiver);
        assert_eq!(send(&sender, Message::Stop), Err(NotSubmitted::Closing));
    }
}
