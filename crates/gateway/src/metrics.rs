//! What the gateway counts, and its OpenMetrics text.
//!
//! Invariant: counters only grow while their release is named by a table. Labels are targets and versions: of low
//! cardinality, never callers.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use domain::model::Release;
use domain::name::TargetId;

use crate::tables::Observed;

/// Counts of a whole gateway.
#[derive(Debug, Default)]
pub struct Counts {
    pub requests: AtomicU64,
    /// Refused by the gateway itself as the caller's mistake (4xx).
    pub refused: AtomicU64,
    /// Refused by the gateway for want of a release or of room (503).
    pub unserved: AtomicU64,
    /// Callers that hung up before the answer.
    pub hung_up: AtomicU64,
    /// Led anew by a newer table because the chosen release was gone.
    pub rerouted: AtomicU64,
    pub predictions_written: AtomicU64,
    /// Dropped because the queue was full.
    pub predictions_dropped: AtomicU64,
    /// Given to the prediction log, which failed.
    pub predictions_lost: AtomicU64,
    pub labels: AtomicU64,
    pub tables_applied: AtomicU64,
    pub tables_refused: AtomicU64,
    pub kills: AtomicU64,
}

/// Counts of one release at one target, from the table that first named it.
#[derive(Debug)]
pub struct ReleaseCounts {
    pub target: TargetId,
    pub release: Release,
    pub requests: AtomicU64,
    /// Errors of the release: 5xx, refused, timed out.
    pub errors: AtomicU64,
    pub latency_us: AtomicU64,
    pub in_flight: AtomicU64,
}

impl ReleaseCounts {
    pub(crate) fn new(target: TargetId, release: Release) -> Self {
        let [requests, errors, latency_us, in_flight] = [0; 4].map(AtomicU64::new);
        Self { target, release, requests, errors, latency_us, in_flight }
    }
}

type Family<T> = (&'static str, &'static str, fn(&T) -> &AtomicU64);

const GATEWAY: [Family<Counts>; 12] = [
    ("requests", "Requests to infer.", |it| &it.requests),
    ("requests_refused", "Requests refused as the caller's mistake.", |it| &it.refused),
    ("requests_unserved", "Requests that found no release or no room.", |it| &it.unserved),
    ("requests_hung_up", "Requests whose caller hung up.", |it| &it.hung_up),
    ("requests_rerouted", "Requests led anew because a release was gone.", |it| &it.rerouted),
    ("predictions_written", "Predictions written.", |it| &it.predictions_written),
    ("predictions_dropped", "Predictions dropped at a full queue.", |it| &it.predictions_dropped),
    ("predictions_lost", "Predictions that the log failed to take.", |it| &it.predictions_lost),
    ("labels", "Labels taken.", |it| &it.labels),
    ("tables_applied", "Route tables taken.", |it| &it.tables_applied),
    ("tables_refused", "Route tables refused.", |it| &it.tables_refused),
    ("kills", "Uses of the kill switch.", |it| &it.kills),
];

const RELEASE: [Family<ReleaseCounts>; 2] = [
    ("release_requests", "Requests that a release answered.", |it| &it.requests),
    ("release_errors", "Errors of a release.", |it| &it.errors),
];

/// The families in OpenMetrics text, without the closing `# EOF`: the caller may have more.
pub(crate) fn render(
    prefix: &str,
    counts: &Counts,
    releases: &[Arc<ReleaseCounts>],
    observed: &[Observed],
) -> String {
    let mut text = String::new();
    for (name, help, value) in GATEWAY {
        head(&mut text, prefix, name, "counter", help);
        line(&mut text, format_args!("{prefix}gateway_{name}_total {}", value(counts).load(Relaxed)));
    }
    for (name, help, value) in RELEASE {
        head(&mut text, prefix, name, "counter", help);
        for release in releases {
            let labels = labels(release);
            line(
                &mut text,
                format_args!("{prefix}gateway_{name}_total{labels} {}", value(release).load(Relaxed)),
            );
        }
    }
    head(&mut text, prefix, "release_latency_seconds", "summary", "Time until a release had answered.");
    for release in releases {
        let (labels, seconds) = (labels(release), release.latency_us.load(Relaxed) as f64 / 1e6);
        line(&mut text, format_args!("{prefix}gateway_release_latency_seconds_sum{labels} {seconds}"));
        let requests = release.requests.load(Relaxed);
        line(&mut text, format_args!("{prefix}gateway_release_latency_seconds_count{labels} {requests}"));
    }
    head(&mut text, prefix, "release_in_flight", "gauge", "Requests that a release is at.");
    for release in releases {
        let (labels, number) = (labels(release), release.in_flight.load(Relaxed));
        line(&mut text, format_args!("{prefix}gateway_release_in_flight{labels} {number}"));
    }
    head(&mut text, prefix, "generation", "gauge", "Generation of the route table that is obeyed.");
    for Observed { target, generation, .. } in observed {
        let generation = generation.unwrap_or_default();
        line(&mut text, format_args!("{prefix}gateway_generation{{target=\"{target}\"}} {generation}"));
    }
    head(&mut text, prefix, "overridden", "gauge", "Whether the kill switch is on.");
    for Observed { target, overridden, .. } in observed {
        let overridden = u8::from(overridden.is_some());
        line(&mut text, format_args!("{prefix}gateway_overridden{{target=\"{target}\"}} {overridden}"));
    }
    text
}

fn labels(counts: &ReleaseCounts) -> String {
    let (target, release) = (&counts.target, &counts.release);
    format!("{{target=\"{target}\",release=\"{}\",bundle=\"{}\"}}", release.version, release.bundle.short())
}

fn head(text: &mut String, prefix: &str, name: &str, kind: &str, help: &str) {
    line(text, format_args!("# TYPE {prefix}gateway_{name} {kind}"));
    line(text, format_args!("# HELP {prefix}gateway_{name} {help}"));
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("writing to a String cannot fail");
}
