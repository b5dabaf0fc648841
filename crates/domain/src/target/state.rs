//! What is true of a target.

use super::input::Input;
use crate::chapter::Chapter;
use crate::evidence::Text;
use crate::model::Release;
use crate::name::{Digest, RunId, Subject, TargetId, Version};
use crate::quarantine::{Holding, Quarantine};
use crate::routes::{Generation, RouteTable};
use crate::time::{Millis, Timestamp};
use crate::work::{GatewayObserved, ServerLoaded};

/// The most runs under way at one target: one that moves traffic, one that waits, and room for those that end.
pub const UNDER_WAY_MAX: usize = 8;

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Target {
    /// Nothing before the first event.
    pub id: Option<TargetId>,
    /// In the order in which they entered.
    pub under_way: Vec<UnderWay>,
    /// The run that may move traffic.
    pub slot: Option<RunId>,
    /// Runs that wait for the slot, first come first served.
    pub queue: Vec<RunId>,
    pub live: Option<Live>,
    pub last_good: Option<LastGood>,
    /// The live release is being rolled back.
    pub leaving: Option<LeavingRelease>,
    /// What the slot's holder wants loaded.
    pub wanted: Option<Release>,
    /// What was raised last; nothing before the first.
    pub table: Option<RouteTable>,
    pub raised_at: Timestamp,
    /// For which run the table was raised.
    pub raised_for: Option<RunId>,
    /// The generation that every gateway heard of obeys.
    pub observed: Generation,
    /// What was last heard of each, sorted by name.
    pub gateways: Vec<GatewayObserved>,
    /// What was last heard of each, sorted by name.
    pub servers: Vec<ServerLoaded>,
    /// How many attempts were ever issued.
    pub attempts_issued: u32,
    pub prepare: ErrandState,
    pub apply: ErrandState,
    /// Set from when an attempt at loading is issued until one had everything loaded that it was to load.
    pub unfenced: Option<Unfenced>,
    pub frozen: Option<Frozen>,
    /// Bundles that were rolled back or killed here; the latest `BAD_MAX`.
    pub bad: Vec<Digest>,
    /// What it holds while it is quarantined, and until all of that is released.
    pub holding: Option<Box<Holding<Input>>>,
    pub chapter: Chapter,
}

/// How many bad bundles a target remembers.
pub const BAD_MAX: usize = 64;

/// A run that entered and has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnderWay {
    pub run: RunId,
    pub version: Version,
    pub artifact: Digest,
    /// A generation was raised for it.
    pub moved: bool,
    /// It keeps its place until it is resolved or aborted.
    pub quarantined: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    pub release: Release,
    pub since: Timestamp,
    pub generation: Generation,
}

/// The latest release other than the live one that went live and was neither rolled back nor killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastGood {
    pub release: Release,
    pub warm_until: Option<Timestamp>,
    pub cold: bool,
}

/// The live release leaves: to the last good one, once that is loaded, or to nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeavingRelease {
    pub release: Release,
    pub to: Option<Release>,
    pub cause: Text,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frozen {
    pub until: Option<Timestamp>,
    pub by: Option<Subject>,
    pub reason: Text,
}

/// The two things a target has done by itself, repeated without limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Errand {
    /// Have the wanted set of releases loaded.
    Prepare,
    /// Have the gateways obey the table.
    Apply,
}

impl Errand {
    pub const ALL: [Self; 2] = [Self::Prepare, Self::Apply];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Apply => "apply",
        }
    }
}

/// Where an errand is: nothing outstanding, an attempt open, or waiting for the next try.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ErrandState {
    pub open: Option<(u32, Timestamp)>,
    pub failures: u32,
    pub retry_at: Option<Timestamp>,
    pub last_failure: Option<Text>,
    /// What the open attempt was issued for: the set to keep loaded, or the generation to obey.
    pub releases: Vec<Release>,
    pub generation: Generation,
}

/// Attempts at loading that may act at any moment: one that was withdrawn may not have heard so. The last one that was at
/// every server has fenced off all before it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unfenced {
    /// The bundles that were loaded when they were issued and that all of them keep. Any other may not be ready to
    /// answer yet, or be unloaded.
    pub kept: Vec<Digest>,
}

/// The wait after the first failure of an errand, doubled up to the second.
pub const ERRAND_BACKOFF_MIN: Millis = Millis(500);
pub const ERRAND_BACKOFF_MAX: Millis = Millis::seconds(30);

impl Target {
    /// Why nothing is decided on it, while that is so.
    pub fn quarantine(&self) -> Option<&Quarantine> {
        self.holding.as_ref()?.quarantine.as_ref()
    }

    /// Whether every server that was heard of has it, and no attempt under way may be still warming or about to unload
    /// it; false while none was heard of.
    pub fn is_loaded(&self, release: &Release) -> bool {
        let has = |server: &ServerLoaded| server.bundles.contains(&release.bundle);
        let is_kept = self.unfenced.as_ref().is_none_or(|attempts| attempts.kept.contains(&release.bundle));
        !self.servers.is_empty() && self.servers.iter().all(has) && is_kept
    }

    /// Whether the live release came by this run.
    pub fn is_live_run(&self, run: RunId) -> bool {
        self.live.as_ref().is_some_and(|live| live.release.run == Some(run))
    }

    /// The releases to keep loaded, each once: live, what a rollback goes to, the last good one while warm, and
    /// what the slot's holder wants.
    pub fn keep_loaded(&self) -> Vec<Release> {
        let live = self.live.as_ref().map(|live| &live.release);
        let leaving_to = self.leaving.as_ref().and_then(|leaving| leaving.to.as_ref());
        let warm = self.last_good.as_ref().filter(|good| !good.cold).map(|good| &good.release);
        let mut kept: Vec<Release> = vec![];
        for release in [live, leaving_to, warm, self.wanted.as_ref()].into_iter().flatten() {
            if !kept.iter().any(|other| other.bundle == release.bundle) {
                kept.push(release.clone());
            }
        }
        kept
    }

    /// The release that has what a candidate does not: the live one, or what a rollback goes to once it is loaded.
    pub fn keeps_the_rest(&self) -> Option<&Release> {
        match &self.leaving {
            Some(leaving) if leaving.to.as_ref().is_none_or(|to| self.is_loaded(to)) => leaving.to.as_ref(),
            _ => self.live.as_ref().map(|live| &live.release),
        }
    }

    /// Whether an errand has something to do.
    pub fn is_outstanding(&self, errand: Errand) -> bool {
        match errand {
            Errand::Prepare => {
                let kept = self.keep_loaded();
                let lacking = kept.iter().any(|release| !self.is_loaded(release));
                let routed = |bundle: &Digest| {
                    self.table.as_ref().is_some_and(|table| {
                        let observed = self.observed >= table.generation;
                        !observed || table.routes.iter().any(|route| route.release.bundle == *bundle)
                    })
                };
                // What nobody keeps is unloaded, once no gateway can lead anybody to it.
                let spare =
                    self.servers.iter().flat_map(|server| &server.bundles).any(|bundle| {
                        !kept.iter().any(|release| release.bundle == *bundle) && !routed(bundle)
                    });
                lacking || spare
            }
            Errand::Apply => self.table.as_ref().is_some_and(|table| {
                // Ready before routed.
                self.observed < table.generation
                    && table.routes.iter().all(|route| self.is_loaded(&route.release))
            }),
        }
    }

    pub fn errand(&self, errand: Errand) -> &ErrandState {
        match errand {
            Errand::Prepare => &self.prepare,
            Errand::Apply => &self.apply,
        }
    }
}
