//! Which table may be taken, and whom it leads callers to while a kill switch is on. Pure.
//!
//! ```text
//! intended table (of the core) --+--> effective table (whom callers are led to)
//! override (of a kill switch) ---+
//! ```
//!
//! Invariant: generations grow; one generation says one thing; the effective table leads nobody to a killed
//! release. An override ends only by a newer table that no longer names what was killed: one that was raised
//! before the core heard of the kill would still name it.

use std::sync::Arc;

use domain::model::Release;
use domain::name::{Digest, TargetId};
use domain::routes::{Generation, Route, RouteTable, Sticky};
use domain::weight::Weight;
use hyper::header::HeaderValue;

use crate::backend::{Ask, Backend, Call};
use crate::gateway::Target;
use crate::limits::Limits;
use crate::metrics::ReleaseCounts;
use crate::overrides::Override;

/// Why a table was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("expected to take a table newer than generation {served}, but it has {offered}")]
    Older { served: Generation, offered: Generation },
    #[error("expected generation {generation} to say what it said before, but it says something else")]
    Contradiction { generation: Generation },
    #[error("expected to take a sound table, but {what}")]
    Unsound { what: String },
    #[error("expected to lead callers to ready releases, but {} ({}) is not ready", release.version, release.bundle)]
    NotReady { release: Box<Release> },
    #[error("expected to ask whether {} ({}) is ready, but its model server did not say", release.version, release.bundle)]
    Unreachable { release: Box<Release>, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("expected to serve at most {targets_max} targets, but so many are served")]
    TooMany { targets_max: usize },
}

impl Refused {
    /// Stable name of the kind of refusal.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Older { .. } => "GENERATION_OLDER",
            Self::Contradiction { .. } => "GENERATION_CONTRADICTED",
            Self::Unsound { .. } => "TABLE_UNSOUND",
            Self::NotReady { .. } => "NOT_READY",
            Self::Unreachable { .. } => "MODEL_SERVER_SILENT",
            Self::TooMany { .. } => "TARGETS_FULL",
        }
    }

    /// Whether the same table may be taken later.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::NotReady { .. } | Self::Unreachable { .. } | Self::TooMany { .. } => true,
            Self::Older { .. } | Self::Contradiction { .. } | Self::Unsound { .. } => false,
        }
    }
}

/// What a gateway says of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    pub target: TargetId,
    /// Of the table that was taken last; nothing before the first since the start.
    pub generation: Option<Generation>,
    pub overridden: Option<Override>,
}

/// Whether `offered` may follow what is served.
pub(crate) fn admit(
    limits: &Limits,
    served: Option<&RouteTable>,
    overridden: Option<&Override>,
    offered: &RouteTable,
) -> Result<(), Refused> {
    let sum: u32 = offered.routes.iter().map(|route| u32::from(route.weight.points())).sum();
    let bundles = offered.routes.iter().map(|route| route.release.bundle);
    let twice =
        bundles.clone().enumerate().any(|(place, it)| bundles.clone().take(place).any(|other| other == it));
    let what = if !offered.is_sound() {
        Some(format!("its weights sum to {sum} basis points and not to 10000"))
    } else if twice {
        Some("it names a release twice".to_owned())
    } else if offered.routes.len() > limits.routes_max {
        Some(format!("it names {} releases and not at most {}", offered.routes.len(), limits.routes_max))
    } else {
        None
    };
    if let Some(what) = what {
        return Err(Refused::Unsound { what });
    }
    let newest = served.map(|table| table.generation).max(overridden.map(|it| it.generation));
    if let Some(newest) = newest.filter(|newest| offered.generation < *newest) {
        return Err(Refused::Older { served: newest, offered: offered.generation });
    }
    match served {
        Some(served) if served.generation == offered.generation && !served.says_the_same(offered) => {
            Err(Refused::Contradiction { generation: offered.generation })
        }
        _ => Ok(()),
    }
}

/// The releases that must be ready before `table` is taken: who gets callers, and who would by a kill.
pub(crate) fn must_be_ready(table: &RouteTable) -> Vec<&Release> {
    let mut releases: Vec<&Release> =
        table.routes.iter().filter(|route| route.weight > Weight::NONE).map(|route| &route.release).collect();
    if let Some(stable) = &table.stable
        && releases.iter().all(|release| release.bundle != stable.bundle)
    {
        releases.push(stable);
    }
    releases
}

/// The override that stays when `table` is taken, with what answers instead under this table.
pub(crate) fn remaining(overridden: Option<&Override>, table: &RouteTable) -> Option<Override> {
    let overridden = overridden?;
    let names = |killed: &Digest| must_be_ready(table).iter().any(|release| release.bundle == *killed);
    let ended = table.generation > overridden.generation && !overridden.killed.iter().any(names);
    (!ended).then(|| Override { to: instead(table, &overridden.killed), ..overridden.clone() })
}

/// What answers when `killed` may not: the stable release, or nobody.
pub(crate) fn instead(table: &RouteTable, killed: &[Digest]) -> Option<Release> {
    table.stable.clone().filter(|stable| !killed.contains(&stable.bundle))
}

/// Whom callers are led to.
pub(crate) fn effective(table: &RouteTable, overridden: Option<&Override>) -> RouteTable {
    let routes = match overridden {
        None => table.routes.clone(),
        Some(it) => {
            it.to.iter().map(|release| Route { release: release.clone(), weight: Weight::ALL }).collect()
        }
    };
    RouteTable { routes, ..table.clone() }
}

/// A release that callers may be led to, with all that an answer needs of it.
#[derive(Debug)]
pub(crate) struct Led {
    pub(crate) release: Release,
    pub(crate) version: HeaderValue,
    /// The bundle in hexadecimal.
    pub(crate) bundle: Arc<str>,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) counts: Arc<ReleaseCounts>,
}

impl Led {
    pub(crate) fn call(&self, target: &Target, ask: Ask) -> Call {
        let (model, version) = (target.id.model.clone(), Arc::clone(&self.bundle));
        Call { model, bundle: self.release.bundle, version, ask }
    }
}

/// What a target serves at a moment; replaced as a whole.
#[derive(Debug)]
pub(crate) struct Serving {
    /// As it was taken; nothing when there is only an override, kept from before the start.
    pub(crate) intended: Option<RouteTable>,
    pub(crate) overridden: Option<Override>,
    pub(crate) effective: RouteTable,
    /// One for each route of `effective`.
    pub(crate) led: Vec<Led>,
    pub(crate) generation: HeaderValue,
}

impl Serving {
    pub(crate) fn choose(&self, key: &[u8]) -> Option<&Led> {
        let chosen = self.effective.route(key)?;
        self.led.iter().find(|led| led.release.bundle == chosen.bundle)
    }

    /// Who answers what is nobody's in particular, such as the metadata: the first with a share.
    pub(crate) fn first(&self) -> Option<&Led> {
        let first = self.effective.routes.iter().position(|route| route.weight > Weight::NONE)?;
        self.led.get(first)
    }

    pub(crate) fn sticky(&self) -> &Sticky {
        &self.effective.sticky
    }

    pub(crate) fn observed(&self) -> Observed {
        Observed {
            target: self.effective.target.clone(),
            generation: self.intended.as_ref().map(|table| table.generation),
            overridden: self.overridden.clone(),
        }
    }
}
