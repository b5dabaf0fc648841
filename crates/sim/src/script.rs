//! What the story is about: workflows as people write them, roles, triggers, and how good each model is.

use std::sync::Arc;

use domain::definition::{Define, Kind, Pinned};
use domain::model::{Artifact, Lineage, Release, Signature, Trained};
use domain::name::{Digest, ModelName, Role, Subject, TargetId, Version};
use domain::roles::{Actor, RoleMap};
use engine::request::{Request, Said, Trigger};

use crate::chance::Chance;

pub(crate) const OPERATOR: &str = "ops";
/// Who approves, and as what.
pub(crate) const APPROVERS: [(&str, &str); 2] = [("ada", "ml"), ("bea", "business")];
pub(crate) const NOBODY: &str = "eve";

/// What the workers find of a run's model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quality {
    Healthy,
    /// Cannot be packed.
    Broken,
    /// Fails its tests.
    Failing,
    /// Harms whom it serves.
    Harmful,
    /// Cannot always be told.
    Untellable,
}

impl Quality {
    pub(crate) fn any(chance: &mut Chance) -> Self {
        match chance.below(12) {
            0 => Self::Broken,
            1 => Self::Failing,
            2 | 3 => Self::Harmful,
            4 | 5 => Self::Untellable,
            _ => Self::Healthy,
        }
    }
}

/// A workflow's text: any stages, any steps, with bounds by chance.
pub(crate) fn workflow_text(number: u64, chance: &mut Chance) -> String {
    use std::fmt::Write as _;
    let while_running = chance.pick(&["supersede", "queue", "refuse"]);
    let (timeout, tick) = (chance.pick(&["3m", "10m"]), chance.pick(&["10s", "40s"]));
    let mut text = format!(
        "workflow: flow-{number}\ntrigger: {{ models: [\"*\"], while_running: {while_running} }}\n\
         defaults: {{ timeout: {timeout}, retry: {{ attempts: {}, backoff: 2s..8s }}, tick: {tick} }}\n\
         stages:\n  - {{ name: package, kind: package }}\n",
        chance.between(1, 3)
    );
    let mut line = |stage: String| writeln!(text, "  - {{ {stage} }}").expect("a string takes any text");
    for stage in 0..chance.below(3) {
        line(format!("name: staging-{stage}, kind: stage-test, with: {{ checks: [{{ check: smoke }}] }}"));
    }
    if chance.one_in(2) {
        let approvals = chance.pick(&["{ role: ml }", "{ role: ml }, { role: business }"]);
        let expires = chance.pick(&["2m", "1h"]);
        line(format!("name: board, kind: gate, with: {{ approvals: [{approvals}], expires: {expires} }}"));
    }
    line(format!("name: rollout, kind: rollout, with: {}", rollout_text(chance)));
    if chance.one_in(3) {
        let on = chance.pick(&["roll_back", "alert"]);
        let window = chance.pick(&["1m", "3m"]);
        let check = format!("{{ check: error-rate, max: 5%, on: {{ fail: {on} }} }}");
        line(format!("name: watch, kind: monitor, with: {{ window: {window}, checks: [{check}] }}"));
    }
    text
}

fn rollout_text(chance: &mut Chance) -> String {
    if chance.one_in(2) {
        return format!("{{ strategy: blue-green, bake: {}s }}", chance.between(5, 40));
    }
    let (mut steps, mut percent) = (vec![], 0);
    while percent < 100 {
        percent += chance.between(5, 100 - percent.min(80));
        percent = if chance.one_in(4) { 100 } else { percent.min(100) };
        let samples = if chance.one_in(2) { ", samples: 200" } else { "" };
        let deadline = chance.pick(&["", ", deadline: 5m"]);
        steps.push(format!("{{ weight: {percent}%{samples}, bake: {}s{deadline} }}", chance.between(10, 40)));
    }
    let on = chance.pick(&[
        "",
        ", on: { inconclusive: roll_back, no_data: halt }",
        ", on: { fail: halt, inconclusive: continue }",
    ]);
    let analysis = "{ check: error-rate, against: live, margin: 1% }";
    format!("{{ strategy: canary, steps: [{}], analysis: [{analysis}]{on} }}", steps.join(", "))
}

pub(crate) fn pinned(text: &str) -> Pinned<domain::workflow::Workflow> {
    wire::definitions::pin_workflow(text).unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

/// A trained version of the target's model.
pub(crate) fn trigger(target: &TargetId, version: &str, text: &str) -> Trigger {
    let model: ModelName = target.model.clone();
    let sha256 = Digest::of(format!("{model} {version}").as_bytes());
    let trained = Trained {
        source: "/training".into(),
        id: version.into(),
        model,
        version: Version::parse(version).expect("a plain name"),
        artifact: Artifact { uri: "file:model".into(), sha256, size: None, format: None },
        signature: Signature::default(),
        lineage: Lineage::default(),
        claims: vec![],
        evaluation: None,
        baseline: None,
        risk_tier: None,
        owner: None,
        publisher: None,
        traceparent: None,
    };
    Trigger {
        target: target.clone(),
        trained: Arc::new(trained),
        workflow: pinned(text),
        workflow_text: text.into(),
    }
}

pub(crate) fn target(number: u64) -> TargetId {
    TargetId::parse(&format!("model-{number}@production")).expect("a plain name")
}

pub(crate) fn define_roles() -> Said {
    define_roles_for("ada")
}

/// The same roles, and one more who approves.
pub(crate) fn define_roles_for(newcomer: &str) -> Said {
    let mut map = RoleMap::default();
    let held = APPROVERS.into_iter().chain([(OPERATOR, "operator"), (OPERATOR, "admin"), (newcomer, "ml")]);
    for (who, role) in held {
        let (who, role) = (Subject::parse(who).expect("plain"), Role::parse(role).expect("plain"));
        map.members.entry(role).or_default().insert(who);
    }
    let (text, roles) = wire::definitions::pin_roles(map);
    let digest = roles.digest;
    let define = Define { actor: None, kind: Kind::Roles, digest, text: text.into(), roles: Some(roles) };
    Said::Request(Box::new(Request::Define(define)))
}

pub(crate) fn actor(who: &str) -> Actor {
    Actor {
        subject: Subject::parse(who).expect("a plain name"),
        issuer: "sim".into(),
        method: "token".into(),
        on_behalf_of: None,
    }
}

/// What served the target before there was an engine.
pub(crate) fn adopted(target: &TargetId) -> Release {
    let bundle = Digest::of(format!("{target} before").as_bytes());
    Release { version: Version::parse("before").expect("a plain name"), bundle, run: None }
}
