//! Watching a live release, window by window. What a window shows may alert, or roll the release back.

use super::attempts::judged;
use super::{Draft, Refused, stages};
use crate::check::{Level, Setting};
use crate::evidence::Evidence;
use crate::name::StageName;
use crate::run::schedule;
use crate::run::{Event, Rejection};
use crate::target;
use crate::time::Timestamp;
use crate::verdict::{Reaction, Verdict};
use crate::workflow::{MonitorWith, With};

/// The least observations for a window to be judged.
const WINDOW_SAMPLES: u64 = 20;

fn with(d: &Draft, index: usize) -> Result<MonitorWith, Rejection> {
    match &d.workflow().stages[index].with {
        With::Monitor(with) => Ok(with.clone()),
        _ => Err(Rejection::MomentOver),
    }
}

pub(super) fn window_over(d: &mut Draft, name: &StageName) -> Refused {
    let (index, _) = d.stage("watch", name)?;
    let with = with(d, index)?;
    match schedule::next_window(&d.run, index, &with) {
        Some((due, purpose)) if d.now >= due => {
            stages::issue(d, name, purpose);
            Ok(())
        }
        _ => Err(Rejection::MomentOver),
    }
}

pub(super) fn measured(
    d: &mut Draft,
    index: usize,
    evidence: &Evidence,
    window: (Timestamp, Timestamp),
    late: bool,
) {
    let Ok(with) = with(d, index) else { return };
    let stage = d.workflow().stages[index].name.clone();
    let twice = schedule::looks_twice(&with);
    let setting = Setting { alpha: 0.05, samples: WINDOW_SAMPLES, no_counterpart: Some("no counterpart") };
    let mut verdicts = vec![];
    let mut reactions = vec![];
    for check in with.checks.iter().filter(|check| !twice || schedule::needs_labels(&check.kind) == late) {
        let judgement = check.judge(evidence, setting);
        let verdict = judgement.verdict;
        let numbers = judgement.value.map_or(String::new(), |value| format!(" {value:.4}"));
        let why = format!("{}{numbers} {verdict}", check.name);
        judged(d, index, &check.name, judgement);
        if check.level == Level::Observe {
            continue;
        }
        verdicts.push(verdict);
        reactions.push((check.name.clone(), verdict, check.on.to(verdict), why));
    }
    let (from, to) = window;
    d.emit(Event::WindowJudged { stage: stage.clone(), from, to, verdict: Verdict::all(verdicts) });
    let mut leaves = None;
    for (check, verdict, reaction, why) in reactions {
        let alerting = d.run.stages[index].monitor.alerts.contains(&check);
        match reaction {
            None if alerting && verdict == Verdict::Pass => {
                d.emit(Event::AlertCleared { stage: stage.clone(), check });
            }
            Some(Reaction::Alert | Reaction::RollBack | Reaction::Halt) if !alerting => {
                d.emit(Event::AlertRaised { stage: stage.clone(), check, why: why.clone().into() });
            }
            _ => {}
        }
        if reaction == Some(Reaction::RollBack) && leaves.is_none() {
            leaves = Some(why);
        }
    }
    if let Some(why) = leaves {
        let (run, cause) = (d.start().run, format!("{stage}: {why}").into());
        d.tell_target(target::Input::LeaveLive { run, cause });
    }
}

/// The window could not be measured, however often it was tried.
pub(super) fn not_measured(d: &mut Draft, index: usize, (from, to): (Timestamp, Timestamp)) {
    let stage = d.workflow().stages[index].name.clone();
    d.emit(Event::WindowJudged { stage, from, to, verdict: Verdict::NoData });
}
