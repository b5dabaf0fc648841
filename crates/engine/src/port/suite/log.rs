//! The contract of [`Log`].

use crate::port::log::{Append, Error, Log};

pub fn log<L: Log>(fresh: impl Fn() -> L) {
    let log = fresh();
    let partitions = log.partitions();
    assert!(partitions >= 2, "the suite needs two partitions");
    for partition in 0..partitions {
        assert_eq!(log.end(partition).expect("end works"), 0, "1: offsets begin at 0");
        assert!(log.read(partition, 0, 9).expect("read works").is_empty(), "3: none at the end");
    }

    let appends = [append(0, &[b"a", b""]), append(1, &[b"other"]), append(0, &[b"\x00\xff"])];
    log.append(&appends).expect("append works");
    assert_eq!(log.end(0).expect("end works"), 3, "1: dense");
    assert_eq!(log.end(1).expect("end works"), 1, "1: each partition its own");
    assert_eq!(
        read(&log, 0, 0, 9),
        [(0, b"a".to_vec()), (1, vec![]), (2, vec![0, 255])],
        "2: the given order"
    );
    assert_eq!(read(&log, 0, 1, 1), [(1, vec![])], "3: from the offset, at most so many");
    assert_eq!(read(&log, 0, 3, 9), [], "3: none at the end");
    assert_eq!(read(&log, 0, u64::MAX, 9), [], "3: none beyond it");
    assert_eq!(read(&log, 1, 0, 9), [(0, b"other".to_vec())], "1: partitions do not mix");

    log.append(&[append(0, &[b"a"])]).expect("append works");
    assert_eq!(read(&log, 0, 3, 9), [(3, b"a".to_vec())], "4: the same bytes again are another record");
    log.append(&[]).expect("appending nothing works");
    assert_eq!(log.end(0).expect("end works"), 4, "2: nothing is nothing");

    let absent = log.append(&[append(0, &[b"x"]), append(partitions, &[b"y"])]);
    assert!(matches!(absent, Err(Error::NoSuchPartition { .. })), "a partition that is not there is named");
    assert!(log.read(partitions, 0, 1).is_err() && log.end(partitions).is_err(), "for reading too");
    assert_eq!(log.end(0).expect("end works"), 4, "and nothing of that append landed");
}

fn append(partition: u32, records: &[&[u8]]) -> Append {
    Append { partition, records: records.iter().map(|bytes| bytes.to_vec()).collect() }
}

fn read(log: &impl Log, partition: u32, from: u64, max: usize) -> Vec<(u64, Vec<u8>)> {
    let landed = log.read(partition, from, max).expect("read works");
    landed.into_iter().map(|landed| (landed.offset, landed.bytes)).collect()
}
