//! The review page: what an approver must see, as data.

use domain::name::{Digest, TargetId};
use domain::work::Notify;
use engine::port::blobs::Blobs;
use serde_json::{Value, json};

use crate::bundle::{Manifest, read_lineage};

pub(super) fn page(blobs: &dyn Blobs, target: &TargetId, order: &Notify) -> Value {
    json!({
        "format": "modelrail-review/1",
        "run": order.run.to_string(),
        "target": target.to_string(),
        "stage": order.stage.as_str(),
        "release": {
            "version": order.release.version.as_str(),
            "bundle": order.release.bundle.to_string(),
        },
        "evidence": order.evidence.to_string(),
        "expires_at_ms": order.expires_at.0,
        "four_eyes": order.with.four_eyes,
        "approvals": approvals(order),
        "policy": order.with.require.iter().map(|term| json!({
            "name": &*term.name,
            "because": term.because.as_deref(),
        })).collect::<Vec<_>>(),
        "bundle": bundle(blobs, order.release.bundle),
    })
}

fn approvals(order: &Notify) -> Vec<Value> {
    let wanted = order.with.approvals.iter();
    wanted.map(|it| json!({ "role": it.role.as_str(), "count": it.count })).collect()
}

/// What the bundle says of itself. A bundle that cannot be read does not keep the gate from being announced: the
/// page says so, and an approver sees it.
fn bundle(blobs: &dyn Blobs, bundle: Digest) -> Value {
    match read_lineage(blobs, bundle) {
        Err(error) => json!({ "unreadable": error.code() }),
        Ok((Manifest { weight, .. }, lineage)) => json!({
            "model": { "sha256": weight.digest.hex(), "size": weight.size },
            "code": { "repo": lineage.code.repo, "commit": lineage.code.commit, "dirty": lineage.code.dirty },
            "data": lineage.data.iter().map(|set| json!({
                "uri": set.uri, "version": set.version, "sha256": set.sha256, "rows": set.rows,
            })).collect::<Vec<_>>(),
            "hyperparameters": lineage.hyperparameters,
            "claims": lineage.claims.iter().map(|claim| json!({
                "name": claim.name, "value": claim.value, "n": claim.n, "slice": claim.slice,
                "dataset": claim.dataset,
            })).collect::<Vec<_>>(),
        }),
    }
}

/// What a webhook is told. `text` is what chats show.
pub(super) fn message(target: &TargetId, order: &Notify, review: Digest) -> Value {
    let wanted: Vec<String> =
        order.with.approvals.iter().map(|it| format!("{} {}", it.count, it.role)).collect();
    let text = format!(
        "{target}: {} waits in `{}` for {} until {}",
        order.release.version,
        order.stage,
        if wanted.is_empty() { "its policy".to_owned() } else { wanted.join(", ") },
        order.expires_at
    );
    json!({
        "text": text,
        "run": order.run.to_string(),
        "target": target.to_string(),
        "stage": order.stage.as_str(),
        "version": order.release.version.as_str(),
        "bundle": order.release.bundle.to_string(),
        "evidence": order.evidence.to_string(),
        "review": review.to_string(),
        "approvals": approvals(order),
        "expires_at_ms": order.expires_at.0,
    })
}
