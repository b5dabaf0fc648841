//! The contract of [`Embedded`].

use domain::name::StreamId;

use super::samples::{commit, record, run_id, run_row};
use crate::port::log::Append;
use crate::port::store::{Batch, Embedded};

pub fn embedded<E: Embedded>(fresh: impl Fn() -> E) {
    let database = fresh();
    let stream = StreamId::Run(run_id(1));
    let append = |partition, seq| Append { partition, records: vec![record(partition, seq)] };
    let mut first = commit(0, 1, vec![stream.clone()]);
    first.runs = vec![run_row(1, "flights", "active", 1)];
    let batch = Batch {
        appends: vec![append(0, 1), append(1, 1), append(0, 2)],
        commits: vec![first.followed_by(commit(0, 2, vec![stream.clone()])), commit(1, 1, vec![])],
    };
    database.write_sync(&batch).expect("the write works");
    let heads = [0, 1].map(|partition| {
        let head = database.head(partition).expect("head works").expect("committed");
        (head.seq, database.end(partition).expect("end works"))
    });
    assert_eq!(heads, [(2, 2), (1, 1)], "log and view together, of all partitions");
    let records = database.stream(0, &stream, 0, 9).expect("stream works");
    assert_eq!(records, [(1, record(0, 1)), (2, record(0, 2))], "the records of the batch are in the view");

    let refused = Batch { appends: vec![append(0, 3)], commits: vec![commit(0, 4, vec![])] };
    database.write_sync(&refused).expect_err("a commit that does not follow is refused");
    assert_eq!(database.end(0).expect("end works"), 2, "atomic: nothing of a refused batch landed");
    database.write_sync(&Batch::default()).expect("writing nothing works");
}
