//! A folder of its own for a server: configuration, workflows, data; and the processes that run in it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// The flights workflows, with times so short that a run takes seconds.
const BLUE_GREEN: &str = r#"workflow: quick-blue-green
trigger: { models: [], target: "{model}@production" }
defaults: { timeout: 1m, retry: { attempts: 5, backoff: 100ms..500ms }, tick: 200ms }
stages:
  - name: package
    kind: package
    with: { formats: [onnx], size_max: 1MiB, require: [signature, data], sign: true }
  - name: staging
    kind: stage-test
    with:
      checks:
        - { check: smoke }
        - { check: contract }
        - { check: quality, metric: auc, min: 0.65 }
        - { check: latency, rate: 800/s, for: 500ms, p99_max: 5s }
  - name: switch
    kind: rollout
    with:
      strategy: blue-green
      sticky: header:x-unit
      bake: 1s
      deadline: 1m
      analysis:
        - { check: error-rate, max: 50% }
  - name: watch
    kind: monitor
    with:
      window: 1s
      checks:
        - { check: error-rate, max: 50%, on: { fail: alert } }
"#;
const CANARY: &str = r#"workflow: quick-canary
trigger: { models: ["flights-*"], target: "{model}@production", while_running: supersede }
defaults: { timeout: 1m, retry: { attempts: 5, backoff: 100ms..500ms }, tick: 200ms }
stages:
  - name: package
    kind: package
    with: { formats: [onnx], size_max: 1MiB, require: [signature, data], sign: true }
  - name: staging
    kind: stage-test
    with:
      checks:
        - { check: smoke }
        - { check: contract }
        - { check: quality, name: auc, metric: auc, min: 0.70 }
        - { check: latency, rate: 800/s, for: 500ms, p99_max: 5s }
  - name: release-board
    kind: gate
    with:
      require:
        - { name: another model than the live one, rule: change.model == "changed" }
      approvals: [{ role: ml, count: 1 }, { role: business, count: 1 }]
      four_eyes: true
      expires: 10m
  - name: canary
    kind: rollout
    with:
      strategy: canary
      sticky: header:x-unit
      steps:
        - { weight: 50%, samples: 20, bake: 1s, deadline: 2m }
        - { weight: 100%, bake: 1s }
      analysis:
        - { check: error-rate, against: live, margin: 40% }
        - { check: outcome, field: label-match, against: live, margin: 40% }
      alpha: 5%
      rollback: { shape: instant, leave_deadline: 5s }
      keep_warm: 1h
  - name: watch
    kind: monitor
    with:
      window: 1s
      labels: { delay: 500ms }
      checks:
        - { check: error-rate, max: 50%, on: { fail: alert } }
"#;

/// How long the stages of a run take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Seconds.
    Usual,
    /// As little as still is one: where much happens to many runs.
    Quick,
}

impl Pace {
    fn of(self, workflow: &str) -> String {
        match self {
            Self::Usual => workflow.to_owned(),
            Self::Quick => workflow
                .replace("        - { check: latency, rate: 800/s, for: 500ms, p99_max: 5s }\n", "")
                .replace("bake: 1s", "bake: 300ms")
                .replace("samples: 20", "samples: 10")
                .replace("attempts: 5", "attempts: 50"),
        }
    }
}

/// How long a server may take to say where it listens.
const START_MAX: Duration = Duration::from_secs(30);
const SIGABRT: i32 = 6;

/// The binary under test, beside the one that tests it.
pub(crate) fn binary() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let binary = own.parent().and_then(Path::parent).unwrap().join("modelrail");
    assert!(binary.is_file(), "build it first: cargo build -p cli --bin modelrail");
    binary
}

/// The folder of the shipped example models.
pub(crate) fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/flights").canonicalize().unwrap()
}

/// The shipped event of a version, under another model name and id.
pub(crate) fn event(version: &str, model: &str, id: &str) -> Value {
    let text = fs::read_to_string(examples().join(format!("{version}.json"))).unwrap();
    let mut event: Value = serde_json::from_str(&text).unwrap();
    event["id"] = id.into();
    event["subject"] = format!("{model}@{version}").into();
    event["data"]["model"] = model.into();
    event["data"]["workflow"] =
        if version == "v1" { "quick-blue-green".into() } else { "quick-canary".into() };
    event
}

/// An address of this machine that no other place has. Servers of one place are killed and started again: at an address
/// that all had, the port of a dead one would now and then be given to a server of another place, which its callers and
/// clients would ask then.
fn loopback() -> String {
    static PLACES: AtomicU32 = AtomicU32::new(0);
    let (process, place) = (std::process::id(), PLACES.fetch_add(1, Relaxed));
    format!("127.{}.{}.{}:0", 1 + process / 250 % 250, process % 250, 1 + place % 250)
}

/// Where a server lives.
#[derive(Clone)]
pub(crate) struct Place {
    folder: Arc<TempDir>,
    /// Where its servers listen, at ports that the system gives: see [`loopback`].
    address: String,
    /// What servers have in their environment besides.
    variables: Vec<(String, String)>,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::of(Pace::Usual)
    }

    pub(crate) fn of(pace: Pace) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("workflows")).unwrap();
        fs::create_dir_all(root.join("artifacts")).unwrap();
        fs::write(root.join("workflows/quick-blue-green.yaml"), pace.of(BLUE_GREEN)).unwrap();
        fs::write(root.join("workflows/quick-canary.yaml"), pace.of(CANARY)).unwrap();
        let place = Self { folder: Arc::new(folder), address: loopback(), variables: vec![] };
        fs::write(place.config(), place.settings()).unwrap();
        place
    }

    /// Servers that are started from now on have this in their environment; commands too, where it is a setting of ours.
    pub(crate) fn set(&mut self, name: &str, value: String) {
        self.variables.push((name.to_owned(), value));
    }

    fn settings(&self) -> String {
        let any = format!("listen = \"{}\"", self.address);
        format!(
            "[server]\n{any}\n[gateway]\n{any}\n[model_server]\n{any}\n\
             [store]\ndata = {data:?}\npartitions = 4\n[workflows]\nfolder = {workflows:?}\n\
             [artifacts]\nroots = [{examples:?}, {artifacts:?}]\n[telemetry]\nlog = \"warn\"\n",
            data = self.data(),
            workflows = self.root().join("workflows"),
            examples = examples(),
            artifacts = self.artifacts(),
        )
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.root().join("modelrail.toml")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.root().join("data")
    }

    /// A folder that artifacts may come from.
    pub(crate) fn artifacts(&self) -> PathBuf {
        self.root().join("artifacts")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        let ours = std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MODELRAIL_"));
        for (name, _) in ours {
            command.env_remove(name);
        }
        command
            .args(arguments)
            .arg("--config")
            .arg(self.config())
            .current_dir(self.root())
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        // Ours alone: others change what a process does to its files.
        let ours = self.variables.iter().filter(|(name, _)| name.starts_with("MODELRAIL_")).cloned();
        Said::of(self.command(arguments).envs(ours).output().unwrap())
    }

    /// Starts a server without waiting for it.
    pub(crate) fn serve(&self) -> Server {
        self.serve_on(&self.data())
    }

    /// Starts a server on another data folder.
    pub(crate) fn serve_on(&self, data: &Path) -> Server {
        self.start(data, &[])
    }

    /// Starts a server with these variables in its environment.
    pub(crate) fn serve_with(&self, variables: &[(&str, String)]) -> Server {
        self.start(&self.data(), variables)
    }

    /// Starts a process of distributed mode with these roles.
    pub(crate) fn serve_as(&self, roles: &str, data: &Path) -> Server {
        self.serve_as_with(roles, data, &[])
    }

    /// And with these variables in its environment.
    pub(crate) fn serve_as_with(&self, roles: &str, data: &Path, variables: &[(&str, String)]) -> Server {
        self.start_as(&["serve", "--roles", roles], data, variables)
    }

    /// As [`Self::serve_as`], for roles that listen only where they are told to.
    pub(crate) fn serve_telling(&self, roles: &str, data: &Path) -> Server {
        self.start_as(&["serve", "--roles", roles, "--listen", &self.address], data, &[])
    }

    /// Starts a worker of some stages, with these variables in its environment.
    pub(crate) fn work(&self, stages: &[&str], data: &Path, variables: &[(&str, String)]) -> Server {
        self.start_as(&[&["worker"], stages].concat(), data, variables)
    }

    fn start(&self, data: &Path, variables: &[(&str, String)]) -> Server {
        self.start_as(&["serve"], data, variables)
    }

    fn start_as(&self, arguments: &[&str], data: &Path, variables: &[(&str, String)]) -> Server {
        let (errors, errors_at) = self.new_errors();
        let mut command = self.command(arguments);
        command.args(["--output", "jsonl", "--data"]).arg(data);
        command.envs(self.variables.clone()).envs(variables.iter().map(|(name, value)| (name, value)));
        let mut child = command.stdout(Stdio::piped()).stderr(errors).spawn().unwrap();
        let line = Arc::new(Mutex::new(None));
        let (stdout, told) = (child.stdout.take().unwrap(), Arc::clone(&line));
        std::thread::spawn(move || {
            // It may be killed before it says anything.
            for read in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Ok(serving) = serde_json::from_str::<Value>(&read) {
                    let text = |name: &str| serving[name].as_str().unwrap_or_default().to_owned();
                    let [api, gateway, models, health] = ["api", "gateway", "models", "health"].map(text);
                    *told.lock().unwrap() = Some(Addresses { api, gateway, models, health });
                }
            }
        });
        Server { child, addresses: line, errors_at }
    }

    /// A file that no other server writes to. Servers are started by several threads.
    fn new_errors(&self) -> (fs::File, PathBuf) {
        let folder = self.root().join("stderr");
        fs::create_dir_all(&folder).unwrap();
        let mut number = fs::read_dir(&folder).unwrap().count();
        loop {
            let path = folder.join(format!("{number:05}.txt"));
            match fs::File::create_new(&path) {
                Ok(file) => return (file, path),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => panic!("{}: {error}", path.display()),
            }
        }
    }

    /// What a server logged.
    #[expect(clippy::unused_self, reason = "the server's folder must be there still")]
    pub(crate) fn errors_of(&self, server: &Server) -> String {
        fs::read_to_string(&server.errors_at).unwrap_or_default()
    }

    /// What servers logged so far, in the order in which they were started.
    pub(crate) fn errors(&self) -> String {
        let Ok(listed) = fs::read_dir(self.root().join("stderr")) else { return String::new() };
        let mut paths: Vec<PathBuf> = listed.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths.iter().map(|path| fs::read_to_string(path).unwrap_or_default()).collect()
    }
}

/// Where a server listens.
#[derive(Debug, Clone)]
pub(crate) struct Addresses {
    pub(crate) api: String,
    pub(crate) gateway: String,
    pub(crate) models: String,
    /// Of a process without an API.
    pub(crate) health: String,
}

/// A running server. It is killed when this is dropped.
pub(crate) struct Server {
    child: Child,
    addresses: Arc<Mutex<Option<Addresses>>>,
    /// Where its own lines are.
    errors_at: PathBuf,
}

impl Server {
    /// Once it listens.
    pub(crate) fn addresses(&self) -> Option<Addresses> {
        self.addresses.lock().unwrap().clone()
    }

    /// Waits until it listens.
    pub(crate) fn listening(&mut self, place: &Place) -> Addresses {
        let began = Instant::now();
        loop {
            if let Some(addresses) = self.addresses() {
                return addresses;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "the server ended with {ended:?}: {}", place.errors());
            assert!(began.elapsed() < START_MAX, "the server does not listen: {}", place.errors());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Where its own lines are.
    pub(crate) fn errors_at(&self) -> &Path {
        &self.errors_at
    }

    /// Its process, for what the system says of it.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.ended().is_some()
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Whether it ended by itself, at once.
    pub(crate) fn was_aborted(&mut self) -> bool {
        self.ended().is_some_and(|status| status.signal() == Some(SIGABRT))
    }

    /// Whether it stands still, as after SIGSTOP.
    pub(crate) fn is_stopped(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// The same, where it is to be replaced.
    pub(crate) fn end(&mut self) {
        // It may have ended already.
        let _gone = self.child.kill();
        self.child.wait().unwrap();
    }

    /// Sends a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let signal = format!("-{name}");
        let sent = Command::new("kill").args([&signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end, and gives its exit code.
    pub(crate) fn wait(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Asks it to end, and gives its exit code.
    pub(crate) fn stop(self) -> Option<i32> {
        self.signal("TERM");
        self.wait()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already; there is nothing else to do about it.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) errors: String,
}

impl Said {
    fn of(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), errors: text(&output.stderr) }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}
