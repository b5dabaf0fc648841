//! A part of a measurement in a process of its own, so that its memory is its own: asked and answering line by line.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child as Process, ChildStdin, ChildStdout, Command, Stdio};

use serde::Serialize;
use serde::de::DeserializeOwned;

#[derive(Debug)]
pub(super) struct Child {
    process: Process,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Child {
    /// This program with `bench` and these arguments. It is to end when its stdin does.
    pub(super) fn start(part: &str, folder: &Path, arguments: &[&str]) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bench", part, "--folder"]).arg(folder).args(arguments);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (stdin, stdout) = (process.stdin.take(), process.stdout.take());
        let stdout = stdout.ok_or_else(|| io::Error::other("a process has no stdout"))?;
        Ok(Self { process, stdin, stdout: BufReader::new(stdout) })
    }

    /// The next thing that it says.
    pub(super) fn read<T: DeserializeOwned>(&mut self) -> io::Result<T> {
        let mut line = String::new();
        if self.stdout.read_line(&mut line)? == 0 {
            return Err(io::Error::other("a process of the measurement has ended; stderr says why"));
        }
        serde_json::from_str(&line).map_err(io::Error::other)
    }

    pub(super) fn ask<T: DeserializeOwned>(&mut self, question: &impl Serialize) -> io::Result<T> {
        let stdin = self.stdin.as_mut().ok_or_else(|| io::Error::other("a process has no stdin"))?;
        writeln!(stdin, "{}", serde_json::to_string(question).map_err(io::Error::other)?)?;
        self.read()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // It ends by itself; what it did is known by what it said.
        let _ended = self.process.wait();
    }
}

/// Answers the parent.
pub(super) fn answer(what: &impl Serialize) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{}", serde_json::to_string(what).map_err(io::Error::other)?)?;
    stdout.flush()
}
