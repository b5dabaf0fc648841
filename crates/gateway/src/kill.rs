//! The kill switch: away from a release at once, without the core and without anybody.
//!
//! Invariant: callers are led away before the disk is asked, and the answer says that it is kept only when it is.
//! The switch only lowers exposure: to the stable release, and where there is none to nobody.

use std::sync::atomic::Ordering::Relaxed;

use domain::name::{Digest, TargetId};
use domain::weight::Weight;

use crate::gateway::Gateway;
use crate::instant;
use crate::overrides::{Override, OverridesError};
use crate::tables::{Serving, instead, must_be_ready};

/// Bytes of a reason that are kept.
const REASON_BYTES_MAX: usize = 512;

/// What opens the kill switch. Only its digest is held.
#[derive(Clone)]
pub struct Credential(Digest);

impl Credential {
    pub fn new(secret: &str) -> Self {
        Self(Digest::of(secret.as_bytes()))
    }

    /// Takes the same time wherever the two differ: digests are compared, each byte.
    pub(crate) fn is(&self, secret: &str) -> bool {
        let other = Digest::of(secret.as_bytes());
        let pairs = self.0.0.iter().zip(&other.0);
        std::hint::black_box(pairs.fold(0, |differs, (a, b)| differs | (a ^ b))) == 0
    }
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credential(..)")
    }
}

/// Why the switch did nothing, or did it and could not keep it.
#[derive(Debug, thiserror::Error)]
pub enum KillError {
    #[error("expected to kill at a target that is served, but `{target}` is not")]
    TargetUnknown { target: TargetId },
    #[error("expected to kill a release of `{target}`, but its table has no `{release}`")]
    ReleaseUnknown { target: TargetId, release: String },
    #[error("expected to kill what is not stable at `{target}`, but only the stable release answers")]
    OnlyStable { target: TargetId },
    #[error("callers were led away, but the override will not survive a restart")]
    NotKept { source: OverridesError },
}

impl KillError {
    pub fn code(&self) -> &'static str {
        match self {
            Self::TargetUnknown { .. } => "TARGET_UNKNOWN",
            Self::ReleaseUnknown { .. } => "RELEASE_UNKNOWN",
            Self::OnlyStable { .. } => "ONLY_STABLE",
            Self::NotKept { .. } => "OVERRIDE_NOT_KEPT",
        }
    }

    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::TargetUnknown { .. } => "name the target as model@environment",
            Self::ReleaseUnknown { .. } => "name a version, or the digest of a bundle, of the target's table",
            Self::OnlyStable { .. } => "name the release to have it killed too: callers then get 503",
            Self::NotKept { .. } => "mend the gateway's folder and kill again before it restarts",
        }
    }
}

impl Gateway {
    /// Leads the callers of a target away from a release (a version or the digest of its bundle), or from all
    /// but the stable one, and returns when this is on disk. Blocks: not for an async thread.
    pub fn kill(
        &self,
        target: &TargetId,
        release: Option<&str>,
        reason: &str,
    ) -> Result<Override, KillError> {
        let shared = &*self.shared;
        let mut changing = shared.changing();
        let Some(place) = shared.target(&target.to_string()) else {
            return Err(KillError::TargetUnknown { target: target.clone() });
        };
        let serving = place.serving.load_full();
        let mut killed = serving.overridden.as_ref().map_or_else(Vec::new, |it| it.killed.clone());
        for bundle in named(&serving, target, release)? {
            if !killed.contains(&bundle) {
                killed.push(bundle);
            }
        }
        let table = serving.intended.as_ref();
        let overridden = Override {
            target: target.clone(),
            generation: table
                .map(|it| it.generation)
                .max(serving.overridden.as_ref().map(|it| it.generation))
                .unwrap_or_default(),
            to: table.and_then(|table| instead(table, &killed)),
            killed,
            at: instant::now(),
            reason: reason[..reason.floor_char_boundary(REASON_BYTES_MAX)].to_owned(),
        };
        shared.counts.kills.fetch_add(1, Relaxed);
        tracing::warn!(%target, killed = ?overridden.killed, reason = overridden.reason, "kill switch used");
        if overridden.to.is_none() {
            tracing::error!(%target, "there is no stable release: callers get 503");
        }
        shared.serve(&mut changing, target.clone(), serving.intended.clone(), Some(overridden.clone()));
        shared.keep_overrides().map_err(|source| KillError::NotKept { source })?;
        Ok(overridden)
    }
}

/// The bundles that are to be killed.
fn named(serving: &Serving, target: &TargetId, release: Option<&str>) -> Result<Vec<Digest>, KillError> {
    let table = serving.intended.as_ref();
    let Some(text) = release else {
        let stable = table.and_then(|table| table.stable.as_ref());
        let others: Vec<Digest> = table
            .iter()
            .flat_map(|table| &table.routes)
            .filter(|route| route.weight > Weight::NONE)
            .map(|route| route.release.bundle)
            .filter(|bundle| stable.is_none_or(|stable| stable.bundle != *bundle))
            .collect();
        return if others.is_empty() && serving.overridden.is_none() {
            Err(KillError::OnlyStable { target: target.clone() })
        } else {
            Ok(others)
        };
    };
    let bundle = Digest::parse(text).ok();
    let found = table.into_iter().flat_map(|table| {
        let zero = table.routes.iter().map(|route| &route.release);
        zero.chain(must_be_ready(table))
    });
    let mut found = found
        .filter(|release| bundle.map_or(release.version.as_str() == text, |bundle| release.bundle == bundle))
        .map(|release| release.bundle);
    match found.next() {
        Some(bundle) => Ok(vec![bundle]),
        None => Err(KillError::ReleaseUnknown {
            target: target.clone(),
            release: text.chars().take(80).collect(),
        }),
    }
}
