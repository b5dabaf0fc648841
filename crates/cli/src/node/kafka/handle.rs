//! The engine as the API sees it in distributed mode: what is said goes into its lane, and the answer is read from
//! the log.

use std::sync::Arc;
use std::time::Duration;

use api::{NotSubmitted, Origin, Submitted};
use async_trait::async_trait;
use domain::name::{RunId, StreamId, TargetId};
use domain::refusal::{Kind, Refusal};
use engine::code::refused;
use engine::message;
use engine::partition::Answer;
use engine::placement::partition_of;
use engine::port::store::Store;
use engine::request::{Request, Said};
use log_kafka::{Error, Publisher, Topic, Write};
use tokio::sync::{oneshot, watch};
use wire::record::Lane;

use super::ingress;
use super::shown::{Hindered, Shown};
use super::waiting::Waiting;

const BY_ITSELF: &str = "it goes on by itself; try again in a moment";

#[derive(Debug)]
pub(super) struct Handle {
    pub(super) publisher: Publisher,
    pub(super) prefix: String,
    pub(super) partitions: u32,
    pub(super) store: Arc<dyn Store>,
    pub(super) waiting: Arc<Waiting>,
    pub(super) shown: Arc<Shown>,
    pub(super) changes: watch::Receiver<u64>,
    /// How this instance names itself as a source.
    pub(super) source: String,
    /// What the ingress of this process took, if it has one.
    pub(super) taken: Option<Arc<ingress::Counts>>,
}

/// Where an input goes.
struct Address {
    partitions: Vec<u32>,
    /// What the record is keyed by.
    key: String,
}

#[async_trait]
impl api::Engine for Handle {
    async fn submit(&self, said: Said, origin: Origin, wait: Duration) -> Result<Submitted, NotSubmitted> {
        self.ready()?;
        let address = match self.address(&said) {
            Ok(address) => address,
            Err(refusal) => return Ok(Submitted::Decided(Answer::Refused(refusal))),
        };
        let (lane, kind) = match &said {
            Said::Trigger(_) => (Lane::Triggers, "io.modelrail.trigger.v1"),
            Said::Request(_) => (Lane::Requests, "io.modelrail.request.v1"),
            Said::Report(_) | Said::Observed { .. } => (Lane::Outcomes, "io.modelrail.outcome.v1"),
        };
        let mut headers = vec![
            ("ce_specversion".to_owned(), b"1.0".to_vec()),
            ("ce_id".to_owned(), origin.input_id.clone().into_bytes()),
            ("ce_type".to_owned(), kind.as_bytes().to_vec()),
            ("ce_source".to_owned(), self.source.clone().into_bytes()),
            ("content-type".to_owned(), b"application/protobuf".to_vec()),
        ];
        if let Some(trace) = origin.traceparent {
            headers.push(("traceparent".to_owned(), trace.into_bytes()));
        }
        let write = Write {
            topic: Topic::Lane(lane).name(&self.prefix),
            partition: None,
            key: address.key.into_bytes(),
            value: Some(message::encode_said(&said)),
            headers,
        };
        let input_id = &origin.input_id;
        let answered = tokio::time::timeout(wait, self.answers(&address.partitions, input_id, &write)).await;
        for partition in &address.partitions {
            self.waiting.forget(*partition, input_id);
        }
        answered.unwrap_or(Ok(Submitted::Pending))
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }

    fn behind(&self) -> Option<NotSubmitted> {
        self.shown.behind().map(reading)
    }

    fn ready(&self) -> Result<(), NotSubmitted> {
        self.shown.ready().map_err(|hindered| match hindered {
            Hindered::Ended(text) => {
                NotSubmitted::Suspended { code: "ENDED", text, hint: "the process ends; another serves" }
            }
            Hindered::Stopped(stopped) => NotSubmitted::Stopped(stopped),
            Hindered::Suspended(code, text) => NotSubmitted::Suspended { code, text, hint: BY_ITSELF },
            Hindered::Behind(partitions) => reading(partitions),
            Hindered::Away(text) => {
                NotSubmitted::Suspended { code: refused::LOG_AWAY, text, hint: BY_ITSELF }
            }
        })
    }

    fn metrics(&self) -> String {
        let taken = self.taken.as_ref().map(|taken| taken.render());
        self.shown.render() + &taken.unwrap_or_default()
    }
}

impl Handle {
    /// Says it to each partition, and waits for the answers in the log. A definition is decided when all decided it;
    /// the first refusal is the answer.
    async fn answers(
        &self,
        partitions: &[u32],
        input_id: &str,
        write: &Write,
    ) -> Result<Submitted, NotSubmitted> {
        let mut said = vec![];
        for partition in partitions {
            let answered = self.waiting.wait_for(*partition, input_id).ok_or(NotSubmitted::Busy)?;
            let write = Write { partition: Some(*partition), ..write.clone() };
            let (told, landed) = oneshot::channel();
            let sent = self.publisher.publish(&write, move |result| drop(told.send(result)));
            sent.map_err(|error| not_sent(&error))?;
            said.push((landed, answered));
        }
        let mut last = None;
        for (landed, answered) in said {
            match landed.await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(not_sent(&error)),
                Err(_) => return Err(NotSubmitted::Closing),
            }
            let answer = answered.await.map_err(|_| NotSubmitted::Closing)?;
            let is_refused = matches!(answer, Answer::Refused(_) | Answer::Recorded { refused: Some(_), .. });
            last = Some(answer);
            if is_refused {
                break;
            }
        }
        Ok(last.map_or(Submitted::Pending, Submitted::Decided))
    }

    fn address(&self, said: &Said) -> Result<Address, Refusal> {
        let of_target = |target: &TargetId| Address {
            partitions: vec![partition_of(target, self.partitions)],
            key: target.to_string(),
        };
        match said {
            Said::Trigger(trigger) => Ok(of_target(&trigger.target)),
            Said::Observed { target, .. } => Ok(of_target(target)),
            Said::Report(report) => match &report.attempt.owner {
                StreamId::Target(target) => Ok(of_target(target)),
                StreamId::Run(run) => self.of_run(*run),
                StreamId::Definitions => Ok(self.everywhere()),
            },
            Said::Request(request) => match &**request {
                Request::Define(_) => Ok(self.everywhere()),
                Request::Run { run, .. } => self.of_run(*run),
                Request::Target { target, .. } => Ok(of_target(target)),
            },
        }
    }

    fn everywhere(&self) -> Address {
        Address { partitions: (0..self.partitions).collect(), key: "definitions".to_owned() }
    }

    fn of_run(&self, run: RunId) -> Result<Address, Refusal> {
        let refusal = |kind, code: &str, text, hint: Option<&str>| Refusal {
            kind,
            code: code.to_owned(),
            text,
            hint: hint.map(str::to_owned),
        };
        match self.store.run(run) {
            Ok(Some(row)) => Ok(Address { partitions: vec![row.partition], key: row.target.to_string() }),
            Ok(None) => Err(refusal(
                Kind::State,
                refused::UNKNOWN_RUN,
                format!("expected a run {run}, but there is none"),
                Some("list runs with `modelrail runs`"),
            )),
            Err(error) => {
                Err(refusal(Kind::Busy, engine::code::Code::StoreFailed.as_str(), error.to_string(), None))
            }
        }
    }
}

/// Of a process that has not read so many partitions to their ends.
fn reading(partitions: usize) -> NotSubmitted {
    let text = Hindered::Behind(partitions).to_string();
    NotSubmitted::Suspended { code: "READING", text, hint: BY_ITSELF }
}

fn not_sent(error: &Error) -> NotSubmitted {
    match error {
        Error::Full => NotSubmitted::Busy,
        other => NotSubmitted::Suspended {
            code: refused::LOG_AWAY,
            text: other.to_string(),
            hint: "whether it landed is not known: ask again under the same id",
        },
    }
}
