//! A disk that loses its power: what a folder holds of what was written, when only what was synced is certain.
//!
//! ```text
//!  a file    = synced bytes      + changes since, in order: of these a disk keeps the first n, and tears the next
//!  a folder  = synced names      + changes since, in order: of these it keeps the first n
//! ```
//!
//! **Invariant:** a sync counts from when it began, and only if it ended well. A file's sync does not keep its name:
//! that takes a sync of its folder. It is stricter than most file systems; none is stricter.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use super::super::random::Random;
use super::journal::Record;

/// A file or a folder of the disk, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    File(usize),
    Folder(usize),
}

#[derive(Debug, Clone)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Cut { size: usize },
}

/// Of a folder.
#[derive(Debug, Clone)]
enum Naming {
    Put {
        name: String,
        node: Node,
    },
    Remove {
        name: String,
    },
    /// Within one folder: at once.
    Rename {
        old: String,
        new: String,
        node: Node,
    },
}

/// What is certain, what is not, and how much of that became certain since.
#[derive(Debug)]
struct Kept<T, C> {
    base: T,
    changes: Vec<C>,
    synced: usize,
}

impl<T, C> Kept<T, C> {
    fn of(base: T) -> Self {
        Self { base, changes: vec![], synced: 0 }
    }
}

#[derive(Debug, Default)]
pub(super) struct Disk {
    files: Vec<Kept<Vec<u8>, Change>>,
    folders: Vec<Kept<BTreeMap<String, Node>, Naming>>,
    /// What stands where now, by its path below the top.
    now: BTreeMap<PathBuf, Node>,
    /// By the number that the process knows it by.
    known: HashMap<u64, usize>,
    tickets: HashMap<u64, (Node, usize)>,
}

/// What is lost of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    All,
    /// Of each file and folder something, by chance.
    Some,
}

/// The folder after a loss: files with their bytes, and folders.
#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) files: BTreeMap<PathBuf, Vec<u8>>,
    pub(super) folders: Vec<PathBuf>,
    /// Changes of files and of names that are gone.
    pub(super) changes_lost: usize,
}

impl Disk {
    /// As the named folder in the top one stands, if it is there; all of it certain.
    pub(super) fn of(top: &Path, name: &str) -> Self {
        let mut disk = Self::default();
        disk.folders.push(Kept::of(BTreeMap::new()));
        disk.now.insert(PathBuf::new(), Node::Folder(0));
        if top.join(name).is_dir() {
            disk.folders.push(Kept::of(BTreeMap::new()));
            disk.folders[0].base.insert(name.to_owned(), Node::Folder(1));
            disk.now.insert(name.into(), Node::Folder(1));
            disk.read(top, Path::new(name), 1);
        }
        disk
    }

    fn read(&mut self, top: &Path, below: &Path, folder: usize) {
        for entry in fs::read_dir(top.join(below)).unwrap() {
            let entry = entry.unwrap();
            let path = below.join(entry.file_name());
            let node = if entry.path().is_dir() {
                self.folders.push(Kept::of(BTreeMap::new()));
                let number = self.folders.len() - 1;
                self.read(top, &path, number);
                Node::Folder(number)
            } else {
                self.files.push(Kept::of(fs::read(entry.path()).unwrap()));
                Node::File(self.files.len() - 1)
            };
            self.folders[folder].base.insert(entry.file_name().into_string().unwrap(), node);
            self.now.insert(path, node);
        }
    }

    /// Follows what the process did. Paths are below the top.
    pub(super) fn follow(&mut self, records: impl IntoIterator<Item = Record>) {
        for record in records {
            match record {
                Record::Opened { file, path } => self.opened(file, path),
                Record::Written { file, at, bytes } => self.change(file, Change::Write { at, bytes }),
                Record::Cut { file, size } => self.change(file, Change::Cut { size }),
                Record::FileSyncBegan { file, ticket } => {
                    if let Some(file) = self.known.get(&file) {
                        self.tickets.insert(ticket, (Node::File(*file), self.files[*file].changes.len()));
                    }
                }
                Record::FolderSyncBegan { path, ticket } => {
                    if let Some(Node::Folder(folder)) = self.now.get(&path) {
                        let folder = *folder;
                        let changes = self.folders[folder].changes.len();
                        self.tickets.insert(ticket, (Node::Folder(folder), changes));
                    }
                }
                Record::SyncEnded { ticket } => match self.tickets.remove(&ticket) {
                    Some((Node::File(file), upto)) => {
                        let synced = &mut self.files[file].synced;
                        *synced = upto.max(*synced);
                    }
                    Some((Node::Folder(folder), upto)) => {
                        let synced = &mut self.folders[folder].synced;
                        *synced = upto.max(*synced);
                    }
                    None => {}
                },
                Record::FolderMade { path } => {
                    self.folders.push(Kept::of(BTreeMap::new()));
                    self.put(path, Node::Folder(self.folders.len() - 1));
                }
                Record::Renamed { old, new } => self.renamed(old, new),
                Record::Removed { path } => {
                    if self.now.remove(&path).is_some() {
                        let name = name(&path);
                        self.name_change(&path, Naming::Remove { name });
                    }
                }
            }
        }
    }

    fn opened(&mut self, file: u64, path: PathBuf) {
        let number = match self.now.get(&path) {
            Some(Node::File(number)) => *number,
            Some(Node::Folder(_)) => return,
            None => {
                self.files.push(Kept::of(vec![]));
                let number = self.files.len() - 1;
                self.put(path, Node::File(number));
                number
            }
        };
        self.known.insert(file, number);
    }

    fn change(&mut self, file: u64, change: Change) {
        if let Some(file) = self.known.get(&file) {
            self.files[*file].changes.push(change);
        }
    }

    fn put(&mut self, path: PathBuf, node: Node) {
        let name = name(&path);
        self.name_change(&path, Naming::Put { name, node });
        self.now.insert(path, node);
    }

    fn name_change(&mut self, path: &Path, naming: Naming) {
        let folder = path.parent().unwrap_or(Path::new(""));
        if let Some(Node::Folder(folder)) = self.now.get(folder) {
            self.folders[*folder].changes.push(naming);
        }
    }

    fn renamed(&mut self, old: PathBuf, new: PathBuf) {
        // What was not seen being made is not there.
        let Some(node) = self.now.remove(&old) else { return };
        if old.parent() == new.parent() {
            let naming = Naming::Rename { old: name(&old), new: name(&new), node };
            self.name_change(&new, naming);
        } else {
            self.name_change(&old, Naming::Remove { name: name(&old) });
            self.name_change(&new, Naming::Put { name: name(&new), node });
        }
        self.now.insert(new, node);
    }

    /// As the process sees it: nothing lost.
    pub(super) fn now(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let files = self.now.iter().filter_map(|(path, node)| match node {
            Node::File(file) => {
                let kept = &self.files[*file];
                Some((path.clone(), bytes(kept, kept.changes.len(), None)))
            }
            Node::Folder(_) => None,
        });
        files.collect()
    }

    /// As it is found after the power came back.
    pub(super) fn after(&self, loss: Loss, random: &mut Random) -> Left {
        let mut left = Left::default();
        self.leave(0, Path::new(""), loss, random, &mut left);
        left
    }

    fn leave(&self, folder: usize, path: &Path, loss: Loss, random: &mut Random, left: &mut Left) {
        let kept = &self.folders[folder];
        let upto = survive(kept.synced, kept.changes.len(), loss, random);
        left.changes_lost += kept.changes.len() - upto;
        let mut names = kept.base.clone();
        for naming in &kept.changes[..upto] {
            match naming {
                Naming::Put { name, node } => {
                    names.insert(name.clone(), *node);
                }
                Naming::Remove { name } => {
                    names.remove(name);
                }
                Naming::Rename { old, new, node } => {
                    names.remove(old);
                    names.insert(new.clone(), *node);
                }
            }
        }
        for (name, node) in names {
            let path = path.join(name);
            match node {
                Node::Folder(folder) => {
                    left.folders.push(path.clone());
                    self.leave(folder, &path, loss, random, left);
                }
                Node::File(file) => {
                    let kept = &self.files[file];
                    let upto = survive(kept.synced, kept.changes.len(), loss, random);
                    left.changes_lost += kept.changes.len() - upto;
                    let torn = if loss == Loss::Some { Some(&mut *random) } else { None };
                    left.files.insert(path, bytes(kept, upto, torn));
                }
            }
        }
    }
}

fn name(path: &Path) -> String {
    path.file_name().and_then(|name| name.to_str()).expect("a path below the top has a name").to_owned()
}

/// How many of the changes are kept: at least the synced ones.
fn survive(synced: usize, all: usize, loss: Loss, random: &mut Random) -> usize {
    match (loss, random.below(3)) {
        (Loss::All, _) | (Loss::Some, 0) => synced,
        (Loss::Some, 1) => all,
        (Loss::Some, _) => synced + random.below((all - synced + 1) as u64) as usize,
    }
}

/// A file's bytes with so many changes, and perhaps a part of the next.
fn bytes(kept: &Kept<Vec<u8>, Change>, upto: usize, torn: Option<&mut Random>) -> Vec<u8> {
    let mut out = kept.base.clone();
    kept.changes[..upto].iter().for_each(|change| carry_out(&mut out, change));
    if let (Some(Change::Write { at, bytes }), Some(random)) = (kept.changes.get(upto), torn) {
        let part = random.below(bytes.len() as u64 + 1) as usize;
        if part > 0 {
            carry_out(&mut out, &Change::Write { at: *at, bytes: bytes[..part].to_vec() });
        }
    }
    out
}

fn carry_out(out: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Cut { size } => out.resize(*size, 0),
        Change::Write { at, bytes } => {
            let end = at + bytes.len();
            out.resize(out.len().max(end), 0);
            out[*at..end].copy_from_slice(bytes);
        }
    }
}

impl Left {
    /// Puts it in the place of what is there.
    pub(super) fn write(&self, top: &Path, name: &str) {
        fs::remove_dir_all(top.join(name)).unwrap();
        for folder in &self.folders {
            fs::create_dir_all(top.join(folder)).unwrap();
        }
        for (path, bytes) in &self.files {
            fs::write(top.join(path), bytes).unwrap();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(file: u64, path: &str) -> Record {
        Record::Opened { file, path: path.into() }
    }

    fn written(file: u64, at: usize, bytes: &str) -> Record {
        Record::Written { file, at, bytes: bytes.into() }
    }

    /// The bytes of a file after everything is lost that can be.
    fn left(records: Vec<Record>) -> BTreeMap<String, String> {
        let mut disk = Disk::of(Path::new("/nowhere"), "data");
        disk.follow(records);
        let left = disk.after(Loss::All, &mut Random::new(1));
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        left.files.into_iter().map(|(path, bytes)| (path.display().to_string(), text(bytes))).collect()
    }

    #[test]
    fn only_what_was_synced_is_certain() {
        let folder = || Record::FolderSyncBegan { path: "".into(), ticket: 1 };
        let begun = vec![
            opened(7, "log"),
            written(7, 0, "kept"),
            Record::FileSyncBegan { file: 7, ticket: 2 },
            written(7, 4, " and lost"),
        ];
        let ended = |ticket| Record::SyncEnded { ticket };
        assert_eq!(left([begun.clone(), vec![ended(2)]].concat()), BTreeMap::new(), "no name");
        let named = |more: Vec<Record>| left([begun.clone(), vec![folder(), ended(1)], more].concat());
        assert_eq!(named(vec![]), BTreeMap::from([("log".into(), String::new())]), "the sync did not end");
        assert_eq!(named(vec![ended(2)]), BTreeMap::from([("log".into(), "kept".into())]));
        let renamed = Record::Renamed { old: "log".into(), new: "LOG".into() };
        assert_eq!(named(vec![ended(2), renamed.clone()]), BTreeMap::from([("log".into(), "kept".into())]));
        let kept = named(vec![ended(2), renamed, folder(), ended(1)]);
        assert_eq!(kept, BTreeMap::from([("LOG".into(), "kept".into())]));
        let removed = vec![ended(2), Record::Removed { path: "log".into() }, folder(), ended(1)];
        assert_eq!(named(removed), BTreeMap::new());
    }
}
