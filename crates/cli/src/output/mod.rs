//! What is printed to stdout: tables for people, JSON for programs.
//!
//! **Invariant:** the same views in every form; a reader that went away is no error.

mod table;

use std::io::{self, Write as _};

use serde::Serialize;

pub use table::{Table, facts, plain};

use crate::argv::Form;
use crate::exit::{Exit, Failure};

/// How to print.
#[derive(Debug, Clone, Copy)]
pub struct Output(pub Form);

impl Output {
    /// One thing.
    pub fn one<T: Serialize>(self, view: &T, text: impl FnOnce(&T) -> String) -> Result<(), Failure> {
        match self.0 {
            Form::Table => put(&text(view)),
            Form::Json => put(&serde_json::to_string_pretty(view).map_err(|error| unprintable(&error))?),
            Form::Jsonl => put(&serde_json::to_string(view).map_err(|error| unprintable(&error))?),
        }
    }

    /// A list: as one array, or one entry a line.
    pub fn list<T: Serialize>(self, entries: &[T], text: impl FnOnce(&[T]) -> String) -> Result<(), Failure> {
        match self.0 {
            Form::Table => put(&text(entries)),
            Form::Json => put(&serde_json::to_string_pretty(entries).map_err(|error| unprintable(&error))?),
            Form::Jsonl => entries.iter().try_for_each(|entry| self.line(entry, |_| String::new())),
        }
    }

    /// One of a stream of things: a line each, whatever the form.
    pub fn line<T: Serialize>(self, view: &T, text: impl FnOnce(&T) -> String) -> Result<(), Failure> {
        match self.0 {
            Form::Table => put(&text(view)),
            Form::Json | Form::Jsonl => {
                put(&serde_json::to_string(view).map_err(|error| unprintable(&error))?)
            }
        }
    }
}

/// Something for the person at the terminal.
pub fn say(text: &str) {
    // Nobody to tell when stderr is closed.
    let _closed = writeln!(io::stderr(), "{text}");
}

fn put(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    match write!(stdout, "{text}{end}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Failed, "OUTPUT", "failed to write to stdout").cause(&error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn unprintable(error: &serde_json::Error) -> Failure {
    Failure::new(Exit::Failed, "OUTPUT", "failed to print as JSON").cause(error)
}
