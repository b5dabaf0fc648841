//! Tables of plain text: columns as wide as their widest cell, two blanks between, no colour, no lines.
//!
//! **Invariant:** what others wrote is shown without control characters, so that it cannot steer a terminal.

use std::fmt::Write as _;

/// Rows under headings.
#[derive(Debug, Clone)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(headings: &[&str]) -> Self {
        Self { rows: vec![headings.iter().map(ToString::to_string).collect()] }
    }

    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| plain(&cell)).into());
    }

    pub fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                let _ = write!(line, "{cell:width$}  ");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Names with values, one a line; a value that is not there is not shown.
pub fn facts(facts: &[(&str, Option<String>)]) -> String {
    let width = facts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in facts {
        if let Some(value) = value {
            let _ = writeln!(text, "{name:width$}  {}", plain(value));
        }
    }
    text
}

/// Without control characters, on one line.
pub fn plain(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["RUN", "STATE", "WAITS"]);
        table.row(["01ABCD".into(), "live".into(), String::new()]);
        table.row(["01XY".into(), "rolled_back".into(), "für alle".into()]);
        insta::assert_snapshot!(table.render(), @r"
        RUN     STATE        WAITS
        01ABCD  live
        01XY    rolled_back  für alle
        ");
    }

    #[test]
    fn what_is_not_there_is_not_shown() {
        let text =
            facts(&[("run", Some("01AB".into())), ("owner", None), ("waits for", Some("people".into()))]);
        insta::assert_snapshot!(text, @r"
        run        01AB
        waits for  people
        ");
    }

    #[test]
    fn what_others_wrote_cannot_steer_a_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\nc\u{9b}d"), "a [2Jb c d");
    }
}
