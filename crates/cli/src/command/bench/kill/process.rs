//! What a process holds: memory, open files, threads. From `/proc`; zeros where there is none.

use std::path::{Path, PathBuf};

use serde::Serialize;

/// Clock ticks a second in `/proc`: fixed by Linux for programs.
const TICKS: f64 = 100.0;

#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Held {
    pub(super) resident_mib: u64,
    pub(super) threads: u64,
    /// Open files and pipes, but for the tables of the database, which grow in number with what is stored.
    pub(super) files: u64,
    pub(super) tables: u64,
    /// Used since it began.
    pub(super) cpu_seconds: f64,
}

impl Held {
    pub(super) fn by(process: u32) -> Self {
        let folder = PathBuf::from(format!("/proc/{process}"));
        let status = std::fs::read_to_string(folder.join("status")).unwrap_or_default();
        let value = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
        };
        let (files, tables) = open_files(&folder.join("fd"));
        Self {
            resident_mib: value("VmRSS") / 1_024,
            threads: value("Threads"),
            files,
            tables,
            cpu_seconds: cpu_seconds(&folder),
        }
    }
}

/// Of all its threads, those that ended too.
fn cpu_seconds(folder: &Path) -> f64 {
    let stat = std::fs::read_to_string(folder.join("stat")).unwrap_or_default();
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / TICKS
}

/// Those that are not tables, and those that are.
fn open_files(folder: &Path) -> (u64, u64) {
    let Ok(entries) = std::fs::read_dir(folder) else { return (0, 0) };
    let is_table = |path: &Path| path.extension().is_some_and(|extension| extension == "sst");
    let (mut files, mut tables) = (0, 0);
    for entry in entries.flatten() {
        match std::fs::read_link(entry.path()) {
            Ok(path) if is_table(&path) => tables += 1,
            _ => files += 1,
        }
    }
    (files, tables)
}
