//! What was acknowledged survives: the binary runs itself as a writer that says each pass it had acknowledged,
//! and dies by SIGKILL at a random moment, or finds the disk full.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use domain::name::StreamId;
use engine::port::journal::Journal as _;
use engine::port::log::Log as _;
use engine::port::store::{self, Embedded as _, Store as _};

use crate::samples::{self, Random};

const FOLDER: &str = "ROCKS_TEST_FOLDER";
const SEED: &str = "ROCKS_TEST_SEED";
const ROUNDS: u64 = 10;

/// Not a test of its own: what the other process does. Without the variable it has nothing to do.
#[test]
fn writer() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let database = samples::open(Path::new(&folder)).database();
    let mut out = std::io::stdout().lock();
    // The number of passes follows from the log alone.
    let end = database.end(0).unwrap();
    let mut number = (0..=end).find(|passes| samples::end_after(*passes) == end).unwrap();
    samples::complete(&database, number);
    // The kill may have fallen between a pass and its entry.
    database.put(&number.checked_sub(1).map(samples::entry).into_iter().collect::<Vec<_>>(), &[]).unwrap();
    loop {
        let written = database.write_sync(&samples::pass(number));
        let written = written.and_then(|()| {
            let journal = database.put(&[samples::entry(number)], &[]);
            journal.map_err(|error| store::Error::Io(error.into()))
        });
        if written.is_err() {
            let again = database.write_sync(&samples::pass(number + 1)).unwrap_err();
            let store::Error::Io(cause) = again else { panic!("expected a stop, but found {again:?}") };
            let code = cause.downcast_ref::<rocks::Error>().unwrap().code();
            writeln!(out, "\nstopped {code}").unwrap();
            return;
        }
        number += 1;
        writeln!(out, "\npasses {number}").unwrap();
        out.flush().unwrap();
    }
}

fn writer_process(folder: &Path, through: &[&str]) -> Command {
    let binary = std::env::current_exe().unwrap();
    let mut command = match through {
        [] => Command::new(&binary),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(&binary);
            command
        }
    };
    command.args(["--exact", "kills::writer", "--nocapture"]).env(FOLDER, folder);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// The number in a line of the writer.
fn passes(line: &str) -> Option<u64> {
    line.strip_prefix("passes ")?.parse().ok()
}

#[test]
fn acknowledged_writes_survive_kills_at_random_moments() {
    let drawn = || std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let seed = std::env::var(SEED).map_or_else(|_| drawn(), |seed| seed.parse().unwrap());
    println!("{SEED}={seed}");
    let mut random = Random::new(seed);
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 0..ROUNDS {
        let before = acknowledged;
        let mut child = writer_process(folder.path(), &[]).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // A number of passes and a part of one: the kill falls anywhere within a write.
        let enough = before + 1 + random.below(60);
        while acknowledged < enough {
            let line = lines.next().expect("the writer goes on until it is killed").unwrap();
            acknowledged = passes(&line).unwrap_or(acknowledged);
        }
        let until = std::time::Instant::now() + Duration::from_micros(random.below(2_000));
        while std::time::Instant::now() < until {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        acknowledged = lines.filter_map(|line| passes(&line.unwrap())).last().unwrap_or(acknowledged);
        assert!(acknowledged > before, "the round wrote something");
        acknowledged = check(folder.path(), acknowledged, round);
    }
}

/// Holds what is there against what was acknowledged; gives how many passes are there.
fn check(folder: &Path, acknowledged: u64, round: u64) -> u64 {
    let opened = samples::open(folder);
    let database = opened.database();
    let end = database.end(0).unwrap();
    let found = (0..=acknowledged + 1).find(|passes| samples::end_after(*passes) == end);
    let found = found.unwrap_or_else(|| panic!("round {round}: the log ends at {end}, within no pass"));
    assert!(found >= acknowledged, "round {round}: {acknowledged} passes acknowledged, {found} found");
    let viewed = (0..samples::PARTITIONS).map(|it| database.head(it).unwrap().map_or(0, |head| head.seq));
    let viewed: Vec<u64> = viewed.collect();
    assert!(
        viewed.iter().all(|seq| *seq == viewed[0] && *seq <= end),
        "round {round}: never ahead: {viewed:?}"
    );
    samples::complete(&database, found);
    for partition in 0..samples::PARTITIONS {
        assert_eq!(database.end(partition).unwrap(), end, "round {round}: a pass is whole over partitions");
        let head = database.head(partition).unwrap().unwrap();
        assert_eq!(head, samples::head(partition, end), "round {round}: the view follows the log");
        let records = database.read(partition, 0, usize::MAX).unwrap();
        assert_eq!(records.len() as u64, end);
        for landed in records {
            assert!(
                landed.bytes == samples::record(partition, landed.offset),
                "round {round}: {}",
                landed.offset
            );
        }
        let run = u64::from(partition) * 1_000_000 + (found - 1) % 50;
        let row = database.run(samples::run_id(run)).unwrap().unwrap();
        assert_eq!(row, samples::run_row(run, end, partition), "round {round}");
        let stream = StreamId::Run(samples::run_id(run));
        let stream = database.stream(partition, &stream, 0, usize::MAX).unwrap();
        assert_eq!(stream.last().unwrap(), &(end, samples::record(partition, end - 1)), "round {round}");
    }
    for number in 0..acknowledged {
        let entry = samples::entry(number);
        assert_eq!(database.get(&entry.attempt).unwrap(), Some(entry), "round {round}");
    }
    found
}

#[test]
fn a_failed_write_stops_and_what_was_acknowledged_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    // No file may grow beyond 128 blocks; without the trap the signal would end the process instead.
    let limited = "trap '' XFSZ; ulimit -f 128; exec \"$@\"";
    let child = writer_process(folder.path(), &["sh", "-c", limited, "sh"]).spawn().unwrap();
    let out = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(text.contains("stopped DATA_STOPPED"), "the writer met its limit and stopped: {text}");
    let acknowledged = text.lines().filter_map(passes).next_back().unwrap();
    assert!(acknowledged > 10, "{acknowledged}");
    check(folder.path(), acknowledged, 0);
}
