//! What workers act on: gateways, model servers and the store of bundles, with a ledger of what was done to them.
//!
//! **Invariant:** a gateway obeys the newest generation that it was told since it last lost its state; a server the
//! newest attempt. Whoever comes with an older one is refused, and that is counted.

use std::collections::BTreeMap;

use domain::name::{Digest, TargetId};
use domain::routes::{Generation, RouteTable};
use domain::time::Timestamp;
use domain::work::{Command, GatewayObserved, Order, ServerLoaded};
use engine::request::{Observation, Said};

use crate::checker::Checker;

/// How many gateways, and how many servers, a target has.
pub(crate) const MACHINES: usize = 2;

#[derive(Debug, Clone, Default)]
struct Gateway {
    table: Option<RouteTable>,
    /// The newest generation since it lost its state.
    newest: Generation,
}

#[derive(Debug, Clone, Default)]
struct Server {
    bundles: Vec<Digest>,
    newest: u32,
}

#[derive(Debug, Clone, Default)]
struct Site {
    gateways: [Gateway; MACHINES],
    servers: [Server; MACHINES],
}

#[derive(Debug, Default)]
pub(crate) struct Outside {
    sites: BTreeMap<TargetId, Site>,
    /// The bundle that was made under an effect key.
    bundles: BTreeMap<Digest, Digest>,
    /// Whether gateways obey whatever comes last.
    is_gullible: bool,
    pub(crate) fenced: u64,
    pub(crate) repeated: u64,
}

impl Outside {
    /// With gateways that do not look at generations.
    pub(crate) fn gullible() -> Self {
        Self { is_gullible: true, ..Self::default() }
    }

    /// Makes the gateways that are reached obey. The checker knows what they may be told.
    pub(crate) fn apply(
        &mut self,
        target: &TargetId,
        table: &RouteTable,
        reached: usize,
        checker: &Checker,
    ) -> Result<(), String> {
        checker.may_route(target, table)?;
        let site = self.sites.entry(target.clone()).or_default();
        for gateway in site.gateways.iter_mut().take(reached) {
            let now = gateway.table.as_ref().map(|table| table.generation).unwrap_or_default();
            if table.generation < now && !self.is_gullible {
                self.fenced += 1;
                continue;
            }
            if table.generation == now {
                self.repeated += 1;
                if gateway.table.as_ref().is_some_and(|obeyed| obeyed != table) {
                    return Err(format!("generation {now} of {target} came with two tables"));
                }
            }
            gateway.table = Some(table.clone());
            if table.generation < gateway.newest {
                let (older, newest) = (table.generation, gateway.newest);
                return Err(format!("a gateway of {target} went back from generation {newest} to {older}"));
            }
            gateway.newest = table.generation;
        }
        Ok(())
    }

    /// Has the servers that are reached load the set, and nothing else.
    pub(crate) fn prepare(&mut self, command: &Command, reached: usize) {
        let Order::Prepare(order) = &command.order else { return };
        let site = self.sites.entry(command.target.clone()).or_default();
        let mut bundles: Vec<Digest> = order.releases.iter().map(|release| release.bundle).collect();
        bundles.sort_unstable();
        for server in site.servers.iter_mut().take(reached) {
            if command.attempt.number < server.newest {
                self.fenced += 1;
                continue;
            }
            server.newest = command.attempt.number;
            server.bundles.clone_from(&bundles);
        }
    }

    /// Makes the bundle, or finds it made under the same effect key.
    pub(crate) fn package(&mut self, key: Digest, artifact: Digest) -> Result<Digest, String> {
        let bundle = Digest::of_parts([&b"bundle"[..], &artifact.0]);
        match self.bundles.insert(key, bundle) {
            Some(before) if before != bundle => Err(format!("effect key {key} made two bundles")),
            Some(_) => {
                self.repeated += 1;
                Ok(bundle)
            }
            None => Ok(bundle),
        }
    }

    /// The machines of the target start again, empty.
    pub(crate) fn lose(&mut self, target: &TargetId, gateways: bool, servers: bool) {
        let site = self.sites.entry(target.clone()).or_default();
        if gateways {
            site.gateways = Default::default();
        }
        if servers {
            site.servers = Default::default();
        }
    }

    pub(crate) fn gateways(&self, target: &TargetId, at: Timestamp) -> Vec<GatewayObserved> {
        let site = self.sites.get(target).cloned().unwrap_or_default();
        let observed = |(number, gateway): (usize, &Gateway)| GatewayObserved {
            gateway: format!("gateway-{number}").into(),
            generation: gateway.table.as_ref().map(|table| table.generation).unwrap_or_default(),
            override_to: None,
            killed: vec![],
            heard_at: at,
        };
        site.gateways.iter().enumerate().map(observed).collect()
    }

    pub(crate) fn servers(&self, target: &TargetId, at: Timestamp) -> Vec<ServerLoaded> {
        let site = self.sites.get(target).cloned().unwrap_or_default();
        let loaded = |(number, server): (usize, &Server)| ServerLoaded {
            server: format!("server-{number}").into(),
            bundles: server.bundles.clone(),
            failed: vec![],
            heard_at: at,
        };
        site.servers.iter().enumerate().map(loaded).collect()
    }

    /// What gateways (when they are `routed`) and servers of the target say of themselves.
    pub(crate) fn observations(&self, target: &TargetId, at: Timestamp, routed: bool) -> Vec<Said> {
        let said = |what| Said::Observed { target: target.clone(), what };
        let routes = routed.then(|| said(Observation::Routes(self.gateways(target, at))));
        routes.into_iter().chain([said(Observation::Loaded(self.servers(target, at)))]).collect()
    }

    /// Whether every gateway of the target obeys this generation.
    pub(crate) fn obeys(&self, target: &TargetId, generation: Generation) -> bool {
        let gateways = self.gateways(target, Timestamp(0));
        gateways.iter().all(|gateway| gateway.generation == generation)
    }
}
