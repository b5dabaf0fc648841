//! What was live when: the events of a target that change who serves, or whether that may change.

use domain::target::Event;
use domain::transition::Step;

use super::target::route_view;
use super::{Names, release_view};
use crate::reader::Entry;
use crate::view::HistoryLine;

/// The lines that one record adds.
pub(crate) fn history_lines(
    entry: &Entry,
    target: &domain::name::TargetId,
    names: &Names,
) -> Vec<HistoryLine> {
    let mut lines = vec![];
    for step in &entry.recorded.transition.steps {
        if let Step::Target { target: whose, events, .. } = step
            && whose == target
        {
            lines.extend(events.iter().filter_map(|event| line(entry, event, names)));
        }
    }
    lines
}

fn line(entry: &Entry, event: &Event, names: &Names) -> Option<HistoryLine> {
    let new = |what: &str| HistoryLine {
        seq: entry.seq,
        at: entry.recorded.now.to_string(),
        what: what.to_owned(),
        from: None,
        to: None,
        generation: None,
        routes: vec![],
        run: None,
        by: None,
        cause: None,
    };
    let line = match event {
        Event::LiveChanged { from, to, generation, .. } => HistoryLine {
            from: from.as_ref().map(release_view),
            to: to.as_ref().map(release_view),
            generation: Some(generation.0),
            ..new("live_changed")
        },
        Event::GenerationRaised { table, cause, run, .. } => HistoryLine {
            generation: Some(table.generation.0),
            routes: table.routes.iter().map(route_view).collect(),
            run: run.map(|run| run.to_string()),
            cause: Some(cause.to_string()),
            ..new("generation_raised")
        },
        Event::ReleaseRolledBack { release, to, cause, by } => HistoryLine {
            from: Some(release_view(release)),
            to: to.as_ref().map(release_view),
            by: by.as_ref().map(|by| names.who(by)),
            cause: Some(cause.to_string()),
            ..new("rolled_back")
        },
        Event::ReleaseKilled { release, by, reason } => HistoryLine {
            from: Some(release_view(release)),
            by: Some(names.who(by)),
            cause: Some(reason.to_string()),
            ..new("killed")
        },
        Event::ReleaseAdopted { release, by, reason, .. } => HistoryLine {
            to: Some(release_view(release)),
            by: Some(names.who(by)),
            cause: Some(reason.to_string()),
            ..new("adopted")
        },
        Event::TargetFrozen { by, reason, .. } => HistoryLine {
            by: by.as_ref().map(|by| names.who(by)),
            cause: Some(reason.to_string()),
            ..new("frozen")
        },
        Event::TargetUnfrozen { by, reason } => HistoryLine {
            by: by.as_ref().map(|by| names.who(by)),
            cause: Some(reason.to_string()),
            ..new("unfrozen")
        },
        Event::OverrideObserved { gateway, release } => HistoryLine {
            to: release.as_ref().map(release_view),
            cause: Some(format!("kill switch of gateway {gateway}")),
            ..new("override")
        },
        Event::StreamQuarantined { why, .. } => {
            HistoryLine { cause: Some(why.to_string()), ..new("quarantined") }
        }
        Event::QuarantineResolved { by, reason, .. } => {
            HistoryLine { by: Some(names.who(by)), cause: Some(reason.to_string()), ..new("resolved") }
        }
        Event::ChapterOpened { .. }
        | Event::RunEntered { .. }
        | Event::QuarantineNoted { .. }
        | Event::InputHeld { .. }
        | Event::InputReleased { .. }
        | Event::RunSuperseded { .. }
        | Event::RunLeft { .. }
        | Event::SlotGranted { .. }
        | Event::RunQueued { .. }
        | Event::SlotLeft { .. }
        | Event::ReleaseWanted { .. }
        | Event::ReleaseLoaded { .. }
        | Event::RoutesObserved { .. }
        | Event::GatewayMissing { .. }
        | Event::ServerMissing { .. }
        | Event::ReleaseCooled { .. }
        | Event::AttemptIssued { .. }
        | Event::AttemptFailed { .. }
        | Event::AttemptExpired { .. }
        | Event::AttemptDeclined { .. }
        | Event::AttemptCancelled { .. } => return None,
    };
    Some(line)
}
