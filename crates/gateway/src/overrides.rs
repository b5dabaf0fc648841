//! Overrides by the kill switch, kept on disk across restarts.
//!
//! Invariant: the file is replaced as a whole (written beside, synced, renamed, the folder synced), so that after a
//! crash it is the former or the new one. A file that cannot be read stops the start: a gateway that forgot a kill
//! would lead callers to a killed release.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use domain::model::Release;
use domain::name::{BadName, Digest, RunId, TargetId, Version};
use domain::routes::Generation;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

const NAME: &str = "overrides.json";

/// Of the file's form.
const FORM: u32 = 1;

/// What a kill switch did at a target, until a newer table no longer names the killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    pub target: TargetId,
    /// The generation that was served when the switch was used last.
    pub generation: Generation,
    /// Bundles that answer nobody.
    pub killed: Vec<Digest>,
    /// What answers instead; nothing: callers get 503.
    pub to: Option<Release>,
    pub at: Timestamp,
    pub reason: String,
}

#[derive(Debug, thiserror::Error)]
pub enum OverridesError {
    #[error("failed to {verb} the overrides in `{}`", path.display())]
    Io { verb: &'static str, path: PathBuf, source: std::io::Error },
    #[error("expected to read overrides from `{}`, but it has another form", path.display())]
    Form { path: PathBuf, source: serde_json::Error },
    #[error("expected to read overrides of form {FORM} from `{}`, but it has form {found}", path.display())]
    OtherForm { path: PathBuf, found: u32 },
    #[error("expected to read overrides from `{}`, but a name is wrong", path.display())]
    Name { path: PathBuf, source: BadName },
}

/// The file and its folder.
#[derive(Debug)]
pub(crate) struct Overrides {
    folder: PathBuf,
}

impl Overrides {
    /// Opens the folder, which is made when it is not there, and reads what was kept.
    pub(crate) fn open(folder: &Path) -> Result<(Self, Vec<Override>), OverridesError> {
        let overrides = Self { folder: folder.to_owned() };
        fs::create_dir_all(folder).map_err(|source| overrides.io("make the folder of", source))?;
        let path = folder.join(NAME);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok((overrides, vec![])),
            Err(source) => return Err(overrides.io("read", source)),
        };
        let kept = parse(&bytes, &path)?;
        Ok((overrides, kept))
    }

    /// Replaces what is kept; on disk when this returns.
    pub(crate) fn write<'a>(&self, all: impl Iterator<Item = &'a Override>) -> Result<(), OverridesError> {
        let kept = Kept { form: FORM, overrides: all.map(KeptOverride::of).collect() };
        let bytes = serde_json::to_vec_pretty(&kept).expect("our own texts always have a JSON form");
        self.replace(&bytes).map_err(|source| self.io("write", source))
    }

    fn replace(&self, bytes: &[u8]) -> std::io::Result<()> {
        let beside = self.folder.join(format!("{NAME}.new"));
        let mut file = File::create(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, self.folder.join(NAME))?;
        File::open(&self.folder)?.sync_all()
    }

    fn io(&self, verb: &'static str, source: std::io::Error) -> OverridesError {
        OverridesError::Io { verb, path: self.folder.join(NAME), source }
    }
}

/// Reads what a file holds.
pub(crate) fn parse(bytes: &[u8], path: &Path) -> Result<Vec<Override>, OverridesError> {
    let kept: Kept = serde_json::from_slice(bytes)
        .map_err(|source| OverridesError::Form { path: path.to_owned(), source })?;
    if kept.form != FORM {
        return Err(OverridesError::OtherForm { path: path.to_owned(), found: kept.form });
    }
    let read = kept.overrides.iter().map(KeptOverride::read).collect::<Result<_, _>>();
    read.map_err(|source| OverridesError::Name { path: path.to_owned(), source })
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    form: u32,
    overrides: Vec<KeptOverride>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptOverride {
    target: String,
    generation: u64,
    killed: Vec<String>,
    to: Option<KeptRelease>,
    at_ms: u64,
    reason: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptRelease {
    version: String,
    bundle: String,
    run: Option<String>,
}

impl KeptOverride {
    fn of(it: &Override) -> Self {
        Self {
            target: it.target.to_string(),
            generation: it.generation.0,
            killed: it.killed.iter().map(Digest::to_string).collect(),
            to: it.to.as_ref().map(|release| KeptRelease {
                version: release.version.to_string(),
                bundle: release.bundle.to_string(),
                run: release.run.as_ref().map(RunId::to_string),
            }),
            at_ms: it.at.0,
            reason: it.reason.clone(),
        }
    }

    fn read(&self) -> Result<Override, BadName> {
        let release = |kept: &KeptRelease| -> Result<Release, BadName> {
            Ok(Release {
                version: Version::parse(&kept.version)?,
                bundle: Digest::parse(&kept.bundle)?,
                run: kept.run.as_deref().map(RunId::parse).transpose()?,
            })
        };
        Ok(Override {
            target: TargetId::parse(&self.target)?,
            generation: Generation(self.generation),
            killed: self.killed.iter().map(|text| Digest::parse(text)).collect::<Result<_, _>>()?,
            to: self.to.as_ref().map(release).transpose()?,
            at: Timestamp(self.at_ms),
            reason: self.reason.clone(),
        })
    }
}
