//! Workflow files: YAML to the typed workflow of the core, with everything that is wrong told at once; and the
//! way back to people, in words and as a drawing.
//!
//! ```text
//! text -> yaml -> tree -> stages (one file a kind) -> order and needs -> rules against the whole -> Workflow
//! ```
//!
//! **Invariant:** the same text gives the same workflow. A default that a text does not name stands here and
//! nowhere else. `trigger: { models: [] }` is a workflow that only an event which names it can start.

mod checks;
mod draw;
mod gate;
mod order;
mod rollout;
mod stage;
#[cfg(test)]
mod tests;
mod tests_and_package;
mod trigger;
mod units;
mod words;

use domain::time::Millis;
use domain::workflow::{Retry, Workflow};

pub use draw::draw;
pub use words::words;

use crate::fields::{Field, Fields};
use crate::problem::{Notes, Problems, Warning};
use crate::yaml;

/// The most stages of a workflow.
pub const STAGES_MAX: usize = 32;
/// The most checks of a stage.
pub const CHECKS_MAX: usize = 32;
/// The most steps of a rollout.
pub const STEPS_MAX: usize = 32;

/// What stages take when they do not say: `defaults: { timeout: 1h, retry: { attempts: 3, backoff: 10s..5m },
/// tick: 10s }`.
#[derive(Debug, Clone, Copy)]
struct Defaults {
    timeout: Millis,
    retry: Retry,
    tick: Millis,
}

impl Default for Defaults {
    fn default() -> Self {
        let retry = Retry { attempts: 3, backoff_min: Millis::seconds(10), backoff_max: Millis::minutes(5) };
        Self { timeout: Millis::hours(1), retry, tick: Millis::seconds(10) }
    }
}

/// Parses a workflow file. Warnings are for what is allowed and probably not meant.
pub fn parse(text: &str) -> Result<(Workflow, Vec<Warning>), Problems> {
    let mut notes = Notes::default();
    let workflow = yaml::read(text, &mut notes).and_then(|node| {
        let fields = Field::root(&node).map(&mut notes)?;
        read(fields, &mut notes)
    });
    notes.conclude(workflow)
}

fn read(mut fields: Fields<'_>, notes: &mut Notes) -> Option<Workflow> {
    let name = fields
        .need("workflow", "its name", notes)
        .and_then(|field| field.parsed(domain::name::WorkflowName::parse, notes));
    let trigger = fields.need("trigger", "which models start it", notes);
    let trigger = trigger.and_then(|field| trigger::read(&field, notes));
    let defaults =
        fields.get("defaults").map_or_else(Defaults::default, |field| stage::defaults(&field, notes));
    let stages = fields.need("stages", "a list of stages", notes);
    let stages = stages.and_then(|field| stage::read_all(&field, defaults, notes));
    fields.no_others(&["on", "notify", "caps"], notes);
    let drafts = stages?;
    let stages = order::arrange(drafts, notes);
    Some(Workflow { name: name?, trigger: trigger?, stages: stages? })
}
