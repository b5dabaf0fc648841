//! Where a worker's answers and signs of life go: the lane of outcomes, and the topic of heartbeats.

use std::sync::mpsc::Sender;

use domain::name::TargetId;
use engine::desk::Heartbeat;
use engine::message;
use engine::placement::partition_of;
use engine::request::{Report, Said};
use log_kafka::{Bulk, Headers, Settings, Topic, Write};
use wire::record::Lane;

use crate::node::desks::{DeskMessage, Home};

#[derive(Debug)]
pub(super) struct Topics {
    bulk: Bulk,
    outcomes: String,
    heartbeats: String,
    /// Of the log, and of its lanes.
    partitions: u32,
    source: String,
}

impl Topics {
    /// `source` is how this worker calls itself.
    pub(super) fn new(settings: &Settings, bulk: &Bulk, partitions: u32, source: &str) -> Self {
        Self {
            bulk: bulk.clone(),
            outcomes: Topic::Lane(Lane::Outcomes).name(&settings.prefix),
            heartbeats: Topic::Heartbeats.name(&settings.prefix),
            partitions,
            source: source.to_owned(),
        }
    }

    fn headers(&self, id: &str, kind: &str) -> Headers {
        [
            ("ce_specversion", "1.0"),
            ("ce_id", id),
            ("ce_type", kind),
            ("ce_source", &self.source),
            ("content-type", "application/protobuf"),
        ]
        .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
        .into()
    }
}

impl Home for Topics {
    /// What did not land, or may not have, is sent again by the desk.
    fn report(&self, target: &TargetId, report: Report, desk: &Sender<DeskMessage>) {
        let attempt = report.attempt.clone();
        let write = Write {
            topic: self.outcomes.clone(),
            partition: Some(partition_of(target, self.partitions)),
            key: target.to_string().into_bytes(),
            headers: self.headers(&attempt.to_string(), "io.modelrail.outcome.v1"),
            value: Some(message::encode_said(&Said::Report(Box::new(report)))),
        };
        let (desk, about) = (desk.clone(), attempt.clone());
        let sent = self.bulk.publish(&write, move |result| match result {
            // A desk that has ended sends it again at its next start.
            Ok(_) => drop(desk.send(DeskMessage::Acknowledged(about))),
            Err(error) => tracing::warn!(attempt = %about, %error, "an outcome may not have landed"),
        });
        if let Err(error) = sent {
            tracing::warn!(%attempt, %error, "an outcome was not sent");
        }
    }

    fn heard(&self, beat: Heartbeat) {
        let attempt = beat.attempt.to_string();
        let write = Write {
            topic: self.heartbeats.clone(),
            key: attempt.clone().into_bytes(),
            headers: self.headers(&format!("{attempt}@{}", beat.at.0), "io.modelrail.heartbeat.v1"),
            value: Some(message::encode_heartbeat(&beat)),
            ..Write::default()
        };
        let sent = self.bulk.prompt().publish(&write, move |result| {
            if let Err(error) = result {
                tracing::debug!(attempt, %error, "a sign of life did not arrive");
            }
        });
        if let Err(error) = sent {
            tracing::debug!(%error, "a sign of life was not sent");
        }
    }
}
