//! An event often repeats what the input of its step brought: evidence, a plan, a text. Such an event is written
//! without it and with `same_as_input`, which halves records; reading puts it back.
//!
//! Compares encoded bytes, so what is left out is the same to the last bit.

use domain::{run, target};
use prost::Message;

use crate::codec::direct::{self, Content, Writing};
use crate::codec::{Error, Place};
use crate::generated::v1;
use crate::generated::v1::definition_event::Event as DefinitionEvent;
use crate::generated::v1::outcome::Outcome;
use crate::generated::v1::run_event::Event as RunEvent;
use crate::generated::v1::step::Step;
use crate::generated::v1::target_event::Event as TargetEvent;
use crate::generated::v1::{run_input, target_input};

/// Leaves out what the step's input says already.
pub(super) fn leave_out(step: &mut v1::Step) {
    match &mut step.step {
        Some(Step::Definitions(step)) => leave_out_definitions(step),
        Some(Step::Run(step)) => leave_out_run(step),
        Some(Step::Target(step)) => leave_out_target(step),
        None => {}
    }
}

/// Puts back what was left out.
pub(super) fn restore(step: &mut v1::Step) -> Result<(), Error> {
    match &mut step.step {
        Some(Step::Definitions(step)) => restore_definitions(step),
        Some(Step::Run(step)) => restore_run(step),
        Some(Step::Target(step)) => restore_target(step),
        None => Ok(()),
    }
}

fn leave_out_definitions(step: &mut v1::DefinitionsStep) {
    let Some(input) = &step.input else { return };
    for event in &mut step.events {
        if let Some(DefinitionEvent::DefinitionRecorded(event)) = &mut event.event
            && event.text == input.text
        {
            event.text.clear();
            event.same_as_input = true;
        }
    }
}

fn restore_definitions(step: &mut v1::DefinitionsStep) -> Result<(), Error> {
    for event in &mut step.events {
        if let Some(DefinitionEvent::DefinitionRecorded(event)) = &mut event.event
            && event.same_as_input
        {
            let input = step.input.as_ref().ok_or(absent("DefinitionEvent.DefinitionRecorded", "text"))?;
            event.text.clone_from(&input.text);
        }
    }
    Ok(())
}

/// What the input of a run's step brought.
#[derive(Clone, Copy, Default)]
struct Brought<'a> {
    start: Option<&'a v1::Start>,
    evidence: Option<&'a v1::Evidence>,
    bundle: Option<&'a v1::Bundle>,
    plan: Option<&'a v1::Planned>,
}

fn brought(input: Option<&v1::RunInput>) -> Brought<'_> {
    let nothing = Brought::default();
    match input.and_then(|input| input.input.as_ref()) {
        Some(run_input::Input::Start(start)) => Brought { start: Some(start), ..nothing },
        Some(run_input::Input::Report(report)) => {
            match report.outcome.as_ref().and_then(|outcome| outcome.outcome.as_ref()) {
                Some(Outcome::Measured(evidence)) => Brought { evidence: Some(evidence), ..nothing },
                Some(Outcome::Packed(packed)) => {
                    Brought { evidence: packed.evidence.as_ref(), bundle: packed.bundle.as_ref(), ..nothing }
                }
                Some(Outcome::Planned(plan)) => Brought { plan: Some(plan), ..nothing },
                _ => nothing,
            }
        }
        _ => nothing,
    }
}

fn leave_out_run(step: &mut v1::RunStep) {
    let brought = brought(step.input.as_ref());
    for event in &mut step.events {
        match &mut event.event {
            Some(RunEvent::InputHeld(event)) if same(event.input.as_ref(), step.input.as_ref()) => {
                (event.input, event.same_as_input) = (None, true);
            }
            Some(RunEvent::Started(event)) if same(event.start.as_deref(), brought.start) => {
                (event.start, event.same_as_input) = (None, true);
            }
            Some(RunEvent::EvidenceRecorded(event)) if same(event.evidence.as_ref(), brought.evidence) => {
                (event.evidence, event.same_as_input) = (None, true);
            }
            Some(RunEvent::BundlePacked(event))
                if same(event.evidence.as_ref(), brought.evidence)
                    && same(event.bundle.as_ref(), brought.bundle) =>
            {
                (event.evidence, event.bundle, event.same_as_input) = (None, None, true);
            }
            Some(RunEvent::PlanMade(event)) if same(event.plan.as_ref(), brought.plan) => {
                (event.plan, event.same_as_input) = (None, true);
            }
            _ => {}
        }
    }
}

fn restore_run(step: &mut v1::RunStep) -> Result<(), Error> {
    let brought = brought(step.input.as_ref());
    for event in &mut step.events {
        match &mut event.event {
            Some(RunEvent::InputHeld(event)) if event.same_as_input => {
                event.input = Some(there(step.input.as_ref(), "RunEvent.InputHeld", "input")?);
            }
            Some(RunEvent::Started(event)) if event.same_as_input => {
                event.start = Some(Box::new(there(brought.start, "RunEvent.Started", "start")?));
            }
            Some(RunEvent::EvidenceRecorded(event)) if event.same_as_input => {
                event.evidence = Some(there(brought.evidence, "RunEvent.EvidenceRecorded", "evidence")?);
            }
            Some(RunEvent::BundlePacked(event)) if event.same_as_input => {
                event.evidence = Some(there(brought.evidence, "RunEvent.BundlePacked", "evidence")?);
                event.bundle = Some(there(brought.bundle, "RunEvent.BundlePacked", "bundle")?);
            }
            Some(RunEvent::PlanMade(event)) if event.same_as_input => {
                event.plan = Some(there(brought.plan, "RunEvent.PlanMade", "plan")?);
            }
            _ => {}
        }
    }
    Ok(())
}

/// What the input of a target's step heard.
fn heard(input: Option<&v1::TargetInput>) -> (Option<&[v1::ServerLoaded]>, Option<&[v1::GatewayObserved]>) {
    match input.and_then(|input| input.input.as_ref()) {
        Some(target_input::Input::ReportLoaded(report)) => (Some(&report.servers), None),
        Some(target_input::Input::ReportRoutes(report)) => (None, Some(&report.gateways)),
        Some(target_input::Input::Report(report)) => {
            match report.outcome.as_ref().and_then(|outcome| outcome.outcome.as_ref()) {
                Some(Outcome::Prepared(prepared)) => (Some(&prepared.servers), None),
                Some(Outcome::Applied(applied)) => (None, Some(&applied.gateways)),
                _ => (None, None),
            }
        }
        _ => (None, None),
    }
}

fn leave_out_target(step: &mut v1::TargetStep) {
    let (servers, gateways) = heard(step.input.as_ref());
    for event in &mut step.events {
        match &mut event.event {
            Some(TargetEvent::InputHeld(event)) if same(event.input.as_ref(), step.input.as_ref()) => {
                (event.input, event.same_as_input) = (None, true);
            }
            Some(TargetEvent::ReleaseLoaded(event)) if same_list(&event.servers, servers) => {
                event.servers.clear();
                event.same_as_input = true;
            }
            Some(TargetEvent::RoutesObserved(event)) if same_list(&event.gateways, gateways) => {
                event.gateways.clear();
                event.same_as_input = true;
            }
            _ => {}
        }
    }
}

fn restore_target(step: &mut v1::TargetStep) -> Result<(), Error> {
    let (servers, gateways) = heard(step.input.as_ref());
    for event in &mut step.events {
        match &mut event.event {
            Some(TargetEvent::InputHeld(event)) if event.same_as_input => {
                event.input = Some(there(step.input.as_ref(), "TargetEvent.InputHeld", "input")?);
            }
            Some(TargetEvent::ReleaseLoaded(event)) if event.same_as_input => {
                let servers = servers.ok_or(absent("TargetEvent.ReleaseLoaded", "servers"))?;
                event.servers = servers.to_vec();
            }
            Some(TargetEvent::RoutesObserved(event)) if event.same_as_input => {
                let gateways = gateways.ok_or(absent("TargetEvent.RoutesObserved", "gateways"))?;
                event.gateways = gateways.to_vec();
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether a run's event is written without what the input of its step says.
pub(super) fn run_event(event: &run::Event, input: &run::Input) -> bool {
    let brought = direct::Brought::Run(input);
    match event {
        run::Event::InputHeld { input: held, .. } => same_bytes(&**held, Some(input)),
        run::Event::Started { start, .. } => same_bytes::<_, v1::Start>(&**start, brought.start()),
        run::Event::EvidenceRecorded { evidence, .. } => {
            same_bytes(&**evidence, brought.evidence().map(|brought| &**brought))
        }
        run::Event::BundlePacked { evidence, bundle, .. } => {
            same_bytes(&**evidence, brought.evidence().map(|brought| &**brought))
                && same_bytes(&**bundle, brought.bundle().map(|brought| &**brought))
        }
        run::Event::PlanMade { plan, .. } => same_bytes(plan, brought.plan()),
        _ => false,
    }
}

/// The same for a target's event.
pub(super) fn target_event(event: &target::Event, input: &target::Input) -> bool {
    let brought = direct::Brought::Target(input);
    match event {
        target::Event::InputHeld { input: held, .. } => same_bytes(&**held, Some(input)),
        target::Event::ReleaseLoaded { servers, .. } => same_each(servers, brought.servers()),
        target::Event::RoutesObserved { gateways, .. } => same_each(gateways, brought.gateways()),
        _ => false,
    }
}

fn same_bytes<T: Content<P>, P>(event: &T, input: Option<&T>) -> bool {
    let bytes = |value: &T| {
        let mut out = Writing::default();
        value.write_content(&mut out);
        out.bytes
    };
    input.is_some_and(|input| std::ptr::eq(event, input) || bytes(event) == bytes(input))
}

fn same_each<T: Content<P>, P>(event: &[T], input: Option<&[T]>) -> bool {
    input.is_some_and(|input| {
        event.len() == input.len()
            && event.iter().zip(input).all(|(event, input)| same_bytes(event, Some(input)))
    })
}

fn same<M: Message>(event: Option<&M>, input: Option<&M>) -> bool {
    match (event, input) {
        (Some(event), Some(input)) => event.encode_to_vec() == input.encode_to_vec(),
        _ => false,
    }
}

fn same_list<M: Message>(event: &[M], input: Option<&[M]>) -> bool {
    input.is_some_and(|input| {
        event.len() == input.len()
            && event.iter().zip(input).all(|(event, input)| same(Some(event), Some(input)))
    })
}

fn there<M: Clone>(value: Option<&M>, message: &'static str, field: &'static str) -> Result<M, Error> {
    value.cloned().ok_or(absent(message, field))
}

fn absent(message: &'static str, field: &'static str) -> Error {
    Error::NotInInput(Place { message, field })
}
