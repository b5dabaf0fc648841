//! The load: asks over connections that stay open, and keeps how long each answer took.
//!
//! ```text
//!  closed loop: one thread, many connections; each asks again as soon as it was answered     -> throughput
//!  open loop:   one thread a connection; each asks at times drawn before, answered or not    -> latency
//! ```
//!
//! An open loop counts from the moment at which a request was due, so that an answer that came late also counts for
//! those who waited behind it.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::models::{Asked, NUMBER_DIGITS};

/// What is asked before anything is counted.
const WARM_UP: Duration = Duration::from_millis(300);
/// Bytes of an answer's head and body.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// One measurement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Demand {
    pub(super) address: SocketAddr,
    pub(super) path: String,
    pub(super) connections: usize,
    /// Requests a second of all connections together; without it each asks when it was answered.
    pub(super) rate: Option<f64>,
    /// How long it takes; without it until the next line comes.
    pub(super) seconds: Option<f64>,
}

/// Said when the warm-up is over.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Measuring {}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Outcome {
    pub(super) requests: u64,
    pub(super) failed: u64,
    pub(super) first_failure: Option<String>,
    pub(super) seconds: f64,
    pub(super) p50_us: u64,
    pub(super) p99_us: u64,
    pub(super) p999_us: u64,
}

const WARMING: u8 = 0;
const MEASURING: u8 = 1;
const OVER: u8 = 2;

/// What the connections share.
#[derive(Debug)]
struct Shared {
    demand: Demand,
    asked: Arc<Vec<Asked>>,
    phase: AtomicU8,
    /// Distinguishes the ids of one demand from those of another.
    salt: u64,
}

/// What a connection has seen.
#[derive(Debug)]
struct Seen {
    took_us: Histogram<u64>,
    failed: u64,
    first_failure: Option<String>,
}

/// Carries a demand out: `measuring` is called when the warm-up is over, `wait` until it is to end.
pub(super) fn carry_out(
    demand: Demand,
    asked: Arc<Vec<Asked>>,
    salt: u64,
    measuring: impl FnOnce() -> io::Result<()>,
    wait: impl FnOnce() -> io::Result<()>,
) -> io::Result<Outcome> {
    let shared = Arc::new(Shared { demand, asked, phase: AtomicU8::new(WARMING), salt });
    let threads: Vec<_> = if shared.demand.rate.is_some() {
        let thread = |number| {
            std::thread::spawn({
                let shared = Arc::clone(&shared);
                move || open(&shared, number)
            })
        };
        (0..shared.demand.connections).map(thread).collect()
    } else {
        vec![std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || closed(&shared)
        })]
    };
    std::thread::sleep(WARM_UP);
    shared.phase.store(MEASURING, Relaxed);
    let began = Instant::now();
    measuring()?;
    wait()?;
    shared.phase.store(OVER, Relaxed);
    let seconds = began.elapsed().as_secs_f64();
    let mut all = Seen::new()?;
    for thread in threads {
        let seen = thread.join().map_err(|_| io::Error::other("a connection panicked"))??;
        all.add(seen)?;
    }
    let quantile = |share| all.took_us.value_at_quantile(share);
    Ok(Outcome {
        requests: all.took_us.len(),
        failed: all.failed,
        first_failure: all.first_failure.clone(),
        seconds,
        p50_us: quantile(0.5),
        p99_us: quantile(0.99),
        p999_us: quantile(0.999),
    })
}

impl Seen {
    fn new() -> io::Result<Self> {
        let took_us = Histogram::new_with_bounds(1, 60_000_000, 3).map_err(io::Error::other)?;
        Ok(Self { took_us, failed: 0, first_failure: None })
    }

    fn add(&mut self, other: Self) -> io::Result<()> {
        self.took_us.add(other.took_us).map_err(io::Error::other)?;
        self.failed += other.failed;
        self.first_failure = self.first_failure.take().or(other.first_failure);
        Ok(())
    }

    /// Failures count in every phase, times only while measuring.
    fn note(&mut self, phase: u8, since: Instant, answer: &[u8]) {
        if !answer.starts_with(b"HTTP/1.1 200 ") {
            self.fail(String::from_utf8_lossy(&answer[..answer.len().min(600)]).into_owned());
        } else if phase == MEASURING {
            self.took_us.saturating_record(since.elapsed().as_micros() as u64);
        }
    }

    fn fail(&mut self, why: String) {
        self.failed += 1;
        self.first_failure.get_or_insert(why);
    }
}

impl Shared {
    fn phase(&self) -> u8 {
        self.phase.load(Relaxed)
    }

    /// Writes the request of that number into `text`.
    fn write(&self, text: &mut Vec<u8>, number: u64) {
        let asked = &self.asked[number as usize % self.asked.len()];
        text.clear();
        text.extend_from_slice(b"POST ");
        text.extend_from_slice(self.demand.path.as_bytes());
        text.extend_from_slice(b" HTTP/1.1\r\n");
        let at = text.len() + asked.number_at;
        text.extend_from_slice(&asked.text);
        let mut rest = self.salt * 1_000_000_000 + number % 1_000_000_000;
        for digit in text[at..at + NUMBER_DIGITS].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    }
}

fn closed(shared: &Arc<Shared>) -> io::Result<Seen> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let connections = shared.demand.connections as u64;
        let asking = |first| tokio::spawn(ask_again(Arc::clone(shared), first, connections));
        let tasks: Vec<_> = (0..connections).map(asking).collect();
        let mut all = Seen::new()?;
        for task in tasks {
            all.add(task.await.map_err(io::Error::other)??)?;
        }
        Ok(all)
    })
}

async fn ask_again(shared: Arc<Shared>, first: u64, step: u64) -> io::Result<Seen> {
    let mut stream = tokio::net::TcpStream::connect(shared.demand.address).await?;
    stream.set_nodelay(true)?;
    let (mut seen, mut text, mut answer) = (Seen::new()?, Vec::new(), vec![0; 16 << 10]);
    let mut number = first;
    while shared.phase() != OVER {
        shared.write(&mut text, number);
        number += step;
        let began = Instant::now();
        stream.write_all(&text).await?;
        let mut filled = 0;
        while !is_whole(&answer[..filled])? {
            room(&mut answer, filled)?;
            let read = stream.read(&mut answer[filled..]).await?;
            if read == 0 {
                seen.fail("the connection was closed".to_owned());
                return Ok(seen);
            }
            filled += read;
        }
        seen.note(shared.phase(), began, &answer[..filled]);
    }
    Ok(seen)
}

fn open(shared: &Shared, connection: usize) -> io::Result<Seen> {
    let mut stream = std::net::TcpStream::connect(shared.demand.address)?;
    stream.set_nodelay(true)?;
    let (mut seen, mut text, mut answer) = (Seen::new()?, Vec::new(), vec![0; 16 << 10]);
    let connections = shared.demand.connections as f64;
    let period = connections / shared.demand.rate.unwrap_or(1.0);
    let mut due = Instant::now() + Duration::from_secs_f64(period * connection as f64 / connections);
    let mut number = connection as u64;
    let mut draw = Draw(connection as u64 + 1);
    while shared.phase() != OVER {
        shared.write(&mut text, number);
        number += shared.demand.connections as u64;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        stream.write_all(&text)?;
        let mut filled = 0;
        while !is_whole(&answer[..filled])? {
            room(&mut answer, filled)?;
            let read = stream.read(&mut answer[filled..])?;
            if read == 0 {
                seen.fail("the connection was closed".to_owned());
                return Ok(seen);
            }
            filled += read;
        }
        seen.note(shared.phase(), due, &answer[..filled]);
        // Half a period to one and a half, so that the connections do not fall into step.
        due += Duration::from_secs_f64(period * (0.5 + draw.next()));
    }
    Ok(seen)
}

/// Numbers from 0 to 1 by xorshift, the same in every round.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn room(answer: &mut Vec<u8>, filled: usize) -> io::Result<()> {
    if filled == ANSWER_BYTES_MAX {
        return Err(io::Error::other("an answer is too long"));
    }
    if filled == answer.len() {
        answer.resize((2 * filled).min(ANSWER_BYTES_MAX), 0);
    }
    Ok(())
}

/// Whether an answer has all its bytes; all who are measured say how many.
fn is_whole(answer: &[u8]) -> io::Result<bool> {
    const LENGTH: &[u8] = b"content-length:";
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(false) };
    let lines = answer[..end].split(|byte| *byte == b'\n');
    let mut lengths = lines.filter_map(|line| {
        let (name, value) = line.split_at_checked(LENGTH.len())?;
        name.eq_ignore_ascii_case(LENGTH)
            .then(|| std::str::from_utf8(value.trim_ascii()).ok()?.parse().ok())?
    });
    let length: usize = lengths.next().ok_or_else(|| io::Error::other("an answer has no length"))?;
    Ok(answer.len() >= end + 4 + length)
}
