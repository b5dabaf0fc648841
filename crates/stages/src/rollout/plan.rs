//! Says what a rollout will take, before it starts: too little traffic is said before and not after.
//!
//! ```text
//! a step lasts   max(its bake, its samples / (rate * weight))
//! exposed        the candidate's requests in all steps but the last
//! detectable     in the step with most samples but the last, for the rate that the analysis compares
//! ```

use domain::check::Kind;
use domain::name::Digest;
use domain::time::{Millis, Timestamp};
use domain::weight::Weight;
use domain::work::{self, Outcome, Planned};
use domain::workflow::{RolloutStep, RolloutWith};
use serde_json::json;
use stats::power::detectable_difference;

use crate::traffic::Tally;
use crate::trouble::Trouble;
use crate::{Attempt, Workers, canonical};

pub(crate) fn carry_out(
    workers: &Workers,
    attempt: Attempt<'_>,
    order: &work::Plan,
) -> Result<Outcome, Trouble> {
    attempt.step("counting the traffic")?;
    let (ports, plan) = (&workers.ports, &workers.config.plan);
    let now = ports.clock.wall();
    let from = Timestamp(now.0.saturating_sub(plan.window.0));
    let (mut tally, mut requests, mut oldest) = (Tally::default(), 0_u64, now);
    let live = order.live.as_ref().map(|release| release.bundle);
    ports.predictions.scan(&attempt.command.target, from, now + Millis(1), &mut |prediction, label| {
        requests += 1;
        oldest = oldest.min(prediction.at);
        if Some(prediction.bundle) == live {
            tally.add(prediction, label);
        }
    })?;

    let rate = rate_per_second(requests, now - oldest);
    let hours = hours(&order.with.steps, rate);
    let requests_exposed = exposed(&order.with.steps, rate);
    let detectable = live.and_then(|_| detectable(&order.with, rate, &tally, plan.power));
    let written = canonical::bytes(&json!({
        "format": "modelrail-plan/1",
        "run": order.run.to_string(),
        "stage": order.stage.as_str(),
        "requests": requests,
        "requests_per_second": rate,
        "hours": hours,
        "requests_exposed": requests_exposed,
        "detectable": detectable,
    }));
    let digest: Digest = ports.blobs.put(&written)?;
    Ok(Outcome::Planned(Planned { digest, requests_per_second: rate, hours, requests_exposed, detectable }))
}

/// Requests a second since the oldest one that was counted, over at least a second.
fn rate_per_second(requests: u64, span: Millis) -> f64 {
    if requests == 0 { 0.0 } else { requests as f64 / (span.0.max(1_000) as f64 / 1_000.0) }
}

/// How long one step lasts, in seconds; nothing when its samples never come.
fn seconds(step: &RolloutStep, rate: f64) -> Option<f64> {
    let bake = step.bake.0 as f64 / 1_000.0;
    if step.samples == 0 {
        return Some(bake);
    }
    let per_second = rate * step.weight.share();
    (per_second > 0.0).then(|| bake.max(step.samples as f64 / per_second))
}

fn hours(steps: &[RolloutStep], rate: f64) -> Option<f64> {
    let total: Option<f64> = steps.iter().map(|step| seconds(step, rate)).sum();
    total.filter(|_| rate > 0.0).map(|seconds| seconds / 3_600.0)
}

fn exposed(steps: &[RolloutStep], rate: f64) -> Option<f64> {
    let (_, before_last) = steps.split_last()?;
    let requests = before_last.iter().map(|step| Some(seconds(step, rate)? * rate * step.weight.share()));
    requests.sum::<Option<f64>>().filter(|_| rate > 0.0)
}

fn detectable(with: &RolloutWith, rate: f64, live: &Tally, power: f64) -> Option<f64> {
    let (_, before_last) = with.steps.split_last()?;
    let share = |weight: Weight| weight.share();
    let step = before_last
        .iter()
        .filter(|step| step.weight > Weight::NONE && step.weight < Weight::ALL)
        .max_by(|a, b| candidates(a, rate).total_cmp(&candidates(b, rate)))?;
    let of_candidate = candidates(step, rate);
    let of_live = of_candidate * (1.0 - share(step.weight)) / share(step.weight);
    let live_rate = compared_rate(with, live)?;
    detectable_difference(live_rate, of_candidate as u64, of_live as u64, with.alpha, power).ok().flatten()
}

/// What the candidate answers in this step: its samples, or more when the bake lasts longer.
fn candidates(step: &RolloutStep, rate: f64) -> f64 {
    let by_time = seconds(step, rate).map_or(0.0, |seconds| seconds * rate * step.weight.share());
    by_time.max(step.samples as f64)
}

/// The share of harm in the live release: of answers that miss their label, where the analysis compares outcomes and
/// labels are known; else of errors, with half a one added so that "none seen" is not "never".
fn compared_rate(with: &RolloutWith, live: &Tally) -> Option<f64> {
    let outcomes = with.analysis.iter().any(|check| matches!(check.kind, Kind::Outcome(_)));
    if outcomes && live.labelled > 0 {
        return Some((live.labelled - live.matches) as f64 / live.labelled as f64);
    }
    (live.n > 0).then(|| (live.errors as f64 + 0.5) / (live.n as f64 + 1.0))
}
