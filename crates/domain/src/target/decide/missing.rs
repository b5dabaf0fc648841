//! Gateways and servers that are no longer heard: named as missing, and not waited for any more.
//!
//! ```text
//!  known, not in the report --- heard within SILENT of those in it --> silent: waited for
//!                           `-- not ---------------------------------> missing: forgotten until it is heard again
//! ```

use super::Draft;
use crate::evidence::Text;
use crate::target::state::{Errand, Target};
use crate::target::{Event, evolve};
use crate::time::{Millis, Timestamp};
use crate::work::{GatewayObserved, ServerLoaded};

/// Who was last heard so long before others is missing when it is not among them.
pub(in crate::target) const SILENT: Millis = Millis::seconds(10);

/// Names the gateways that are missing from what was heard.
pub(super) fn note_gateways(d: &mut Draft, heard: &[GatewayObserved]) {
    let missing: Vec<GatewayObserved> = missing_gateways(&d.target, heard).cloned().collect();
    for GatewayObserved { gateway, heard_at, .. } in missing {
        d.emit(Event::GatewayMissing { gateway, heard_at });
    }
}

/// Names the servers that are missing from what was heard.
pub(super) fn note_servers(d: &mut Draft, heard: &[ServerLoaded]) {
    let missing: Vec<ServerLoaded> = missing_servers(&d.target, heard).cloned().collect();
    for ServerLoaded { server, heard_at, .. } in missing {
        d.emit(Event::ServerMissing { server, heard_at });
    }
}

pub(super) fn missing_gateways<'a>(
    target: &'a Target,
    heard: &'a [GatewayObserved],
) -> impl Iterator<Item = &'a GatewayObserved> {
    unheard_gateways(target, heard).filter(|known| is_missing(known.heard_at, latest_of_gateways(heard)))
}

pub(super) fn missing_servers<'a>(
    target: &'a Target,
    heard: &'a [ServerLoaded],
) -> impl Iterator<Item = &'a ServerLoaded> {
    unheard_servers(target, heard).filter(|known| is_missing(known.heard_at, latest_of_servers(heard)))
}

/// A gateway that does not obey `table`'s generation as far as is known, and is silent for too short to be missing.
pub(super) fn silent_gateway<'a>(
    target: &'a Target,
    heard: &'a [GatewayObserved],
) -> Option<&'a GatewayObserved> {
    let wanted = target.table.as_ref().map(|table| table.generation).unwrap_or_default();
    let mut silent = unheard_gateways(target, heard)
        .filter(|known| !is_missing(known.heard_at, latest_of_gateways(heard)));
    silent.find(|known| known.generation < wanted)
}

/// A server that is silent for too short to be missing, when the servers heard are not enough without it.
pub(super) fn silent_server(target: &Target, heard: &[ServerLoaded]) -> Option<Text> {
    let mut silent =
        unheard_servers(target, heard).filter(|known| !is_missing(known.heard_at, latest_of_servers(heard)));
    let silent = silent.next()?.server.clone();
    let mut after = target.clone();
    for ServerLoaded { server, .. } in missing_servers(target, heard) {
        after.servers.retain(|known| known.server != *server);
    }
    evolve::hear_servers(&mut after, heard);
    after.is_outstanding(Errand::Prepare).then_some(silent)
}

fn unheard_gateways<'a>(
    target: &'a Target,
    heard: &'a [GatewayObserved],
) -> impl Iterator<Item = &'a GatewayObserved> {
    let is_heard = |known: &GatewayObserved| heard.iter().any(|heard| heard.gateway == known.gateway);
    target.gateways.iter().filter(move |known| !is_heard(known))
}

fn unheard_servers<'a>(
    target: &'a Target,
    heard: &'a [ServerLoaded],
) -> impl Iterator<Item = &'a ServerLoaded> {
    let is_heard = |known: &ServerLoaded| heard.iter().any(|heard| heard.server == known.server);
    target.servers.iter().filter(move |known| !is_heard(known))
}

/// Where nobody was heard nobody is missing: whoever asked may not hear.
fn is_missing(heard_at: Timestamp, latest: Option<Timestamp>) -> bool {
    latest.is_some_and(|latest| latest - heard_at > SILENT)
}

fn latest_of_gateways(heard: &[GatewayObserved]) -> Option<Timestamp> {
    heard.iter().map(|gateway| gateway.heard_at).max()
}

fn latest_of_servers(heard: &[ServerLoaded]) -> Option<Timestamp> {
    heard.iter().map(|server| server.heard_at).max()
}
