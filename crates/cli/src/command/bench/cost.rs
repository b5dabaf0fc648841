//! What this process used: CPU by thread, memory, bytes written. From `/proc`; zeros where there is none.

use std::collections::BTreeMap;
use std::path::Path;

/// Clock ticks a second in `/proc`: fixed by Linux for programs.
const TICKS: f64 = 100.0;

/// Seconds of CPU, by the part of the product that used them.
pub(super) type Cpu = BTreeMap<String, f64>;

/// Since each thread began; threads that ended are not counted.
pub(super) fn cpu() -> Cpu {
    let mut used = Cpu::new();
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return used };
    for task in tasks.flatten() {
        let Ok(stat) = std::fs::read_to_string(task.path().join("stat")) else { continue };
        let Some((name, rest)) = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')')) else {
            continue;
        };
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
        *used.entry(part(name).to_owned()).or_default() += (ticks(11) + ticks(12)) / TICKS;
    }
    used
}

/// What was used between two looks.
pub(super) fn between(before: &Cpu, after: &Cpu) -> Cpu {
    let used =
        |(part, seconds): (&String, &f64)| (part.clone(), seconds - before.get(part).copied().unwrap_or(0.0));
    after.iter().map(used).filter(|(_, seconds)| *seconds > 0.0).collect()
}

fn part(thread: &str) -> &str {
    match thread {
        "engine" => "engine",
        name if name.starts_with("desk-") => "desks",
        name if name.starts_with("work-") => "workers",
        name if name.starts_with("rocksdb") => "rocksdb",
        _ => "load",
    }
}

/// What a process has used since it began, its ended threads included.
pub(super) fn cpu_seconds_of(process: u32) -> Result<f64, String> {
    let path = format!("/proc/{process}/stat");
    let stat = std::fs::read_to_string(&path).map_err(|error| format!("failed to read `{path}`: {error}"))?;
    // Behind the name, which may have anything in it.
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    Ok((ticks(11) + ticks(12)) / TICKS)
}

pub(super) fn resident_mib_of(process: u32) -> u64 {
    value_of(&process.to_string(), "status", "VmRSS") / 1_024
}

/// A value of `/proc/self/{file}` in its own unit.
fn value(file: &str, name: &str) -> u64 {
    value_of("self", file, name)
}

fn value_of(process: &str, file: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(Path::new("/proc").join(process).join(file)).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

pub(super) fn resident_mib() -> u64 {
    value("status", "VmRSS") / 1_024
}

/// The most that was ever resident.
pub(super) fn resident_peak_mib() -> u64 {
    value("status", "VmHWM") / 1_024
}

/// What all threads have used since they began; threads that ended are not counted.
pub(super) fn process_cpu_seconds() -> f64 {
    cpu().values().sum()
}

/// What the calling thread has used.
pub(super) fn thread_cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|text| text.parse().ok()).unwrap_or(0)
}

pub(super) fn written_bytes() -> u64 {
    value("io", "write_bytes")
}

/// Bytes of all files below.
pub(super) fn folder_bytes(path: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => folder_bytes(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}
