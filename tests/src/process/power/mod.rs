//! Power losses: the server is killed, and its folder is put back to what a disk is sure to hold, with random parts
//! of what was not synced. What was acknowledged is there, the server starts, and the log is good.
//!
//! A shim that is preloaded into the server writes down each change and each sync (`tests/power/shim.c`); `disk` is
//! the disk. 20 losses in the test command; `MODELRAIL_POWER_LOSSES=1000` for the long round.

mod disk;
mod journal;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use engine::fail::Safety;

use self::disk::{Disk, Loss};
use super::asking::{Client, Current};
use super::place::{Pace, Place, Server, event};
use super::random::{Random, asked_for, seed};
use super::report::Report;
use super::workload::{Shared, during};

const LOSSES: usize = 20;
const GAP_MS: u64 = 2_500;
const DATA: &str = "data";

/// Builds the shim, once a test.
fn shim(folder: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("power/shim.c");
    let library = folder.join("shim.so");
    let mut cc = Command::new("cc");
    cc.args(["-O1", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&library).arg(source);
    let built = cc.args(["-ldl", "-lpthread"]).output().expect("a C compiler is there: RocksDB needs one");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    library
}

/// A place on a disk that can lose its power.
struct Powered {
    place: Place,
    journal: PathBuf,
    disk: Disk,
    _built: tempfile::TempDir,
}

impl Powered {
    fn new(variables: &[(&str, String)]) -> Self {
        let built = tempfile::tempdir().unwrap();
        let journal = built.path().join("journal");
        let mut place = Place::of(Pace::Quick);
        let root = place.root().display().to_string();
        place.set("LD_PRELOAD", shim(built.path()).display().to_string());
        place.set("POWER_ROOT", root);
        place.set("POWER_JOURNAL", journal.display().to_string());
        for (name, value) in variables {
            place.set(name, value.clone());
        }
        let disk = Disk::of(place.root(), DATA);
        Self { place, journal, disk, _built: built }
    }

    /// Follows what the process did since the last time. It must have ended.
    fn follow(&mut self) {
        let bytes = fs::read(&self.journal).unwrap();
        self.disk.follow(journal::read(&bytes, self.place.root(), DATA));
        fs::remove_file(&self.journal).unwrap();
    }

    /// The power goes, and comes back; gives how many changes were lost.
    fn lose(&mut self, loss: Loss, random: &mut Random) -> usize {
        self.follow();
        let left = self.disk.after(loss, random);
        left.write(self.place.root(), DATA);
        self.disk = Disk::of(self.place.root(), DATA);
        left.changes_lost
    }
}

#[test]
fn power_losses_lose_nothing_that_was_acknowledged() {
    let seed = seed();
    let losses = asked_for("MODELRAIL_POWER_LOSSES", LOSSES);
    Report::of("power", seed, |report| {
        let mut random = Random::new(seed);
        for _ in 0..losses.div_ceil(LOSSES) {
            let mut powered = Powered::new(&[]);
            let place = powered.place.clone();
            let (lost, server, told) =
                during(&place, |server, shared| lose_often(&mut powered, server, shared, &mut random));
            for changes in &lost {
                report.fault("power loss");
                *report.outcomes.entry("changes lost".into()).or_default() += changes;
            }
            let useful = lost.iter().filter(|changes| **changes > 0).count();
            assert!(useful * 2 > lost.len(), "too little was under way: {lost:?}");
            report.runs += told.ledger.published.len();
            report.effects_checked += told.settle(&place, server);
        }
        assert!(report.faults_all() >= losses, "{} losses of {losses}", report.faults_all());
    });
}

fn lose_often(
    powered: &mut Powered,
    mut server: Server,
    shared: &Shared,
    random: &mut Random,
) -> (Vec<usize>, Server) {
    let mut lost = vec![];
    while lost.len() < LOSSES {
        let due = Instant::now() + Duration::from_millis(random.below(GAP_MS));
        while Instant::now() < due {
            shared.look(&server);
            std::thread::sleep(Duration::from_millis(2));
        }
        assert!(!server.has_ended(), "the server ended by itself: {}", powered.place.errors_of(&server));
        server.kill();
        lost.push(powered.lose(Loss::Some, random));
        server = powered.place.serve();
        server.listening(&powered.place);
        shared.look(&server);
    }
    (lost, server)
}

/// Whether an event that was acknowledged is still there when the power went right after.
fn is_kept(variables: &[(&str, String)]) -> bool {
    let mut powered = Powered::new(variables);
    let place = powered.place.clone();
    let mut server = place.serve();
    let current: Current = Arc::new(Mutex::new(server.listening(&place)));
    let client = Client::new(Arc::clone(&current), &place.data());
    let run = client.publish(&event("v1", "flights-kept", "kept-v1")).unwrap().run;
    server.kill();
    powered.lose(Loss::All, &mut Random::new(0));
    let listed = place.run(&["runs", "--output", "json", "--data", &place.data().display().to_string()]);
    println!("{variables:?}: {}{}", listed.out, listed.errors);
    listed.code == Some(0) && listed.out.contains(&run)
}

#[test]
fn what_was_acknowledged_a_moment_before_is_kept_and_without_syncs_it_is_lost() {
    assert!(is_kept(&[]));
    let off = ("MODELRAIL_FAIL_OFF", Safety::Sync.as_str().to_owned());
    assert!(!is_kept(&[off]), "the test would not see a loss");
}

/// The disk of the test holds what the real one holds, so what it says of a loss can be believed.
#[test]
fn the_disk_follows_everything_that_the_server_writes() {
    let mut powered = Powered::new(&[]);
    let place = powered.place.clone();
    let mut server = place.serve();
    let current: Current = Arc::new(Mutex::new(server.listening(&place)));
    let client = Client::new(Arc::clone(&current), &place.data());
    let run = client.publish(&event("v1", "flights-followed", "followed-v1")).unwrap().run;
    client.until(&run, "packed", |run| run.seq > 0 && run.bundle.is_some());
    assert_eq!(server.stop(), Some(0), "{}", place.errors());
    powered.follow();
    // RocksDB's text log goes through stdio.
    let is_text_log =
        |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("LOG"));
    let sums = |files: BTreeMap<PathBuf, Vec<u8>>| -> BTreeMap<PathBuf, domain::name::Digest> {
        let ours = files.into_iter().filter(|(path, _)| !is_text_log(path));
        ours.map(|(path, bytes)| (path, domain::name::Digest::of(&bytes))).collect()
    };
    let real = Disk::of(place.root(), DATA);
    assert_eq!(sums(powered.disk.now()), sums(real.now()));
}
