//! Which crate may know which, from `cargo metadata`. A crate exists because this table says something by it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use super::{crate_names, read, root, sources};

/// What each crate may know of the workspace, in its library or binary.
pub(super) const MAY_KNOW: [(&str, &[&str]); 13] = [
    ("api", &["domain", "engine", "wire"]),
    (
        "cli",
        &[
            "api",
            "domain",
            "engine",
            "gateway",
            "log-kafka",
            "model-server",
            "oci",
            "rocks",
            "sim",
            "stages",
            "stats",
            "wire",
        ],
    ),
    ("domain", &["stats"]),
    ("engine", &["domain", "wire"]),
    ("gateway", &["domain", "engine"]),
    ("log-kafka", &["domain", "engine", "wire"]),
    ("model-server", &[]),
    ("oci", &["domain", "engine"]),
    ("rocks", &["domain", "engine", "wire"]),
    ("sim", &["domain", "engine", "wire"]),
    ("stages", &["domain", "engine", "stats"]),
    ("stats", &[]),
    ("wire", &["domain"]),
];

/// What only its tests may know besides.
const TESTS_MAY_KNOW: [(&str, &[&str]); 1] = [("stages", &["model-server"])];

/// What the core may take from outside. Each more is argued in an ADR.
const CORE_MAY_USE: [(&str, &[&str]); 2] = [("domain", &["sha2", "thiserror"]), ("stats", &["libm"])];

/// Built without threads, runtime and C++: what a newcomer's plain `cargo test` covers.
const LIGHT: [&str; 5] = ["domain", "engine", "sim", "stats", "wire"];
const HEAVY: [&str; 6] = ["tokio", "async-std", "smol", "librocksdb-sys", "rdkafka-sys", "tract-onnx"];

/// A dependency that one crate alone knows.
const ONLY: [(&str, &str); 4] =
    [("rocksdb", "rocks"), ("rdkafka", "log-kafka"), ("tract-onnx", "model-server"), ("clap", "cli")];

/// The crate whose lints are the workspace's, but that unsafe code is denied where the workspace forbids it: forbidden,
/// no function could be excepted.
const UNSAFE_IN_ONE_FUNCTION: &str = "log-kafka";

struct Graph {
    /// By package name, what it names in its manifest: (dependency, for its tests only).
    declared: BTreeMap<String, Vec<(String, bool)>>,
    /// By package id, its name and what its library is built with.
    built_with: BTreeMap<String, (String, Vec<String>)>,
}

fn graph() -> Graph {
    let metadata = metadata();
    let declared = array(&metadata["packages"])
        .iter()
        .filter(|package| package["source"].is_null())
        .map(|package| {
            let one = |dependency: &Value| (text(&dependency["name"]), dependency["kind"] == "dev");
            (text(&package["name"]), array(&package["dependencies"]).iter().map(one).collect())
        })
        .collect();
    let names: BTreeMap<String, String> = array(&metadata["packages"])
        .iter()
        .map(|package| (text(&package["id"]), text(&package["name"])))
        .collect();
    let is_normal =
        |dependency: &&Value| array(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"].is_null());
    let built_with = array(&metadata["resolve"]["nodes"])
        .iter()
        .map(|node| {
            let id = text(&node["id"]);
            let on = array(&node["deps"]).iter().filter(is_normal).map(|on| text(&on["pkg"])).collect();
            (id.clone(), (names[&id].clone(), on))
        })
        .collect();
    Graph { declared, built_with }
}

fn metadata() -> Value {
    let host = Command::new("rustc").arg("-vV").output().expect("rustc is there: it built this test");
    let host = String::from_utf8(host.stdout).expect("rustc speaks UTF-8");
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc names its host");
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--filter-platform", host])
        .current_dir(root())
        .output()
        .expect("cargo is there: it runs this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON")
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().expect("cargo metadata names it").to_owned()
}

/// Everything that the library of a package is built with.
fn transitively(graph: &Graph, package: &str) -> BTreeSet<String> {
    let (mut seen, mut found) = (BTreeSet::new(), BTreeSet::new());
    let mut waiting: Vec<&String> =
        graph.built_with.iter().filter(|(_, (name, _))| name == package).map(|(id, _)| id).collect();
    assert_eq!(waiting.len(), 1, "one package is called {package}");
    while let Some(id) = waiting.pop() {
        let (_, on) = &graph.built_with[id];
        for other in on.iter().filter(|other| seen.insert((*other).clone())) {
            found.insert(graph.built_with[other].0.clone());
            waiting.push(other);
        }
    }
    found
}

#[test]
fn a_crate_knows_only_what_its_place_allows() {
    let graph = graph();
    let ours = crate_names();
    assert_eq!(ours, MAY_KNOW.map(|(name, _)| name.to_owned()), "a crate came or went: give it its row");
    let mut wrong = vec![];
    for (name, allowed) in MAY_KNOW {
        let more = TESTS_MAY_KNOW.iter().find(|(of, _)| *of == name).map_or(&[][..], |(_, more)| more);
        for (on, for_tests) in &graph.declared[name] {
            let fits = allowed.contains(&on.as_str()) || *for_tests && more.contains(&on.as_str());
            if ours.contains(on) && on != name && !fits {
                wrong.push(format!("{name} -> {on}"));
            }
        }
    }
    assert!(wrong.is_empty(), "edges that ARCHITECTURE.md does not have: {wrong:?}");
}

#[test]
fn the_core_takes_from_outside_only_what_an_adr_argues() {
    let graph = graph();
    for (name, allowed) in CORE_MAY_USE {
        let ours = crate_names();
        let others = graph.declared[name].iter().map(|(on, _)| on).filter(|on| !ours.contains(on));
        let beyond: Vec<&String> = others.filter(|on| !allowed.contains(&on.as_str())).collect();
        assert!(beyond.is_empty(), "{name} uses {beyond:?}");
    }
}

#[test]
fn the_light_crates_are_built_without_a_runtime_or_c_plus_plus() {
    let graph = graph();
    for name in LIGHT {
        let with = transitively(&graph, name);
        let heavy: Vec<&str> = HEAVY.into_iter().filter(|heavy| with.contains(*heavy)).collect();
        assert!(heavy.is_empty(), "{name} is built with {heavy:?}");
    }
    assert!(transitively(&graph, "rocks").contains("librocksdb-sys"), "the walk finds what is there");
    assert!(transitively(&graph, "api").contains("tokio"), "the walk finds what is there");
}

#[test]
fn a_heavy_dependency_is_known_to_one_crate() {
    let graph = graph();
    for (dependency, owner) in ONLY {
        let know = graph.declared.iter().filter(|(_, on)| on.iter().any(|(on, _)| on == dependency));
        // The tests of the whole do to topics what only a person does.
        let know: Vec<&String> = know.map(|(name, _)| name).filter(|name| *name != "scenarios").collect();
        assert_eq!(know, [owner], "{dependency}");
    }
}

#[test]
fn every_crate_is_under_the_lints_and_takes_its_versions_from_the_workspace() {
    for name in crate_names() {
        let manifest = read(format!("crates/{name}/Cargo.toml"));
        let under = if name == UNSAFE_IN_ONE_FUNCTION {
            lints(&manifest, "lints").as_ref() == Some(&with_unsafe_denied())
        } else {
            manifest.contains("[lints]\nworkspace = true")
        };
        assert!(under, "crates/{name} is not under the workspace's lints");
        let own_version = manifest
            .lines()
            .take_while(|line| !line.starts_with("[lints."))
            .find(|line| line.contains("= \"") && !line.starts_with("name") && !line.starts_with("path"));
        assert_eq!(own_version, None, "crates/{name} names a version of its own");
        assert!(
            manifest.contains(&format!("name = \"{name}\"")),
            "folder and package of crates/{name} differ"
        );
    }
}

fn lints(manifest: &str, section: &str) -> Option<toml::Value> {
    let manifest: toml::Table = manifest.parse().expect("a manifest is TOML");
    let (first, rest) = section.split_once('.').unwrap_or((section, ""));
    let value = manifest.get(first)?;
    if rest.is_empty() { Some(value.clone()) } else { value.get(rest).cloned() }
}

fn with_unsafe_denied() -> toml::Value {
    let mut lints = lints(&read("Cargo.toml"), "workspace.lints").expect("the workspace has lints");
    let unsafe_code = lints.get_mut("rust").and_then(|rust| rust.get_mut("unsafe_code"));
    let before = std::mem::replace(unsafe_code.expect("it is named"), "deny".into());
    assert_eq!(before.as_str(), Some("forbid"));
    lints
}

#[test]
fn unsafe_code_is_excepted_in_one_function() {
    let lines = sources().into_iter().flat_map(|(path, text)| {
        let excepted = text.lines().filter(|line| {
            line.trim_start().starts_with("#[") && line.contains("(unsafe_code") && !line.contains("forbid")
        });
        excepted.map(|_| path.clone()).collect::<Vec<_>>()
    });
    let found: Vec<_> = lines.collect();
    assert_eq!(found, [std::path::PathBuf::from("crates/log-kafka/src/topics/described.rs")]);
}

/// The configuration is in no library, so the fuzzers build its files among theirs.
#[test]
fn the_fuzzers_know_what_the_configuration_is_made_of() {
    let fuzzers: toml::Table = read("tests/fuzz/Cargo.toml").parse().expect("a manifest is TOML");
    let known = |name: &str| fuzzers["dependencies"].get(name.replace('_', "-")).is_some();
    let config = sources().into_iter().filter(|(path, _)| path.starts_with("crates/cli/src/config"));
    let used: BTreeSet<String> = config
        .flat_map(|(_, text)| {
            let code = text.split("mod tests {").next().unwrap_or_default();
            let uses = code.lines().filter_map(|line| line.strip_prefix("use ")?.split("::").next());
            uses.map(str::to_owned).collect::<Vec<_>>()
        })
        .filter(|name| !["crate", "self", "std", "super"].contains(&name.as_str()))
        .collect();
    assert!(used.contains("serde"), "the walk finds what is there: {used:?}");
    let strange: Vec<&String> = used.iter().filter(|name| !known(name)).collect();
    assert!(strange.is_empty(), "tests/fuzz/Cargo.toml lacks {strange:?}");
}

#[test]
fn the_lock_file_names_one_public_registry() {
    let lock = read("Cargo.lock");
    let strange = lock.lines().filter(|line| line.starts_with("source = "));
    let strange: BTreeSet<&str> = strange
        .filter(|line| !line.contains("\"registry+https://github.com/rust-lang/crates.io-index\""))
        .collect();
    assert!(strange.is_empty(), "{strange:?}");
}
