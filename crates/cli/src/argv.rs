//! What can be typed. One type a command, nothing done here.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use domain::workflow::StageKind;

use crate::command::dead_letters;
use crate::exit::Exit;

/// Continuous delivery of models, with a log that can be replayed and verified.
#[derive(Debug, Parser)]
#[command(name = "modelrail", version, after_help = Exit::table(), max_term_width = 110)]
pub struct Arguments {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

// What every command takes. No doc comment: it would become the help's first line.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// How to print: a table for people, one JSON document, or one JSON document a line.
    #[arg(long, global = true, value_enum, value_name = "FORM", default_value_t = Form::Table)]
    pub output: Form,
    /// The server to ask, such as http://127.0.0.1:7400; otherwise `server.listen` of the configuration.
    #[arg(long, global = true, value_name = "URL", env = "MODELRAIL_SERVER")]
    pub server: Option<String>,
    /// The token to ask with; otherwise the administrator's, from the data folder.
    #[arg(long, global = true, value_name = "TOKEN", env = "MODELRAIL_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// The data folder. Questions about the past are answered from it when no server has it open.
    #[arg(long, global = true, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The configuration file; otherwise MODELRAIL_CONFIG, the data folder's, or ./modelrail.toml.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    Table,
    Json,
    Jsonl,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs a whole delivery on the shipped models and tells it as a story.
    Demo(DemoArguments),
    /// Runs the server with all roles, until it is interrupted.
    Serve(ServeArguments),
    /// Carries out the commands of some stages, with `kafka.brokers` set, until it is interrupted.
    Worker(WorkerArguments),
    /// Sends `ModelTrained` events (CloudEvents as JSON) and prints the runs.
    Publish(PublishArguments),
    /// Lists runs, newest first.
    Runs(RunsArguments),
    /// Shows a run in full.
    Show(ShowArguments),
    /// Follows a run, a line each transition, until it ends or is live.
    Watch(WatchArguments),
    /// Says what a run waits for.
    Why(RunName),
    /// Approves at a gate, on the evidence that it shows.
    Approve(VoteArguments),
    /// Rejects at a gate.
    Reject(VoteArguments),
    /// Holds a run where it is.
    Pause(RunReason),
    /// Lets a paused run go on.
    Resume(RunReason),
    /// Ends a run and takes its traffic away.
    Abort(RunReason),
    /// Moves a rollout on: one step, or to a share.
    Promote(PromoteArguments),
    /// Lifts the quarantine of a run or target whose decision failed. What it holds is decided then, in order.
    Resolve(ResolveArguments),
    /// Tries a stage again.
    Retry(RetryArguments),
    /// Brings a target back to a release: the last good one unless said.
    Rollback(RollbackArguments),
    /// Forbids to raise any share at a target.
    Freeze(FreezeArguments),
    /// Allows it again.
    Unfreeze(TargetReason),
    /// Takes a release out of service at a target, at once.
    Kill(KillArguments),
    /// Makes a stored bundle the live release of a target that has none from a run.
    Adopt(AdoptArguments),
    /// Lists targets.
    Targets,
    /// Shows a target, or what was live there when.
    #[command(subcommand)]
    Target(TargetCommand),
    /// Shows a run as it was after a record or at a moment. Nothing is sent out.
    Replay(ReplayArguments),
    /// Explains verdicts with the recorded numbers in their formulas.
    Explain(ExplainArguments),
    /// Verifies the log: its chain, and every recorded input decided again.
    Verify(VerifyArguments),
    /// Takes a backup of the whole data folder, while a server works or of the folder; of an API on Kafka, a snapshot of what it
    /// has read.
    Backup(BackupArguments),
    /// Makes a data folder (--data) of a backup, after every byte of it was checked.
    Restore(RestoreArguments),
    /// Checks, lists and shows workflows.
    #[command(subcommand)]
    Workflow(WorkflowCommand),
    /// Adds, lists and revokes users.
    #[command(subcommand)]
    User(UserCommand),
    /// Makes and checks the topics of distributed mode.
    #[command(subcommand)]
    Topics(TopicsCommand),
    /// Moves a log between a data folder and the topics of distributed mode.
    #[command(subcommand)]
    Log(LogCommand),
    /// Lists, shows, sends again and drops records that could not be used.
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    /// Shows the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Names everything that is wrong here, with what to do.
    Doctor,
    /// Measures how fast this build is on this machine.
    #[command(subcommand)]
    Bench(crate::command::BenchCommand),
    /// Prints a completion script for a shell.
    Completions { shell: clap_complete::Shell },
}

#[derive(Debug, Clone, Args)]
pub struct DemoArguments {
    /// The folder of the example models and their traffic.
    #[arg(long, value_name = "DIR")]
    pub examples: Option<PathBuf>,
    /// The seed of its traffic.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Over Kafka, every role a process of its own, some of them killed meanwhile: the folder of brokers that run, as
    /// `deploy/kafka/broker.sh start FOLDER --nodes 3` started them.
    #[arg(long, value_name = "DIR")]
    pub kafka: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ServeArguments {
    /// Where the API listens, such as 127.0.0.1:7400. An engine or an ingress without an API answers there `/healthz`,
    /// `/readyz` and `/metrics`, and listens nowhere unless said.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<std::net::SocketAddr>,
    /// What this process is, with `kafka.brokers` set; without it one process is everything.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "engine,api")]
    pub roles: Vec<Role>,
}

#[derive(Debug, Args)]
pub struct WorkerArguments {
    /// Whose commands it carries out: package, stage-test, gate, rollout, monitor.
    #[arg(required = true, value_name = "STAGE")]
    pub stages: Vec<Stage>,
    /// Where it answers `/healthz`, `/readyz` and `/metrics`; nowhere unless said.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<std::net::SocketAddr>,
}

/// A stage by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage(pub StageKind);

impl std::str::FromStr for Stage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = StageKind::ALL.into_iter().find(|stage| stage.as_str() == text);
        found.map(Self).ok_or_else(|| {
            let names = StageKind::ALL.map(StageKind::as_str).join(", ");
            format!("expected one of {names}")
        })
    }
}

/// What a process of distributed mode can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Decides, as one of the engines' group.
    Engine,
    /// Answers people and tools, and takes events over HTTP.
    Api,
    /// Takes events from the topic `kafka.model_trained`.
    Ingress,
    /// Leads callers to releases.
    Gateway,
    /// Serves loaded models.
    ModelServer,
}

impl Role {
    /// Whether it needs all of the log.
    pub fn reads_log(self) -> bool {
        match self {
            Self::Engine | Self::Api => true,
            Self::Ingress | Self::Gateway | Self::ModelServer => false,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::Api => "api",
            Self::Ingress => "ingress",
            Self::Gateway => "gateway",
            Self::ModelServer => "model-server",
        }
    }
}

#[derive(Debug, Args)]
pub struct PublishArguments {
    /// Event files. Relative `file:` URIs in them are taken from the file's folder.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Follow the runs afterwards, one after the other.
    #[arg(long)]
    pub watch: bool,
    /// Write them to the topic of events instead, and print where they landed. What becomes of them is not known here.
    #[arg(long, conflicts_with = "watch")]
    pub kafka: bool,
}

#[derive(Debug, Args)]
pub struct RunsArguments {
    /// Only of this model.
    #[arg(long)]
    pub model: Option<String>,
    /// Only at this target, `name@environment`.
    #[arg(long)]
    pub target: Option<String>,
    /// active, live, standby, leaving, blocked, failed, refused, superseded, aborted, rolled_back or retired.
    #[arg(long)]
    pub state: Option<String>,
    /// Only runs that began at or after this moment (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// How many at most.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub limit: u32,
}

// Which run is meant.
#[derive(Debug, Clone, Args)]
pub struct RunName {
    /// A run's id, or a unique prefix of at least 4 characters.
    pub run: String,
}

#[derive(Debug, Args)]
pub struct ShowArguments {
    #[command(flatten)]
    pub run: RunName,
    /// Every transition: who said what, what was decided, with its numbers.
    #[arg(long)]
    pub timeline: bool,
}

#[derive(Debug, Args)]
pub struct WatchArguments {
    #[command(flatten)]
    pub run: RunName,
    /// End with code 4 as soon as the run waits for people.
    #[arg(long)]
    pub until_people: bool,
}

#[derive(Debug, Args)]
pub struct VoteArguments {
    #[command(flatten)]
    pub run: RunName,
    /// The gate.
    pub stage: String,
    /// The role to vote in.
    #[arg(long)]
    pub role: String,
    #[arg(long, value_name = "TEXT")]
    pub rationale: String,
    /// The digest of the evidence that was looked at. Needed without a terminal.
    #[arg(long, value_name = "DIGEST")]
    pub evidence: Option<String>,
}

#[derive(Debug, Args)]
pub struct RunReason {
    #[command(flatten)]
    pub run: RunName,
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

#[derive(Debug, Args)]
pub struct ResolveArguments {
    /// A run's id, a unique prefix of it, or a target.
    #[arg(value_name = "RUN|TARGET")]
    pub stream: String,
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Drops the input that failed, where it would fail again.
    #[arg(long)]
    pub drop: bool,
}

#[derive(Debug, Args)]
pub struct PromoteArguments {
    #[command(flatten)]
    pub run: RunName,
    /// The share to go to, such as 25% or 2500bp; otherwise one step.
    #[arg(long, value_name = "SHARE", conflicts_with = "full")]
    pub to: Option<String>,
    /// To all of the traffic.
    #[arg(long)]
    pub full: bool,
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

#[derive(Debug, Args)]
pub struct RetryArguments {
    #[command(flatten)]
    pub run: RunName,
    pub stage: String,
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

#[derive(Debug, Args)]
pub struct RollbackArguments {
    /// `name@environment`.
    pub target: String,
    /// A version that was live here, or a bundle's digest.
    #[arg(long, value_name = "RELEASE")]
    pub to: Option<String>,
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

#[derive(Debug, Args)]
pub struct FreezeArguments {
    pub target: String,
    /// RFC 3339; otherwise until somebody unfreezes.
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

#[derive(Debug, Args)]
pub struct TargetReason {
    pub target: String,
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

#[derive(Debug, Args)]
pub struct KillArguments {
    pub target: String,
    /// A version known here, or a bundle's digest.
    pub release: String,
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

#[derive(Debug, Args)]
pub struct AdoptArguments {
    pub target: String,
    /// The version that the bundle is to be known by.
    #[arg(long, value_name = "VERSION")]
    pub version: String,
    #[arg(long, value_name = "DIGEST")]
    pub bundle: String,
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

#[derive(Debug, Subcommand)]
pub enum TargetCommand {
    /// Shows what serves, who moves traffic, and what gateways obey.
    Show {
        target: String,
        /// As it was: a record's number or an RFC 3339 time.
        #[arg(long, value_name = "N|TIME")]
        at: Option<String>,
    },
    /// Lists what was live when, and every change of shares.
    History {
        target: String,
        /// Up to this moment: a record's number or an RFC 3339 time.
        #[arg(long, value_name = "N|TIME")]
        at: Option<String>,
    },
}

#[derive(Debug, Args)]
pub struct ReplayArguments {
    #[command(flatten)]
    pub run: RunName,
    /// A record's number as the timeline shows it, or an RFC 3339 time; otherwise the latest.
    #[arg(long, value_name = "N|TIME")]
    pub at: Option<String>,
}

#[derive(Debug, Args)]
pub struct ExplainArguments {
    #[command(flatten)]
    pub run: RunName,
    /// Only this stage.
    pub stage: Option<String>,
}

#[derive(Debug, Args)]
pub struct VerifyArguments {
    /// Compare with another copy of the log instead: is one the beginning of the other, or did they go different ways?
    #[arg(long, value_name = "DIR")]
    pub against: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct BackupArguments {
    /// A new folder, on the server's machine. It gets the server's keys and tokens too.
    #[arg(value_name = "DEST")]
    pub to: PathBuf,
}

#[derive(Debug, Args)]
pub struct RestoreArguments {
    /// The folder that `backup` made.
    #[arg(value_name = "BACKUP")]
    pub from: PathBuf,
    /// Move the data folder that is there aside. Nothing is deleted.
    #[arg(long)]
    pub replace: bool,
    /// Give up what the folder that is there acknowledged and the backup does not have.
    #[arg(long)]
    pub accept_loss: bool,
}

#[derive(Debug, Subcommand)]
pub enum WorkflowCommand {
    /// Reads workflow files: every problem at once, or the workflow in words and as a drawing.
    Check {
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Lists the workflows that the server has loaded.
    List,
    /// Shows a loaded workflow in words and as a drawing.
    Show { name: String },
}

#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Adds a user and prints the token, once.
    Add {
        name: String,
        #[arg(long = "role", required = true, value_name = "ROLE")]
        roles: Vec<String>,
        /// It is a tool, and may say for whom it acts.
        #[arg(long)]
        tool: bool,
    },
    /// Lists users.
    List,
    /// Takes the token and all roles from a user.
    Revoke { name: String },
}

#[derive(Debug, Subcommand)]
pub enum TopicsCommand {
    /// Makes the topics that are missing. What is there is left as it is.
    Create,
    /// Names every topic that is not as it should be, with the command that mends it.
    Check,
}

#[derive(Debug, Clone, Subcommand)]
pub enum LogCommand {
    /// Writes the log of the data folder into topics that are empty, or have its beginning. No server may have the folder.
    Push,
    /// Reads the log from the topics into a data folder that is new, or has its beginning. No engine may run.
    Pull {
        /// Leave inputs behind that no engine has decided: whoever said them hears nothing.
        #[arg(long)]
        leave_inputs: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum DeadLettersCommand {
    /// Lists them, newest first, each with why and where it came from.
    List {
        /// How many at most.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
    },
    /// Shows one whole: its headers and its value too.
    Show { letter: dead_letters::Name },
    /// Writes records as they were to where they came from, once what was wrong is mended.
    Resend {
        #[arg(required_unless_present = "all", value_name = "LETTER")]
        letters: Vec<dead_letters::Name>,
        /// All that are there.
        #[arg(long, conflicts_with = "letters")]
        all: bool,
    },
    /// Drops a letter and all that are older, which the topic does by itself after 30 days.
    Drop { letter: dead_letters::Name },
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Shows every value that is in force and where it came from.
    Show,
}

#[cfg(test)]
mod tests;
