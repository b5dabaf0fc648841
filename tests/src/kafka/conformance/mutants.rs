//! A worker that lacks one thing is found out by what asks for it.

use std::fs;
use std::time::Duration;

use super::Asked;
use super::subject::{Subject, Worker};
use crate::kafka::python::example;

/// A worker that has what is asked for shows it within seconds.
const PATIENCE: Duration = Duration::from_secs(20);

type Demand = fn(&mut Asked, Worker);

/// What is missing, where it stands in `examples/worker/worker.py`, what stands there instead, and what notices.
const LACKS: [(&str, &str, &str, Demand); 10] = [
    (
        "a journal that outlives it",
        "os.path.join(FOLDER, \"journal.sqlite\")",
        "\":memory:\"",
        |asked, worker| {
            drop(asked.goes_on_after_a_kill(worker));
        },
    ),
    ("offsets that move", "self.commands.store_offsets(record)", "pass", |asked, mut worker| {
        asked.says_what_it_cannot_read(&mut worker);
    }),
    (
        "memory of what it answered",
        "self.send(attempt, order, WorkerAnswer.FromString(known[0]))",
        "self.wait(attempt, order)",
        |asked, mut worker| {
            asked.answers_copies_and_does_nothing_twice(&mut worker);
        },
    ),
    ("signs of life", "PREFIX + \"heartbeats\"", "PREFIX + \"nowhere\"", |asked, mut worker| {
        asked.goes_on_beside_slow_work_and_says_that_it_lives(&mut worker);
    }),
    ("a second hand", "ThreadPoolExecutor(POOL)", "ThreadPoolExecutor(1)", |asked, mut worker| {
        asked.goes_on_beside_slow_work_and_says_that_it_lives(&mut worker);
    }),
    ("an ear for cancels", "work.is_cancelled = True", "return", |asked, mut worker| {
        asked.gives_up_what_is_cancelled(&mut worker);
    }),
    ("a word for what it cannot read", "\"ORDER_UNREADABLE\"", "\"OTHER\"", |asked, mut worker| {
        asked.says_what_it_cannot_read(&mut worker);
    }),
    ("the place of the target", "value % PARTITIONS", "0", |asked, mut worker| {
        asked.answers_each_order(&mut worker);
    }),
    ("a new look at what it is given", "setattr(self, \"is_paused\", None)", "None", |asked, mut worker| {
        asked.takes_again_what_it_gave_up_when_it_was_full(&mut worker);
    }),
    ("an end in order", "\"is_ending\", True", "\"is_never\", True", |asked, worker| {
        asked.hands_back_and_ends_what_is_under_way(worker);
    }),
];

#[test]
fn a_worker_that_lacks_one_thing_is_found_out() {
    let whole = fs::read_to_string(example("worker").join("worker.py")).unwrap();
    let generated = tempfile::tempdir().unwrap();
    let folder = generated.path();
    if Subject::in_python(folder).is_none() {
        return;
    }
    std::thread::scope(|scope| {
        let asked = LACKS.map(|(what, there, instead, demand)| {
            let file = folder.join(format!("{}.py", what.replace(' ', "-")));
            assert!(whole.contains(there), "{what}: `{there}` is not in the worker");
            fs::write(&file, whole.replace(there, instead)).unwrap();
            let ask = move || {
                let mut asked = Asked::of(Subject::in_python_at(folder, &file).expect("it was there"));
                asked.engine.patience = PATIENCE;
                let worker = asked.start();
                demand(&mut asked, worker);
            };
            (what, scope.spawn(ask))
        });
        for (what, asked) in asked {
            assert!(asked.join().is_err(), "a worker without {what} is not found out");
        }
    });
}
