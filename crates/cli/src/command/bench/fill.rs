//! Data folders that measurements read: made once by the engine itself, kept, and found again by the next call.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, channel};
use std::time::{Duration, Instant};

use api::Origin;
use domain::name::{RunId, TargetId};
use engine::request::Said;
use tokio::sync::oneshot;

use super::flow::{Completed, NoOp, Triggers};
use crate::config::Effective;
use crate::node::{Bare, CarryOut, Message};

/// Without a run that gets further for this long something is stuck.
const STUCK: Duration = Duration::from_mins(5);
/// How many runs are under way while a folder is filled.
const IN_FLIGHT: usize = 512;
/// Targets are walked in turn in groups of so many: a run's records stand close together in the log, as in life.
const TARGETS_IN_TURN: usize = 1_000;

/// What a folder is to hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Content {
    /// Names the folder.
    pub name: &'static str,
    /// The workflow of every run.
    pub workflow: &'static str,
    pub runs: usize,
    /// How many runs each target gets.
    pub runs_per_target: usize,
}

/// The data folder below `place` that holds this; made when there is none.
pub(super) fn folder(place: &Path, content: &Content) -> Result<PathBuf, String> {
    let path = place.join(format!("{}-{}", content.name, content.runs));
    if path.is_dir() {
        return Ok(path);
    }
    // One that is not full has another name, so that it is never taken for this one.
    let making = place.join(format!("{}-{}.making", content.name, content.runs));
    let io = |error: std::io::Error| format!("failed to make `{}`: {error}", path.display());
    if making.is_dir() {
        std::fs::remove_dir_all(&making).map_err(io)?;
    }
    eprintln!("filling `{}` with {} runs", path.display(), content.runs);
    let mut load = Load::start(&making, content.workflow)?;
    load.fill(content)?;
    load.stop();
    std::fs::rename(&making, &path).map_err(io)?;
    Ok(path)
}

/// An engine over a folder, and who says things to it.
pub(super) struct Load {
    node: Bare,
    sender: SyncSender<Message>,
    completed: Receiver<Completed>,
    triggers: Triggers,
}

impl Load {
    pub(super) fn start(folder: &Path, workflow: &'static str) -> Result<Self, String> {
        let mut config = Effective::defaults().parse().map_err(|error| error.to_string())?;
        folder.clone_into(&mut config.store.data);
        // A desk takes whatever is under way: what is measured is no lack of workers.
        config.limits.backlog_max = config.limits.backlog_max.max(IN_FLIGHT * 2);
        let (sender, completed) = channel();
        let workers: Arc<dyn CarryOut> = Arc::new(NoOp::new(sender));
        let node = Bare::start(&config, &workers).map_err(|error| words(&error))?;
        let source = format!("/bench/{}", uuid::Uuid::new_v4());
        let triggers = Triggers::of(workflow, source)?;
        Ok(Self { sender: node.sender(), node, completed, triggers })
    }

    fn fill(&mut self, content: &Content) -> Result<(), String> {
        let mut under_way: BTreeSet<RunId> = BTreeSet::new();
        let (mut said, mut done, mut told) = (0, 0, Instant::now());
        while done < content.runs {
            while said < content.runs && under_way.len() < IN_FLIGHT {
                under_way.insert(self.say(&target_of(said, content)?)?);
                said += 1;
            }
            under_way.remove(&self.complete()?.run);
            done += 1;
            if told.elapsed() >= Duration::from_secs(10) {
                told = Instant::now();
                eprintln!("{done} of {}", content.runs);
            }
        }
        Ok(())
    }

    /// One run, from its trigger to the last outcome of its workers.
    pub(super) fn one(&mut self, target: &TargetId) -> Result<Duration, String> {
        let began = Instant::now();
        let run = self.say(target)?;
        loop {
            let completed = self.complete()?;
            if completed.run == run {
                return Ok(completed.at.saturating_duration_since(began));
            }
        }
    }

    fn say(&mut self, target: &TargetId) -> Result<RunId, String> {
        let trigger = self.triggers.next(target);
        let run = trigger.run();
        // What was answered is seen by how far the run gets.
        let (answer, _unheard) = oneshot::channel();
        let origin = Origin { input_id: run.to_string(), traceparent: None };
        let message = Message::Say { said: Said::Trigger(Box::new(trigger)), origin, answer };
        self.sender.send(message).map_err(|_| "the engine has ended")?;
        Ok(run)
    }

    fn complete(&self) -> Result<Completed, String> {
        self.completed.recv_timeout(STUCK).map_err(|_| format!("no run got further for {STUCK:?}"))
    }

    pub(super) fn stop(self) {
        self.node.stop();
    }
}

/// Where the `number`-th run goes: each target's runs one after another, with those of many others between them.
fn target_of(number: usize, content: &Content) -> Result<TargetId, String> {
    let group = TARGETS_IN_TURN * content.runs_per_target;
    let target = number / group * TARGETS_IN_TURN + number % TARGETS_IN_TURN;
    target_named(content.name, target)
}

pub(super) fn target_named(prefix: &str, number: usize) -> Result<TargetId, String> {
    TargetId::parse(&format!("{prefix}-{number}@production")).map_err(|error| error.to_string())
}

/// An error with its causes.
pub(super) fn words(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", words(source)),
        None => error.to_string(),
    }
}
