//! What the figures were measured on.

use serde::Serialize;

#[derive(Debug, Serialize)]
pub(super) struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub memory_mib: u64,
    pub kernel: String,
    /// How many processes wanted to run, on average over the last minute, before this began.
    pub load: f64,
    pub profile: &'static str,
    pub version: &'static str,
}

impl Machine {
    pub(super) fn of_this() -> Self {
        let field = |path: &str, name: &str| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(name)).map(str::to_owned);
            line.and_then(|line| line.split_once(':').map(|(_, value)| value.trim().to_owned()))
        };
        let first = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let kib = field("/proc/meminfo", "MemTotal").unwrap_or_default();
        Self {
            cpu: field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: kib.trim_end_matches(" kB").parse::<u64>().unwrap_or(0) / 1_024,
            kernel: first("/proc/sys/kernel/osrelease"),
            load: first("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0),
            profile: if cfg!(debug_assertions) { "debug" } else { "release" },
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}
