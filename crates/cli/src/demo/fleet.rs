//! The same story in distributed mode: brokers, engines, workers, an API, a gateway and model servers as processes of
//! their own, of which some are killed while it is told, and come back.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use domain::workflow::StageKind;
use serde_json::Value;

use super::Error;

/// How long a process may take until it says that it serves.
const START_MAX: Duration = Duration::from_mins(1);
/// How many engines there are, and how many workers of each stage.
const TWO: usize = 2;
/// The processes of an installation, by name. They are ended when this is dropped.
pub struct Fleet {
    binary: PathBuf,
    config: PathBuf,
    folder: PathBuf,
    /// Of the brokers, as `deploy/kafka/broker.sh` started them.
    brokers: PathBuf,
    processes: BTreeMap<String, Process>,
    api: SocketAddr,
    gateway: SocketAddr,
}

struct Process {
    child: Child,
    said: Receiver<String>,
}

impl Fleet {
    /// Makes the topics and starts everything; `brokers` is the folder of brokers that run.
    pub fn start(folder: &Path, brokers: &Path, examples: &Path) -> Result<Self, Error> {
        let (api, gateway) = (free_port()?, free_port()?);
        let servers = [free_port()?, free_port()?];
        let config = folder.join("modelrail.toml");
        fs::create_dir_all(folder).map_err(io(folder))?;
        let addresses = fs::read_to_string(brokers.join("brokers")).map_err(io(&brokers.join("brokers")))?;
        let list = servers.map(|at| format!("\"http://{at}\"")).join(", ");
        let durability = if addresses.contains(',') { "replicated" } else { "single-broker" };
        // Topics of its own: those of a former demo know other people.
        let prefix = format!("demo-{}.", uuid::Uuid::now_v7().simple());
        let text = |path: &Path| path.display().to_string();
        let settings = format!(
            "[kafka]\nbrokers = {addresses:?}\nprefix = {prefix:?}\ndurability = {durability:?}\n\
             [store]\nsecrets = {secrets:?}\n[blobs]\nfolder = {blobs:?}\n\
             [environments.production]\nservers = [{list}]\n\
             [server]\nlisten = \"{api}\"\n[gateway]\nlisten = \"{gateway}\"\n\
             [workflows]\nfolder = {workflows:?}\n[artifacts]\nroots = [{examples:?}]\n",
            addresses = addresses.trim(),
            secrets = text(&folder.join("secrets")),
            blobs = text(&folder.join("blobs")),
            workflows = text(&examples.join("workflows")),
            examples = text(examples),
        );
        fs::write(&config, settings).map_err(io(&config))?;
        let binary = std::env::current_exe().map_err(io(Path::new("modelrail")))?;
        let mut fleet = Self {
            binary,
            config,
            folder: folder.to_owned(),
            brokers: brokers.to_owned(),
            processes: BTreeMap::new(),
            api,
            gateway,
        };
        fleet.run(&["topics", "create"])?;
        for number in 1..=TWO {
            fleet.begin(&format!("engine-{number}"))?;
            let at = servers[number - 1];
            fleet.begin_with(
                &format!("models-{number}"),
                &[("MODELRAIL_MODEL_SERVER__LISTEN", at.to_string())],
            )?;
        }
        fleet.begin("api-1")?;
        fleet.begin("gateway-1")?;
        for stage in StageKind::ALL {
            for number in 1..=TWO {
                fleet.begin(&format!("{}-{number}", stage.as_str()))?;
            }
        }
        let names: Vec<String> = fleet.processes.keys().cloned().collect();
        names.iter().try_for_each(|name| fleet.serves(name))?;
        Ok(fleet)
    }

    pub fn api(&self) -> SocketAddr {
        self.api
    }

    pub fn gateway(&self) -> SocketAddr {
        self.gateway
    }

    pub fn secrets(&self) -> PathBuf {
        self.folder.join("secrets")
    }

    pub fn count(&self) -> usize {
        self.processes.len()
    }

    /// SIGKILL.
    pub fn kill(&mut self, name: &str) -> Result<(), Error> {
        if let Some(mut process) = self.processes.remove(name) {
            process.child.kill().and_then(|()| process.child.wait()).map_err(io(Path::new(name)))?;
        }
        Ok(())
    }

    /// Starts what was killed, on the folder that it had, and waits until it serves.
    pub fn again(&mut self, name: &str) -> Result<(), Error> {
        self.begin(name)?;
        self.serves(name)
    }

    /// SIGKILL for one of the brokers.
    pub fn kill_broker(&self, node: usize) -> Result<(), Error> {
        let path = self.brokers.join(node.to_string()).join("pid");
        let id = fs::read_to_string(&path).map_err(io(&path))?;
        run(Command::new("kill").args(["-KILL", id.trim()]), "kill a broker")
    }

    /// Starts a broker that was killed.
    pub fn broker_again(&self, script: &Path, node: usize) -> Result<(), Error> {
        let mut command = Command::new("sh");
        command.arg(script).arg("start-node").arg(&self.brokers).arg(node.to_string());
        run(command.stdout(Stdio::null()), "start a broker")
    }

    fn run(&self, arguments: &[&str]) -> Result<(), Error> {
        let mut command = Command::new(&self.binary);
        run(
            command.args(arguments).arg("--config").arg(&self.config).stdout(Stdio::null()),
            &arguments.join(" "),
        )
    }

    fn begin(&mut self, name: &str) -> Result<(), Error> {
        self.begin_with(name, &[])
    }

    fn begin_with(&mut self, name: &str, variables: &[(&str, String)]) -> Result<(), Error> {
        let log = self.folder.join(format!("{name}.log"));
        let errors = File::options().create(true).append(true).open(&log).map_err(io(&log))?;
        let kind = name.rsplit_once('-').map_or(name, |(kind, _)| kind);
        let mut command = Command::new(&self.binary);
        match kind {
            "engine" | "api" | "gateway" => command.args(["serve", "--roles", kind]),
            "models" => command.args(["serve", "--roles", "model-server"]),
            stage => command.args(["worker", stage]),
        };
        command.arg("--config").arg(&self.config).arg("--data").arg(self.folder.join(name));
        command.args(["--output", "jsonl"]).env("MODELRAIL_KAFKA__INSTANCE", name);
        command.envs(variables.iter().map(|(key, value)| (key, value)));
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors).spawn();
        let mut child = spawned.map_err(io(&self.binary))?;
        let stdout = child.stdout.take().expect("it is piped");
        let (told, said) = channel();
        // Ends with the process.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if told.send(line).is_err() {
                    return;
                }
            }
        });
        self.processes.insert(name.to_owned(), Process { child, said });
        Ok(())
    }

    /// Waits until the process says that it serves.
    fn serves(&mut self, name: &str) -> Result<(), Error> {
        let log = self.folder.join(format!("{name}.log"));
        let Some(process) = self.processes.get_mut(name) else { return Ok(()) };
        let deadline = Instant::now() + START_MAX;
        while let Ok(line) = process.said.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            if serde_json::from_str::<Value>(&line).is_ok() {
                return Ok(());
            }
        }
        let said = fs::read_to_string(&log).unwrap_or_default();
        let last: Vec<&str> = said.lines().rev().take(5).collect();
        let why = last.into_iter().rev().collect::<Vec<_>>().join("\n  ");
        Err(Error::Untrue(format!("{name} did not start; it said in {}:\n  {why}", log.display())))
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for (name, mut process) in std::mem::take(&mut self.processes) {
            // It may have ended already; else there is nothing better to do about it than to say so.
            if let Err(error) = process.child.kill().and_then(|()| process.child.wait()) {
                tracing::warn!(name, %error, "a process was not ended");
            }
        }
    }
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::Io { path: path.clone(), source }
}

/// One that nobody listens on now.
fn free_port() -> Result<SocketAddr, Error> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.map_err(io(Path::new("127.0.0.1:0")))
}

fn run(command: &mut Command, what: &str) -> Result<(), Error> {
    let ended = command.stdin(Stdio::null()).output().map_err(io(Path::new(what)))?;
    if ended.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&ended.stderr).trim().to_owned();
    Err(Error::Asked { what: what.to_owned(), why })
}
