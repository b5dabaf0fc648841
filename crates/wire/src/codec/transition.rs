//! Transitions: steps with their inputs and events, refusals, and inputs on their way to a stream.

use domain::refusal::{Kind, Refusal};
use domain::transition::{Input, Step};

use super::{Error, Place, Resolve, Wire};
use crate::generated::v1;

choice!(Kind => RefusalKind { State, NotEntitled, Late, Malformed, Busy });
message!(Refusal => Refusal { kind, code, text, hint });

impl Wire<v1::Step> for Step {
    fn put(&self) -> v1::Step {
        let step = match self {
            Self::Definitions { input, events } => {
                v1::step::Step::Definitions(v1::DefinitionsStep { input: input.put(), events: events.put() })
            }
            Self::Run { run, input, events } => {
                v1::step::Step::Run(v1::RunStep { run: run.put(), input: input.put(), events: events.put() })
            }
            Self::Target { target, input, events } => v1::step::Step::Target(v1::TargetStep {
                target: target.put(),
                input: input.put(),
                events: events.put(),
            }),
        };
        v1::Step { step: Some(step) }
    }

    fn take(proto: v1::Step, known: &dyn Resolve, _: Place) -> Result<Self, Error> {
        match proto.step {
            None => Err(Error::UnknownVariant("Step")),
            Some(v1::step::Step::Definitions(step)) => {
                let at = |field| Place { message: "DefinitionsStep", field };
                Ok(Self::Definitions {
                    input: Wire::take(step.input, known, at("input"))?,
                    events: Wire::take(step.events, known, at("events"))?,
                })
            }
            Some(v1::step::Step::Run(step)) => {
                let at = |field| Place { message: "RunStep", field };
                Ok(Self::Run {
                    run: Wire::take(step.run, known, at("run"))?,
                    input: Wire::take(step.input, known, at("input"))?,
                    events: Wire::take(step.events, known, at("events"))?,
                })
            }
            Some(v1::step::Step::Target(step)) => {
                let at = |field| Place { message: "TargetStep", field };
                Ok(Self::Target {
                    target: Wire::take(step.target, known, at("target"))?,
                    input: Wire::take(step.input, known, at("input"))?,
                    events: Wire::take(step.events, known, at("events"))?,
                })
            }
        }
    }
}

impl Wire<v1::Input> for Input {
    fn put(&self) -> v1::Input {
        let input = match self {
            Self::Define(define) => v1::input::Input::Define(define.put()),
            Self::Run(run, input) => {
                v1::input::Input::Run(v1::input::ToRun { run: run.put(), input: input.put() })
            }
            Self::Target(target, input) => {
                v1::input::Input::Target(v1::input::ToTarget { target: target.put(), input: input.put() })
            }
        };
        v1::Input { input: Some(input) }
    }

    fn take(proto: v1::Input, known: &dyn Resolve, _: Place) -> Result<Self, Error> {
        match proto.input {
            None => Err(Error::UnknownVariant("Input")),
            Some(v1::input::Input::Define(define)) => {
                Wire::take(define, known, Place { message: "Input", field: "define" }).map(Self::Define)
            }
            Some(v1::input::Input::Run(input)) => {
                let at = |field| Place { message: "Input.ToRun", field };
                let run = Wire::take(input.run, known, at("run"))?;
                Ok(Self::Run(run, Wire::take(input.input, known, at("input"))?))
            }
            Some(v1::input::Input::Target(input)) => {
                let at = |field| Place { message: "Input.ToTarget", field };
                let target = Wire::take(input.target, known, at("target"))?;
                Ok(Self::Target(target, Wire::take(input.input, known, at("input"))?))
            }
        }
    }
}
