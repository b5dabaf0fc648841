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
    opened(journal, START).desk
}

fn opened(journal: &Arc<memory::Journal>, now: Timestamp) -> Opened {
    let bounds = Bounds { pool: 1, backlog_max: 1, ..Bounds::default() };
    Desk::open(bounds, Arc::clone(journal) as Arc<dyn Journal>, &StageKind::ALL, now).unwrap()
}

fn command(desk: &mut Desk, number: u32) -> Vec<Action> {
    desk.step(Signal::Command(Box::new(order(number)))).unwrap()
}

fn finish(desk: &mut Desk, number: u32) -> Vec<Action> {
    desk.step(Signal::Finished { attempt: attempt(number), outcome: outcome() }).unwrap()
}

/// The engine has the answer, and the journal was told.
fn close(desk: &mut Desk, number: u32) {
    assert_eq!(desk.steps([Signal::Acknowledged(attempt(number)), Signal::Tick(START)]).unwrap(), []);
}

fn report(number: u32, answer: WorkerAnswer) -> Action {
    let target = order(number).command.target;
    Action::Send { target, report: Report { attempt: attempt(number), token: Token([7; 32]), answer } }
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
    close(&mut desk, 1);
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
    close(&mut desk, 1);
    assert_eq!(command(&mut desk, 1), answer, "closed: the same answer");
    let mut restarted = small(&journal);
    assert_eq!(command(&mut restarted, 1), answer, "after a restart: the same answer");
}

#[test]
fn a_desk_that_opens_takes_up_what_the_journal_holds() {
    let journal = Arc::new(memory::Journal::default());
    let mut crashed = small(&journal);
    // Taken in another order than that of their names.
    command(&mut crashed, 2);
    crashed.step(Signal::Tick(START + Millis(1))).unwrap();
    command(&mut crashed, 1);
    let Opened { mut desk, actions, forgotten } = opened(&journal, START + Millis(2));
    assert_eq!(actions, [begin(2)], "the same attempt, so the same effect key; nobody brought it");
    assert_eq!((desk.room(), forgotten), (0, vec![]));
    assert_eq!(command(&mut desk, 1), [], "a copy of what waits");
    assert_eq!(finish(&mut desk, 2), [report(2, WorkerAnswer::Done(outcome())), begin(1)]);
}

#[test]
fn what_was_answered_is_sent_again_after_a_restart_to_where_it_belongs() {
    let journal = Arc::new(memory::Journal::default());
    let mut crashed = small(&journal);
    command(&mut crashed, 1);
    let answer = finish(&mut crashed, 1);
    let Opened { mut desk, actions, .. } = opened(&journal, START);
    assert_eq!(actions, answer, "with its target and token, and not worked out again");
    assert!(!desk.is_idle());
    close(&mut desk, 1);
    assert_eq!(journal.get(&attempt(1)).unwrap().unwrap().order, b"", "a copy brings its own");
    let opened = opened(&journal, START);
    assert_eq!(opened.actions, []);
    assert!(opened.desk.is_idle());
}

#[test]
fn desks_that_share_a_journal_take_up_what_is_theirs() {
    let journal = Arc::new(memory::Journal::default());
    command(&mut small(&journal), 1);
    let opened = |stage| {
        let journal = Arc::clone(&journal) as Arc<dyn Journal>;
        Desk::open(Bounds::default(), journal, &[stage], START).unwrap().actions
    };
    assert_eq!(opened(StageKind::Gate), []);
    assert_eq!(opened(StageKind::Rollout), [begin(1)]);
}

#[test]
fn the_time_without_a_desk_counts_as_waiting() {
    let journal = Arc::new(memory::Journal::default());
    let mut crashed = small(&journal);
    command(&mut crashed, 1);
    command(&mut crashed, 2);
    let now = START + Millis::seconds(31);
    let Opened { mut desk, .. } = opened(&journal, now);
    let actions = desk.step(Signal::Tick(now)).unwrap();
    let beat = Action::Heartbeat(Heartbeat { attempt: attempt(1), at: now, is_begun: true });
    assert_eq!(actions, [report(2, WorkerAnswer::Declined("not begun within 30s".into())), beat]);
}

#[test]
fn what_cannot_be_read_is_forgotten_and_said() {
    let journal = Arc::new(memory::Journal::default());
    let entry = |number, state, order: &[u8]| Entry {
        attempt: attempt(number),
        state,
        order: order.to_vec(),
        at: START,
    };
    // Of a release before orders were kept, and of one to come.
    let entries = [
        entry(1, State::Answered(answer::encode(&WorkerAnswer::Done(outcome()))), b""),
        entry(2, State::Taken, b"\xff another form"),
    ];
    journal.put(&entries, &[]).unwrap();
    let Opened { mut desk, actions, forgotten } = opened(&journal, START);
    assert_eq!((actions, forgotten), (vec![], vec![attempt(1), attempt(2)]));
    assert_eq!(journal.open().unwrap(), []);
    assert_eq!(command(&mut desk, 1), [begin(1)], "the engine may ask again");
}

/// An order of a kind that nobody knows here: without what is ordered, and with whom it is for.
fn unreadable(number: u32) -> (Addressee, Vec<u8>) {
    let bytes = message::encode_order(&order(number));
    // What is ordered is empty, in the last but two fields of the command.
    let at = bytes.windows(4).position(|four| four == [0x22, 2, 0x32, 0]).unwrap();
    let bytes = [&bytes[..at], &[0x22, 2, 0x7a, 0], &bytes[at + 4..]].concat();
    assert!(message::decode_order(&bytes, &definitions::parsers()).is_err());
    (message::decode_addressee(&bytes).unwrap(), bytes)
}

#[test]
fn an_order_that_cannot_be_read_is_answered_by_whom_it_is_for() {
    let journal = Arc::new(memory::Journal::default());
    let mut desk = small(&journal);
    let (addressee, bytes) = unreadable(1);
    let signal = Signal::Unreadable { addressee, bytes: bytes.clone(), why: "of a newer format".into() };
    let outcome = Outcome::CouldNotTell {
        code: ORDER_UNREADABLE.into(),
        reason: "expected an order that this worker can read: of a newer format".into(),
        retry_after: None,
    };
    let answer = [report(1, WorkerAnswer::Done(outcome))];
    assert_eq!(desk.step(signal.clone()).unwrap(), answer);
    assert_eq!(desk.step(signal.clone()).unwrap(), answer, "a copy");
    assert_eq!(opened(&journal, START).actions, answer, "of the journal, by whoever comes back");
    close(&mut desk, 1);
    assert_eq!(small(&journal).step(signal).unwrap(), answer, "closed: the same answer");
    // Taken by a newer release of this worker.
    let taken = Entry { attempt: attempt(2), state: State::Taken, order: unreadable(2).1, at: START };
    journal.put(&[taken], &[]).unwrap();
    let Opened { actions, forgotten, .. } = opened(&journal, START);
    assert!(
        matches!(&actions[..], [Action::Send { report: Report { answer: WorkerAnswer::Done(Outcome::CouldNotTell { code, .. }), .. }, .. }] if **code == *ORDER_UNREADABLE),
        "{actions:?}"
    );
    assert_eq!(forgotten, vec![]);
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
    let declined = desk.step(Signal::Drain).unwrap();
    assert_eq!(declined, [report(2, WorkerAnswer::Declined("the worker ends".into()))], "at once elsewhere");
    desk.step(Signal::Acknowledged(attempt(2))).unwrap();
    assert!(!desk.is_idle());
    assert_eq!(finish(&mut desk, 1), [report(1, WorkerAnswer::Done(outcome()))], "the second is not begun");
    assert!(!desk.is_idle(), "its answer may still get lost");
    desk.step(Signal::Acknowledged(attempt(1))).unwrap();
    assert!(desk.is_idle());
}

#[test]
fn a_draining_desk_leaves_what_the_engine_brings_again() {
    let journal = Arc::new(memory::Journal::default());
    let mut desk = brought_again(&journal);
    command(&mut desk, 1);
    command(&mut desk, 2);
    assert_eq!(desk.step(Signal::Drain).unwrap(), []);
    assert_eq!(finish(&mut desk, 1), [report(1, WorkerAnswer::Done(outcome()))], "the second is not begun");
    assert_eq!(command(&mut brought_again(&journal), 2), [begin(2)], "the next start begins it");
}

#[test]
fn what_is_not_begun_in_time_is_handed_back() {
    let journal = Arc::new(memory::Journal::default());
    let mut desk = small(&journal);
    command(&mut desk, 1);
    command(&mut desk, 2);
    let sent = |actions: Vec<Action>| {
        actions.into_iter().filter(|action| matches!(action, Action::Send { .. })).collect::<Vec<_>>()
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
    let mut desk =
        Desk::open(bounds, Arc::clone(&journal) as Arc<dyn Journal>, &StageKind::ALL, START).unwrap().desk;
    let before = journal.1.load(std::sync::atomic::Ordering::Relaxed);
    let commands = (1..=5).map(|number| Signal::Command(Box::new(order(number))));
    let actions = desk.steps(commands).unwrap();
    assert_eq!(actions, (1..=5).map(begin).collect::<Vec<_>>());
    assert_eq!(journal.1.load(std::sync::atomic::Ordering::Relaxed), before + 1);
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

#[test]
fn what_need_not_be_written_before_anybody_acts_on_it_waits_for_what_must() {
    let journal = Arc::new(Counted::default());
    let bounds = Bounds { pool: 1, ..Bounds::default() };
    let mut desk =
        Desk::open(bounds, Arc::clone(&journal) as Arc<dyn Journal>, &StageKind::ALL, START).unwrap().desk;
    let writes = || journal.1.swap(0, std::sync::atomic::Ordering::Relaxed);
    let state = |number| journal.get(&attempt(number)).unwrap().map(|entry| entry.state);
    desk.steps([1, 2].map(|number| Signal::Command(Box::new(order(number))))).unwrap();
    let answer = finish(&mut desk, 1);
    assert_eq!(answer, [report(1, WorkerAnswer::Done(outcome())), begin(2)]);
    assert_eq!(state(2), Some(State::Taken), "a crash leads to the same as if it said `Begun`");
    writes();
    desk.step(Signal::Acknowledged(attempt(1))).unwrap();
    assert_eq!(writes(), 0);
    assert!(matches!(state(1), Some(State::Answered(_))), "a crash now sends the answer again");
    assert_eq!(command(&mut desk, 1), answer[..1], "and a copy gets it");
    finish(&mut desk, 2);
    assert_eq!(writes(), 1);
    assert!(matches!(state(1), Some(State::Closed(_))), "along with the answer that must be there");
}

fn brought_again(journal: &Arc<memory::Journal>) -> Desk {
    let bounds = Bounds { redelivery: Redelivery::TheEngine, pool: 1, ..Bounds::default() };
    Desk::open(bounds, Arc::clone(journal) as Arc<dyn Journal>, &StageKind::ALL, START).unwrap().desk
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
    assert_eq!(journal.open().unwrap()[0].order, b"", "the engine has it");
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
