//! `modelrail bench gateway`: the gateway beside a direct call, nginx and haproxy, in one run.
//!
//! ```text
//!  load ---------------------------------------> model server       direct
//!  load -> gateway (split, prediction log) ----> model server       gateway
//!  load -> gateway with the model in process                        embedded
//!  load -> nginx, haproxy (split, access log) -> model server       nginx, haproxy
//! ```
//!
//! Each box is a process of its own on the loopback interface. All are asked in turn within each round, so that what
//! else happens on the machine meets all of them; what is told are medians over the rounds, and ratios within one.
//! The machine's cores are shared by all, the load too, unless `--apart` gives the model server a core of its own.

mod cpu;
mod load;
mod models;
mod part;
mod peers;
mod process;
mod report;
mod rounds;

use clap::{Args, ValueEnum};

use crate::exit::{Exit, Failure};
use crate::output::Output;

#[derive(Debug, Args)]
pub struct GatewayArguments {
    /// The folder of the example models and their traffic.
    #[arg(long, value_name = "DIR", default_value = "examples/flights")]
    pub examples: std::path::PathBuf,
    /// How often all are measured in turn.
    #[arg(long, value_name = "N", default_value_t = 7)]
    pub rounds: usize,
    /// How long each is measured in a round, for throughput and again for latency.
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    pub seconds: f64,
    /// Connections that ask at the same time, each for the next answer when it has the last.
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub connections: usize,
    /// Rows of a request.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub rows: usize,
    /// Changes of the route table under load.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub tables: u64,
    /// Gives the model server a core of its own, and all others another one together.
    #[arg(long)]
    pub apart: bool,
    /// Measures only these.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAME")]
    pub only: Vec<Subject>,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    Direct,
    Gateway,
    Embedded,
    Nginx,
    Haproxy,
}

#[derive(Debug, Args)]
pub struct PartArguments {
    #[arg(value_enum)]
    pub part: Part,
    #[arg(long)]
    pub examples: std::path::PathBuf,
    /// The model server that the gateway asks; without one it has its own in process.
    #[arg(long)]
    pub upstream: Option<std::net::SocketAddr>,
    /// Where the gateway keeps its predictions.
    #[arg(long)]
    pub folder: Option<std::path::PathBuf>,
    #[arg(long, default_value_t = 1)]
    pub rows: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    ModelServer,
    Gateway,
    Load,
}

/// Measures and prints.
pub fn bench(arguments: &GatewayArguments, output: Output) -> Result<Exit, Failure> {
    let report = rounds::measure(arguments).map_err(|error| failed(&error))?;
    output.one(&report, report::Report::text)?;
    Ok(Exit::Good)
}

/// Is one of the processes, until stdin ends.
pub fn part(arguments: &PartArguments) -> Result<Exit, Failure> {
    let ran = tokio::task::block_in_place(|| part::run(arguments));
    ran.map(|()| Exit::Good).map_err(|error| failed(&error))
}

fn failed(error: &std::io::Error) -> Failure {
    Failure::new(Exit::Failed, "BENCH", "failed to measure the gateway").cause(error)
}
