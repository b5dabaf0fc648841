//! The commands, one file a group. Each asks, prints, and says how it went.

mod serve;
mod worker;

mod log;
mod publish;
mod runs;
mod show;
mod timeline;
mod watch;

mod request;

mod replay;
mod target;
mod verify;

mod against;
mod backup;

mod bench;
mod configured;
pub mod dead_letters;
mod doctor;
mod topics;
mod user;
mod workflow;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use clap::CommandFactory as _;

pub use bench::BenchCommand;

use crate::argv::{Arguments, Command, Global};
use crate::client::Client;
use crate::config;
use crate::exit::{Exit, Failure};
use crate::output::Output;

/// Carries out what was typed.
pub async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let Arguments { global, command } = arguments;
    let output = Output(global.output);
    let server = || Client::server(&global);
    let recorded = || Client::recorded(&global);
    match command {
        Command::Demo(demo) => {
            let told = crate::demo::Told {
                data: global.data.clone(),
                examples: demo.examples,
                seed: demo.seed,
                kafka: demo.kafka,
            };
            crate::demo::tell(&told).await.map(|()| Exit::Good).map_err(|error| untold(&error))
        }
        Command::Serve(serve) => serve::serve(&global, &serve, output).await,
        Command::Publish(publish) if publish.kafka => publish::to_topic(&global, &publish, output),
        Command::Worker(worker) => worker::worker(&global, &worker, output).await,
        Command::Publish(publish) => publish::publish(&server()?, &publish, output).await,
        Command::Runs(runs) => runs::runs(&recorded()?, &runs, output).await,
        Command::Show(show) => show::show(&recorded()?, &show, output).await,
        Command::Watch(watch) => watch::watch(&server()?, &watch, output).await,
        Command::Why(run) => show::why(&recorded()?, &run, output).await,
        Command::Approve(vote) => {
            request::vote(&server()?, api::view::RunRequestKind::Approve, vote, output).await
        }
        Command::Reject(vote) => {
            request::vote(&server()?, api::view::RunRequestKind::Reject, vote, output).await
        }
        Command::Pause(run) => request::run(&server()?, api::view::RunRequestKind::Pause, run, output).await,
        Command::Resume(run) => {
            request::run(&server()?, api::view::RunRequestKind::Resume, run, output).await
        }
        Command::Abort(run) => request::run(&server()?, api::view::RunRequestKind::Abort, run, output).await,
        Command::Promote(promote) => request::promote(&server()?, promote, output).await,
        Command::Resolve(resolve) => request::resolve(&server()?, resolve, output).await,
        Command::Retry(retry) => request::retry(&server()?, retry, output).await,
        Command::Rollback(rollback) => request::rollback(&server()?, rollback, output).await,
        Command::Freeze(freeze) => request::freeze(&server()?, freeze, output).await,
        Command::Unfreeze(target) => request::unfreeze(&server()?, target, output).await,
        Command::Kill(kill) => request::kill(&server()?, kill, output).await,
        Command::Adopt(adopt) => request::adopt(&server()?, adopt, output).await,
        Command::Targets => target::list(&recorded()?, output).await,
        Command::Target(command) => target::one(&recorded()?, command, output).await,
        Command::Replay(replay) => replay::replay(&recorded()?, &replay, output).await,
        Command::Explain(explain) => show::explain(&recorded()?, &explain, output).await,
        Command::Verify(verify) => match &verify.against {
            Some(other) => against::against(&global, other, output),
            None => verify::verify(&recorded()?, output).await,
        },
        Command::Backup(backup) => backup::backup(&recorded()?, &backup, output).await,
        Command::Restore(restore) => backup::restore(&global, &restore, output),
        Command::Workflow(command) => workflow::workflow(&global, command, output).await,
        Command::User(command) => user::user(&server()?, command, output).await,
        Command::Topics(command) => topics::topics(&global, &command, output),
        Command::Log(command) => log::log(&global, &command, output).await,
        Command::DeadLetters(command) => dead_letters::dead_letters(&global, &command, output),
        Command::Config(command) => configured::config(&global, &command, output),
        Command::Bench(command) => bench::bench(&global, &command, output).await,
        Command::Doctor => doctor::doctor(&global, output).await,
        Command::Completions { shell } => {
            let mut command = Arguments::command();
            clap_complete::generate(shell, &mut command, "modelrail", &mut std::io::stdout());
            Ok(Exit::Good)
        }
    }
}

/// The data folder of `--data`, else of the configuration.
fn data_folder(global: &Global) -> Result<PathBuf, Failure> {
    if let Some(data) = &global.data {
        return Ok(data.clone());
    }
    let loaded = config::load(global.config.as_deref(), None);
    loaded.map(|(config, _)| config.store.data).map_err(|error| Failure::of_config(&error))
}

/// A story that did not come true.
fn untold(error: &crate::demo::Error) -> Failure {
    match error {
        crate::demo::Error::Config(error) => Failure::of_config(error),
        crate::demo::Error::Start(error) => serve::not_started(error),
        other => {
            let failure = Failure::new(Exit::Failed, "DEMO", other.to_string());
            match std::error::Error::source(other) {
                Some(source) => failure.cause(source),
                None => failure,
            }
        }
    }
}
