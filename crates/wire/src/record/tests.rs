use std::sync::Arc;

use domain::definition;
use domain::name::StreamId;
use domain::refusal::{self, Refusal};
use domain::transition::Step;
use domain::{run, target, work};
use proptest::prelude::*;

use super::*;
use crate::codec::Definitions;
use crate::codec::samples::{self, BOTH, Sample, known};

fn recorded(steps: Vec<Step>, sample: Sample) -> Recorded {
    let refused = sample.maybe(Refusal {
        kind: refusal::Kind::State,
        code: "ALREADY_ENDED".to_owned(),
        text: "expected to pause a run, but it has already ended".to_owned(),
        hint: sample.maybe("publish it again".to_owned()),
    });
    Recorded {
        now: samples::at(),
        epoch: 2,
        engine_version: "0.1.0".to_owned(),
        decide_revision: 1,
        lane: sample.maybe(Lane::Outcomes),
        before: [1, 2, 3],
        after: [1, u64::MAX, 0],
        dispatched: 4,
        input_id: sample.maybe("01J".to_owned()),
        traceparent: sample.maybe("00-1-2-01".to_owned()),
        transition: Transition { steps, refused },
        unread: vec![],
    }
}

fn transition(steps: Vec<Step>, sample: Sample) -> Record {
    let body = Body::Transition(Box::new(recorded(steps, sample)));
    Record { seq: 5, prev: samples::digest(9), body }
}

/// Each input with each event behind it that might repeat it, and all events behind one that repeats nothing.
fn steps(sample: Sample) -> Vec<Step> {
    let (run, target) = (samples::run_id(), samples::target_id());
    let mut steps = vec![];
    for input in sample.defines() {
        let definition::Define { kind, digest, ref text, ref roles, .. } = input;
        let events = vec![definition::Event::DefinitionRecorded {
            kind,
            digest,
            text: text.clone(),
            roles: roles.clone(),
        }];
        steps.push(Step::Definitions { input, events });
    }
    for input in sample.run_inputs() {
        steps.push(Step::Run { run, input, events: sample.run_events() });
    }
    for input in sample.target_inputs() {
        steps.push(Step::Target { target: target.clone(), input, events: sample.target_events() });
    }
    steps
}

fn records() -> Vec<Record> {
    let record = |body| Record { seq: 1, prev: NO_PREV, body };
    let claims = Lane::ALL.map(|lane| LaneClaim {
        lane,
        topic: String::new(),
        rebased_to: (lane == Lane::Outcomes).then_some(7),
    });
    let mut records = vec![
        record(Body::Created {
            log_id: [7; 16],
            partition: 0,
            partitions: 16,
            format: FORMAT,
            in_flight_records_max: 256,
        }),
        record(Body::Claimed { nonce: [8; 16], binary: "modelrail 0.1.0".to_owned(), lanes: claims.into() }),
        record(Body::FormatRaised { format: 2 }),
    ];
    for sample in BOTH {
        records.extend(steps(sample).into_iter().map(|step| transition(vec![step], sample)));
        records.push(transition(steps(sample), sample));
        records.push(transition(vec![], sample));
    }
    records
}

fn round_trip(record: &Record) -> Vec<u8> {
    let bytes = encode(record);
    let back = decode(&bytes, &known()).unwrap();
    assert_eq!(back, *record);
    assert_eq!(encode(&back), bytes);
    bytes
}

#[test]
fn every_record_comes_back_as_it_was() {
    for record in records() {
        round_trip(&record);
    }
}

#[test]
fn a_peek_agrees_with_the_record() {
    for record in records() {
        let found = peek(&encode(&record)).unwrap();
        assert_eq!((found.seq, found.prev), (record.seq, record.prev));
        match (&record.body, found.kind) {
            (Body::Created { .. }, Kind::Created) => {}
            (Body::Claimed { nonce, .. }, Kind::Claimed { nonce: found }) => assert_eq!(*nonce, found),
            (Body::FormatRaised { format }, Kind::FormatRaised { format: found }) => {
                assert_eq!(*format, found);
            }
            (Body::Transition(recorded), Kind::Transition { before, after, streams }) => {
                assert_eq!((before, after), (recorded.before, recorded.after));
                let mut expected: Vec<StreamId> = vec![];
                for step in &recorded.transition.steps {
                    if !expected.contains(&step.stream()) {
                        expected.push(step.stream());
                    }
                }
                assert_eq!(streams, expected);
            }
            (body, kind) => panic!("{body:?} was peeked at as {kind:?}"),
        }
    }
}

#[test]
fn a_record_with_a_definition_is_read_after_it_registered_its_own() {
    let sample = BOTH[0];
    let run = samples::run_id();
    let mut steps: Vec<Step> = steps(sample).into_iter().take(2).collect();
    let start = sample.start();
    steps.push(Step::Run {
        run,
        input: run::Input::Start(Box::new(start.clone())),
        events: vec![run::Event::Started { start: Arc::new(start), at: samples::at() }],
    });
    let record = transition(steps, sample);
    let bytes = encode(&record);

    let mut definitions = Definitions::new(samples::parsers());
    assert!(matches!(decode(&bytes, &definitions), Err(Error::UnknownDefinition { .. })));
    definitions.register(&bytes).unwrap();
    assert_eq!(decode(&bytes, &definitions).unwrap(), record);
}

/// The encoded size of a step whose event repeats its input, and of one whose event differs a little.
fn sizes(input: &work::Outcome, repeats: run::Event, differs: run::Event) -> (usize, usize) {
    let size = |event| {
        let attempt = BOTH[0].attempt();
        let input = run::Input::Report { attempt, outcome: input.clone() };
        let step = Step::Run { run: samples::run_id(), input, events: vec![event] };
        round_trip(&transition(vec![step], BOTH[1])).len()
    };
    (size(repeats), size(differs))
}

#[test]
fn what_the_input_brought_is_not_written_twice() {
    let sample = BOTH[0];
    let (stage, at) = (samples::stage(), samples::at());
    let event = |evidence| run::Event::EvidenceRecorded {
        stage: stage.clone(),
        attempt: 3,
        evidence: Arc::new(evidence),
        at,
    };
    let mut other = sample.evidence();
    // Equal by `==`, not by its bits: must be written.
    other.measurements[0].sum = 0.0;
    assert_eq!(other, sample.evidence());
    let outcome = work::Outcome::Measured(sample.evidence().into());
    let (short, long) = sizes(&outcome, event(sample.evidence()), event(other));
    assert!(short + 200 < long, "{short} and {long}");

    let event = |evidence, bundle| run::Event::BundlePacked {
        stage: stage.clone(),
        attempt: 3,
        evidence: Arc::new(evidence),
        bundle: Arc::new(bundle),
        at,
    };
    let mut other = sample.bundle();
    other.size += 1;
    let outcome = work::Outcome::Packed(work::Packed {
        evidence: sample.evidence().into(),
        bundle: Some(sample.bundle().into()),
    });
    let (short, long) =
        sizes(&outcome, event(sample.evidence(), sample.bundle()), event(sample.evidence(), other));
    assert!(short + 300 < long, "{short} and {long}");
}

#[test]
fn records_are_small() {
    let sample = BOTH[0];
    let step = |input, events| Step::Run { run: samples::run_id(), input, events };
    let size = |step| encode(&transition(vec![step], BOTH[1])).len();
    let start = sample.start();
    let started = run::Event::Started { start: Arc::new(start.clone()), at: samples::at() };
    let began = run::Event::StageBegan { stage: samples::stage(), live: None, at: samples::at() };
    let issued = run::Event::AttemptIssued {
        stage: samples::stage(),
        attempt: 1,
        purpose: run::Purpose::Package,
        at: samples::at(),
    };
    let sizes = [
        size(step(run::Input::Start(Box::new(start)), vec![started, began, issued.clone()])),
        size(step(run::Input::BackoffOver { stage: samples::stage() }, vec![issued])),
    ];
    assert!(sizes[0] < 1_000 && sizes[1] < 200, "{sizes:?}");
}

#[test]
fn a_repeat_without_an_input_is_an_error() {
    use crate::generated::v1;
    use prost::Message;
    let event = |event| v1::RunEvent { event: Some(event) };
    let evidence = v1::run_event::EvidenceRecorded { same_as_input: true, ..Default::default() };
    let step = v1::RunStep {
        run: vec![0; 16],
        input: None,
        events: vec![event(v1::run_event::Event::EvidenceRecorded(evidence))],
    };
    let transition = v1::Transition {
        steps: vec![v1::Step { step: Some(v1::step::Step::Run(step)) }],
        ..Default::default()
    };
    let body = Some(v1::record::Body::Transition(transition));
    let bytes = v1::Record { seq: 1, prev: vec![0; 32], body }.encode_to_vec();
    assert!(matches!(decode(&bytes, &known()), Err(Error::NotInInput(_))));
}

#[test]
fn an_event_of_a_newer_format_leaves_the_streams_readable() {
    use crate::generated::v1;
    use prost::Message;
    let step = Step::Run {
        run: samples::run_id(),
        input: run::Input::LeaveDeadline,
        events: vec![run::Event::SlotTaken { stage: samples::stage() }],
    };
    let mut proto = v1::Record::decode(&*encode(&transition(vec![step], BOTH[1]))).unwrap();
    if let Some(v1::record::Body::Transition(transition)) = &mut proto.body
        && let Some(v1::step::Step::Run(step)) = &mut transition.steps[0].step
    {
        step.events[0].event = None;
    }
    let bytes = proto.encode_to_vec();
    let Body::Transition(recorded) = decode(&bytes, &known()).unwrap().body else { panic!("a transition") };
    assert_eq!(recorded.transition.steps, [], "what cannot be read is left out, and named");
    let [(stream, why)] = &recorded.unread[..] else { panic!("{recorded:?}") };
    assert_eq!(*stream, StreamId::Run(samples::run_id()));
    assert!(why.contains("needs upgrade"), "{why}");
    let Kind::Transition { streams, .. } = peek(&bytes).unwrap().kind else { panic!("not a transition") };
    assert_eq!(streams, [StreamId::Run(samples::run_id())]);
}

#[test]
fn the_bytes_of_a_record_are_known() {
    let step = Step::Target {
        target: samples::target_id(),
        input: target::Input::FreezeOver,
        events: vec![target::Event::TargetUnfrozen { by: None, reason: "over".into() }],
    };
    let mut record = recorded(vec![step], BOTH[1]);
    record.after = record.before;
    let record = Record { seq: 5, prev: NO_PREV, body: Body::Transition(Box::new(record)) };
    let bytes = encode(&record);
    assert_eq!(hex::encode(&bytes), GOLDEN);
    assert_eq!(hash(&bytes).hex(), GOLDEN_HASH);
    assert_eq!(decode(&hex::decode(GOLDEN).unwrap(), &()).unwrap(), record);
}

const GOLDEN: &str = concat!(
    "0805122000000000000000000000000000000000000000000000000000000000000000002a4408ffaf9cdb9f3410021a",
    "05302e312e30200132030102033a0301020340045a241a220a1066726175644070726f64756374696f6e1203a201001a",
    "0992010612046f766572",
);
const GOLDEN_HASH: &str = "4a3ff05bb089a2373a6f4e097de62f97caecac87e61496987c8c556068f61845";

#[test]
fn a_record_cut_short_or_changed_never_panics() {
    let known = known();
    for record in records().iter().step_by(17) {
        let bytes = encode(record);
        for end in (0..bytes.len()).step_by(1 + bytes.len() / 200) {
            let _ = decode(&bytes[..end], &known);
            let _ = peek(&bytes[..end]);
            let mut changed = bytes.clone();
            changed[end] ^= 1 << (end % 8);
            let _ = decode(&changed, &known);
            let _ = peek(&changed);
            assert_ne!(hash(&changed), hash(&bytes));
        }
    }
}

/// Through the messages, whatever it is.
fn decode_through_messages(bytes: &[u8], known: &Definitions) -> Result<Record, Error> {
    use prost::Message;
    decode::through_messages(crate::generated::v1::Record::decode(bytes)?, bytes, known)
}

#[test]
fn transitions_go_directly_to_the_same_bytes_and_back() {
    let known = known();
    let mut directly = 0;
    for record in records() {
        let bytes = encode::through_messages(&record);
        assert_eq!(encode(&record), bytes, "{record:?}");
        assert_eq!(decode_through_messages(&bytes, &known).unwrap(), record);
        let Body::Transition(recorded) = &record.body else { continue };
        if recorded.transition.steps.iter().any(|step| matches!(step, Step::Definitions { .. })) {
            continue;
        }
        let outline = direct::outline(&bytes).expect("a transition without definitions");
        assert_eq!(direct::decode(outline, &known).expect("nothing out of the ordinary"), record);
        directly += 1;
    }
    assert!(directly > 100, "{directly}");
}

/// What was read directly from bytes that somebody changed is what the messages have there too. Whether any was.
fn check_changed(bytes: &[u8], known: &Definitions) -> bool {
    let Some(found) = direct::outline(bytes).and_then(|outline| direct::decode(outline, known)) else {
        return false;
    };
    let expected = decode_through_messages(bytes, known).expect("it was read directly");
    // Not by `==`: a float may have become none.
    assert_eq!(encode::through_messages(&found), encode::through_messages(&expected), "{bytes:?}");
    true
}

#[test]
fn changed_bytes_are_read_directly_as_the_messages_read_them() {
    let known = known();
    let mut read = 0;
    for record in records() {
        let bytes = encode(&record);
        for place in (0..bytes.len()).step_by(1 + bytes.len() / 60) {
            let mut changed = bytes.clone();
            changed[place] ^= 1 << (place % 8);
            read += usize::from(check_changed(&changed, &known));
        }
    }
    assert!(read > 1_000, "{read}");
}

proptest! {
    #[test]
    fn exchanged_bytes_are_read_directly_as_the_messages_read_them(
        record in any::<prop::sample::Index>(),
        changes in proptest::collection::vec(
            (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0_usize..40), 1..4),
    ) {
        let records = records();
        let mut bytes = encode(&records[record.index(records.len())]);
        for (from, to, length) in changes {
            let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
            let piece = bytes[from..(from + length).min(bytes.len())].to_vec();
            let end = (to + piece.len()).min(bytes.len());
            bytes.splice(to..end, piece);
        }
        check_changed(&bytes, &known());
    }

    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut definitions = Definitions::new(samples::parsers());
        let _ = definitions.register(&bytes);
        let _ = decode(&bytes, &definitions);
        let _ = peek(&bytes);
    }
}
