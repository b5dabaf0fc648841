//! Brokers for tests, by `deploy/kafka/broker.sh`: one that all tests of a process share, and clusters of a test's
//! own, whose nodes may be killed, stopped and started again.
//!
//! The brokers are held by a script that reads its stdin: when this process ends, however it ends, the script ends
//! them and removes their folder. (A signal at the parent's death would come when the *thread* that started them ends.)
//!
//! `MODELRAIL_KAFKA` names brokers that are there already: the shared one is that then, and there are no clusters of a
//! test's own.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

const GIVEN: &str = "MODELRAIL_KAFKA";

/// Brokers on loopback. They are ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Cluster {
    brokers: String,
    held: Option<Held>,
}

/// The script that holds the brokers, and their folder.
#[derive(Debug)]
struct Held {
    script: Child,
    folder: PathBuf,
}

/// The brokers that all tests of this process share: their topics have prefixes of their own.
pub(crate) fn shared() -> &'static Cluster {
    // Not dropped: the end of this process is what ends the brokers.
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(|| match std::env::var(GIVEN) {
        Ok(brokers) => Cluster { brokers, held: None },
        Err(_) => Cluster::start(&[]),
    })
}

/// One with TLS, passwords and an authorizer, which all tests share that need such a one.
pub(crate) fn secure() -> Option<&'static Cluster> {
    static SECURE: OnceLock<Option<Cluster>> = OnceLock::new();
    SECURE.get_or_init(|| Cluster::own_with(&["--secure"])).as_ref()
}

/// A prefix of topics that no other test has, of no other process either.
pub(crate) fn prefix() -> String {
    static USED: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    format!("test-{now}-{}-{}.", std::process::id(), USED.fetch_add(1, Ordering::Relaxed))
}

impl Cluster {
    /// A cluster of this test's own. None, and it says so, where the brokers are given.
    pub(crate) fn own(nodes: u8) -> Option<Self> {
        Self::own_with(&["--nodes", &nodes.to_string()])
    }

    /// One whose nodes are also reached through proxies, at [`Self::proxied`].
    pub(crate) fn own_proxied(nodes: u8) -> Option<Self> {
        Self::own_with(&["--proxied", "--nodes", &nodes.to_string()])
    }

    fn own_with(arguments: &[&str]) -> Option<Self> {
        if std::env::var_os(GIVEN).is_some() {
            println!("not run: it needs brokers of its own, and {GIVEN} names some");
            return None;
        }
        Some(Self::start(arguments))
    }

    fn start(arguments: &[&str]) -> Self {
        let mut script = script()
            .arg("hold")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh is there");
        let mut lines = BufReader::new(script.stdout.take().expect("it is piped")).lines();
        let mut line = |what: &str| match lines.next() {
            Some(line) => line.expect("the script writes text"),
            None => panic!("the script ended before it named {what}: what it said stands above"),
        };
        let folder = PathBuf::from(line("the folder"));
        Self { brokers: line("the addresses"), held: Some(Held { script, folder }) }
    }

    /// `host:port`, separated by commas, without TLS.
    pub(crate) fn brokers(&self) -> &str {
        &self.brokers
    }

    /// Where proxies are to listen, each for what comes to the port below.
    pub(crate) fn proxied(&self) -> String {
        std::fs::read_to_string(self.folder().join("proxied")).expect("it is a proxied one").trim().to_owned()
    }

    /// The addresses of a secure cluster's listener `mtls` or `sasl`.
    pub(crate) fn listener(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder().join(name)).expect("it is a secure one").trim().to_owned()
    }

    /// A key or certificate of a secure cluster, such as `ca.pem`.
    pub(crate) fn key(&self, name: &str) -> PathBuf {
        self.folder().join("tls").join(name)
    }

    /// `kill -9`, and waits until it is gone.
    pub(crate) fn kill(&self, node: u8) {
        self.signal(node, "KILL");
        let process = PathBuf::from(format!("/proc/{}", self.id(node)));
        while has_command_line(&process) {
            std::thread::yield_now();
        }
    }

    /// Lets a node stand still, as a long pause of its machine does.
    pub(crate) fn freeze(&self, node: u8) {
        self.signal(node, "STOP");
    }

    pub(crate) fn thaw(&self, node: u8) {
        self.signal(node, "CONT");
    }

    /// Starts a node that was killed, on its folder and its ports, and waits until it serves.
    pub(crate) fn start_again(&self, node: u8) {
        let started = script().arg("start-node").arg(self.folder()).arg(node.to_string()).status();
        assert!(started.expect("sh is there").success(), "node {node}: what it said stands above");
    }

    /// Cuts the newest batch off each partition of a topic, in the folder of a node that was killed: as a power cut does
    /// whose broker had acknowledged what it had not synced. How many partitions it was.
    pub(crate) fn lose_newest(&self, node: u8, topic: &str) -> usize {
        let logs = self.folder().join(node.to_string()).join("log");
        let partitions = std::fs::read_dir(logs).unwrap().flatten().map(|entry| entry.path());
        let of_topic = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.rsplit_once('-').is_some_and(|(of, _)| of == topic)
        };
        partitions.filter(of_topic).filter(|partition| cut_newest_batch(partition)).count()
    }

    /// The process of a node.
    pub(crate) fn id(&self, node: u8) -> u32 {
        let id = std::fs::read_to_string(self.folder().join(node.to_string()).join("pid"));
        id.expect("the node was started").trim().parse().expect("a process id")
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.held.as_ref().expect("brokers that are given have no folder here").folder
    }

    fn signal(&self, node: u8, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.id(node).to_string()]).status();
        assert!(sent.expect("kill is there").success(), "node {node} does not run");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(Held { script, .. }) = &mut self.held {
            drop(script.stdin.take());
            // It may have ended already; there is nothing else to do about it.
            let _gone = script.wait();
        }
    }
}

/// Whether a process is there and has not ended: one that nobody waited for has no command line.
pub(super) fn has_command_line(process: &Path) -> bool {
    std::fs::read(process.join("cmdline")).is_ok_and(|line| !line.is_empty())
}

fn script() -> Command {
    let mut command = Command::new("sh");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kafka/broker.sh"));
    command
}

/// Whether there was one. A batch begins with its first offset, eight bytes, and the length of what follows, four.
/// <https://kafka.apache.org/documentation/#recordbatch>
fn cut_newest_batch(partition: &Path) -> bool {
    let files = std::fs::read_dir(partition).unwrap().flatten().map(|entry| entry.path());
    let newest = files.filter(|path| path.extension().is_some_and(|it| it == "log")).max().unwrap();
    let bytes = std::fs::read(&newest).unwrap();
    let (mut at, mut newest_at) = (0, None);
    while let Some(length) = bytes.get(at + 8..at + 12) {
        newest_at = Some(at);
        at += 12 + u32::from_be_bytes(length.try_into().unwrap()) as usize;
    }
    let Some(newest_at) = newest_at else { return false };
    let file = std::fs::OpenOptions::new().write(true).open(&newest).unwrap();
    file.set_len(newest_at as u64).unwrap();
    true
}
