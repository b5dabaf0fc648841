//! The digest of a folded state, for replay and verification: folding the same events again gives the same one.
//!
//! States are not serialized, so this is a form for hashing only: fields by name, texts and bytes with their
//! length, floats by their bits, values that have a message as that message. A field that holds nothing is left
//! out, so that a state which gains a field keeps the digests of old logs.
//!
//! **Invariant:** two states that differ in any field have different digests.

use std::sync::Arc;

use domain::check::Judgement;
use domain::definition::{Definitions, Pinned};
use domain::evidence::{Evidence, Text};
use domain::model::Release;
use domain::name::{CheckName, Digest, Role, RunId, Subject, TargetId, Version};
use domain::quarantine::{Holding, Quarantine};
use domain::roles::RoleMap;
use domain::routes::{Generation, RouteTable};
use domain::run::{
    End, Gate, Leaving, Monitor, OpenAttempt, Phase, PolicyTerm, Purpose, Rollout, Run, Stage, StageState,
    Start, Vote, WaitFor,
};
use domain::target::{ErrandState, Frozen, LastGood, LeavingRelease, Live, Target, UnderWay};
use domain::time::Timestamp;
use domain::verdict::Verdict;
use domain::weight::Weight;
use domain::work::{Bundle, GatewayObserved, Planned, ServerLoaded};
use domain::{run, target};
use prost::Message;

use super::Wire;
use crate::generated::v1;

/// The digest of a run's, a target's or the definitions' state.
pub fn state_digest(state: &impl Canonical) -> Digest {
    let mut bytes = vec![];
    state.write(&mut bytes);
    Digest::of(&bytes)
}

/// A value in the form in which it is hashed. All zero (or no) bytes stand for nothing.
pub trait Canonical {
    fn write(&self, out: &mut Vec<u8>);
}

fn framed(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// The value with its length before it, which is known only afterwards; gives where the value begins.
fn framed_value(value: &impl Canonical, out: &mut Vec<u8>) -> usize {
    let at = out.len();
    out.extend_from_slice(&[0; size_of::<u64>()]);
    let begins_at = out.len();
    value.write(out);
    let length = ((out.len() - begins_at) as u64).to_be_bytes();
    out[at..begins_at].copy_from_slice(&length);
    begins_at
}

fn field(name: &str, value: &impl Canonical, out: &mut Vec<u8>) {
    let at = out.len();
    framed(name.as_bytes(), out);
    let begins_at = framed_value(value, out);
    if out[begins_at..].iter().all(|byte| *byte == 0) {
        out.truncate(at);
    }
}

macro_rules! fields {
    ($($type:ty { $($field:ident),* $(,)? })*) => { $(
        impl Canonical for $type {
            fn write(&self, out: &mut Vec<u8>) {
                let Self { $($field),* } = self;
                $(field(stringify!($field), $field, out);)*
            }
        }
    )* };
}

fields! {
    Run {
        phase, start, started_at, paused_at, bundle, stages, attempts_issued, attempts_open, live, raised,
        live_since, leaving, waits, incidents, holding,
    }
    Stage { state, began_at, failures, retry_at, evidence, judged, gate, rollout, monitor }
    Gate { policy, terms, asked, expires_at, votes, decided_on }
    Vote { role, by, evidence }
    Rollout {
        plan, has_slot, step, weight, entered_at, prepared, requested, observed, bake_from, exposed_since,
        judged, looked_at, held,
    }
    Monitor { from, late_from, windows, last, alerts }
    OpenAttempt { number, stage, purpose, issued_at }
    Leaving { end, cause, since, generation, observed_at, overdue }

    Target {
        id, under_way, slot, queue, live, last_good, leaving, wanted, table, raised_at, raised_for, observed,
        gateways, servers, attempts_issued, prepare, apply, frozen, bad, holding,
    }
    Quarantine { why, since, holds_cause }
    UnderWay { run, version, artifact, moved, quarantined }
    Live { release, since, generation }
    LastGood { release, warm_until, cold }
    LeavingRelease { release, to, cause }
    Frozen { until, by, reason }
    ErrandState { open, failures, retry_at, last_failure, releases, generation }
}

impl<I: Canonical> Canonical for Holding<I> {
    fn write(&self, out: &mut Vec<u8>) {
        let Self { quarantine, held, released, resolved_at } = self;
        field("quarantine", quarantine, out);
        field("held", held, out);
        field("released", released, out);
        field("resolved_at", resolved_at, out);
    }
}

impl Canonical for Definitions {
    fn write(&self, out: &mut Vec<u8>) {
        let Self { known, roles } = self;
        field("known", &known.iter().copied().collect::<Vec<_>>(), out);
        field("roles", roles, out);
    }
}

impl Canonical for Pinned<RoleMap> {
    fn write(&self, out: &mut Vec<u8>) {
        self.digest.write(out);
    }
}

impl Canonical for Phase {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Ended(end) => field("ended", end, out),
            Self::Absent => {}
            Self::Active | Self::Live | Self::Standby | Self::Leaving => {
                framed(self.as_str().as_bytes(), out);
            }
        }
    }
}

impl Canonical for StageState {
    fn write(&self, out: &mut Vec<u8>) {
        framed(self.as_str().as_bytes(), out);
        match self {
            Self::Skipped(why) | Self::GaveUp(why) => why.write(out),
            Self::Ended(verdict) => verdict.write(out),
            Self::Pending | Self::Working | Self::Waiting => {}
        }
    }
}

macro_rules! by_message {
    ($($type:ty => $proto:ident),* $(,)?) => { $(
        impl Canonical for $type {
            fn write(&self, out: &mut Vec<u8>) {
                framed(&Wire::<v1::$proto>::put(self).encode_to_vec(), out);
            }
        }
    )* };
}
by_message!(
    Bundle => Bundle, Evidence => Evidence, GatewayObserved => GatewayObserved, Judgement => Judgement,
    Planned => Planned, PolicyTerm => PolicyTerm, Purpose => Purpose, Release => Release,
    RouteTable => RouteTable, ServerLoaded => ServerLoaded, Start => Start, WaitFor => WaitFor,
    run::Input => RunInput, target::Input => TargetInput,
);

macro_rules! by_text {
    ($($type:ty),*) => { $(
        impl Canonical for $type {
            fn write(&self, out: &mut Vec<u8>) {
                framed(self.as_str().as_bytes(), out);
            }
        }
    )* };
}
by_text!(CheckName, Role, Subject, Version, End, Verdict);

impl Canonical for TargetId {
    fn write(&self, out: &mut Vec<u8>) {
        framed(self.to_string().as_bytes(), out);
    }
}

impl Canonical for Text {
    fn write(&self, out: &mut Vec<u8>) {
        framed(self.as_bytes(), out);
    }
}

macro_rules! by_number {
    ($($type:ty, $self:ident => $number:expr;)*) => { $(
        impl Canonical for $type {
            fn write(&$self, out: &mut Vec<u8>) {
                let number: u64 = $number;
                out.extend_from_slice(&number.to_be_bytes());
            }
        }
    )* };
}
by_number! {
    bool, self => u64::from(*self);
    u32, self => u64::from(*self);
    u64, self => *self;
    usize, self => *self as u64;
    Timestamp, self => self.0;
    Generation, self => self.0;
    Weight, self => u64::from(self.points());
}

impl Canonical for Digest {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

impl Canonical for RunId {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

impl<T: Canonical> Canonical for Arc<T> {
    fn write(&self, out: &mut Vec<u8>) {
        T::write(self, out);
    }
}

impl<T: Canonical> Canonical for Box<T> {
    fn write(&self, out: &mut Vec<u8>) {
        T::write(self, out);
    }
}

impl<T: Canonical> Canonical for Option<T> {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.is_some()));
        if let Some(value) = self {
            value.write(out);
        }
    }
}

impl<T: Canonical> Canonical for Vec<T> {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.len() as u64).to_be_bytes());
        for value in self {
            framed_value(value, out);
        }
    }
}

impl<A: Canonical, B: Canonical> Canonical for (A, B) {
    fn write(&self, out: &mut Vec<u8>) {
        field("0", &self.0, out);
        field("1", &self.1, out);
    }
}
