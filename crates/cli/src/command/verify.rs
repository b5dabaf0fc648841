//! Is the log the truth, and would it be decided alike today?

use std::fmt::Write as _;

use api::view::{PartitionVerified, VerifyView};

use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::output::{Output, Table, plain, say};

pub(super) async fn verify(client: &Client, output: Output) -> Result<Exit, Failure> {
    if client.is_offline() {
        say("no process has the data folder open: verifying it directly");
    }
    let view: VerifyView = client.act("POST", "/v1/verify").await?;
    output.one(&view, text)?;
    Ok(if view.good { Exit::Good } else { Exit::Failed })
}

fn text(view: &VerifyView) -> String {
    let mut table =
        Table::new(&["PARTITION", "RECORDS", "LOSERS", "DECIDED AGAIN", "DIFFERING", "VERDICT", "HEAD"]);
    let mut notes = String::new();
    let mut note = |partition: &PartitionVerified, text: &str| {
        let _ = writeln!(notes, "partition {}: {}", partition.partition, plain(text));
    };
    for partition in &view.partitions {
        let verdict = match (&partition.broken, partition.rows_differing.is_empty(), partition.differing) {
            (Some(_), ..) => "broken",
            _ if partition.chapters_broken > 0 => "chapters differ",
            (None, false, _) => "view differs",
            (None, true, 0) => "good",
            (None, true, _) if view.good => "good, older revisions differ",
            (None, true, _) => "differs",
        };
        table.row([
            partition.partition.to_string(),
            partition.records.to_string(),
            partition.losers.to_string(),
            partition.decided.to_string(),
            partition.differing.to_string(),
            verdict.to_owned(),
            partition.head.as_deref().map(short).unwrap_or_default(),
        ]);
        if let Some(broken) = &partition.broken {
            let hint = broken.hint.as_ref().map(|hint| format!(" (hint: {hint})")).unwrap_or_default();
            note(partition, &format!("{}: {}{hint}", broken.code, broken.text));
        }
        for difference in &partition.differences {
            let (recorded, again) = (&difference.recorded, &difference.again);
            note(
                partition,
                &format!(
                    "record {}, {}: recorded {recorded}; again {again}",
                    difference.seq, difference.input
                ),
            );
        }
        for chapter in &partition.broken_chapters {
            note(partition, chapter);
        }
        if partition.chapters > 0 && partition.chapters_broken == 0 {
            let chapters = partition.chapters;
            note(partition, &format!("{chapters} chapters begin with what the one before ends with"));
        }
        for stream in &partition.withheld {
            note(partition, stream);
        }
        for row in &partition.rows_differing {
            note(partition, &format!("the view of {row} is not what the log folds to"));
        }
    }
    let verdict = if view.good { "good" } else { "broken" };
    format!("{}{notes}the log is {verdict}\n", table.render())
}

fn short(digest: &str) -> String {
    digest.trim_start_matches("sha256:").chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    use api::view::Fault;

    use super::*;

    #[test]
    fn a_break_is_named_with_its_place() {
        let good = PartitionVerified {
            partition: 0,
            records: 120,
            losers: 1,
            transitions: 110,
            decided: 110,
            other_revisions: 0,
            differing: 0,
            differences: vec![],
            chapters: 3,
            chapters_broken: 0,
            broken_chapters: vec![],
            rows_differing: vec![],
            withheld: vec!["run 01KA is quarantined, 2 inputs are held: Report failed".into()],
            head: Some("ab".repeat(32)),
            state: None,
            broken: None,
        };
        let fault = Fault {
            code: "HISTORY_GAP".into(),
            text: "failed to accept the record after 41".into(),
            hint: Some("restore the log".into()),
            field: None,
            line: None,
            column: None,
        };
        let broken = PartitionVerified {
            partition: 1,
            records: 41,
            head: None,
            chapters: 0,
            withheld: vec![],
            broken: Some(fault),
            ..good.clone()
        };
        let forged = PartitionVerified {
            partition: 2,
            chapters_broken: 1,
            broken_chapters: vec!["chapter 2 of flights@production, in record 9, carries ab".into()],
            withheld: vec![],
            ..good.clone()
        };
        insta::assert_snapshot!(text(&VerifyView { good: false, partitions: vec![good, broken, forged] }), @r"
        PARTITION  RECORDS  LOSERS  DECIDED AGAIN  DIFFERING  VERDICT          HEAD
        0          120      1       110            0          good             abababababab
        1          41       1       110            0          broken
        2          120      1       110            0          chapters differ  abababababab
        partition 0: 3 chapters begin with what the one before ends with
        partition 0: run 01KA is quarantined, 2 inputs are held: Report failed
        partition 1: HISTORY_GAP: failed to accept the record after 41 (hint: restore the log)
        partition 2: chapter 2 of flights@production, in record 9, carries ab
        the log is broken
        ");
    }
}
