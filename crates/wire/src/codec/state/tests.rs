use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use domain::chapter::HEARD_MAX;
use domain::definition::{Definitions, Event, Kind};
use domain::evidence::{Evidence, MONITOR_MEASUREMENTS_MAX};
use domain::name::Digest;
use domain::run::Run;
use domain::target::{BAD_MAX, Target, UNDER_WAY_MAX};
use domain::work::{GatewayObserved, ServerLoaded};
use prost::Message as _;

use super::*;
use crate::codec::samples::{self, BOTH, known};

#[test]
fn every_state_comes_back_as_it_was() {
    for sample in BOTH {
        for run in sample.run_states() {
            let bytes = run.canonical();
            let back = decode_run_state(&bytes, &known()).unwrap();
            assert_eq!(back, run);
            assert_eq!(back.canonical(), bytes);
        }
        for target in [sample.target_state(), Target::default()] {
            let bytes = target.canonical();
            let back = decode_target_state(&bytes, &known()).unwrap();
            assert_eq!(back, target);
            assert_eq!(back.canonical(), bytes);
        }
    }
}

/// The default of a state with one field of the full one, for each field.
macro_rules! one_field_each {
    ($type:ident { $($field:ident),* $(,)? } of $full:expr) => {{
        // Names every field, so that one that is added does not compile before it stands here.
        let $type { $($field),* } = $full;
        vec![$(($type { $field, ..$type::default() }, stringify!($field))),*]
    }};
}

#[test]
fn no_field_is_left_out() {
    let runs = one_field_each!(Run {
        phase, start, started_at, paused_at, bundle, stages, attempts_issued, attempts_open, live, raised,
        live_since, leaving, waits, incidents, holding, chapter,
    } of BOTH[0].run_state());
    let digests: BTreeSet<Digest> = runs.iter().map(|(run, _)| state_digest(run)).collect();
    assert_eq!(digests.len(), runs.len());
    for (run, field) in runs {
        assert_ne!(run.canonical(), Run::default().canonical(), "{field}");
        assert_eq!(decode_run_state(&run.canonical(), &known()).unwrap(), run, "{field}");
    }
    let targets = one_field_each!(Target {
        id, under_way, slot, queue, live, last_good, leaving, wanted, table, raised_at, raised_for, observed,
        gateways, servers, attempts_issued, prepare, apply, frozen, bad, holding, chapter,
        unfenced,
    } of BOTH[0].target_state());
    for (target, field) in targets {
        assert_ne!(target.canonical(), Target::default().canonical(), "{field}");
        assert_eq!(decode_target_state(&target.canonical(), &known()).unwrap(), target, "{field}");
    }
    let event = Event::DefinitionRecorded {
        kind: Kind::Workflow,
        digest: samples::digest(1),
        text: samples::text(""),
        roles: None,
    };
    let defined = Definitions::default().evolve(&event);
    let entitled = Definitions { roles: Some(samples::pinned_roles()), ..Definitions::default() };
    let digests: BTreeSet<Digest> =
        [Definitions::default(), defined, entitled].iter().map(state_digest).collect();
    assert_eq!(digests.len(), 3);
}

#[test]
fn canonical_bytes_are_those_of_the_messages() {
    let through_messages =
        |run: &Run| v1::CarriedRun { version: STATE_VERSION, state: Wire::put(run) }.encode_to_vec();
    for sample in BOTH {
        for run in sample.run_states() {
            assert_eq!(run.canonical(), through_messages(&run));
        }
        for target in [sample.target_state(), Target::default()] {
            let state = Wire::put(&target);
            let expected = v1::CarriedTarget { version: STATE_VERSION, state }.encode_to_vec();
            assert_eq!(target.canonical(), expected);
        }
    }
}

#[test]
fn a_state_of_a_newer_version_needs_an_upgrade() {
    let version = |version| v1::CarriedRun { version, state: Wire::put(&Run::default()) }.encode_to_vec();
    assert!(decode_run_state(&version(STATE_VERSION), &()).is_ok());
    let newer = decode_run_state(&version(STATE_VERSION + 1), &()).unwrap_err();
    assert!(newer.needs_upgrade(), "{newer}");
    assert_eq!(
        newer.to_string(),
        "unknown version 2 in field version in CarriedRun: it was written by a newer format (needs upgrade)"
    );
    let none = decode_run_state(&version(0), &()).unwrap_err();
    assert_eq!(none.to_string(), "missing field version in CarriedRun");
    assert!(decode_target_state(&[0xff], &()).is_err());
}

/// What these states are written as is fixed: another binary folds to the same bytes and digest.
#[test]
fn canonical_bytes_are_those_of_the_golden_files() {
    let (run, target) = (BOTH[0].run_state(), BOTH[0].target_state());
    let mut definitions = Definitions { roles: Some(samples::pinned_roles()), ..Definitions::default() };
    definitions.known.extend([samples::digest(9), samples::digest(1)]);
    let small = BOTH[1].run_state();
    for (name, bytes) in [
        ("run", run.canonical()),
        ("run-small", small.canonical()),
        ("target", target.canonical()),
        ("definitions", definitions.canonical()),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("golden/state-1-{name}.txt"));
        let text = format!("{}\n{}\n", Digest::of(&bytes), hex::encode(&bytes));
        if std::env::var_os("MODELRAIL_REGENERATE").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(golden == text, "{name}: the bytes of version {STATE_VERSION} are not those of {path:?}");
    }
}

#[test]
fn a_state_cut_short_or_changed_never_panics() {
    let (known, bytes) = (known(), BOTH[0].run_state().canonical());
    for end in (0..bytes.len()).step_by(7) {
        let _ = decode_run_state(&bytes[..end], &known);
        let mut changed = bytes.clone();
        changed[end] ^= 1 << (end % 8);
        let _ = decode_run_state(&changed, &known);
        let _ = decode_target_state(&changed, &known);
    }
}

/// A chapter is a record like others: what bounds a state bounds it.
#[test]
fn what_a_chapter_carries_is_small() {
    let full = BOTH[0];
    let ordinary = Target { holding: None, ..full.target_state() };
    let many =
        |number: usize, made: &mut dyn FnMut(String)| (0..number).for_each(|n| made(format!("name-{n:04}")));
    let mut most = ordinary.clone();
    (most.gateways, most.servers) = (vec![], vec![]);
    many(HEARD_MAX / 2, &mut |name| {
        most.gateways.push(GatewayObserved { gateway: name.as_str().into(), ..full.gateway() });
        most.servers.push(ServerLoaded { server: name.into(), ..full.server() });
    });
    most.under_way = vec![ordinary.under_way[0].clone(); UNDER_WAY_MAX];
    most.queue = vec![samples::run_id(); UNDER_WAY_MAX];
    most.bad = vec![samples::digest(1); BAD_MAX];

    // Six stages, each with all that any kind of stage may have.
    let mut run = Run { holding: None, ..full.run_state() };
    let ordinary_run = run.canonical().len();
    for stage in &mut run.stages {
        let evidence = full.evidence();
        let measurements = vec![evidence.measurements[0].clone(); MONITOR_MEASUREMENTS_MAX];
        Arc::make_mut(stage).evidence = vec![Arc::new(Evidence { measurements, ..evidence })];
    }
    let sizes = [ordinary.canonical().len(), most.canonical().len(), ordinary_run, run.canonical().len()];
    println!("{sizes:?}");
    assert!(sizes[0] < 2_000 && sizes[1] < 256 * 1024, "{sizes:?}");
    assert!(sizes[2] < 8_000 && sizes[3] < 512 * 1024, "{sizes:?}");
}
