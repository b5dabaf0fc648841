//! The CPU that a process used, all of it and by thread, from `/proc`; nothing where there is none.

use std::collections::BTreeMap;
use std::path::Path;

/// Clock ticks a second in `/proc`: fixed by Linux for programs.
const TICKS: f64 = 100.0;

/// Seconds, by the name of the thread.
pub(super) type Cpu = BTreeMap<String, f64>;

/// Under this name stands what all threads used, those too that have ended.
pub(super) const ALL: &str = "all";

/// Of processes together, since each of them began.
pub(super) fn used(processes: &[u32]) -> Cpu {
    let mut used = Cpu::new();
    for process in processes {
        let all = std::fs::read_to_string(format!("/proc/{process}/stat")).ok();
        let all = all.and_then(|stat| Some(ticks(stat.rsplit_once(')')?.1)));
        *used.entry(ALL.to_owned()).or_default() += all.unwrap_or(0.0);
        let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else { continue };
        for thread in threads.flatten() {
            if let Some((name, seconds)) = read(&thread.path()) {
                *used.entry(name).or_default() += seconds;
            }
        }
    }
    used
}

fn read(thread: &Path) -> Option<(String, f64)> {
    let stat = std::fs::read_to_string(thread.join("stat")).ok()?;
    let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
    // In nanoseconds, where the kernel keeps it.
    let exact = std::fs::read_to_string(thread.join("schedstat")).ok();
    let exact = exact.and_then(|text| text.split(' ').next()?.parse::<f64>().ok()).filter(|it| *it > 0.0);
    let seconds = exact.map_or_else(|| ticks(rest), |nanoseconds| nanoseconds / 1e9);
    Some((name.to_owned(), seconds))
}

/// Seconds of user and system, from what follows the name in a `stat`.
fn ticks(rest: &str) -> f64 {
    let fields = rest.split_whitespace().skip(11).take(2);
    fields.filter_map(|text| text.parse::<f64>().ok()).sum::<f64>() / TICKS
}

/// The processes that a process began.
pub(super) fn children(parent: u32) -> Vec<u32> {
    let Ok(processes) = std::fs::read_dir("/proc") else { return vec![] };
    let number = |entry: std::fs::DirEntry| entry.file_name().to_str()?.parse::<u32>().ok();
    let is_child = |process: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        rest.split_whitespace().nth(1).and_then(|text| text.parse::<u32>().ok()) == Some(parent)
    };
    processes.flatten().filter_map(number).filter(is_child).collect()
}

/// Microseconds for each of so many requests, between two looks.
pub(super) fn per_request(before: &Cpu, after: &Cpu, requests: u64) -> Cpu {
    let used = |(name, seconds): (&String, &f64)| {
        let seconds = seconds - before.get(name).copied().unwrap_or(0.0);
        let microseconds = seconds * 1e6 / requests.max(1) as f64;
        (name.clone(), (microseconds * 100.0).round() / 100.0)
    };
    after.iter().map(used).filter(|(_, microseconds)| *microseconds > 0.0).collect()
}
