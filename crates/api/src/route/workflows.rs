//! The workflows that new events can start.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::routing::get;
use domain::workflow::WhileRunning;

use super::{Access, Route};
use crate::api::Api;
use crate::ports::Loaded;
use crate::view::{WorkflowLine, WorkflowList, WorkflowStage};

pub(super) fn routes() -> Vec<Route> {
    vec![Route {
        method: "get",
        path: "/v1/workflows",
        summary: "Lists the loaded workflows with their texts.",
        access: Access::Token,
        query: &[],
        body: None,
        answers: &[(200, "WorkflowList")],
        on: get(list),
    }]
}

async fn list(State(api): State<Arc<Api>>) -> Json<WorkflowList> {
    let mut workflows: Vec<WorkflowLine> = api.ports.workflows.0.iter().map(line).collect();
    workflows.sort_by(|a, b| a.workflow.cmp(&b.workflow));
    Json(WorkflowList { workflows })
}

fn line(loaded: &Loaded) -> WorkflowLine {
    let workflow = &*loaded.parsed;
    let name = |index: &usize| workflow.stages.get(*index).map(|stage| stage.name.to_string());
    WorkflowLine {
        workflow: loaded.name.to_string(),
        digest: loaded.parsed.digest.to_string(),
        file: loaded.file.clone(),
        models: workflow.trigger.models.iter().map(ToString::to_string).collect(),
        environment: workflow.trigger.environment.to_string(),
        while_running: match workflow.trigger.while_running {
            WhileRunning::Supersede => "supersede",
            WhileRunning::Queue => "queue",
            WhileRunning::Refuse => "refuse",
        }
        .to_owned(),
        stages: workflow
            .stages
            .iter()
            .map(|stage| WorkflowStage {
                stage: stage.name.to_string(),
                kind: stage.with.kind().as_str().to_owned(),
                needs: stage.needs.iter().filter_map(name).collect(),
            })
            .collect(),
        text: loaded.text.to_string(),
    }
}
