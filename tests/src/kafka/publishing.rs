//! Events as training services publish them (docs/publishing.md), from the topic into the lanes and on: the official
//! Python packages, Rust, the command line and HTTP; repeats; crashes; records that cannot be used.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use domain::name::{RunId, TargetId};
use log_kafka::{Begin, Bell, Followed, Follower, Publisher, Read, Topic, Write};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::Value;
use wire::record::Lane;

use super::cluster::shared;
use super::fleet::{Fleet, PARTITIONS, PATIENCE};
use super::python::{example, python};
use super::vandal::Vandal;
use crate::process::asking::http;
use crate::process::place::{Place, event};

const REPEATS: usize = 1_000;
const OWNS: &str = "owns a partition";
const STRUCTURED: &str = "application/cloudevents+json";

/// A fleet, and the topic that its ingress reads.
struct Published {
    fleet: Fleet,
    topic: String,
}

impl Published {
    fn over_one_partition() -> Self {
        Self::over(1)
    }

    /// With no partitions the topic is not there yet.
    fn over(partitions: u32) -> Self {
        let mut fleet = Fleet::over(shared());
        let topic = format!("{}trained", fleet.settings.prefix);
        if partitions > 0 {
            Vandal::at(shared().brokers()).create(&topic, partitions, &[]);
        }
        fleet.place.set("MODELRAIL_KAFKA__MODEL_TRAINED", topic.clone());
        // Where no API makes them.
        let secrets = fleet.folder("secrets");
        std::fs::create_dir_all(&secrets).unwrap();
        api::auth::Users::open(&secrets).unwrap().create_admin_if_absent().unwrap();
        Self { fleet, topic }
    }

    /// Writes a record to the topic as it is.
    fn write(&self, headers: &[(&str, &str)], value: Option<&[u8]>) {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
        let write = Write {
            topic: self.topic.clone(),
            partition: None,
            key: b"key".to_vec(),
            value: value.map(<[u8]>::to_vec),
            headers: headers.collect(),
        };
        Publisher::open(&self.fleet.settings).unwrap().publish_and_wait(&write).unwrap();
    }

    /// A file with the event, and the run that it leads to.
    fn file(&self, model: &str, id: &str) -> (PathBuf, String) {
        let event = event("v1", model, id);
        let path = self.fleet.place.root().join(format!("{id}.json"));
        std::fs::write(&path, event.to_string()).unwrap();
        (path, run_of(&event, &format!("{model}@production")))
    }

    /// What stands in the lane of triggers.
    fn triggers(&self) -> Vec<Read> {
        records(&self.fleet, &Topic::Lane(Lane::Triggers).name(&self.fleet.settings.prefix))
    }

    /// Waits until the triggers' ids are these.
    fn until_triggers(&self, runs: &BTreeSet<String>) -> Vec<Read> {
        let mut triggers = vec![];
        self.until("the triggers", || {
            triggers = self.triggers();
            ids(&triggers) == *runs
        });
        triggers
    }

    fn until(&self, what: &str, mut is: impl FnMut() -> bool) {
        let began = Instant::now();
        while !is() {
            assert!(began.elapsed() < PATIENCE, "{what} did not come:\n{}", self.fleet.place.errors());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn letters(&self) -> Vec<Value> {
        let said = self.fleet.place.run(&["dead-letters", "list", "--output", "json"]);
        assert_eq!(said.code, Some(0), "{said:?}");
        said.json().as_array().unwrap().clone()
    }
}

fn run_of(event: &Value, target: &str) -> String {
    let text = |name: &str| event[name].as_str().unwrap();
    RunId::derive(text("source"), text("id"), &TargetId::parse(target).unwrap()).to_string()
}

/// All records that a topic has now.
fn records(fleet: &Fleet, topic: &str) -> Vec<Read> {
    let follower =
        Follower::open(&fleet.settings, topic, &Begin::Beginning, &Bell::default(), PATIENCE).unwrap();
    let began = Instant::now();
    let mut all = vec![];
    loop {
        match follower.next(Duration::from_millis(100)).unwrap() {
            Some(Followed::Record(read)) => all.push(*read),
            Some(Followed::End) => return all,
            None => assert!(began.elapsed() < PATIENCE, "{topic} does not end"),
        }
    }
}

fn ids(triggers: &[Read]) -> BTreeSet<String> {
    triggers.iter().map(|read| read.header("ce_id").unwrap().to_owned()).collect()
}

/// Runs a program to its good end, and gives what it said.
fn said(program: &mut Command) -> String {
    let output = program.output().unwrap_or_else(|error| panic!("{program:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{program:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Each way of `docs/publishing.md`.
#[test]
fn every_publisher_starts_runs_and_repeats_start_none() {
    let mut published = Published::over_one_partition();
    published.fleet.start("one");
    published.fleet.hears("one", OWNS, PARTITIONS as usize);
    let client = published.fleet.client();
    published.fleet.start_as("ingress", "ingress");
    let (brokers, topic) = (published.fleet.settings.brokers.clone(), published.topic.clone());
    let python = python("publish");
    let mut expected = BTreeSet::new();
    let by_python = |mode: &str, times: usize, file: &Path| {
        let Some(python) = &python else { return };
        let times = times.to_string();
        let mut program = Command::new(python);
        program.arg(example("publish").join("publish.py")).args(["--brokers", &brokers, "--topic", &topic]);
        said(program.args(["--mode", mode, "--times", &times]).arg(file));
    };
    let binary = published.file("flights-b", "python-binary");
    let structured = published.file("flights-s", "python-structured");
    if python.is_some() {
        by_python("binary", 1, &binary.0);
        by_python("structured", 1, &structured.0);
        expected.extend([binary.1.clone(), structured.1.clone()]);
    }
    let rust = published.file("flights-r", "rust");
    let ours = std::env::current_exe().unwrap();
    let ours = ours.parent().and_then(Path::parent).unwrap().join("examples/publish");
    said(Command::new(ours).args([&brokers, &topic]).arg(&rust.0));
    let typed = published.file("flights-t", "typed");
    let landed =
        published.fleet.place.run(&["publish", "--kafka", "--output", "json", typed.0.to_str().unwrap()]);
    assert_eq!(landed.code, Some(0), "{landed:?}");
    let landed = landed.json();
    assert_eq!((&landed[0]["event"], &landed[0]["topic"]), (&"typed".into(), &topic.as_str().into()));
    expected.extend([rust.1.clone(), typed.1]);
    // By HTTP the lane is the same.
    let http = published.file("flights-h", "http");
    let token = published.fleet.folder("secrets").join(api::auth::ADMIN_TOKEN_FILE);
    let answer = said(
        Command::new("sh")
            .arg(example("publish").join("publish.sh"))
            .arg(client.address())
            .arg(token)
            .arg(&http.0),
    );
    assert!(answer.contains(&http.1), "{answer}");
    expected.insert(http.1);

    let runs = || client.runs().into_iter().map(|run| run.run).collect::<BTreeSet<_>>();
    published.until("the runs", || runs() == expected);
    // Again and again, in both modes, and by the other way. The last one is new, and comes after all of them.
    let again = if python.is_some() { &binary } else { &rust };
    by_python("binary", REPEATS, &again.0);
    by_python("structured", 1, &again.0);
    if python.is_none() {
        let value = std::fs::read(&again.0).unwrap();
        (0..REPEATS).for_each(|_| published.write(&[("content-type", STRUCTURED)], Some(&value)));
    }
    said(
        Command::new("sh")
            .arg(example("publish").join("publish.sh"))
            .arg(client.address())
            .arg(published.fleet.folder("secrets").join(api::auth::ADMIN_TOKEN_FILE))
            .arg(&again.0),
    );
    let model = if python.is_some() { "flights-b" } else { "flights-r" };
    let last = published.file(model, "last");
    published.write(&[("content-type", STRUCTURED)], Some(&std::fs::read(&last.0).unwrap()));
    expected.insert(last.1.clone());
    published.until("the last run", || runs().contains(&last.1));
    assert_eq!(runs(), expected, "a repeat started a run");
    let triggers = published.until_triggers(&expected);
    let repeated = triggers.iter().filter(|read| read.header("ce_id") == Some(&again.1)).count();
    assert!(repeated > REPEATS, "{repeated} triggers of the event that was repeated");
    assert!(published.letters().is_empty());
    // The same event that says something else starts nothing, and the engine tells whoever looks after it.
    let mut other = event("v1", model, "last");
    other["data"]["owner"] = "somebody-else".into();
    published.write(&[("content-type", STRUCTURED)], Some(other.to_string().as_bytes()));
    published.fleet.hears("one", "CONFLICT", 1);
    assert_eq!(runs(), expected);
}

/// What a crash between the writes and the commit leaves is written again, and says the same.
#[test]
fn what_was_written_and_not_committed_is_written_again_under_the_same_id() {
    let mut published = Published::over_one_partition();
    let mut expected = BTreeSet::new();
    for number in 0..20 {
        let (file, run) = published.file(&format!("flights-{number}"), &format!("event-{number}"));
        published.write(&[("content-type", STRUCTURED)], Some(&std::fs::read(file).unwrap()));
        expected.insert(run);
    }
    published.fleet.start_as("ingress", "ingress");
    let first = published.until_triggers(&expected);
    published.fleet.stop("ingress");
    // As if it had died with nothing committed.
    let group = format!("{}ingress", published.fleet.settings.prefix);
    let (brokers, topic) = (&published.fleet.settings.brokers, &published.topic);
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", &group);
    let consumer: BaseConsumer = config.create().unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(topic, 0, Offset::Offset(0)).unwrap();
    let kept = || {
        let mut asked = TopicPartitionList::new();
        asked.add_partition(topic, 0);
        let kept = consumer.committed_offsets(asked, PATIENCE).unwrap();
        kept.find_partition(topic, 0).unwrap().offset()
    };
    assert_eq!(kept(), Offset::Offset(20), "all was committed at the end");
    consumer.commit(&offsets, CommitMode::Sync).unwrap();
    published.fleet.start_as("ingress", "ingress");
    let mut again = vec![];
    published.until("all of it a second time", || {
        again = published.triggers();
        again.len() == 2 * first.len()
    });
    let mut said = BTreeMap::new();
    for read in &again {
        let id = read.header("ce_id").unwrap().to_owned();
        let before = said.entry(id).or_insert_with(|| (read.partition, read.key.clone(), read.value.clone()));
        assert_eq!(*before, (read.partition, read.key.clone(), read.value.clone()));
    }
    assert_eq!(said.into_keys().collect::<BTreeSet<_>>(), expected);
}

/// The topic is its owner's: it may come after us.
#[test]
fn a_topic_that_is_made_later_is_read() {
    let mut published = Published::over(0);
    published.fleet.start_as("ingress", "ingress");
    published.fleet.address("ingress");
    Vandal::at(shared().brokers()).create(&published.topic, 2, &[]);
    let (file, run) = published.file("flights-late", "late");
    published.write(&[("content-type", STRUCTURED)], Some(&std::fs::read(file).unwrap()));
    published.until_triggers(&BTreeSet::from([run]));
}

/// Said, and taken by nobody: where to read the lanes from is said by the log, not by who comes.
#[test]
fn what_was_said_while_nobody_decided_is_decided_by_whoever_comes() {
    let mut published = Published::over_one_partition();
    published.fleet.start("one");
    published.fleet.hears("one", OWNS, PARTITIONS as usize);
    published.fleet.kill("one");
    published.fleet.start_as("ingress", "ingress");
    let runs: BTreeSet<String> = (0..10)
        .map(|number| {
            let model = format!("flights-{number}");
            let event = event("v1", &model, &format!("event-{number}"));
            published.write(&[("content-type", STRUCTURED)], Some(event.to_string().as_bytes()));
            run_of(&event, &format!("{model}@production"))
        })
        .collect();
    published.until_triggers(&runs);
    let client = published.fleet.client();
    published.fleet.start("two");
    published.until("a run of each", || runs.iter().all(|run| client.find(run).is_some()));
}

/// Two of them, one killed in the middle: every event is said at least once.
#[test]
fn nothing_is_lost_when_one_of_two_is_killed() {
    let mut published = Published::over(4);
    let mut expected = BTreeSet::new();
    published.fleet.start_as("ingress", "first");
    published.fleet.start_as("ingress", "second");
    let publisher = Publisher::open(&published.fleet.settings).unwrap();
    for number in 0..1_000 {
        let (file, run) = published.file(&format!("flights-{number}"), &format!("event-{number}"));
        expected.insert(run);
        let write = Write {
            topic: published.topic.clone(),
            partition: Some(number % 4),
            value: Some(std::fs::read(file).unwrap()),
            headers: vec![("content-type".to_owned(), STRUCTURED.as_bytes().to_vec())],
            ..Write::default()
        };
        publisher.publish_and_wait(&write).unwrap();
        if number == 400 {
            published.until("something", || !published.triggers().is_empty());
            published.fleet.kill("first");
        }
        if number == 600 {
            published.fleet.start_as("ingress", "third");
        }
    }
    published.until_triggers(&expected);
}

#[test]
fn of_two_of_one_name_the_first_ends_and_says_why() {
    let mut published = Published::over_one_partition();
    published.fleet.place.set("MODELRAIL_KAFKA__INSTANCE", "one".into());
    published.fleet.start_as("ingress", "first");
    published.fleet.hears("first", "events are given to this ingress", 1);
    published.fleet.start_as("ingress", "second");
    published.fleet.hears("first", "error[ENGINE_STOPPED]", 1);
    assert!(published.fleet.said("first").contains("kafka.instance"), "{}", published.fleet.said("first"));
    published.fleet.hears("second", "events are given to this ingress", 1);
}

#[test]
fn what_cannot_be_used_is_kept_and_sent_again_once_it_is_mended() {
    let mut published = Published::over_one_partition();
    published.fleet.start_as("api,ingress", "ingress");
    let address = published.fleet.address("ingress");
    let mut unmatched = event("v1", "unheard", "unmatched");
    unmatched["data"].as_object_mut().unwrap().remove("workflow");
    let unmatched_text = unmatched.to_string();
    published.write(&[("content-type", STRUCTURED), ("own", "header")], Some(unmatched_text.as_bytes()));
    published.write(&[("own", "other")], Some(&[0xff, 0x7b]));
    published.write(&[], None);
    let good = published.file("flights-g", "good");
    published.write(&[("content-type", STRUCTURED)], Some(&std::fs::read(&good.0).unwrap()));
    published.until("the letters", || published.letters().len() == 3);
    published.until_triggers(&BTreeSet::from([good.1.clone()]));
    let metrics = http().get(format!("{address}/metrics")).send().unwrap().text().unwrap();
    for count in [
        "modelrail_ingress_records_total 4",
        "modelrail_ingress_triggers_total 1",
        "modelrail_dead_letters_total{code=\"MISSING\"} 2",
        "modelrail_dead_letters_total{code=\"NO_WORKFLOW\"} 1",
    ] {
        assert!(metrics.contains(&format!("{count}\n")), "{count} in {metrics}");
    }
    let letters = published.letters();
    let field = |letter: &Value, name: &str| letter[name].as_str().unwrap_or_default().to_owned();
    let codes: Vec<String> = letters.iter().map(|letter| field(letter, "code")).collect();
    assert_eq!(codes, ["MISSING", "MISSING", "NO_WORKFLOW"], "newest first: {letters:?}");
    assert_eq!((&letters[2]["topic"], &letters[2]["offset"]), (&published.topic.as_str().into(), &0.into()));
    let newest = published.fleet.place.run(&["dead-letters", "list", "--limit", "1", "--output", "json"]);
    assert_eq!(newest.json().as_array().unwrap()[..], letters[..1]);

    // As it was.
    let place = published.fleet.place.clone();
    let run = |arguments: &[&str]| place.run(&[&["dead-letters"], arguments].concat());
    let name = field(&letters[2], "letter");
    let shown = run(&["show", &name, "--output", "json"]).json();
    assert_eq!(shown["value"], unmatched_text.as_str());
    assert_eq!(shown["headers"], serde_json::json!([["content-type", STRUCTURED], ["own", "header"]]));
    let garbage = run(&["show", &field(&letters[1], "letter"), "--output", "json"]).json();
    assert_eq!((&garbage["value"], &garbage["value_hex"]), (&Value::Null, &"ff7b".into()));
    for wrong in ["99", "7:0"] {
        let unknown = run(&["show", wrong]);
        assert!(unknown.code == Some(1) && unknown.errors.contains("UNKNOWN_LETTER"), "{unknown:?}");
    }

    // Mended, and sent again.
    published.fleet.stop("ingress");
    let workflow = "workflow: late\ntrigger: { models: [unheard], target: '{model}@production' }\nstages:\n  - { name: p, \
                    kind: package }\n  - { name: r, kind: rollout, with: { strategy: blue-green, bake: 1s } }\n";
    std::fs::write(published.fleet.place.root().join("workflows/late.yaml"), workflow).unwrap();
    let sent = run(&["resend", &name, "--output", "json"]);
    assert_eq!((sent.code, &sent.json()[0]["offset"]), (Some(0), &4.into()), "{sent:?}");
    published.fleet.start_as("ingress", "ingress");
    let expected = BTreeSet::from([good.1, run_of(&unmatched, "unheard@production")]);
    published.until_triggers(&expected);
    let all = records(&published.fleet, &published.topic);
    let same = |one: &Read| (one.partition, one.key.clone(), one.value.clone(), one.headers.clone());
    assert_eq!(same(&all[4]), same(&all[0]));
    assert_eq!(published.letters().len(), 3, "a letter stays");

    // All: what is still wrong dies again, once.
    let sent = run(&["resend", "--all", "--output", "json"]);
    assert_eq!((sent.code, sent.json().as_array().unwrap().len()), (Some(0), 3), "{sent:?}");
    published.until("the letters that died again", || published.letters().len() == 5);
    published.until_triggers(&expected);
    let dropped = run(&["drop", &field(&letters[0], "letter")]);
    assert_eq!(dropped.code, Some(0), "{dropped:?}");
    let left: Vec<String> = published.letters().iter().map(|letter| field(letter, "code")).collect();
    assert_eq!(left, ["MISSING", "MISSING"]);
}

#[test]
fn without_brokers_dead_letters_and_topics_are_named_as_missing() {
    let place = Place::new();
    for arguments in [
        ["dead-letters", "list"].as_slice(),
        &["dead-letters", "resend", "--all"],
        &["publish", "--kafka", "event.json"],
    ] {
        let said = place.run(arguments);
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(said.errors.contains("error[NO_BROKERS]") && said.errors.contains("hint:"), "{said:?}");
    }
}
