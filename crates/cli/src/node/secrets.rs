//! Secrets of a data folder: made once, readable by their owner only, never shown.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::StartError;

/// What opens the gateways' kill switch, in the data folder.
pub const KILL_TOKEN_FILE: &str = "kill.token";
const ENGINE_KEY_FILE: &str = "engine.key";
const SIGNING_KEY_FILE: &str = "signing.key";

/// The secrets of this folder.
pub struct Secrets {
    /// Signs the tokens of attempts.
    pub engine: [u8; 32],
    /// Signs bundles.
    pub signing: [u8; 32],
    pub kill: String,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(..)")
    }
}

impl Secrets {
    pub fn open(folder: &Path) -> Result<Self, StartError> {
        let engine = key(&folder.join(ENGINE_KEY_FILE))?;
        let signing = key(&folder.join(SIGNING_KEY_FILE))?;
        let kill = hex::encode(key(&folder.join(KILL_TOKEN_FILE))?);
        Ok(Self { engine, signing, kill })
    }
}

/// 32 bytes as hexadecimal text; drawn and written when there is no such file.
fn key(path: &Path) -> Result<[u8; 32], StartError> {
    let failed = |source| StartError::Secret { path: path.to_owned(), source };
    let invalid = || {
        let text = "expected 64 hexadecimal digits; restore the file from a copy";
        failed(std::io::Error::new(std::io::ErrorKind::InvalidData, text))
    };
    match fs::read_to_string(path) {
        Ok(text) => hex::decode(text.trim()).ok().and_then(|bytes| bytes.try_into().ok()).ok_or_else(invalid),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let drawn: [u8; 32] = [uuid::Uuid::new_v4().into_bytes(), uuid::Uuid::new_v4().into_bytes()]
                .concat()
                .try_into()
                .expect("two ids are 32 bytes");
            // Hashed, so that the fixed bits of the ids are spread.
            let drawn = domain::name::Digest::of(&drawn).0;
            let part = path.with_extension("part");
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&part)
                .map_err(failed)?;
            file.write_all(hex::encode(drawn).as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
            fs::rename(&part, path).map_err(failed)?;
            Ok(drawn)
        }
        Err(error) => Err(failed(error)),
    }
}
