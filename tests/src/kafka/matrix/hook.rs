//! A target that knows its callers by their keys: whoever is told that a gate waits. What comes again under a key that it
//! knows has no effect; another key for the same gate would be the effect a second time.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

/// Run and stage.
type Gate = (String, String);

pub(super) struct Hook {
    address: SocketAddr,
    /// How often each key came, by gate.
    told: Arc<Mutex<BTreeMap<Gate, BTreeMap<String, usize>>>>,
}

impl Hook {
    /// Its thread ends with the process: it has nothing to give back.
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let hook = Self { address: listener.local_addr().unwrap(), told: Arc::default() };
        let told = Arc::clone(&hook.told);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                // One that is killed in the middle has told nothing.
                if let Some((gate, key)) = read(&stream) {
                    *told.lock().unwrap().entry(gate).or_default().entry(key).or_default() += 1;
                    let answer = "HTTP/1.1 204 No Content\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
                    let _gone = stream.write_all(answer.as_bytes());
                }
            }
        });
        hook
    }

    pub(super) fn address(&self) -> String {
        format!("http://{}/gates", self.address)
    }

    /// How many gates there were; each had one effect, however often it was told.
    pub(super) fn applied_once(&self) -> usize {
        let told = self.told.lock().unwrap();
        assert!(!told.is_empty(), "nobody was told of any gate");
        let twice: BTreeSet<_> = told.iter().filter(|(_, keys)| keys.len() > 1).collect();
        assert!(twice.is_empty(), "effects took place twice: {twice:?}");
        told.len()
    }
}

fn read(stream: &TcpStream) -> Option<(Gate, String)> {
    let mut reader = BufReader::new(stream);
    let (mut key, mut length) = (None, 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let line = line.trim().to_ascii_lowercase();
        match line.split_once(": ") {
            Some(("idempotency-key", text)) => key = Some(text.to_owned()),
            Some(("content-length", text)) => length = text.parse().unwrap(),
            _ if line.is_empty() => break,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body: Value = serde_json::from_slice(&body).unwrap();
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    Some(((text("run"), text("stage")), key.expect("whoever tells gives a key")))
}
