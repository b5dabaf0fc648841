//! The gateways of other processes, as the rollout workers' port: told by one topic, heard by another.
//!
//! **Invariant:** who was not heard for `silent` is missing, and so is everybody until this has listened for as long:
//! only then is it known who there is. What a gateway said last counts, downwards too.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use domain::evidence::Text;
use domain::name::TargetId;
use domain::routes::{Generation, RouteTable};
use domain::time::Timestamp;
use domain::work::GatewayObserved;
use engine::message::{GatewayReport, decode_gateway_report, decode_table, encode_table};
use engine::port::clock::Clock as _;
use log_kafka::{Begin, Followed};
use stages::port::{Routers, RoutersError};

use super::topic::{Following, Opens, Publish};
use crate::node::clock::SystemClock;

/// The gateways behind two topics.
#[derive(Debug)]
pub struct TopicRouters {
    routes: Arc<dyn Publish>,
    heard: Arc<Heard>,
}

impl TopicRouters {
    pub fn new(routes: Arc<dyn Publish>, heard: Arc<Heard>) -> Self {
        Self { routes, heard }
    }
}

impl Routers for TopicRouters {
    /// Waits until everybody heard obeys, at most for as long as somebody may be silent; twice that when it is not
    /// known yet who there is.
    fn apply(&self, table: &RouteTable) -> Result<Vec<GatewayObserved>, RoutersError> {
        let key = format!("{}#{}", table.target, table.generation);
        self.routes.publish(&key, encode_table(table)).map_err(|error| RoutersError(error.into()))?;
        Ok(self.heard.wait_until_obeyed(&table.target, table.generation))
    }

    fn observed(&self, target: &TargetId) -> Result<Vec<GatewayObserved>, RoutersError> {
        Ok(self.heard.observed(target))
    }
}

/// What the gateways said.
#[derive(Debug)]
pub struct Heard {
    silent: Duration,
    gateways: Mutex<Gateways>,
    came: Condvar,
    clock: SystemClock,
}

#[derive(Debug, Default)]
struct Gateways {
    /// Nothing while nobody listens.
    listens_since: Option<Instant>,
    last: BTreeMap<Text, Last>,
}

impl Gateways {
    fn listens_for(&self) -> Option<Duration> {
        self.listens_since.map(|since| since.elapsed())
    }
}

/// What a gateway said last.
#[derive(Debug)]
struct Last {
    report: GatewayReport,
    /// By this process: clocks of others are not compared.
    heard: Instant,
    heard_at: Timestamp,
}

impl Heard {
    pub fn new(silent: Duration) -> Arc<Self> {
        let clock = SystemClock::default();
        Arc::new(Self { silent, gateways: Mutex::default(), came: Condvar::new(), clock })
    }

    /// Listens from now on: what was said before is not of this moment.
    pub fn listen(self: &Arc<Self>, opens: Opens) -> std::io::Result<Following> {
        let heard = Arc::clone(self);
        Following::start("gateways", opens, Begin::End, move |seen| match seen {
            Some(Followed::Record(record)) => heard.hear(record.value.as_deref()),
            Some(Followed::End) => heard.listens(),
            None => {}
        })
    }

    fn gateways(&self) -> MutexGuard<'_, Gateways> {
        self.gateways.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listens(&self) {
        self.gateways().listens_since.get_or_insert_with(Instant::now);
    }

    fn hear(&self, value: Option<&[u8]>) {
        let Some(bytes) = value else { return };
        let report = match decode_gateway_report(bytes) {
            Ok(report) => report,
            Err(error) => {
                tracing::warn!(%error, "what a gateway said cannot be read, and is passed over");
                return;
            }
        };
        let last = Last { heard: Instant::now(), heard_at: self.clock.wall(), report };
        let mut gateways = self.gateways();
        let silent = self.silent;
        gateways.last.retain(|_, last| last.heard.elapsed() < silent);
        if gateways.last.is_empty() && gateways.listens_since.is_some() {
            // Nobody was heard for so long that it may have been the brokers: who there is is to be found out anew.
            gateways.listens_since = Some(Instant::now());
        }
        gateways.last.insert(last.report.gateway.clone(), last);
        drop(gateways);
        self.came.notify_all();
    }

    fn observed(&self, target: &TargetId) -> Vec<GatewayObserved> {
        let gateways = self.gateways();
        if gateways.listens_for().is_none_or(|since| since < self.silent) {
            return vec![];
        }
        self.those_heard(&gateways, target)
    }

    fn those_heard(&self, gateways: &Gateways, target: &TargetId) -> Vec<GatewayObserved> {
        let heard = gateways.last.values().filter(|last| last.heard.elapsed() < self.silent);
        heard.map(|last| last.of(target)).collect()
    }

    fn wait_until_obeyed(&self, target: &TargetId, generation: Generation) -> Vec<GatewayObserved> {
        let mut gateways = self.gateways();
        let (began, mut bound) = (Instant::now(), self.silent);
        loop {
            let knows_all = gateways.listens_for().is_some_and(|since| since >= self.silent);
            if !knows_all {
                // It takes one such time to know who there is, and another one for them to obey.
                bound = self.silent * 2;
            }
            let heard = self.those_heard(&gateways, target);
            let obeyed = heard.iter().all(|gateway| gateway.generation >= generation);
            let left = bound.saturating_sub(began.elapsed());
            if left.is_zero() {
                return if knows_all { heard } else { vec![] };
            }
            if knows_all && obeyed && !heard.is_empty() {
                return heard;
            }
            // Somebody becomes silent without a word: looked at in between.
            let look = left.min(LOOK_EVERY);
            (gateways, _) = self.came.wait_timeout(gateways, look).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// How often to look who became silent.
const LOOK_EVERY: Duration = Duration::from_millis(100);

impl Last {
    /// A gateway that does not name the target obeys nothing there yet.
    fn of(&self, target: &TargetId) -> GatewayObserved {
        let served = self.report.targets.iter().find(|served| served.target == *target);
        GatewayObserved {
            gateway: self.report.gateway.clone(),
            generation: served.map(|served| served.generation).unwrap_or_default(),
            override_to: served.and_then(|served| served.override_to.clone()),
            killed: served.map_or(vec![], |served| served.killed.clone()),
            heard_at: self.heard_at,
        }
    }
}

/// The targets that tables name.
#[derive(Debug, Clone, Default)]
pub struct Routed(Arc<Mutex<BTreeSet<TargetId>>>);

impl Routed {
    pub fn follow(&self, opens: Opens) -> std::io::Result<Following> {
        let routed = self.clone();
        Following::start("routes", opens, Begin::Beginning, move |seen| {
            let Some(Followed::Record(record)) = seen else { return };
            // What cannot be read is told by the gateways, who need it.
            if let Some(Ok(table)) = record.value.as_deref().map(decode_table) {
                routed.0.lock().unwrap_or_else(PoisonError::into_inner).insert(table.target);
            }
        })
    }

    pub fn targets(&self) -> Vec<TargetId> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests;
