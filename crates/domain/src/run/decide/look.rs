//! A look at a rollout step: what was measured, what is concluded, what follows.
//!
//! Experiment health outranks every metric; harm acts at any tick; going on needs the samples and either the bake or
//! an early proof of no harm; what stays undecided is ended by the step's deadline, if it has one.

use super::attempts::{UNTOLD, judged};
use super::rollout::{cancel_look, enter};
use super::{Draft, rollout_with, stages};
use crate::check::{Judgement, Level, Setting, sample_ratio};
use crate::evidence::{Evidence, Text};
use crate::name::CheckName;
use crate::run::Event;
use crate::run::schedule;
use crate::run::state::End;
use crate::target;
use crate::verdict::{Reaction, Verdict};
use crate::weight::Weight;

/// What one look showed, and what follows: harm acts at any tick; going on needs the samples and either the bake
/// or an early proof of no harm.
pub(super) fn measured(d: &mut Draft, index: usize, evidence: &Evidence) {
    let workflow = d.workflow();
    let with = rollout_with(&workflow, index);
    let steps = schedule::steps(&d.run, with);
    let rollout = &d.run.stages[index].rollout;
    let (step, weight) = (rollout.step.unwrap_or(0) as usize, rollout.weight);
    let no_counterpart = match (&d.run.live, weight) {
        (None, _) => Some("no live release"),
        (Some(_), Weight::ALL) => Some("no counterpart"),
        (Some(_), _) => None,
    };
    let compared = with.analysis.iter().filter(|check| check.is_relative()).count().max(1);
    let alpha = with.alpha / (compared * steps.len()) as f64;
    let setting = Setting { alpha, samples: steps[step].samples, no_counterpart };

    let unhealthy = no_counterpart.is_none() && {
        let judgement = sample_ratio::judge(evidence, weight.share());
        let verdict = judgement.verdict;
        let name = CheckName::parse(sample_ratio::NAME).expect("a plain name");
        judged(d, index, &name, judgement);
        verdict == Verdict::Fail
    };
    let mut found = vec![];
    for check in &with.analysis {
        let judgement = check.judge(evidence, setting);
        let counts = check.level == Level::Veto;
        let (verdict, why) = (judgement.verdict, in_words(&check.name, &judgement));
        judged(d, index, &check.name, judgement);
        if counts {
            found.push((verdict, check.on.to(verdict), why));
        }
    }
    if unhealthy {
        let why = "the split is not what was asked for, so nothing else can be trusted (sample-ratio)".into();
        conclude(d, index, Verdict::Inconclusive, with.on.inconclusive, why);
        return;
    }
    let harm = found.iter().find(|(verdict, ..)| *verdict == Verdict::Fail);
    if let Some((_, reaction, why)) = harm {
        let reaction = reaction.unwrap_or(with.on.fail);
        conclude(d, index, Verdict::Fail, reaction, why.clone());
        return;
    }
    let enough = found.iter().all(|(verdict, ..)| *verdict != Verdict::NoData);
    let proven = found.iter().all(|(verdict, ..)| *verdict == Verdict::Pass);
    let baked = schedule::bake_over(&d.run, index).is_some_and(|at| d.now >= at);
    // Without a check to prove anything only the bake lets it go on.
    if enough && (baked || proven && !found.is_empty() && no_counterpart.is_none()) {
        let why = if baked {
            "no harm by the end of the bake"
        } else {
            "no harm, shown before the end of the bake"
        };
        conclude(d, index, Verdict::Pass, Reaction::Continue, why.into());
        return;
    }
    let (verdict, reaction) = if enough {
        (Verdict::Inconclusive, with.on.inconclusive)
    } else {
        (Verdict::NoData, with.on.no_data)
    };
    let undecided = found.iter().find(|(found, ..)| *found == verdict).map(|(.., why)| why.clone());
    conclude(d, index, verdict, reaction, undecided.unwrap_or_else(|| "not decided yet".into()));
}

fn in_words(check: &CheckName, judgement: &Judgement) -> Text {
    let numbers = match (judgement.value, judgement.lower, judgement.upper) {
        (Some(value), Some(lower), Some(upper)) => format!(" {value:.4} [{lower:.4}, {upper:.4}]"),
        (Some(value), ..) => format!(" {value:.4}"),
        _ => String::new(),
    };
    let note = judgement.note.as_ref().map_or(String::new(), |note| format!(" ({note})"));
    format!("{check} {}{numbers}{note}", judgement.verdict).into()
}

/// The look could not be taken: no data at that tick.
pub(super) fn not_measured(d: &mut Draft, index: usize) {
    let workflow = d.workflow();
    let reaction = rollout_with(&workflow, index).on.no_data;
    conclude(d, index, Verdict::NoData, reaction, "it could not be measured".into());
}

/// Acts on the verdict of a look. What is undecided waits for the deadline, if there is one.
fn conclude(d: &mut Draft, index: usize, verdict: Verdict, reaction: Reaction, why: Text) {
    let workflow = d.workflow();
    let stage = workflow.stages[index].name.clone();
    let rollout = &d.run.stages[index].rollout;
    let step = rollout.step.unwrap_or(0);
    let stands = d.run.paused_at.is_some() || rollout.held.is_some();
    let late = schedule::step_deadline(&d.run, index).is_some_and(|at| d.now >= at);
    let acts = match verdict {
        Verdict::Pass => !stands,
        Verdict::Fail => true,
        Verdict::Inconclusive | Verdict::NoData => late,
    };
    if !acts {
        return;
    }
    let held = rollout.held.is_some();
    match reaction {
        Reaction::Continue if !stands => {
            d.emit(Event::StepJudged { stage, step, verdict, why });
            next(d, index, step as usize + 1);
        }
        Reaction::RollBack => {
            d.emit(Event::StepJudged { stage, step, verdict, why: why.clone() });
            let end = if verdict == Verdict::Fail { End::RolledBack } else { UNTOLD };
            stages::end(d, end, &why);
        }
        Reaction::Halt if !held => {
            d.emit(Event::StepJudged { stage: stage.clone(), step, verdict, why: why.clone() });
            d.emit(Event::StepHeld { stage, why });
        }
        Reaction::Halt | Reaction::Continue | Reaction::Wait | Reaction::Alert => {}
    }
}

/// The next step, or live.
pub(super) fn next(d: &mut Draft, index: usize, step: usize) {
    let workflow = d.workflow();
    let with = rollout_with(&workflow, index);
    if step < schedule::steps(&d.run, with).len() {
        enter(d, index, step);
        return;
    }
    cancel_look(d, index);
    let release = d.run.release().expect("a rollout has a bundle");
    stages::judge(d, index, Verdict::Pass, "every step was passed".into());
    let (run, keep_warm) = (d.start().run, with.keep_warm);
    d.tell_target(target::Input::TakeLive { run, release, keep_warm });
}
