//! Looks at the topics hourly, and whenever a partition is claimed: what would lose or forge history stops the engine.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use engine::code::{Code, Stopped};
use log_kafka::topics::{self, Known, Problem, Stops, Wanted};
use log_kafka::{Bell, Settings};

/// What the topics should be, and are known as.
#[derive(Debug, Clone)]
pub struct Watched {
    pub wanted: Wanted,
    pub known: Known,
    pub every: Duration,
}

/// Why nothing may be decided any more, once it is known.
#[derive(Debug, Clone, Default)]
pub(super) struct Unsafe(Arc<Mutex<Option<Stopped>>>);

impl Unsafe {
    pub(super) fn take(&self) -> Option<Stopped> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set(&self, stopped: Stopped) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(stopped);
    }
}

/// The thread that looks. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    /// Dropped to end it.
    look: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    pub found: Unsafe,
}

impl Watch {
    pub fn start(settings: &Settings, watched: Watched, bell: &Bell) -> std::io::Result<Self> {
        // One look that is asked for is as good as many.
        let (look, asked) = sync_channel(1);
        let found = Unsafe::default();
        let thread = std::thread::Builder::new().name("topics".into()).spawn({
            let (settings, found, bell) = (settings.clone(), found.clone(), bell.clone());
            move || watch(&settings, &watched, &asked, &found, &bell)
        })?;
        Ok(Self { look: Some(look), thread: Some(thread), found })
    }

    /// Has it look now.
    pub fn ask(&self) {
        if let Some(look) = &self.look {
            // A look that is asked for already will do.
            let _asked = look.try_send(());
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.look.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that looks at the topics panicked");
        }
    }
}

fn watch(settings: &Settings, watched: &Watched, asked: &Receiver<()>, found: &Unsafe, bell: &Bell) {
    let mut told: Vec<Problem> = vec![];
    loop {
        match asked.recv_timeout(watched.every) {
            Ok(()) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let problems = match topics::check(settings, &watched.wanted, &watched.known) {
            Ok(problems) => problems,
            Err(error) => {
                tracing::warn!(%error, "the topics could not be looked at; they are the next time");
                continue;
            }
        };
        for problem in problems.iter().filter(|problem| !told.contains(problem)) {
            tracing::warn!(
                code = problem.code.as_str(),
                topic = problem.topic,
                found = problem.found,
                expected = problem.expected,
                hint = problem.mend,
                "a topic is not as it should be"
            );
        }
        if let Some(problem) = problems.iter().find(|problem| problem.stops == Stops::Start) {
            found.set(Stopped::new(Code::TopicsUnsafe, problem.to_string()));
            bell.ring();
        }
        told = problems;
    }
}
