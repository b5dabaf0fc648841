//! Starts all, measures them in turn, and puts the figures together.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use super::load::{Demand, Measuring, Outcome};
use super::models::{MODEL, Models, TARGET};
use super::part::{Counts, Listening, Question};
use super::peers::{self, Peer};
use super::process::{CORES_APART, Process};
use super::report::{Measured, Raw, Report, Tables};
use super::{GatewayArguments, Part, Subject, cpu};
use crate::command::bench::machine::Machine;

/// Connections of the open loop: more than are ever busy at half load.
const OPEN_CONNECTIONS: usize = 32;

/// Who is measured, and whom the CPU is read of.
struct Running {
    subject: Subject,
    address: SocketAddr,
    path: String,
    kind: Kind,
}

enum Kind {
    Direct,
    Gateway(Process),
    Peer(Peer),
}

impl Running {
    fn processes(&self) -> Vec<u32> {
        match &self.kind {
            Kind::Direct => vec![],
            Kind::Gateway(process) => vec![process.id()],
            Kind::Peer(peer) => peer.processes(),
        }
    }
}

pub(super) fn measure(arguments: &GatewayArguments) -> io::Result<Report> {
    let machine = Machine::of_this();
    let folder = std::env::temp_dir().join(format!("modelrail-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let measured = measure_in(arguments, &folder);
    std::fs::remove_dir_all(&folder)?;
    Ok(measured?.report(machine, arguments))
}

fn measure_in(arguments: &GatewayArguments, folder: &Path) -> io::Result<Raw> {
    let examples = arguments.examples.as_path();
    let [own, others] = CORES_APART.map(|core| arguments.apart.then_some(core));
    let models = Models::read(examples)?;
    let rows = arguments.rows.to_string();
    let with_rows = [("--examples", examples), ("--rows", Path::new(&rows))];
    let mut load = Process::start(Part::Load, &with_rows, others)?;
    let mut server = Process::start(Part::ModelServer, &[("--examples", examples)], own)?;
    let upstream = server.read::<Listening>()?.address;
    let mut raw = Raw::default();
    let mut all = vec![];
    for subject in wanted(arguments) {
        let folder = folder.join(format!("{subject:?}"));
        let gateway_path = format!("/{TARGET}/v2/models/{MODEL}/infer");
        let (address, path, kind) = match subject {
            Subject::Direct => (upstream, Models::path(models.stable), Kind::Direct),
            Subject::Gateway | Subject::Embedded => {
                let to = upstream.to_string();
                let mut with = vec![("--examples", examples), ("--folder", &folder)];
                if subject == Subject::Gateway {
                    with.push(("--upstream", Path::new(&to)));
                }
                let mut process = Process::start(Part::Gateway, &with, others)?;
                (process.read::<Listening>()?.address, gateway_path, Kind::Gateway(process))
            }
            Subject::Nginx | Subject::Haproxy => {
                let Some(version) = peers::version(subject) else {
                    raw.not_installed.push(subject);
                    continue;
                };
                raw.peers.push(version);
                let peer = Peer::start(subject, &folder, &models, upstream, others)?;
                (peer.address, gateway_path, Kind::Peer(peer))
            }
        };
        all.push(Running { subject, address, path, kind });
    }
    for round in 0..arguments.rounds {
        for running in in_turn(&all, round) {
            let demand = demand(running, arguments.connections, None, Some(arguments.seconds));
            let measured = one(&mut load, server.id(), running, &demand)?;
            raw.throughput.entry(running.subject).or_default().push(measured);
        }
    }
    // Half of what the gateway can do, for all of them: what is compared is what each adds at one rate.
    let rate =
        raw.rate_of(Subject::Gateway).or_else(|| raw.rate_of(Subject::Direct)).unwrap_or(1_000.0) / 2.0;
    raw.half_load_rate = rate;
    for round in 0..arguments.rounds {
        for running in in_turn(&all, round) {
            let demand = demand(running, OPEN_CONNECTIONS, Some(rate), Some(arguments.seconds));
            let measured = one(&mut load, server.id(), running, &demand)?;
            raw.half_load.entry(running.subject).or_default().push(measured);
        }
    }
    for running in &mut all {
        if let Running { subject: Subject::Gateway | Subject::Embedded, kind: Kind::Gateway(_), .. } = running
        {
            let tables = change_tables(&mut load, running, arguments)?;
            raw.tables.insert(running.subject, tables);
        }
    }
    Ok(raw)
}

fn wanted(arguments: &GatewayArguments) -> Vec<Subject> {
    let all = [Subject::Direct, Subject::Gateway, Subject::Embedded, Subject::Nginx, Subject::Haproxy];
    let only = &arguments.only;
    // A model in the gateway's process has no core of its own.
    let fits = |subject: &Subject| !(arguments.apart && *subject == Subject::Embedded);
    all.into_iter().filter(|it| only.is_empty() || only.contains(it)).filter(fits).collect()
}

/// All, beginning with another one each round.
fn in_turn(all: &[Running], round: usize) -> impl Iterator<Item = &Running> {
    all.iter().cycle().skip(round % all.len().max(1)).take(all.len())
}

fn demand(running: &Running, connections: usize, rate: Option<f64>, seconds: Option<f64>) -> Demand {
    Demand { address: running.address, path: running.path.clone(), connections, rate, seconds }
}

fn one(load: &mut Process, server: u32, running: &Running, demand: &Demand) -> io::Result<Measured> {
    let groups = [("load", vec![load.id()]), ("model_server", vec![server]), ("proxy", running.processes())];
    load.tell(demand)?;
    load.read::<Measuring>()?;
    let before = groups.each_ref().map(|(_, processes)| cpu::used(processes));
    let outcome = load.read::<Outcome>()?;
    let after = groups.each_ref().map(|(_, processes)| cpu::used(processes));
    let mut cpu_us = BTreeMap::new();
    for (at, (name, _)) in groups.iter().enumerate() {
        cpu_us.insert(*name, cpu::per_request(&before[at], &after[at], outcome.requests));
    }
    Ok(Measured { outcome, cpu_us })
}

fn change_tables(
    load: &mut Process,
    running: &mut Running,
    arguments: &GatewayArguments,
) -> io::Result<Tables> {
    let demand = demand(running, arguments.connections, None, None);
    let Kind::Gateway(gateway) = &mut running.kind else {
        return Err(io::Error::other("only a gateway takes tables"));
    };
    let before: Counts = gateway.ask(&Question::Counts)?;
    load.tell(&demand)?;
    load.read::<Measuring>()?;
    let after: Counts = gateway.ask(&Question::ChangeTables(arguments.tables))?;
    // Any line ends the load.
    let outcome: Outcome = load.ask(&"over")?;
    let all: Counts = gateway.ask(&Question::Counts)?;
    Ok(Tables {
        changes: after.tables_applied - before.tables_applied,
        refused: after.tables_refused - before.tables_refused,
        seconds: after.seconds,
        requests: outcome.requests,
        failed: outcome.failed,
        first_failure: outcome.first_failure,
        p99_us: outcome.p99_us,
        predictions_written: all.predictions_written,
        predictions_dropped: all.predictions_dropped,
        predictions_lost: all.predictions_lost,
        requests_in_all: all.requests,
    })
}
