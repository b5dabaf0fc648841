//! What an event need not say again, since the input of its step says it: see [`record::repeats`](crate::record).

use std::sync::Arc;

use domain::evidence::Evidence;
use domain::name::StageName;
use domain::run::{self, Start};
use domain::target;
use domain::time::Timestamp;
use domain::work::{Bundle, GatewayObserved, Outcome, Planned, ServerLoaded};

/// The input of a step.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Brought<'a> {
    Nothing,
    Run(&'a run::Input),
    Target(&'a target::Input),
}

impl<'a> Brought<'a> {
    pub(crate) fn start(self) -> Option<&'a Start> {
        match self {
            Self::Run(run::Input::Start(start)) => Some(start),
            Self::Run(_) | Self::Target(_) | Self::Nothing => None,
        }
    }

    fn outcome(self) -> Option<&'a Outcome> {
        match self {
            Self::Run(run::Input::Report { outcome, .. })
            | Self::Target(target::Input::Report { outcome, .. }) => Some(outcome),
            Self::Run(_) | Self::Target(_) | Self::Nothing => None,
        }
    }

    pub(crate) fn evidence(self) -> Option<&'a Arc<Evidence>> {
        match self.outcome()? {
            Outcome::Measured(evidence) => Some(evidence),
            Outcome::Packed(packed) => Some(&packed.evidence),
            _ => None,
        }
    }

    pub(crate) fn bundle(self) -> Option<&'a Arc<Bundle>> {
        match self.outcome()? {
            Outcome::Packed(packed) => packed.bundle.as_ref(),
            _ => None,
        }
    }

    pub(crate) fn plan(self) -> Option<&'a Planned> {
        match self.outcome()? {
            Outcome::Planned(plan) => Some(plan),
            _ => None,
        }
    }

    pub(crate) fn servers(self) -> Option<&'a [ServerLoaded]> {
        match self {
            Self::Target(target::Input::ReportLoaded { servers }) => Some(servers),
            _ => match self.outcome()? {
                Outcome::Prepared { servers } => Some(servers),
                _ => None,
            },
        }
    }

    pub(crate) fn gateways(self) -> Option<&'a [GatewayObserved]> {
        match self {
            Self::Target(target::Input::ReportRoutes { gateways }) => Some(gateways),
            _ => match self.outcome()? {
                Outcome::Applied { gateways } => Some(gateways),
                _ => None,
            },
        }
    }
}

/// A field of an event that may repeat the input.
pub(crate) trait Repeats: Sized {
    /// Whether it is left out then.
    const LEFT_OUT: bool = false;

    fn of(_: Brought<'_>) -> Option<Self> {
        None
    }
}

impl Repeats for StageName {}
impl Repeats for Timestamp {}
impl Repeats for u32 {}
impl Repeats for Option<u32> {}

macro_rules! left_out {
    ($($type:ty: $of:expr;)*) => { $(
        impl Repeats for $type {
            const LEFT_OUT: bool = true;

            fn of(brought: Brought<'_>) -> Option<Self> {
                let of: fn(Brought<'_>) -> Option<Self> = $of;
                of(brought)
            }
        }
    )* };
}
left_out! {
    Arc<Start>: |brought| brought.start().cloned().map(Arc::new);
    Arc<Evidence>: |brought| brought.evidence().cloned();
    Arc<Bundle>: |brought| brought.bundle().cloned();
    Planned: |brought| brought.plan().cloned();
    Vec<ServerLoaded>: |brought| brought.servers().map(<[_]>::to_vec);
    Vec<GatewayObserved>: |brought| brought.gateways().map(<[_]>::to_vec);
    Box<run::Input>: |brought| match brought {
        Brought::Run(input) => Some(Box::new(input.clone())),
        Brought::Target(_) | Brought::Nothing => None,
    };
    Box<target::Input>: |brought| match brought {
        Brought::Target(input) => Some(Box::new(input.clone())),
        Brought::Run(_) | Brought::Nothing => None,
    };
}
