//! What `docs/worker-protocol.md` asks of a worker, asked of real ones over a real broker. The test is the engine, and the
//! place where workers do what they are ordered: [`receiver`].
//!
//! A worker that is asked takes the commands of the stage `gate`. It posts each to `MODELRAIL_NOTIFY__WEBHOOK` with the
//! effect key as header `idempotency-key`, in hexadecimal, and then answers `notified`. `MODELRAIL_WORKER_COMMAND` names
//! another one to ask, by its command line.

mod engine;
mod example;
mod mutants;
mod receiver;
mod scaling;
mod subject;
mod workflow;

use std::time::{Duration, Instant};

use ::engine::desk::ORDER_UNREADABLE;
use ::engine::message;
use ::engine::partition::WorkOrder;
use ::engine::request::WorkerAnswer;
use domain::work::Outcome;

use self::engine::{Engine, Heard};
use self::receiver::Receiver;
use self::subject::{Around, BACKLOG, POOL, Subject, Worker};
use super::nodes::WANTED;

/// The folder, and the group's name for it, that all lives of the worker have.
const NAME: &str = "asked";

/// A worker that is asked, and all that is around it.
struct Asked {
    subject: Subject,
    folder: tempfile::TempDir,
    engine: Engine,
    receiver: Receiver,
}

impl Asked {
    fn of(subject: Subject) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { subject, folder, engine: Engine::over(WANTED), receiver: Receiver::start() }
    }

    fn start(&self) -> Worker {
        self.start_as(NAME)
    }

    fn start_as(&self, name: &str) -> Worker {
        let Self { subject, folder, engine, receiver } = self;
        let (folder, settings) = (folder.path(), &engine.settings);
        subject.start(name, &Around { folder, settings, partitions: WANTED.partitions, receiver })
    }

    fn orders<const N: usize>(&mut self) -> [WorkOrder; N] {
        std::array::from_fn(|_| self.engine.order())
    }

    /// As many as are carried out at a time, each under way and not to end before it is let go.
    fn held(&mut self, worker: &mut Worker) -> [WorkOrder; POOL] {
        let held = self.orders();
        for order in &held {
            self.receiver.hold(order.command.effect_key);
        }
        self.engine.send_in_line(&held);
        for order in &held {
            self.until_called(worker, order, 1);
        }
        held
    }

    fn let_go(&self, held: &[WorkOrder]) {
        for order in held {
            self.receiver.release(order.command.effect_key);
        }
    }

    fn calls(&self, order: &WorkOrder) -> usize {
        self.receiver.calls(order.command.effect_key)
    }

    fn until_called(&mut self, worker: &mut Worker, order: &WorkOrder, times: usize) {
        let began = Instant::now();
        while self.calls(order) < times {
            assert!(!worker.has_ended(), "the worker ended by itself: {}", worker.said());
            assert!(began.elapsed() < self.engine.patience, "an order is not carried out: {}", worker.said());
            self.engine.listen();
        }
    }

    fn until_done(&mut self, worker: &mut Worker, orders: &[WorkOrder]) {
        self.engine.until(worker, "the outcomes", |heard| orders.iter().all(|order| heard.is_done(order)));
    }

    /// Until each has been heard of so often.
    fn until_alive(&mut self, worker: &mut Worker, orders: &[WorkOrder], times: usize) {
        let is = |heard: &Heard| orders.iter().all(|order| heard.beats(order).count() >= times);
        self.engine.until(worker, "signs of life", is);
    }

    /// One after the other, each what a heading of `docs/worker-protocol.md` says.
    fn all_of_it(mut self) {
        let mut worker = self.start();
        self.answers_each_order(&mut worker);
        self.answers_copies_and_does_nothing_twice(&mut worker);
        self.goes_on_beside_slow_work_and_says_that_it_lives(&mut worker);
        self.gives_up_what_is_cancelled(&mut worker);
        self.says_what_it_cannot_read(&mut worker);
        self.takes_again_what_it_gave_up_when_it_was_full(&mut worker);
        let mut worker = self.goes_on_after_a_kill(worker);
        self.engine.until_committed(&mut worker);
        self.hands_back_and_ends_what_is_under_way(worker);
    }

    fn answers_each_order(&mut self, worker: &mut Worker) {
        let orders: [WorkOrder; 6] = self.orders();
        for order in &orders {
            self.engine.send(order);
        }
        self.until_done(worker, &orders);
        assert!(orders.iter().all(|order| self.calls(order) == 1));
    }

    fn answers_copies_and_does_nothing_twice(&mut self, worker: &mut Worker) {
        let [order, later] = self.orders();
        self.receiver.hold(order.command.effect_key);
        // While it waits, while it is under way, and when it is answered.
        self.engine.send_in_line([&order, &order]);
        self.until_called(worker, &order, 1);
        self.engine.send_in_line([&order, &later]);
        self.until_done(worker, std::slice::from_ref(&later));
        self.let_go(std::slice::from_ref(&order));
        self.until_done(worker, std::slice::from_ref(&order));
        let before = self.engine.heard.of(&order).count();
        self.engine.send_in_line([&order, &order]);
        self.engine.until(worker, "the answer to each copy", |heard| heard.of(&order).count() >= before + 2);
        let answers: Vec<&WorkerAnswer> = self.engine.heard.of(&order).collect();
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
        assert_eq!(self.calls(&order), 1);
    }

    fn goes_on_beside_slow_work_and_says_that_it_lives(&mut self, worker: &mut Worker) {
        let [slow] = self.orders();
        self.receiver.hold(slow.command.effect_key);
        self.engine.send_in_line([&slow]);
        self.until_called(worker, &slow, 1);
        let neighbours: [WorkOrder; 5] = self.orders();
        self.engine.send_in_line(&neighbours);
        self.until_done(worker, &neighbours);
        self.until_alive(worker, std::slice::from_ref(&slow), 2);
        let beats: Vec<_> = self.engine.heard.beats(&slow).collect();
        assert!(beats.iter().all(|beat| beat.is_begun), "{beats:?}");
        assert!(beats[0].at < beats[1].at, "{beats:?}");
        assert_eq!(self.engine.heard.of(&slow).count(), 0, "it is not answered before it ends");
        self.let_go(std::slice::from_ref(&slow));
        self.until_done(worker, std::slice::from_ref(&slow));
    }

    fn gives_up_what_is_cancelled(&mut self, worker: &mut Worker) {
        let held = self.held(worker);
        let [cancelled, waiting] = self.orders();
        self.engine.send_in_line([&cancelled, &waiting]);
        self.until_alive(worker, &[cancelled.clone(), waiting.clone()], 1);
        let waits = |heard: &Heard| heard.beats(&waiting).all(|beat| !beat.is_begun);
        assert!(waits(&self.engine.heard), "more is begun than the pool takes");
        self.engine.cancel(&held[0]);
        self.engine.cancel(&cancelled);
        // A whole round of signs of life without them.
        let no_more = [&held[0].command.attempt, &cancelled.command.attempt];
        let is = |heard: &Heard| {
            let since = heard.beats.iter().rev().take_while(|beat| !no_more.contains(&&beat.attempt));
            since.filter(|beat| beat.attempt == waiting.command.attempt).count() >= 2
        };
        self.engine.until(worker, "no more signs of life of what is cancelled", is);
        self.let_go(&held);
        // It was taken after what was cancelled.
        self.until_done(worker, &[held[1].clone(), waiting.clone()]);
        assert_eq!(self.calls(&cancelled), 0, "what was cancelled is not begun");
        assert!(!self.engine.heard.is_done(&cancelled));
    }

    fn says_what_it_cannot_read(&mut self, worker: &mut Worker) {
        let [newer, nobody, after] = self.orders();
        self.engine.send_as(&newer, of_a_newer_kind(&newer));
        self.engine.send_as(&nobody, b"\xff no message".to_vec());
        self.engine.send_in_line([&after]);
        self.until_done(worker, std::slice::from_ref(&after));
        self.engine.until(worker, "what cannot be read", |heard| heard.of(&newer).count() > 0);
        let answer = self.engine.heard.of(&newer).next().cloned();
        assert!(
            matches!(&answer, Some(WorkerAnswer::Done(Outcome::CouldNotTell { code, .. })) if **code == *ORDER_UNREADABLE),
            "{answer:?}"
        );
        self.engine.until_committed(worker);
    }

    /// A partition that is taken away while its reading is paused is read again when it comes back.
    fn takes_again_what_it_gave_up_when_it_was_full(&mut self, worker: &mut Worker) {
        let held = self.held(worker);
        let waiting: [WorkOrder; BACKLOG] = self.orders();
        self.engine.send_in_line(&waiting);
        self.until_alive(worker, &waiting, 1);
        // It has no room: whatever is answered now another answers.
        let mut other = self.start_as("other");
        let each = |asked: &mut Self| {
            let orders: [WorkOrder; WANTED.command_partitions as usize] = asked.orders();
            (0..).zip(&orders).for_each(|(partition, order)| asked.engine.send_at(partition, order));
            orders
        };
        let orders = each(self);
        let is = |heard: &Heard| orders.iter().any(|order| heard.is_done(order));
        self.engine.until(&mut other, "another takes a share", is);
        self.let_go(&held);
        other.ask_to_end();
        assert_eq!(other.wait(), Some(0));
        self.until_done(worker, &orders);
        let orders = each(self);
        self.until_done(worker, &orders);
    }

    fn goes_on_after_a_kill(&mut self, mut worker: Worker) -> Worker {
        // What it has taken, and had the time to say so to the brokers.
        let held = self.held(&mut worker);
        let waiting: [WorkOrder; 6] = self.orders();
        self.engine.send_in_line(&waiting);
        self.until_alive(&mut worker, &waiting, 2);
        worker.kill();
        self.let_go(&held);
        let mut worker = self.start();
        self.until_done(&mut worker, &held);
        self.until_done(&mut worker, &waiting);
        assert!(waiting.iter().all(|order| self.calls(order) == 1), "what was not begun is done once");
        // What it was just about to take.
        worker.kill();
        let more: [WorkOrder; 10] = self.orders();
        for order in &more {
            self.engine.send(order);
        }
        let mut worker = self.start();
        self.until_called(&mut worker, &more[0], 1);
        worker.kill();
        let mut worker = self.start();
        self.until_done(&mut worker, &more);
        worker
    }

    fn hands_back_and_ends_what_is_under_way(&mut self, mut worker: Worker) {
        let held = self.held(&mut worker);
        let waiting: [WorkOrder; 2] = self.orders();
        self.engine.send_in_line(&waiting);
        self.until_alive(&mut worker, &waiting, 1);
        worker.ask_to_end();
        let is = |heard: &Heard| waiting.iter().all(|order| heard.is_declined(order));
        self.engine.until(&mut worker, "what is not begun goes back", is);
        self.let_go(&held);
        let said = worker.said();
        assert_eq!(worker.wait(), Some(0), "{said}");
        assert!(held.iter().all(|order| self.calls(order) == 1));
        assert!(waiting.iter().all(|order| self.calls(order) == 0));
        let mut worker = self.start();
        let [after] = self.orders();
        let next = waiting.each_ref().map(Engine::next);
        self.engine.send_in_line(next.iter().chain([&after]));
        self.until_done(&mut worker, &held);
        self.until_done(&mut worker, &next);
        self.until_done(&mut worker, &[after]);
        assert!(held.iter().chain(&waiting).all(|order| self.calls(order) == 1));
    }
}

impl Engine {
    fn until_committed(&mut self, worker: &mut Worker) {
        let began = Instant::now();
        while !self.is_all_committed() {
            assert!(began.elapsed() < self.patience, "offsets do not move to the end: {}", worker.said());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// The order with another kind of work in it, which nobody knows yet: field 15 of `Order` instead of its field 3, `notify`.
fn of_a_newer_kind(order: &WorkOrder) -> Vec<u8> {
    let mut bytes = message::encode_order(order);
    let key = order.command.effect_key.0;
    let behind = bytes.windows(key.len()).position(|some| some == key).unwrap() + key.len();
    // The field behind the effect key is `order`; its length has two bytes.
    assert_eq!((bytes[behind], bytes[behind + 3]), (0x22, 0x1a));
    bytes[behind + 3] = 0x7a;
    assert!(message::decode_order(&bytes, &wire::definitions::parsers()).is_err());
    bytes
}

#[test]
fn our_worker_keeps_the_protocol() {
    Asked::of(Subject::ours()).all_of_it();
}

#[test]
fn the_worker_in_python_keeps_the_protocol() {
    let generated = tempfile::tempdir().unwrap();
    if let Some(subject) = Subject::in_python(generated.path()) {
        Asked::of(subject).all_of_it();
    }
}

#[test]
fn the_worker_that_the_environment_names_keeps_the_protocol() {
    match Subject::other() {
        Some(subject) => Asked::of(subject).all_of_it(),
        None => println!("not run: no MODELRAIL_WORKER_COMMAND names a worker"),
    }
}
