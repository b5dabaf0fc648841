//! The kept inputs of the fuzz targets, replayed: what was found once is not found again, without the fuzzer.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[path = "../fuzz/src/targets/mod.rs"]
mod targets;

use targets::TARGETS;

/// How long one input may take here, where nothing is optimised and other tests run; the fuzzer allows a second.
const INPUT_MAX: Duration = Duration::from_secs(20);
/// The longest input and all of them, so that a clone stays small.
const INPUT_BYTES_MAX: usize = 16 << 10;
const CORPUS_BYTES_MAX: usize = 4 << 20;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_kept_input_is_read_or_refused() {
    let mut total = 0;
    for (name, target) in TARGETS {
        let files = files(&folder().join(name));
        assert!(!files.is_empty(), "{name} has no inputs to begin with");
        for file in files {
            let bytes = fs::read(&file).unwrap();
            assert!(bytes.len() <= INPUT_BYTES_MAX, "{}: {} bytes", file.display(), bytes.len());
            total += bytes.len();
            let began = Instant::now();
            // Names the input, which a panic of the product would not.
            if let Err(panicked) = std::panic::catch_unwind(|| target(&bytes)) {
                eprintln!("at {}", file.display());
                std::panic::resume_unwind(panicked);
            }
            assert!(began.elapsed() < INPUT_MAX, "{}: {:?}", file.display(), began.elapsed());
        }
    }
    assert!(total <= CORPUS_BYTES_MAX, "the corpus has {total} bytes");
}

#[test]
fn every_folder_of_the_corpus_is_a_targets() {
    let named: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let there: BTreeSet<String> = files(&folder())
        .iter()
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(named, there);
    assert!(targets::find("record").is_some() && targets::find("none").is_none());
}
