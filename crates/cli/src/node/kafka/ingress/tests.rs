//! What becomes of which record, and how writes are heard of. Without brokers.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use domain::name::Subject;
use engine::message;
use engine::request::Said;
use engine::workflows::{Loaded, Workflows};
use log_kafka::{Bell, Error, Publisher, Read, Security, Settings, Write, Written};
use wire::definitions::{parsers, pin_workflow};

use super::counts::Counts;
use super::judge::{judge, to_lane};
use super::letter::{self, Letter, Why};
use super::sending::{BYTES_WAITING_MAX, Hears, REST, Sending, WRITES_WAITING_MAX};

const TYPE: &str = "io.modelrail.model.trained.v1";
const SHA: &str = "7ca15202be5aa259c161f259dbc621c3811a609f72c987702a588b1a08031329";
const PARTITIONS: u32 = 16;

fn workflows() -> Workflows {
    let plain = |name: &str, models: &str, environment: &str, gate: &str| {
        format!(
            "workflow: {name}\ntrigger: {{ models: {models}, target: '{{model}}@{environment}' }}\nstages:\n  - {{ name: \
             p, kind: package }}\n{gate}  - {{ name: r, kind: rollout, with: {{ strategy: blue-green, bake: 1s }} }}\n"
        )
    };
    let gate = "  - { name: board, kind: gate, with: { approvals: [{ role: ml }], expires: 7d } }\n";
    let texts = [
        plain("one", "[fraud, both, twice]", "production", ""),
        plain("lab", "[both]", "lab", ""),
        plain("again", "[twice]", "production", ""),
        plain("board", "[credit]", "production", gate),
    ];
    let loaded = |text: String| {
        let parsed = pin_workflow(&text).unwrap_or_else(|problems| panic!("{problems}"));
        Loaded { name: parsed.name.clone(), file: String::new(), text: text.as_str().into(), parsed }
    };
    Workflows(texts.into_iter().map(loaded).collect())
}

fn data(model: &str, more: &str) -> String {
    format!(
        r#"{{"model":"{model}","version":"2","artifact":{{"uri":"file:m.onnx","sha256":"{SHA}"}}{more}}}"#
    )
}

fn whole(data: &str) -> Vec<u8> {
    format!(r#"{{"specversion":"1.0","type":"{TYPE}","source":"/t","id":"1","data":{data}}}"#).into_bytes()
}

fn record(headers: &[(&str, &str)], value: Option<Vec<u8>>) -> Read {
    Read {
        topic: "model-trained".into(),
        partition: 3,
        offset: 41,
        key: None,
        value,
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
            .collect(),
        timestamp_ms: None,
    }
}

const STRUCTURED: &[(&str, &str)] = &[("content-type", "application/cloudevents+json; charset=UTF-8")];
const BINARY: &[(&str, &str)] =
    &[("ce_specversion", "1.0"), ("ce_type", TYPE), ("ce_source", "/t"), ("ce_id", "1")];

/// The targets of its triggers, or why it is a dead letter.
fn becomes(read: &Read) -> String {
    match judge(read, &workflows(), |owner| owner) {
        Ok(triggers) => {
            let targets: Vec<String> = triggers.iter().map(|trigger| trigger.target.to_string()).collect();
            targets.join(" ")
        }
        Err(problems) => {
            let why = Why::of(&problems);
            format!("{} {}", why.code, problems.0[0].field)
        }
    }
}

#[test]
fn each_record_becomes_triggers_or_a_dead_letter() {
    let with = |more: &[(&'static str, &'static str)]| [BINARY, more].concat();
    let protobuf = with(&[("content-type", "application/protobuf")]);
    // A message by hand: model, version, and the artifact with its URI and digest.
    let mut message = b"\x0a\x05fraud\x12\x012\x1a\x2f\x0a\x0bfile:m.onnx\x12\x20".to_vec();
    message.extend(hex::decode(SHA).unwrap());
    let cases: Vec<(&str, Read, &str)> = vec![
        ("binary", record(BINARY, Some(data("fraud", "").into())), "fraud@production"),
        ("structured", record(STRUCTURED, Some(whole(&data("fraud", "")))), "fraud@production"),
        ("protobuf", record(&protobuf, Some(message.clone())), "fraud@production"),
        ("two targets", record(BINARY, Some(data("both", "").into())), "both@lab both@production"),
        (
            "two workflows for one target",
            record(BINARY, Some(data("twice", "").into())),
            "AMBIGUOUS_WORKFLOW model",
        ),
        ("no workflow", record(BINARY, Some(data("frod", "").into())), "NO_WORKFLOW model"),
        (
            "names its workflow and target",
            record(BINARY, Some(data("any", r#","workflow":"one","target":"any@eu""#).into())),
            "any@eu",
        ),
        (
            "another type",
            record(
                &[&BINARY[..1], &[("ce_type", "x"), ("ce_source", "/t"), ("ce_id", "1")]].concat(),
                Some(data("fraud", "").into()),
            ),
            "UNKNOWN_TYPE type",
        ),
        ("no id", record(&BINARY[..3], Some(data("fraud", "").into())), "MISSING ce-id"),
        ("garbage", record(&[], Some(vec![0xff, 0, 7])), "MISSING ce-specversion"),
        ("garbage as JSON", record(BINARY, Some(vec![0xff, 0, 7])), "MALFORMED "),
        ("garbage as structured", record(STRUCTURED, Some(b"{".to_vec())), "MALFORMED "),
        ("garbage as protobuf", record(&protobuf, Some(vec![0xff])), "MALFORMED "),
        ("nothing", record(BINARY, Some(vec![])), "MALFORMED "),
        ("a tombstone", record(BINARY, None), "MISSING "),
        (
            "a batch",
            record(
                &[("content-type", "application/cloudevents-batch+json")],
                Some([b"[".as_slice(), &whole(&data("fraud", "")), b"]"].concat()),
            ),
            "NOT_AVAILABLE content-type",
        ),
        (
            "too large",
            record(BINARY, Some(format!("{}{}", data("fraud", ""), " ".repeat(256 * 1024)).into())),
            "TOO_LARGE ",
        ),
        (
            "an unknown content type",
            record(&with(&[("content-type", "text/xml")]), Some(b"<a/>".to_vec())),
            "NOT_AVAILABLE content-type",
        ),
        ("two ids", record(&with(&[("ce_id", "2")]), Some(data("fraud", "").into())), "DUPLICATE ce-id"),
        ("a gate, and nobody answers", record(BINARY, Some(data("credit", "").into())), "MISSING owner"),
        (
            "a gate, and somebody answers",
            record(BINARY, Some(data("credit", r#","owner":"mo""#).into())),
            "credit@production",
        ),
    ];
    for (name, read, expected) in &cases {
        assert_eq!(becomes(read), *expected, "{name}");
    }
}

#[test]
fn a_header_that_is_no_text_is_not_read_and_is_kept() {
    let mut read = record(STRUCTURED, Some(whole(&data("fraud", ""))));
    read.headers.push(("ce_id".into(), vec![0xff]));
    read.headers.push(("trace".into(), vec![0xfe]));
    assert_eq!(becomes(&read), "fraud@production");
    read.value = Some(b"{".to_vec());
    let why = Why::of(&judge(&read, &workflows(), |owner| owner).unwrap_err());
    let buried = letter::bury("modelrail.", &read, &why);
    assert_eq!(buried.headers[..3], read.headers[..]);
}

#[test]
fn what_is_known_of_people_stands_in_the_trigger_and_nothing_that_is_only_claimed() {
    let read = record(
        &[BINARY, &[("client.id", "mo"), ("ce_publisher", "mo")]].concat(),
        Some(data("credit", r#","owner":"mo""#).into()),
    );
    let subject = Subject::parse("user-7").unwrap();
    let triggers = judge(&read, &workflows(), |owner| {
        assert_eq!(owner.as_str(), "mo");
        subject.clone()
    });
    let trained = &triggers.unwrap()[0].trained;
    assert_eq!((&trained.owner, &trained.publisher), (&Some(subject), &None));
}

/// So a crash between the writes and the commit says nothing new.
#[test]
fn the_same_record_becomes_the_same_bytes_under_the_same_id() {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let read = record(&[BINARY, &[("traceparent", trace)]].concat(), Some(data("both", "").into()));
    let writes = || -> Vec<Write> {
        let triggers = judge(&read, &workflows(), |owner| owner).unwrap();
        triggers.into_iter().map(|trigger| to_lane("modelrail.", PARTITIONS, trigger)).collect()
    };
    let first = writes();
    assert_eq!(first, writes());
    assert_eq!(first.len(), 2);
    for write in first {
        let said = message::decode_said(write.value.as_ref().unwrap(), &parsers()).unwrap();
        let Said::Trigger(trigger) = said else { panic!("a trigger") };
        let header = |name: &str| {
            let found = write.headers.iter().find(|(key, _)| key == name);
            String::from_utf8(found.unwrap().1.clone()).unwrap()
        };
        assert_eq!(header("ce_id"), trigger.run().to_string());
        assert_eq!(header("traceparent"), trace);
        assert_eq!(write.topic, "modelrail.triggers");
        assert_eq!(write.key, trigger.target.to_string().into_bytes());
        let place = engine::placement::partition_of(&trigger.target, PARTITIONS);
        assert_eq!(write.partition, Some(place));
    }
}

/// Writes that were sent, with whom to tell.
type Sent = Arc<Mutex<Vec<(Write, Hears)>>>;

fn sending() -> (Sending, Sent, Arc<Counts>) {
    let (sent, counts) = (Sent::default(), Arc::<Counts>::default());
    let publish = {
        let sent = Arc::clone(&sent);
        Box::new(move |write: &Write, hears| {
            sent.lock().unwrap().push((write.clone(), hears));
            Ok(())
        })
    };
    let mut sending = Sending::new(publish, "modelrail.", Bell::default(), Arc::clone(&counts));
    sending.assigned(place());
    (sending, sent, counts)
}

fn place() -> (String, u32) {
    ("model-trained".to_owned(), 3)
}

fn write(bytes: usize) -> Write {
    Write { topic: "modelrail.triggers".into(), value: Some(vec![0; bytes]), ..Write::default() }
}

const LANDED: Result<Written, Error> = Ok(Written { partition: 0, offset: 0 });

#[test]
fn a_record_is_committed_when_the_last_of_its_writes_is_acknowledged() {
    let (mut sending, sent, _) = sending();
    assert!(sending.take(place(), 41, vec![write(1), write(1)]));
    assert!(sending.take(place(), 42, vec![write(1)]));
    let mut hears: Vec<Hears> = sent.lock().unwrap().drain(..).map(|(_, hears)| hears).collect();
    for (left, committed) in [(2, vec![]), (1, vec![]), (0, vec![(place(), 43)])] {
        // The last one first.
        let hear = hears.pop().unwrap();
        hear(LANDED);
        assert!(sending.hear(Instant::now()));
        assert_eq!((hears.len(), sending.commits()), (left, committed));
    }
}

#[test]
fn a_write_that_failed_is_sent_again_after_a_rest_and_blocks_its_offset() {
    let (mut sending, sent, counts) = sending();
    let take = || sent.lock().unwrap().pop().unwrap();
    sending.take(place(), 41, vec![write(7)]);
    take().1(Err(Error::Full));
    let now = Instant::now();
    sending.hear(now);
    assert!(sent.lock().unwrap().is_empty(), "it rests");
    assert!(counts.trouble().is_some());
    sending.hear(now + 2 * REST);
    let (again, hears) = take();
    assert_eq!((again, sending.commits()), (write(7), vec![]));
    hears(LANDED);
    sending.hear(now + 2 * REST);
    assert_eq!((sending.commits(), counts.trouble()), (vec![(place(), 42)], None));
}

#[test]
fn what_was_taken_of_a_partition_that_went_is_not_sent_again() {
    let (mut sending, sent, _) = sending();
    sending.take(place(), 41, vec![write(1)]);
    let (_, hears) = sent.lock().unwrap().pop().unwrap();
    sending.revoked(&place());
    hears(Err(Error::Full));
    let now = Instant::now();
    sending.hear(now);
    sending.hear(now + 2 * REST);
    assert!(sent.lock().unwrap().is_empty());
    assert_eq!((sending.waiting(), sending.commits()), (0, vec![]));
    assert!(!sending.take(place(), 42, vec![write(1)]), "and nothing more is taken of it");
}

#[test]
fn too_much_that_waits_is_full_until_half_of_it_is_done() {
    for (bytes, writes) in [(0, WRITES_WAITING_MAX), (BYTES_WAITING_MAX / 8, 8)] {
        let (mut sending, sent, _) = sending();
        for offset in 0..writes as u64 {
            assert!(!sending.is_full(false), "{offset}");
            sending.take(place(), offset, vec![write(bytes)]);
        }
        assert!(sending.is_full(false));
        let mut was_full = true;
        let mut done = 0;
        while was_full {
            let (_, hears) = sent.lock().unwrap().pop().unwrap();
            hears(LANDED);
            sending.hear(Instant::now());
            done += 1;
            was_full = sending.is_full(was_full);
        }
        assert_eq!(done, writes / 2 + 1);
    }
}

#[test]
fn a_letter_that_is_too_large_is_kept_without_its_value() {
    // What the client library says of a record beyond its bound, before it asks any broker.
    let settings = Settings {
        brokers: "127.0.0.1:9".into(),
        client_id: "test".into(),
        prefix: "test.".into(),
        security: Security::default(),
    };
    let publisher = Publisher::open(&settings).unwrap();
    let client = || publisher.publish(&write(5 << 20), |_| {}).expect_err("it is too large");
    let (mut sending, sent, _) = sending();
    let read = record(STRUCTURED, Some(vec![b'{'; 9]));
    let buried = letter::bury("modelrail.", &read, &Why::new("MALFORMED", "expected JSON"));
    sending.take(place(), 41, vec![buried, write(9)]);
    let (trigger, letter) = {
        let mut sent = sent.lock().unwrap();
        (sent.pop().unwrap(), sent.pop().unwrap())
    };
    letter.1(Err(client()));
    trigger.1(Err(client()));
    let now = Instant::now();
    sending.hear(now);
    sending.hear(now + 2 * REST);
    let (again, kept) = {
        let mut sent = sent.lock().unwrap();
        (sent.pop().unwrap().0, sent.pop().unwrap().0)
    };
    assert_eq!(again, write(9), "a trigger is never cut: its topic is to be mended");
    let read = Read { value: kept.value, headers: kept.headers, ..read };
    let letter = Letter::open(read);
    assert_eq!((letter.value, letter.left_out_bytes, letter.why.code.as_str()), (None, Some(9), "MALFORMED"));
}
