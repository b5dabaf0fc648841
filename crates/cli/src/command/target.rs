//! Targets: what is live, and what was live when.

use api::view::{HistoryLine, ReleaseView, RouteView, TargetHistory, TargetLine, TargetList, TargetView};

use super::show::{withheld, withheld_mark};
use crate::argv::TargetCommand;
use crate::client::{Client, segment};
use crate::exit::{Exit, Failure};
use crate::output::{Output, Table, facts, plain};

/// How many lines of history are asked for at once.
const PAGE: usize = 500;

pub(super) async fn list(client: &Client, output: Output) -> Result<Exit, Failure> {
    let list: TargetList = client.get("/v1/targets", &[]).await?;
    output.list(&list.targets, table)?;
    Ok(Exit::Good)
}

pub(super) async fn one(client: &Client, command: TargetCommand, output: Output) -> Result<Exit, Failure> {
    match command {
        TargetCommand::Show { target, at } => {
            let query: Vec<_> = at.map(|at| ("at", at)).into_iter().collect();
            let view: TargetView = client.get(&format!("/v1/targets/{}", segment(&target)), &query).await?;
            output.one(&view, text)?;
        }
        TargetCommand::History { target, at } => {
            let lines = history(client, &target, at.as_deref()).await?;
            output.list(&lines, history_table)?;
        }
    }
    Ok(Exit::Good)
}

async fn history(client: &Client, target: &str, at: Option<&str>) -> Result<Vec<HistoryLine>, Failure> {
    let within = upto(at)?;
    let path = format!("/v1/targets/{}/history", segment(target));
    let mut lines: Vec<HistoryLine> = vec![];
    let mut cursor: Option<String> = None;
    loop {
        let mut query = vec![("limit", PAGE.to_string())];
        query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let page: TargetHistory = client.get(&path, &query).await?;
        let all = page.history.iter().all(&within);
        lines.extend(page.history.into_iter().filter(&within));
        cursor = page.next_cursor.filter(|_| all);
        if cursor.is_none() {
            return Ok(lines);
        }
    }
}

fn upto(at: Option<&str>) -> Result<impl Fn(&HistoryLine) -> bool, Failure> {
    let seq = at.and_then(|at| at.parse::<u64>().ok());
    let moment = at.filter(|_| seq.is_none());
    let moment = moment.map(|at| {
        api::parse_timestamp(at).ok_or_else(|| {
            let text = format!("expected a record's number or an RFC 3339 time, but found `{at}`");
            Failure::usage("BAD_TIME", text).field("--at")
        })
    });
    let moment = moment.transpose()?;
    Ok(move |line: &HistoryLine| {
        let in_time = || match moment {
            Some(moment) => api::parse_timestamp(&line.at).is_none_or(|at| at <= moment),
            None => true,
        };
        seq.is_none_or(|seq| line.seq <= seq) && in_time()
    })
}

fn table(targets: &[TargetLine]) -> String {
    if targets.is_empty() {
        return "no targets\n".to_owned();
    }
    let mut table = Table::new(&["TARGET", "LIVE", "BUNDLE", "MOVES TRAFFIC", "RUNS", "GENERATION", ""]);
    for target in targets {
        table.row([
            target.target.clone(),
            target.live_version.clone().unwrap_or_else(|| "nothing".to_owned()),
            target.live_bundle.as_deref().map(short).unwrap_or_default(),
            target.slot.clone().unwrap_or_default(),
            target.under_way.to_string(),
            target.generation.to_string(),
            marks(target),
        ]);
    }
    table.render()
}

fn marks(target: &TargetLine) -> String {
    let frozen = target.frozen.then_some("frozen");
    frozen.into_iter().chain(target.withheld.as_ref().map(withheld_mark)).collect::<Vec<_>>().join(", ")
}

fn text(view: &TargetView) -> String {
    let live = view.live.as_ref().map_or("nothing".to_owned(), |live| {
        format!("{} since {}, generation {}", release(&live.release), live.since, live.generation)
    });
    let frozen = view.frozen.as_ref().map(|frozen| {
        let by = frozen.by.as_ref().map(|who| format!(" by {who}")).unwrap_or_default();
        let until = frozen.until.as_ref().map(|until| format!(" until {until}")).unwrap_or_default();
        format!("yes{by}{until}: {}", frozen.reason)
    });
    let mut text = facts(&[
        ("target", Some(view.target.clone())),
        ("live", Some(live)),
        ("leaving", view.leaving.clone()),
        ("last good", view.last_good.as_ref().map(release)),
        ("routes", Some(routes(&view.routes)).filter(|routes| !routes.is_empty())),
        ("generation", Some(format!("{}, observed {}", view.generation, view.observed))),
        ("moves traffic", view.slot.clone()),
        ("queue", Some(view.queue.join(", ")).filter(|queue| !queue.is_empty())),
        ("frozen", frozen),
        ("withheld", view.withheld.as_ref().map(withheld)),
        ("after record", Some(format!("{} at {}", view.seq, view.updated_at))),
        ("chapter", view.chapter.map(|chapter| chapter.to_string())),
    ]);
    let mut line = |line: String| {
        text.push_str(&plain(&line));
        text.push('\n');
    };
    for run in &view.under_way {
        line(format!("under way: {} {}", run.run, run.version));
    }
    for gateway in &view.gateways {
        let switched = gateway
            .override_to
            .as_ref()
            .map(|to| format!(", killed: {} answers", release(to)))
            .unwrap_or_default();
        line(format!(
            "gateway {} obeys generation {}{switched}, heard {}",
            gateway.gateway, gateway.generation, gateway.heard_at
        ));
    }
    for server in &view.servers {
        line(format!(
            "server {} has {} bundles, heard {}",
            server.server,
            server.bundles.len(),
            server.heard_at
        ));
        for failed in &server.failed {
            line(format!("  {}: {}", failed.code, failed.text));
        }
    }
    for errand in &view.errands {
        let failure =
            errand.last_failure.as_ref().map(|why| format!(", last failure: {why}")).unwrap_or_default();
        if errand.outstanding || !failure.is_empty() {
            line(format!("errand {}: {} failures{failure}", errand.errand, errand.failures));
        }
    }
    for bad in &view.bad {
        line(format!("bad here: {bad}"));
    }
    text
}

fn history_table(lines: &[HistoryLine]) -> String {
    if lines.is_empty() {
        return "nothing happened there\n".to_owned();
    }
    let mut table = Table::new(&["RECORD", "AT", "WHAT", "FROM", "TO", "GENERATION", "ROUTES", "BY", "WHY"]);
    for line in lines {
        let version = |release: &Option<ReleaseView>| {
            release.as_ref().map(|release| release.version.clone()).unwrap_or_default()
        };
        let by = line.by.as_ref().map(ToString::to_string).or_else(|| line.run.clone()).unwrap_or_default();
        table.row([
            line.seq.to_string(),
            line.at.clone(),
            line.what.clone(),
            version(&line.from),
            version(&line.to),
            line.generation.map(|generation| generation.to_string()).unwrap_or_default(),
            routes(&line.routes),
            by,
            line.cause.clone().unwrap_or_default(),
        ]);
    }
    table.render()
}

fn routes(routes: &[RouteView]) -> String {
    let shares = routes.iter().map(|route| format!("{} {}", route.release.version, route.weight));
    shares.collect::<Vec<_>>().join(", ")
}

fn release(release: &ReleaseView) -> String {
    format!("{} {}", release.version, short(&release.bundle))
}

fn short(digest: &str) -> String {
    digest.trim_start_matches("sha256:").chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(seq: u64, at: &str) -> HistoryLine {
        HistoryLine {
            seq,
            at: at.into(),
            what: "live_changed".into(),
            from: None,
            to: Some(ReleaseView { version: "v1".into(), bundle: "ab".into(), run: None }),
            generation: Some(2),
            routes: vec![],
            run: Some("01KA".into()),
            by: None,
            cause: None,
        }
    }

    #[test]
    fn history_ends_at_a_record_or_a_moment() {
        let lines = [line(3, "2026-11-20T10:00:00.000Z"), line(9, "2026-11-20T11:00:00.000Z")];
        for (at, count) in [(None, 2), (Some("3"), 1), (Some("2"), 0), (Some("2026-11-20T10:30:00Z"), 1)] {
            let within = upto(at).ok().unwrap();
            assert_eq!(lines.iter().filter(|line| within(line)).count(), count, "{at:?}");
        }
        assert_eq!(upto(Some("noon")).err().unwrap().code, "BAD_TIME");
    }

    #[test]
    fn history_stands_in_a_table() {
        insta::assert_snapshot!(history_table(&[line(3, "2026-11-20T10:00:00.000Z")]), @r"
        RECORD  AT                        WHAT          FROM  TO  GENERATION  ROUTES  BY    WHY
        3       2026-11-20T10:00:00.000Z  live_changed        v1  2                   01KA
        ");
    }
}
