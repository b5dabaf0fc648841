//! The key values of each event of a target.

use domain::target::Event;
use domain::work::{GatewayObserved, ServerLoaded};

use super::Names;
use super::event::chapter;
use super::values::Values;

pub(super) fn target_event(event: &Event, names: &Names) -> Values {
    let new = Values::new;
    match event {
        Event::RunEntered { run, version, .. } => new().with("run", run).with("version", version),
        Event::RunSuperseded { run, by } => new().with("run", run).with("by", by),
        Event::RunLeft { run } | Event::SlotGranted { run } | Event::SlotLeft { run } => {
            new().with("run", run)
        }
        Event::RunQueued { run, position } => new().with("run", run).with("position", position),
        Event::ReleaseWanted { run, release } => new().with("run", run).release("release", Some(release)),
        Event::ReleaseLoaded { servers, attempt } => loaded(servers).maybe("attempt", *attempt),
        Event::GenerationRaised { table, cause, run, .. } => {
            let shares: Vec<String> = table
                .routes
                .iter()
                .map(|route| format!("{} {}", route.release.version, route.weight))
                .collect();
            new()
                .with("generation", table.generation)
                .with("routes", shares.join(", "))
                .with("cause", cause)
                .maybe("run", *run)
        }
        Event::RoutesObserved { gateways, attempt } => observed(gateways).maybe("attempt", *attempt),
        Event::GatewayMissing { gateway, heard_at } => {
            new().with("gateway", gateway).with("heard_at", heard_at)
        }
        Event::ServerMissing { server, heard_at } => new().with("server", server).with("heard_at", heard_at),
        Event::LiveChanged { from, to, generation, warm_until, .. } => new()
            .release("from", from.as_ref())
            .release("to", to.as_ref())
            .with("generation", generation)
            .at("warm_until", *warm_until),
        Event::ReleaseRolledBack { release, to, cause, by } => new()
            .release("release", Some(release))
            .release("to", to.as_ref())
            .with("cause", cause)
            .maybe("by", by.as_ref().map(|by| names.name(by))),
        Event::ReleaseKilled { release, by, reason } | Event::ReleaseAdopted { release, by, reason, .. } => {
            new().release("release", Some(release)).with("by", names.name(by)).with("reason", reason)
        }
        Event::ReleaseCooled { release } => new().release("release", Some(release)),
        Event::OverrideObserved { gateway, release } => {
            new().with("gateway", gateway).release("release", release.as_ref())
        }
        Event::TargetFrozen { until, by, reason } => {
            new().at("until", *until).maybe("by", by.as_ref().map(|by| names.name(by))).with("reason", reason)
        }
        Event::TargetUnfrozen { by, reason } => {
            new().maybe("by", by.as_ref().map(|by| names.name(by))).with("reason", reason)
        }
        Event::StreamQuarantined { why, .. } => new().with("why", why),
        Event::InputHeld { input, .. } => new().with("input", input.name()),
        Event::QuarantineResolved { by, reason, dropped, .. } => {
            new().with("by", names.name(by)).with("reason", reason).maybe("dropped", dropped.as_ref())
        }
        Event::InputReleased { number, input, refused } => {
            new().with("number", number).with("input", input).maybe("refused", refused.as_ref())
        }
        Event::ChapterOpened { carried, .. } => chapter(new(), &**carried),
        Event::QuarantineNoted { run, quarantined } => {
            new().with("run", run).with("quarantined", quarantined)
        }
        Event::AttemptIssued { attempt, what, .. } => {
            new().with("attempt", attempt).with("errand", what.as_str())
        }
        Event::AttemptFailed { attempt, what, code, reason, retry_at } => new()
            .with("attempt", attempt)
            .with("errand", what.as_str())
            .with("code", code)
            .with("reason", reason)
            .with("retry_at", retry_at),
        Event::AttemptExpired { attempt, what, heard_at, retry_at } => new()
            .with("attempt", attempt)
            .with("errand", what.as_str())
            .at("heard_at", *heard_at)
            .with("retry_at", retry_at),
        Event::AttemptDeclined { attempt, what, reason } => {
            new().with("attempt", attempt).with("errand", what.as_str()).with("reason", reason)
        }
        Event::AttemptCancelled { attempt, what } => {
            new().with("attempt", attempt).with("errand", what.as_str())
        }
    }
}

pub(super) fn loaded(servers: &[ServerLoaded]) -> Values {
    servers.iter().fold(Values::new(), |values, server| {
        let bundles: Vec<String> = server.bundles.iter().map(domain::name::Digest::short).collect();
        let failed: Vec<&str> = server.failed.iter().map(|finding| &*finding.code).collect();
        values
            .with(&server.server, bundles.join(", "))
            .maybe("failed", (!failed.is_empty()).then(|| failed.join(", ")))
    })
}

pub(super) fn observed(gateways: &[GatewayObserved]) -> Values {
    gateways.iter().fold(Values::new(), |values, gateway| {
        let said = if gateway.killed.is_empty() {
            gateway.generation.to_string()
        } else {
            let instead = gateway.override_to.as_ref().map_or("nobody", |release| release.version.as_str());
            format!("{} (kill switch on, {instead} answers instead)", gateway.generation)
        };
        values.with(&gateway.gateway, said)
    })
}
