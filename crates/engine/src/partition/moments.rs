//! Moments that have come: which streams to wake, with what, and which leases were renewed meanwhile.
//!
//! A lease whose attempt was heard of since is set again here, outside the log; when it does end, the input says
//! when the attempt was last heard of, so that the decision can be checked.

use std::sync::Arc;

use domain::effect::Effect;
use domain::name::{AttemptId, StreamId};
use domain::time::{Millis, Timestamp};
use domain::transition::Input;
use domain::{run, target};

use super::decide::{Keep, Origin};
use super::{Partition, stopped};
use crate::code::{Stopped, refused};
use crate::fail::{self, Point};
use crate::fold;

/// A moment of a stream.
#[derive(Debug, Clone)]
struct Moment {
    /// When the stream asked for it.
    at: Timestamp,
    /// When it comes: later, for a lease that was renewed.
    comes_at: Timestamp,
    asked: Input,
    /// As it is given: with when the attempt was last heard of.
    given: Input,
}

impl Partition {
    /// Decides moments that have come, at most so many in a step.
    pub(super) fn decide_moments(
        &mut self,
        now: Timestamp,
        records: &mut Vec<Vec<u8>>,
    ) -> Result<(), Stopped> {
        for _ in 0..self.config.bounds.timers_per_step_max {
            if self.in_flight_room() == 0 {
                break;
            }
            let Some(stream) = self.due(now)? else { break };
            let due = self.moments(&stream)?.into_iter().find(|moment| moment.comes_at <= now);
            match due {
                Some(moment) => self.decide_moment(&stream, moment, now, records)?,
                // Its row said so, or a lease was renewed meanwhile.
                None => self.schedule(&stream)?,
            }
        }
        Ok(())
    }

    fn decide_moment(
        &mut self,
        stream: &StreamId,
        moment: Moment,
        now: Timestamp,
        records: &mut Vec<Vec<u8>>,
    ) -> Result<(), Stopped> {
        fail::at(Point::T1);
        let name = moment.given.name();
        self.spent.entry(stream.clone()).or_default().push((moment.at, moment.asked));
        let decided = self.decide_one(moment.given, Origin::moment(), Keep::UnlessRefused, now, records)?;
        if let Some(refusal) = decided.unrecorded {
            self.alarm(refused::MOMENT_REFUSED, stream.clone(), format!("{name}: {refusal}"));
        }
        self.schedule(stream)
    }

    /// Sets the stream's timer by what it asks for now.
    pub(super) fn schedule(&mut self, stream: &StreamId) -> Result<(), Stopped> {
        let (next, in_row) = match stream {
            StreamId::Definitions => (None, None),
            StreamId::Run(run) => {
                let slot = self.streams.run(*run).map_err(stopped)?;
                let effects = slot.folded.parked.is_none().then(|| Arc::clone(slot.folded.effects()));
                effects.map_or((None, None), |effects| {
                    let is =
                        |spent: &Input, asked: &run::Input| matches!(spent, Input::Run(_, it) if it == asked);
                    (self.next_of(stream, &effects, is, run_lease), first(&effects))
                })
            }
            StreamId::Target(target) => {
                let slot = self.streams.target(target).map_err(stopped)?;
                let effects = slot.folded.parked.is_none().then(|| Arc::clone(slot.folded.effects()));
                effects.map_or((None, None), |effects| {
                    let is =
                        |spent: &Input, asked: &target::Input| matches!(spent, Input::Target(_, it) if it == asked);
                    (self.next_of(stream, &effects, is, target_lease), first(&effects))
                })
            }
        };
        self.timers.set(stream, next, in_row);
        Ok(())
    }

    /// When the first of the stream's moments comes that is not spent.
    fn next_of<I>(
        &self,
        stream: &StreamId,
        effects: &[Effect<I>],
        is: impl Fn(&Input, &I) -> bool,
        lease: impl Fn(&[Effect<I>], &I) -> Option<Lease>,
    ) -> Option<Timestamp> {
        let spent = self.spent.get(stream);
        let is_spent = |at: Timestamp, input: &I| {
            spent.is_some_and(|spent| spent.iter().any(|(was, said)| *was == at && is(said, input)))
        };
        let fresh = fold::moments(effects).filter(|(at, input)| !is_spent(*at, input));
        fresh.map(|(at, input)| lease(effects, input).map_or(at, |lease| self.comes_at(at, &lease))).min()
    }

    /// A lease counts from when its attempt was last heard of, or from when this owner sent it out again.
    fn comes_at(&self, at: Timestamp, lease: &Lease) -> Timestamp {
        let heard = self.attempts.get(&lease.attempt).copied().flatten();
        heard.max(self.owning_since).map_or(at, |from| at.max(from + lease.span))
    }

    /// Of the spent moments, those that the stream still asks for stay spent.
    pub(super) fn keep_spent(
        &mut self,
        stream: &StreamId,
        spent: Vec<(Timestamp, Input)>,
    ) -> Result<(), Stopped> {
        let asked = self.moments(stream)?;
        let still: Vec<_> = spent
            .into_iter()
            .filter(|(at, input)| asked.iter().any(|moment| moment.at == *at && moment.asked == *input))
            .collect();
        if !still.is_empty() {
            self.spent.insert(stream.clone(), still);
        }
        Ok(())
    }

    /// What the stream asks to be woken for, in its order, without what is spent. Nothing of a parked one.
    fn moments(&mut self, stream: &StreamId) -> Result<Vec<Moment>, Stopped> {
        let asked: Vec<(Timestamp, Input, Option<Lease>)> = match stream {
            StreamId::Definitions => vec![],
            StreamId::Run(run) => {
                let slot = self.streams.run(*run).map_err(stopped)?;
                if slot.folded.parked.is_some() {
                    return Ok(vec![]);
                }
                let effects = slot.folded.effects();
                fold::moments(effects)
                    .map(|(at, input)| (at, Input::Run(*run, input.clone()), run_lease(effects, input)))
                    .collect()
            }
            StreamId::Target(target) => {
                let slot = self.streams.target(target).map_err(stopped)?;
                if slot.folded.parked.is_some() {
                    return Ok(vec![]);
                }
                let effects = slot.folded.effects();
                let input_of = |input: &target::Input| Input::Target(target.clone(), input.clone());
                fold::moments(effects)
                    .map(|(at, input)| (at, input_of(input), target_lease(effects, input)))
                    .collect()
            }
        };
        let spent = self.spent.get(stream);
        let is_spent = |at: Timestamp, input: &Input| {
            spent.is_some_and(|spent| spent.iter().any(|(was, said)| *was == at && said == input))
        };
        let fresh = asked.into_iter().filter(|(at, input, _)| !is_spent(*at, input));
        Ok(fresh.map(|(at, asked, lease)| self.moment(at, asked, lease)).collect())
    }

    fn moment(&self, at: Timestamp, asked: Input, lease: Option<Lease>) -> Moment {
        let Some(lease) = lease else { return Moment { at, comes_at: at, given: asked.clone(), asked } };
        let heard = self.attempts.get(&lease.attempt).copied().flatten();
        let comes_at = self.comes_at(at, &lease);
        Moment { at, comes_at, given: with_heard(asked.clone(), heard), asked }
    }
}

/// The moment that the stream's row names.
fn first<I>(effects: &[Effect<I>]) -> Option<Timestamp> {
    fold::moments(effects).map(|(at, _)| at).min()
}

struct Lease {
    attempt: AttemptId,
    span: Millis,
}

fn run_lease(effects: &[Effect<run::Input>], input: &run::Input) -> Option<Lease> {
    match input {
        run::Input::LeaseEnded { attempt, .. } => lease(effects, attempt),
        _ => None,
    }
}

fn target_lease(effects: &[Effect<target::Input>], input: &target::Input) -> Option<Lease> {
    match input {
        target::Input::LeaseEnded { attempt, .. } => lease(effects, attempt),
        _ => None,
    }
}

fn lease<I>(effects: &[Effect<I>], attempt: &AttemptId) -> Option<Lease> {
    let command = fold::commands(effects).find(|command| command.attempt == *attempt)?;
    Some(Lease { attempt: attempt.clone(), span: command.lease })
}

fn with_heard(input: Input, heard: Option<Timestamp>) -> Input {
    match input {
        Input::Run(run, run::Input::LeaseEnded { attempt, heard_at }) => {
            Input::Run(run, run::Input::LeaseEnded { attempt, heard_at: heard.or(heard_at) })
        }
        Input::Target(target, target::Input::LeaseEnded { attempt, heard_at }) => {
            Input::Target(target, target::Input::LeaseEnded { attempt, heard_at: heard.or(heard_at) })
        }
        other => other,
    }
}
