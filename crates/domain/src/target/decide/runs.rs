//! Runs enter, take turns for the slot, and leave.

use super::{Draft, Refused};
use crate::evidence::Text;
use crate::model::Release;
use crate::name::{Digest, RunId, TargetId, Version};
use crate::run;
use crate::target::state::UNDER_WAY_MAX;
use crate::target::{Event, Rejection};
use crate::workflow::WhileRunning;

pub(super) struct Entrant<'a> {
    pub run: RunId,
    pub version: &'a Version,
    pub artifact: Digest,
    pub while_running: WhileRunning,
}

/// The newer run's workflow says what becomes of those under way. Only a run for which no traffic was moved can be
/// superseded; a third run replaces the waiting second.
pub(super) fn enter(d: &mut Draft, target: &TargetId, entrant: &Entrant<'_>) -> Refused {
    let refuse = |d: &mut Draft, why: String| {
        d.tell(entrant.run, run::Input::EntryRefused { why: why.into() });
        Ok(())
    };
    let same = d.target.under_way.iter().find(|other| other.artifact == entrant.artifact);
    if let Some(other) = same {
        let why = format!(
            "already released: run {} brings the same artifact as version {}",
            other.run, other.version
        );
        return refuse(d, why);
    }
    if entrant.while_running == WhileRunning::Refuse
        && d.target.under_way.iter().any(|other| !d.target.is_live_run(other.run))
    {
        let holder =
            d.target.under_way.iter().find(|other| !d.target.is_live_run(other.run)).map(|other| other.run);
        return refuse(d, format!("busy: run {} is under way", holder.unwrap_or(entrant.run)));
    }
    let superseded: Vec<RunId> = match entrant.while_running {
        WhileRunning::Supersede => d
            .target
            .under_way
            .iter()
            .filter(|other| !other.moved && !other.quarantined)
            .map(|other| other.run)
            .collect(),
        WhileRunning::Queue | WhileRunning::Refuse => vec![],
    };
    if d.target.under_way.len() - superseded.len() >= UNDER_WAY_MAX {
        return refuse(d, format!("busy: {UNDER_WAY_MAX} runs are under way"));
    }
    let (run, version, artifact) = (entrant.run, entrant.version.clone(), entrant.artifact);
    d.emit(Event::RunEntered { target: target.clone(), run, version, artifact });
    for other in superseded {
        let held_slot = d.target.slot == Some(other);
        d.emit(Event::RunSuperseded { run: other, by: run });
        d.tell(other, run::Input::Superseded { by: run });
        if held_slot {
            grant_next(d);
        }
    }
    let live = d.target.live.as_ref().map(|live| live.release.clone());
    d.tell(run, run::Input::Entered { live, frozen: d.target.frozen.is_some() });
    Ok(())
}

/// A quarantined run keeps its place; from when it is resolved or gone, it counts as any other.
pub(super) fn note_quarantine(d: &mut Draft, run: RunId, quarantined: bool) -> Refused {
    let known = d.target.under_way.iter().find(|entry| entry.run == run);
    let known = known.ok_or_else(|| Rejection::NotUnderWay { run: run.to_string() })?;
    if known.quarantined == quarantined {
        return Err(Rejection::NothingNew);
    }
    d.emit(Event::QuarantineNoted { run, quarantined });
    Ok(())
}

fn under_way(d: &Draft, run: RunId) -> Refused {
    if d.target.under_way.iter().any(|entry| entry.run == run) {
        Ok(())
    } else {
        Err(Rejection::NotUnderWay { run: run.to_string() })
    }
}

pub(super) fn ask_slot(d: &mut Draft, run: RunId) -> Refused {
    under_way(d, run)?;
    match d.target.slot {
        Some(holder) if holder == run => d.tell(run, run::Input::SlotGranted),
        None if d.target.leaving.is_none() => {
            d.emit(Event::SlotGranted { run });
            d.tell(run, run::Input::SlotGranted);
        }
        None => queue(d, run, "the live release is being taken back".into()),
        Some(holder) => queue(d, run, format!("run {holder} moves traffic").into()),
    }
    Ok(())
}

fn queue(d: &mut Draft, run: RunId, why: Text) {
    if !d.target.queue.contains(&run) {
        let position = d.target.queue.len() as u32 + 1;
        d.emit(Event::RunQueued { run, position });
    }
    d.tell(run, run::Input::SlotRefused { why });
}

pub(super) fn leave_slot(d: &mut Draft, run: RunId) -> Refused {
    if d.target.slot != Some(run) && !d.target.queue.contains(&run) {
        return Err(Rejection::NotUnderWay { run: run.to_string() });
    }
    d.emit(Event::SlotLeft { run });
    grant_next(d);
    Ok(())
}

/// The run ended.
pub(super) fn leave(d: &mut Draft, run: RunId) -> Refused {
    under_way(d, run)?;
    d.emit(Event::RunLeft { run });
    grant_next(d);
    Ok(())
}

/// Whoever waits longest gets the slot. Nobody does while the live release is being taken back: all traffic goes to the
/// former one then, and whoever had raised a share meanwhile would lose it unheard.
pub(super) fn grant_next(d: &mut Draft) {
    if let (None, None, Some(run)) = (d.target.slot, &d.target.leaving, d.target.queue.first().copied()) {
        d.emit(Event::SlotGranted { run });
        d.tell(run, run::Input::SlotGranted);
    }
}

pub(super) fn prepare_release(d: &mut Draft, run: RunId, release: &Release) -> Refused {
    under_way(d, run)?;
    if d.target.slot != Some(run) {
        d.tell(run, run::Input::PrepareFailed { why: "the run does not hold the slot".into() });
        return Ok(());
    }
    if d.target.wanted.as_ref() != Some(release) {
        d.emit(Event::ReleaseWanted { run, release: release.clone() });
    }
    if d.target.is_loaded(release) {
        d.tell(run, run::Input::PrepareDone);
    }
    Ok(())
}
