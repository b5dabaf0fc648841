//! Follows a run: a line each transition to stdout, what it waits for to a terminal's stderr.
//!
//! **Invariant:** no transition is left out or told twice: a stream that broke is taken up after the last one told.

use std::collections::VecDeque;
use std::io::IsTerminal as _;
use std::time::Duration;

use api::view::{RunView, TransitionView};
use indicatif::{ProgressBar, ProgressStyle};

use super::timeline;
use crate::argv::WatchArguments;
use crate::client::{Client, segment};
use crate::exit::{Exit, Failure};
use crate::output::Output;

/// How many broken streams in a row, without anything new between, before giving up.
const BROKEN_MAX: u32 = 10;
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// The most bytes of one event.
const EVENT_BYTES_MAX: usize = 16 << 20;

pub(super) async fn watch(client: &Client, asked: &WatchArguments, output: Output) -> Result<Exit, Failure> {
    let path = format!("/v1/runs/{}", segment(&asked.run.run));
    let mut run: RunView = client.get(&path, &[]).await?;
    let path = format!("/v1/runs/{}", run.run);
    let progress = progress();
    let mut last: Option<u64> = None;
    let mut broken = 0;
    loop {
        let mut events = Events::new(client.stream(&format!("{path}/events"), last).await?);
        loop {
            // A run that was over before we looked has told all up to its last record.
            if last.is_some_and(|last| last >= run.seq)
                && let Some(exit) = over(&run, asked)
            {
                progress.finish_and_clear();
                return Ok(exit);
            }
            let Some(transition) = events.next().await? else { break };
            broken = 0;
            progress.suspend(|| output.line(&transition, timeline::line))?;
            last = Some(transition.seq);
            if transition.seq >= run.seq {
                run = client.get(&path, &[]).await?;
                let waits: Vec<&str> = run.waits.iter().map(|wait| wait.text.as_str()).collect();
                progress.set_message(format!("{}: {}", run.state, waits.join("; ")));
            }
        }
        run = client.get(&path, &[]).await?;
        broken += 1;
        if broken > BROKEN_MAX {
            return Err(Failure::new(
                Exit::NotReachable,
                "STREAM_BROKEN",
                "expected events, but the stream ends each time",
            ));
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

/// How it went, once there is nothing more to wait for.
fn over(run: &RunView, asked: &WatchArguments) -> Option<Exit> {
    let people = asked.until_people && run.waits.iter().any(|wait| wait.kind == "people");
    let over = run.ended || matches!(run.state.as_str(), "live" | "standby");
    match (over, people) {
        (true, _) => Some(Exit::of_run(&run.state, run.stages.iter().map(|stage| stage.state.as_str()))),
        (false, true) => Some(Exit::Waiting),
        (false, false) => None,
    }
}

fn progress() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}").expect("a literal template");
    let progress = ProgressBar::new_spinner().with_style(style);
    progress.enable_steady_tick(Duration::from_millis(200));
    progress
}

/// Server-sent events of one response.
struct Events {
    response: reqwest::Response,
    parser: Parser,
}

impl Events {
    fn new(response: reqwest::Response) -> Self {
        Self { response, parser: Parser::default() }
    }

    /// Nothing when the stream ended or broke.
    async fn next(&mut self) -> Result<Option<TransitionView>, Failure> {
        loop {
            if let Some(text) = self.parser.ready.pop_front() {
                return serde_json::from_str(&text).map(Some).map_err(|error| {
                    Failure::new(Exit::Failed, "ANSWER", "expected a transition that this release knows")
                        .cause(&error)
                        .hint("use the same release as the server")
                });
            }
            match self.response.chunk().await {
                Ok(Some(bytes)) => self.parser.take(&bytes)?,
                Ok(None) | Err(_) => return Ok(None),
            }
        }
    }
}

/// Finds the `data` of events in bytes that come in any pieces.
#[derive(Debug, Default)]
struct Parser {
    line: Vec<u8>,
    event: String,
    ready: VecDeque<String>,
}

impl Parser {
    fn take(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        for byte in bytes {
            if *byte != b'\n' {
                self.line.push(*byte);
                if self.line.len() + self.event.len() > EVENT_BYTES_MAX {
                    let text =
                        format!("expected an event of at most {EVENT_BYTES_MAX} bytes, but it is longer");
                    return Err(Failure::new(Exit::Failed, "ANSWER", text));
                }
                continue;
            }
            let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
            let line = line.trim_end_matches('\r');
            if line.is_empty() {
                let event = std::mem::take(&mut self.event);
                self.ready.extend(Some(event).filter(|event| !event.is_empty()));
            } else if let Some(text) = line.strip_prefix("data:") {
                self.event.push_str(text.strip_prefix(' ').unwrap_or(text));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_in_pieces_of_any_size() {
        let text =
            ": keep-alive\n\nid: 3\nevent: transition\ndata: {\"a\":1}\n\ndata:{\"b\":\r\ndata: 2}\r\n\r\n";
        for size in [1, 2, 7, text.len()] {
            let mut parser = Parser::default();
            text.as_bytes().chunks(size).for_each(|piece| parser.take(piece).unwrap());
            assert_eq!(parser.ready, ["{\"a\":1}", "{\"b\":2}"], "pieces of {size}");
        }
    }
}
