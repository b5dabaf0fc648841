//! The workflows that come with the repository can be used as they are.

use std::path::PathBuf;

use super::{read, tracked};

fn shipped() -> Vec<PathBuf> {
    let is_workflow = |path: &PathBuf| {
        path.extension().is_some_and(|ending| ending == "yaml")
            && path.parent().and_then(|folder| folder.file_name()).is_some_and(|folder| folder == "workflows")
    };
    tracked().into_iter().filter(is_workflow).collect()
}

#[test]
fn a_shipped_workflow_parses_without_a_warning_is_told_in_words_and_drawn() {
    let shipped = shipped();
    assert!(shipped.len() >= 3, "found only {shipped:?}");
    for path in shipped {
        let place = path.display();
        let (workflow, warnings) =
            wire::workflow::parse(&read(&path)).unwrap_or_else(|problems| panic!("{place}: {problems}"));
        assert!(warnings.is_empty(), "{place}: {warnings:?}");
        let stem = path.file_stem().expect("a file has a name").to_string_lossy();
        assert_eq!(workflow.name.as_str(), stem, "{place}: the file is called as its workflow");
        let words = wire::workflow::words(&workflow);
        let drawn = wire::workflow::draw(&workflow);
        for stage in &workflow.stages {
            assert!(words.contains(stage.name.as_str()), "{place}: the words leave out {}", stage.name);
            assert!(drawn.contains(stage.name.as_str()), "{place}: the drawing leaves out {}", stage.name);
        }
    }
}
