//! The manifests of Kubernetes, as far as what breaks them can be seen here: kinds, selectors, ports of probes, volumes,
//! limits of rights. The types of the API are not parsed against (`docs/distributed.md` says how that is done).

use std::collections::BTreeSet;

use serde_json::Value;

use super::{documents, drain_seconds, read, words, yaml};

const KINDS: [(&str, &str); 12] = [
    ("v1", "ConfigMap"),
    ("v1", "Secret"),
    ("v1", "Service"),
    ("v1", "PersistentVolumeClaim"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("batch/v1", "Job"),
    ("policy/v1", "PodDisruptionBudget"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("keda.sh/v1alpha1", "ScaledObject"),
    ("kustomize.config.k8s.io/v1beta1", "Kustomization"),
    ("kustomize.config.k8s.io/v1alpha1", "Component"),
];

/// What each role, and each process without any, answers a probe.
const PATHS: [(&str, &[&str]); 3] = [
    ("api", &["/healthz", "/readyz", "/metrics"]),
    ("gateway", &["/healthz", "/readyz"]),
    ("model-server", &["/v2/health/live", "/v2/health/ready"]),
];
const FOLDER: &str = "deploy/kubernetes/";

fn manifests() -> Vec<(String, Value)> {
    documents().into_iter().filter(|(path, _)| path.starts_with(FOLDER)).collect()
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The containers of what has pods.
pub(super) fn containers(document: &Value) -> &[Value] {
    list(&document["spec"]["template"]["spec"]["containers"])
}

pub(super) fn is_ours(container: &Value) -> bool {
    container["image"] == "modelrail"
}

/// Whether all pairs of `selector` are among the labels.
fn selects(selector: &Value, labels: &Value) -> bool {
    selector
        .as_object()
        .is_some_and(|pairs| !pairs.is_empty() && pairs.iter().all(|(key, value)| labels[key] == *value))
}

fn pods() -> Vec<(String, Value)> {
    manifests().into_iter().filter(|(_, document)| !containers(document).is_empty()).collect()
}

fn place(path: &str, document: &Value) -> String {
    format!("{path}: {} {}", text(document, "/kind"), text(document, "/metadata/name"))
}

#[test]
fn kinds_are_known_and_names_stand_once() {
    let mut seen = BTreeSet::new();
    for (path, document) in manifests() {
        let kind = (text(&document, "/apiVersion"), text(&document, "/kind"));
        assert!(KINDS.contains(&kind), "{path}: {kind:?}");
        if kind.1 != "Kustomization" {
            assert!(!text(&document, "/metadata/name").is_empty(), "{path}: a {} without a name", kind.1);
            assert!(seen.insert(place("", &document)), "{} stands twice", place(&path, &document));
        }
    }
    assert!(seen.len() > 25, "found only {seen:?}");
}

#[test]
fn a_kustomization_has_every_file_but_the_example() {
    let all: BTreeSet<String> = manifests().into_iter().map(|(path, _)| path).collect();
    let mut named: BTreeSet<String> = BTreeSet::from([format!("{FOLDER}keys.example.yaml")]);
    for path in all.iter().filter(|path| path.ends_with("kustomization.yaml")) {
        let folder = path.strip_suffix("kustomization.yaml").unwrap_or_default();
        named.insert(path.clone());
        let resources = &yaml::parse(&read(path)).expect("it parses")[0]["resources"];
        named.extend(words(resources).iter().map(|file| format!("{folder}{file}")));
    }
    assert_eq!(all, named);
}

#[test]
fn selectors_find_their_pods() {
    let pods = pods();
    let labels: Vec<&Value> =
        pods.iter().map(|(_, document)| &document["spec"]["template"]["metadata"]["labels"]).collect();
    for (path, document) in manifests() {
        let place = place(&path, &document);
        let selector = match text(&document, "/kind") {
            "Service" => &document["spec"]["selector"],
            "PodDisruptionBudget" => &document["spec"]["selector"]["matchLabels"],
            "Deployment" | "StatefulSet" => {
                let selector = &document["spec"]["selector"]["matchLabels"];
                let own = &document["spec"]["template"]["metadata"]["labels"];
                assert!(selects(selector, own), "{place} does not select its own pods");
                let found = labels.iter().filter(|labels| selects(selector, labels)).count();
                assert_eq!(found, 1, "{place} selects pods of others");
                selector
            }
            _ => continue,
        };
        assert!(labels.iter().any(|labels| selects(selector, labels)), "{place} selects nothing");
    }
}

#[test]
fn what_scales_and_what_names_a_service_finds_it() {
    let all = manifests();
    let is_there = |kind: &str, name: &str| {
        all.iter()
            .any(|(_, document)| text(document, "/kind") == kind && text(document, "/metadata/name") == name)
    };
    for (path, document) in &all {
        let place = place(path, document);
        let target = &document["spec"]["scaleTargetRef"];
        if target.is_object() {
            assert!(is_there(text(target, "/kind"), text(target, "/name")), "{place}: no {target}");
        }
        if document["kind"] == "StatefulSet" {
            assert!(is_there("Service", text(document, "/spec/serviceName")), "{place}: no such service");
        }
        if document["kind"] == "ScaledObject" {
            let name = text(document, "/metadata/name");
            let stage = name.strip_prefix("worker-").expect("workers scale");
            let of_kafka = &document["spec"]["triggers"][0]["metadata"];
            assert_eq!(of_kafka["topic"], format!("modelrail.commands.{stage}"), "{place}");
            assert_eq!(of_kafka["consumerGroup"], format!("modelrail.{stage}"), "{place}");
        }
    }
}

/// The roles of a process by its command line.
fn roles(container: &Value) -> Vec<String> {
    let line = words(&container["args"]);
    let roles = line.iter().position(|word| word == "--roles").and_then(|at| line.get(at + 1));
    roles.map(|roles| roles.split(',').map(str::to_owned).collect()).unwrap_or_default()
}

#[test]
fn probes_ask_what_the_process_answers_at_a_port_that_it_has() {
    let configured =
        &yaml::parse(&read(format!("{FOLDER}configuration.yaml"))).expect("it parses")[0]["data"];
    for (path, document) in pods() {
        let place = place(&path, &document);
        for container in containers(&document).iter().filter(|container| is_ours(container)) {
            let roles = roles(container);
            let answered: Vec<&str> = PATHS
                .iter()
                .filter(|(role, _)| roles.iter().any(|it| it == role))
                .flat_map(|(_, paths)| paths.iter().copied())
                .collect();
            let listens =
                match roles.iter().find(|role| PATHS.iter().any(|(of, _)| of == role)).map(String::as_str) {
                    Some("api") => "MODELRAIL_SERVER__LISTEN",
                    Some("gateway") => "MODELRAIL_GATEWAY__LISTEN",
                    Some(_) => "MODELRAIL_MODEL_SERVER__LISTEN",
                    None => "",
                };
            let ports = list(&container["ports"]);
            assert_eq!(ports.is_empty(), listens.is_empty(), "{place}: it listens where a role does");
            for port in ports {
                let ending = format!(":{}", port["containerPort"]);
                assert!(
                    text(configured, &format!("/{listens}")).ends_with(&ending),
                    "{place}: {listens} is not {ending}"
                );
            }
            for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
                let asked = &container[probe]["httpGet"];
                assert_eq!(asked.is_object(), !listens.is_empty(), "{place}: {probe}");
                if asked.is_object() {
                    assert!(answered.contains(&text(asked, "/path")), "{place}: {probe} asks {asked}");
                    assert!(
                        ports.iter().any(|port| port["name"] == asked["port"]),
                        "{place}: {probe} asks {asked}"
                    );
                }
            }
        }
    }
}

#[test]
fn ports_of_services_are_those_of_their_pods() {
    let pods = pods();
    for (path, service) in manifests().into_iter().filter(|(_, document)| document["kind"] == "Service") {
        for port in list(&service["spec"]["ports"]) {
            let has = |pod: &Value| {
                let labels = &pod["spec"]["template"]["metadata"]["labels"];
                selects(&service["spec"]["selector"], labels)
                    && containers(pod)
                        .iter()
                        .flat_map(|container| list(&container["ports"]))
                        .any(|of| of["name"] == port["targetPort"] && of["containerPort"] == port["port"])
            };
            assert!(pods.iter().any(|(_, pod)| has(pod)), "{}: {port}", place(&path, &service));
        }
    }
}

#[test]
fn every_process_is_bounded_and_has_what_it_mounts() {
    let claims: Vec<Value> = manifests().into_iter().map(|(_, document)| document).collect();
    for (path, document) in pods() {
        let place = place(&path, &document);
        let pod = &document["spec"]["template"]["spec"];
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{place}");
        assert_eq!(pod["automountServiceAccountToken"], false, "{place}");
        if document["kind"] != "Job" {
            let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap_or_default();
            assert!(grace > drain_seconds(), "{place}: killed before it has drained");
        }
        let mut volumes: BTreeSet<&str> =
            list(&pod["volumes"]).iter().map(|volume| text(volume, "/name")).collect();
        volumes.extend(
            list(&document["spec"]["volumeClaimTemplates"]).iter().map(|claim| text(claim, "/metadata/name")),
        );
        for volume in
            list(&pod["volumes"]).iter().filter(|volume| volume["persistentVolumeClaim"].is_object())
        {
            let name = text(volume, "/persistentVolumeClaim/claimName");
            let is_it =
                |it: &Value| it["kind"] == "PersistentVolumeClaim" && text(it, "/metadata/name") == name;
            assert!(claims.iter().any(is_it), "{place}: no claim {name}");
        }
        for container in containers(&document) {
            let rights = &container["securityContext"];
            assert_eq!(rights["readOnlyRootFilesystem"], true, "{place}");
            assert_eq!(rights["allowPrivilegeEscalation"], false, "{place}");
            assert_eq!(rights["capabilities"]["drop"], serde_json::json!(["ALL"]), "{place}");
            assert!(
                container["resources"]["limits"]["memory"].is_string(),
                "{place}: no bound of its memory"
            );
            let mounts = list(&container["volumeMounts"]);
            for mount in mounts {
                assert!(volumes.contains(text(mount, "/name")), "{place}: no volume {mount}");
            }
            let writable =
                mounts.iter().any(|mount| mount["mountPath"] == "/data" && mount["readOnly"] != true);
            assert!(writable || document["kind"] == "Job", "{place}: nowhere to keep its data");
        }
    }
}

#[test]
fn there_is_a_model_server_for_each_that_is_configured() {
    let configured =
        &yaml::parse(&read(format!("{FOLDER}configuration.yaml"))).expect("it parses")[0]["data"];
    let servers = text(configured, "/MODELRAIL_ENVIRONMENTS__PRODUCTION__SERVERS");
    let all = manifests();
    let (_, set) = all
        .iter()
        .find(|(_, it)| it["kind"] == "StatefulSet" && text(it, "/metadata/name") == "model-server")
        .expect("there are model servers");
    let replicas = set["spec"]["replicas"].as_u64().expect("a number");
    let named: Vec<String> =
        (0..replicas).map(|at| format!("http://model-server-{at}.model-server:7402")).collect();
    assert_eq!(servers.split(',').collect::<Vec<_>>(), named);
}
