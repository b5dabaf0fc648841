//! The hot pieces, each by itself: what deciding, recording, writing and routing cost. `cargo bench -p scenarios`.
//!
//! Whole runs are measured by `modelrail bench`; this is for whoever changes one piece and wants to see it.

mod world;

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use domain::name::{AttemptId, Digest, RunId, StreamId, TargetId, Version};
use domain::routes::{Generation, Route, RouteTable, Sticky};
use domain::transition::transact;
use domain::weight::Weight;
use engine::port::journal::{Entry, Journal as _, State};
use engine::port::log::Append;
use engine::port::store::{Batch, Embedded as _};
use wire::record::{self, Body, Record};

/// Inputs that wait for a pass.
const INPUTS: usize = 64;
/// Records that one write takes.
const RECORDS: usize = 64;

/// What one input costs the core: decided, and its events applied.
fn decide(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("domain");
    for case in world::cases() {
        let Record { body: Body::Transition(recorded), .. } = &case.record else { continue };
        let input = world::outside(&recorded.transition);
        group.bench_function(format!("decide and apply {}", case.name), |bencher| {
            let mut states = case.before.clone();
            bencher.iter(|| {
                transact(&mut states, black_box(input.clone()), recorded.now).expect("it was decided")
            });
        });
    }
    group.finish();
}

fn records(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wire");
    for case in world::cases() {
        let (name, bytes) = (case.name, &case.bytes);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(format!("encode {name}"), |bencher| {
            bencher.iter(|| record::encode(black_box(&case.record)));
        });
        group.bench_function(format!("decode {name}"), |bencher| {
            bencher.iter(|| record::decode(black_box(bytes), &case.known).expect("it was written"));
        });
        group.bench_function(format!("hash {name}"), |bencher| {
            bencher.iter(|| record::hash(black_box(bytes)));
        });
    }
    group.finish();
}

/// One pass with triggers of as many targets, over a log and a view in memory.
fn pass(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("engine");
    group.throughput(Throughput::Elements(INPUTS as u64));
    group.bench_function(format!("one pass with {INPUTS} triggers"), |bencher| {
        bencher.iter_batched_ref(
            || world::Waiting::triggers(INPUTS),
            world::Waiting::pass,
            BatchSize::LargeInput,
        );
    });
    group.bench_function(format!("one pass with {INPUTS} outcomes"), |bencher| {
        bencher.iter_batched_ref(
            || world::Waiting::outcomes(INPUTS),
            world::Waiting::pass,
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

/// Writes to the data folder, in a file system in memory where there is one: what is left is RocksDB and ours.
fn writes(criterion: &mut Criterion) {
    let folder = world::Place::new();
    let database = folder.database();
    let mut group = criterion.benchmark_group("rocks");
    let mut number = 0;
    group.bench_function("put one entry of the journal", |bencher| {
        bencher.iter(|| {
            number += 1;
            let attempt = AttemptId { owner: StreamId::Run(RunId([7; 16])), number };
            let (state, order) = (State::Answered(vec![1; 200]), vec![2; 1_000]);
            let entry = Entry { attempt, state, order, at: world::START };
            database.put(&[entry], &[]).expect("there is room");
        });
    });
    group.throughput(Throughput::Elements(RECORDS as u64));
    let cases = world::cases();
    group.bench_function(format!("write {RECORDS} records"), |bencher| {
        bencher.iter_batched(
            || {
                let records = cases.iter().cycle().take(RECORDS).map(|case| case.bytes.clone()).collect();
                Batch { appends: vec![Append { partition: 0, records }], commits: vec![] }
            },
            |batch| database.write_sync(&batch).expect("there is room"),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

/// Whom the gateway leads a caller to.
fn routes(criterion: &mut Criterion) {
    let route = |number: u8, points: u16| Route {
        release: domain::model::Release {
            version: Version::parse(&format!("v{number}")).expect("a plain name"),
            bundle: Digest([number; 32]),
            run: Some(RunId([number; 16])),
        },
        weight: Weight::basis_points(points).expect("a share"),
    };
    let table = RouteTable {
        target: TargetId::parse("flights@production").expect("a target"),
        generation: Generation(7),
        routes: vec![route(1, 9_000), route(2, 1_000)],
        stable: None,
        sticky: Sticky::None,
    };
    let table = Arc::new(table);
    let mut number = 0_u64;
    criterion.bench_function("gateway/draw and choose", |bencher| {
        bencher.iter(|| {
            number += 1;
            let key = number.to_be_bytes();
            table.route(black_box(&key)).map(|release| release.bundle)
        });
    });
}

criterion_group!(hot, decide, records, pass, writes, routes);
criterion_main!(hot);
