//! `modelrail bench`: how fast the product is on this machine, as JSON.
//!
//! What is measured is the product itself: its engine thread, its desks, its data folder with synced writes. Only
//! the work of the stages is left out. Nothing is asserted here; a measurement is read by people.

mod child;
mod cost;
mod engine;
mod fill;
mod flow;
mod gateway;
mod kafka;
mod kill;
mod live;
mod load;
mod machine;
mod replay;

use clap::Subcommand;

use crate::argv::Global;
use crate::exit::{Exit, Failure};
use crate::output::Output;

#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Runs a second through all stages with workers that do nothing: throughput, latency, CPU, disk.
    Engine(engine::EngineArguments),
    /// Runs a second through engines and workers that are processes of their own, over brokers of this machine.
    Kafka(kafka::KafkaArguments),
    /// A process of that measurement.
    #[command(hide = true)]
    KafkaWorker(kafka::WorkerArguments),
    /// Compares the gateway with a direct call, nginx and haproxy: throughput, latency, CPU, changes of tables.
    Gateway(gateway::GatewayArguments),
    /// Kills a server with a thousand commands in flight and starts it again: how long until its first step.
    Restart(kill::RestartArguments),
    /// Hours of steady load while the server is killed now and then: nothing lost, nothing twice, nothing grows.
    Soak(kill::SoakArguments),
    /// The process that is killed.
    #[command(hide = true)]
    Node(kill::NodeArguments),
    /// A process of the comparison.
    #[command(hide = true)]
    GatewayPart(gateway::PartArguments),
    /// Reads a whole log: folded, and verified; transitions a second of a core, and memory.
    Replay(replay::ReplayArguments),
    #[command(hide = true)]
    ReplayPart(replay::ReplayPartArguments),
    /// Compares one run alone among a thousand live runs with one among a million: latency, memory.
    Live(live::LiveArguments),
    #[command(hide = true)]
    LivePart(live::LivePartArguments),
}

pub async fn bench(global: &Global, command: &BenchCommand, output: Output) -> Result<Exit, Failure> {
    match command {
        BenchCommand::Engine(arguments) => engine::bench(arguments, output),
        BenchCommand::Kafka(arguments) => kafka::bench(arguments, output),
        BenchCommand::KafkaWorker(_) => kafka::worker(global, output).await,
        BenchCommand::Gateway(arguments) => gateway::bench(arguments, output),
        BenchCommand::Restart(arguments) => kill::restart(arguments, output),
        BenchCommand::Soak(arguments) => kill::soak(arguments, output),
        BenchCommand::Node(arguments) => kill::node(arguments),
        BenchCommand::GatewayPart(arguments) => gateway::part(arguments),
        BenchCommand::Replay(arguments) => replay::bench(arguments, output),
        BenchCommand::ReplayPart(arguments) => replay::part(arguments),
        BenchCommand::Live(arguments) => live::bench(arguments, output),
        BenchCommand::LivePart(arguments) => live::part(arguments),
    }
}
