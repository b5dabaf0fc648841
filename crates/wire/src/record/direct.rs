//! Transitions to bytes and back, without the messages between: nearly all records of a log are one, and readers
//! read many. What is out of the ordinary is nothing here, and goes through the messages: see
//! [`codec::direct`](crate::codec::direct).

use domain::name::Digest;
use domain::transition::{Step, Transition};
use domain::{run, target};

use super::{Body, Positions, Record, Recorded, repeats};
use crate::codec::Resolve;
use crate::codec::direct::{Brought, Content as _, Direct, Fields, Reading, Value, Writing};
use crate::generated::{Tagged as _, v1};

/// Where a record stands, and the message of its transition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outline<'a> {
    seq: u64,
    pub prev: Digest,
    transition: &'a [u8],
}

/// The outline of a record that is a transition without definitions.
pub(super) fn outline(bytes: &[u8]) -> Option<Outline<'_>> {
    let tags = v1::Record::TAGS;
    let (mut seq, mut prev, mut transition) = (0, None, None);
    let mut fields = Fields(bytes);
    while !fields.is_over() {
        match fields.next()? {
            (number, value) if number == tags.seq => seq = value.number()?,
            (number, value) if number == tags.prev => prev = Some(Digest(value.bytes()?.try_into().ok()?)),
            (number, value) if number == tags.Transition && transition.is_none() => {
                transition = Some(value.bytes()?);
            }
            _ => return None,
        }
    }
    let transition = transition?;
    (!defines(transition)?).then_some(Outline { seq, prev: prev?, transition })
}

fn defines(transition: &[u8]) -> Option<bool> {
    let mut fields = Fields(transition);
    while !fields.is_over() {
        let (number, value) = fields.next()?;
        if number == v1::Transition::TAGS.steps {
            let (number, _) = Fields(value.bytes()?).next()?;
            if number == v1::Step::TAGS.Definitions {
                return Some(true);
            }
        }
    }
    Some(false)
}

/// The record, if nothing in it is out of the ordinary.
pub(super) fn decode(outline: Outline<'_>, known: &dyn Resolve) -> Option<Record> {
    let at = Reading { known, brought: Brought::Nothing };
    let recorded = recorded(outline.transition, &at)?;
    Some(Record { seq: outline.seq, prev: outline.prev, body: Body::Transition(Box::new(recorded)) })
}

fn recorded(bytes: &[u8], at: &Reading<'_>) -> Option<Recorded> {
    let tags = v1::Transition::TAGS;
    let (mut now, mut epoch, mut engine_version, mut decide_revision) = (None, None, None, None);
    let (mut lane, mut before, mut after, mut dispatched) = (None, None, None, None);
    let (mut input_id, mut traceparent, mut refused) = (None, None, None);
    let mut steps = Vec::with_capacity(4);
    let mut fields = Fields(bytes);
    while !fields.is_over() {
        let (number, value) = fields.next()?;
        match number {
            number if number == tags.now => form!(v1::Transition, now).add(&mut now, value, at)?,
            number if number == tags.epoch => form!(v1::Transition, epoch).add(&mut epoch, value, at)?,
            number if number == tags.engine_version => {
                form!(v1::Transition, engine_version).add(&mut engine_version, value, at)?;
            }
            number if number == tags.decide_revision => {
                form!(v1::Transition, decide_revision).add(&mut decide_revision, value, at)?;
            }
            number if number == tags.lane => form!(v1::Transition, lane).add(&mut lane, value, at)?,
            number if number == tags.before => before = Some(positions(before, value)?),
            number if number == tags.after => after = Some(positions(after, value)?),
            number if number == tags.dispatched => {
                form!(v1::Transition, dispatched).add(&mut dispatched, value, at)?;
            }
            number if number == tags.input_id => {
                form!(v1::Transition, input_id).add(&mut input_id, value, at)?;
            }
            number if number == tags.traceparent => {
                form!(v1::Transition, traceparent).add(&mut traceparent, value, at)?;
            }
            number if number == tags.steps => steps.push(step(value.bytes()?, at)?),
            number if number == tags.refused => {
                form!(v1::Transition, refused).add(&mut refused, value, at)?;
            }
            _ => {}
        }
    }
    Some(Recorded {
        now: form!(v1::Transition, now).end(now)?,
        epoch: form!(v1::Transition, epoch).end(epoch)?,
        engine_version: form!(v1::Transition, engine_version).end(engine_version)?,
        decide_revision: form!(v1::Transition, decide_revision).end(decide_revision)?,
        lane: form!(v1::Transition, lane).end(lane)?,
        before: before?,
        after: after?,
        dispatched: form!(v1::Transition, dispatched).end(dispatched)?,
        input_id: form!(v1::Transition, input_id).end(input_id)?,
        traceparent: form!(v1::Transition, traceparent).end(traceparent)?,
        transition: Transition { steps, refused: form!(v1::Transition, refused).end(refused)? },
        unread: vec![],
    })
}

/// As they are written: three numbers in one field, once.
fn positions(former: Option<Positions>, value: Value<'_>) -> Option<Positions> {
    let mut packed = Fields(value.bytes().filter(|_| former.is_none())?);
    let positions = [packed.number()?, packed.number()?, packed.number()?];
    packed.is_over().then_some(positions)
}

fn step(bytes: &[u8], at: &Reading<'_>) -> Option<Step> {
    let mut fields = Fields(bytes);
    let (number, value) = fields.next()?;
    let bytes = value.bytes().filter(|_| fields.is_over())?;
    let tags = v1::Step::TAGS;
    match number {
        number if number == tags.Run => run_step(bytes, at),
        number if number == tags.Target => target_step(bytes, at),
        _ => None,
    }
}

// What a step's events repeat stands before them.

fn run_step(bytes: &[u8], at: &Reading<'_>) -> Option<Step> {
    let tags = v1::RunStep::TAGS;
    let (mut run, mut input, mut events) = (None, None, vec![]);
    let mut fields = Fields(bytes);
    while !fields.is_over() {
        match fields.next()? {
            (number, value) if number == tags.run => {
                form!(v1::RunStep, run).add(&mut run, value, at)?;
            }
            (number, value) if number == tags.input => {
                form!(v1::RunStep, input).add(&mut input, value, at)?;
            }
            (number, value) if number == tags.events => {
                let at = Reading { brought: Brought::Run(input.as_ref()?), ..*at };
                events.push(run::Event::read_content(value.bytes()?, &at)?);
            }
            _ => {}
        }
    }
    Some(Step::Run { run: run?, input: input?, events })
}

fn target_step(bytes: &[u8], at: &Reading<'_>) -> Option<Step> {
    let tags = v1::TargetStep::TAGS;
    let (mut target, mut input, mut events) = (None, None, vec![]);
    let mut fields = Fields(bytes);
    while !fields.is_over() {
        match fields.next()? {
            (number, value) if number == tags.target => {
                form!(v1::TargetStep, target).add(&mut target, value, at)?;
            }
            (number, value) if number == tags.input => {
                form!(v1::TargetStep, input).add(&mut input, value, at)?;
            }
            (number, value) if number == tags.events => {
                let at = Reading { brought: Brought::Target(input.as_ref()?), ..*at };
                events.push(target::Event::read_content(value.bytes()?, &at)?);
            }
            _ => {}
        }
    }
    Some(Step::Target { target: target?, input: input?, events })
}

/// The bytes of a record with this transition, unless it holds definitions.
pub(super) fn encode(seq: u64, prev: &Digest, recorded: &Recorded) -> Option<Vec<u8>> {
    let steps = &recorded.transition.steps;
    if steps.iter().any(|step| matches!(step, Step::Definitions { .. })) {
        return None;
    }
    let tags = v1::Record::TAGS;
    let mut out = Writing { bytes: Vec::with_capacity(RECORD_BYTES), repeats: false };
    form!(v1::Record, seq).write(&seq, tags.seq, &mut out);
    form!(v1::Record, prev).write(prev, tags.prev, &mut out);
    out.within(tags.Transition, |out| write(recorded, out));
    Some(out.bytes)
}

/// Room for most records.
const RECORD_BYTES: usize = 1_024;

fn write(recorded: &Recorded, out: &mut Writing) {
    let tags = v1::Transition::TAGS;
    let Recorded {
        now,
        epoch,
        engine_version,
        decide_revision,
        lane,
        before,
        after,
        dispatched,
        input_id,
        traceparent,
        transition: Transition { steps, refused },
        unread: _,
    } = recorded;
    form!(v1::Transition, now).write(now, tags.now, out);
    form!(v1::Transition, epoch).write(epoch, tags.epoch, out);
    form!(v1::Transition, engine_version).write(engine_version, tags.engine_version, out);
    form!(v1::Transition, decide_revision).write(decide_revision, tags.decide_revision, out);
    form!(v1::Transition, lane).write(lane, tags.lane, out);
    u64::write_all(before, tags.before, out);
    u64::write_all(after, tags.after, out);
    form!(v1::Transition, dispatched).write(dispatched, tags.dispatched, out);
    form!(v1::Transition, input_id).write(input_id, tags.input_id, out);
    form!(v1::Transition, traceparent).write(traceparent, tags.traceparent, out);
    for step in steps {
        out.within(tags.steps, |out| write_step(step, out));
    }
    form!(v1::Transition, refused).write(refused, tags.refused, out);
}

fn write_step(step: &Step, out: &mut Writing) {
    let tags = v1::Step::TAGS;
    match step {
        Step::Definitions { .. } => unreachable!("those records go through the messages"),
        Step::Run { run, input, events } => out.within(tags.Run, |out| {
            let tags = v1::RunStep::TAGS;
            form!(v1::RunStep, run).write(run, tags.run, out);
            form!(v1::RunStep, input).write(input, tags.input, out);
            for event in events {
                out.repeats = repeats::run_event(event, input);
                Direct::<v1::RunEvent>::write_present(event, tags.events, out);
                out.repeats = false;
            }
        }),
        Step::Target { target, input, events } => out.within(tags.Target, |out| {
            let tags = v1::TargetStep::TAGS;
            form!(v1::TargetStep, target).write(target, tags.target, out);
            form!(v1::TargetStep, input).write(input, tags.input, out);
            for event in events {
                out.repeats = repeats::target_event(event, input);
                Direct::<v1::TargetEvent>::write_present(event, tags.events, out);
                out.repeats = false;
            }
        }),
    }
}
