//! The folder between processes: its lock, and a log that somebody changed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use engine::port::log::Log as _;
use serde_json::Value;

use super::asking::Client;
use super::flips::copy;
use super::place::{Pace, Place, Server, event};
use super::random::{Random, seed};

/// How long another process waits for the lock at least: a moment of the second that it has.
const HELD: Duration = Duration::from_millis(200);
const LOOK_MAX: Duration = Duration::from_secs(20);
/// So many records must have been changed.
const CHANGED_MIN: usize = 15;

/// A folder that this process holds as a server would.
fn held(place: &Place) -> File {
    fs::create_dir_all(place.data()).unwrap();
    let lock = File::create(place.data().join("LOCK")).unwrap();
    lock.lock().unwrap();
    lock
}

/// Whether a server has opened the lock's file: it tries to take it from then on.
fn tries(place: &Place, server: &Server) -> bool {
    let lock = place.data().join("LOCK");
    let open = fs::read_dir(format!("/proc/{}/fd", server.id()));
    open.is_ok_and(|open| {
        open.flatten().any(|entry| fs::read_link(entry.path()).is_ok_and(|file| file == lock))
    })
}

#[test]
fn a_lock_that_is_given_free_in_time_is_taken() {
    let place = Place::of(Pace::Quick);
    let lock = held(&place);
    let mut server = place.serve();
    let began = Instant::now();
    while !tries(&place, &server) {
        assert!(began.elapsed() < LOOK_MAX && !server.has_ended(), "{}", place.errors());
    }
    let until = Instant::now() + HELD;
    while Instant::now() < until {
        assert!(!server.has_ended(), "it gave up at once: {}", place.errors());
    }
    drop(lock);
    server.listening(&place);
    assert_eq!(server.stop(), Some(0), "{}", place.errors());
}

#[test]
fn a_lock_that_is_kept_is_named() {
    let place = Place::of(Pace::Quick);
    let _lock = held(&place);
    let said = place.run(&["serve"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.errors.contains("error[DATA_IN_USE]") && said.errors.contains("hint: "), "{said:?}");
}

/// Whoever can change the log can make its checksums fit; the chain of hashes is what they cannot.
#[test]
fn one_changed_byte_of_a_record_is_found_by_verify() {
    let mut random = Random::new(seed());
    let place = Place::of(Pace::Quick);
    let mut server = place.serve();
    let current = Arc::new(Mutex::new(server.listening(&place)));
    let client = Client::new(current, &place.data());
    let run = client.publish(&event("v1", "flights-changed", "changed-v1")).unwrap().run;
    client.until(&run, "packed", |run| run.bundle.is_some());
    server.kill();
    let copied = |change: &dyn Fn(&Path)| {
        let copied = tempfile::tempdir().unwrap();
        copy(&place.data(), copied.path());
        change(copied.path());
        let said = place.run(&["verify", "--output", "json", "--data", &copied.path().display().to_string()]);
        (said, copied)
    };
    let (said, read) = copied(&|_| {});
    assert_eq!((said.code, &said.json()["good"]), (Some(0), &true.into()), "{said:?}");
    let log = rocks::Folder::open(read.path()).unwrap().database();
    let partitions = 0..log.partitions();
    let records: Vec<Vec<u8>> = partitions
        .flat_map(|partition| log.read(partition, 0, usize::MAX).unwrap())
        .map(|landed| landed.bytes)
        .collect();
    let wal = write_ahead_log(&place.data());
    let bytes = fs::read(&wal).unwrap();
    let mut changed = 0;
    for record in &records {
        // One that stands in two blocks is not found in one piece.
        let Some(from) = bytes.windows(record.len()).position(|window| window == record.as_slice()) else {
            continue;
        };
        let at = from + random.below(record.len() as u64) as usize;
        let bit = 1 << random.below(8);
        let (said, _copied) = copied(&|folder| {
            let mut bytes = bytes.clone();
            bytes[at] ^= bit;
            seal(&mut bytes, at);
            fs::write(folder.join("log").join(wal.file_name().unwrap()), bytes).unwrap();
        });
        assert_eq!(said.code, Some(1), "byte {} of a record of {}: {said:?}", at - from, record.len());
        let is_named =
            ["error[LOG_NOT_OF_HEAD]", "error[DATA_DAMAGED]"].iter().any(|it| said.errors.contains(it))
                || serde_json::from_str(&said.out).is_ok_and(|said: Value| said["good"] == false);
        assert!(is_named, "{said:?}");
        changed += 1;
    }
    println!("{changed} records of {} were changed", records.len());
    assert!(changed >= CHANGED_MIN, "{changed} of {}", records.len());
}

/// The write-ahead log that has most in it.
fn write_ahead_log(data: &Path) -> PathBuf {
    let files = fs::read_dir(data.join("log")).unwrap().map(|entry| entry.unwrap().path());
    let logs = files.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    logs.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap()
}

/// Makes the checksum of the piece around a place fit. A piece: checksum(4) length(2) type(1) bytes, within 32 KiB.
fn seal(bytes: &mut [u8], around: usize) {
    const BLOCK: usize = 32 << 10;
    const HEAD: usize = 7;
    let mut from = around / BLOCK * BLOCK;
    loop {
        let length = usize::from(u16::from_le_bytes([bytes[from + 4], bytes[from + 5]]));
        let to = from + HEAD + length;
        if around < to {
            assert!(around >= from + HEAD, "the place is not in a head");
            let sum = crc32c(&bytes[from + 6..to]);
            let masked = sum.rotate_right(15).wrapping_add(0xa282_ead8);
            bytes[from..from + 4].copy_from_slice(&masked.to_le_bytes());
            return;
        }
        from = to;
    }
}

fn crc32c(bytes: &[u8]) -> u32 {
    let mut sum = !0_u32;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = (sum >> 1) ^ (0x82f6_3b78 & 0_u32.wrapping_sub(sum & 1));
        }
    }
    !sum
}
