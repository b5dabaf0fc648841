//! `modelrail bench restart`: how long from the start of a process to its first step, after a kill with a thousand
//! commands in flight.
//!
//! Half of the commands were carried out and their answers lost; of the others some are being carried out, and the
//! rest waits at the desk. Runs that end stay in the store, so it grows from kill to kill.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use super::super::machine::Machine;
use super::check::{self, Verified};
use super::ledger::Faults;
use super::line::Phases;
use super::rig::{self, Event, Rig};
use super::worker::look;
use super::{Spread, ms};
use crate::exit::{Exit, Failure};
use crate::output::Output;

/// How many are under way while the store is filled.
const FILLING: usize = 256;
/// Without an answer for this long something is stuck.
const STUCK: Duration = Duration::from_mins(1);
const LOOK_EVERY: Duration = Duration::from_millis(5);

#[derive(Debug, Args)]
pub struct RestartArguments {
    /// Where everything is kept; a folder of its own is made in it, and taken away at the end.
    #[arg(long, value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// How many runs have ended before the first kill.
    #[arg(long, default_value_t = 10_000)]
    pub finished: u64,
    /// How many have a command in flight at each kill.
    #[arg(long, default_value_t = 1_000)]
    pub open: usize,
    /// Then as many again, after the store was filled up to so many transitions; 0 leaves this part out.
    #[arg(long, default_value_t = 1_000_000)]
    pub transitions: u64,
    /// How many kills in each part.
    #[arg(long, default_value_t = 20)]
    pub times: usize,
    /// The workers are killed too: it must be found out.
    #[arg(long, hide = true)]
    pub workers_die: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    open: usize,
    parts: Vec<Part>,
    faults: Faults,
    verified: Verified,
    passed: bool,
}

/// The kills at one size of the store.
#[derive(Debug, Serialize)]
struct Part {
    /// At the first kill.
    runs_ended: u64,
    records: u64,
    kills: usize,
    /// Over all kills.
    commands_in_flight: usize,
    commands_ordered_again: u64,
    commands_carried_out_twice: u64,
    /// From the start of the process to the first thing that stands in a record of it.
    first_step_ms: Spread,
    /// Its parts: the start of the program,
    program_ms: Spread,
    /// its databases, whose own logs are read again,
    open_folder_ms: Spread,
    /// what the view knows of each partition,
    open_view_ms: Spread,
    /// the end of the log, which the view lacks,
    catch_up_ms: Spread,
    /// the claims and what is outstanding,
    claim_ms: Spread,
    /// and from there to the first acknowledgement.
    first_pass_ms: Spread,
}

/// One kill and the start after it.
struct Kill {
    first_step: Duration,
    up: Duration,
    phases: Phases,
}

pub(in super::super) fn restart(arguments: &RestartArguments, output: Output) -> Result<Exit, Failure> {
    let place = arguments.folder.clone().unwrap_or_else(|| PathBuf::from("."));
    let folder = place.join(format!("modelrail-restart-{}", std::process::id()));
    let report = measure(arguments, folder.clone());
    if let Err(error) = std::fs::remove_dir_all(&folder) {
        tracing::warn!(%error, folder = %folder.display(), "the folder of the benchmark is left behind");
    }
    let report = report.map_err(|text| Failure::new(Exit::Failed, "BENCH", text))?;
    output.one(&report, table)?;
    Ok(if report.passed { Exit::Good } else { Exit::Failed })
}

/// For people.
fn table(report: &Report) -> String {
    let mut text = String::new();
    for part in &report.parts {
        let Part { records, runs_ended, kills, commands_in_flight, commands_carried_out_twice, .. } = part;
        let Spread { median, worst } = part.first_step_ms;
        writeln!(
            text,
            "{records} records, {runs_ended} runs ended, {kills} kills: first step after {median:.0} ms, at worst \
             {worst:.0} ms; of {commands_in_flight} commands in flight {commands_carried_out_twice} carried out twice"
        )
        .expect("a string takes any text");
    }
    let (faults, good) = (report.faults.all(), report.verified.good);
    writeln!(text, "{faults} faults {:?}, log good: {good}", report.faults.words)
        .expect("a string takes any text");
    text
}

fn measure(arguments: &RestartArguments, folder: PathBuf) -> Result<Report, String> {
    let machine = Machine::of_this();
    let mut rig = Rig::start(rig::Plan {
        folder,
        // Each run is the only one at its target, and none waits for another.
        targets: arguments.open.max(FILLING),
        in_flight: arguments.open,
        source: format!("/restart/{}", std::process::id()),
        workers_die: arguments.workers_die,
    })?;
    let mut parts = vec![];
    fill(&mut rig, |rig| look(&rig.book).ended < arguments.finished)?;
    parts.push(part(&mut rig, arguments)?);
    if arguments.transitions > 0 {
        fill(&mut rig, |rig| look(&rig.book).recorded < arguments.transitions)?;
        parts.push(part(&mut rig, arguments)?);
    }
    eprintln!("verifying");
    let data = rig.data();
    let book = rig.stop()?;
    let mut book = look(&book);
    let verified = check::check(&data, &mut book)?;
    // Kills that found too little in flight prove nothing.
    let all_again = parts.iter().all(|part| part.commands_ordered_again >= part.commands_in_flight as u64);
    let passed = book.faults.all() == 0 && verified.good && all_again;
    Ok(Report { machine, open: arguments.open, parts, faults: book.faults.clone(), verified, passed })
}

/// Whole runs, for as long as more are wanted.
fn fill(rig: &mut Rig, wanted: impl Fn(&Rig) -> bool) -> Result<(), String> {
    eprintln!("filling the store");
    let began = Instant::now();
    let filled = rig.run_until(0, |rig| {
        let more = rig.has_room() && look(&rig.book).open.len() < FILLING && wanted(rig);
        if more {
            rig.say(Instant::now())?;
        }
        Ok(more)
    });
    eprintln!("filled after {:?}", began.elapsed());
    filled
}

fn part(rig: &mut Rig, arguments: &RestartArguments) -> Result<Part, String> {
    let (ended, again, twice) = {
        let book = look(&rig.book);
        (book.ended, book.ordered_again, book.faults.carried_out_twice)
    };
    let mut kills: Vec<Kill> = vec![];
    for number in 1..=arguments.times {
        let kill = kill(rig, arguments)?;
        let Kill { first_step, up, phases } = &kill;
        eprintln!("kill {number}: up after {up:?}, first step after {first_step:?}, {phases:?}");
        kills.push(kill);
    }
    let book = look(&rig.book);
    let spread = |of: fn(&Kill) -> f64| Spread::of(kills.iter().map(of));
    Ok(Part {
        runs_ended: ended,
        records: kills.first().map_or(0, |kill| kill.phases.records),
        kills: kills.len(),
        commands_in_flight: kills.len() * arguments.open,
        commands_ordered_again: book.ordered_again - again,
        commands_carried_out_twice: book.faults.carried_out_twice - twice,
        first_step_ms: spread(|kill| ms(kill.first_step)),
        program_ms: spread(|kill| ms(kill.up) - kill.phases.opening_ms()),
        open_folder_ms: spread(|kill| kill.phases.folder_ms),
        open_view_ms: spread(|kill| kill.phases.view_ms),
        catch_up_ms: spread(|kill| kill.phases.catch_up_ms),
        claim_ms: spread(|kill| kill.phases.claim_ms),
        first_pass_ms: spread(|kill| ms(kill.first_step) - ms(kill.up)),
    })
}

/// Kills with so many commands in flight, and lets all of them end afterwards.
fn kill(rig: &mut Rig, arguments: &RestartArguments) -> Result<Kill, String> {
    let open = arguments.open;
    let (ordered, lost) = (look(&rig.book).ordered, rig.reports_lost());
    rig.gate.close_after(open / 2);
    rig.lose_reports(true);
    for _ in 0..open {
        rig.say(Instant::now())?;
    }
    let began = Instant::now();
    loop {
        let book = look(&rig.book);
        let (answered, in_flight) = (book.unanswered().is_empty(), book.ordered - ordered);
        drop(book);
        if answered && in_flight >= open as u64 && rig.reports_lost() - lost >= (open / 2) as u64 {
            break;
        }
        if began.elapsed() > STUCK {
            return Err(rig.stuck());
        }
        std::thread::sleep(LOOK_EVERY);
    }
    rig.kill()?;
    rig.lose_reports(false);
    if arguments.workers_die {
        // Nothing is under way any more.
        rig.gate.open();
    }
    let spawned_at = rig.spawn()?;
    let (mut up, mut first_step) = (None, None);
    while up.is_none() || first_step.is_none() {
        match rig.next(STUCK)? {
            Some(Event::Up(phases, at)) => up = Some((phases, at)),
            Some(Event::FirstStep(at)) => first_step = Some(at),
            Some(Event::Completed(completed)) => drop(rig.completed(&completed)),
            None => return Err(rig.stuck()),
        }
    }
    // What is under way ends only now: it was ordered again while it was.
    rig.gate.open();
    rig.run_until(0, |_| Ok(false))?;
    let (Some((phases, up)), Some(first_step)) = (up, first_step) else { return Err(rig.stuck()) };
    Ok(Kill { first_step: first_step - spawned_at, up: up - spawned_at, phases })
}
