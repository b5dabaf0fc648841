//! Tests a bundle in a staging environment, over the network, as a client would.
//!
//! To add a check: its parameters and judgement in `domain::check`, one file here, one row in [`measure`].
//!
//! **Invariant:** what is tested are the bytes that the bundle's digest names, read and verified here, and they were
//! loaded from the first check to the last: else nothing was found out. The bundle is not kept when the tests end, however
//! they end.

pub(crate) mod answer;
pub mod client;
mod contract;
pub(crate) mod evaluation;
mod latency;
mod quality;
mod smoke;

use domain::check::{Check, Kind};
use domain::evidence::{BlobRef, Finding, MEASUREMENTS_MAX, Measurement};
use domain::work::{self, Outcome};

use crate::bundle::{Bundle, read_trusted};
use crate::evidence::{Gathered, finding};
use crate::port::{Serving, ServingError};
use crate::trouble::Trouble;
use crate::{Attempt, Workers};
use client::Client;

/// What a check can use.
pub(crate) struct Subject<'a> {
    pub workers: &'a Workers,
    pub attempt: Attempt<'a>,
    pub order: &'a work::Test,
    pub bundle: &'a Bundle,
    pub client: &'a Client,
    /// Asked once for all checks that need it.
    pub answers: evaluation::Answers,
}

/// What one check saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub measurements: Vec<Measurement>,
    pub findings: Vec<Finding>,
    pub blobs: Vec<BlobRef>,
}

type Measure = fn(&Subject<'_>, &Check) -> Result<Seen, Trouble>;

/// What measures a check; none for those that need production traffic.
fn measure(kind: &Kind) -> Option<Measure> {
    match kind {
        Kind::Smoke(_) => Some(smoke::measure),
        Kind::Contract(_) => Some(contract::measure),
        Kind::Quality(_) => Some(quality::measure),
        Kind::Latency(_) => Some(latency::measure),
        Kind::ErrorRate(_) | Kind::Outcome(_) | Kind::Drift(_) => None,
    }
}

pub(crate) fn carry_out(
    workers: &Workers,
    attempt: Attempt<'_>,
    order: &work::Test,
) -> Result<Outcome, Trouble> {
    attempt.step("reading the bundle")?;
    let ports = &workers.ports;
    let trusted = &workers.config.trusted_keys;
    let bundle = read_trusted(ports.blobs.as_ref(), ports.referrers.as_ref(), order.release.bundle, trusted)?;
    let server = ports.servers.get(&order.environment).and_then(|servers| servers.first());
    let server = server.ok_or_else(|| Trouble::NoServer(order.environment.clone()))?;

    attempt.step("loading the bundle")?;
    let (by, model, bundle_at) = (&attempt.command.attempt, &order.trained.model, order.release.bundle);
    let mut gathered = Gathered::default();
    match server.load(by, model, bundle_at, &bundle.model, &bundle.signature) {
        Ok(endpoint) => {
            let client = Client::new(endpoint, workers.config.test.call_timeout)?;
            let subject = Subject {
                workers,
                attempt,
                order,
                bundle: &bundle,
                client: &client,
                answers: evaluation::Answers::default(),
            };
            let tested = run(&subject, &mut gathered);
            let loaded = server.loaded();
            // However it went: the next attempt loads it again.
            let left = server.keep(by, model, &[]);
            tested?;
            let loaded = loaded.map_err(|source| unreachable(server.as_ref(), source))?;
            left.map_err(|source| unreachable(server.as_ref(), source))?;
            if !loaded.contains(&(model.clone(), bundle_at)) {
                return Err(Trouble::Unloaded { server: server.name().to_string() });
            }
        }
        Err(ServingError::Refused { code, text }) => {
            let refused =
                |check: &Check| finding(&check.name, &code, format!("the model server refuses it: {text}"));
            gathered.findings.extend(order.checks.iter().map(refused));
        }
        Err(source) => return Err(unreachable(server.as_ref(), source)),
    }
    Ok(Outcome::Measured(gathered.seal(ports.blobs.as_ref(), MEASUREMENTS_MAX)?.into()))
}

fn run(subject: &Subject<'_>, gathered: &mut Gathered) -> Result<(), Trouble> {
    for check in &subject.order.checks {
        subject.attempt.step(check.kind_name())?;
        let Some(measure) = measure(&check.kind) else {
            let text = format!("`{}` needs production traffic, which staging has none of", check.kind_name());
            gathered.findings.push(finding(&check.name, "CHECK_NOT_HERE", text));
            continue;
        };
        let seen = measure(subject, check)?;
        gathered.measurements.extend(seen.measurements);
        gathered.findings.extend(seen.findings);
        for blob in seen.blobs {
            if !gathered.blobs.contains(&blob) {
                gathered.blobs.push(blob);
            }
        }
    }
    Ok(())
}

fn unreachable(server: &dyn Serving, source: ServingError) -> Trouble {
    Trouble::Serving { server: server.name().to_string(), source }
}

#[cfg(test)]
mod bad_server_tests;
#[cfg(test)]
mod tests;
