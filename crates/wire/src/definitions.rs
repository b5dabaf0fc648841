//! Recorded definitions: how their texts are parsed, and how a text is pinned to its digest.

use std::sync::Arc;

use domain::definition::Pinned;
use domain::name::Digest;
use domain::roles::RoleMap;
use domain::workflow::Workflow;

use crate::codec::Parsers;
use crate::problem::Problems;
use crate::{roles, rule, workflow};

/// How this version reads definitions and rules.
pub fn parsers() -> Parsers {
    Parsers {
        workflow: |text| {
            workflow::parse(text).map(|(parsed, _)| parsed).map_err(|problems| problems.to_string())
        },
        roles: |text| roles::parse(text).map_err(|problems| problems.to_string()),
        rule: |text| rule::parse(text).map_err(|problems| problems.to_string()),
    }
}

/// A workflow's text, parsed and named by its digest.
pub fn pin_workflow(text: &str) -> Result<Pinned<Workflow>, Problems> {
    let (parsed, _) = workflow::parse(text)?;
    Ok(Pinned { digest: Digest::of(text.as_bytes()), value: Arc::new(parsed) })
}

/// A role map with its text, named by its digest.
pub fn pin_roles(map: RoleMap) -> (String, Pinned<RoleMap>) {
    let text = roles::render(&map);
    let digest = Digest::of(text.as_bytes());
    (text, Pinned { digest, value: Arc::new(map) })
}
