//! Python with the packages of an example, kept in the cache folder for the next time.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Leaves out what needs Python, by name.
const NO_PYTHON: &str = "MODELRAIL_NO_PYTHON";

/// The folder of an example, by its name.
pub(super) fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name).canonicalize().unwrap()
}

/// With what this example's `requirements.txt` names.
pub(super) fn python(name: &str) -> Option<PathBuf> {
    if std::env::var_os(NO_PYTHON).is_some() {
        println!("not run: examples/{name} in Python, since {NO_PYTHON} is set");
        return None;
    }
    let requirements = example(name).join("requirements.txt");
    let digest = domain::name::Digest::of(&std::fs::read(&requirements).unwrap()).hex();
    let cache = std::env::var_os("MODELRAIL_CACHE").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").expect("a home folder")).join(".cache/modelrail"),
        PathBuf::from,
    );
    let kept = cache.join(format!("{name}-{}", &digest[..16]));
    if !kept.join("bin/python").exists() {
        let hint = format!("python3 with venv and pip makes it; {NO_PYTHON}=1 leaves what is in Python out");
        let new = cache.join(format!("{name}-{}-{}", &digest[..16], std::process::id()));
        std::fs::create_dir_all(&cache).unwrap();
        let made = Command::new("python3").args(["-m", "venv"]).arg(&new).status();
        assert!(made.is_ok_and(|made| made.success()), "failed to make a Python environment: {hint}");
        let mut pip = Command::new(new.join("bin/python"));
        let pip = pip.args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(&requirements).status();
        assert!(pip.is_ok_and(|pip| pip.success()), "failed to install the packages: {hint}");
        if let Err(error) = std::fs::rename(&new, &kept) {
            // Another process was faster.
            assert!(kept.join("bin/python").exists(), "{error}");
            std::fs::remove_dir_all(&new).unwrap();
        }
    }
    Some(kept.join("bin/python"))
}
