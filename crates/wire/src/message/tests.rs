use std::collections::BTreeSet;
use std::fmt::Debug;
use std::mem::{Discriminant, discriminant};
use std::path::Path;
use std::sync::Arc;

use domain::check;
use domain::definition::DEFINITION_BYTES_MAX;
use domain::name::{Digest, StreamId};
use domain::work::{Command, Order, Outcome};
use domain::workflow::With;
use proptest::prelude::*;

use super::said::{Observation, Request, RunAsk, TargetAsk, WorkerAnswer};
use super::*;
use crate::codec::Variants;
use crate::codec::samples::{self, BOTH, Sample, parsers};

type Decode = fn(&[u8]) -> Option<Vec<u8>>;

/// Each kind of message: decodes bytes, and gives what it read as bytes again.
const DECODE: [(&str, Decode); 9] = [
    ("said", |bytes| decode_said(bytes, &parsers()).ok().map(|read| encode_said(&read))),
    ("order", |bytes| decode_order(bytes, &parsers()).ok().map(|read| encode_order(&read))),
    ("heartbeat", |bytes| decode_heartbeat(bytes).ok().map(|read| encode_heartbeat(&read))),
    ("answer", |bytes| decode_answer(bytes).ok().map(|read| encode_answer(&read))),
    ("cancel", |bytes| decode_cancel(bytes).ok().map(|read| encode_cancel(&read))),
    ("prediction", |bytes| decode_prediction(bytes).ok().map(|read| encode_prediction(&read))),
    ("label", |bytes| decode_label(bytes).ok().map(|read| encode_label(&read))),
    ("table", |bytes| decode_table(bytes).ok().map(|read| encode_table(&read))),
    ("gateway", |bytes| decode_gateway_report(bytes).ok().map(|read| encode_gateway_report(&read))),
];

/// Every sample as bytes, with the name of its kind.
fn encoded() -> Vec<(&'static str, Vec<u8>)> {
    let mut all = vec![];
    for sample in BOTH {
        all.extend(sample.said().iter().map(|said| ("said", encode_said(said))));
        all.extend(sample.work_orders().iter().map(|order| ("order", encode_order(order))));
        all.push(("heartbeat", encode_heartbeat(&sample.heartbeat())));
        all.extend(sample.unrecorded().iter().map(|answer| ("answer", encode_answer(answer))));
        all.push(("cancel", encode_cancel(&sample.attempt())));
        all.push(("prediction", encode_prediction(&sample.prediction())));
        all.push(("label", encode_label(&sample.label())));
        let tables = Sample::stickies().into_iter().map(|sticky| sample.table(sticky));
        all.extend(tables.map(|table| ("table", encode_table(&table))));
        all.push(("gateway", encode_gateway_report(&sample.gateway_report())));
    }
    all
}

fn again(kind: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    let (_, decode) = DECODE.iter().find(|(name, _)| *name == kind).unwrap();
    decode(bytes)
}

/// Values by value, and by their bytes, which tell floats to the last bit.
fn check<T: PartialEq + Debug>(
    values: Vec<T>,
    encode: fn(&T) -> Vec<u8>,
    decode: impl Fn(&[u8]) -> Result<T, Error>,
) {
    for value in values {
        let bytes = encode(&value);
        let back = decode(&bytes).unwrap_or_else(|error| panic!("{error}: {value:?}"));
        assert_eq!(back, value);
        assert_eq!(encode(&back), bytes, "{value:?}");
    }
}

#[test]
fn every_message_comes_back_as_it_was() {
    for sample in BOTH {
        check(sample.said(), encode_said, |bytes| decode_said(bytes, &parsers()));
        check(sample.work_orders(), encode_order, |bytes| decode_order(bytes, &parsers()));
        check(vec![sample.heartbeat()], encode_heartbeat, decode_heartbeat);
        check(vec![sample.attempt()], encode_cancel, decode_cancel);
        check(vec![sample.prediction()], encode_prediction, decode_prediction);
        check(vec![sample.label()], encode_label, decode_label);
        let tables: Vec<RouteTable> =
            Sample::stickies().into_iter().map(|sticky| sample.table(sticky)).collect();
        check(tables, encode_table, decode_table);
        check(vec![sample.gateway_report()], encode_gateway_report, decode_gateway_report);
    }
    let definitions = AttemptId { owner: StreamId::Definitions, number: u32::MAX };
    check(vec![definitions], encode_cancel, decode_cancel);
}

fn variants<T>(values: &[T]) -> usize {
    let found: Vec<Discriminant<T>> = values.iter().map(discriminant).collect();
    found.iter().enumerate().filter(|(at, one)| !found[..*at].contains(one)).count()
}

#[test]
fn there_is_a_sample_of_every_variant() {
    for sample in BOTH {
        assert_eq!(variants(&sample.said()), Said::NAMES.len());
        assert_eq!(variants(&sample.requests()), Request::NAMES.len());
        assert_eq!(variants(&sample.run_asks()), RunAsk::NAMES.len());
        assert_eq!(variants(&sample.target_asks()), TargetAsk::NAMES.len());
        assert_eq!(variants(&sample.answers()), WorkerAnswer::NAMES.len());
        assert_eq!(variants(&sample.outcomes()), Outcome::NAMES.len());
        assert_eq!(variants(&sample.observations()), Observation::NAMES.len());
        assert_eq!(variants(&sample.orders()), Order::NAMES.len());
        assert_eq!(variants(&sample.check_kinds()), check::Kind::NAMES.len());
    }
}

/// What workflows of the repository say comes to a worker as it was parsed.
#[test]
fn what_the_shipped_workflows_say_comes_back_as_it_was() {
    let parsers = crate::definitions::parsers();
    let (mut seen, full) = (BTreeSet::new(), BOTH[0]);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../workflows");
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let (workflow, _) = crate::workflow::parse(&text).unwrap();
        for stage in &workflow.stages {
            let mut order = full.orders().into_iter();
            let mut order = |name| order.find(|order| order.as_str() == name).unwrap();
            let order = match &stage.with {
                With::Package(with) => {
                    let Order::Package(package) = order("package") else { panic!() };
                    Order::Package(domain::work::Package { with: with.clone(), ..package })
                }
                With::StageTest(with) => {
                    let Order::Test(test) = order("test") else { panic!() };
                    Order::Test(domain::work::Test { checks: with.checks.clone(), ..test })
                }
                With::Gate(with) => {
                    let Order::Notify(notify) = order("notify") else { panic!() };
                    Order::Notify(domain::work::Notify { with: with.clone(), ..notify })
                }
                With::Rollout(with) => {
                    let Order::Plan(plan) = order("plan") else { panic!() };
                    Order::Plan(domain::work::Plan { with: with.clone(), ..plan })
                }
                With::Monitor(with) => {
                    let Order::Watch(watch) = order("watch") else { panic!() };
                    Order::Watch(domain::work::Watch { checks: with.checks.clone(), ..watch })
                }
            };
            seen.insert(order.as_str());
            let mut work = full.work_orders().remove(0);
            work.command = Command { order, ..work.command };
            check(vec![work], encode_order, |bytes| decode_order(bytes, &parsers));
        }
    }
    assert_eq!(seen.len(), 5, "{seen:?}");
}

/// Field numbers and types are promises: workers in other languages are written against them.
#[test]
fn the_bytes_are_those_of_the_golden_file() {
    let lines: Vec<String> =
        encoded().iter().map(|(kind, bytes)| format!("{kind} {}", hex::encode(bytes))).collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/messages-1.txt");
    if std::env::var_os("MODELRAIL_REGENERATE").is_some() {
        std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    for (golden, fresh) in golden.lines().zip(&lines) {
        assert_eq!(golden, fresh, "not the bytes of {path:?}");
    }
    assert_eq!(golden.lines().count(), lines.len(), "{path:?}");
}

#[test]
fn fields_of_another_version_are_ignored() {
    // Field 2047, a varint.
    let unknown = [0xf8, 0x7f, 1];
    for (kind, mut bytes) in encoded() {
        let whole = again(kind, &bytes);
        assert!(whole.is_some(), "{kind}");
        bytes.extend(unknown);
        assert_eq!(again(kind, &bytes), whole, "{kind}");
    }
    // Within a message as well.
    let attempt = BOTH[0].attempt();
    let mut inner = Wire::<v1::AttemptId>::put(&attempt).encode_to_vec();
    inner.extend(unknown);
    let mut bytes = vec![0x0a, u8::try_from(inner.len()).unwrap()];
    bytes.extend(inner);
    assert_eq!(decode_cancel(&bytes).unwrap(), attempt);
}

/// The error's text with its causes.
fn refusal<T: Debug>(read: Result<T, Error>) -> String {
    let error = read.unwrap_err();
    let mut texts = vec![error.to_string()];
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    texts.join(": ")
}

fn said(said: v1::said::Said) -> String {
    refusal(decode_said(&v1::Said { said: Some(said) }.encode_to_vec(), &parsers()))
}

fn trigger() -> v1::Trigger {
    match Wire::<v1::Said>::put(&BOTH[0].said()[0]).said {
        Some(v1::said::Said::Trigger(trigger)) => trigger,
        other => panic!("{other:?}"),
    }
}

fn report() -> v1::Report {
    let answer = WorkerAnswer::Done(Outcome::Measured(BOTH[0].evidence().into()));
    let attempt = BOTH[0].attempt();
    Wire::put(&said::Report { attempt, token: Token([7; 32]), answer })
}

#[test]
fn a_text_is_held_against_its_digest() {
    let other = v1::Trigger { workflow_text: "workflow: other".to_owned(), ..trigger() };
    let (expected, found) = (Digest::of(samples::WORKFLOW.as_bytes()), Digest::of(b"workflow: other"));
    assert_eq!(
        said(v1::said::Said::Trigger(other)),
        format!("expected the text of definition {expected}, but found the text of {found}")
    );
    let nonsense = "nonsense".to_owned();
    let digest = Digest::of(nonsense.as_bytes());
    let broken = v1::Trigger { workflow: digest.put(), workflow_text: nonsense, ..trigger() };
    assert_eq!(
        said(v1::said::Said::Trigger(broken)),
        format!("failed to parse definition {digest}: not a workflow")
    );
    let without = v1::Trigger { workflow: vec![], ..trigger() };
    assert_eq!(
        said(v1::said::Said::Trigger(without)),
        "expected 32 in field workflow in Trigger, but found 0"
    );
    let long = " ".repeat(DEFINITION_BYTES_MAX + 1);
    let long = v1::Trigger { workflow_text: long, ..trigger() };
    assert_eq!(
        said(v1::said::Said::Trigger(long)),
        "expected at most 65536 bytes in field workflow_text in Trigger, but found 65537"
    );
}

#[test]
fn a_role_map_comes_with_what_it_is_named_by() {
    let define = |change: fn(&mut v1::Define)| {
        let mut define: v1::Define = Wire::put(&BOTH[0].defines()[1]);
        change(&mut define);
        let request = v1::Request { request: Some(v1::request::Request::Define(define)) };
        said(v1::said::Said::Request(request))
    };
    assert_eq!(define(|define| define.roles = None), "missing field roles in Define");
    assert_eq!(
        define(|define| define.roles = Some(vec![9; 32])),
        "expected the digest of the text in field roles in Define, but found another one"
    );
    let of_a_workflow = define(|define| define.kind = v1::DefinitionKind::Workflow as i32);
    assert!(of_a_workflow.starts_with("failed to parse definition"), "{of_a_workflow}");
    assert_eq!(define(|define| define.kind = 0), "missing field kind in Define");
    assert!(define(|define| define.kind = 9).starts_with("unknown value 9 of field kind in Define"));
    assert!(define(|define| define.text.push(' ')).starts_with("expected the text of definition"));
}

fn workflow_of(said: Said) -> Arc<domain::workflow::Workflow> {
    let Said::Trigger(trigger) = said else { panic!("{said:?}") };
    trigger.workflow.value
}

#[test]
fn a_text_that_came_lately_is_not_parsed_again() {
    let bytes = |number: usize| {
        let text = format!("workflow: flow-{number}");
        let workflow = Digest::of(text.as_bytes()).put();
        let trigger = v1::Trigger { workflow, workflow_text: text, ..trigger() };
        v1::Said { said: Some(v1::said::Said::Trigger(trigger)) }.encode_to_vec()
    };
    let mut recent = Recent::new(parsers());
    let mut read = |number| workflow_of(recent.decode_said(&bytes(number)).unwrap());
    let first = read(0);
    assert!(Arc::ptr_eq(&first, &read(0)));
    assert_eq!(first.name.as_str(), "flow-0");
    for number in 1..RECENT_MAX {
        assert_eq!(read(number).name.as_str(), format!("flow-{number}"));
    }
    // Bounded: the next one makes room.
    read(RECENT_MAX);
    assert!(!Arc::ptr_eq(&first, &read(0)));
    assert!(recent.definitions.count() <= RECENT_MAX);
    // A known digest does not stand for another text.
    let mut lie = trigger();
    lie.workflow = Digest::of(b"workflow: flow-0").put();
    let lie = v1::Said { said: Some(v1::said::Said::Trigger(lie)) }.encode_to_vec();
    assert!(refusal(recent.decode_said(&lie)).starts_with("expected the text of definition"));
    // And a role map that is known is not another's.
    let roles: v1::Define = Wire::put(&BOTH[0].defines()[1]);
    let said = |define| {
        let request = v1::Request { request: Some(v1::request::Request::Define(define)) };
        v1::Said { said: Some(v1::said::Said::Request(request)) }.encode_to_vec()
    };
    recent.decode_said(&said(roles.clone())).unwrap();
    let text = "ml: [ada]".to_owned();
    let other = v1::Define { digest: Digest::of(text.as_bytes()).put(), text, ..roles };
    assert!(refusal(recent.decode_said(&said(other))).starts_with("expected the digest of the text"));
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    let of = |report: v1::Report| said(v1::said::Said::Report(report));
    assert_eq!(of(v1::Report { attempt: None, ..report() }), "missing field attempt in Report");
    assert_eq!(
        of(v1::Report { token: vec![1; 31], ..report() }),
        "expected 32 in field token in Report, but found 31"
    );
    assert_eq!(of(v1::Report { answer: None, ..report() }), "missing field answer in Report");
    assert_eq!(
        of(v1::Report { answer: Some(v1::WorkerAnswer { answer: None }), ..report() }),
        "unknown variant of WorkerAnswer: it was written by a newer format (needs upgrade)"
    );
    assert_eq!(
        refusal(decode_said(&[], &parsers())),
        "unknown variant of Said: it was written by a newer format (needs upgrade)"
    );
    assert_eq!(refusal(decode_heartbeat(&[])), "missing field attempt in Heartbeat");
    assert_eq!(refusal(decode_cancel(&[])), "missing field attempt in Cancel");
    assert_eq!(refusal(decode_order(&[], &parsers())), "missing field command in WorkOrder");
    assert!(refusal(decode_prediction(&[0xff])).starts_with("failed to read a message: "));
    assert_eq!(
        refusal(decode_prediction(&[])),
        "bad name in field target in Prediction: expected a target of the form model@environment, but found ``"
    );
    let label = |value| {
        let label: v1::Label = Wire::put(&BOTH[0].label());
        refusal(decode_label(&v1::Label { value, ..label }.encode_to_vec()))
    };
    assert_eq!(label(None), "missing field value in Label");
    assert_eq!(
        label(Some(f64::NAN)),
        "expected a finite number in field value in Label, but found another one"
    );
}

/// An order with one thing in it changed.
fn order(name: &str, change: impl Fn(&mut v1::order::Order)) -> String {
    let order = BOTH[0].work_orders().into_iter().find(|order| order.command.order.as_str() == name);
    let mut proto: v1::WorkOrder = order.unwrap().put();
    change(proto.command.as_mut().unwrap().order.as_mut().unwrap().order.as_mut().unwrap());
    refusal(decode_order(&proto.encode_to_vec(), &parsers()))
}

/// A newer engine's order of a kind that nobody knows here.
#[test]
fn an_order_that_cannot_be_read_still_says_whom_to_answer_for() {
    let order = BOTH[0].work_orders().remove(0);
    let mut proto: v1::WorkOrder = order.put();
    proto.command.as_mut().unwrap().order.as_mut().unwrap().order = None;
    let bytes = proto.encode_to_vec();
    let refused = refusal(decode_order(&bytes, &parsers()));
    assert_eq!(refused, "unknown variant of Order: it was written by a newer format (needs upgrade)");
    let Command { attempt, target, .. } = order.command;
    assert_eq!(decode_addressee(&bytes).unwrap(), Addressee { attempt, target, token: order.token });
    assert_eq!(refusal(decode_addressee(&[])), "missing field command in WorkOrder");
}

#[test]
fn a_check_that_is_none_is_named() {
    let with = |change: fn(&mut v1::Check)| {
        order("test", |order| {
            let v1::order::Order::Test(test) = order else { panic!() };
            change(&mut test.checks[0]);
        })
    };
    assert_eq!(with(|check| check.level = 0), "missing field level in Check");
    assert!(with(|check| check.level = 3).starts_with("unknown value 3 of field level in Check"));
    assert_eq!(with(|check| check.on = None), "missing field on in Check");
    assert!(
        with(|check| check.on.as_mut().unwrap().fail = 6).starts_with("unknown value 6 of field fail in On")
    );
    assert!(with(|check| check.name.push(' ')).starts_with("bad name in field name in Check: "));
    assert!(
        with(|check| check.kind.as_mut().unwrap().kind = None).starts_with("unknown variant of CheckKind: ")
    );
}

#[test]
fn a_rule_is_parsed_again() {
    let rule = |rule: &'static str| {
        order("notify", |order| {
            let v1::order::Order::Notify(notify) = order else { panic!() };
            rule.clone_into(&mut notify.with.as_mut().unwrap().require[1].rule);
        })
    };
    let refused = rule("checks.staging.quality.lower >= ");
    assert!(refused.starts_with("expected a rule in field rule in NamedRule, but "), "{refused}");
    let unknown = rule("weather.today == 1");
    assert!(unknown.contains("`weather.today`"), "{unknown}");
}

#[test]
fn what_is_too_long_is_refused_by_the_name_of_its_field() {
    let decline = |bytes: usize| {
        let reason = "x".repeat(bytes);
        let answer = v1::WorkerAnswer { answer: Some(v1::worker_answer::Answer::Declined(reason)) };
        let report = v1::Report { answer: Some(answer), ..report() };
        v1::Said { said: Some(v1::said::Said::Report(report)) }.encode_to_vec()
    };
    assert!(decode_said(&decline(TEXT_BYTES_MAX), &parsers()).is_ok());
    assert_eq!(
        refusal(decode_said(&decline(TEXT_BYTES_MAX + 1), &parsers())),
        "expected at most 16384 bytes in field Declined in WorkerAnswer, but found 16385"
    );
    assert_eq!(
        refusal(decode_said(&decline(MESSAGE_BYTES_MAX), &parsers())),
        format!("expected at most 1000000 bytes in Said, but found {}", decline(MESSAGE_BYTES_MAX).len())
    );

    let counts = |number: usize| {
        let mut report = report();
        let Some(v1::WorkerAnswer { answer: Some(v1::worker_answer::Answer::Done(done)) }) =
            &mut report.answer
        else {
            panic!()
        };
        let Some(v1::outcome::Outcome::Measured(evidence)) = &mut done.outcome else { panic!() };
        evidence.measurements[1].counts = vec![1; number];
        v1::Said { said: Some(v1::said::Said::Report(report)) }.encode_to_vec()
    };
    assert!(decode_said(&counts(LIST_MAX), &parsers()).is_ok());
    assert_eq!(
        refusal(decode_said(&counts(LIST_MAX + 1), &parsers())),
        "expected at most 4096 elements in field counts in Measurement, but found 4097"
    );

    let predicted = |bytes| Prediction { request_id: "x".repeat(bytes), ..BOTH[0].prediction() };
    assert!(decode_prediction(&encode_prediction(&predicted(REQUEST_ID_BYTES_MAX))).is_ok());
    assert_eq!(
        refusal(decode_prediction(&encode_prediction(&predicted(REQUEST_ID_BYTES_MAX + 1)))),
        "expected at most 256 bytes in field request_id in Prediction, but found 257"
    );

    let padded = |mut bytes: Vec<u8>, length: usize| {
        // An unknown field of many bytes.
        bytes.extend([0xfa, 0x7f]);
        let left = length - bytes.len() - 2;
        bytes.extend([u8::try_from(left % 128 + 128).unwrap(), u8::try_from(left / 128).unwrap()]);
        bytes.resize(length, 0);
        bytes
    };
    let heartbeat = encode_heartbeat(&BOTH[0].heartbeat());
    assert!(decode_heartbeat(&padded(heartbeat.clone(), SIGN_OF_LIFE_BYTES_MAX)).is_ok());
    assert_eq!(
        refusal(decode_heartbeat(&padded(heartbeat, SIGN_OF_LIFE_BYTES_MAX + 1))),
        "expected at most 1024 bytes in Heartbeat, but found 1025"
    );
    assert!(
        decode_cancel(&[0; SIGN_OF_LIFE_BYTES_MAX + 1])
            .unwrap_err()
            .to_string()
            .contains("1024 bytes in Cancel")
    );
    let label = encode_label(&BOTH[0].label());
    assert!(decode_label(&padded(label.clone(), LABEL_BYTES_MAX)).is_ok());
    assert_eq!(
        refusal(decode_label(&padded(label, LABEL_BYTES_MAX + 1))),
        "expected at most 4096 bytes in Label, but found 4097"
    );
}

/// What edges let in is never too long for a lane or an order.
#[test]
fn the_longest_that_an_edge_accepts_goes_through() {
    let four = |bytes: usize| "\u{1d11e}".repeat(bytes / 4);
    let long = four(4 * crate::fields::TEXT_CHARS_MAX);
    let metrics = vec![r#"{"name":"a","value":1}"#; LIST_MAX].join(",");
    let trained = format!(
        r#"{{"model":"fraud","version":"1","risk_tier":"{long}","hyperparameters":{{"{long}":"{long}"}},
            "artifact":{{"uri":"file:{}","sha256":"{}"}},"metrics":[{metrics}]}}"#,
        &long[20..],
        "0".repeat(64),
    );
    let event = format!(
        r#"{{"specversion":"1.0","type":"{}","source":"/training","id":"1","data":{trained}}}"#,
        crate::trained::TYPE
    );
    let event = crate::trained::cloudevent::parse_structured(event.as_bytes()).unwrap();
    let trained = Arc::new(crate::trained::read(&event).unwrap().0.trained);
    let Said::Trigger(trigger) = BOTH[0].said().remove(0) else { panic!() };
    let workflow_text: Text = format!("workflow: {}", "x".repeat(100)).into();
    let workflow = domain::definition::Pinned {
        digest: Digest::of(workflow_text.as_bytes()),
        value: Arc::new((parsers().workflow)(&workflow_text).unwrap()),
    };
    let trigger = said::Trigger { trained: Arc::clone(&trained), workflow, workflow_text, ..*trigger };
    let text = four(DEFINITION_BYTES_MAX);
    let define = domain::definition::Define {
        digest: Digest::of(text.as_bytes()),
        text: text.into(),
        ..BOTH[0].defines().remove(0)
    };
    check(vec![Said::Trigger(Box::new(trigger))], encode_said, |bytes| decode_said(bytes, &parsers()));
    // Not a workflow, and yet it was not refused for its length.
    let define = Said::Request(Box::new(Request::Define(define)));
    let refused = refusal(decode_said(&encode_said(&define), &parsers()));
    assert!(refused.contains("failed to parse definition"), "{refused}");
    let mut work = BOTH[0].work_orders().remove(0);
    let Order::Package(package) = work.command.order else { panic!() };
    work.command.order = Order::Package(domain::work::Package { trained, ..package });
    check(vec![work], encode_order, |bytes| decode_order(bytes, &parsers()));
}

#[test]
fn what_a_gateway_serves_is_told_target_by_target() {
    for sample in BOTH {
        let expected: Vec<_> =
            sample.list(vec![(samples::target_id(), sample.gateway())]).into_iter().collect();
        assert_eq!(sample.gateway_report().observed().collect::<Vec<_>>(), expected);
    }
}

/// Cut off anywhere and with any bit turned: a value or an error, and what was read is written and read again as it is.
#[test]
fn a_message_cut_short_or_changed_never_panics() {
    let (mut read, mut refused) = (0, 0);
    let mut turned = |kind, bytes: &[u8]| match again(kind, bytes) {
        Some(written) => {
            assert_eq!(again(kind, &written).as_ref(), Some(&written), "{kind}");
            read += 1;
        }
        None => refused += 1,
    };
    for (index, (kind, bytes)) in encoded().into_iter().enumerate() {
        for end in (index % 5..bytes.len()).step_by(5) {
            turned(kind, &bytes[..end]);
            let mut changed = bytes.clone();
            changed[end] ^= 1 << ((end + index) % 8);
            turned(kind, &changed);
        }
    }
    assert!(read > 500 && refused > 5_000, "{read} read, {refused} refused");
}

proptest! {
    #[test]
    fn no_bytes_make_decoding_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for (_, decode) in DECODE {
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn numbers_come_back_to_the_last_bit(
        bits in any::<u64>(), feature in any::<u32>(), unit in any::<u64>(), at in any::<u64>(),
    ) {
        let (value, features) = (f64::from_bits(bits), vec![f32::from_bits(feature), 1.5]);
        let (at, label) = (Timestamp(at), Label { value, ..BOTH[0].label() });
        let sent = Prediction { features, output: Some(value), unit, at, ..BOTH[0].prediction() };
        let read = decode_prediction(&encode_prediction(&sent)).unwrap();
        prop_assert_eq!(read.output.map(f64::to_bits), Some(bits));
        prop_assert_eq!(read.features[0].to_bits(), feature);
        prop_assert_eq!((read.unit, read.at), (unit, at));
        let read = decode_label(&encode_label(&label));
        prop_assert_eq!(read.map(|label| label.value.to_bits()).ok(), value.is_finite().then_some(bits));
    }

    #[test]
    fn texts_come_back_as_they_were(reason in "\\PC{0,200}", number in any::<u32>()) {
        let answer = WorkerAnswer::Declined(reason.into());
        let attempt = AttemptId { number, ..BOTH[0].attempt() };
        let sent = Said::Report(Box::new(said::Report { attempt, token: Token([1; 32]), answer }));
        prop_assert_eq!(decode_said(&encode_said(&sent), &parsers()).unwrap(), sent);
    }
}
