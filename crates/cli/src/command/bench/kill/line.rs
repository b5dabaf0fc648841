//! What the engine's process and its workers' say to each other: one JSON object a line.
//!
//! Of a command only that is said which a worker that does nothing looks at.

use std::io::{self, BufRead, BufWriter, Write};
use std::process::ChildStdin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::name::{AttemptId, BadName, Digest, TargetId};
use domain::work::{Command, Order};
use engine::partition::WorkOrder;
use engine::request::{Report, WorkerAnswer};
use engine::token::Token;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// To the engine.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Told {
    Trigger { number: u64, target: String },
    Report { attempt: String, token: String, answer: Answer },
    Heard { attempt: String, at: u64 },
}

/// From the engine.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Heard {
    /// It is open; the parts of it in milliseconds.
    Up(Phases),
    /// Of a trigger: the record that it stands in, where that is known.
    Answered {
        number: u64,
        seq: Option<u64>,
        refused: Option<String>,
    },
    Order(Box<Work>),
    Cancel {
        attempt: String,
    },
    Acknowledged {
        attempt: String,
    },
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Phases {
    /// The database: its logs are read again.
    pub(super) folder_ms: f64,
    /// What the view knows of each partition.
    pub(super) view_ms: f64,
    /// The end of the log, which the view lacks.
    pub(super) catch_up_ms: f64,
    /// Every partition is claimed, and what is outstanding is found.
    pub(super) claim_ms: f64,
    /// How many the log has now.
    pub(super) records: u64,
}

impl Phases {
    /// All of it since the program began to open the folder.
    pub(super) fn opening_ms(&self) -> f64 {
        self.folder_ms + self.view_ms + self.catch_up_ms + self.claim_ms
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// An outcome as the journal keeps it.
    Done(String),
    Declined(String),
}

/// A command, as far as a worker that does nothing looks at it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Work {
    pub(super) attempt: String,
    pub(super) token: String,
    pub(super) epoch: u64,
    pub(super) target: String,
    pub(super) effect_key: String,
    pub(super) issued_at: u64,
    pub(super) lease_ms: u64,
    pub(super) what: What,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum What {
    Package { version: String },
    Test,
    Plan,
    Measure,
    Prepare { bundles: Vec<String> },
    Apply { generation: u64 },
}

/// What cannot be understood, with what it was.
pub(super) fn bad(what: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_string())
}

impl Work {
    pub(super) fn of(order: &WorkOrder) -> io::Result<Self> {
        let Command { attempt, target, effect_key, order: what, issued_at, lease, .. } = &order.command;
        let what = match what {
            Order::Package(package) => What::Package { version: package.trained.version.to_string() },
            Order::Test(_) => What::Test,
            Order::Plan(_) => What::Plan,
            Order::Measure(_) => What::Measure,
            Order::Prepare(prepare) => What::Prepare {
                bundles: prepare.releases.iter().map(|release| release.bundle.to_string()).collect(),
            },
            Order::Apply(apply) => What::Apply { generation: apply.table.generation.0 },
            Order::Notify(_) | Order::Watch(_) => {
                return Err(bad("the workflow asks nobody and watches nothing"));
            }
        };
        Ok(Self {
            attempt: attempt.to_string(),
            token: hex::encode(order.token.0),
            epoch: order.epoch,
            target: target.to_string(),
            effect_key: effect_key.to_string(),
            issued_at: issued_at.0,
            lease_ms: lease.0,
            what,
        })
    }
}

impl Told {
    pub(super) fn of(report: &Report) -> Self {
        let answer = match &report.answer {
            WorkerAnswer::Done(outcome) => Answer::Done(hex::encode(wire::codec::encode_outcome(outcome))),
            WorkerAnswer::Declined(reason) => Answer::Declined(reason.to_string()),
        };
        Self::Report { attempt: report.attempt.to_string(), token: hex::encode(report.token.0), answer }
    }
}

pub(super) fn report(attempt: &str, token: &str, answer: &Answer) -> io::Result<Report> {
    let answer = match answer {
        Answer::Done(outcome) => {
            let bytes = hex::decode(outcome).map_err(bad)?;
            WorkerAnswer::Done(wire::codec::decode_outcome(&bytes).map_err(bad)?)
        }
        Answer::Declined(reason) => WorkerAnswer::Declined(reason.as_str().into()),
    };
    Ok(Report { attempt: attempt_of(attempt)?, token: token_of(token)?, answer })
}

pub(super) fn token_of(text: &str) -> io::Result<Token> {
    let bytes = hex::decode(text).map_err(bad)?;
    Ok(Token(bytes.try_into().map_err(|_| bad("a token of another length"))?))
}

pub(super) fn attempt_of(text: &str) -> io::Result<AttemptId> {
    AttemptId::parse(text).map_err(|error: BadName| bad(error))
}

pub(super) fn target_of(text: &str) -> io::Result<TargetId> {
    TargetId::parse(text).map_err(bad)
}

pub(super) fn digest_of(text: &str) -> io::Result<Digest> {
    Digest::parse(text).map_err(bad)
}

pub(super) fn write(to: &mut impl Write, what: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *to, what).map_err(io::Error::other)?;
    to.write_all(b"\n")
}

/// The next line; nothing at the end, nor for a line that a kill cut off.
pub(super) fn read<T: DeserializeOwned>(from: &mut impl BufRead, line: &mut String) -> io::Result<Option<T>> {
    line.clear();
    from.read_line(line)?;
    if !line.ends_with('\n') {
        return Ok(None);
    }
    serde_json::from_str(line).map(Some).map_err(io::Error::other)
}

/// The way to an engine that may be dead: what is said then is lost.
#[derive(Debug, Default)]
pub(super) struct Line(Mutex<Option<BufWriter<ChildStdin>>>);

impl Line {
    fn lock(&self) -> MutexGuard<'_, Option<BufWriter<ChildStdin>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn connect(&self, stdin: ChildStdin) {
        *self.lock() = Some(BufWriter::new(stdin));
    }

    pub(super) fn cut(&self) {
        // What is buffered is said to nobody.
        if let Some(writer) = self.lock().take() {
            drop(writer.into_parts());
        }
    }

    pub(super) fn tell<'a>(&self, all: impl IntoIterator<Item = &'a Told>) {
        let mut line = self.lock();
        let Some(writer) = line.as_mut() else { return };
        let told = all.into_iter().try_for_each(|told| write(writer, told)).and_then(|()| writer.flush());
        if told.is_err() {
            *line = None;
        }
    }
}
