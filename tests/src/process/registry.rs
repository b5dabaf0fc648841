//! A real OCI registry for tests: Debian's docker-registry, with a user and a password, on a folder of its own.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use domain::name::Digest;
use engine::port::blobs::{Blobs as _, Error};
use engine::port::suite;
use oci::{Account, Cached, Plain, Repository};
use serde_json::Value;
use tempfile::TempDir;

use super::{http, place::Place};

pub(crate) const USER: &str = "modelrail";
pub(crate) const PASSWORD: &str = "open sesame";
/// Of that password, by bcrypt.
const HTPASSWD: &str = "modelrail:$2y$05$abcdefghijklmnopqrstuupx2xBUC4954936wVIjyyPHmUBFu0wCW\n";
/// How long it may take to say where it listens.
const START_MAX: Duration = Duration::from_secs(30);
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A registry on loopback. It is killed when this is dropped.
pub(crate) struct Registry {
    folder: TempDir,
    process: Option<Child>,
    /// `127.0.0.1:PORT`, the same for its life.
    address: String,
}

impl Registry {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("htpasswd"), HTPASSWD).unwrap();
        let mut registry = Self { folder, process: None, address: "127.0.0.1:0".to_owned() };
        registry.come_back();
        registry
    }

    /// `kill -9`.
    pub(crate) fn go_away(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// With what it had, where it was.
    pub(crate) fn come_back(&mut self) {
        let config = self.folder.path().join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{ level: info, formatter: json }}\nhttp: {{ addr: '{}', secret: tests }}\n\
             storage: {{ filesystem: {{ rootdirectory: {:?} }}, delete: {{ enabled: true }} }}\n\
             auth: {{ htpasswd: {{ realm: tests, path: {:?} }} }}\n",
            self.address,
            self.folder.path().join("storage"),
            self.folder.path().join("htpasswd"),
        );
        fs::write(&config, text).unwrap();
        let mut process = Command::new(program())
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stderr.take().unwrap()).lines();
        self.process = Some(process);
        let (sender, listens) = mpsc::channel();
        // Read to its end, so that it never waits for somebody to read.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let at = line.split("listening on ").nth(1).and_then(|rest| rest.split('"').next());
                // Nobody waits once it is known.
                let _known = at.map(|at| sender.send(at.to_owned()));
            }
        });
        self.address = listens.recv_timeout(START_MAX).expect("it says where it listens");
    }

    /// Of one repository of it.
    pub(crate) fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }

    fn blobs(&self, name: &str, password: &str) -> oci::Registry {
        let repository = Repository::parse(&self.url(name), Plain::Loopback).unwrap();
        oci::Registry::new(repository, Some(Account::new(USER.to_owned(), password.to_owned())))
    }

    /// What anybody gets who knows the password and no program of ours: status, type and bytes.
    pub(crate) fn pull(&self, path: &str) -> (u16, String, Vec<u8>) {
        let url = format!("http://{}/v2/{path}", self.address);
        let asked = http().get(url).basic_auth(USER, Some(PASSWORD)).header("accept", MANIFEST);
        let answer = asked.send().unwrap();
        let kind = answer.headers().get("content-type").map(|value| value.to_str().unwrap().to_owned());
        (answer.status().as_u16(), kind.unwrap_or_default(), answer.bytes().unwrap().to_vec())
    }

    /// Collects what no manifest names, as its operator does while nobody writes.
    fn collect_garbage(&mut self) {
        self.go_away();
        let config = self.folder.path().join("config.yml");
        let done = Command::new(program()).arg("garbage-collect").arg(&config).output().unwrap();
        assert!(done.status.success(), "{done:?}");
        self.come_back();
    }

    /// For a server or a worker.
    pub(crate) fn variables(&self, name: &str) -> Vec<(&'static str, String)> {
        let password = self.folder.path().join("password");
        fs::write(&password, format!("{PASSWORD}\n")).unwrap();
        vec![
            ("MODELRAIL_BLOBS__REGISTRY", self.url(name)),
            ("MODELRAIL_BLOBS__USER", USER.to_owned()),
            ("MODELRAIL_BLOBS__PASSWORD", format!("secret://file{}", password.display())),
        ]
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended already; there is nothing else to do about it.
            let _gone = process.kill();
            let _gone = process.wait();
        }
    }
}

/// Fetched once, however many tests begin at the same time.
fn program() -> &'static str {
    static PROGRAM: OnceLock<String> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/registry/fetch.sh");
        let found = Command::new("sh").arg(script).stderr(Stdio::inherit()).output().expect("sh is there");
        assert!(found.status.success(), "what is missing stands above");
        String::from_utf8(found.stdout).unwrap().trim().to_owned()
    })
}

fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[test]
fn a_registry_keeps_the_contract_of_blobs_and_so_does_a_folder_in_front_of_it() {
    let registry = Registry::start();
    let folder = tempfile::tempdir().unwrap();
    suite::blobs(|| registry.blobs("suite/far", PASSWORD));
    suite::blobs(|| {
        let near = Arc::new(rocks::Blobs::shared(folder.path()).unwrap());
        Cached::new(near, Arc::new(registry.blobs("suite/near", PASSWORD)))
    });
    // More than one piece, and not a whole number of them.
    let blobs = registry.blobs("suite/far", PASSWORD);
    let large: Vec<u8> = (0..20_000_003_u32).map(|number| (number % 251) as u8).collect();
    let digest = blobs.put(&large).unwrap();
    assert!(blobs.get(digest).unwrap() == large);
}

#[test]
fn what_is_put_outlives_a_collection_and_a_part_alone_does_not() {
    let mut registry = Registry::start();
    let blobs = registry.blobs("models", PASSWORD);
    let kept = blobs.put(b"evidence").unwrap();
    let part = blobs.put_part(b"a part").unwrap();
    let alone = blobs.put_part(b"a part of nothing").unwrap();
    let config = blobs.put_part(b"{}").unwrap();
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"mediaType":"application/x","digest":"{config}","size":2}},"layers":[{{"mediaType":"application/x","digest":"{part}","size":6}}]}}"#
    );
    let unwhole = manifest.replace(&part.to_string(), &Digest::of(b"never put").to_string());
    let refused = told(&blobs.put(unwhole.as_bytes()).unwrap_err());
    assert!(refused.contains("MANIFEST_BLOB_UNKNOWN"), "{refused}");
    assert!(matches!(blobs.get(Digest::of(unwhole.as_bytes())), Err(Error::Missing(_))));
    let named = blobs.put(manifest.as_bytes()).unwrap();
    let signature = blobs.put(b"a signature").unwrap();
    assert_eq!(blobs.referrers(named).unwrap(), []);
    let second = blobs.put(b"another signature").unwrap();
    for referrer in [signature, second, signature] {
        blobs.add_referrer(named, referrer).unwrap();
    }
    registry.collect_garbage();
    let blobs = registry.blobs("models", PASSWORD);
    for (digest, bytes) in [
        (kept, &b"evidence"[..]),
        (part, b"a part"),
        (named, manifest.as_bytes()),
        (signature, b"a signature"),
    ] {
        assert_eq!(blobs.get(digest).unwrap(), bytes);
    }
    assert_eq!(blobs.referrers(named).unwrap(), [signature, second], "in the order of adding, each once");
    assert!(matches!(blobs.get(alone), Err(Error::Missing(_))), "the collection collects");
}

#[test]
fn a_wrong_password_is_told_with_a_hint_and_is_not_missing_bytes() {
    let registry = Registry::start();
    let blobs = registry.blobs("models", "hunter2");
    let errors = [blobs.put(b"abc").unwrap_err(), blobs.get(Digest::of(b"abc")).unwrap_err()];
    for error in errors.iter().map(|error| told(error)) {
        assert!(error.contains("401") && error.contains("hint: the registry wants another user"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    registry.blobs("models", PASSWORD).check().unwrap();
}

#[test]
fn the_doctor_says_whether_the_registry_lets_us_write() {
    let mut registry = Registry::start();
    let mut place = Place::new();
    for (name, value) in registry.variables("models") {
        place.set(name, value);
    }
    let found = |place: &Place| {
        let said = place.run(&["doctor", "--output", "json"]).json();
        let all = said.as_array().unwrap_or_else(|| panic!("{said}")).clone();
        all.into_iter().find(|looked| looked["at"] == "blobs.registry").unwrap()
    };
    assert_eq!(found(&place)["good"], Value::Bool(true), "{}", found(&place));
    place.set("MODELRAIL_BLOBS__USER", "nobody".into());
    let refused = found(&place);
    assert_eq!(refused["good"], Value::Bool(false));
    assert!(refused["hint"].as_str().unwrap().contains("another user or password"), "{refused}");
    registry.go_away();
    let away = found(&place);
    assert!(away["hint"].as_str().unwrap().contains("whether the registry is up"), "{away}");
}
