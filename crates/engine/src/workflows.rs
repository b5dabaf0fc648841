//! The workflows that events can start, and the triggers that an event becomes: the same for all who let events in.
//!
//! **Invariant:** who published is not known here. Whoever lets an event in says so before, or that nobody knows.

use std::sync::Arc;

use domain::definition::Pinned;
use domain::evidence::Text;
use domain::name::WorkflowName;
use domain::workflow::Workflow;
use wire::problem::Problem;
use wire::trained::{self, Announced};

use crate::request::Trigger;

/// One workflow file.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub name: WorkflowName,
    /// The file's name, for people.
    pub file: String,
    pub text: Text,
    pub parsed: Pinned<Workflow>,
}

/// The workflows that new events can start, by name.
#[derive(Debug, Clone, Default)]
pub struct Workflows(pub Vec<Loaded>);

impl Workflows {
    /// What an event starts: one trigger for each target, at least one.
    pub fn triggers(&self, announced: &Announced) -> Result<Vec<Trigger>, Problem> {
        let chosen = trained::matching(announced, self.0.iter().map(|one| &*one.parsed))?;
        let trained = Arc::new(announced.trained.clone());
        let triggers = chosen.into_iter().filter_map(|(workflow, target)| {
            let one = self.0.iter().find(|one| one.name == workflow.name)?;
            Some(Trigger {
                target,
                trained: Arc::clone(&trained),
                workflow: one.parsed.clone(),
                workflow_text: one.text.clone(),
            })
        });
        Ok(triggers.collect())
    }
}
