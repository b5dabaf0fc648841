//! Why each stage was judged as it was: the rule, the recorded values in it, and the record where it stands.

use std::collections::BTreeMap;

use domain::check::{Check, Judgement, Level};
use domain::name::{CheckName, StageName};
use domain::run::{Event, Phase, Run, Start};
use domain::transition::Step;
use domain::workflow::With;

use super::Names;
use super::stage::{judgement_view, term_views, vote_views, why};
use super::values::number;
use crate::reader::{Entry, StateAt};
use crate::view::{CheckExplained, Explanation, StageExplained};

/// What was said with the latest verdicts; folding keeps the verdicts only.
#[derive(Debug, Default)]
pub(crate) struct Reasons {
    stages: BTreeMap<StageName, String>,
    checks: BTreeMap<(StageName, CheckName), u64>,
    end: Option<String>,
}

impl Reasons {
    /// Takes in what a record says.
    pub(crate) fn add(&mut self, entry: &Entry, run: domain::name::RunId) {
        let steps = &entry.recorded.transition.steps;
        let events = steps.iter().flat_map(|step| match step {
            Step::Run { run: whose, events, .. } if *whose == run => events.as_slice(),
            Step::Run { .. } | Step::Target { .. } | Step::Definitions { .. } => &[],
        });
        for event in events {
            match event {
                Event::StageJudged { stage, why, .. } => {
                    self.stages.insert(stage.clone(), why.to_string());
                }
                Event::StepJudged { stage, step, why, .. } => {
                    self.stages.insert(stage.clone(), format!("step {}: {why}", step + 1));
                }
                Event::StepHeld { stage, why } => {
                    self.stages.insert(stage.clone(), format!("held: {why}"));
                }
                Event::CheckJudged { stage, check, .. } => {
                    self.checks.insert((stage.clone(), check.clone()), entry.seq);
                }
                Event::RollbackBegan { cause, .. } => self.end = Some(cause.to_string()),
                Event::Ended { why, .. } => self.end = Some(why.to_string()),
                _ => {}
            }
        }
    }
}

/// Of all stages, or of one. Nothing for a run that has not started.
pub(crate) fn explanation(
    at: &StateAt<Run>,
    reasons: &Reasons,
    only: Option<&StageName>,
    names: &Names,
) -> Option<Explanation> {
    let run = &*at.state;
    let start = run.start.as_ref()?;
    Some(Explanation {
        run: start.run.to_string(),
        state: run.phase.as_str().to_owned(),
        why: match run.phase {
            Phase::Leaving | Phase::Ended(_) => reasons.end.clone(),
            Phase::Absent | Phase::Active | Phase::Live | Phase::Standby => None,
        },
        seq: at.seq,
        workflow: start.workflow.name.to_string(),
        workflow_digest: start.workflow.digest.to_string(),
        stages: stages(run, start, reasons, only, names),
    })
}

fn stages(
    run: &Run,
    start: &Start,
    reasons: &Reasons,
    only: Option<&StageName>,
    names: &Names,
) -> Vec<StageExplained> {
    let pairs = start.workflow.stages.iter().zip(&run.stages);
    let wanted = pairs.filter(|(declared, _)| only.is_none_or(|only| declared.name == *only));
    wanted
        .map(|(declared, stage)| StageExplained {
            stage: declared.name.to_string(),
            kind: declared.with.kind().as_str().to_owned(),
            state: stage.state.as_str().to_owned(),
            why: why(&stage.state).or_else(|| reasons.stages.get(&declared.name).cloned()),
            checks: checks(&declared.name, &declared.with, &stage.judged, reasons),
            terms: term_views(&stage.gate.terms),
            votes: vote_views(&stage.gate, names),
        })
        .collect()
}

fn checks(
    stage: &StageName,
    with: &With,
    judged: &[(CheckName, std::sync::Arc<Judgement>)],
    reasons: &Reasons,
) -> Vec<CheckExplained> {
    let declared: &[Check] = match with {
        With::StageTest(with) => &with.checks,
        With::Rollout(with) => &with.analysis,
        With::Monitor(with) => &with.checks,
        With::Package(_) | With::Gate(_) => &[],
    };
    let seq = |check: &CheckName| reasons.checks.get(&(stage.clone(), check.clone())).copied();
    let mut explained: Vec<CheckExplained> = declared
        .iter()
        .map(|check| {
            let judgement =
                judged.iter().find(|(name, _)| *name == check.name).map(|(_, judgement)| &**judgement);
            CheckExplained {
                check: check.name.to_string(),
                kind: check.kind_name().to_owned(),
                counts: check.level == Level::Veto,
                asks: check.words(),
                found: judgement.map_or_else(|| "not judged yet".to_owned(), found),
                judgement: judgement.map(|judgement| judgement_view(&check.name, judgement)),
                seq: seq(&check.name),
            }
        })
        .collect();
    // What the core judges without being asked, such as the sample ratio of a rollout.
    let unasked = judged.iter().filter(|(name, _)| !declared.iter().any(|check| check.name == *name));
    explained.extend(unasked.map(|(name, judgement)| CheckExplained {
        check: name.to_string(),
        kind: name.to_string(),
        counts: true,
        asks: "always looked at".to_owned(),
        found: found(judgement),
        judgement: Some(judgement_view(name, judgement)),
        seq: seq(name),
    }));
    explained
}

/// `fail: 0.062 (0.051 to 0.073) against a bound of 0.05, n = 2000, by two-proportion-sequential/1; ...`
fn found(judgement: &Judgement) -> String {
    let known = |value: Option<f64>| value.filter(|value| value.is_finite()).map(number);
    let range = match (known(judgement.lower), known(judgement.upper)) {
        (Some(lower), Some(upper)) => Some(format!("({lower} to {upper})")),
        (Some(lower), None) => Some(format!("(at least {lower})")),
        (None, Some(upper)) => Some(format!("(at most {upper})")),
        (None, None) => None,
    };
    let bound = known(judgement.bound).map(|bound| format!("against a bound of {bound}"));
    let numbers: Vec<String> = [known(judgement.value), range, bound].into_iter().flatten().collect();
    let verdict = judgement.verdict;
    let first =
        if numbers.is_empty() { verdict.to_string() } else { format!("{verdict}: {}", numbers.join(" ")) };
    let mut words = vec![format!("{first}, n = {}, by {}", judgement.n, judgement.method)];
    let terms = judgement.terms.iter().filter(|(_, value)| value.is_finite());
    words.extend(terms.map(|(name, value)| format!("{name} = {}", number(*value))));
    words.extend(judgement.note.as_ref().map(ToString::to_string));
    words.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::verdict::Verdict;

    #[test]
    fn a_judgement_is_told_with_its_numbers() {
        let mut judgement = Judgement::new(Verdict::Fail, "two-proportion-sequential/1");
        judgement.value = Some(0.0621);
        judgement.lower = Some(0.051);
        judgement.upper = Some(f64::INFINITY);
        judgement.bound = Some(0.05);
        judgement.n = 2_000;
        judgement.terms = vec![("live.rate".into(), 0.01), ("skew".into(), f64::NAN)];
        assert_eq!(
            found(&judgement),
            "fail: 0.0621 (at least 0.051) against a bound of 0.05, n = 2000, by two-proportion-sequential/1; live.rate = 0.01"
        );
        let nothing = Judgement::no_data("smoke/1", "nothing was looked at");
        assert_eq!(found(&nothing), "no_data, n = 0, by smoke/1; nothing was looked at");
    }
}
