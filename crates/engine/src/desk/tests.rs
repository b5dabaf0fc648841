use super::*;
use crate::port::memory;
use crate::token::Token;
use domain::name::{Digest, Environment, ModelName, StreamId, TargetId};
use domain::work::{Command, Order, Outcome, Prepare};

const START: Timestamp = Timestamp(1_000_000);

fn order(number: u32) -> WorkOrder {
    let target = TargetId {
        model: ModelName::parse("flights").unwrap(),
        environment: Environment::parse("production").unwrap(),
    };
    let attempt = AttemptId { owner: StreamId::Target(target.clone()), number };
    let command = Command {
        attempt,
        target,
        effect_key: Digest::of(b"effect"),
        order: Order::Prepare(Prepare { releases: vec![] }),
        issued_at: START,
        lease: Millis::seconds(30),
        traceparent: None,
    };
    WorkOrder { command, token: Token([7; 32]), epoch: 2 }
}

fn attempt(number: u32) -> AttemptId {
    order(number).command.attempt
}

fn outcome() -> Outcome {
    Outcome::CouldNotTell { code: "X".into(), reason: "for a reason".into(), retry_after: None }
}

fn small(journal: &Arc<memory::Journal>) -> Desk {
    let bounds = Bounds { pool: 1, backlog_max: 1, ..Bounds::default() };
    Desk::new(bounds, Arc::clone(journal) as Arc<dyn Journal>, START)
}

fn command(desk: &mut Desk, number: u32) -> Vec<Action> {
    desk.step(Signal::Command(Box::new(order(number)))).unwrap()
}

fn finish(desk: &mut Desk, number: u32) -> Vec<Action> {
    desk.step(Signal::Finished { attempt: attempt(number), outcome: outcome() }).unwrap()
}

fn report(number: u32, answer: WorkerAnswer) -> Action {
    Action::Send(Report { attempt: attempt(number), token: Token([7; 32]), answer })
}

fn begin(number: u32) -> Action {
    Action::Begin(Box::new(order(number)))
}

#[test]
fn a_command_is_journaled_begun_answered_and_closed() {
    let journal = Arc::new(memory::Journal::default());
    let mut desk = small(&journal);
    assert_eq!(command(&mut desk, 1), [begin(1)]);
    assert_eq!(journal.get(&attempt(1)).unwrap().unwrap().state, State::Begun);
    assert_eq!(finish(&mut desk, 1), [report(1, WorkerAnswer::Done(outcome()))]);
    assert!(matches!(journal.get(&attempt(1)).unwrap().unwrap().state, State::Answered(_)));
    desk.step(Signal::Acknowledged(attempt(1))).unwrap();
    assert!(matches!(journal.get(&attempt(1)).unwrap().unwrap().state, State::Closed(_)));
    assert_eq!(journal.open().unwrap(), []);
}

#[test]
fn a_copy_of_a_known_attempt_is_answered_and_never_done_again() {
    let journal = Arc::new(memory::Journal::default());
    let mut desk = small(&journal);
    command(&mut desk, 1);
    assert_eq!(command(&mut desk, 1), [], "under way: the copy is ignored");
    let answer = finish(&mut desk, 1);
    assert_eq!(command(&mut desk, 1), answer, "answered: the same answer");
    desk.step(Signal::Acknowledged(attempt(1))).unwrap();
    assert_eq!(command(&mut desk, 1), answer, "closed: the same answer");
    let mut restarted = small(&journal);
    assert_eq!(command(&mut restarted, 1), answer, "after a restart: the same answer");
}

#[test]
fn what_was_begun_without_an_answer_is_done_again_after_a_restart() {
    let journal = Arc::new(memory::Journal::default());
    command(&mut small(&journal), 1);
    let mut restarted = small(&journal);
    assert_eq!(command(&mut restarted, 1), [begin(1)], "the same attempt, so the same effect key");
}

#[test]
fn the_pool_is_bounded_and_the_backlog_handed_back() {
    let journal = Arc::new(memory::Journal::default());
    let mut desk = small(&journal);
    assert_eq!(command(&mut desk, 1), [begin(1)]);
    assert_eq!(command(&mut desk, 2), [], "waits");
    let declined = command(&mut desk, 3);
    let expected = WorkerAnswer::Declined("2 commands wait or are under way".into());
    assert_eq!(declined, [report(3, expected)]);
    assert_eq!(finish(&mut desk, 1), [report(1, WorkerAnswer::Done(outcome())), begin(2)]);
}

#[test]
fn a_draining_desk_ends_what_is_under_way_and_begins_nothing_more() {
    let journal = Arc::new(memory::Journal::default());
    let mut desk = small(&journal);
    command(&mut desk, 1);
    command(&mut desk, 2);
    desk.drain();
    assert!(!desk.is_idle());
    assert_eq!(finish(&mut desk, 1), [report(1, WorkerAnswer::Done(outcome()))], "the second is not begun");
    assert!(!desk.is_idle(), "its answer may still get lost");
    desk.step(Signal::Acknowledged(attempt(1))).unwrap();
    assert!(desk.is_idle());
    assert_eq!(command(&mut small(&journal), 2), [begin(2)], "the next start begins it");
}

#[test]
fn what_is_not_begun_in_time_is_handed_back() {
    let journal = Arc::new(memory::Journal::default());
    let mut desk = small(&journal);
    command(&mut desk, 1);
    command(&mut desk, 2);
    let sent = |actions: Vec<Action>| {
        actions.into_iter().filter(|action| matches!(action, Action::Send(_))).collect::<Vec<_>>()
    };
    let at = START + Millis::seconds(30);
    assert_eq!(sent(desk.step(Signal::Tick(at)).unwrap()), [], "not yet");
    let after = sent(desk.step(Signal::Tick(at + Millis(1))).unwrap());
    assert_eq!(after, [report(2, WorkerAnswer::Declined("not begun within 30s".into()))]);
}

#[test]
fn a_cancelled_attempt_is_abandoned_and_its_late_end_ignored() {
    let journal = Arc::new(memory::Journal::default());
    let mut desk = small(&journal);
    command(&mut desk, 1);
    command(&mut desk, 2);
    let cancelled = desk.step(Signal::Cancel(attempt(1))).unwrap();
    assert_eq!(cancelled, [Action::Abandon(attempt(1)), begin(2)], "and there is room again");
    assert_eq!(finish(&mut desk, 1), []);
    assert_eq!(desk.step(Signal::Cancel(attempt(9))).unwrap(), [], "an unknown one is nothing");
}

#[test]
fn heartbeats_are_for_what_waits_and_what_is_under_way() {
    let journal = Arc::new(memory::Journal::default());
    let mut desk = small(&journal);
    command(&mut desk, 1);
    command(&mut desk, 2);
    let at = START + Millis::seconds(2);
    let beat = |number, is_begun| Action::Heartbeat(Heartbeat { attempt: attempt(number), at, is_begun });
    assert_eq!(desk.step(Signal::Tick(at)).unwrap(), [beat(1, true), beat(2, false)]);
    assert_eq!(desk.step(Signal::Tick(at)).unwrap(), [], "once an interval");
}

#[test]
fn an_answer_is_sent_again_until_it_is_acknowledged() {
    let journal = Arc::new(memory::Journal::default());
    let mut desk = small(&journal);
    command(&mut desk, 1);
    let sent = finish(&mut desk, 1);
    let later = START + Millis::seconds(5);
    assert_eq!(desk.step(Signal::Tick(later)).unwrap(), sent);
    desk.step(Signal::Acknowledged(attempt(1))).unwrap();
    assert_eq!(desk.step(Signal::Tick(later + Millis::seconds(5))).unwrap(), []);
}

/// A journal that counts how often it is written.
#[derive(Debug, Default)]
struct Counted(memory::Journal, std::sync::atomic::AtomicUsize);

impl Journal for Counted {
    fn put(&self, entries: &[Entry], gone: &[AttemptId]) -> Result<(), journal::Error> {
        self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.0.put(entries, gone)
    }
    fn get(&self, attempt: &AttemptId) -> Result<Option<Entry>, journal::Error> {
        self.0.get(attempt)
    }
    fn open(&self) -> Result<Vec<Entry>, journal::Error> {
        self.0.open()
    }
    fn sweep(&self, before: Timestamp) -> Result<(), journal::Error> {
        self.0.sweep(before)
    }
}

#[test]
fn signals_that_come_together_are_journaled_together() {
    let journal = Arc::new(Counted::default());
    let bounds = Bounds { pool: 8, ..Bounds::default() };
    let mut desk = Desk::new(bounds, Arc::clone(&journal) as Arc<dyn Journal>, START);
    let commands = (1..=5).map(|number| Signal::Command(Box::new(order(number))));
    let actions = desk.steps(commands).unwrap();
    assert_eq!(actions, (1..=5).map(begin).collect::<Vec<_>>());
    assert_eq!(journal.1.load(std::sync::atomic::Ordering::Relaxed), 1);
    assert_eq!(journal.open().unwrap().len(), 5);
    let finished = Signal::Finished { attempt: attempt(1), outcome: outcome() };
    let copy = Signal::Command(Box::new(order(1)));
    let answer = report(1, WorkerAnswer::Done(outcome()));
    assert_eq!(
        desk.steps([finished, copy]).unwrap(),
        [answer.clone(), answer],
        "what is not written yet is known"
    );
}

fn brought_again(journal: &Arc<memory::Journal>) -> Desk {
    let bounds = Bounds { redelivery: Redelivery::TheEngine, pool: 1, ..Bounds::default() };
    Desk::new(bounds, Arc::clone(journal) as Arc<dyn Journal>, START)
}

/// Of work that took as long as what is journaled.
fn finish_late(desk: &mut Desk, number: u32) -> Vec<Action> {
    desk.step(Signal::Tick(START + Bounds::default().journal_from)).unwrap();
    finish(desk, number)
}

#[test]
fn while_the_desk_lives_a_copy_of_what_it_answered_is_not_done_again_though_it_was_not_journaled() {
    let journal = Arc::new(memory::Journal::default());
    let mut desk = brought_again(&journal);
    command(&mut desk, 1);
    let answer = finish(&mut desk, 1);
    assert_eq!(journal.open().unwrap(), [], "quick, and so not journaled");
    assert_eq!(command(&mut desk, 1), answer, "the engine was killed, and asks again");
    assert_eq!(command(&mut brought_again(&journal), 1), [begin(1)], "a desk that was killed knows nothing");
}

#[test]
fn where_the_engine_brings_commands_again_only_answers_to_long_work_are_journaled() {
    let journal = Arc::new(memory::Journal::default());
    let mut desk = brought_again(&journal);
    command(&mut desk, 2);
    finish(&mut desk, 2);
    assert_eq!(journal.open().unwrap(), [], "done again just as quickly");
    let again = report(2, WorkerAnswer::Done(outcome()));
    assert_eq!(command(&mut desk, 2), [again], "but not by the process that has the answer");
    assert_eq!(command(&mut desk, 1), [begin(1)]);
    assert_eq!(journal.open().unwrap(), [], "a crash now costs nothing: the command comes again");
    let answer = finish_late(&mut desk, 1);
    let mut restarted = brought_again(&journal);
    assert_eq!(command(&mut restarted, 1), answer, "answered: not done again");
    desk.step(Signal::Acknowledged(attempt(1))).unwrap();
    assert_eq!(command(&mut desk, 1), [begin(1)], "the engine has it and will not ask again");
    desk.step(Signal::Tick(START)).unwrap();
    assert_eq!(journal.open().unwrap(), [], "forgotten, with the next tick at the latest");
}

#[test]
fn an_answer_that_nobody_asks_for_again_is_forgotten_after_a_while() {
    let journal = Arc::new(memory::Journal::default());
    let mut crashed = brought_again(&journal);
    command(&mut crashed, 1);
    finish_late(&mut crashed, 1);
    let mut desk = brought_again(&journal);
    let retention = Bounds::default().journal_retention;
    desk.step(Signal::Tick(START + retention)).unwrap();
    assert_eq!(journal.open().unwrap().len(), 1, "not older than that yet");
    desk.step(Signal::Tick(START + retention + retention)).unwrap();
    assert_eq!(journal.open().unwrap(), []);
}
