//! The `with` of `rollout` and `monitor`.

use domain::routes::Sticky;
use domain::time::Millis;
use domain::verdict::On;
use domain::weight::Weight;
use domain::workflow::{MonitorWith, RolloutStep, RolloutWith, Strategy};

use super::STEPS_MAX;
use super::checks::{self, Where};
use crate::fields::{Field, Fields};
use crate::problem::{Notes, code};

const STRATEGIES: [(&str, Strategy); 2] = [("blue-green", Strategy::BlueGreen), ("canary", Strategy::Canary)];
const PLANNED: [&str; 6] =
    ["shadow", "ab-test", "bandit", "interleaving", "champion-challenger", "multi-region"];

pub(super) fn rollout(mut fields: Fields<'_>, tick: Millis, notes: &mut Notes) -> Option<RolloutWith> {
    let strategy =
        fields.need("strategy", "blue-green or canary", notes).and_then(|field| strategy(&field, notes));
    let sticky = fields.get("sticky").map_or(Some(Sticky::None), |field| sticky(&field, notes));
    let steps = match strategy {
        Some(Strategy::BlueGreen) => one_step(&mut fields, notes),
        Some(Strategy::Canary) => steps(&mut fields, notes),
        None => {
            // Known keys of some strategy: no second complaint about them.
            for key in ["steps", "bake", "deadline"] {
                fields.get(key);
            }
            None
        }
    };
    let on_field = fields.get("on");
    let on = on_field
        .map_or(Some(On::LIVE), |field| checks::on(&field, Where::Rollout(On::LIVE), On::LIVE, notes));
    let analysis = fields.get("analysis").map_or(Some(vec![]), |field| {
        checks::read_all(&field, Where::Rollout(on.unwrap_or(On::LIVE)), notes)
    });
    let alpha = fields.get("alpha").map_or(Some(0.05), |field| field.proportion(0.5, notes));
    let share_cap = share_cap(&mut fields, steps.as_deref(), notes);
    let leave_deadline =
        fields.get("rollback").map_or(Some(Millis::seconds(60)), |field| rollback(&field, notes));
    let keep_warm = fields.get("keep_warm").map_or(Some(Millis::hours(24)), |field| field.any_time(notes));
    let silent = fields.problem(
        code::CONFLICT,
        "expected `analysis`, but found none: only time decides, nothing is compared",
    );
    fields.no_others(&["experiment", "confirm", "tick"], notes);
    let with = RolloutWith {
        strategy: strategy?,
        sticky: sticky?,
        steps: steps?,
        analysis: analysis?,
        alpha: alpha?,
        share_cap: share_cap?,
        tick,
        on: on?,
        leave_deadline: leave_deadline?,
        keep_warm: keep_warm?,
    };
    if with.strategy == Strategy::Canary && with.analysis.is_empty() {
        notes.warning(silent);
    }
    Some(with)
}

fn strategy(field: &Field<'_>, notes: &mut Notes) -> Option<Strategy> {
    if let crate::tree::Value::List(_) = field.node.value {
        let text = "expected one strategy, but a sequence of them is not available in this version";
        notes.problem(field.problem(code::NOT_AVAILABLE, text));
        return None;
    }
    let text = field.text_as("`blue-green` or `canary`", notes)?;
    if PLANNED.contains(&text) {
        let text =
            format!("expected `blue-green` or `canary`, but `{text}` is not available in this version");
        notes.problem(field.problem(code::NOT_AVAILABLE, text));
        return None;
    }
    field.one_of(&STRATEGIES, notes)
}

/// `header:NAME`, `parameter:NAME` or `none`.
fn sticky(field: &Field<'_>, notes: &mut Notes) -> Option<Sticky> {
    let expected = "`none`, `header:NAME` or `parameter:NAME`";
    let text = field.text_as(expected, notes)?;
    let is_token = |name: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        (1..=128).contains(&name.len()) && name.bytes().all(plain)
    };
    match text.split_once(':') {
        None if text == "none" => Some(Sticky::None),
        Some(("header", name)) if is_token(name) => Some(Sticky::Header(name.to_ascii_lowercase().into())),
        Some(("parameter", name)) if is_token(name) => Some(Sticky::Parameter(name.into())),
        _ => {
            field.wrong(code::OUT_OF_RANGE, expected, notes);
            None
        }
    }
}

/// Blue-green: all at once, with the rollout's own bake and deadline.
fn one_step(fields: &mut Fields<'_>, notes: &mut Notes) -> Option<Vec<RolloutStep>> {
    let bake_field = fields.get("bake");
    let deadline_field = fields.get("deadline");
    if let Some(field) = fields.get("steps") {
        let text = "expected `bake` and `deadline`, but found `steps`: blue-green is one step of 100%";
        notes.problem(field.problem(code::CONFLICT, text).hint("use `strategy: canary` for steps"));
        return None;
    }
    if bake_field.is_none() {
        fields.need("bake", "how long the new release is watched", notes);
    }
    let bake = bake_field.and_then(|field| field.any_time(notes));
    let deadline = deadline(deadline_field, bake, notes);
    Some(vec![RolloutStep { weight: Weight::ALL, samples: 0, bake: bake?, deadline }])
}

/// None when there is none, and when it is wrong: that is noted.
fn deadline(field: Option<Field<'_>>, bake: Option<Millis>, notes: &mut Notes) -> Option<Millis> {
    let field = field?;
    let deadline = field.some_time(notes)?;
    if bake.is_some_and(|bake| deadline <= bake) {
        field.wrong(code::CONFLICT, "a deadline later than the bake", notes);
    }
    Some(deadline)
}

fn steps(fields: &mut Fields<'_>, notes: &mut Notes) -> Option<Vec<RolloutStep>> {
    for key in ["bake", "deadline"] {
        if let Some(field) = fields.get(key) {
            let text = format!("expected `{key}` in each step, but found it beside `steps`");
            notes.problem(
                field.problem(code::CONFLICT, text).hint("a canary has a bake and a deadline per step"),
            );
        }
    }
    let field = fields.need("steps", "a list of steps, the last of 100%", notes)?;
    let items = field.list(notes)?;
    if items.is_empty() || items.len() > STEPS_MAX {
        let text = format!("expected 1 to {STEPS_MAX} steps, but found {}", items.len());
        notes.problem(field.problem(code::OUT_OF_RANGE, text));
        return None;
    }
    let count = items.len();
    let mut steps: Vec<RolloutStep> = Vec::new();
    for item in &items {
        let Some(step) = step(item, notes) else { continue };
        if let Some(before) = steps.last().filter(|before| before.weight >= step.weight) {
            let text =
                format!("expected a weight above the {} before it, but found {}", before.weight, step.weight);
            notes.problem(item.problem(code::CONFLICT, text));
        }
        steps.push(step);
    }
    if steps.len() < count {
        return None;
    }
    if let (Some(last), Some(item)) = (steps.last().filter(|last| last.weight != Weight::ALL), items.last()) {
        let text = format!("expected the last step to be of 100%, but found {}", last.weight);
        notes.problem(item.problem(code::CONFLICT, text).hint("add `{ weight: 100%, bake: 10m }`"));
        return None;
    }
    Some(steps)
}

fn step(field: &Field<'_>, notes: &mut Notes) -> Option<RolloutStep> {
    let mut fields = field.map(notes)?;
    let weight = fields.need("weight", "a share such as 5%", notes).and_then(|field| field.weight(notes));
    let samples = fields.get("samples").map_or(Some(0), |field| field.count(0, 1_000_000_000, notes));
    let bake = fields.get("bake").map_or(Some(Millis(0)), |field| field.any_time(notes));
    let deadline = deadline(fields.get("deadline"), bake, notes);
    let hasty =
        fields.problem(code::CONFLICT, "expected `samples` or `bake`, but found neither: it ends at once");
    fields.no_others(&["users", "region", "approval"], notes);
    let step = RolloutStep { weight: weight?, samples: samples?, bake: bake?, deadline };
    if step.samples == 0 && step.bake == Millis(0) {
        notes.warning(hasty);
    }
    Some(step)
}

/// `caps: { share }`; by default the greatest weight before the last step.
fn share_cap(fields: &mut Fields<'_>, steps: Option<&[RolloutStep]>, notes: &mut Notes) -> Option<Weight> {
    let before_last = steps.and_then(|steps| steps.split_last()).and_then(|(_, before)| before.last());
    let default = before_last.map_or(Weight::ALL, |step| step.weight);
    let Some(caps) = fields.get("caps") else { return Some(default) };
    let mut caps = caps.map(notes)?;
    let cap = match caps.get("share") {
        None => Some(default),
        Some(field) => {
            let cap = field.weight(notes)?;
            if let Some(step) = before_last.filter(|step| step.weight > cap) {
                let expected =
                    format!("a cap of at least {}, the greatest weight before the last step", step.weight);
                field.wrong(code::CONFLICT, &expected, notes);
            }
            Some(cap)
        }
    };
    caps.no_others(&["requests", "users"], notes);
    cap
}

fn rollback(field: &Field<'_>, notes: &mut Notes) -> Option<Millis> {
    let mut fields = field.map(notes)?;
    if let Some(shape) = fields.get("shape") {
        match shape.text(notes) {
            Some("instant") | None => {}
            Some(other @ ("stepped" | "shadow-first")) => {
                let text = format!("expected `instant`, but `{other}` is not available in this version");
                notes.problem(shape.problem(code::NOT_AVAILABLE, text));
            }
            Some(_) => shape.wrong(code::UNKNOWN_NAME, "`instant`", notes),
        }
    }
    let deadline =
        fields.get("leave_deadline").map_or(Some(Millis::seconds(60)), |field| field.some_time(notes));
    fields.no_others(&[], notes);
    deadline
}

pub(super) fn monitor(mut fields: Fields<'_>, notes: &mut Notes) -> Option<MonitorWith> {
    let within = Millis::seconds(1)..=Millis::days(31);
    let window = fields.get("window").map_or(Some(Millis::hours(1)), |field| field.duration(within, notes));
    let labels_delay = fields.get("labels").map_or(Some(Millis(0)), |field| {
        let mut labels = field.map(notes)?;
        let delay = labels.get("delay").map_or(Some(Millis(0)), |field| field.any_time(notes));
        labels.no_others(&[], notes);
        delay
    });
    let checks = fields.need("checks", "a list of checks", notes);
    let checks = checks.and_then(|field| checks::read_all(&field, Where::Monitor, notes));
    fields.no_others(&["retraining", "on"], notes);
    Some(MonitorWith { window: window?, labels_delay: labels_delay?, checks: checks? })
}
