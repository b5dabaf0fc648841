//! The files of `deploy/` say what the binary has: roles, stages, flags, keys of the configuration, ports, topics.

mod kubernetes;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use domain::workflow::StageKind;
use log_kafka::topic::{MODEL_TRAINED, Topic};
use serde_json::Value;

use super::{read, root, tracked};

const COMPOSE: &str = "deploy/docker/compose.yaml";
const DOCKERFILE: &str = "deploy/docker/Dockerfile";
const UNITS: [&str; 2] = ["deploy/systemd/modelrail@.service", "deploy/systemd/modelrail-worker@.service"];
/// Read by the command line itself, and no keys of the configuration.
const OWN_VARIABLES: [&str; 3] = ["MODELRAIL_CONFIG", "MODELRAIL_SERVER", "MODELRAIL_TOKEN"];

/// Files below `deploy` that end so, by path from the root.
fn files(ending: &str) -> Vec<String> {
    let paths = tracked().into_iter().filter(|path| path.starts_with("deploy"));
    paths.map(|path| path.display().to_string()).filter(|path| path.ends_with(ending)).collect()
}

/// Each document of each YAML file below `deploy`.
fn documents() -> Vec<(String, Value)> {
    let files = files(".yaml").into_iter().chain(files(".yml"));
    let parsed = files.flat_map(|path| {
        let documents = yaml::parse(&read(&path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        documents.into_iter().map(move |document| (path.clone(), document))
    });
    parsed.collect()
}

/// What follows each `name` in the text of the enum `kind` of argv.rs, as clap calls it: `ModelServer` is `model-server`.
fn variants(kind: &str) -> Vec<String> {
    let text = read("crates/cli/src/argv.rs");
    let start = format!("pub enum {kind} {{");
    let body = text.split(&start).nth(1).and_then(|rest| rest.split("\n}").next()).expect("it is in argv.rs");
    let names = body.lines().filter_map(|line| {
        let name: String =
            line.strip_prefix("    ")?.chars().take_while(char::is_ascii_alphanumeric).collect();
        name.starts_with(|letter: char| letter.is_ascii_uppercase()).then_some(name)
    });
    names.map(|name| kebab(&name)).collect()
}

/// The flags of a struct of argv.rs.
fn fields(kind: &str) -> Vec<String> {
    let text = read("crates/cli/src/argv.rs");
    let start = format!("pub struct {kind} {{");
    let body = text.split(&start).nth(1).and_then(|rest| rest.split("\n}").next()).expect("it is in argv.rs");
    let names = body.lines().filter_map(|line| line.strip_prefix("    pub ")?.split(':').next());
    names.map(|name| name.replace('_', "-")).collect()
}

fn kebab(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

/// What is wrong with a command line of the binary, which is left out of `words`.
fn wrong(words: &[String]) -> Option<String> {
    let (roles, commands) = (variants("Role"), variants("Command"));
    let Some(command) = words.first().filter(|word| commands.contains(word)) else {
        return Some(format!("no such command: {words:?}"));
    };
    let topics = variants("TopicsCommand");
    let mut rest = words[1..].iter();
    while let Some(word) = rest.next() {
        let Some(flag) = word.strip_prefix("--") else {
            let known = match command.as_str() {
                "worker" => StageKind::ALL.iter().any(|stage| stage.as_str() == word),
                "topics" => topics.contains(word),
                _ => false,
            };
            if known {
                continue;
            }
            return Some(format!("{command} takes no {word}"));
        };
        let is_of = |kind| fields(kind).iter().any(|field| field == flag);
        if !(is_of("Global") || command == "serve" && is_of("ServeArguments")) {
            return Some(format!("{command} has no flag --{flag}"));
        }
        // Those that stand in these files all have a value.
        let Some(value) = rest.next() else { return Some(format!("--{flag} has no value")) };
        if flag == "roles" && !value.split(',').all(|role| roles.iter().any(|known| known == role)) {
            return Some(format!("no such role: {value}"));
        }
    }
    None
}

/// What is wrong with a variable of the binary's environment.
fn wrong_variable(name: &str) -> Option<String> {
    let defaults: toml::Table =
        read("deploy/modelrail.toml").parse().expect("the shipped configuration parses");
    let key = name.strip_prefix("MODELRAIL_").filter(|_| !OWN_VARIABLES.contains(&name))?;
    let mut at = Some(&toml::Value::Table(defaults)).cloned();
    for part in key.to_lowercase().split("__") {
        at = at.and_then(|value| value.get(part).cloned());
    }
    let is_key = at.is_some_and(|value| !value.is_table());
    (!is_key).then(|| format!("no such key of the configuration: {name}"))
}

fn words(list: &Value) -> Vec<String> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().map(|word| word.as_str().expect("a command is texts").to_owned()).collect()
}

/// The command lines of the binary, each with where it stands. What a unit leaves to its environment is filled in.
fn command_lines() -> Vec<(String, Vec<String>)> {
    let mut lines = vec![];
    for (path, document) in documents() {
        for container in kubernetes::containers(&document) {
            if kubernetes::is_ours(container) {
                lines.push((format!("{path}: {}", container["name"]), words(&container["args"])));
            }
        }
        for (name, service) in document["services"].as_object().into_iter().flatten() {
            if service["image"] == "modelrail" {
                lines.push((format!("{path}: {name}"), words(&service["command"])));
                let test = words(&service["healthcheck"]["test"]);
                if test.get(1).is_some_and(|program| program == "/usr/bin/modelrail") {
                    lines.push((format!("{path}: {name}: healthcheck"), test[2..].to_vec()));
                }
            }
        }
    }
    for path in UNITS {
        let unit = read(path);
        let line = unit
            .lines()
            .find_map(|line| line.strip_prefix("ExecStart=/usr/bin/modelrail "))
            .expect("it starts one");
        let value = |name: &str| {
            let start = format!("Environment={name}=");
            let found = unit.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_default();
            found.trim_matches('"').to_owned()
        };
        let line = line.replace("${ROLES}", &value("ROLES")).replace("$STAGES", &value("STAGES"));
        lines.push((path.to_owned(), line.split_whitespace().map(str::to_owned).collect()));
    }
    let dockerfile = read(DOCKERFILE);
    let exec =
        dockerfile.lines().find_map(|line| line.strip_prefix("CMD ")).expect("the image has a command");
    lines.push((DOCKERFILE.to_owned(), words(&yaml::parse(exec).expect("a list")[0])));
    lines
}

#[test]
fn every_command_line_is_one_of_the_binary() {
    let lines = command_lines();
    let found: Vec<String> =
        lines.iter().filter_map(|(place, line)| Some(format!("{place}: {}", wrong(line)?))).collect();
    assert!(found.is_empty(), "{found:#?}");
    let used = |word: &str| {
        lines.iter().any(|(_, line)| line.iter().flat_map(|it| it.split(',')).any(|it| it == word))
    };
    for role in variants("Role") {
        assert!(used(&role), "nobody is told how the role {role} is run");
    }
    for stage in StageKind::ALL {
        assert!(used(stage.as_str()), "nobody is told how workers of {stage:?} are run");
    }
}

#[test]
fn what_is_no_command_line_is_found() {
    for line in [
        "server",
        "serve --roles engines",
        "serve --role api",
        "worker packages",
        "topics make",
        "serve --roles",
    ] {
        let line: Vec<String> = line.split(' ').map(str::to_owned).collect();
        assert!(wrong(&line).is_some(), "{line:?}");
    }
    for name in
        ["MODELRAIL_KAFKA__BROKER", "MODELRAIL_KAFKA", "MODELRAIL_SERVER__LISTEN__X", "MODELRAIL_CONFIGS"]
    {
        assert!(wrong_variable(name).is_some(), "{name}");
    }
    for name in
        ["MODELRAIL_KAFKA__BROKERS", "MODELRAIL_ENVIRONMENTS__PRODUCTION__SERVERS", "MODELRAIL_CONFIG"]
    {
        assert_eq!(wrong_variable(name), None);
    }
}

#[test]
fn every_variable_is_a_key_of_the_configuration() {
    let mut known = 0;
    let mut found = vec![];
    for path in [files(".yaml"), files(".service"), vec![DOCKERFILE.to_owned()]].concat() {
        let text = read(&path);
        for (at, _) in text.match_indices("MODELRAIL_") {
            let of_name = |letter: &char| letter.is_ascii_uppercase() || *letter == '_';
            let name: String = text[at..].chars().take_while(of_name).collect();
            known += 1;
            found.extend(wrong_variable(&name).map(|wrong| format!("{path}: {wrong}")));
        }
    }
    assert!(known > 30, "found only {known}");
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn images_are_of_the_versions_that_the_repository_pins() {
    let pom = read("deploy/kafka/pom.xml");
    let kafka =
        pom.split("<kafka.version>").nth(1).and_then(|rest| rest.split('<').next()).expect("a version");
    let toolchain = read("rust-toolchain.toml");
    let rust =
        toolchain.split("channel = \"").nth(1).and_then(|rest| rest.split('"').next()).expect("a version");
    let dockerfile = read(DOCKERFILE);
    assert!(dockerfile.contains(&format!("\nARG RUST={rust}\n")), "rust-toolchain.toml says {rust}");
    assert!(
        dockerfile.contains("\nFROM rust:${RUST}-bookworm AS "),
        "the image of the toolchain is not named by it"
    );
    let compose = &yaml::parse(&read(COMPOSE)).expect("it parses")[0];
    let brokers = compose["services"].as_object().expect("services").values();
    let images: BTreeSet<&str> = brokers.filter_map(|service| service["image"].as_str()).collect();
    let of_kafka: Vec<&&str> = images.iter().filter(|image| image.starts_with("apache/kafka")).collect();
    assert_eq!(of_kafka, [&format!("apache/kafka:{kafka}").as_str()]);
    let floating: Vec<_> =
        images.iter().filter(|image| **image != "modelrail" && !image.contains(':')).collect();
    assert!(floating.is_empty(), "without a version: {floating:?}");
    let cargo = read("Cargo.toml");
    let ours =
        cargo.split("\nversion = \"").nth(1).and_then(|rest| rest.split('"').next()).expect("a version");
    let kustomization = &yaml::parse(&read("deploy/kubernetes/kustomization.yaml")).expect("it parses")[0];
    assert_eq!(kustomization["images"][0]["newTag"], ours);
}

#[test]
fn the_image_needs_neither_root_nor_a_shell() {
    let text = read(DOCKERFILE);
    let last = text.rsplit("\nFROM ").next().expect("a stage");
    let user = last.lines().find_map(|line| line.strip_prefix("USER ")).expect("it names its user");
    assert!(user.split(':').all(|id| id.parse::<u32>().is_ok_and(|id| id > 0)), "{user}");
    assert!(!last.lines().any(|line| line.starts_with("RUN ")), "what is run needs a shell");
    assert!(text.contains("cargo build --locked"));
}

#[test]
fn services_of_compose_share_secrets_and_blobs_and_nothing_else() {
    let compose = &yaml::parse(&read(COMPOSE)).expect("it parses")[0];
    let services = compose["services"].as_object().expect("services");
    let declared: BTreeSet<&String> = compose["volumes"].as_object().expect("volumes").keys().collect();
    let mut holders: BTreeMap<String, Vec<&String>> = BTreeMap::new();
    for (name, service) in services {
        for volume in words(&service["volumes"]).iter().filter_map(|volume| volume.split_once(':')) {
            if !volume.0.starts_with('.') {
                assert!(
                    declared.contains(&volume.0.to_owned()),
                    "{name}: the volume {} is not declared",
                    volume.0
                );
                holders.entry(volume.0.to_owned()).or_default().push(name);
            }
        }
        if service["image"] == "modelrail" {
            assert_eq!(service["read_only"], true, "{name}");
            assert!(
                name == "topics"
                    || service["volumes"].as_array().is_some_and(|all| {
                        all.iter()
                            .filter_map(Value::as_str)
                            .any(|volume| volume == "/data" || volume.ends_with(":/data"))
                    }),
                "{name}: nowhere to keep its data"
            );
        }
        for needed in service["depends_on"].as_object().into_iter().flat_map(|on| on.keys()) {
            assert!(services.contains_key(needed), "{name} waits for {needed}, which is not there");
        }
    }
    for (volume, holders) in holders {
        let shared = ["secrets", "blobs", "artifacts"].contains(&volume.as_str());
        assert!(shared || holders.len() == 1, "{volume} is of {holders:?}: two processes on one data folder");
    }
}

#[test]
fn prometheus_asks_processes_that_have_the_role_api() {
    let compose = &yaml::parse(&read(COMPOSE)).expect("it parses")[0];
    let scraped = &yaml::parse(&read("deploy/docker/prometheus.yml")).expect("it parses")[0];
    let targets = words(&scraped["scrape_configs"][0]["static_configs"][0]["targets"]);
    assert!(targets.len() >= 3, "{targets:?}");
    for target in targets {
        let (name, port) = target.split_once(':').expect("a port");
        let service = &compose["services"][name];
        let roles = words(&service["command"]).last().cloned().unwrap_or_default();
        assert!(roles.split(',').any(|role| role == "api"), "{name} is {roles}");
        let listens = service["environment"]["MODELRAIL_SERVER__LISTEN"].as_str().unwrap_or_default();
        assert!(listens.ends_with(&format!(":{port}")), "{name} listens at {listens}");
    }
}

/// What `acls.sh` prints for these roles.
fn rules(roles: &[&str]) -> String {
    let ran = Command::new("sh")
        .arg(root().join("deploy/kafka/acls.sh"))
        .args(roles)
        .output()
        .expect("a shell, which the build scripts need too");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).expect("it prints text")
}

#[test]
fn every_topic_is_in_the_access_list_and_only_engines_write_the_log() {
    const PREFIX: &str = "modelrail.";
    let rules = rules(&[]);
    let of = |topic: &str, operation: &str| -> Vec<&str> {
        let end = format!("--topic {topic} --operation {operation}");
        rules.lines().filter(|line| line.ends_with(&end)).collect()
    };
    let topics: BTreeSet<String> = Topic::all().into_iter().map(|topic| topic.name(PREFIX)).collect();
    for topic in &topics {
        assert!(!of(topic, "Write").is_empty(), "nobody may write {topic}");
        assert!(!of(topic, "Read").is_empty(), "nobody may read {topic}");
    }
    let writers = of(&Topic::Events.name(PREFIX), "Write");
    assert!(
        matches!(writers[..], [one] if one.contains("User:modelrail-engine ")),
        "the log is written by {writers:?}"
    );
    for line in rules.lines() {
        let named = line.split("--topic ").nth(1).and_then(|rest| rest.split(' ').next());
        let is_known =
            named.is_none_or(|name| name == PREFIX || name == MODEL_TRAINED || topics.contains(name));
        assert!(is_known, "no such topic: {line}");
    }
}

#[test]
fn every_group_that_is_joined_is_in_the_access_list() {
    let sources = [
        ("crates/cli/src/node/kafka/running.rs", "engines"),
        ("crates/cli/src/node/kafka/ingress/mod.rs", "ingress"),
        ("crates/log-kafka/src/reader.rs", "reader"),
        ("crates/log-kafka/src/lanes.rs", "lanes"),
        ("crates/log-kafka/src/follower.rs", "follower"),
    ];
    let rules = rules(&[]);
    for (path, group) in sources {
        assert!(
            read(path).contains(&format!("prefix}}{group}\""))
                || read(path).contains(&format!("{{}}{group}\"")),
            "{path} has another group than {group}"
        );
        assert!(rules.contains(&format!("--group modelrail.{group} ")), "{group} is not in the list");
    }
    for stage in StageKind::ALL {
        let stage = stage.as_str();
        let line = format!("User:modelrail-{stage} --group modelrail.{stage} --operation Read");
        assert!(rules.contains(&line), "no rule: {line}");
    }
}

#[test]
fn units_name_what_a_process_of_them_must_have() {
    for path in UNITS {
        let unit = read(path);
        let has = |line: &str| unit.lines().any(|it| it == line);
        for line in
            ["Restart=always", "User=modelrail", "ProtectSystem=strict", "NoNewPrivileges=yes", "Type=exec"]
        {
            assert!(has(line), "{path}: no {line}");
        }
        let seconds = |text: &str| text.trim().parse::<u64>().ok();
        let stop = unit
            .lines()
            .find_map(|line| seconds(line.strip_prefix("TimeoutStopSec=")?))
            .expect("a time to stop");
        assert!(stop > drain_seconds(), "{path}: killed before it has drained");
    }
}

/// How long a process may take to end, by default.
fn drain_seconds() -> u64 {
    let defaults: toml::Table =
        read("deploy/modelrail.toml").parse().expect("the shipped configuration parses");
    defaults["server"]["drain_seconds"].as_integer().expect("a number").unsigned_abs()
}
