//! A target: its row as a line, its folded state as a view.

use domain::name::Digest;
use domain::routes::Route;
use domain::target::{Errand, Target};
use domain::work::{GatewayObserved, ServerLoaded};
use engine::port::row::TargetRow;
use wire::codec::state_digest;

use super::run::{chapter_number, text, withheld_view};
use super::stage::finding_view;
use super::{Names, release_view};
use crate::reader::StateAt;
use crate::view::{
    ErrandView, FrozenView, GatewayView, LiveView, RouteView, ServerView, TargetLine, TargetView,
    UnderWayView,
};

pub(crate) fn target_line(row: &TargetRow) -> TargetLine {
    TargetLine {
        target: row.target.to_string(),
        live_version: row.live.as_ref().map(|(version, _)| version.to_string()),
        live_bundle: row.live.as_ref().map(|(_, bundle)| bundle.to_string()),
        slot: row.slot.map(|run| run.to_string()),
        under_way: row.under_way,
        frozen: row.frozen,
        withheld: withheld_view(&row.withheld),
        generation: row.generation,
        updated_at: text(row.updated_at),
        seq: row.last_seq,
    }
}

/// Nothing for a target that nothing happened at.
pub(crate) fn target_view(at: &StateAt<Target>, names: &Names) -> Option<TargetView> {
    let target = &*at.state;
    let id = target.id.as_ref()?;
    let table = target.table.as_ref();
    Some(TargetView {
        target: id.to_string(),
        seq: at.seq,
        transitions: at.transitions,
        state_sha256: state_digest(target).hex(),
        chapter: chapter_number(target),
        updated_at: text(at.updated_at),
        live: target.live.as_ref().map(|live| LiveView {
            release: release_view(&live.release),
            since: text(live.since),
            generation: live.generation.0,
        }),
        last_good: target.last_good.as_ref().map(|good| release_view(&good.release)),
        last_good_warm_until: target
            .last_good
            .as_ref()
            .filter(|good| !good.cold)
            .and_then(|good| good.warm_until)
            .map(text),
        leaving: target.leaving.as_ref().map(|leaving| leaving.cause.to_string()),
        slot: target.slot.map(|run| run.to_string()),
        queue: target.queue.iter().map(ToString::to_string).collect(),
        under_way: target
            .under_way
            .iter()
            .map(|one| UnderWayView {
                run: one.run.to_string(),
                version: one.version.to_string(),
                moved: one.moved,
            })
            .collect(),
        generation: table.map_or(0, |table| table.generation.0),
        raised_at: table.map(|_| text(target.raised_at)),
        observed: target.observed.0,
        routes: table.map(|table| table.routes.iter().map(route_view).collect()).unwrap_or_default(),
        gateways: target.gateways.iter().map(gateway_view).collect(),
        servers: target.servers.iter().map(server_view).collect(),
        errands: Errand::ALL.into_iter().map(|errand| errand_view(target, errand)).collect(),
        withheld: withheld_view(&engine::fold::withheld(target, at.parked.as_deref())),
        frozen: target.frozen.as_ref().map(|frozen| FrozenView {
            until: frozen.until.map(text),
            by: frozen.by.as_ref().map(|by| names.who(by)),
            reason: frozen.reason.to_string(),
        }),
        bad: target.bad.iter().map(Digest::to_string).collect(),
    })
}

pub(super) fn route_view(route: &Route) -> RouteView {
    RouteView {
        release: release_view(&route.release),
        weight: route.weight.to_string(),
        weight_basis_points: route.weight.points(),
    }
}

fn gateway_view(gateway: &GatewayObserved) -> GatewayView {
    GatewayView {
        gateway: gateway.gateway.to_string(),
        generation: gateway.generation.0,
        override_to: gateway.override_to.as_ref().map(release_view),
        killed: gateway.killed.iter().map(Digest::to_string).collect(),
        heard_at: text(gateway.heard_at),
    }
}

fn server_view(server: &ServerLoaded) -> ServerView {
    ServerView {
        server: server.server.to_string(),
        bundles: server.bundles.iter().map(Digest::to_string).collect(),
        failed: server.failed.iter().map(finding_view).collect(),
        heard_at: text(server.heard_at),
    }
}

fn errand_view(target: &Target, errand: Errand) -> ErrandView {
    let state = target.errand(errand);
    ErrandView {
        errand: errand.as_str().to_owned(),
        outstanding: target.is_outstanding(errand),
        attempt: state.open.map(|(number, _)| number),
        failures: state.failures,
        last_failure: state.last_failure.as_ref().map(ToString::to_string),
        retry_at: state.retry_at.map(text),
    }
}
