use std::path::{Path, PathBuf};

fn below(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn proto_files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "proto"));
    files.sort();
    files
}

/// A start is far larger than anything else that is said or happens, and comes once in a run: by value it would make
/// every input and every event as large.
const BOXED: [&str; 2] = [".modelrail.v1.RunInput.input.start", ".modelrail.v1.RunEvent.Started.start"];

#[test]
fn generated_code_is_that_of_the_proto_files() {
    let root = below("../../proto");
    let files = proto_files(&root.join("modelrail/v1"));
    let descriptors = protox::compile(&files, [&root]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut config = prost_build::Config::new();
    for field in BOXED {
        config.boxed(field);
    }
    config.out_dir(folder.path()).compile_fds(descriptors).unwrap();
    let fresh = std::fs::read_to_string(folder.path().join("modelrail.v1.rs")).unwrap();

    let committed = below("src/generated/modelrail.v1.rs");
    if std::env::var_os("MODELRAIL_REGENERATE").is_some() {
        std::fs::write(&committed, &fresh).unwrap();
    }
    let found = std::fs::read_to_string(&committed).unwrap();
    assert!(
        found == fresh,
        "the generated code is not that of the proto files: MODELRAIL_REGENERATE=1 cargo test -p wire generated"
    );
}
