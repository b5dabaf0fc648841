//! Verifies the whole log: the chain, and every recorded input decided again.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use domain::name::{Digest, StreamId};
use engine::chain::Identity;
use engine::port::row::Withheld;
use engine::replay::{self, BrokenChapter, ReadError, Report};

use super::{Access, Route};
use crate::api::Api;
use crate::problem::Problem;
use crate::view::{DifferenceView, Fault, PartitionVerified, VerifyView};

pub(super) fn routes() -> Vec<Route> {
    vec![Route {
        method: "post",
        path: "/v1/verify",
        summary: "Verifies the log: its chain of hashes, and every recorded input decided again.",
        access: Access::Token,
        query: &[],
        body: None,
        answers: &[(200, "VerifyView")],
        on: post(verify),
    }]
}

async fn verify(State(api): State<Arc<Api>>) -> Result<Json<VerifyView>, Problem> {
    // It reads all there is: once at a time.
    let Ok(_turn) = api.verifying.try_lock() else {
        let text = "expected to verify, but another verification is under way";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "BUSY", text)
            .hint("try again when it has ended")
            .retry_later());
    };
    api.read(|api| {
        let partitions = 0..api.ports.log.partitions();
        let partitions: Vec<PartitionVerified> =
            partitions.map(|partition| one(api, partition)).collect::<Result<_, _>>()?;
        let good = partitions.iter().all(is_good);
        Ok(Json(VerifyView { good, partitions }))
    })
    .await
}

fn is_good(partition: &PartitionVerified) -> bool {
    let same_revision =
        partition.differences.iter().all(|difference| difference.decide_revision != engine::DECIDE_REVISION);
    let true_chapters = partition.chapters_broken == 0;
    partition.broken.is_none() && partition.rows_differing.is_empty() && same_revision && true_chapters
}

fn one(api: &Api, partition: u32) -> Result<PartitionVerified, Problem> {
    let log = &*api.ports.log;
    let identity = Identity { log_id: None, partition, partitions: log.partitions() };
    let reader = replay::Reader::new(identity, api.ports.parsers);
    match replay::verify_log(log, partition, reader, &|_| {}) {
        Ok(report) => {
            if log.has_one_writer()
                && let Err(error) = report.check_end()
            {
                return Ok(broken(partition, &error));
            }
            let rows_differing = report.rows_differing(partition, &*api.ports.store)?;
            Ok(verified(partition, &report, rows_differing))
        }
        // A log that cannot be reached is an error; one that breaks is a finding.
        Err(ReadError::Source(error)) => Err(error.into()),
        Err(error) => Ok(broken(partition, &error)),
    }
}

fn verified(partition: u32, report: &Report, rows_differing: Vec<String>) -> PartitionVerified {
    PartitionVerified {
        partition,
        records: report.head.seq,
        losers: report.head.losers,
        transitions: report.transitions,
        decided: report.decided,
        other_revisions: report.other_revisions,
        differing: report.differing,
        differences: report
            .differences
            .iter()
            .map(|difference| DifferenceView {
                seq: difference.seq,
                input: difference.input.to_owned(),
                decide_revision: difference.decide_revision,
                recorded: difference.recorded.clone(),
                again: difference.again.clone(),
            })
            .collect(),
        chapters: report.chapters.compared,
        chapters_broken: report.chapters.broken,
        broken_chapters: report.chapters.broken_first.iter().map(broken_chapter).collect(),
        rows_differing,
        withheld: report.withheld.iter().map(withheld).collect(),
        head: Some(report.head.hash).filter(|hash| *hash != Digest([0; 32])).map(|hash| hash.to_string()),
        state: Some(report.state.to_string()),
        broken: None,
    }
}

fn withheld((stream, withheld): &(StreamId, Withheld)) -> String {
    let Withheld { quarantined, parked, held } = withheld;
    match (parked, quarantined) {
        (Some(why), _) => format!("{stream} needs an upgrade: {why}"),
        (None, Some(why)) => format!("{stream} is quarantined, {held} inputs are held: {why}"),
        (None, None) => format!("{stream} has {held} held inputs to decide"),
    }
}

fn broken_chapter(broken: &BrokenChapter) -> String {
    let BrokenChapter { seq, stream, number, carried, folded } = broken;
    format!(
        "chapter {number} of {stream}, in record {seq}, carries {}, but the chapter before folds to {}",
        carried.short(),
        folded.short()
    )
}

fn broken(partition: u32, error: &ReadError) -> PartitionVerified {
    let (records, code, hint) = match error {
        ReadError::Source(_) => (0, "LOG_UNREADABLE", "look at the disk"),
        ReadError::Broken { after, source } => (*after, source.code.as_str(), source.code.hint()),
        ReadError::Unreadable { after: read, .. }
        | ReadError::Gone { offset: read }
        | ReadError::Changed { at: read, .. } => {
            let code = engine::code::Code::RecordUnreadable;
            (*read, code.as_str(), "restore the log from a copy")
        }
    };
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(next) = source {
        text.push_str(": ");
        text.push_str(&next.to_string());
        source = next.source();
    }
    let fault = Fault {
        code: code.to_owned(),
        text,
        hint: Some(hint.to_owned()),
        field: None,
        line: None,
        column: None,
    };
    PartitionVerified {
        partition,
        records,
        losers: 0,
        transitions: 0,
        decided: 0,
        other_revisions: 0,
        differing: 0,
        differences: vec![],
        chapters: 0,
        chapters_broken: 0,
        broken_chapters: vec![],
        rows_differing: vec![],
        withheld: vec![],
        head: None,
        state: None,
        broken: Some(fault),
    }
}
