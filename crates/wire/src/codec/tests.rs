use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

use domain::definition::{Define, Kind};
use domain::name::{Digest, StreamId};
use domain::transition::Input;
use proptest::prelude::*;
use prost::Message;

use super::direct::{Brought, Content, Reading, Writing};
use super::samples::{self, BOTH, known};
use super::*;

/// Every value comes back, and encodes to the same bytes again (which tells floats by their bits); directly too.
fn check_round_trip<T, P>(values: Vec<T>)
where
    T: Wire<P> + Content<P> + PartialEq + Debug,
    P: Message + Default,
{
    for value in values {
        let bytes = value.put().encode_to_vec();
        let back: T = read::<T, P>(&bytes, &known(), "Sample").unwrap();
        assert_eq!(back, value);
        assert_eq!(back.put().encode_to_vec(), bytes, "{value:?}");

        let known = known();
        let at = Reading { known: &known, brought: Brought::Nothing };
        assert_eq!(T::read_content(&bytes, &at).as_ref(), Some(&value));
        let mut out = Writing::default();
        value.write_content(&mut out);
        assert_eq!(out.bytes, bytes, "{value:?}");
    }
}

fn check_complete<T: Variants>(found: impl IntoIterator<Item = &'static str>) {
    let found: BTreeSet<&str> = found.into_iter().collect();
    let expected: BTreeSet<&str> = T::NAMES.iter().copied().collect();
    assert_eq!(found, expected);
}

#[test]
fn every_input_and_event_comes_back_as_it_was() {
    for sample in BOTH {
        check_round_trip::<_, v1::RunInput>(sample.run_inputs());
        check_round_trip::<_, v1::RunEvent>(sample.run_events());
        check_round_trip::<_, v1::TargetInput>(sample.target_inputs());
        check_round_trip::<_, v1::TargetEvent>(sample.target_events());
        check_round_trip::<_, v1::Outcome>(sample.outcomes());
        check_round_trip::<_, v1::StreamId>(vec![
            StreamId::Definitions,
            StreamId::Run(samples::run_id()),
            StreamId::Target(samples::target_id()),
        ]);
    }
}

#[test]
fn definitions_come_back_as_they_were() {
    for define in BOTH.iter().flat_map(|sample| sample.defines()) {
        let bytes = Wire::<v1::Define>::put(&define).encode_to_vec();
        assert_eq!(read::<Define, v1::Define>(&bytes, &known(), "Sample").unwrap(), define);
    }
}

#[test]
fn there_is_a_sample_of_every_variant() {
    let sample = BOTH[0];
    check_complete::<domain::run::Input>(sample.run_inputs().iter().map(domain::run::Input::name));
    check_complete::<domain::run::Event>(sample.run_events().iter().map(domain::run::Event::name));
    check_complete::<domain::target::Input>(sample.target_inputs().iter().map(domain::target::Input::name));
    check_complete::<domain::target::Event>(sample.target_events().iter().map(domain::target::Event::name));
    assert_eq!(sample.outcomes().len(), domain::work::Outcome::NAMES.len());
    assert_eq!(sample.purposes().len(), domain::run::Purpose::NAMES.len());
    assert_eq!(samples::Sample::waits().len(), domain::run::WaitFor::NAMES.len());
}

#[test]
fn outside_inputs_come_back_with_their_stream() {
    for sample in BOTH {
        let mut inputs: Vec<Input> = sample.defines().into_iter().map(Input::Define).collect();
        inputs.extend(sample.run_inputs().into_iter().map(|input| Input::Run(samples::run_id(), input)));
        inputs.extend(
            sample.target_inputs().into_iter().map(|input| Input::Target(samples::target_id(), input)),
        );
        for input in inputs {
            assert_eq!(decode_input(&encode_input(&input), &known()).unwrap(), input);
        }
    }
}

#[test]
fn what_cannot_be_read_is_named() {
    let text = |bytes: &[u8]| decode_run_event(bytes, &known()).unwrap_err().to_string();
    assert_eq!(text(&[0xff]), "failed to read a message");

    let unknown = decode_run_event(&[0xfa, 0x3f, 0], &known()).unwrap_err();
    assert!(unknown.needs_upgrade());
    assert_eq!(
        unknown.to_string(),
        "unknown variant of RunEvent: it was written by a newer format (needs upgrade)"
    );

    let event = |event| v1::RunEvent { event: Some(event) }.encode_to_vec();
    let paused = v1::run_event::Paused::default();
    assert_eq!(text(&event(v1::run_event::Event::Paused(paused))), "bad name in field by in RunEvent.Paused");
    let standby = v1::run_event::WentStandby { by: None };
    assert_eq!(
        text(&event(v1::run_event::Event::WentStandby(standby))),
        "missing field by in RunEvent.WentStandby"
    );
    let heavy = v1::run_event::StepEntered { stage: "s".to_owned(), weight: 10_001, ..Default::default() };
    assert_eq!(
        text(&event(v1::run_event::Event::StepEntered(heavy))),
        "expected at most 10000 in field weight in RunEvent.StepEntered, but found 10001"
    );
    let future = v1::run_event::Ended { end: 99, ..Default::default() };
    let error = decode_run_event(&event(v1::run_event::Event::Ended(future)), &known()).unwrap_err();
    assert!(error.needs_upgrade(), "{error}");
}

#[test]
fn an_unknown_definition_is_told_by_its_digest() {
    let input = domain::run::Input::Start(Box::new(BOTH[0].start()));
    let error = decode_run_input(&encode_run_input(&input), &()).unwrap_err();
    let digest = Digest::of(samples::WORKFLOW.as_bytes());
    assert_eq!(
        error,
        Error::UnknownDefinition { place: Place { message: "Start", field: "workflow" }, digest }
    );
}

#[test]
fn a_definition_is_registered_from_its_input_before_it_is_decoded() {
    let mut empty = Definitions::new(samples::parsers());
    for define in BOTH[0].defines() {
        let bytes = encode_input(&Input::Define(define.clone()));
        empty.register_input(&bytes).unwrap();
        assert_eq!(decode_input(&bytes, &empty).unwrap(), Input::Define(define));
    }
    assert!(matches!(empty.insert(Kind::Roles, "nonsense"), Err(Error::BadDefinition { .. })));

    let lie = domain::definition::Define { digest: samples::digest(0), ..BOTH[0].defines()[0].clone() };
    let bytes = encode_input(&Input::Define(lie));
    assert!(matches!(empty.register_input(&bytes), Err(Error::OtherDefinition { .. })));
}

#[test]
fn a_shared_definition_is_parsed_once() {
    let known = known();
    let input = encode_run_input(&domain::run::Input::Start(Box::new(BOTH[0].start())));
    let workflow = || match decode_run_input(&input, &known).unwrap() {
        domain::run::Input::Start(start) => start.workflow.value,
        _ => unreachable!(),
    };
    assert!(Arc::ptr_eq(&workflow(), &workflow()));
}

proptest! {
    #[test]
    fn no_bytes_make_decoding_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let known = known();
        let _ = decode_outcome(&bytes);
        let _ = decode_input(&bytes, &known);
        let _ = decode_run_input(&bytes, &known);
        let _ = decode_run_event(&bytes, &known);
        let _ = decode_target_input(&bytes, &known);
        let _ = decode_target_event(&bytes, &known);
        let _ = decode_run_state(&bytes, &known);
        let _ = decode_target_state(&bytes, &known);
    }

    #[test]
    fn floats_come_back_to_the_last_bit(bits in any::<u64>()) {
        let mut evidence = BOTH[0].evidence();
        evidence.measurements[0].sum = f64::from_bits(bits);
        evidence.measurements[0].values[0].1 = f64::from_bits(bits);
        let outcome = domain::work::Outcome::Measured(evidence.into());
        let Ok(domain::work::Outcome::Measured(back)) = decode_outcome(&encode_outcome(&outcome)) else {
            panic!("not measured");
        };
        prop_assert_eq!(back.measurements[0].sum.to_bits(), bits);
        prop_assert_eq!(back.measurements[0].values[0].1.to_bits(), bits);
    }
}
