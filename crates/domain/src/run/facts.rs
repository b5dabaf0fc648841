//! The facts of a run that rules can use: what training said, what was measured, what is planned. What is not
//! known is absent, and a rule that needs it says `no_data`.

use super::state::Run;
use crate::evidence::Text;
use crate::rule::{Facts, Value};
use crate::time::Timestamp;
use crate::work::Planned;

pub(super) fn facts(run: &Run, now: Timestamp) -> Facts {
    let mut known = Facts::default();
    let Some(start) = &run.start else { return known };
    let trained = &start.trained;
    let text = |text: &str| Value::Text(text.into());

    known.set("model.name", text(trained.model.as_str()));
    known.set("model.version", text(trained.version.as_str()));
    set_text(&mut known, "model.risk_tier", trained.risk_tier.as_ref());
    if let Some(owner) = &trained.owner {
        known.set("model.owner", text(owner.as_str()));
    }
    known.set("run.id", text(&start.run.to_string()));
    known.set("run.age", Value::Number((now - run.started_at).0 as f64 / 1_000.0));

    known.set("artifact.sha256", text(&trained.artifact.sha256.hex()));
    set_text(&mut known, "artifact.format", trained.artifact.format.as_ref());
    if let Some(size) = trained.artifact.size {
        known.set("artifact.size", Value::Number(size as f64));
    }
    if let Some(bundle) = &run.bundle {
        // As found, which outranks what was declared.
        known.set("artifact.format", text(&bundle.format));
        known.set("artifact.size", Value::Number(bundle.size as f64));
        for (part, change) in bundle.change.parts() {
            known.set(&format!("change.{part}"), text(change.as_str()));
        }
    }

    let lineage = &trained.lineage;
    set_text(&mut known, "lineage.code.commit", lineage.code_commit.as_ref());
    set_text(&mut known, "lineage.run", lineage.run_id.as_ref());
    set_text(&mut known, "lineage.features.view", lineage.features_view.as_ref());
    set_text(&mut known, "lineage.features.schema_version", lineage.features_schema_version.as_ref());
    set_text(
        &mut known,
        "lineage.environment",
        lineage.environment_lock.as_ref().or(lineage.environment_image.as_ref()),
    );
    if let Some(set) = lineage.training_sets.first() {
        known.set("lineage.data", text(&set.uri));
    }
    for claim in trained.claims.iter().filter(|claim| claim.slice.is_none()) {
        known.set(&format!("claims.{}", claim.name), Value::Number(claim.value));
    }

    checks(run, &mut known);

    if let Some(live) = &run.live {
        known.set("target.live.version", text(live.version.as_str()));
    }
    if let Some(plan) = run.stages.iter().find_map(|stage| stage.rollout.plan.as_ref()) {
        planned(plan, &mut known);
    }
    known
}

fn set_text(known: &mut Facts, path: &str, value: Option<&Text>) {
    if let Some(value) = value {
        known.set(path, Value::Text(value.clone()));
    }
}

/// `checks.<stage>.<check>.verdict`, `.value`, `.lower`, `.upper`, `.n`
fn checks(run: &Run, known: &mut Facts) {
    let Some(start) = &run.start else { return };
    for (declared, stage) in start.workflow.stages.iter().zip(&run.stages) {
        for (check, judgement) in &stage.judged {
            let path = format!("checks.{}.{check}", declared.name);
            known.set(&format!("{path}.verdict"), Value::Text(judgement.verdict.as_str().into()));
            known.set(&format!("{path}.n"), Value::Number(judgement.n as f64));
            for (part, value) in
                [("value", judgement.value), ("lower", judgement.lower), ("upper", judgement.upper)]
            {
                if let Some(value) = value {
                    known.set(&format!("{path}.{part}"), Value::Number(value));
                }
            }
        }
    }
}

fn planned(plan: &Planned, known: &mut Facts) {
    let parts = [
        ("plan.hours", plan.hours),
        ("plan.requests_exposed", plan.requests_exposed),
        ("plan.detectable", plan.detectable),
    ];
    for (path, value) in parts {
        if let Some(value) = value {
            known.set(path, Value::Number(value));
        }
    }
}
