//! The rules of the house, checked on the files themselves: which crate may know which, how long files are, which
//! words name things, what the documents claim.
//!
//! They read text and `cargo metadata`; they build nothing and start nothing.

mod crates;
mod deploy;
mod documents;
mod files;
mod names;
mod purity;
mod workflows;

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of the workspace.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies one folder below the workspace")
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What git tracks or would track, by path from the root; what is ignored is not of the house.
fn tracked() -> Vec<PathBuf> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(root())
        .output()
        .expect("git is there: the build scripts need it too");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let names = String::from_utf8(listed.stdout).expect("paths of this repository are UTF-8");
    // A file that was deleted and not committed yet is still listed.
    names
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(PathBuf::from)
        .filter(|path| root().join(path).is_file())
        .collect()
}

/// Rust sources written by people, by path from the root, with their text.
fn sources() -> Vec<(PathBuf, String)> {
    let of_people = |path: &PathBuf| {
        path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("generated/modelrail.v1.rs")
    };
    tracked().into_iter().filter(of_people).map(|path| (path.clone(), read(path))).collect()
}

/// The folders below `crates`.
fn crate_names() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(root().join("crates"))
        .expect("the workspace has crates")
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.join("Cargo.toml").is_file())
        .map(|path| path.file_name().expect("an entry has a name").to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
