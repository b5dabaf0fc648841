//! The workflow files of a folder, parsed; every problem of every file at once.

use std::fs;
use std::path::Path;

use api::{Loaded, Workflows};

/// Reads all `*.yaml` of the folder, sorted by name. A missing folder has none.
pub fn load(folder: &Path) -> Result<Workflows, String> {
    let mut files: Vec<_> = match fs::read_dir(folder) {
        Ok(entries) => entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Workflows::default()),
        Err(error) => return Err(format!("{}: {error}", folder.display())),
    };
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    let mut loaded: Vec<Loaded> = vec![];
    let mut problems = vec![];
    for path in files {
        let file = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => {
                problems.push(format!("{file}: {error}"));
                continue;
            }
        };
        match wire::definitions::pin_workflow(&text) {
            Ok(parsed) => {
                let name = parsed.name.clone();
                if let Some(other) = loaded.iter().find(|other| other.name == name) {
                    problems.push(format!("{file}: workflow `{name}` stands in {} too", other.file));
                }
                loaded.push(Loaded { name, file, text: text.as_str().into(), parsed });
            }
            Err(found) => problems.push(format!("{file}:\n{found}")),
        }
    }
    if problems.is_empty() { Ok(Workflows(loaded)) } else { Err(problems.join("\n")) }
}
