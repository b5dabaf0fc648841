//! Measures what one core serves: `cargo run --release -p model-server --example load`.
//!
//! One thread serves, another one asks over keep-alive connections on the loopback interface, each
//! connection with one request in flight. Prints figures and asserts nothing.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use model_server::{Filled, Limits, Request, Server, Values};

const WARM_UP: usize = 2_000;
const DURATION: Duration = Duration::from_secs(3);
const CONNECTIONS: [usize; 3] = [1, 8, 32];
const ROWS: [usize; 3] = [1, 32, 1024];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1);
    let path =
        path.unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/logistic.onnx").to_owned());
    let bytes = std::fs::read(path)?;
    let server = Server::new(Limits::default());
    let began = Instant::now();
    server.load("tiny", "1", &bytes, None)?;
    println!("load: {:?}", began.elapsed());
    for rows in ROWS {
        in_process(&server, rows)?;
    }
    let address = serve(server.clone())?;
    for rows in ROWS {
        for connections in CONNECTIONS {
            over_http(&server, address, rows, connections)?;
        }
    }
    Ok(())
}

fn request(server: &Server, rows: usize) -> Result<Request, Box<dyn std::error::Error>> {
    let loaded = server.find("tiny", None)?;
    let inputs = loaded.signature().inputs.iter().map(|input| {
        let shape: Vec<usize> =
            input.shape.iter().map(|&size| usize::try_from(size).unwrap_or(rows)).collect();
        let values = (0..shape.iter().product::<usize>()).map(|index| (index % 97) as f32 * 0.037).collect();
        Filled { name: input.name.clone(), shape, values: Values::Fp32(values) }
    });
    Ok(Request { id: None, inputs: inputs.collect(), outputs: None })
}

fn body(server: &Server, rows: usize) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let inputs = request(server, rows)?.inputs;
    Ok(serde_json::to_vec(&serde_json::json!({"id": "load", "inputs": inputs}))?)
}

fn in_process(server: &Server, rows: usize) -> Result<(), Box<dyn std::error::Error>> {
    let (request, body) = (request(server, rows)?, body(server, rows)?);
    let typed = rate(|| server.infer("tiny", None, &request).is_ok());
    let json = rate(|| server.infer_json("tiny", None, &body).is_ok());
    println!("in process, {rows} rows: {:.2} us typed, {:.2} us JSON", 1e6 / typed, 1e6 / json);
    Ok(())
}

fn rate(call: impl Fn() -> bool) -> f64 {
    for _ in 0..10 {
        assert!(call(), "the request is answered");
    }
    let began = Instant::now();
    let mut calls = 0_u64;
    while began.elapsed() < DURATION / 3 {
        assert!(call(), "the request is answered");
        calls += 1;
    }
    calls as f64 / began.elapsed().as_secs_f64()
}

fn serve(server: Server) -> std::io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a runtime is entered");
            server.serve(listener, std::future::pending()).await;
        });
    });
    Ok(address)
}

fn over_http(
    server: &Server,
    address: SocketAddr,
    rows: usize,
    connections: usize,
) -> Result<(), Box<dyn std::error::Error>> {
    let body = body(server, rows)?;
    let head = format!(
        "POST /v2/models/tiny/infer HTTP/1.1\r\nhost: load\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let request = [head.as_bytes(), &body].concat();
    let mut streams = Vec::new();
    for _ in 0..connections {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let mut buffer = vec![0; 1 << 20];
    for _ in 0..WARM_UP / rows {
        streams[0].write_all(&request)?;
        read_answer(&mut streams[0], &mut buffer)?;
    }
    // Written to all, then read from all: as many requests are in flight as there are connections.
    let mut waits_us = Vec::new();
    let began = Instant::now();
    while began.elapsed() < DURATION {
        let asked = Instant::now();
        for stream in &mut streams {
            stream.write_all(&request)?;
        }
        for stream in &mut streams {
            read_answer(stream, &mut buffer)?;
        }
        waits_us.push(asked.elapsed().as_secs_f64() * 1e6);
    }
    let requests = (waits_us.len() * connections) as f64 / began.elapsed().as_secs_f64();
    waits_us.sort_by(f64::total_cmp);
    let quantile = |share: f64| waits_us[((waits_us.len() - 1) as f64 * share) as usize];
    println!(
        "HTTP, {rows} rows, {connections} connections: {requests:.0} requests/s, {:.0} rows/s; \
         a round of {connections}: p50 {:.0} us, p99 {:.0} us",
        requests * rows as f64,
        quantile(0.5),
        quantile(0.99)
    );
    Ok(())
}

fn read_answer(stream: &mut TcpStream, buffer: &mut [u8]) -> std::io::Result<()> {
    let mut filled = 0;
    loop {
        filled += stream.read(&mut buffer[filled..])?;
        let Some(end) = buffer[..filled].windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let head = std::str::from_utf8(&buffer[..end]).map_err(std::io::Error::other)?;
        if !head.starts_with("HTTP/1.1 200") {
            return Err(std::io::Error::other(head.to_owned()));
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize =
            length.and_then(|text| text.parse().ok()).ok_or(std::io::ErrorKind::InvalidData)?;
        if filled == end + 4 + length {
            return Ok(());
        }
    }
}
