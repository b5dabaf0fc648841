//! Checks: which may stand where, and their parameters. One function a check.

use domain::check::contract::Contract;
use domain::check::drift::Drift;
use domain::check::error_rate::ErrorRate;
use domain::check::latency::Latency;
use domain::check::outcome::Outcome;
use domain::check::quality::{Metric, Quality};
use domain::check::smoke::Smoke;
use domain::check::{Check, Kind, Level};
use domain::evidence::Text;
use domain::name::CheckName;
use domain::time::Millis;
use domain::verdict::{On, Reaction};

use super::CHECKS_MAX;
use crate::fields::{Field, Fields, alternatives};
use crate::problem::{Notes, code, nearest};

/// What a list of checks belongs to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Where {
    StageTest,
    /// With the rollout's own reactions.
    Rollout(On),
    Monitor,
}

impl Where {
    fn words(self) -> &'static str {
        match self {
            Self::StageTest => "stage-test",
            Self::Rollout(_) => "rollout",
            Self::Monitor => "monitor",
        }
    }

    /// The checks that can be measured there.
    fn checks(self) -> &'static [&'static str] {
        match self {
            Self::StageTest => &["smoke", "contract", "quality", "latency"],
            Self::Rollout(_) => &["error-rate", "outcome", "latency"],
            Self::Monitor => &["error-rate", "outcome", "quality", "latency", "drift"],
        }
    }

    fn on(self) -> On {
        match self {
            Self::StageTest => On::TEST,
            Self::Rollout(on) => on,
            Self::Monitor => On::LIVE,
        }
    }

    pub(super) fn reactions(self) -> &'static [(&'static str, Reaction)] {
        const HALT: (&str, Reaction) = ("halt", Reaction::Halt);
        const CONTINUE: (&str, Reaction) = ("continue", Reaction::Continue);
        const WAIT: (&str, Reaction) = ("wait", Reaction::Wait);
        const ROLL_BACK: (&str, Reaction) = ("roll_back", Reaction::RollBack);
        const ALERT: (&str, Reaction) = ("alert", Reaction::Alert);
        match self {
            Self::StageTest => &[HALT, CONTINUE, WAIT],
            Self::Rollout(_) => &[ROLL_BACK, WAIT, CONTINUE, HALT],
            Self::Monitor => &[ROLL_BACK, ALERT, WAIT, CONTINUE],
        }
    }
}

/// Every check of this version.
const CHECKS: [&str; 7] = ["smoke", "contract", "quality", "latency", "error-rate", "outcome", "drift"];

pub(super) fn read_all(field: &Field<'_>, place: Where, notes: &mut Notes) -> Option<Vec<Check>> {
    let items = field.list(notes)?;
    if items.is_empty() || items.len() > CHECKS_MAX {
        let text = format!("expected 1 to {CHECKS_MAX} checks, but found {}", items.len());
        notes.problem(field.problem(code::OUT_OF_RANGE, text));
        return None;
    }
    let mut checks: Vec<Check> = Vec::new();
    for item in items {
        let Some(check) = read(&item, place, notes) else { continue };
        if checks.iter().any(|before| before.name == check.name) {
            let text = format!("expected each check's name once, but found `{}` again", check.name);
            notes.problem(item.problem(code::DUPLICATE, text).hint("give one of them a `name`"));
        }
        checks.push(check);
    }
    Some(checks)
}

fn read(field: &Field<'_>, place: Where, notes: &mut Notes) -> Option<Check> {
    let mut fields = field.map(notes)?;
    let kind = fields.need("check", "which check", notes)?;
    let kind_name = known_check(&kind, place, notes)?;
    let name = fields.get("name").map_or_else(
        || CheckName::parse(kind_name).ok(),
        |field| {
            let name = field.parsed(CheckName::parse, notes)?;
            if name.as_str().contains('.') {
                field.wrong(code::OUT_OF_RANGE, "a name without a point, so that rules can name it", notes);
            }
            Some(name)
        },
    );
    let level = fields.get("level").map_or(Some(Level::default()), |field| level(&field, notes));
    let on = fields.get("on").map_or(Some(place.on()), |field| on(&field, place, place.on(), notes));
    let before = notes.count();
    let kind = match kind_name {
        "smoke" => Some(Kind::Smoke(Smoke)),
        "contract" => Some(Kind::Contract(Contract)),
        "quality" => quality(&mut fields, notes).map(Kind::Quality),
        "latency" => latency(&mut fields, place, notes).map(Kind::Latency),
        "error-rate" => error_rate(&mut fields, place, notes).map(Kind::ErrorRate),
        "outcome" => outcome(&mut fields, place, notes).map(Kind::Outcome),
        "drift" => drift(&mut fields, notes).map(Kind::Drift),
        // The names above were held against the kinds that the stage may have.
        other => unreachable!("check kind {other} is known and not read"),
    };
    debug_assert!(kind.is_some() || notes.count() > before, "what is wrong with a check was told");
    let not_available: &[&str] = match kind_name {
        "quality" => &["against", "max_drop", "dataset", "slice", "two_sided"],
        "latency" => &["against", "margin", "quantile", "two_sided"],
        _ => &["two_sided", "groups"],
    };
    fields.no_others(not_available, notes);
    Some(Check { name: name?, level: level?, on: on?, kind: kind? })
}

fn known_check(field: &Field<'_>, place: Where, notes: &mut Notes) -> Option<&'static str> {
    let expected = alternatives(place.checks().iter().copied());
    let text = field.text_as(&expected, notes)?;
    if let Some(name) = place.checks().iter().find(|name| **name == text) {
        return Some(name);
    }
    let planned =
        ["invariance", "robustness", "fairness", "calibration", "golden", "disagreement", "metric", "exec"];
    let problem = if CHECKS.contains(&text) {
        let text = format!("expected {expected} in a {}, but found `{text}`", place.words());
        field
            .problem(code::NOT_AVAILABLE, text)
            .hint("it is not available in this kind of stage in this version")
    } else if planned.contains(&text) {
        field.problem(
            code::NOT_AVAILABLE,
            format!("expected {expected}, but `{text}` is not available in this version"),
        )
    } else {
        let near = nearest(text, place.checks().iter().copied()).or_else(|| nearest(text, CHECKS));
        field.unexpected(code::UNKNOWN_NAME, &expected).suggest(text, near)
    };
    notes.problem(problem);
    None
}

fn level(field: &Field<'_>, notes: &mut Notes) -> Option<Level> {
    if field.text(notes)? == "score" {
        let text = "expected `veto` or `observe`, but `score` is not available in this version";
        notes.problem(field.problem(code::NOT_AVAILABLE, text));
        return None;
    }
    field.one_of(&[("veto", Level::Veto), ("observe", Level::Observe)], notes)
}

/// `on: { fail, inconclusive, no_data }`, each beside its default.
pub(super) fn on(field: &Field<'_>, place: Where, default: On, notes: &mut Notes) -> Option<On> {
    let mut fields = field.map(notes)?;
    let mut reaction = |key, default| match fields.get(key) {
        None => Some(default),
        Some(field) => {
            let text = field.text(notes)?;
            if ["pause_promotions", "request_retraining", "open_incident"].contains(&text) {
                let text =
                    format!("expected a reaction of this version, but `{text}` is not available in it");
                notes.problem(field.problem(code::NOT_AVAILABLE, text));
                return None;
            }
            field.one_of(place.reactions(), notes)
        }
    };
    let fail = reaction("fail", default.fail);
    let inconclusive = reaction("inconclusive", default.inconclusive);
    let no_data = reaction("no_data", default.no_data);
    fields.no_others(&[], notes);
    Some(On { fail: fail?, inconclusive: inconclusive?, no_data: no_data? })
}

fn quality(fields: &mut Fields<'_>, notes: &mut Notes) -> Option<Quality> {
    let metrics = Metric::ALL.map(|metric| (metric.as_str(), metric));
    let metric = fields.need("metric", "which metric", notes).and_then(|field| field.one_of(&metrics, notes));
    let min = fields.need("min", "the least value", notes).and_then(|field| field.metric_bound(notes));
    Some(Quality { metric: metric?, min: min? })
}

/// In staging under load of our own; elsewhere of the traffic there is.
fn latency(fields: &mut Fields<'_>, place: Where, notes: &mut Notes) -> Option<Latency> {
    let p99_max = fields.need("p99_max", "the most that 99 of 100 answers may take", notes);
    let p99_max = p99_max.and_then(|field| field.duration(Millis(1)..=Millis::minutes(10), notes));
    let (mut rate_per_second, mut for_ms) = (Some(0.0), Some(Millis(0)));
    if place == Where::StageTest {
        rate_per_second = fields.get("rate").map_or(Some(100.0), |field| field.rate(notes));
        let within = Millis(100)..=Millis::minutes(10);
        for_ms = fields.get("for").map_or(Some(Millis::seconds(10)), |field| field.duration(within, notes));
    } else {
        for key in ["rate", "for"] {
            if let Some(field) = fields.get(key) {
                let text = format!(
                    "expected no `{key}`, but found one: in a {} real traffic is looked at",
                    place.words()
                );
                notes.problem(field.problem(code::CONFLICT, text));
            }
        }
    }
    Some(Latency { rate_per_second: rate_per_second?, for_ms: for_ms?.0, p99_max_ms: p99_max?.0 as f64 })
}

fn error_rate(fields: &mut Fields<'_>, place: Where, notes: &mut Notes) -> Option<ErrorRate> {
    let (max, margin) = bound_or_margin(fields, "max", place, notes)?;
    Some(ErrorRate { max, margin })
}

fn outcome(fields: &mut Fields<'_>, place: Where, notes: &mut Notes) -> Option<Outcome> {
    let field = fields.need("field", "what is compared, such as label-match", notes);
    let field = field.and_then(|field| {
        field.one_of(&[("label-match", ())], notes)?;
        field.shared_text(notes)
    });
    let (min, margin) = bound_or_margin(fields, "min", place, notes)?;
    Some(Outcome { field: field?, min, margin })
}

/// Exactly one of an absolute bound and a margin against the live release.
fn bound_or_margin(
    fields: &mut Fields<'_>,
    bound_key: &'static str,
    place: Where,
    notes: &mut Notes,
) -> Option<(Option<f64>, Option<f64>)> {
    let bound = fields.get(bound_key);
    let margin = fields.get("margin");
    let against = fields.get("against");
    if let Some(against) = &against {
        against.one_of(&[("live", ())], notes);
    }
    let relative = margin.as_ref().or(against.as_ref());
    if let (Some(relative), Where::Monitor | Where::StageTest) = (relative, place) {
        let text = format!(
            "expected `{bound_key}` in a {}, but found a comparison with the live release",
            place.words()
        );
        notes.problem(
            relative.problem(code::CONFLICT, text).hint("there is no other release to compare with"),
        );
        return None;
    }
    if let (Some(bound), Some(relative)) = (&bound, relative) {
        let text = format!("expected either `{bound_key}` or `margin`, but found both");
        notes.problem(bound.problem(code::CONFLICT, text).hint(format!(
            "`{bound_key}` is absolute, `margin` is against the live release: write two checks (`{}`)",
            relative.path
        )));
        return None;
    }
    match (bound, margin) {
        (Some(bound), None) => Some((Some(bound.metric_share(bound_key, notes)?), None)),
        (None, Some(margin)) => Some((None, Some(margin.proportion(1.0, notes)?))),
        _ => {
            let text = format!("expected `{bound_key}` or `margin`, but found neither");
            notes.problem(fields.problem(code::MISSING, text));
            None
        }
    }
}

impl Field<'_> {
    /// `max` of an error rate is a share; `min` of an outcome may be a number too.
    fn metric_share(&self, key: &str, notes: &mut Notes) -> Option<f64> {
        if key == "max" { self.proportion(1.0, notes) } else { self.metric_bound(notes) }
    }
}

fn drift(fields: &mut Fields<'_>, notes: &mut Notes) -> Option<Drift> {
    let features = fields.get("features").map_or(Some(vec![]), |field| features(&field, notes));
    if let Some(method) = fields.get("method") {
        method.one_of(&[("psi/ref-quantile-10", ())], notes);
    }
    if let Some(baseline) = fields.get("baseline") {
        baseline.one_of(&[("training", ())], notes);
    }
    let fdr = fields.get("fdr").map_or(Some(0.05), |field| field.proportion(0.5, notes));
    let max = fields.get("max").map_or(Some(0.2), |field| {
        let max = field.number(notes)?;
        if !(max > 0.0 && max <= 100.0) {
            field.wrong(code::OUT_OF_RANGE, "a PSI above 0 and at most 100", notes);
            return None;
        }
        Some(max)
    });
    Some(Drift { features: features?, max: max?, fdr: fdr? })
}

/// `all`, or a list of names.
fn features(field: &Field<'_>, notes: &mut Notes) -> Option<Vec<Text>> {
    if field.node.value == crate::tree::Value::Text("all".into()) {
        return Some(vec![]);
    }
    let items = field.list(notes)?;
    if items.is_empty() {
        field.wrong(code::OUT_OF_RANGE, "`all` or at least one feature", notes);
    }
    Some(items.iter().filter_map(|item| item.shared_text(notes)).collect())
}
