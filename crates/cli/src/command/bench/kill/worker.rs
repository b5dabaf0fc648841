//! The worker that lives on: counts what it carries out, and can be made to wait in the middle of it.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use domain::model::Release;
use domain::name::{AttemptId, Digest, RunId, StreamId, TargetId, Version};
use domain::routes::{Generation, RouteTable};
use domain::time::{Millis, Timestamp};
use domain::work::{Apply, Command, Measure, Order, Outcome, Package, Plan, Prepare, Test};
use domain::workflow::With;
use engine::partition::WorkOrder;

use super::super::flow::{Completed, NoOp, Triggers};
use super::ledger::Ledger;
use super::line::{self, What, Work};
use crate::node::CarryOut;

pub(super) type Book = Arc<Mutex<Ledger>>;

pub(super) fn look(book: &Book) -> MutexGuard<'_, Ledger> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does nothing, but writes down that it did.
#[derive(Debug)]
pub(super) struct Counting {
    book: Book,
    inner: NoOp,
    gate: Arc<Gate>,
}

/// Lets so many begin, and the others wait in the middle of their work until it is opened.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// How many more pass; nothing when it is open.
    left: Mutex<Option<usize>>,
    opened: Condvar,
}

impl Gate {
    pub(super) fn close_after(&self, passing: usize) {
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) = Some(passing);
    }

    pub(super) fn open(&self) {
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.opened.notify_all();
    }

    fn pass(&self) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match left.as_mut() {
                None => return,
                Some(0) => left = self.opened.wait(left).unwrap_or_else(PoisonError::into_inner),
                Some(some) => {
                    *some -= 1;
                    return;
                }
            }
        }
    }
}

impl Counting {
    pub(super) fn new(book: Book, gate: Arc<Gate>, completed: Sender<Completed>) -> Self {
        Self { book, inner: NoOp::new(completed), gate }
    }
}

impl CarryOut for Counting {
    fn carry_out(&self, command: &Command, cancelled: &dyn Fn() -> bool, progress: &dyn Fn(&str)) -> Outcome {
        look(&self.book).carry_out(command);
        self.gate.pass();
        self.inner.carry_out(command, cancelled, progress)
    }

    fn recorded(&self, attempt: &AttemptId) {
        self.inner.recorded(attempt);
    }
}

/// The order as a desk takes it. What a worker that does nothing never looks at is filled in.
pub(super) fn order(work: Work, triggers: &Triggers) -> std::io::Result<WorkOrder> {
    let attempt = line::attempt_of(&work.attempt)?;
    let target = line::target_of(&work.target)?;
    let effect_key = line::digest_of(&work.effect_key)?;
    let run = match attempt.owner {
        StreamId::Run(run) => run,
        StreamId::Target(_) | StreamId::Definitions => RunId([0; 16]),
    };
    let order = what(&work.what, triggers, run, &target, effect_key)?;
    let command = Command {
        attempt,
        target,
        effect_key,
        order,
        issued_at: Timestamp(work.issued_at),
        lease: Millis(work.lease_ms),
        traceparent: None,
    };
    Ok(WorkOrder { command, token: line::token_of(&work.token)?, epoch: work.epoch })
}

fn what(
    what: &What,
    triggers: &Triggers,
    run: RunId,
    target: &TargetId,
    effect_key: Digest,
) -> std::io::Result<Order> {
    let stage = |is: fn(&With) -> bool| {
        let found = triggers.workflow().stages.iter().find(|stage| is(&stage.with));
        found.ok_or_else(|| line::bad("the workflow has no such stage"))
    };
    let release = |bundle| Release { version: Version::parse("v").expect("a letter"), bundle, run: None };
    Ok(match what {
        What::Package { version } => {
            let number = version.trim_start_matches('v').parse().map_err(line::bad)?;
            let trained = triggers.numbered(number, target).trained;
            let found = stage(|with| matches!(with, With::Package(_)))?;
            let With::Package(with) = found.with.clone() else { return Err(line::bad("no package stage")) };
            Order::Package(Package { run, stage: found.name.clone(), trained, with, live: None })
        }
        What::Test => {
            let found = stage(|with| matches!(with, With::StageTest(_)))?;
            let With::StageTest(with) = found.with.clone() else { return Err(line::bad("no test stage")) };
            Order::Test(Test {
                run,
                stage: found.name.clone(),
                environment: with.environment,
                release: release(effect_key),
                live: None,
                trained: triggers.numbered(0, target).trained,
                checks: with.checks,
            })
        }
        What::Plan | What::Measure => {
            let found = stage(|with| matches!(with, With::Rollout(_)))?;
            let With::Rollout(with) = found.with.clone() else { return Err(line::bad("no rollout stage")) };
            let stage = found.name.clone();
            if matches!(what, What::Plan) {
                return Ok(Order::Plan(Plan { run, stage, live: None, with }));
            }
            Order::Measure(Measure {
                run,
                stage,
                candidate: release(effect_key),
                live: None,
                since: Timestamp(0),
                generation: Generation::default(),
                share: 0.0,
                checks: vec![],
            })
        }
        What::Prepare { bundles } => {
            let releases = bundles.iter().map(|bundle| line::digest_of(bundle).map(release));
            Order::Prepare(Prepare { releases: releases.collect::<Result<_, _>>()? })
        }
        What::Apply { generation } => {
            let table =
                RouteTable { generation: Generation(*generation), ..RouteTable::empty(target.clone()) };
            Order::Apply(Apply { table })
        }
    })
}
