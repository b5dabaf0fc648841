//! What a run waits for, for people: whom, which samples, which timer, which limit.

use super::decide::gate::open_seats;
use super::schedule;
use super::state::{Phase, Run, StageState, WaitFor};
use super::{Effect, Input};
use crate::decider::Decider as _;
use crate::time::Timestamp;
use crate::verdict::Verdict;
use crate::workflow::With;

/// One thing a run waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// `command`, `timer`, `people`, `slot`, `thaw`, `prepare`, `facts`, `samples`, `resume`, `replaced`, `target`, `quarantine`.
    pub kind: &'static str,
    pub text: String,
    pub until: Option<Timestamp>,
}

/// All that the run waits for; empty for an ended run, never for another.
pub fn why(run: &Run) -> Vec<Waiting> {
    why_of(run, &run.effects())
}

/// As [`why`], for a run whose effects are known.
pub fn why_of(run: &Run, effects: &[Effect]) -> Vec<Waiting> {
    let mut waits = vec![];
    let Some(start) = &run.start else { return waits };
    if run.is_ended() {
        return waits;
    }
    let mut push = |kind, text: String, until| waits.push(Waiting { kind, text, until });
    if let Some(holding) = &run.holding {
        match &holding.quarantine {
            Some(quarantine) => {
                let held = holding.held.len();
                let text = format!(
                    "it is quarantined, {held} inputs are held: {}; resolve or abort it",
                    quarantine.why
                );
                push("quarantine", text, None);
            }
            None => push("quarantine", "what it held to be decided".to_owned(), None),
        }
    }
    if run.phase == Phase::Absent {
        return waits;
    }
    if run.paused_at.is_some() {
        push("resume", "it is paused: somebody has to resume it".to_owned(), None);
    }
    for (index, declared) in start.workflow.stages.iter().enumerate() {
        let stage = &run.stages[index];
        match (&declared.with, &run.waits) {
            (With::Gate(gate), Some(WaitFor::People)) if stage.state == StageState::Waiting => {
                for asked in &gate.approvals {
                    let votes: Vec<_> =
                        stage.gate.votes.iter().filter(|vote| vote.role == asked.role).collect();
                    let missing = (asked.count as usize).saturating_sub(votes.len());
                    if missing > 0 && open_seats(gate, &stage.gate.votes) > 0 {
                        let evidence = stage
                            .gate
                            .asked
                            .map_or(String::new(), |digest| format!(" on evidence {}", digest.hex()));
                        let text = format!(
                            "gate `{}` needs {missing} more approval as {}{evidence}",
                            declared.name, asked.role
                        );
                        push("people", text, stage.gate.expires_at);
                    }
                }
            }
            (With::Gate(_), Some(WaitFor::Facts { missing })) if stage.state == StageState::Waiting => {
                push("facts", format!("gate `{}` cannot be judged: {missing}", declared.name), None);
            }
            (With::Rollout(with), waits_for) if stage.state.is_open() => match waits_for {
                Some(WaitFor::Slot { why }) => push("slot", format!("the target's slot: {why}"), None),
                Some(WaitFor::Thaw) => push("thaw", "the target is frozen".to_owned(), None),
                Some(WaitFor::Prepare { why }) => {
                    push("prepare", format!("the release to be loaded: {why}"), None);
                }
                _ => rollout(run, index, with, &mut push),
            },
            _ => {}
        }
    }
    for effect in effects {
        match effect {
            Effect::Command(command) => {
                let text = format!(
                    "a {} worker to {} (attempt {})",
                    command.stage().as_str(),
                    command.order.as_str(),
                    command.attempt.number
                );
                push("command", text, None);
            }
            Effect::WakeAt { at, input } => match input {
                Input::LeaseEnded { .. } => {}
                Input::BackoffOver { stage } => {
                    push("timer", format!("the next try of `{stage}`"), Some(*at));
                }
                Input::WindowOver { stage } => {
                    push("timer", format!("the next window of `{stage}`"), Some(*at));
                }
                Input::GateExpired { stage } => push("timer", format!("gate `{stage}` expires"), Some(*at)),
                Input::StageTimedOut { stage } => push("timer", format!("`{stage}` times out"), Some(*at)),
                Input::BakeOver { stage } => {
                    push("timer", format!("the bake of `{stage}` to end"), Some(*at));
                }
                Input::MeasureDue { stage } => {
                    push("timer", format!("the next look at `{stage}`"), Some(*at));
                }
                Input::StepDeadline { stage } => {
                    push("timer", format!("the deadline of the step of `{stage}`"), Some(*at));
                }
                other => push("timer", other.name().to_owned(), Some(*at)),
            },
        }
    }
    match run.phase {
        Phase::Live => push("replaced", "it is live until another release replaces it".to_owned(), None),
        Phase::Standby => {
            push("replaced", "it is the last good release until another takes that place".to_owned(), None);
        }
        Phase::Leaving => push("target", "its traffic to be taken away by every gateway".to_owned(), None),
        Phase::Absent | Phase::Active | Phase::Ended(_) => {}
    }
    if waits.is_empty() {
        waits.push(Waiting { kind: "target", text: "an answer of its target".to_owned(), until: None });
    }
    waits
}

fn rollout(
    run: &Run,
    index: usize,
    with: &crate::workflow::RolloutWith,
    push: &mut impl FnMut(&'static str, String, Option<Timestamp>),
) {
    let rollout = &run.stages[index].rollout;
    let Some(step) = rollout.step else { return };
    let steps = schedule::steps(run, with);
    let place = format!("step {} of {} ({})", step + 1, steps.len(), rollout.weight);
    if let Some(held) = &rollout.held {
        push("people", format!("{place} is held: {held}; promote or abort it"), None);
    }
    if !rollout.prepared {
        push("prepare", format!("{place}: the release to be loaded and ready"), None);
    } else if rollout.observed.is_none() {
        push(
            "target",
            format!("{place}: every gateway to obey generation {}", rollout.requested.unwrap_or_default()),
            None,
        );
    } else if let Some(samples) =
        steps.get(step as usize).map(|step| step.samples).filter(|samples| *samples > 0)
    {
        for (check, judgement) in &run.stages[index].judged {
            if judgement.verdict == Verdict::NoData {
                push("samples", format!("{place}: {check} has {} of {samples} samples", judgement.n), None);
            }
        }
    }
}
