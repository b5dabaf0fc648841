//! The one gateway of this process, as the workers' port.

use std::sync::Arc;

use domain::name::TargetId;
use domain::routes::RouteTable;
use domain::time::Timestamp;
use domain::work::GatewayObserved;
use engine::port::clock::Clock;
use gateway::Gateway;
use stages::port::{Routers, RoutersError};
use tokio::runtime::Handle;

use super::clock::SystemClock;

#[derive(Debug)]
pub struct OneGateway {
    gateway: Gateway,
    runtime: Handle,
    clock: Arc<SystemClock>,
}

impl OneGateway {
    pub fn new(gateway: Gateway, runtime: Handle) -> Self {
        Self { gateway, runtime, clock: Arc::new(SystemClock::default()) }
    }

    fn now(&self) -> Timestamp {
        self.clock.wall()
    }
}

impl Routers for OneGateway {
    /// A refusal is no failure: what comes back says which generation is obeyed.
    fn apply(&self, table: &RouteTable) -> Result<Vec<GatewayObserved>, RoutersError> {
        if let Err(refused) = self.runtime.block_on(self.gateway.apply(table.clone())) {
            tracing::warn!(target = %table.target, generation = %table.generation, %refused, "the gateway refused a table");
        }
        self.observed(&table.target)
    }

    fn observed(&self, target: &TargetId) -> Result<Vec<GatewayObserved>, RoutersError> {
        let observed = self.gateway.observed(target);
        let overridden = observed.as_ref().and_then(|observed| observed.overridden.clone());
        Ok(vec![GatewayObserved {
            gateway: self.gateway.id().into(),
            generation: observed.as_ref().and_then(|observed| observed.generation).unwrap_or_default(),
            override_to: overridden.as_ref().and_then(|overridden| overridden.to.clone()),
            killed: overridden.map_or(vec![], |overridden| overridden.killed),
            heard_at: self.now(),
        }])
    }
}
