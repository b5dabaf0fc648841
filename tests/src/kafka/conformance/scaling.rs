//! Workers of one stage become eight and one again while there is work: all of it is done, each has its share, and whoever
//! is asked to end leaves nothing behind.

use std::collections::BTreeMap;
use std::time::Instant;

use engine::partition::WorkOrder;
use engine::request::WorkerAnswer;
use log_kafka::topics::Wanted;

use super::engine::Engine;
use super::receiver::Receiver;
use super::subject::{Around, Subject, Worker};
use crate::kafka::fleet::PATIENCE;
use crate::kafka::nodes::WANTED;

const WORKERS: usize = 8;
const WANTED_HERE: Wanted = Wanted { command_partitions: WORKERS as u32, ..WANTED };
/// How many orders are open at a time.
const OPEN: usize = 64;
/// How many are done by one worker before and after.
const ALONE: usize = 100;
/// Orders that are always there, and what became of them.
struct Load {
    engine: Engine,
    receiver: Receiver,
    /// The attempt that is waited for, by its text.
    open: BTreeMap<String, WorkOrder>,
    /// How many answers were looked at.
    read: usize,
    done: Vec<WorkOrder>,
    /// How many each worker has done.
    shares: BTreeMap<String, usize>,
}

impl Load {
    /// Gives orders for as long as it is not so.
    fn until(&mut self, what: &str, mut is: impl FnMut(&Self) -> bool) {
        let began = Instant::now();
        while !is(self) {
            let told = (self.done.len(), self.open.len(), &self.shares);
            assert!(began.elapsed() < PATIENCE, "{what}: it never came about: {told:?}");
            while self.open.len() < OPEN {
                let order = self.engine.order();
                self.send(order);
            }
            self.look();
        }
    }

    /// Gives none any more.
    fn end(&mut self) {
        let began = Instant::now();
        while !self.open.is_empty() {
            assert!(began.elapsed() < PATIENCE, "orders are lost: {:?}", self.open.keys());
            self.look();
        }
    }

    fn send(&mut self, order: WorkOrder) {
        self.engine.send(&order);
        self.open.insert(order.command.attempt.to_string(), order);
    }

    /// What is handed back is issued again, as an engine does.
    fn look(&mut self) {
        self.engine.listen();
        let told = self.engine.heard.answers[self.read..].to_vec();
        self.read += told.len();
        for told in told {
            // The first answer counts.
            let Some(order) = self.open.remove(&told.report.attempt.to_string()) else { continue };
            match told.report.answer {
                WorkerAnswer::Done(outcome) => {
                    assert!(
                        matches!(outcome, domain::work::Outcome::Notified { .. }),
                        "{outcome:?} of {}",
                        told.source
                    );
                    *self.shares.entry(told.source).or_default() += 1;
                    self.done.push(order);
                }
                WorkerAnswer::Declined(_) => self.send(Engine::next(&order)),
            }
        }
    }
}

#[test]
fn workers_go_from_one_to_eight_and_back_under_load() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, receiver) = (Engine::over(WANTED_HERE), Receiver::start());
    let (settings, subject) = (engine.settings.clone(), Subject::ours());
    let start = |number: usize, receiver: &Receiver| {
        let (folder, partitions) = (folder.path(), WANTED_HERE.partitions);
        let around = Around { folder, settings: &settings, partitions, receiver };
        subject.start(&format!("worker-{number}"), &around)
    };
    let one = start(1, &receiver);
    let mut load =
        Load { engine, receiver, open: BTreeMap::new(), read: 0, done: vec![], shares: BTreeMap::new() };
    load.until("one worker works", |load| load.done.len() >= ALONE);
    let others: Vec<Worker> = (2..=WORKERS).map(|number| start(number, &load.receiver)).collect();
    load.until("each of eight has a share", |load| load.shares.len() == WORKERS);
    let mut said = String::new();
    for mut worker in others {
        worker.ask_to_end();
        load.until("one ends", |_| worker.has_ended());
        let told = worker.said();
        assert_eq!(worker.wait(), Some(0), "{told}");
        said += &told;
    }
    let before = load.done.len();
    load.until("one worker works again", |load| load.done.len() >= before + ALONE);
    load.end();
    said += &one.said();
    drop(one);

    let calls: Vec<usize> =
        load.done.iter().map(|order| load.receiver.calls(order.command.effect_key)).collect();
    assert!(calls.iter().all(|calls| *calls > 0), "something counts as done and is not");
    let twice = calls.iter().filter(|calls| **calls > 1).count();
    println!("{} orders, {twice} of them twice under the same effect key: {:?}", calls.len(), load.shares);
    // Whoever gives a partition away says first what its journal has. On a machine too busy for that it is said.
    let was_too_busy =
        ["given away before", "offsets were not kept"].iter().any(|words| said.contains(words));
    assert!(twice == 0 || was_too_busy, "{twice} of {} orders were done twice:\n{said}", calls.len());
}
