//! One step: takes what waits, decides it on the speculative state, and appends what came of it.
//!
//! ```text
//!   requests -> outcomes -> moments -> triggers      (each with a bound and a least share)
//!        \          |          |          /
//!         transact, under catch_unwind -> Recorded -> bytes -> in flight
//! ```

use std::panic::{AssertUnwindSafe, catch_unwind};

use domain::name::StreamId;
use domain::refusal::{Kind, Refusal};
use domain::time::{Millis, Timestamp};
use domain::transition::{self, Changed, Failure, Input, Transition};
use wire::record::{Body, Lane, Recorded};

use super::config::CLOCK_SLACK;
use super::hindrance::Hindrance;
use super::signal::Action;
use super::streams::{Streams, Unavailable};
use super::{Partition, Role, refusal, stopped};
use crate::code::{Stopped, refused};
use crate::port::clock::Reading;
use crate::{DECIDE_REVISION, ENGINE_VERSION};

/// The core, as the partition calls it.
pub(super) type Decide =
    fn(&mut Streams, Input, Timestamp) -> Result<(Transition, Changed), Failure<Unavailable>>;

/// The most records that one input makes: its definition, and itself.
const RECORDS_PER_INPUT_MAX: usize = 2;

/// Where an input came from, as its record says.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub lane: Option<Lane>,
    pub input_id: Option<String>,
    pub traceparent: Option<String>,
}

impl Origin {
    pub(super) fn moment() -> Self {
        Self { lane: None, input_id: None, traceparent: None }
    }
}

/// Which transitions are worth a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// Each, refused ones too.
    Always,
    /// Only those that were not refused: what the engine or a machine repeats by itself.
    UnlessRefused,
    /// Only those that changed something or were refused.
    UnlessNothing,
}

/// What became of an input of the core.
#[derive(Debug, Default)]
pub(super) struct Decided {
    /// Where it stands.
    pub seq: Option<u64>,
    /// As recorded.
    pub refused: Option<Refusal>,
    /// Why it is not recorded.
    pub unrecorded: Option<Refusal>,
}

impl Partition {
    pub(super) fn tick(&mut self, reading: Reading) -> Result<(), Stopped> {
        self.watch_clock(reading);
        if self.hindrance().is_some() || self.role != Role::Owning {
            return Ok(());
        }
        let now = reading.wall.max(self.tip().now);
        self.owning_since.get_or_insert(now);
        let [requests, outcomes, triggers] = self.intake.shares(&self.config.bounds);
        let mut records = vec![];
        self.decide_lane(Lane::Requests, requests, now, &mut records)?;
        self.decide_lane(Lane::Outcomes, outcomes, now, &mut records)?;
        self.decide_moments(now, &mut records)?;
        self.decide_lane(Lane::Triggers, triggers, now, &mut records)?;
        if !records.is_empty() {
            self.actions.push(Action::Append(records));
        }
        Ok(())
    }

    /// A clock far behind the record, or that jumped ahead of the time that passed, is not followed.
    fn watch_clock(&mut self, reading: Reading) {
        let recorded = self.tip().now;
        let behind = reading.wall + CLOCK_SLACK < recorded;
        let expected = self.trusted.map_or(reading.wall, |trusted| {
            trusted.wall + Millis(reading.monotonic.0.saturating_sub(trusted.monotonic.0))
        });
        if !behind && reading.wall <= expected + CLOCK_SLACK {
            // One that went back, and nothing was recorded meanwhile, may come again.
            if reading.wall >= expected {
                self.trusted = Some(reading);
            }
            self.unhinder(Hindrance::ClockSuspect);
            return;
        }
        let text = if behind {
            format!("the clock says {}, the record {recorded}", reading.wall)
        } else {
            format!("the clock jumped ahead to {}", reading.wall)
        };
        self.hinder(Hindrance::ClockSuspect, Some(text));
    }

    fn decide_lane(
        &mut self,
        lane: Lane,
        share: usize,
        now: Timestamp,
        records: &mut Vec<Vec<u8>>,
    ) -> Result<(), Stopped> {
        for _ in 0..share {
            if self.in_flight_room() < RECORDS_PER_INPUT_MAX {
                break;
            }
            let Some(input) = self.intake.take(lane) else { break };
            self.decide_said(input, now, records)?;
        }
        Ok(())
    }

    /// Decides one input of the core. A defect in the core costs its stream, not the partition.
    pub(super) fn decide_one(
        &mut self,
        input: Input,
        origin: Origin,
        keep: Keep,
        now: Timestamp,
        records: &mut Vec<Vec<u8>>,
    ) -> Result<Decided, Stopped> {
        let (stream, name, decide, defect) = (input.stream(), input.name(), self.decide, self.defect);
        let streams = &mut self.streams;
        let decide = move || match defect {
            Some(defect) => transition::transact_watched(streams, input, now, Some(&defect)),
            None => decide(streams, input, now),
        };
        let (transition, changed) = match catch_unwind(AssertUnwindSafe(decide)) {
            Ok(Ok(decided)) => decided,
            Ok(Err(failure)) => return self.failed(&stream, failure),
            Err(panic) => {
                let text = format!("deciding {name} panicked outside of any stream: {}", message(&*panic));
                return Ok(self.unrecorded(&stream, Kind::State, refused::DEFECT, text));
            }
        };
        let nothing = transition.steps.iter().all(|step| step.event_names().is_empty());
        // What is told to try again is not recorded: it will be.
        let busy = transition.refused.as_ref().is_some_and(|refusal| refusal.kind == Kind::Busy);
        match keep {
            Keep::Always | Keep::UnlessNothing if busy => {
                return Ok(Decided { unrecorded: transition.refused, ..Decided::default() });
            }
            Keep::UnlessRefused if transition.refused.is_some() => {
                return Ok(Decided { unrecorded: transition.refused, ..Decided::default() });
            }
            Keep::UnlessNothing if nothing && transition.refused.is_none() => return Ok(Decided::default()),
            Keep::Always | Keep::UnlessRefused | Keep::UnlessNothing => {}
        }
        let refused = transition.refused.clone();
        let seq = self.record(transition, changed, origin, now, records)?;
        Ok(Decided { seq: Some(seq), refused, unrecorded: None })
    }

    fn record(
        &mut self,
        transition: Transition,
        changed: Changed,
        origin: Origin,
        now: Timestamp,
        records: &mut Vec<Vec<u8>>,
    ) -> Result<u64, Stopped> {
        let tip = self.tip();
        let seq = tip.seq + 1;
        let defines = transition.steps.iter().any(|step| step.stream() == StreamId::Definitions);
        let recorded = Recorded {
            now,
            epoch: tip.epoch,
            engine_version: ENGINE_VERSION.to_owned(),
            decide_revision: DECIDE_REVISION,
            lane: origin.lane,
            before: tip.positions,
            after: self.taken,
            dispatched: self.dispatched.max(tip.dispatched),
            input_id: origin.input_id,
            traceparent: origin.traceparent,
            transition,
            unread: vec![],
        };
        self.tell_of_quarantines(&recorded.transition);
        let settled = self.settle(seq, &recorded, Some(changed))?;
        for row in &settled.requests {
            self.recent.insert(row.input_id.clone(), row.clone());
        }
        let bytes = self.append(Body::Transition(Box::new(recorded)), settled)?;
        if defines {
            self.learn(&bytes)?;
        }
        records.push(bytes);
        Ok(seq)
    }

    fn failed(&mut self, stream: &StreamId, failure: Failure<Unavailable>) -> Result<Decided, Stopped> {
        let text = failure.to_string();
        Ok(match failure {
            Failure::Read(error @ Unavailable::Store { .. }) => return Err(stopped(error)),
            Failure::Read(Unavailable::Parked { stream, why }) => parked(&stream, &why),
            Failure::Full { refusal, .. } => Decided { unrecorded: Some(refusal), ..Decided::default() },
            Failure::TooWide { .. } => self.unrecorded(stream, Kind::Busy, refused::TOO_WIDE, text),
        })
    }

    /// A defect that cost an input, and no stream.
    fn unrecorded(&mut self, stream: &StreamId, kind: Kind, code: &'static str, text: String) -> Decided {
        self.alarm(code, stream.clone(), text.clone());
        let refusal = refusal(kind, code, text, "report this as a defect");
        Decided { unrecorded: Some(refusal), ..Decided::default() }
    }

    fn tell_of_quarantines(&mut self, transition: &Transition) {
        for step in &transition.steps {
            if let Some(why) = step.quarantined() {
                self.alarm(refused::QUARANTINED, step.stream(), why.to_string());
            }
        }
    }
}

/// Neither decided nor held: nobody can tell on which state.
pub(super) fn parked(stream: &StreamId, why: &str) -> Decided {
    let text = format!("expected to decide on {stream}, but this binary cannot read it: {why}");
    let hint = "use the binary that wrote this log, or a newer one; the other streams go on";
    Decided {
        unrecorded: Some(refusal(Kind::Busy, refused::NEEDS_UPGRADE, text, hint)),
        ..Decided::default()
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
