//! The tables that a gateway obeys, kept in its folder: a gateway that starts while the brokers are away serves by
//! them, as if it had never stopped.
//!
//! **Invariant:** a file is replaced as a whole. A table that cannot be read is none: the topic has it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use domain::name::{Digest, TargetId};
use domain::routes::{Generation, RouteTable};
use engine::message::{decode_table, encode_table};

/// A folder with a file for each target.
#[derive(Debug, Clone)]
pub struct Kept {
    folder: PathBuf,
    /// What was kept last of each. Held while it is written.
    newest: Arc<Mutex<BTreeMap<TargetId, Generation>>>,
}

impl Kept {
    /// Opens the folder, which is made when it is not there, and reads what was kept.
    pub fn open(folder: &Path) -> io::Result<(Self, Vec<RouteTable>)> {
        fs::create_dir_all(folder)?;
        let mut tables = vec![];
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "table") {
                continue;
            }
            match read(&path) {
                Ok(table) => tables.push(table),
                Err(why) => {
                    tracing::warn!(path = %path.display(), why, "a kept table cannot be read; the topic has it");
                }
            }
        }
        Ok((Self { folder: folder.to_owned(), newest: Arc::default() }, tables))
    }

    /// Keeps the table, unless a newer one was; on disk when this returns.
    pub fn put(&self, table: &RouteTable) -> io::Result<()> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.get(&table.target).is_some_and(|kept| *kept > table.generation) {
            return Ok(());
        }
        let path = self.path(&table.target);
        let beside = path.with_extension("new");
        let bytes = encode_table(table);
        let mut file = File::create(&beside)?;
        file.write_all(&Digest::of(&bytes).0)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&beside, &path)?;
        newest.insert(table.target.clone(), table.generation);
        File::open(&self.folder)?.sync_all()
    }

    /// Named by a digest: a target's name is no file's name.
    fn path(&self, target: &TargetId) -> PathBuf {
        self.folder.join(format!("{}.table", Digest::of(target.to_string().as_bytes()).hex()))
    }
}

fn read(path: &Path) -> Result<RouteTable, String> {
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    let (digest, bytes) = bytes.split_first_chunk::<32>().ok_or("it is cut off")?;
    if Digest::of(bytes).0 != *digest {
        return Err("its bytes were changed".to_owned());
    }
    decode_table(bytes).map_err(|error| error.to_string())
}
