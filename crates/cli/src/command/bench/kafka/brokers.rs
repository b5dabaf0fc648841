//! Brokers of this machine, as `deploy/kafka/broker.sh` keeps them in a folder: who they are, what they use, what is in
//! their segments.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

/// Of a batch: after its base offset comes the length of what follows it, and last in its header the count of its
/// records. <https://kafka.apache.org/documentation/#recordbatch>
const LENGTH_AT: usize = 8;
const LENGTH_END: usize = 12;
const RECORDS_AT: usize = 57;
const HEADER: usize = 61;

pub(super) struct Brokers {
    folder: PathBuf,
    pub addresses: String,
}

/// What is in the segments of topics.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Topics {
    pub batches: u64,
    pub records: u64,
    pub bytes: u64,
}

/// Counts what is in one copy of each partition of topics whose names begin with its prefix. What was counted is not read
/// again.
#[derive(Debug)]
pub(super) struct Counter {
    logs: Vec<PathBuf>,
    prefix: String,
    /// Up to where each segment was counted.
    counted: BTreeMap<PathBuf, u64>,
    found: Topics,
}

impl Brokers {
    pub fn at(folder: &Path) -> Result<Self, String> {
        let path = folder.join("brokers");
        let addresses = std::fs::read_to_string(&path)
            .map_err(|error| format!("failed to read `{}`: {error}", path.display()))?;
        Ok(Self { folder: folder.to_owned(), addresses: addresses.trim().to_owned() })
    }

    pub fn count(&self) -> usize {
        self.addresses.split(',').count()
    }

    /// The processes.
    pub fn ids(&self) -> Result<Vec<u32>, String> {
        let id = |node: usize| {
            let path = self.folder.join(node.to_string()).join("pid");
            let text = std::fs::read_to_string(&path).map_err(|error| error.to_string());
            let id = text.and_then(|text| text.trim().parse().map_err(|_| format!("`{text}`")));
            id.map_err(|why| format!("expected the id of a process in `{}`: {why}", path.display()))
        };
        (1..=self.count()).map(id).collect()
    }

    pub fn counter(&self, prefix: &str) -> Counter {
        let logs = (1..=self.count()).map(|node| self.folder.join(node.to_string()).join("log"));
        Counter {
            logs: logs.collect(),
            prefix: prefix.to_owned(),
            counted: BTreeMap::new(),
            found: Topics::default(),
        }
    }
}

impl Counter {
    pub fn count(&mut self) -> Result<Topics, String> {
        let mut partitions = BTreeSet::new();
        for logs in self.logs.clone() {
            let failed =
                |path: &Path, error: &io::Error| format!("failed to read `{}`: {error}", path.display());
            let entries = std::fs::read_dir(&logs).map_err(|error| failed(&logs, &error))?;
            for entry in entries.flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.starts_with(&self.prefix) && partitions.insert(name) {
                    let path = entry.path();
                    self.read_partition(&path).map_err(|error| failed(&path, &error))?;
                }
            }
        }
        Ok(self.found)
    }

    fn read_partition(&mut self, folder: &Path) -> io::Result<()> {
        for entry in std::fs::read_dir(folder)?.flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "log") {
                let from = self.counted.get(&path).copied().unwrap_or(0);
                let to = read_segment(&path, from, &mut self.found)?;
                self.counted.insert(path, to);
            }
        }
        Ok(())
    }
}

/// Walks the batches by their lengths, up to one that is being written now.
fn read_segment(path: &Path, from: u64, found: &mut Topics) -> io::Result<u64> {
    let file = File::open(path)?;
    let end = file.metadata()?.len();
    let mut file = BufReader::new(file);
    file.seek(SeekFrom::Start(from))?;
    let mut at = from;
    let mut header = [0; HEADER];
    let number = |bytes: &[u8]| u64::from(u32::from_be_bytes(bytes.try_into().expect("four bytes")));
    while at + HEADER as u64 <= end {
        file.read_exact(&mut header)?;
        let length = LENGTH_END as u64 + number(&header[LENGTH_AT..LENGTH_END]);
        if length < HEADER as u64 || at + length > end {
            break;
        }
        found.batches += 1;
        found.records += number(&header[RECORDS_AT..]);
        found.bytes += length;
        at += length;
        file.seek_relative((length - HEADER as u64) as i64)?;
    }
    Ok(at)
}
