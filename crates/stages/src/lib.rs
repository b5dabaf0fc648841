//! The stage workers: they measure and act, and never decide.
//!
//! ```text
//! command -> Workers::carry_out -> package/    fetch, look, pack, sign
//!                                  stage_test/ serve in staging, check over the network
//!                                  gate/       review page, notifications
//!                                  rollout/    plan, measure both arms, prepare, apply
//!                                  monitor/    measure one window
//! ```
//!
//! **Invariant:** a bad model is a finding, trouble in the environment is `CouldNotTell`, and never one for the
//! other. All that is done outside is absolute and may be done again. A blob is stored before the outcome that
//! names it.
//!
//! Blocking: to be called on a thread of a bounded pool, not on a thread of an asynchronous runtime.

pub mod port;

pub mod bundle;
pub mod config;
pub mod http;
mod trouble;

pub mod gate;
pub mod monitor;
pub mod package;
pub mod rollout;
pub mod stage_test;

pub mod decoders;

mod canonical;
mod evidence;
mod latencies;
mod sample;
mod traffic;

#[cfg(test)]
mod testing;

use domain::work::{Command, Order, Outcome};

pub use config::Config;
pub use port::Ports;
pub use trouble::Trouble;

/// The workers of all five stages, with what they need of the world.
#[derive(Debug)]
pub struct Workers {
    pub config: Config,
    pub ports: Ports,
}

/// What surrounds one piece of work: whether it is still wanted, and who listens to its progress.
#[derive(Clone, Copy)]
pub(crate) struct Attempt<'a> {
    pub command: &'a Command,
    cancelled: &'a dyn Fn() -> bool,
    progress: &'a dyn Fn(&str),
}

impl Attempt<'_> {
    /// To be called before each step outside.
    fn step(&self, what: &str) -> Result<(), Trouble> {
        self.still_wanted()?;
        (self.progress)(what);
        Ok(())
    }

    /// To be called now and then within a step.
    fn still_wanted(&self) -> Result<(), Trouble> {
        if (self.cancelled)() { Err(Trouble::Cancelled) } else { Ok(()) }
    }
}

impl Workers {
    /// Carries out one attempt of one command.
    ///
    /// `cancelled` is asked before each step outside. `progress` hears a few words at each, a sign of life.
    pub fn carry_out(
        &self,
        command: &Command,
        cancelled: &dyn Fn() -> bool,
        progress: &dyn Fn(&str),
    ) -> Outcome {
        let attempt = Attempt { command, cancelled, progress };
        let outcome = match &command.order {
            Order::Package(order) => package::carry_out(self, attempt, order),
            Order::Test(order) => stage_test::carry_out(self, attempt, order),
            Order::Notify(order) => gate::carry_out(self, attempt, order),
            Order::Plan(order) => rollout::plan::carry_out(self, attempt, order),
            Order::Measure(order) => rollout::measure::carry_out(self, attempt, order),
            Order::Prepare(order) => rollout::prepare::carry_out(self, attempt, order),
            Order::Apply(order) => rollout::apply::carry_out(self, attempt, order),
            Order::Watch(order) => monitor::carry_out(self, attempt, order),
        };
        outcome.unwrap_or_else(|trouble| {
            tracing::warn!(
                attempt = %command.attempt,
                order = command.order.as_str(),
                code = trouble.code(),
                reason = trouble.words(),
                "could not tell"
            );
            trouble.into_outcome()
        })
    }
}
