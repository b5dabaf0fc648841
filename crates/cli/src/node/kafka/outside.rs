//! What an engine writes to topics that are not the log: commands, cancels, and inputs that nobody can read.

use domain::name::AttemptId;
use domain::refusal::Kind;
use engine::message::{self, Unrecorded};
use engine::partition::{Answer, Reply, WorkOrder};
use log_kafka::{Error, Publisher, Read, Topic, Write};
use wire::record::Lane;

use super::letter::{self, Why};

/// What became of a command.
#[derive(Debug)]
pub(super) struct Acknowledged {
    pub partition: u32,
    /// As the seat counted when it was sent.
    pub term: u64,
    pub seq: u64,
    /// To be sent again.
    pub failed: Option<(Write, Error)>,
}

pub(super) fn command(prefix: &str, order: &WorkOrder) -> Write {
    let attempt = order.command.attempt.to_string();
    let mut headers = vec![
        ("ce_specversion".to_owned(), b"1.0".to_vec()),
        ("ce_id".to_owned(), attempt.clone().into_bytes()),
        ("ce_type".to_owned(), b"io.modelrail.command.v1".to_vec()),
        ("ce_source".to_owned(), b"/modelrail/engine".to_vec()),
        ("content-type".to_owned(), b"application/protobuf".to_vec()),
    ];
    if let Some(trace) = &order.command.traceparent {
        headers.push(("traceparent".to_owned(), trace.as_bytes().to_vec()));
    }
    Write {
        topic: Topic::Commands(order.command.stage()).name(prefix),
        partition: None,
        key: attempt.into_bytes(),
        value: Some(message::encode_order(order)),
        headers,
    }
}

/// Tells whoever waits elsewhere what became of an input that left no record. One that is lost is asked again.
pub(super) fn answer(publisher: &Publisher, prefix: &str, partition: u32, reply: &Reply) {
    let (Lane::Requests | Lane::Triggers, Some(input_id)) = (reply.lane, reply.input_id.clone()) else {
        return;
    };
    let unrecorded = match reply.answer.clone() {
        Answer::Recorded { .. } => return,
        Answer::Repeat { seq, run, refused } => Unrecorded::Repeat { seq, run, refused },
        Answer::Refused(refusal) => Unrecorded::Refused(refusal),
    };
    let key = input_id.clone().into_bytes();
    let value = message::encode_answer(&message::Answer { partition, input_id, unrecorded });
    let write = Write { topic: Topic::Answers.name(prefix), key, value: Some(value), ..Write::default() };
    let sent = publisher.publish(&write, |result| {
        if let Err(error) = result {
            tracing::warn!(%error, "an answer was not delivered");
        }
    });
    if let Err(error) = sent {
        tracing::warn!(%error, "an answer was not sent");
    }
}

/// Says what an engine did not take of what came by a topic, where whoever wrote it waits for no answer. A late outcome is no
/// news.
pub(super) fn tell_refused(partition: u32, reply: &Reply) {
    let ((Lane::Triggers, Answer::Recorded { refused: Some(refusal), .. })
    | (Lane::Triggers | Lane::Outcomes, Answer::Refused(refusal))) = (reply.lane, &reply.answer)
    else {
        return;
    };
    // What a rollout worker observes is what is known already, most of the time.
    if refusal.kind == Kind::Late {
        return;
    }
    tracing::warn!(
        lane = ?reply.lane,
        partition,
        offset = reply.offset,
        input = reply.input_id.as_deref().unwrap_or_default(),
        code = refusal.code,
        text = refusal.text,
        hint = refusal.hint.as_deref().unwrap_or_default(),
        "an input is refused"
    );
}

/// A lost cancel costs work that nobody waits for.
pub(super) fn cancel(publisher: &Publisher, prefix: &str, attempt: &AttemptId) {
    let write = Write {
        topic: Topic::Cancels.name(prefix),
        key: attempt.to_string().into_bytes(),
        value: Some(message::encode_cancel(attempt)),
        ..Write::default()
    };
    let text = attempt.to_string();
    let sent = publisher.publish(&write, move |result| {
        if let Err(error) = result {
            tracing::warn!(attempt = text, %error, "a cancel was not delivered");
        }
    });
    if let Err(error) = sent {
        tracing::warn!(%attempt, %error, "a cancel was not sent");
    }
}

/// Puts what cannot be read where people find it, with the reason and where it came from.
pub(super) fn bury(publisher: &Publisher, prefix: &str, read: &Read, why: &str) {
    tracing::error!(
        topic = read.topic,
        partition = read.partition,
        offset = read.offset,
        why,
        "an input that cannot be read"
    );
    let write = letter::bury(prefix, read, &Why::new("UNREADABLE", why));
    let sent = publisher.publish(&write, |result| {
        if let Err(error) = result {
            tracing::error!(%error, "a dead letter was not kept; the input stays in its lane");
        }
    });
    if let Err(error) = sent {
        tracing::error!(%error, "a dead letter was not sent; the input stays in its lane");
    }
}
