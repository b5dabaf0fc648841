//! `modelrail bench`: how fast the product is on this machine, as JSON.
//!
//! Nothing is asserted here; a measurement is read by people.

mod gateway;
mod machine;

use clap::Subcommand;

use crate::exit::{Exit, Failure};
use crate::output::Output;

#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Compares the gateway with a direct call, nginx and haproxy: throughput, latency, CPU, changes of tables.
    Gateway(gateway::GatewayArguments),
    /// A process of the comparison.
    #[command(hide = true)]
    GatewayPart(gateway::PartArguments),
}

pub fn bench(command: &BenchCommand, output: Output) -> Result<Exit, Failure> {
    match command {
        BenchCommand::Gateway(arguments) => gateway::bench(arguments, output),
        BenchCommand::GatewayPart(arguments) => gateway::part(arguments),
    }
}
