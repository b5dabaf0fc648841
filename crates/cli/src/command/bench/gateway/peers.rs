//! nginx and haproxy, set up to do what the gateway does as far as they can: a split of 90 to 10 that keeps a caller
//! with one release, the path led to that release, connections to the model server that stay open, and a line in a
//! log for each request.
//!
//! Their lines hold the request's body, since a prediction log without features is none; what was predicted they cannot
//! log. In their favour: the log is written in blocks (nginx) and never looked up again, a table is never changed, and
//! both run as many workers as the machine has cores.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::models::{CANDIDATE, Models, STICKY};
use super::process::{command, free_address};
use super::{Subject, cpu};

/// Bytes of a body that a line of haproxy's log holds.
const BODY_BYTES_MAX: usize = 1_024;

const START_WAIT_MAX: Duration = Duration::from_secs(5);
const START_LOOK_EVERY: Duration = Duration::from_millis(20);

/// A proxy of others, ended with this.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    child: Child,
    /// nginx is told to end, so that its workers end too.
    end: Option<Command>,
}

/// What a proxy calls itself; nothing when it is not installed.
pub(super) fn version(subject: Subject) -> Option<String> {
    let (program, argument) = match subject {
        Subject::Nginx => ("nginx", "-v"),
        Subject::Haproxy => ("haproxy", "-v"),
        Subject::Direct | Subject::Gateway | Subject::Embedded => return None,
    };
    let told = Command::new(find(program)?).arg(argument).output().ok()?;
    let text = [told.stdout, told.stderr].concat();
    Some(String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned())
}

/// Daemons are installed where a user's PATH may not lead.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin"), "/usr/local/sbin".into()]);
    folders.map(|folder| folder.join(program)).find(|path| path.is_file())
}

impl Peer {
    pub(super) fn start(
        subject: Subject,
        folder: &Path,
        models: &Models,
        upstream: SocketAddr,
        core: Option<&str>,
    ) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let address = free_address()?;
        let config = folder.join("config");
        let program = |name: &str| {
            let found = find(name).ok_or_else(|| io::Error::other(format!("{name} is not installed")));
            found.map(|path| path.to_string_lossy().into_owned())
        };
        let output = || std::fs::File::create(folder.join("output.log"));
        let (child, end) = if subject == Subject::Nginx {
            std::fs::write(&config, nginx(models, address, upstream))?;
            let program = program("nginx")?;
            let arguments =
                ["-p", &folder.to_string_lossy(), "-c", &config.to_string_lossy()].map(str::to_owned);
            let mut end = Command::new(&program);
            end.args(&arguments).args(["-s", "stop"]).stderr(Stdio::null());
            (command(&program, core).args(&arguments).stderr(output()?).spawn()?, Some(end))
        } else {
            std::fs::write(&config, haproxy(models, address, upstream))?;
            let mut command = command(&program("haproxy")?, core);
            command.arg("-f").arg(&config).stdout(output()?).stderr(Stdio::null());
            (command.spawn()?, None)
        };
        let peer = Self { address, child, end };
        peer.wait()?;
        Ok(peer)
    }

    fn wait(&self) -> io::Result<()> {
        let began = Instant::now();
        loop {
            match TcpStream::connect(self.address) {
                Ok(_) => return Ok(()),
                Err(error) if began.elapsed() > START_WAIT_MAX => return Err(error),
                Err(_) => std::thread::sleep(START_LOOK_EVERY),
            }
        }
    }

    pub(super) fn processes(&self) -> Vec<u32> {
        let mut processes = cpu::children(self.child.id());
        processes.push(self.child.id());
        processes
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let told = self.end.as_mut().is_some_and(|end| end.status().is_ok_and(|status| status.success()));
        if !told {
            let _ended_already = self.child.kill();
        }
        let _ended = self.child.wait();
    }
}

fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn nginx(models: &Models, address: SocketAddr, upstream: SocketAddr) -> String {
    let (stable, candidate) = (models.stable.hex(), models.candidate.hex());
    let (share, sticky) = (f64::from(CANDIDATE) / 100.0, STICKY.replace('-', "_"));
    // By default both kinds of connections are closed after 1,000 requests. `reuseport` gives each worker its part of
    // the connections; without it one may have them all.
    format!(
        r"worker_processes {workers};
daemon off;
pid nginx.pid;
error_log error.log error;
events {{ worker_connections 4096; }}
http {{
  log_format prediction escape=json '$msec $request_id $http_{sticky} $release $status $request_time $upstream_response_time $request_body';
  access_log access.log prediction buffer=64k flush=1s;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  split_clients $http_{sticky} $release {{ {share}% {candidate}; * {stable}; }}
  upstream models {{ server {upstream}; keepalive 256; keepalive_requests 1000000000; }}
  server {{
    listen {address} reuseport;
    keepalive_requests 1000000000;
    location / {{
      proxy_pass http://models/v2/models/{model}/versions/$release/infer;
      proxy_http_version 1.1;
      proxy_set_header Connection '';
    }}
  }}
}}
",
        workers = workers(),
        model = super::models::MODEL,
    )
}

fn haproxy(models: &Models, address: SocketAddr, upstream: SocketAddr) -> String {
    let [stable, candidate] = [models.stable, models.candidate].map(Models::path);
    let threads = workers();
    format!(
        r#"global
  nbthread {threads}
  maxconn 4096
  log stdout len 4096 format raw local0
defaults
  mode http
  log global
  log-format "%Ts%ms %ID %[capture.req.hdr(0)] %b %ST %Tr %Tt %[capture.req.hdr(1)]"
  timeout connect 2s
  timeout client 30s
  timeout server 10s
  option http-keep-alive
  http-reuse always
frontend front
  bind {address}
  unique-id-format %[uuid()]
  option http-buffer-request
  declare capture request len 64
  declare capture request len {BODY_BYTES_MAX}
  http-request capture req.hdr({STICKY}) id 0
  http-request capture req.body id 1
  acl candidate req.hdr({STICKY}),crc32,mod(10000) lt {CANDIDATE}
  use_backend candidate if candidate
  default_backend stable
backend stable
  http-request set-path {stable}
  server models {upstream}
backend candidate
  http-request set-path {candidate}
  server models {upstream}
"#
    )
}
