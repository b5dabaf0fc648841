//! Workflows that measure nothing, so that a busy machine delays their runs and decides none of them.

use std::fs;

use serde_json::Value;

use super::place::{Place, event};

const PLAIN: &str = "workflow: light
trigger: { models: [], target: \"{model}@production\" }
defaults: { timeout: 1m, retry: { attempts: 5, backoff: 100ms..500ms }, tick: 200ms }
stages:
  - name: package
    kind: package
    with: { formats: [onnx], size_max: 1MiB, require: [signature, data], sign: true }
  - name: switch
    kind: rollout
    with: { strategy: blue-green, sticky: header:x-unit, bake: 200ms, deadline: 1m }
";
const GATED: &str = "workflow: light-gated
trigger: { models: [], target: \"{model}@production\" }
defaults: { timeout: 1m, retry: { attempts: 5, backoff: 100ms..500ms }, tick: 200ms }
stages:
  - name: package
    kind: package
    with: { formats: [onnx], size_max: 1MiB, require: [signature, data], sign: true }
  - name: release-board
    kind: gate
    with: { approvals: [{ role: ml, count: 1 }], expires: 10m }
  - name: switch
    kind: rollout
    with: { strategy: blue-green, sticky: header:x-unit, bake: 200ms, deadline: 1m }
";

/// Its staging takes three seconds.
const SLOW: &str = "workflow: light-slow
trigger: { models: [], target: \"{model}@production\" }
defaults: { timeout: 1m, retry: { attempts: 5, backoff: 100ms..500ms }, tick: 200ms }
stages:
  - name: package
    kind: package
    with: { formats: [onnx], size_max: 1MiB, require: [signature, data], sign: true }
  - name: staging
    kind: stage-test
    with: { checks: [{ check: latency, rate: 40/s, for: 3s, p99_max: 5s }] }
  - name: release-board
    kind: gate
    with: { approvals: [{ role: ml, count: 1 }], expires: 10m }
  - name: switch
    kind: rollout
    with: { strategy: blue-green, sticky: header:x-unit, bake: 200ms, deadline: 1m }
";

pub(crate) fn place() -> Place {
    let place = Place::new();
    fs::write(place.root().join("workflows/light.yaml"), PLAIN).unwrap();
    fs::write(place.root().join("workflows/light-gated.yaml"), GATED).unwrap();
    fs::write(place.root().join("workflows/light-slow.yaml"), SLOW).unwrap();
    place
}

/// Of a run that goes live by itself.
pub(crate) fn plain(version: &str, model: &str, id: &str) -> Value {
    of("light", version, model, id)
}

/// Of a run with work that takes seconds.
pub(crate) fn slow(version: &str, model: &str, id: &str) -> Value {
    of("light-slow", version, model, id)
}

/// Of a run that asks people first.
pub(crate) fn gated(version: &str, model: &str, id: &str) -> Value {
    of("light-gated", version, model, id)
}

fn of(workflow: &str, version: &str, model: &str, id: &str) -> Value {
    let mut event = event(version, model, id);
    event["data"]["workflow"] = workflow.into();
    event
}
