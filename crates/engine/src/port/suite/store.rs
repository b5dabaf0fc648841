//! The contract of [`Store`]. In one database with the log, the records of the commits are appended first; a mirror
//! takes them from the commits.

use domain::name::StreamId;
use domain::time::Timestamp;

use super::samples::{commit, kept_state, record, request_row, run_id, run_row, target, target_row};
use crate::port::log::{self, Append, Log};
use crate::port::row::{ChapterAt, RunRow, TargetRow, Withheld};
use crate::port::store::{Commit, Error, Query, Store, Wake};

/// A store that holds no record bytes of its own may take them from its log: so the suite writes both.
pub fn store<S: Store + Log>(fresh: impl Fn() -> S) {
    kept(fresh, put);
}

/// A store whose log has what was committed, and nothing else.
pub fn mirror<S: Store + Log>(fresh: impl Fn() -> S) {
    kept(&fresh, S::commit);
    mirrored(&fresh());
}

type Put<S> = fn(&S, &[Commit]) -> Result<(), Error>;

fn kept<S: Store>(fresh: impl Fn() -> S, put: Put<S>) {
    streams_and_heads(&fresh(), put);
    refusals(&fresh(), put);
    rows(&fresh(), put);
    under_way(&fresh(), put);
    moments(&fresh(), put);
    kept_states(&fresh(), put);
    requests(&fresh(), put);
}

fn put<S: Store + Log>(store: &S, commits: &[Commit]) -> Result<(), Error> {
    let records = |commit: &Commit| commit.records.iter().map(|record| record.bytes.clone()).collect();
    let appends: Vec<Append> = commits
        .iter()
        .map(|commit| Append { partition: commit.partition, records: records(commit) })
        .collect();
    store.append(&appends).expect("append works");
    store.commit(commits)
}

fn mirrored(mirror: &(impl Store + Log)) {
    assert!(!mirror.has_one_writer(), "others write to the log that it mirrors");
    assert_eq!(mirror.end(0).expect("end works"), 0, "nothing was read");
    // The second lands behind two that were not accepted.
    let mut second = commit(0, 2, vec![]);
    (second.records[0].offset, second.head.next_offset) = (3, 4);
    mirror.commit(&[commit(0, 1, vec![]), commit(1, 1, vec![])]).expect("commit works");
    mirror.commit(std::slice::from_ref(&second)).expect("commit works");
    let read = |from, max| {
        let landed = mirror.read(0, from, max).expect("read works");
        landed.into_iter().map(|landed| (landed.offset, landed.bytes)).collect::<Vec<_>>()
    };
    assert_eq!(read(0, 9), [(0, record(0, 1)), (3, record(0, 2))], "at their offsets there");
    assert_eq!(read(1, 1), [(3, record(0, 2))], "from the next that was accepted");
    assert_eq!(read(0, 1), [(0, record(0, 1))], "at most so many");
    assert_eq!(read(4, 9), [], "none at the end");
    assert_eq!([0, 1].map(|partition| mirror.end(partition).expect("end works")), [4, 1], "what was read");
    let append = Append { partition: 0, records: vec![record(0, 3)] };
    assert!(matches!(mirror.append(&[append]), Err(log::Error::Mirror)), "nobody writes to a mirror");
    assert!(mirror.read(9, 0, 1).is_err() && mirror.end(9).is_err(), "a partition that is not there");
    assert!(mirror.commit(&[commit(9, 1, vec![])]).is_err(), "nor for writing");
}

fn streams_and_heads<S: Store>(store: &S, put: Put<S>) {
    let (run, target) = (StreamId::Run(run_id(1)), StreamId::Target(target("flights")));
    assert!(store.head(0).expect("head works").is_none(), "nothing of a partition never committed");
    assert!(store.stream(0, &run, 0, 9).expect("stream works").is_empty(), "3: nothing of an unknown stream");

    let commits = [
        commit(0, 1, vec![]),
        commit(0, 2, vec![run.clone(), target.clone()]),
        commit(1, 1, vec![StreamId::Definitions]),
    ];
    put(store, &commits).expect("commit works");
    put(store, &[commit(0, 3, vec![run.clone()])]).expect("commit works");
    let head = store.head(0).expect("head works").expect("it was committed");
    assert_eq!(head, commit(0, 3, vec![]).head, "1: the head, whole");
    assert_eq!(store.head(1).expect("head works").expect("committed").seq, 1, "each partition its own");

    let records = |stream, from, max| store.stream(0, stream, from, max).expect("stream works");
    assert_eq!(
        records(&run, 0, 9),
        [(2, record(0, 2)), (3, record(0, 3))],
        "3: oldest first, bytes unchanged"
    );
    assert_eq!(records(&run, 3, 9), [(3, record(0, 3))], "3: from the seq on");
    assert_eq!(records(&run, 0, 1), [(2, record(0, 2))], "3: at most so many");
    assert_eq!(records(&target, 0, 9), [(2, record(0, 2))], "3: a record may touch several streams");
    assert!(records(&StreamId::Definitions, 0, 9).is_empty(), "definitions are a stream of each partition");
    let other = store.stream(1, &StreamId::Definitions, 0, 9).expect("stream works");
    assert_eq!(other, [(1, record(1, 1))], "definitions are a stream of each partition");
}

fn refusals<S: Store>(store: &S, put: Put<S>) {
    put(store, &[commit(0, 1, vec![])]).expect("commit works");
    let before = store.head(0).expect("head works");
    let mut foreign = commit(0, 2, vec![]);
    foreign.head.log_id = [8; 16];
    let refused = store.commit(&[foreign]);
    assert!(matches!(refused, Err(Error::Foreign { partition: 0 })), "2: foreign");

    let mut ahead = commit(0, 3, vec![]);
    ahead.runs = vec![run_row(1, "flights", "active", 1)];
    let refused = store.commit(&[commit(1, 1, vec![]), ahead]);
    let expected = matches!(refused, Err(Error::OutOfOrder { partition: 0, stands_at: 1, found: 2 }));
    assert!(expected, "2: out of order, and where: {refused:?}");
    let again = store.commit(&[commit(0, 1, vec![])]);
    assert!(matches!(again, Err(Error::OutOfOrder { .. })), "2: a commit twice");
    assert_eq!(store.head(0).expect("head works"), before, "2: nothing changed");
    assert!(store.head(1).expect("head works").is_none(), "2: nor anything else of the call");
    assert!(store.run(run_id(1)).expect("run works").is_none(), "2: nor any row");
}

fn rows<S: Store>(store: &S, put: Put<S>) {
    let mut first = commit(0, 1, vec![]);
    first.runs = vec![
        run_row(1, "flights", "active", 10),
        run_row(2, "flights", "live", 20),
        run_row(3, "fraud", "active", 20),
    ];
    first.targets = vec![target_row("fraud"), target_row("flights")];
    let mut elsewhere = commit(1, 1, vec![]);
    elsewhere.runs = vec![RunRow { partition: 1, ..run_row(4, "spam", "active", 5) }];
    put(store, &[first, elsewhere]).expect("commit works");

    let row = store.run(run_id(2)).expect("run works").expect("it was committed");
    assert_eq!(row, run_row(2, "flights", "live", 20), "4: every field comes back");
    let row = store.target(&target("flights")).expect("target works").expect("it was committed");
    assert_eq!(row, target_row("flights"), "4: every field comes back");
    let targets: Vec<_> = store.targets().expect("targets works").into_iter().map(|row| row.target).collect();
    assert_eq!(targets, [target("flights"), target("fraud")], "all, sorted by name");

    let all = || Query { runs_max: 9, ..Query::default() };
    assert_eq!(found(store, &all()), [3, 2, 1, 4], "newest first, then by id");
    let of_state = Query { state: Some("active".into()), ..all() };
    assert_eq!(found(store, &of_state), [3, 1, 4], "by state");
    let both = Query { state: Some("active".into()), target: Some(target("flights")), ..all() };
    assert_eq!(found(store, &both), [1], "all conditions hold");
    let of_model = Query { model: Some(target("spam").model), ..all() };
    assert_eq!(found(store, &of_model), [4], "by model");
    let page = Query { runs_max: 2, ..all() };
    assert_eq!(found(store, &page), [3, 2], "at most so many");
    let next = Query { after: Some((Timestamp(20), run_id(2))), ..all() };
    assert_eq!(found(store, &next), [1, 4], "after a place");

    let mut second = commit(0, 2, vec![]);
    second.runs = vec![run_row(1, "flights", "blocked", 10)];
    put(store, &[second]).expect("commit works");
    assert_eq!(found(store, &Query { state: Some("active".into()), ..all() }), [3, 4], "4: indexes follow");
    assert_eq!(found(store, &Query { state: Some("blocked".into()), ..all() }), [1], "4: indexes follow");
}

/// A row that nothing is under way for.
fn at_rest(row: RunRow) -> RunRow {
    RunRow { outstanding: 0, withheld: Withheld::default(), ..row }
}

fn under_way<S: Store>(store: &S, put: Put<S>) {
    let open = |partition| {
        let open = store.open(partition).expect("open works");
        let runs: Vec<u8> = open.runs.iter().map(|row| row.run.0[0]).collect();
        (runs, open.targets.into_iter().map(|row| row.target).collect::<Vec<_>>())
    };
    let mut first = commit(0, 1, vec![]);
    first.runs = vec![
        RunRow { withheld: Withheld::default(), ..run_row(3, "flights", "active", 10) },
        RunRow { outstanding: 0, ..run_row(2, "flights", "active", 20) },
        at_rest(run_row(1, "flights", "active", 30)),
    ];
    let resting = TargetRow { withheld: Withheld::default(), ..target_row("fraud") };
    first.targets = vec![target_row("spam"), target_row("flights"), resting.clone()];
    let mut elsewhere = commit(1, 1, vec![]);
    elsewhere.runs = vec![RunRow { partition: 1, ..run_row(4, "spam", "active", 5) }];
    put(store, &[first, elsewhere]).expect("commit works");
    let found = (vec![2, 3], vec![target("flights"), target("spam")]);
    assert_eq!(open(0), found, "open: with commands outstanding or withheld, in order");
    assert_eq!(open(1), (vec![4], vec![]), "open: of this partition");

    let mut second = commit(0, 2, vec![]);
    second.runs = vec![
        at_rest(run_row(3, "flights", "active", 10)),
        RunRow { outstanding: 1, ..at_rest(run_row(1, "flights", "active", 30)) },
    ];
    second.targets = vec![
        TargetRow { target: target("spam"), ..resting.clone() },
        TargetRow { outstanding: 1, ..resting.clone() },
    ];
    put(store, &[second]).expect("commit works");
    assert_eq!(open(0), (vec![1, 2], vec![target("flights"), target("fraud")]), "4: open follows");
    let row = store.open(0).expect("open works").targets.pop();
    assert_eq!(row, Some(TargetRow { outstanding: 1, ..resting }), "4: the rows themselves");
}

fn moments<S: Store>(store: &S, put: Put<S>) {
    let wakes =
        |partition, after: Option<&Wake>, max| store.wakes(partition, after, max).expect("wakes works");
    let of_run =
        |number, at| RunRow { wake_at: Some(Timestamp(at)), ..run_row(number, "flights", "active", 1) };
    let of_target = |model, at| TargetRow { wake_at: Some(Timestamp(at)), ..target_row(model) };
    let run = |at, number| (Timestamp(at), StreamId::Run(run_id(number)));
    let of = |at, model| (Timestamp(at), StreamId::Target(target(model)));
    assert_eq!(wakes(0, None, 9), [], "none of a partition never committed");

    let mut first = commit(0, 1, vec![]);
    first.runs =
        vec![of_run(2, 300), of_run(1, 300), of_run(3, 256), RunRow { wake_at: None, ..of_run(4, 0) }];
    // A name that another begins with, and a character that sorts before the one between model and environment.
    first.targets = vec![of_target("fraud-2", 300), of_target("fraud", 300), of_target("flights", 7)];
    let mut elsewhere = commit(1, 1, vec![]);
    elsewhere.runs = vec![RunRow { partition: 1, ..of_run(5, 1) }];
    put(store, &[first, elsewhere]).expect("commit works");
    let all = [of(7, "flights"), run(256, 3), run(300, 1), run(300, 2), of(300, "fraud"), of(300, "fraud-2")];
    assert_eq!(wakes(0, None, 9), all, "by moment, then by stream");
    assert_eq!(wakes(1, None, 9), [run(1, 5)], "each partition its own");
    assert_eq!(wakes(0, None, 2), all[..2], "at most so many");
    for (place, after) in all.iter().enumerate() {
        assert_eq!(wakes(0, Some(after), 9), all[place + 1..], "those after a place");
    }
    assert_eq!(wakes(0, Some(&run(256, 9)), 2), all[2..4], "a place that is nobody's");

    let mut second = commit(0, 2, vec![]);
    second.runs = vec![of_run(1, 9), RunRow { wake_at: None, ..of_run(2, 0) }];
    second.targets = vec![TargetRow { wake_at: None, ..target_row("flights") }, of_target("fraud", 8)];
    put(store, &[second]).expect("commit works");
    let after = [of(8, "fraud"), run(9, 1), run(256, 3), of(300, "fraud-2")];
    assert_eq!(wakes(0, None, 9), after, "4: they follow");
    assert_eq!(wakes(0, None, 3), after[..3], "4: also where few are asked for");
    // As it was once before.
    let mut third = commit(0, 3, vec![]);
    third.runs = vec![of_run(1, 300), of_run(2, 300)];
    put(store, &[third]).expect("commit works");
    let after = [of(8, "fraud"), run(256, 3), run(300, 1), run(300, 2), of(300, "fraud-2")];
    assert_eq!(wakes(0, None, 9), after, "4: and may come again");
}

fn kept_states<S: Store>(store: &S, put: Put<S>) {
    let (run, target) = (StreamId::Run(run_id(1)), StreamId::Target(target("flights")));
    let kept = |partition, stream| store.kept(partition, stream).expect("kept works");
    let mut first = commit(0, 1, vec![]);
    first.kept = vec![kept_state(run.clone(), 1, None), kept_state(target.clone(), 1, None)];
    put(store, &[first, commit(1, 1, vec![])]).expect("commit works");
    assert_eq!(kept(0, &run), Some(kept_state(run.clone(), 1, None)), "5: it comes back, whole");
    let chapter = Some(ChapterAt { seq: 2, before: 9 });
    let mut second = commit(0, 2, vec![]);
    second.kept = vec![kept_state(target.clone(), 2, chapter)];
    put(store, &[second, commit(1, 2, vec![])]).expect("commit works");
    assert_eq!(kept(0, &target), Some(kept_state(target.clone(), 2, chapter)), "5: the last one");
    assert_eq!(kept(0, &run), Some(kept_state(run.clone(), 1, None)), "5: the others stay");
    assert_eq!(kept(1, &run), None, "5: each partition its own");
    assert_eq!(kept(0, &StreamId::Run(run_id(2))), None, "5: none where none was");
}

fn found(store: &impl Store, query: &Query) -> Vec<u8> {
    store.runs(query).expect("runs works").iter().map(|row| row.run.0[0]).collect()
}

fn requests<S: Store>(store: &S, put: Put<S>) {
    let ask = |id: &str| store.request(0, id).expect("request works");
    for seq in 1..=4 {
        let mut commit = commit(0, seq, vec![]);
        commit.requests = vec![request_row(&format!("id {seq}"), seq)];
        put(store, &[commit]).expect("commit works");
    }
    assert_eq!(ask("id 2"), Some(request_row("id 2", 2)), "the answer comes back");
    assert_eq!(ask("id 4"), Some(request_row("id 4", 4)), "with its refusal");
    assert_eq!(ask("id 5"), None, "an id never asked is unknown");
    assert_eq!(store.request(1, "id 2").expect("request works"), None, "each partition its own");
    let mut last = commit(0, 5, vec![]);
    last.requests_from = 3;
    put(store, &[last]).expect("commit works");
    assert_eq!(ask("id 3"), Some(request_row("id 3", 3)), "kept from the bound on");
}
