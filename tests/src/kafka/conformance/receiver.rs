//! Where the workers under test do what they were ordered: a webhook that counts its calls by idempotency key, and answers
//! those that are held when they are let go.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use domain::name::Digest;

/// It listens for as long as the process of the tests lives.
#[derive(Clone)]
pub(super) struct Receiver {
    address: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    ledger: Mutex<Ledger>,
    changed: Condvar,
}

#[derive(Default)]
struct Ledger {
    /// By idempotency key.
    calls: BTreeMap<String, usize>,
    held: BTreeSet<String>,
}

impl Shared {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers one call. None when it is none.
    fn take(&self, mut stream: TcpStream) -> Option<()> {
        let mut lines = BufReader::new(stream.try_clone().ok()?);
        let (mut key, mut length) = (None, 0);
        loop {
            let mut line = String::new();
            lines.read_line(&mut line).ok()?;
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            match name.to_ascii_lowercase().as_str() {
                "idempotency-key" => key = Some(value.trim().to_owned()),
                "content-length" => length = value.trim().parse().ok()?,
                _ => {}
            }
        }
        lines.read_exact(&mut vec![0; length]).ok()?;
        let key = key?;
        let mut ledger = self.ledger();
        *ledger.calls.entry(key.clone()).or_default() += 1;
        while ledger.held.contains(&key) {
            ledger = self.changed.wait(ledger).unwrap_or_else(PoisonError::into_inner);
        }
        drop(ledger);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").ok()
    }
}

impl Receiver {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/", listener.local_addr().unwrap());
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&own);
                // A worker that was killed in the middle of a call hears no answer.
                std::thread::spawn(move || shared.take(stream));
            }
        });
        Self { address, shared }
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Calls with this key are not answered until [`Self::release`].
    pub(super) fn hold(&self, key: Digest) {
        self.shared.ledger().held.insert(key.hex());
    }

    pub(super) fn release(&self, key: Digest) {
        self.shared.ledger().held.remove(&key.hex());
        self.shared.changed.notify_all();
    }

    pub(super) fn all_calls(&self) -> usize {
        self.shared.ledger().calls.values().sum()
    }

    /// How often it was called with this key.
    pub(super) fn calls(&self, key: Digest) -> usize {
        self.shared.ledger().calls.get(&key.hex()).copied().unwrap_or_default()
    }
}
