//! What training says of a model version, and releases.

use domain::model::{Artifact, Claim, Lineage, Release, Signature, Tensor, TestFile, Trained, TrainingSet};

use crate::generated::v1;

message!(Artifact => Artifact { uri, sha256, size, format });
message!(Tensor => Tensor { name, datatype, shape });
message!(Signature => Signature { inputs, outputs });
message!(TrainingSet => TrainingSet { uri, version, sha256, rows });
message!(Claim => Claim { name, value, n, slice, dataset });
message!(TestFile => TestFile { uri, sha256, label });
message!(Release => Release { version, bundle, run });
message!(Lineage => Lineage {
    run_system,
    run_id,
    run_url,
    code_repo,
    code_commit,
    code_dirty,
    training_sets,
    features_view,
    features_schema_version,
    hyperparameters,
    environment_lock,
    environment_image,
});
message!(Trained => Trained {
    source,
    id,
    model,
    version,
    artifact,
    signature,
    lineage,
    claims,
    evaluation,
    baseline,
    risk_tier,
    owner,
    publisher,
    traceparent,
});
