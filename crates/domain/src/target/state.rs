//! What is true of a target.

use crate::evidence::Text;
use crate::model::Release;
use crate::name::{Digest, RunId, Subject, TargetId, Version};
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
    pub frozen: Option<Frozen>,
    /// Bundles that were rolled back or killed here; the latest `BAD_MAX`.
    pub bad: Vec<Digest>,
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
}

/// The wait after the first failure of an errand, doubled up to the second.
pub const ERRAND_BACKOFF_MIN: Millis = Millis(500);
pub const ERRAND_BACKOFF_MAX: Millis = Millis::seconds(30);
