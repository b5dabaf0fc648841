//! What workers act on: gateways, model servers and the store of bundles, with a ledger of what was done to them.
//!
//! **Invariant:** a gateway obeys the newest generation that it was told since it last lost its state; a server the
//! newest attempt. Whoever comes with an older one is refused, and that is counted.

use std::collections::BTreeMap;

use domain::name::{Digest, TargetId};
use domain::routes::{Generation, RouteTable};
use domain::time::Timestamp;
use domain::weight::Weight;
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
    /// Until then nobody reaches it, and nobody hears of it.
    silent_until: Timestamp,
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
    /// Who does whatever it is told last.
    gullible: Option<Gullible>,
    topic: Option<Topic>,
    pub(crate) fenced: u64,
    pub(crate) repeated: u64,
    /// What was done outside, and held against the log.
    pub(crate) effects: u64,
}

/// Whose fence is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gullible {
    /// They do not look at generations.
    Gateways,
    /// They do not look at the numbers of attempts.
    Servers,
}

/// The compacted topic of tables: the last of each key. A gateway that starts reads it.
#[derive(Debug, Default)]
struct Topic {
    /// By target, and by generation unless that is no part of the key.
    tables: BTreeMap<(TargetId, Generation), RouteTable>,
    is_keyed_by_target: bool,
    /// The newest that was ever written.
    newest: BTreeMap<TargetId, Generation>,
}

impl Outside {
    pub(crate) fn with_gullible(who: Gullible) -> Self {
        Self { gullible: Some(who), ..Self::default() }
    }

    /// With a topic from which gateways get their tables when they start.
    pub(crate) fn with_topic(is_keyed_by_target: bool) -> Self {
        Self { topic: Some(Topic { is_keyed_by_target, ..Topic::default() }), ..Self::default() }
    }

    /// Nobody reaches some gateways of the target, and nobody hears of them.
    pub(crate) fn silence(&mut self, target: &TargetId, gateways: usize, until: Timestamp) {
        let site = self.sites.entry(target.clone()).or_default();
        site.gateways.iter_mut().rev().take(gateways).for_each(|gateway| gateway.silent_until = until);
    }

    pub(crate) fn end_silence(&mut self) {
        for site in self.sites.values_mut() {
            site.gateways.iter_mut().for_each(|gateway| gateway.silent_until = Timestamp(0));
        }
    }

    /// Makes the gateways that are reached obey. The checker knows what they may be told.
    pub(crate) fn apply(
        &mut self,
        target: &TargetId,
        table: &RouteTable,
        reached: usize,
        checker: &Checker,
        now: Timestamp,
    ) -> Result<(), String> {
        checker.may_route(target, table)?;
        self.effects += 1;
        if let Some(topic) = &mut self.topic {
            topic.publish(target, table);
        }
        let site = self.sites.entry(target.clone()).or_default();
        for gateway in site.gateways.iter_mut().take(reached) {
            if gateway.silent_until > now {
                continue;
            }
            let now = gateway.table.as_ref().map(|table| table.generation).unwrap_or_default();
            if table.generation < now && self.gullible != Some(Gullible::Gateways) {
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
    pub(crate) fn prepare(
        &mut self,
        command: &Command,
        reached: usize,
        checker: &Checker,
    ) -> Result<(), String> {
        let Order::Prepare(order) = &command.order else { return Ok(()) };
        self.effects += 1;
        let site = self.sites.entry(command.target.clone()).or_default();
        let mut bundles: Vec<Digest> = order.releases.iter().map(|release| release.bundle).collect();
        bundles.sort_unstable();
        let is_led_to = |bundle: &Digest| {
            let table = checker.target(&command.target).and_then(|target| target.table.as_ref());
            let mut routes = table.iter().flat_map(|table| &table.routes);
            routes.any(|route| route.weight > Weight::NONE && route.release.bundle == *bundle)
        };
        for server in site.servers.iter_mut().take(reached) {
            if command.attempt.number < server.newest && self.gullible != Some(Gullible::Servers) {
                self.fenced += 1;
                continue;
            }
            let unloaded =
                server.bundles.iter().find(|bundle| !bundles.contains(bundle) && is_led_to(bundle));
            if let Some(bundle) = unloaded {
                let attempt = &command.attempt;
                return Err(format!("attempt {attempt} unloaded {bundle}, to which callers are led"));
            }
            server.newest = server.newest.max(command.attempt.number);
            server.bundles.clone_from(&bundles);
        }
        Ok(())
    }

    /// Makes the bundle, or finds it made under the same effect key.
    pub(crate) fn package(&mut self, key: Digest, artifact: Digest) -> Result<Digest, String> {
        self.effects += 1;
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
    pub(crate) fn lose(&mut self, target: &TargetId, gateways: bool, servers: bool) -> Result<(), String> {
        let site = self.sites.entry(target.clone()).or_default();
        if gateways {
            let table = self.topic.as_ref().map(|topic| topic.read(target)).transpose()?.flatten();
            for gateway in &mut site.gateways {
                let newest = table.as_ref().map(|table| table.generation).unwrap_or_default();
                *gateway = Gateway { table: table.clone(), newest, ..gateway.clone() };
            }
        }
        if servers {
            site.servers = Default::default();
        }
        Ok(())
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
        let heard = |(_, gateway): &(usize, &Gateway)| gateway.silent_until <= at;
        site.gateways.iter().enumerate().filter(heard).map(observed).collect()
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
        let gateways = self.gateways(target, Timestamp(u64::MAX));
        gateways.iter().all(|gateway| gateway.generation == generation)
    }
}

impl Topic {
    fn publish(&mut self, target: &TargetId, table: &RouteTable) {
        let newest = self.newest.entry(target.clone()).or_default();
        *newest = (*newest).max(table.generation);
        let generation = if self.is_keyed_by_target { Generation::default() } else { table.generation };
        self.tables.insert((target.clone(), generation), table.clone());
    }

    /// The greatest generation counts. The topic must have the one that was ever the newest.
    fn read(&self, target: &TargetId) -> Result<Option<RouteTable>, String> {
        let found = self.tables.iter().filter(|((of, _), _)| of == target).map(|(_, table)| table);
        let table = found.max_by_key(|table| table.generation);
        let (found, newest) = (table.map(|table| table.generation), self.newest.get(target).copied());
        if found != newest {
            return Err(format!("gateways of {target} that start get generation {found:?}, not {newest:?}"));
        }
        Ok(table.cloned())
    }
}
