//! A full disk: what is recorded is read, callers are served, nothing is decided; and it goes on by itself when there is
//! room.
//!
//! The data folder gets a file system of its own (tmpfs) where this process may mount one: as root, here and in CI. Where
//! it may not, the reserve is set just below what is free and a file of some gigabytes eats it; a write that finds no
//! room at all cannot be made then, and that half says so.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::asking::{Client, Current, http};
use super::callers::Calling;
use super::light;
use super::place::{Addresses, Place};

const MODEL: &str = "flights-full";
const OTHER: &str = "flights-full-other";
const MIB: u64 = 1 << 20;
/// RocksDB reserves 64 MiB for each of two write-ahead logs.
const DISK_MIB: u64 = 320;
const RESERVE_MIB: u64 = 16;
/// What RocksDB had laid out before the disk was full is filled first: some 60 MB, at the pace of a busy machine.
const FULL_MAX: Duration = Duration::from_mins(6);
/// How soon decisions must go on once there is room.
const RESUME_MAX: Duration = Duration::from_secs(30);
/// How soon a full disk must be noticed.
const NOTICE_MAX: Duration = Duration::from_secs(30);

/// A file system of its own at the data folder; it goes with this.
struct Mounted(PathBuf);

impl Mounted {
    fn at(folder: &Path) -> Option<Self> {
        fs::create_dir_all(folder).unwrap();
        let size = format!("size={DISK_MIB}m");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder).output();
        mount.is_ok_and(|said| said.status.success()).then(|| Self(folder.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Whoever still has it open keeps it until then.
        let _gone = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn limit(place: &Place, reserve_mib: u64) {
    let mut config = fs::File::options().append(true).open(place.config()).unwrap();
    writeln!(config, "[limits]\ndisk_free_min_mib = {reserve_mib}").unwrap();
}

/// Asks once: status, `Retry-After`, body.
fn get(addresses: &Addresses, token: &str, path: &str) -> Option<(u16, Option<String>, String)> {
    let response = http().get(format!("{}{path}", addresses.api)).bearer_auth(token).send().ok()?;
    let after = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    Some((response.status().as_u16(), after, response.text().ok()?))
}

fn post(addresses: &Addresses, token: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
    let events = path == "/v1/events";
    let kind = if events { "application/cloudevents+json" } else { "application/json" };
    let request =
        http().post(format!("{}{path}", addresses.api)).bearer_auth(token).header("content-type", kind);
    let response = request.body(body.to_string()).send().ok()?;
    Some((response.status().as_u16(), response.json().unwrap_or_default()))
}

fn metric(addresses: &Addresses, token: &str, name: &str) -> u64 {
    let (_, _, text) = get(addresses, token, "/metrics").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

fn wait(place: &Place, what: &str, most: Duration, mut is: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < most, "not {what} within {most:?}: {}", place.errors());
        std::thread::sleep(Duration::from_millis(50));
    }
    began.elapsed()
}

/// Bytes that are free where `folder` is, now.
fn free(folder: &Path) -> u64 {
    let said = Command::new("df").args(["--output=avail", "-B1"]).arg(folder).output().unwrap();
    String::from_utf8(said.stdout).unwrap().lines().nth(1).unwrap().trim().parse().unwrap()
}

/// Writes until there is no room for another byte.
fn eat_all(path: &Path) {
    let mut file = fs::File::create(path).unwrap();
    let ended = std::iter::repeat_with(|| file.write_all(&[7; 4096])).find_map(Result::err);
    assert_eq!(ended.unwrap().kind(), std::io::ErrorKind::StorageFull);
}

fn eat(path: &Path, bytes: u64) {
    let length = bytes.to_string();
    assert!(Command::new("fallocate").args(["-l", &length]).arg(path).status().unwrap().success());
}

#[test]
fn below_the_reserve_reading_and_serving_go_on_and_deciding_does_when_there_is_room() {
    let place = light::place();
    let mounted = Mounted::at(&place.data());
    if mounted.is_some() {
        limit(&place, RESERVE_MIB);
    }
    let mut server = place.serve();
    let mut addresses = server.listening(&place);
    let ballast = place.data().join("ballast");
    if mounted.is_none() {
        println!("no file system may be mounted: the reserve is set below what is free");
        assert_eq!(server.stop(), Some(0));
        limit(&place, (free(&place.data()) / MIB).saturating_sub(2_048));
        server = place.serve();
        addresses = server.listening(&place);
    }
    let token = fs::read_to_string(place.data().join("admin.token")).unwrap().trim().to_owned();
    let current: Current = Arc::new(Mutex::new(addresses.clone()));
    let client = Client::new(Arc::clone(&current), &place.data());
    let _calling = (Calling::start(&current, MODEL), Calling::start(&current, OTHER));
    let first = client.publish(&light::plain("v1", MODEL, "full-v1")).unwrap().run;
    let other = client.publish(&light::plain("v1", OTHER, "full-other")).unwrap().run;
    for run in [&first, &other] {
        client.until(run, "live", |run| run.state == "live");
    }

    let kept = RESERVE_MIB * MIB / 2;
    let free = free(&place.data());
    eat(&ballast, if mounted.is_some() { free - kept } else { 4_096 * MIB });
    wait(&place, "suspended", NOTICE_MAX, || get(&addresses, &token, "/readyz").unwrap().0 == 503);
    let (_, after, body) = get(&addresses, &token, "/readyz").unwrap();
    assert!(body.contains("DISK_FULL") && after.as_deref() == Some("5"), "{after:?} {body}");
    let next = light::plain("v2", MODEL, "full-v2");
    let (status, problem) = post(&addresses, &token, "/v1/events", &next).unwrap();
    assert_eq!((status, problem["code"].as_str()), (503, Some("DISK_FULL")), "{problem}");
    assert!(problem["hint"].as_str().unwrap().contains("free some room"), "{problem}");
    // Everything that is recorded is read.
    let answered = metric(&addresses, &token, "modelrail_transitions_total");
    for path in ["/v1/runs", "/v1/targets", &format!("/v1/runs/{first}/transitions")] {
        let got = get(&addresses, &token, path);
        assert_eq!(got.map(|got| got.0), Some(200), "{path}: {}", place.errors());
    }
    assert_eq!(post(&addresses, &token, "/v1/verify", &json!({})).unwrap().0, 200);
    let replayed = place.run(&["replay", &first, "--server", &addresses.api]);
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    assert_eq!(metric(&addresses, &token, "modelrail_suspended{code=\"DISK_FULL\"}"), 1);
    // Callers are served, and led away from a release.
    let infer = |model: &str| {
        let url = format!("{}/{model}@production/v2/models/{model}/infer", addresses.gateway);
        let rows: Vec<f32> = vec![0.5; 18];
        let body =
            json!({ "inputs": [{ "name": "features", "shape": [1, 18], "datatype": "FP32", "data": rows }] });
        http().post(url).body(body.to_string()).send().unwrap().status().as_u16()
    };
    assert_eq!(infer(MODEL), 200);
    let kill = fs::read_to_string(place.data().join("kill.token")).unwrap();
    let url = format!("{}/{OTHER}@production/kill", addresses.gateway);
    let killed =
        http().post(url).bearer_auth(kill.trim()).body(r#"{"reason":"bad","release":"v1"}"#).send().unwrap();
    assert_eq!(killed.status().as_u16(), 200, "{:?}", killed.text());
    assert_eq!((infer(MODEL), infer(OTHER)), (200, 503));
    assert_eq!(metric(&addresses, &token, "modelrail_transitions_total"), answered, "nothing was decided");

    fs::remove_file(&ballast).unwrap();
    let took = wait(&place, "resumed", RESUME_MAX, || get(&addresses, &token, "/readyz").unwrap().0 == 200);
    println!("decisions went on {} ms after there was room", took.as_millis());
    let second = client.publish(&next).unwrap().run;
    client.until(&second, "live", |run| run.state == "live");
    assert!(!server.has_ended(), "{}", place.errors());
    assert_eq!(server.stop(), Some(0), "{}", place.errors());
    let verified = place.run(&["verify", "--data", place.data().to_str().unwrap()]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
}

#[test]
fn a_write_without_room_loses_nothing_and_the_folder_is_opened_again_when_there_is() {
    let place = light::place();
    let Some(_mounted) = Mounted::at(&place.data()) else {
        println!("no file system may be mounted: a disk without any room is not tested here");
        return;
    };
    // Nothing is watched: the write itself finds that there is no room.
    limit(&place, 0);
    let mut server = place.serve();
    let addresses = server.listening(&place);
    let token = fs::read_to_string(place.data().join("admin.token")).unwrap().trim().to_owned();
    let current: Current = Arc::new(Mutex::new(addresses.clone()));
    let client = Client::new(Arc::clone(&current), &place.data());
    let first = client.publish(&light::plain("v1", MODEL, "none-v1")).unwrap().run;
    client.until(&first, "live", |run| run.state == "live");
    let ballast = place.data().join("ballast");
    eat_all(&ballast);

    let (accepted, full) = (AtomicU64::new(0), AtomicBool::new(false));
    let path = format!("/v1/targets/{MODEL}@production/requests");
    let reason = "because ".repeat(120);
    let began = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (path, token, reason, addresses) = (&path, &token, &reason, &addresses);
            let (accepted, full) = (&accepted, &full);
            scope.spawn(move || {
                let body =
                    json!({ "kind": if thread % 2 == 0 { "freeze" } else { "unfreeze" }, "reason": reason });
                while !full.load(Relaxed) && began.elapsed() < FULL_MAX {
                    match post(addresses, token, path, &body) {
                        Some((200, _)) => drop(accepted.fetch_add(1, Relaxed)),
                        Some((503, problem)) if problem["code"] == "DISK_FULL" => full.store(true, Relaxed),
                        // Refused as it is, or in doubt.
                        _ => {}
                    }
                }
            });
        }
    });
    assert!(full.load(Relaxed), "{} requests found room: {}", accepted.load(Relaxed), place.errors());
    for path in ["/v1/runs", &format!("/v1/runs/{first}/transitions"), "/metrics"] {
        let got = get(&addresses, &token, path);
        assert_eq!(got.map(|got| got.0), Some(200), "{path}: {}", place.errors());
    }
    assert_eq!(post(&addresses, &token, "/v1/verify", &json!({})).unwrap().0, 200);
    fs::remove_file(&ballast).unwrap();
    let ready = || get(&addresses, &token, "/readyz").is_some_and(|(status, ..)| status == 200);
    let took = wait(&place, "resumed", RESUME_MAX, ready);
    println!(
        "{} requests were accepted; {} ms after there was room it went on",
        accepted.load(Relaxed),
        took.as_millis()
    );
    let verified = client.verify();
    assert!(verified.good, "{verified:?}");
    let records: u64 = verified.partitions.iter().map(|partition| partition.transitions).sum();
    assert!(records > accepted.load(Relaxed), "everything accepted is recorded: {records}");
    let other = client.publish(&light::plain("v1", OTHER, "none-other")).unwrap().run;
    client.until(&other, "live", |run| run.state == "live");
    assert!(!server.has_ended(), "the same process: {}", place.errors());
    assert_eq!(server.stop(), Some(0), "{}", place.errors());
}
