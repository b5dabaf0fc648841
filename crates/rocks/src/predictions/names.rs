//! Numbers for what many rows share. A new name is synced before the first row that uses it, so that no row
//! ever names a number that a power cut took.

use std::collections::BTreeMap;

use domain::name::{Digest, TargetId};
use domain::time::Timestamp;
use rocksdb::{ColumnFamily, DB, IteratorMode, WriteBatch, WriteOptions};

use crate::bytes::{u32_at, u64_at};
use crate::error::Error;

const TARGET: u8 = b't';
const BUNDLE: u8 = b'b';
const HORIZON: &[u8] = b"horizon";
/// Before the name of a source, whose next offset it is.
const POSITION: &[u8] = b"position ";

#[derive(Debug, Default)]
pub(super) struct Names {
    targets: BTreeMap<TargetId, u32>,
    bundles: BTreeMap<Digest, u32>,
    horizon: Timestamp,
    positions: BTreeMap<String, u64>,
}

impl Names {
    pub(super) fn read(db: &DB, family: &ColumnFamily) -> Result<Self, Error> {
        let mut names = Self::default();
        let damaged = || Error::damaged(db.path(), "names of targets and bundles that read back");
        for item in db.iterator_cf(family, IteratorMode::Start) {
            let (key, bytes) = item.map_err(Error::Read)?;
            if &*key == HORIZON {
                names.horizon = Timestamp(u64_at(&bytes, 0).map_err(|_| damaged())?);
                continue;
            }
            if let Some(source) = key.strip_prefix(POSITION) {
                let source = std::str::from_utf8(source).map_err(|_| damaged())?;
                names.positions.insert(source.to_owned(), u64_at(&bytes, 0).map_err(|_| damaged())?);
                continue;
            }
            let number = u32_at(&key, 1).map_err(|_| damaged())?;
            if key.starts_with(&[TARGET]) {
                let text = std::str::from_utf8(&bytes).map_err(|_| damaged())?;
                names.targets.insert(TargetId::parse(text).map_err(|_| damaged())?, number);
            } else {
                names.bundles.insert(Digest((*bytes).try_into().map_err(|_| damaged())?), number);
            }
        }
        Ok(names)
    }

    pub(super) fn target(&mut self, db: &DB, family: &ColumnFamily, target: &TargetId) -> Result<u32, Error> {
        if let Some(number) = self.targets.get(target) {
            return Ok(*number);
        }
        let number = self.targets.len() as u32;
        put(db, family, TARGET, number, target.to_string().as_bytes())?;
        self.targets.insert(target.clone(), number);
        Ok(number)
    }

    pub(super) fn bundle(&mut self, db: &DB, family: &ColumnFamily, bundle: Digest) -> Result<u32, Error> {
        if let Some(number) = self.bundles.get(&bundle) {
            return Ok(*number);
        }
        let number = self.bundles.len() as u32;
        put(db, family, BUNDLE, number, &bundle.0)?;
        self.bundles.insert(bundle, number);
        Ok(number)
    }

    pub(super) fn number_of(&self, target: &TargetId) -> Option<u32> {
        self.targets.get(target).copied()
    }

    pub(super) fn targets(&self) -> impl Iterator<Item = u32> {
        self.targets.values().copied()
    }

    /// All bundles, at the place of their number.
    pub(super) fn bundles(&self) -> Vec<Digest> {
        let mut bundles: Vec<_> = self.bundles.iter().map(|(digest, number)| (*number, *digest)).collect();
        bundles.sort_unstable();
        bundles.into_iter().map(|(_, digest)| digest).collect()
    }

    pub(super) fn positions(&self) -> &BTreeMap<String, u64> {
        &self.positions
    }

    pub(super) fn set_position(&mut self, source: &str, next: u64) {
        self.positions.insert(source.to_owned(), next);
    }

    pub(super) fn horizon(&self) -> Timestamp {
        self.horizon
    }

    pub(super) fn set_horizon(&mut self, horizon: Timestamp) {
        self.horizon = horizon;
    }
}

pub(super) fn put_horizon(batch: &mut WriteBatch, family: &ColumnFamily, horizon: Timestamp) {
    batch.put_cf(family, HORIZON, horizon.0.to_be_bytes());
}

pub(super) fn put_position(batch: &mut WriteBatch, family: &ColumnFamily, source: &str, next: u64) {
    batch.put_cf(family, [POSITION, source.as_bytes()].concat(), next.to_be_bytes());
}

fn put(db: &DB, family: &ColumnFamily, kind: u8, number: u32, name: &[u8]) -> Result<(), Error> {
    let mut key = vec![kind];
    key.extend_from_slice(&number.to_be_bytes());
    let mut options = WriteOptions::default();
    options.set_sync(true);
    db.put_cf_opt(family, key, name, &options).map_err(Error::Write)
}
