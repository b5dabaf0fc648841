//! The fake stage workers: what they do outside, and what they answer.

use domain::evidence::{Arm, ChangeVector, Evidence, Measurement};
use domain::model::Signature;
use domain::name::{CheckName, Digest};
use domain::run::EXPOSURE;
use domain::time::Timestamp;
use domain::work::{Bundle, Command, Order, Outcome, Packed, Planned};

use crate::chance::Chance;
use crate::checker::Checker;
use crate::outside::{MACHINES, Outside};
use crate::script::Quality;

/// Requests that both arms answer between two looks.
const REQUESTS: f64 = 20_000.0;

/// What surrounds the work.
pub(crate) struct Bench<'a> {
    pub(crate) outside: &'a mut Outside,
    pub(crate) checker: &'a Checker,
    pub(crate) chance: &'a mut Chance,
    pub(crate) quality: Quality,
    pub(crate) is_calm: bool,
    pub(crate) now: Timestamp,
}

/// One in so many commands that change what serves is carried out by somebody else too, and late.
pub(crate) const ZOMBIE_ONE_IN: u64 = 5;

/// Whether it changes what serves, under a fencing token.
pub(crate) fn is_fenced(command: &Command) -> bool {
    matches!(command.order, Order::Apply(_) | Order::Prepare(_))
}

/// Carries the command out.
pub(crate) fn work(command: &Command, bench: &mut Bench<'_>) -> Result<Outcome, String> {
    let tellable = bench.is_calm
        || match bench.quality {
            Quality::Untellable => !bench.chance.one_in(3),
            _ => !bench.chance.one_in(15),
        };
    if !tellable {
        return Ok(could_not_tell(bench.chance));
    }
    let reached = if bench.is_calm || !bench.chance.one_in(8) { MACHINES } else { 1 };
    Ok(match &command.order {
        Order::Package(order) => {
            let artifact = order.trained.artifact.sha256;
            let bundle = Bundle {
                digest: bench.outside.package(command.effect_key, artifact)?,
                size: 1,
                format: "onnx".into(),
                artifact,
                signature: Signature::default(),
                signed_by: None,
                change: ChangeVector::default(),
            };
            let bundle = (bench.quality != Quality::Broken).then_some(bundle);
            Outcome::Packed(Packed {
                evidence: evidence(command, vec![]).into(),
                bundle: bundle.map(Into::into),
            })
        }
        Order::Test(order) => {
            let good = f64::from(u8::from(bench.quality != Quality::Failing));
            let names = order.checks.iter().map(|check| &check.name);
            let measured = names.map(|name| measured(name, Arm::Candidate, good, 1.0)).collect();
            Outcome::Measured(evidence(command, measured).into())
        }
        Order::Notify(_) => Outcome::Notified { review: None, delivered: vec![] },
        Order::Plan(_) => Outcome::Planned(Planned {
            digest: command.effect_key,
            requests_per_second: 10.0,
            hours: Some(1.0),
            requests_exposed: None,
            detectable: None,
        }),
        Order::Measure(order) => {
            let requests = if !bench.is_calm && bench.chance.one_in(6) { 100.0 } else { REQUESTS };
            let (candidate, live) = (requests * order.share, requests * (1.0 - order.share));
            let mut found: Vec<Measurement> = vec![];
            for check in &order.checks {
                found.push(measured(
                    &check.name,
                    Arm::Candidate,
                    candidate * errors(bench.quality),
                    candidate,
                ));
                found.push(measured(&check.name, Arm::Live, live * errors(Quality::Healthy), live));
            }
            for (arm, n) in [(Arm::Candidate, candidate), (Arm::Live, live)] {
                found.push(measured(&check_name("sample-ratio"), arm, 0.0, n));
            }
            found.push(measured(
                &check_name(EXPOSURE),
                Arm::Candidate,
                candidate * errors(bench.quality),
                candidate,
            ));
            Outcome::Measured(evidence(command, found).into())
        }
        Order::Watch(order) => {
            let sum = REQUESTS * errors(bench.quality);
            let names = order.checks.iter().map(|check| &check.name);
            let found = names.map(|name| measured(name, Arm::Candidate, sum, REQUESTS)).collect();
            Outcome::Measured(evidence(command, found).into())
        }
        Order::Prepare(_) => {
            bench.outside.prepare(command, reached, bench.checker)?;
            let mut servers = bench.outside.servers(&command.target, bench.now);
            servers.truncate(reached);
            Outcome::Prepared { servers }
        }
        Order::Apply(order) => {
            bench.outside.apply(&command.target, &order.table, reached, bench.checker, bench.now)?;
            Outcome::Applied { gateways: bench.outside.gateways(&command.target, bench.now) }
        }
    })
}

fn could_not_tell(chance: &mut Chance) -> Outcome {
    let retry_after = chance.one_in(2).then_some(domain::time::Millis::seconds(3));
    Outcome::CouldNotTell { code: "AWAY".into(), reason: "nobody answered".into(), retry_after }
}

/// The rate of errors.
fn errors(quality: Quality) -> f64 {
    if quality == Quality::Harmful { 0.2 } else { 0.02 }
}

fn measured(check: &CheckName, arm: Arm, sum: f64, n: f64) -> Measurement {
    Measurement { n: n as u64, sum: sum.floor(), ..Measurement::new(check.clone(), "sim/1", arm) }
}

fn check_name(text: &str) -> CheckName {
    CheckName::parse(text).expect("a plain name")
}

fn evidence(command: &Command, measurements: Vec<Measurement>) -> Evidence {
    let digest = Digest::of(format!("{} {measurements:?}", command.attempt).as_bytes());
    Evidence { digest, measurements, findings: vec![], blobs: vec![] }
}

/// The answer of a worker that nobody hears of for longer than its lease.
pub(crate) fn lost() -> Outcome {
    Outcome::CouldNotTell { code: "LATE".into(), reason: "it took too long".into(), retry_after: None }
}
