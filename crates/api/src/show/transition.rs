//! A record as people read it: who or what said it, what was decided, with the key values.

use domain::run;
use domain::target;
use domain::transition::{Input, Step};

use super::event::run_event;
use super::said::said;
use super::target_event::target_event;
use super::values::Values;
use super::{Names, refused};
use crate::reader::Entry;
use crate::view::{DecidedView, HappenedView, TransitionView};

pub(crate) fn transition_view(entry: &Entry, names: &Names) -> TransitionView {
    let recorded = &entry.recorded;
    let outside = recorded.transition.steps.first().map(input);
    let actor = outside.as_ref().and_then(|input| match input {
        Input::Define(define) => define.actor.as_ref(),
        Input::Run(_, input) => input.actor(),
        Input::Target(_, input) => input.actor(),
    });
    TransitionView {
        seq: entry.seq,
        now: recorded.now.to_string(),
        input: outside.as_ref().map(Input::name).unwrap_or_default().to_owned(),
        input_id: recorded.input_id.clone(),
        who: actor.map(|actor| names.actor(actor)),
        said: outside.as_ref().map(said).unwrap_or_default(),
        steps: recorded.transition.steps.iter().map(|step| decided(step, names)).collect(),
        refused: recorded.transition.refused.as_ref().map(refused),
        engine_version: recorded.engine_version.clone(),
        hash: entry.hash.to_string(),
    }
}

fn input(step: &Step) -> Input {
    match step {
        Step::Definitions { input, .. } => Input::Define(input.clone()),
        Step::Run { run, input, .. } => Input::Run(*run, input.clone()),
        Step::Target { target, input, .. } => Input::Target(target.clone(), input.clone()),
    }
}

fn decided(step: &Step, names: &Names) -> DecidedView {
    let events = match step {
        Step::Definitions { events, .. } => events
            .iter()
            .map(|domain::definition::Event::DefinitionRecorded { kind, digest, .. }| HappenedView {
                event: "DefinitionRecorded".to_owned(),
                values: Values::new().with("kind", definition_kind(*kind)).digest("digest", digest).list(),
            })
            .collect(),
        Step::Run { events, .. } => events.iter().map(|event| of_run(event, names)).collect(),
        Step::Target { events, .. } => events.iter().map(|event| of_target(event, names)).collect(),
    };
    DecidedView { stream: step.stream().to_string(), input: step.input_name().to_owned(), events }
}

pub(super) fn definition_kind(kind: domain::definition::Kind) -> &'static str {
    match kind {
        domain::definition::Kind::Workflow => "workflow",
        domain::definition::Kind::Roles => "roles",
    }
}

fn of_run(event: &run::Event, names: &Names) -> HappenedView {
    HappenedView { event: event.name().to_owned(), values: run_event(event, names).list() }
}

fn of_target(event: &target::Event, names: &Names) -> HappenedView {
    HappenedView { event: event.name().to_owned(), values: target_event(event, names).list() }
}
