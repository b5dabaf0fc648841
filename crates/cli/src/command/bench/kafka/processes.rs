//! The engines and workers of one cell, as processes of this program.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use uuid::Uuid;

use super::KafkaArguments;
use super::brokers::Brokers;

/// How many commands of a stage a worker carries out at once: its work is nothing, and waits for nothing.
const POOL: usize = 32;

/// How many there are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub engines: usize,
    pub workers: usize,
}

/// They are ended when this is dropped.
#[derive(Debug)]
pub(super) struct Processes {
    /// By kind.
    running: Vec<(&'static str, Child)>,
    pub prefix: String,
}

impl Processes {
    /// Makes topics of its own, starts everything, and waits until it serves.
    pub fn start(
        arguments: &KafkaArguments,
        brokers: &Brokers,
        folder: &Path,
        shape: Shape,
    ) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("failed to write into `{}`: {error}", folder.display());
        fs::create_dir_all(folder).map_err(failed)?;
        let prefix = format!("bench-{}.", Uuid::now_v7().simple());
        let durability = if brokers.count() < 3 { "single-broker" } else { "replicated" };
        let text = |path: &str| folder.join(path).display().to_string();
        let config = folder.join("modelrail.toml");
        let settings = format!(
            "[kafka]\nbrokers = {brokers:?}\nprefix = {prefix:?}\ndurability = {durability:?}\n\
             command_partitions = {workers}\n\
             [store]\nsecrets = {secrets:?}\npartitions = {partitions}\n\
             [blobs]\nfolder = {blobs:?}\n[limits]\nbacklog_max = {backlog}\n\
             [workers]\npackage = {POOL}\nstage_test = {POOL}\ngate = {POOL}\nrollout = {POOL}\nmonitor = {POOL}\n\
             [telemetry]\nlog = \"warn\"\n",
            brokers = brokers.addresses,
            partitions = arguments.partitions,
            // As many as share the work.
            workers = shape.workers,
            secrets = text("secrets"),
            blobs = text("blobs"),
            // A desk takes whatever is under way: what is measured is no lack of workers.
            backlog = arguments.in_flight.saturating_mul(2).max(1_000),
        );
        fs::write(&config, settings).map_err(failed)?;
        let mut processes = Self { running: vec![], prefix };
        let made = command(&["topics", "create"], &config)?.stdout(Stdio::null()).status();
        if !made.as_ref().is_ok_and(std::process::ExitStatus::success) {
            return Err(format!("the topics were not made: {made:?}"));
        }
        let mut waits = vec![];
        for (kind, count, arguments) in [
            ("engines", shape.engines, &["serve", "--roles", "engine"][..]),
            ("workers", shape.workers, &["bench", "kafka-worker"]),
        ] {
            for number in 1..=count {
                let name = format!("{kind}-{number}");
                let log = File::create(folder.join(format!("{name}.log"))).map_err(failed)?;
                let mut command = command(arguments, &config)?;
                command.arg("--data").arg(folder.join(&name)).args(["--output", "jsonl"]);
                command.env("MODELRAIL_KAFKA__INSTANCE", &name).stdout(Stdio::piped()).stderr(log);
                let mut child =
                    command.spawn().map_err(|error| format!("failed to start {name}: {error}"))?;
                waits.push((name, child.stdout.take()));
                processes.running.push((kind, child));
            }
        }
        for (name, stdout) in waits {
            let stdout = stdout.ok_or("a process has no stdout")?;
            let mut line = String::new();
            let read = BufReader::new(stdout).read_line(&mut line);
            if !read.is_ok_and(|read| read > 0) {
                let said = fs::read_to_string(folder.join(format!("{name}.log"))).unwrap_or_default();
                return Err(format!("{name} did not start: {said}"));
            }
        }
        Ok(processes)
    }

    /// The processes, by kind.
    pub fn ids(&self) -> impl Iterator<Item = (&'static str, u32)> {
        self.running.iter().map(|(kind, child)| (*kind, child.id()))
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for (kind, mut child) in std::mem::take(&mut self.running) {
            if let Err(error) = child.kill().and_then(|()| child.wait()) {
                tracing::warn!(kind, %error, "a process was not ended");
            }
        }
    }
}

fn command(arguments: &[&str], config: &Path) -> Result<Command, String> {
    let binary = std::env::current_exe().map_err(|error| format!("failed to find this program: {error}"))?;
    let mut command = Command::new(binary);
    command.args(arguments).arg("--config").arg(config).stdin(Stdio::null());
    Ok(command)
}
