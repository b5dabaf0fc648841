//! From the domain's types to the shapes of [`crate::view`]: subjects get names, times and ids become text,
//! numbers that are not finite disappear.
//!
//! Adds nothing that the state or the record does not say.

mod event;
mod explain;
mod history;
mod run;
mod said;
mod stage;
mod target;
mod target_event;
mod transition;
mod values;

use std::collections::BTreeMap;

use domain::model::Release;
use domain::name::Subject;
use domain::refusal::Refusal;
use domain::roles::Actor;

use crate::view::{Fault, ReleaseView, Who};

pub(crate) use explain::{Reasons, explanation};
pub(crate) use history::history_lines;
pub(crate) use run::{run_line, run_view, wait_views};
pub(crate) use target::{target_line, target_view};
pub(crate) use transition::transition_view;

/// Names by subject.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names(pub(crate) BTreeMap<Subject, String>);

impl Names {
    pub(crate) fn who(&self, subject: &Subject) -> Who {
        Who { subject: subject.to_string(), name: self.0.get(subject).cloned(), on_behalf_of: None }
    }

    pub(crate) fn actor(&self, actor: &Actor) -> Who {
        let on_behalf_of = actor.on_behalf_of.as_ref().map(|person| self.name(person));
        Who { on_behalf_of, ..self.who(&actor.subject) }
    }

    /// The name, or the subject when there is none.
    pub(crate) fn name(&self, subject: &Subject) -> String {
        self.0.get(subject).cloned().unwrap_or_else(|| subject.to_string())
    }
}

pub(crate) fn release_view(release: &Release) -> ReleaseView {
    ReleaseView {
        version: release.version.to_string(),
        bundle: release.bundle.to_string(),
        run: release.run.map(|run| run.to_string()),
    }
}

pub(crate) fn refused(refusal: &Refusal) -> Fault {
    Fault {
        code: refusal.code.clone(),
        text: refusal.text.clone(),
        hint: refusal.hint.clone(),
        field: None,
        line: None,
        column: None,
    }
}

/// A number, unless it is none.
fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}
