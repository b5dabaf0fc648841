//! Which run a text names.

use axum::http::StatusCode;
use domain::name::{BadName, RunId};
use engine::port::row::RunRow;
use engine::port::store::Query;

use super::page::PAGE_MAX;
use crate::api::Api;
use crate::problem::Problem;

/// The least characters of a run's id that stand for it.
const PREFIX_CHARS_MIN: usize = 4;
/// How many runs are looked through for a prefix.
const PREFIX_RUNS_MAX: usize = 100_000;
/// How many runs an ambiguous prefix names.
const CANDIDATES_MAX: usize = 10;

/// The run that a text names: its 26 characters, or a prefix that no other run has. Whoever has not read the log to its
/// end says that of a run that it does not find, and not that there is none.
pub(super) fn find(api: &Api, text: &str) -> Result<RunRow, Problem> {
    let behind = api.ports.engine.behind();
    let unknown = || match behind {
        Some(why) => why.into(),
        None => {
            Problem::not_found("UNKNOWN_RUN", format!("expected a run, but there is none called `{text}`"))
                .hint("list runs with `modelrail runs`")
        }
    };
    let prefix = text.to_ascii_uppercase();
    if prefix.len() >= 26 {
        let run = RunId::parse(&prefix).map_err(|why| Problem::bad_id("run", &why))?;
        return api.ports.store.run(run)?.ok_or_else(unknown);
    }
    let plain = |byte: u8| byte.is_ascii_digit() || (byte.is_ascii_uppercase() && !b"ILOU".contains(&byte));
    if prefix.len() < PREFIX_CHARS_MIN || !prefix.bytes().all(plain) {
        let expected = "a run of 26 characters (Crockford's base 32), or at least 4 of its first";
        return Err(Problem::bad_id("run", &BadName { expected, found: text.chars().take(80).collect() }));
    }
    let mut matches: Vec<RunRow> = vec![];
    let mut query = Query { runs_max: PAGE_MAX, ..Query::default() };
    for _ in 0..PREFIX_RUNS_MAX / PAGE_MAX {
        let rows = api.ports.store.runs(&query)?;
        let Some(last) = rows.last().map(|row| (row.started_at, row.run)) else { break };
        query.after = Some(last);
        matches.extend(rows.into_iter().filter(|row| row.run.to_string().starts_with(&prefix)));
        if matches.len() > CANDIDATES_MAX {
            break;
        }
    }
    match matches.len() {
        0 => Err(unknown()),
        1 => Ok(matches.remove(0)),
        _ => {
            let candidates = matches.iter().take(CANDIDATES_MAX).map(|row| row.run.to_string()).collect();
            let text = format!("expected one run, but several begin with `{text}`");
            Err(Problem::new(StatusCode::CONFLICT, "AMBIGUOUS_RUN", text)
                .hint("give more characters of its id")
                .field("run")
                .candidates(candidates))
        }
    }
}
