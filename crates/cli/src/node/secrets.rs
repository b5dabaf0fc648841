//! Secrets of a data folder: made once, readable by their owner only, never shown. Keys have a check beside them,
//! for a key that a bad disk changed signs what nobody can verify.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::StartError;

/// What opens the gateways' kill switch, in the data folder.
pub const KILL_TOKEN_FILE: &str = "kill.token";
/// What opens the control surface of model servers.
pub const CONTROL_TOKEN_FILE: &str = "control.token";
/// Held while a key is drawn.
const LOCK_FILE: &str = "keys.lock";
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
        let engine = key(&folder.join(ENGINE_KEY_FILE), Check::Beside)?;
        let signing = key(&folder.join(SIGNING_KEY_FILE), Check::Beside)?;
        let kill = token(folder, KILL_TOKEN_FILE)?;
        Ok(Self { engine, signing, kill })
    }
}

/// The text of a token's file, without any other secret of the folder. It is made where there is none.
pub fn token(folder: &Path, file: &str) -> Result<String, StartError> {
    // People read these, and copy them whole.
    Ok(hex::encode(key(&folder.join(file), Check::None)?))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    /// On a second line. Older files have none.
    Beside,
    None,
}

fn check(key: [u8; 32]) -> String {
    format!("check {}", &domain::name::Digest::of(&key).hex()[..16])
}

/// The key of a file's text, unless its check does not fit.
fn parse(text: &str) -> Option<[u8; 32]> {
    let mut lines = text.trim().lines();
    let key = hex::decode(lines.next()?).ok()?.try_into().ok()?;
    lines.next().is_none_or(|line| line == check(key)).then_some(key)
}

/// 32 bytes as hexadecimal text; drawn and written when there is no such file.
fn key(path: &Path, checked: Check) -> Result<[u8; 32], StartError> {
    let failed = |source| StartError::Secret { path: path.to_owned(), source };
    let invalid = || {
        let text = "expected 64 hexadecimal digits and the check of them; restore the file from a copy";
        failed(std::io::Error::new(std::io::ErrorKind::InvalidData, text))
    };
    match fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => draw(path, checked).map_err(failed)?,
        Err(error) => return Err(failed(error)),
        Ok(_) => {}
    }
    // Of several processes that drew one, the first one's counts.
    let text = fs::read_to_string(path).map_err(failed)?;
    parse(&text).ok_or_else(invalid)
}

/// Writes a key that was drawn by chance, unless somebody else did meanwhile.
fn draw(path: &Path, checked: Check) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let options = || OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).clone();
    // Held until the end of this function: processes that begin together draw one after the other.
    let lock = options().open(folder.join(LOCK_FILE))?;
    lock.lock()?;
    if path.exists() {
        return Ok(());
    }
    let ids = [uuid::Uuid::new_v4(), uuid::Uuid::new_v4()];
    // Hashed, so that the fixed bits of the ids are spread.
    let drawn = domain::name::Digest::of_parts(ids.each_ref().map(|id| id.as_bytes().as_slice())).0;
    let text = match checked {
        Check::Beside => format!("{}\n{}\n", hex::encode(drawn), check(drawn)),
        Check::None => hex::encode(drawn),
    };
    let part = path.with_extension("part");
    let mut file = options().open(&part)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_that_draw_at_the_same_time_have_the_same_keys() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("secrets");
        let opened = std::thread::scope(|scope| {
            let open = || Secrets::open(&folder).unwrap();
            let openings: Vec<_> = (0..16).map(|_| scope.spawn(open)).collect();
            openings.into_iter().map(|opening| opening.join().unwrap()).collect::<Vec<_>>()
        });
        let kept = Secrets::open(&folder).unwrap();
        assert!(opened.iter().all(|it| (it.engine, it.signing) == (kept.engine, kept.signing)));
        assert!(opened.iter().all(|it| it.kill == kept.kill));
        let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name());
        let parts: Vec<_> = files.filter(|name| name.to_string_lossy().ends_with("part")).collect();
        assert!(parts.is_empty(), "{parts:?}");
    }

    #[test]
    fn a_key_that_was_changed_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let made = Secrets::open(folder.path()).unwrap();
        assert_eq!(Secrets::open(folder.path()).unwrap().signing, made.signing);
        let path = folder.path().join(SIGNING_KEY_FILE);
        let text = fs::read_to_string(&path).unwrap();
        let other = if text.starts_with('0') { "1" } else { "0" };
        fs::write(&path, format!("{other}{}", &text[1..])).unwrap();
        assert!(matches!(Secrets::open(folder.path()), Err(StartError::Secret { .. })));
        // As former releases wrote it.
        fs::write(&path, &text[..64]).unwrap();
        assert_eq!(Secrets::open(folder.path()).unwrap().signing, made.signing);
    }
}
