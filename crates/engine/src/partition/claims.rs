//! When this process claims its partition: at once when that is assigned, and after each claim that led to nothing
//! later and later, by chance, and never more than so often in a minute.
//!
//! ```text
//!   assigned --> claim --+--> read back: owning --> an own transition is accepted: patience is as at first
//!                  ^     |                     \
//!                  |     +--> lost, in doubt -->+--> wait: min .. max, doubling, half of it by chance
//!                  +------------------------------- tick
//! ```

use std::collections::VecDeque;

use domain::name::Digest;
use domain::time::Millis;

use super::config::Bounds;
use super::{Partition, Role};
use crate::code::Stopped;

const MINUTE: Millis = Millis::minutes(1);

/// How often things went which way, since the partition was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub claims: u64,
    /// Claims that were not accepted, or not known to be.
    pub claims_lost: u64,
    /// Appends of which it was not known whether they landed.
    pub doubts: u64,
    /// How often another's record, or a loser of its own, ended its owning.
    pub displaced: u64,
}

#[derive(Debug, Default)]
pub(super) struct Claims {
    /// Drawn by the driver, while the partition is assigned.
    drawn: Option<[u8; 16]>,
    made: u64,
    /// In a row, without an own transition accepted between.
    lost: u32,
    not_before: Millis,
    /// When those of the last minute were made.
    recent: VecDeque<Millis>,
}

impl Claims {
    fn drawn(&self, what: &str) -> Digest {
        let drawn = self.drawn.unwrap_or_default();
        Digest::of_parts([&drawn[..], what.as_bytes(), &self.made.to_be_bytes()])
    }

    /// No two claims of a process have the same.
    pub(super) fn nonce(&self) -> [u8; 16] {
        let digest = self.drawn("claim");
        std::array::from_fn(|index| digest.0[index])
    }

    pub(super) fn assign(&mut self, drawn: [u8; 16]) {
        self.drawn = Some(drawn);
        self.not_before = Millis(0);
    }

    pub(super) fn revoke(&mut self) {
        self.drawn = None;
        self.lost = 0;
    }

    /// When the next claim may be made; nothing while the partition is not assigned.
    fn due_at(&self, bounds: &Bounds) -> Option<Millis> {
        self.drawn?;
        let over = self.recent.len().checked_sub(bounds.claims_per_minute_max.max(1));
        let room_at = over.map_or(Millis(0), |over| after(self.recent[over], MINUTE));
        Some(self.not_before.max(room_at))
    }

    fn made(&mut self, now: Millis) {
        self.made += 1;
        self.recent.retain(|at| after(*at, MINUTE) > now);
        self.recent.push_back(now);
    }

    pub(super) fn lose(&mut self, now: Millis, bounds: &Bounds) {
        let doubled = bounds.claim_backoff_min.0.saturating_mul(1 << self.lost.min(32));
        let wait = doubled.min(bounds.claim_backoff_max.0);
        let digest = self.drawn("wait");
        let chance = u64::from_be_bytes(std::array::from_fn(|index| digest.0[index]));
        self.not_before = after(now, Millis(wait / 2 + chance % (wait / 2 + 1)));
        self.lost = self.lost.saturating_add(1);
    }

    pub(super) fn succeed(&mut self) {
        self.lost = 0;
    }
}

fn after(at: Millis, span: Millis) -> Millis {
    Millis(at.0.saturating_add(span.0))
}

impl Partition {
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// When a tick is needed by the monotonic clock: a claim may be made, or an append comes into doubt.
    pub fn tick_by(&self) -> Option<Millis> {
        let bounds = &self.config.bounds;
        match self.role {
            Role::Reading if self.hindrances.is_empty() => self.claims.due_at(bounds),
            Role::Claiming | Role::Owning => {
                self.pending.front().map(|oldest| after(oldest.since, bounds.append_doubt))
            }
            Role::Reading | Role::Stopped => None,
        }
    }

    /// What the monotonic clock asks for: doubt, and the next claim.
    pub(super) fn watch_appends(&mut self, now: Millis) -> Result<(), Stopped> {
        if self.monotonic == Millis(0) {
            // What was done before the time was first told is counted from here.
            self.pending.iter_mut().for_each(|pending| pending.since = now);
            self.claims.recent.iter_mut().for_each(|at| *at = now);
        }
        self.monotonic = self.monotonic.max(now);
        let doubt = self.config.bounds.append_doubt;
        if self.pending.front().is_some_and(|oldest| after(oldest.since, doubt) <= now) {
            self.doubt()?;
        }
        self.claim_when_due()
    }

    pub(super) fn doubt(&mut self) -> Result<(), Stopped> {
        self.counts.doubts += u64::from(self.role != Role::Reading);
        self.step_back()
    }

    /// Claims, when it is this process's to own, nothing hinders it, and the time has come.
    pub(super) fn claim_when_due(&mut self) -> Result<(), Stopped> {
        let due = self.claims.due_at(&self.config.bounds).is_some_and(|at| at <= self.monotonic);
        if self.role != Role::Reading || !self.hindrances.is_empty() || !due {
            return Ok(());
        }
        self.role = Role::Claiming;
        self.claims.made(self.monotonic);
        self.counts.claims += 1;
        self.claim()
    }
}
