//! Route tables: which release answers whom. Pure, shared by the core, which raises them, and the gateway, which
//! obeys them.
//!
//! **Invariant:** the weights of a table sum to 10,000, or it names nobody.

use crate::evidence::Text;
use crate::model::Release;
use crate::name::TargetId;
use crate::weight::Weight;

/// A counter per target that grows with each intended change of traffic: the fencing token of the routers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Generation(pub u64);

impl Generation {
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl std::fmt::Display for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What keeps a caller with one release.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Sticky {
    /// Each request is drawn by its id.
    #[default]
    None,
    /// The value of a request header.
    Header(Text),
    /// The value of a request parameter (`parameters` of the Open Inference Protocol).
    Parameter(Text),
}

/// A release and its share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub release: Release,
    pub weight: Weight,
}

/// Who answers at a target from this generation on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteTable {
    pub target: TargetId,
    pub generation: Generation,
    /// The stable release first, so that a caller keeps it for as long as the candidate's share allows.
    pub routes: Vec<Route>,
    /// What a kill switch turns to, and only while it is loaded.
    pub stable: Option<Release>,
    pub sticky: Sticky,
}

impl RouteTable {
    /// The table of a target where nothing serves yet.
    pub fn empty(target: TargetId) -> Self {
        let (generation, sticky) = (Generation::default(), Sticky::None);
        Self { target, generation, routes: vec![], stable: None, sticky }
    }

    pub fn weight_of(&self, release: &Release) -> Weight {
        self.routes
            .iter()
            .find(|route| route.release.bundle == release.bundle)
            .map_or(Weight::NONE, |route| route.weight)
    }

    /// Whether two tables lead the same callers to the same releases, whatever their generation.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.routes == other.routes && self.stable == other.stable && self.sticky == other.sticky
    }

    pub fn is_sound(&self) -> bool {
        let sum: u32 = self.routes.iter().map(|route| u32::from(route.weight.points())).sum();
        self.routes.is_empty() || sum == 10_000
    }

    /// The release that answers a caller with this key. Growing the last route's weight moves callers only
    /// towards it, so a canary that grows takes nobody back.
    pub fn route(&self, key: &[u8]) -> Option<&Release> {
        let point = u32::from(bucket(key));
        // The last route (the candidate) owns the lowest buckets: its callers stay its own as it grows.
        let mut upper = 0;
        for route in self.routes.iter().rev() {
            upper += u32::from(route.weight.points());
            if point < upper {
                return Some(&route.release);
            }
        }
        None
    }
}

/// The bucket of a key, 0 to 9,999. Method `fnv-1a-64-mix/1`: FNV-1a over the bytes, then the finalizer of
/// MurmurHash3, then the high 32 bits scaled to 10,000. The same key has the same bucket at every target and
/// in every gateway.
pub fn bucket(key: &[u8]) -> u16 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in key {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^= hash >> 33;
    (((hash >> 32) * 10_000) >> 32) as u16
}
