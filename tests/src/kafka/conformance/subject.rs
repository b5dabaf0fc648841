//! The workers that are asked: ours, the one in Python, and whichever the environment names. All are told by the same
//! variables what to work with.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use log_kafka::Settings;

use super::receiver::Receiver;
use crate::kafka::nodes::WANTED;
use crate::kafka::python::{example, python};
use crate::process::binary;

/// The command line of another worker to ask, for `sh -c`.
const OTHER: &str = "MODELRAIL_WORKER_COMMAND";
/// How many commands a worker carries out at a time.
pub(super) const POOL: usize = 2;
/// How many it takes ahead.
pub(super) const BACKLOG: usize = 16;

/// What a worker works with.
pub(super) struct Around<'a> {
    pub(super) folder: &'a Path,
    pub(super) settings: &'a Settings,
    /// Of the log, and of its lanes.
    pub(super) partitions: u32,
    pub(super) receiver: &'a Receiver,
}

/// A worker of the stage `gate`, by how it is started.
pub(super) struct Subject {
    program: PathBuf,
    arguments: Vec<OsString>,
    variables: Vec<(&'static str, OsString)>,
}

impl Subject {
    /// `modelrail worker gate`.
    pub(super) fn ours() -> Self {
        Self {
            program: binary(),
            arguments: ["worker", "gate"].map(OsString::from).into(),
            variables: vec![],
        }
    }

    /// `examples/worker/worker.py`. What is generated for it goes into this folder.
    pub(super) fn in_python(generated: &Path) -> Option<Self> {
        let python = python("worker")?;
        let protos = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto");
        let all = fs::read_dir(protos.join("modelrail/v1")).unwrap().map(|proto| proto.unwrap().path());
        let mut protoc = Command::new(&python);
        protoc
            .args(["-m", "grpc_tools.protoc", "-I"])
            .arg(&protos)
            .arg("--python_out")
            .arg(generated)
            .args(all);
        let made = protoc.output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self::in_python_at(generated, &example("worker").join("worker.py"))
    }

    /// Another file, with what was generated before.
    pub(super) fn in_python_at(generated: &Path, file: &Path) -> Option<Self> {
        let variables = vec![("PYTHONPATH", generated.into()), ("PYTHONDONTWRITEBYTECODE", "1".into())];
        Some(Self { program: python("worker")?, arguments: vec![file.into()], variables })
    }

    /// As the environment says.
    pub(super) fn other() -> Option<Self> {
        let line = std::env::var_os(OTHER)?;
        // The shell gives way to it: signals go to the worker.
        let mut exec = OsString::from("exec ");
        exec.push(line);
        Some(Self { program: "sh".into(), arguments: vec!["-c".into(), exec], variables: vec![] })
    }

    /// Starts it on the folder of its name.
    pub(super) fn start(&self, name: &str, around: &Around<'_>) -> Worker {
        let Around { folder, settings, partitions, receiver } = around;
        let (data, log) = (folder.join(name), folder.join(format!("{name}.log")));
        fs::create_dir_all(&data).unwrap();
        let errors = fs::File::options().create(true).append(true).open(&log).unwrap();
        let mut command = Command::new(&self.program);
        let ours = std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MODELRAIL_"));
        for (name, _) in ours {
            command.env_remove(name);
        }
        let said = errors.try_clone().unwrap();
        let child = command
            .args(&self.arguments)
            .current_dir(folder)
            .envs(self.variables.iter().cloned())
            .env("MODELRAIL_KAFKA__BROKERS", &settings.brokers)
            .env("MODELRAIL_KAFKA__PREFIX", &settings.prefix)
            .env("MODELRAIL_KAFKA__DURABILITY", "single-broker")
            .env("MODELRAIL_KAFKA__COMMAND_PARTITIONS", WANTED.command_partitions.to_string())
            // The same for each of its lives: it is given its partitions again at once.
            .env("MODELRAIL_KAFKA__INSTANCE", name)
            .env("MODELRAIL_STORE__DATA", &data)
            .env("MODELRAIL_STORE__PARTITIONS", partitions.to_string())
            .env("MODELRAIL_WORKERS__GATE", POOL.to_string())
            .env("MODELRAIL_LIMITS__BACKLOG_MAX", BACKLOG.to_string())
            .env("MODELRAIL_NOTIFY__WEBHOOK", receiver.address())
            .stdin(Stdio::null())
            .stdout(said)
            .stderr(errors)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", self.program.display()));
        Worker { child, log }
    }
}

/// A running worker. It is killed when this is dropped.
pub(super) struct Worker {
    child: Child,
    log: PathBuf,
}

impl Worker {
    /// `kill -9`.
    pub(super) fn kill(self) {
        drop(self);
    }

    /// Asks it to end.
    pub(super) fn ask_to_end(&self) {
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for its end, and gives its exit code.
    pub(super) fn wait(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Whether it ended by itself.
    pub(super) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// What it said so far.
    pub(super) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended already; there is nothing else to do about it.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}
