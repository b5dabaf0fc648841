//! Lineage that a workflow requires to be there.

use domain::evidence::Text;
use domain::model::Trained;

use super::{Stop, refuse};

/// What may be required, and whether it is there.
type Row = (&'static str, fn(&Trained) -> bool);

const ROWS: [Row; 14] = [
    ("signature", |it| !it.signature.inputs.is_empty() && !it.signature.outputs.is_empty()),
    ("code.commit", |it| it.lineage.code_commit.is_some()),
    ("code.repo", |it| it.lineage.code_repo.is_some()),
    ("code.clean", |it| it.lineage.code_dirty == Some(false)),
    ("data", |it| !it.lineage.training_sets.is_empty()),
    ("data.sha256", |it| {
        !it.lineage.training_sets.is_empty()
            && it.lineage.training_sets.iter().all(|set| set.sha256.is_some())
    }),
    ("run", |it| it.lineage.run_id.is_some()),
    ("features.view", |it| it.lineage.features_view.is_some()),
    ("features.schema_version", |it| it.lineage.features_schema_version.is_some()),
    ("hyperparameters", |it| !it.lineage.hyperparameters.is_empty()),
    ("environment", |it| it.lineage.environment_lock.is_some() || it.lineage.environment_image.is_some()),
    ("evaluation", |it| it.evaluation.is_some()),
    ("baseline_profile", |it| it.baseline.is_some()),
    ("owner", |it| it.owner.is_some()),
];

pub(super) fn require(trained: &Trained, required: &[Text]) -> Result<(), Stop> {
    for wanted in required {
        let Some((_, is_there)) = ROWS.iter().find(|(name, _)| *name == &**wanted) else {
            let known: Vec<&str> = ROWS.iter().map(|(name, _)| *name).collect();
            let text = format!("`{wanted}` is required, which is none of {}", known.join(", "));
            return Err(refuse("LINEAGE_UNKNOWN", text));
        };
        if !is_there(trained) {
            let text = format!("the workflow requires `{wanted}`, and the event does not say it");
            return Err(refuse("LINEAGE_MISSING", text));
        }
    }
    Ok(())
}
