//! Fetches a file into memory: capped, digested while it flows, compared with what was published.
//!
//! **Invariant:** bytes that leave here have the published digest. An address that the operator did not allow is
//! never opened.

use std::io::Read;
use std::time::{Duration, Instant};

use domain::name::Digest;
use sha2::{Digest as _, Sha256};

use super::address::{self, PathError};
use super::{Stop, refuse};
use crate::Attempt;
use crate::config::Fetch;
use crate::http::{self, AddressError};
use crate::trouble::Trouble;

const CHUNK_BYTES: usize = 64 << 10;

/// A file as it was published.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub what: &'static str,
    pub uri: &'a str,
    pub sha256: Digest,
    pub size: Option<u64>,
    pub bytes_max: u64,
}

pub(super) struct Fetcher<'a> {
    pub config: &'a Fetch,
    pub attempt: Attempt<'a>,
}

impl Fetcher<'_> {
    pub(super) fn fetch(&self, wanted: Wanted<'_>) -> Result<Vec<u8>, Stop> {
        // What is said to be too large is not even asked for.
        check_size(wanted, wanted.size)?;
        let scheme = wanted.uri.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
        match scheme.as_deref() {
            Some("file") => self.read_file(wanted),
            Some("http" | "https") => self.read_http(wanted),
            _ => Err(refuse(
                "URL_REFUSED",
                format!("{} is at `{}`; expected `file:` or `https:`", wanted.what, short(wanted.uri)),
            )),
        }
    }

    fn read_file(&self, wanted: Wanted<'_>) -> Result<Vec<u8>, Stop> {
        let path = address::locate(wanted.uri, &self.config.file_roots).map_err(|error| match error {
            PathError::Refused(why) => refuse("URL_REFUSED", why),
            PathError::Io(error) => failed(wanted, error),
        })?;
        let file = std::fs::File::open(path).map_err(|error| failed(wanted, error))?;
        let size = file.metadata().map_err(|error| failed(wanted, error))?.len();
        check_size(wanted, Some(size))?;
        self.read(wanted, file)
    }

    fn read_http(&self, wanted: Wanted<'_>) -> Result<Vec<u8>, Stop> {
        let url = http::parse(wanted.uri).map_err(|error| address_failed(wanted, error))?;
        if !self.config.url_prefixes.iter().any(|prefix| http::begins_with(&url, prefix)) {
            let text = format!(
                "expected an address that begins as the configuration allows, but {} is at `{}`",
                wanted.what,
                short(wanted.uri)
            );
            return Err(refuse("URL_REFUSED", text));
        }
        let timeout = Duration::from_millis(self.config.timeout.0);
        let (client, url) =
            http::client_for(wanted.uri, timeout).map_err(|error| address_failed(wanted, error))?;
        let response = client.get(url).send().map_err(|error| failed(wanted, error))?;
        let status = response.status();
        if status.is_redirection() {
            let text =
                format!("{} is at `{}`, which leads elsewhere ({status})", wanted.what, short(wanted.uri));
            return Err(refuse("URL_REFUSED", text));
        }
        if !status.is_success() {
            return Err(failed(wanted, format!("the answer is {status}")));
        }
        check_size(wanted, response.content_length())?;
        self.read(wanted, response)
    }

    fn read(&self, wanted: Wanted<'_>, mut from: impl Read) -> Result<Vec<u8>, Stop> {
        let deadline = Instant::now() + Duration::from_millis(self.config.timeout.0);
        let (mut bytes, mut hash) = (Vec::new(), Sha256::new());
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let count = from.read(&mut chunk).map_err(|error| failed(wanted, error))?;
            if count == 0 {
                break;
            }
            if (bytes.len() + count) as u64 > wanted.bytes_max {
                return Err(too_large(wanted));
            }
            if Instant::now() > deadline {
                return Err(failed(wanted, format!("it took longer than {}", self.config.timeout)));
            }
            self.attempt.still_wanted()?;
            hash.update(&chunk[..count]);
            bytes.extend_from_slice(&chunk[..count]);
        }
        let size = bytes.len() as u64;
        if let Some(expected) = wanted.size.filter(|expected| *expected != size) {
            let text = format!("expected {} of {expected} bytes, but it has {size}", wanted.what);
            return Err(refuse("SIZE_MISMATCH", text));
        }
        let found = Digest(hash.finalize().into());
        if found != wanted.sha256 {
            let text = format!("expected {} of {}, but its bytes have {found}", wanted.what, wanted.sha256);
            return Err(refuse("DIGEST_MISMATCH", text));
        }
        Ok(bytes)
    }
}

fn check_size(wanted: Wanted<'_>, size: Option<u64>) -> Result<(), Stop> {
    match size {
        Some(size) if size > wanted.bytes_max => Err(too_large(wanted)),
        _ => Ok(()),
    }
}

fn too_large(wanted: Wanted<'_>) -> Stop {
    let text = format!("expected {} of at most {} bytes, but it has more", wanted.what, wanted.bytes_max);
    refuse("TOO_LARGE", text)
}

fn address_failed(wanted: Wanted<'_>, error: AddressError) -> Stop {
    match error {
        AddressError::Refused(why) => refuse("URL_REFUSED", why),
        error => failed(wanted, error),
    }
}

fn failed(wanted: Wanted<'_>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Stop {
    Stop::Trouble(Trouble::Fetch { what: wanted.what, uri: short(wanted.uri), source: source.into() })
}

/// An address for people, cut to a length that fits a line.
fn short(uri: &str) -> String {
    uri.chars().filter(|c| !c.is_control()).take(200).collect()
}
