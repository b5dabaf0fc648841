//! The configuration in force, each value with where it came from.

use serde::Serialize;

use crate::argv::{ConfigCommand, Global};
use crate::config;
use crate::exit::{Exit, Failure};
use crate::output::{Output, Table};

#[derive(Debug, Serialize)]
struct Line {
    key: String,
    value: String,
    origin: String,
}

pub(super) fn config(global: &Global, command: &ConfigCommand, output: Output) -> Result<Exit, Failure> {
    match command {
        ConfigCommand::Show => {
            let (_, effective) = config::load(global.config.as_deref(), global.data.as_deref())
                .map_err(|error| Failure::of_config(&error))?;
            let values: Vec<Line> = effective
                .values
                .iter()
                .map(|(key, (value, origin))| Line {
                    key: key.clone(),
                    value: value.to_string(),
                    origin: origin.to_string(),
                })
                .collect();
            output.list(&values, |values| {
                let mut table = Table::new(&["KEY", "VALUE", "FROM"]);
                for value in values {
                    table.row([value.key.clone(), value.value.clone(), value.origin.clone()]);
                }
                table.render()
            })?;
            Ok(Exit::Good)
        }
    }
}
