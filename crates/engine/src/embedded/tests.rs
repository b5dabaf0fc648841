use super::*;
use crate::port::log::Log as _;
use crate::port::memory;
use crate::port::store::{Query, Store as _};
use crate::replay;
use crate::request::{Report, WorkerAnswer};
use crate::samples::{self, START, define_roles, freeze, trained, trigger};
use domain::time::Millis;

const PARTITIONS: u32 = 4;
const PASSES_MAX: usize = 500;

fn open(database: &Arc<memory::Embedded>) -> Engine {
    let config = samples::config(PARTITIONS);
    Engine::open(&config, Arc::clone(database) as Arc<dyn store::Embedded>, [1; 16]).unwrap()
}

fn offer(engine: &mut Engine, lane: Lane, said: Said) -> Ticket {
    let partition = engine.partition_for(&said).unwrap().unwrap();
    engine.offer(partition, lane, said, None, None).unwrap()
}

fn at(now: Timestamp) -> Reading {
    Reading { wall: now, monotonic: Millis(now.0) }
}

/// Passes and answers every order until nothing is left to do.
fn settle(engine: &mut Engine) -> Vec<(u32, Reply)> {
    let mut now = START;
    let mut replies = vec![];
    for _ in 0..PASSES_MAX {
        let passed = engine.pass(at(now)).unwrap();
        replies.extend(passed.replies);
        let is_idle = passed.orders.is_empty() && !engine.is_waiting();
        for order in passed.orders {
            let outcome = samples::answer(&order.command.order, now);
            let report = Report {
                attempt: order.command.attempt,
                token: order.token,
                answer: WorkerAnswer::Done(outcome),
            };
            offer(engine, Lane::Outcomes, Said::Report(Box::new(report)));
        }
        match engine.wake_at() {
            Some(wake) if is_idle && wake < START + Millis::minutes(10) => now = now.max(wake),
            _ if is_idle => return replies,
            _ => {}
        }
    }
    panic!("the engine does not come to rest");
}

fn verify(database: &memory::Embedded) -> Vec<replay::Report> {
    let verify = |partition| {
        let config = crate::partition::Config { partition, ..samples::config(PARTITIONS) };
        let reader = replay::Reader::new(config.identity(), config.parsers);
        let report = replay::verify(replay::from_log(database, partition), reader).unwrap();
        assert_eq!(report.differences, []);
        assert_eq!(report.rows_differing(partition, database).unwrap(), Vec::<String>::new());
        report
    };
    (0..PARTITIONS).map(verify).collect()
}

#[test]
fn partitions_share_a_process_and_models_go_live_in_each() {
    let database = Arc::new(memory::Embedded::new(PARTITIONS));
    let mut engine = open(&database);
    let models = ["a", "b", "c", "d", "e", "f"];
    for model in models {
        offer(&mut engine, Lane::Triggers, trained(model, "v1"));
    }
    settle(&mut engine);
    let targets = database.targets().unwrap();
    assert_eq!(targets.iter().filter(|row| row.live.is_some()).count(), models.len());
    let partitions: std::collections::BTreeSet<u32> = targets.iter().map(|row| row.partition).collect();
    assert!(partitions.len() > 1, "spread over partitions: {partitions:?}");
    verify(&database);
}

#[test]
fn a_reply_matches_its_ticket_and_stands_in_the_log_before_it_is_given() {
    let database = Arc::new(memory::Embedded::new(PARTITIONS));
    let mut engine = open(&database);
    let ticket = offer(&mut engine, Lane::Triggers, trained("a", "v1"));
    let passed = engine.pass(at(START)).unwrap();
    let (partition, reply) = &passed.replies[0];
    assert_eq!((*partition, reply.lane, reply.offset), (ticket.partition, ticket.lane, ticket.offset));
    let Answer::Recorded { seq, .. } = reply.answer else { panic!("{reply:?}") };
    assert_eq!(database.head(ticket.partition).unwrap().unwrap().seq, seq);
    assert_eq!(database.end(ticket.partition).unwrap(), seq);
}

#[test]
fn nothing_is_released_when_the_write_fails_and_a_restart_goes_on() {
    let database = Arc::new(memory::Embedded::new(PARTITIONS));
    let mut engine = open(&database);
    offer(&mut engine, Lane::Triggers, trained("a", "v1"));
    engine.pass(at(START)).unwrap();
    let before = database.copy();
    offer(&mut engine, Lane::Triggers, trained("b", "v1"));
    database.fail_writes();
    assert!(matches!(engine.pass(at(START)), Err(Error::Write(_))));
    assert!(matches!(engine.pass(at(START)), Err(Error::Poisoned)), "no second try");
    let database = Arc::new(before);
    let mut engine = open(&database);
    offer(&mut engine, Lane::Triggers, trained("b", "v1"));
    settle(&mut engine);
    assert_eq!(database.targets().unwrap().iter().filter(|row| row.live.is_some()).count(), 2);
    verify(&database);
}

#[test]
fn a_crash_after_any_pass_loses_no_run_and_sends_the_same_attempts_again() {
    for crash_after in 0..12 {
        let database = Arc::new(memory::Embedded::new(PARTITIONS));
        let mut engine = open(&database);
        for model in ["a", "b"] {
            offer(&mut engine, Lane::Triggers, trained(model, "v1"));
        }
        let mut outstanding: Vec<AttemptId> = vec![];
        for pass in 0..=crash_after {
            let passed = engine.pass(at(START + Millis(pass))).unwrap();
            for order in passed.orders {
                outstanding.push(order.command.attempt.clone());
                // Every other answer is lost with the process.
                if pass % 2 == 0 && pass < crash_after {
                    let outcome = samples::answer(&order.command.order, START);
                    let (attempt, token) = (order.command.attempt, order.token);
                    let report = Report { attempt, token, answer: WorkerAnswer::Done(outcome) };
                    offer(&mut engine, Lane::Outcomes, Said::Report(Box::new(report)));
                }
            }
        }
        let mut engine = open(&database);
        for run in ["a", "b"].map(|model| trigger(model, "v1").run()) {
            assert!(database.run(run).unwrap().is_some(), "recorded runs are there");
        }
        let again: Vec<AttemptId> =
            engine.opened.orders.iter().map(|order| order.command.attempt.clone()).collect();
        assert!(!again.is_empty() && again.iter().all(|attempt| outstanding.contains(attempt)), "{again:?}");
        assert!(
            engine.is_waiting(),
            "what is outstanding goes out with the first pass, which nothing delays"
        );
        settle(&mut engine);
        let live = database.targets().unwrap().iter().filter(|row| row.live.is_some()).count();
        assert_eq!(live, 2, "crash after pass {crash_after}");
        verify(&database);
    }
}

#[test]
fn a_log_that_ends_with_what_does_not_follow_is_not_opened() {
    let database = Arc::new(memory::Embedded::new(PARTITIONS));
    let mut engine = open(&database);
    offer(&mut engine, Lane::Triggers, trained("a", "v1"));
    settle(&mut engine);
    let run = database.run(trigger("a", "v1").run()).unwrap().unwrap();
    let second = database.read(run.partition, 1, 1).unwrap().remove(0).bytes;
    database.append(&[log::Append { partition: run.partition, records: vec![second] }]).unwrap();
    let again = Engine::open(
        &samples::config(PARTITIONS),
        Arc::clone(&database) as Arc<dyn store::Embedded>,
        [2; 16],
    );
    let Err(Error::Stopped { partition, source }) = again else { panic!("{again:?}") };
    assert_eq!((partition, source.code), (run.partition, Code::HistoryGap));
}

#[test]
fn what_is_written_while_the_log_is_verified_is_no_difference() {
    let database = Arc::new(memory::Embedded::new(PARTITIONS));
    let mut engine = open(&database);
    offer(&mut engine, Lane::Triggers, trained("a", "v1"));
    engine.pass(at(START)).unwrap();
    let reports = verify(&database);
    settle(&mut engine);
    let run = database.run(trigger("a", "v1").run()).unwrap().unwrap();
    let report = &reports[run.partition as usize];
    assert!(run.last_seq > report.head.seq, "the run went on");
    assert_eq!(report.rows_differing(run.partition, &*database).unwrap(), Vec::<String>::new());
    // The same number of records, and another last one.
    let mut other = verify(&database).swap_remove(run.partition as usize);
    other.head.hash = domain::name::Digest::of(b"another record");
    assert_eq!(other.rows_differing(run.partition, &*database).unwrap().len(), 1);
}

#[test]
fn the_view_is_built_again_from_the_log() {
    let database = Arc::new(memory::Embedded::new(PARTITIONS));
    let mut engine = open(&database);
    for partition in 0..PARTITIONS {
        engine.offer(partition, Lane::Requests, define_roles(), None, None).unwrap();
    }
    for model in ["a", "b", "c"] {
        offer(&mut engine, Lane::Triggers, trained(model, "v1"));
    }
    offer(&mut engine, Lane::Requests, freeze("d", "ann", "holiday"));
    settle(&mut engine);
    let rows = |database: &memory::Embedded| {
        (
            database.targets().unwrap(),
            database.runs(&Query { runs_max: usize::MAX, ..Query::default() }).unwrap(),
        )
    };
    let before = rows(&database);
    database.forget_view();
    open(&database);
    assert_eq!(rows(&database), before);
}

#[test]
fn a_log_of_another_number_of_partitions_is_refused() {
    let database = Arc::new(memory::Embedded::new(PARTITIONS + 1));
    let config = samples::config(PARTITIONS);
    let opened = Engine::open(&config, database, [1; 16]);
    assert!(matches!(opened, Err(Error::Partitions { expected: 4, found: 5 })));
}

#[test]
fn inputs_know_their_partition() {
    let database = Arc::new(memory::Embedded::new(PARTITIONS));
    let mut engine = open(&database);
    let unknown = engine.partition_for(&samples::abort(trigger("a", "v1").run()));
    assert_eq!(unknown.unwrap_err().code, refused::UNKNOWN_RUN);
    let ticket = offer(&mut engine, Lane::Triggers, trained("a", "v1"));
    engine.pass(at(START)).unwrap();
    let abort = engine.partition_for(&samples::abort(trigger("a", "v1").run()));
    assert_eq!(abort.unwrap(), Some(ticket.partition));
    assert_eq!(engine.partition_for(&define_roles()).unwrap(), None, "a definition belongs everywhere");
}
