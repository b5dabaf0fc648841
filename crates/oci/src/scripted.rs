//! A server on loopback that answers as a test says, one connection a request, and remembers what it was asked.

use std::io::{BufReader, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// `PUT /v2/x`.
    pub(crate) line: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// What is answered: a status, headers and a body.
pub(crate) type Said = (u16, Vec<(&'static str, String)>, Vec<u8>);

#[derive(Debug)]
pub(crate) struct Scripted {
    /// `http://127.0.0.1:PORT`.
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl Scripted {
    /// Its thread ends with the test's process.
    pub(crate) fn start(answer: impl Fn(&Asked) -> Said + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(vec![]));
        let told = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let Some(request) = read(&mut BufReader::new(&stream)) else { continue };
                let (status, headers, body) = answer(&request);
                let is_head = request.line.starts_with("HEAD ");
                told.lock().unwrap().push(request);
                let headers: String = headers
                    .iter()
                    .fold(String::new(), |all, (name, value)| all + name + ": " + value + "\r\n");
                let head = format!(
                    "HTTP/1.1 {status} x\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n",
                    body.len()
                );
                // Who asked may be gone.
                let _gone = stream.write_all(head.as_bytes());
                let _gone = if is_head { Ok(()) } else { stream.write_all(&body) };
            }
        });
        Self { url, asked }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn read(stream: &mut impl std::io::BufRead) -> Option<Asked> {
    let mut lines = vec![];
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let line = lines.remove(0).trim_end_matches(" HTTP/1.1").to_owned();
    let pair = |line: &String| {
        let (name, value) = line.split_once(':').unwrap();
        (name.to_ascii_lowercase(), value.trim().to_owned())
    };
    let mut asked = Asked { line, headers: lines.iter().map(pair).collect(), body: vec![] };
    let length = asked.header("content-length").map_or(0, |length| length.parse().unwrap());
    asked.body.resize(length, 0);
    stream.read_exact(&mut asked.body).ok()?;
    Some(asked)
}
