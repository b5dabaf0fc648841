//! Where a `file:` address leads, and that it stays below the folders that the operator allowed.
//!
//! **Invariant:** a path that leaves here has no link in it that was followed out of its root.

use std::io;
use std::path::{Component, Path, PathBuf};

/// Why a file is not opened.
#[derive(Debug)]
pub(super) enum PathError {
    /// The address is at fault.
    Refused(String),
    /// It is not there, or cannot be read, for now.
    Io(io::Error),
}

/// Finds the file of an address `file:...` below one of `roots`.
pub(super) fn locate(address: &str, roots: &[PathBuf]) -> Result<PathBuf, PathError> {
    let refused =
        |why: String| PathError::Refused(format!("expected a file below an allowed folder, but {why}"));
    let path = path_of(address).map_err(refused)?;
    if roots.is_empty() {
        return Err(refused("no folder is allowed: name it as a file root in the configuration".to_owned()));
    }
    let mut missing = None;
    for root in roots {
        let root = root.canonicalize().map_err(PathError::Io)?;
        let wanted = if path.is_absolute() { path.clone() } else { root.join(&path) };
        // Resolves every link, so that what is compared is where the file really is.
        match wanted.canonicalize() {
            Ok(real) if real.starts_with(&root) => {
                let kind = real.metadata().map_err(PathError::Io)?;
                if !kind.is_file() {
                    return Err(refused(format!("`{address}` is no plain file")));
                }
                return Ok(real);
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Said only of what would be allowed: the rest of the machine is nobody's business.
                if !path.is_absolute() || wanted.starts_with(&root) {
                    missing = Some(error);
                }
            }
            Err(error) => return Err(PathError::Io(error)),
        }
    }
    match missing {
        Some(error) => Err(PathError::Io(error)),
        None => Err(refused(format!("`{address}` leads elsewhere"))),
    }
}

/// The path in an address, its escapes undone, without any step upwards.
pub(super) fn path_of(address: &str) -> Result<PathBuf, String> {
    let rest = address.strip_prefix("file:").ok_or("it is no `file:` address")?;
    let rest = match rest.strip_prefix("//") {
        // An authority: only this machine's.
        Some(after) => match after.split_once('/') {
            Some(("" | "localhost", path)) => format!("/{path}"),
            _ => return Err("it names another machine".to_owned()),
        },
        None => rest.to_owned(),
    };
    let plain = unescape(&rest)?;
    if plain.is_empty() || plain.contains(['\0', '\\']) {
        return Err("its path is empty or holds a NUL or a backslash".to_owned());
    }
    let path = Path::new(&plain);
    let upwards = |part: Component<'_>| matches!(part, Component::ParentDir | Component::Prefix(_));
    if path.components().any(upwards) {
        return Err("its path leads upwards".to_owned());
    }
    Ok(path.to_owned())
}

/// Undoes percent-escapes once: what is escaped twice keeps its second escape, as a name.
fn unescape(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        if *first == b'%' {
            let digits = after.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
            let digits = digits.ok_or("a `%` in it is no escape")?;
            let digits = std::str::from_utf8(digits).expect("hexadecimal digits are ASCII");
            bytes.push(u8::from_str_radix(digits, 16).expect("two hexadecimal digits are a byte"));
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).map_err(|_| "its path is no UTF-8".to_owned())
}
