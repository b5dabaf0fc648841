//! `modelrail`: the server, and everything that a person types.
//!
//! ```text
//! argv -> command::run -> client -> server (HTTP), or the data folder when no server has it open
//!                     \-> node (serve)
//! ```
//!
//! **Invariant:** stdout is data, stderr is talk; the exit code says how it went ([`exit::Exit`]).

#![expect(unreachable_pub, reason = "nobody uses a binary as a library")]

mod argv;
mod exit;

mod client;
mod output;

mod command;

mod config;
mod demo;
mod node;
mod telemetry;

use clap::Parser as _;

use argv::Arguments;
use exit::Exit;

/// Orders and outcomes are made on one thread and freed on another, which the C library's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ! {
    ends().end()
}

fn ends() -> Exit {
    let arguments = Arguments::parse();
    client::provide_tls();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error[RUNTIME]: failed to start threads\n  caused by: {error}");
            return Exit::Failed;
        }
    };
    match runtime.block_on(command::run(arguments)) {
        Ok(exit) => exit,
        Err(failure) => {
            eprintln!("{failure}");
            failure.exit
        }
    }
}
