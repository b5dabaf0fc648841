//! The process that is killed: the engine of one data folder, its orders on stdout, its answers on stdin.

use std::io::{self, BufWriter, Stdout, Write as _};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use api::Origin;
use clap::Args;
use domain::time::Timestamp;
use engine::partition::Answer;
use engine::request::Said;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::super::flow::Triggers;
use super::line::{self, Heard, Phases, Told, Work};
use super::ms;
use crate::config::Effective;
use crate::exit::{Exit, Failure};
use crate::node::{DeskMessage, EngineAlone, Message, messages};

#[derive(Debug, Args)]
pub struct NodeArguments {
    #[arg(long)]
    folder: PathBuf,
    /// What the triggers say they come from.
    #[arg(long)]
    source: String,
}

/// Runs until stdin ends, or it is killed.
pub(in super::super) fn node(arguments: &NodeArguments) -> Result<Exit, Failure> {
    run(arguments).map_err(|error| Failure::new(Exit::Failed, "BENCH", error.to_string()))?;
    Ok(Exit::Good)
}

fn run(arguments: &NodeArguments) -> io::Result<()> {
    let mut config = Effective::defaults().parse().map_err(io::Error::other)?;
    arguments.folder.clone_into(&mut config.store.data);
    let (orders, taken) = channel();
    let (sender, receiver) = messages(config.limits.messages_max);
    let engine =
        EngineAlone::start(&config, (sender.clone(), receiver), &orders).map_err(io::Error::other)?;
    let phases = Phases {
        folder_ms: ms(engine.opened.folder),
        view_ms: ms(engine.opened.view),
        catch_up_ms: ms(engine.opened.catch_up),
        claim_ms: ms(engine.opened.claim),
        records: engine.opened.records,
    };
    let out = Out(Arc::new(Mutex::new(BufWriter::new(io::stdout()))));
    out.say([Heard::Up(phases)])?;
    let forward = std::thread::Builder::new().name("orders".into()).spawn({
        let out = out.clone();
        move || forward(&taken, &out)
    })?;
    let triggers = Triggers::new(arguments.source.clone()).map_err(io::Error::other)?;
    listen(&triggers, &sender, &orders, &out)?;
    engine.stop().map_err(io::Error::other)?;
    drop(orders);
    forward.join().map_err(|_| line::bad("the thread of the orders panicked"))?
}

/// What is told, to the engine.
fn listen(
    triggers: &Triggers,
    engine: &SyncSender<Message>,
    desk: &Sender<DeskMessage>,
    out: &Out,
) -> io::Result<()> {
    let (mut stdin, mut text) = (io::stdin().lock(), String::new());
    while let Some(told) = line::read(&mut stdin, &mut text)? {
        let message = match told {
            Told::Trigger { number, target } => {
                let trigger = triggers.numbered(number, &line::target_of(&target)?);
                let origin = Origin { input_id: trigger.run().to_string(), traceparent: None };
                let (answer, answered) = oneshot::channel();
                let out = out.clone();
                Handle::current().spawn(async move {
                    if let Ok(answer) = answered.await {
                        // Whom it cannot be told asks again.
                        drop(out.say([answered_as(number, answer)]));
                    }
                });
                Message::Say { said: Said::Trigger(Box::new(trigger)), origin, answer }
            }
            Told::Report { attempt, token, answer } => {
                let report = Box::new(line::report(&attempt, &token, &answer)?);
                Message::Report { report, desk: desk.clone() }
            }
            Told::Heard { attempt, at } => {
                Message::Heard { attempt: line::attempt_of(&attempt)?, at: Timestamp(at) }
            }
        };
        engine.send(message).map_err(|_| line::bad("the engine has ended"))?;
    }
    Ok(())
}

fn answered_as(number: u64, answer: Answer) -> Heard {
    let (seq, refused) = match answer {
        Answer::Recorded { seq, refused, .. } => (Some(seq), refused),
        Answer::Repeat { seq, refused, .. } => (seq, refused),
        Answer::Refused(refusal) => (None, Some(refusal)),
    };
    Heard::Answered { number, seq, refused: refused.map(|refusal| refusal.to_string()) }
}

/// What the engine wants, to stdout; together what comes together.
fn forward(taken: &Receiver<DeskMessage>, out: &Out) -> io::Result<()> {
    while let Ok(first) = taken.recv() {
        let mut last = None;
        let mut heard = vec![];
        for message in std::iter::once(first).chain(taken.try_iter()) {
            match message {
                DeskMessage::Order(order) => heard.push(Heard::Order(Box::new(Work::of(&order)?))),
                // It is told to the desk of each stage; all of them are one here.
                DeskMessage::Cancel(attempt) if last.as_ref() == Some(&attempt) => {}
                DeskMessage::Cancel(attempt) => {
                    heard.push(Heard::Cancel { attempt: attempt.to_string() });
                    last = Some(attempt);
                }
                DeskMessage::Acknowledged(attempt) => {
                    heard.push(Heard::Acknowledged { attempt: attempt.to_string() });
                }
                DeskMessage::Command { .. }
                | DeskMessage::Unreadable { .. }
                | DeskMessage::Finished { .. }
                | DeskMessage::Drain(_)
                | DeskMessage::Stop => {}
            }
        }
        out.say(heard)?;
    }
    Ok(())
}

/// Stdout, whole lines at a time.
#[derive(Debug, Clone)]
struct Out(Arc<Mutex<BufWriter<Stdout>>>);

impl Out {
    fn say(&self, all: impl IntoIterator<Item = Heard>) -> io::Result<()> {
        let mut out = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.into_iter().try_for_each(|heard| line::write(&mut *out, &heard))?;
        out.flush()
    }
}
