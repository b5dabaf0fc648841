//! Processes of the comparison: begun, asked line by line, and ended with this one.

use std::io::{self, BufRead, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Part;

/// The core of the model server, and that of all others, when they are apart.
pub(super) const CORES_APART: [&str; 2] = ["0", "1"];

/// A part of this program as a process of its own. It ends when its stdin does.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Process {
    pub(super) fn start(part: Part, arguments: &[(&str, &Path)], core: Option<&str>) -> io::Result<Self> {
        let name = match part {
            Part::ModelServer => "model-server",
            Part::Gateway => "gateway",
            Part::Load => "load",
        };
        let mut command = command(&std::env::current_exe()?.to_string_lossy(), core);
        command.args(["bench", "gateway-part", name]).stdin(Stdio::piped()).stdout(Stdio::piped());
        for (name, value) in arguments {
            command.arg(name).arg(value);
        }
        let mut child = command.spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let stdout = stdout.ok_or_else(|| io::Error::other("a process has no stdout"))?;
        Ok(Self { child, stdin, stdout: BufReader::new(stdout) })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next thing that it says.
    pub(super) fn read<T: DeserializeOwned>(&mut self) -> io::Result<T> {
        let mut line = String::new();
        if self.stdout.read_line(&mut line)? == 0 {
            return Err(io::Error::other("a process of the comparison has ended"));
        }
        serde_json::from_str(&line).map_err(io::Error::other)
    }

    pub(super) fn tell(&mut self, what: &impl Serialize) -> io::Result<()> {
        let stdin = self.stdin.as_mut().ok_or_else(|| io::Error::other("a process has no stdin"))?;
        writeln!(stdin, "{}", serde_json::to_string(what).map_err(io::Error::other)?)
    }

    pub(super) fn ask<T: DeserializeOwned>(&mut self, what: &impl Serialize) -> io::Result<T> {
        self.tell(what)?;
        self.read()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // It has nothing that is worth keeping; whether it ended by itself is not asked.
        let _ended = self.child.wait();
    }
}

/// A program, on a core of its own where one is given.
pub(super) fn command(program: &str, core: Option<&str>) -> Command {
    let Some(core) = core else { return Command::new(program) };
    let mut command = Command::new("taskset");
    command.args(["-c", core, program]);
    command
}

/// An address that nobody listens at just now.
pub(super) fn free_address() -> io::Result<SocketAddr> {
    std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()
}
