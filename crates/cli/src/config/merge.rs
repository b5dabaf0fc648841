//! Values by dotted key, each with where it came from. What the defaults do not have, nobody may set.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::{Config, DEFAULTS, Error, environments};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Default,
    File(PathBuf),
    Environment(String),
    Argument(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Argument(name) => f.write_str(name),
        }
    }
}

/// A key that cannot be used as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub key: String,
    pub text: String,
    pub origin: Origin,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.key, self.origin, self.text)
    }
}

/// The effective values.
#[derive(Debug, Clone)]
pub struct Effective {
    pub values: BTreeMap<String, (Value, Origin)>,
    problems: Vec<Problem>,
}

impl Effective {
    pub fn defaults() -> Self {
        let table: Table = DEFAULTS.parse().expect("the shipped defaults parse, a test says so");
        let values = flatten(&table).into_iter().map(|(key, value)| (key, (value, Origin::Default)));
        Self { values: values.collect(), problems: vec![] }
    }

    pub fn merge_file(&mut self, path: &Path, text: &str) -> Result<(), Error> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| Error::Parse {
            path: path.to_path_buf(),
            why: error.to_string(),
        })?;
        for (key, value) in flatten(&table) {
            self.set(&key, value, Origin::File(path.to_path_buf()));
        }
        Ok(())
    }

    /// `MODELRAIL_SERVER__LISTEN` is `server.listen`. Lists are written with commas.
    pub fn merge_environment(&mut self, variables: impl Iterator<Item = (String, String)>) {
        for (name, text) in variables {
            let key = name.trim_start_matches("MODELRAIL_").to_lowercase().replace("__", ".");
            let known = self.values.get(&key).map(|(value, _)| value.clone());
            let value = match known.or_else(|| environments::default_of(&key)) {
                Some(Value::Integer(_)) => {
                    text.parse().map_or_else(|_| Value::String(text.clone()), Value::Integer)
                }
                Some(Value::Array(_)) => {
                    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                    Value::Array(parts.map(|part| Value::String(part.to_owned())).collect())
                }
                _ => Value::String(text),
            };
            self.set(&key, value, Origin::Environment(name));
        }
    }

    pub fn set(&mut self, key: &str, value: Value, origin: Origin) {
        let key_name = key.to_owned();
        if let (false, Some(default)) = (self.values.contains_key(key), environments::default_of(key)) {
            self.values.insert(key_name.clone(), (default, Origin::Default));
        }
        match self.values.get_mut(key) {
            None => {
                let nearest = nearest(key, self.values.keys());
                let text = format!("expected a key that exists{nearest}");
                self.problems.push(Problem { key: key_name, text, origin });
            }
            Some((known, _)) if known.type_str() != value.type_str() => {
                let (expected, found) = (known.type_str(), value.type_str());
                let text = match key {
                    super::kafka::PASSWORD | super::blobs::PASSWORD => {
                        format!("expected {expected}, but found {found}")
                    }
                    _ => format!("expected {expected}, but found {found} `{value}`"),
                };
                self.problems.push(Problem { key: key_name, text, origin });
            }
            Some(known) => *known = (value, origin),
        }
    }

    /// Addresses that would never be called are told at the start, not at the first gate.
    fn check_addresses(&self, problems: &mut Vec<Problem>) {
        for key in ["notify.webhook", "artifacts.prefixes"] {
            let Some((value, origin)) = self.values.get(key) else { continue };
            let one = std::slice::from_ref(value);
            let values = value.as_array().map_or(one, Vec::as_slice);
            for address in values.iter().filter_map(Value::as_str).filter(|address| !address.is_empty()) {
                if let Err(text) = stages::http::check(address) {
                    problems.push(Problem { key: key.to_owned(), text, origin: origin.clone() });
                }
            }
        }
    }

    /// The typed configuration, or every problem.
    pub fn parse(&self) -> Result<Config, Error> {
        let mut problems = self.problems.clone();
        let mut table = Table::new();
        for (key, (value, _)) in &self.values {
            let (section, name) = key.split_once('.').expect("every key stands in a section");
            let mut keys = section_of(&mut table, section);
            let name = match name.rsplit_once('.') {
                Some((inner, name)) => {
                    keys = section_of(keys, inner);
                    name
                }
                None => name,
            };
            keys.insert(name.to_owned(), value.clone());
        }
        let config = table.try_into::<Config>();
        let mut at_least = |key: &str, least: i64| {
            if let Some((Value::Integer(value), origin)) = self.values.get(key)
                && *value < least
            {
                let text = format!("expected at least {least}, but found {value}");
                problems.push(Problem { key: key.to_owned(), text, origin: origin.clone() });
            }
        };
        for key in
            ["workers.package", "workers.stage_test", "workers.gate", "workers.rollout", "workers.monitor"]
        {
            at_least(key, 1);
        }
        at_least("store.partitions", 1);
        at_least("store.predictions_days", 1);
        for (key, least) in super::limits::LEAST {
            at_least(key, least);
        }
        at_least("server.drain_seconds", 0);
        at_least("kafka.command_partitions", 1);
        at_least("kafka.check_seconds", 1);
        self.check_addresses(&mut problems);
        super::kafka::check(&self.values, &mut problems);
        super::blobs::check(&self.values, &mut problems);
        environments::check(&self.values, &mut problems);
        match config {
            Ok(config) if problems.is_empty() => Ok(config),
            Ok(_) => Err(Error::Problems(problems)),
            Err(error) => {
                let text = error.to_string().trim().replace('\n', " ");
                problems.push(Problem { key: "value".into(), text, origin: Origin::Default });
                Err(Error::Problems(problems))
            }
        }
    }
}

fn flatten(table: &Table) -> Vec<(String, Value)> {
    let mut flat = vec![];
    for (section, value) in table {
        match value {
            Value::Table(keys) => {
                for (key, value) in keys {
                    let key = format!("{section}.{key}");
                    flat.extend(
                        environments::flatten(&key, value).unwrap_or_else(|| vec![(key, value.clone())]),
                    );
                }
            }
            other => flat.push((section.clone(), other.clone())),
        }
    }
    flat
}

fn section_of<'a>(table: &'a mut Table, name: &str) -> &'a mut Table {
    let section = table.entry(name).or_insert_with(|| Value::Table(Table::new()));
    section.as_table_mut().expect("a section is a table")
}

fn nearest<'a>(key: &str, keys: impl Iterator<Item = &'a String>) -> String {
    let best = keys.map(|known| (distance(key, known), known)).min();
    best.filter(|(distance, _)| *distance <= 4)
        .map_or(String::new(), |(_, known)| format!("; did you mean `{known}`?"))
}

/// Levenshtein's edit distance.
pub fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let mut effective = Effective::defaults();
        effective.merge_file(Path::new("x.toml"), text).unwrap();
        match effective.parse() {
            Err(Error::Problems(problems)) => problems.iter().map(ToString::to_string).collect(),
            Err(other) => panic!("{other:?}"),
            Ok(_) => vec![],
        }
    }

    #[test]
    fn the_shipped_file_is_the_default() {
        let config = Effective::defaults().parse().unwrap();
        assert_eq!(config.store.partitions, 16);
        assert!(config.server.listen.ip().is_loopback());
    }

    #[test]
    fn every_problem_is_named_at_once() {
        let found =
            problems("[server]\nlisten_on = \"x\"\n[store]\npartitions = \"many\"\n[workers]\ngate = 0\n");
        assert_eq!(
            found,
            [
                "server.listen_on (x.toml): expected a key that exists; did you mean `server.listen`?",
                "store.partitions (x.toml): expected integer, but found string `\"many\"`",
                "workers.gate (x.toml): expected at least 1, but found 0",
            ]
        );
    }

    #[test]
    fn addresses_that_are_never_called_are_told_at_the_start() {
        let text = "[notify]\nwebhook = \"http://169.254.169.254/\"\n\
                    [artifacts]\nprefixes = [\"https://models.example/\", \"gopher://x\", \"models\"]\n";
        let found = problems(text);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].starts_with("notify.webhook (x.toml): expected an address to call"), "{found:?}");
        assert!(found[1].contains("its scheme is `gopher`"), "{found:?}");
        for good in ["", "https://hooks.example/x", "http://127.0.0.1:9/", "http://localhost/"] {
            assert!(problems(&format!("[notify]\nwebhook = \"{good}\"\n")).is_empty(), "{good}");
        }
    }

    #[test]
    fn the_environment_outranks_the_file() {
        let mut effective = Effective::defaults();
        effective.merge_file(Path::new("x.toml"), "[workers]\ngate = 3\n").unwrap();
        let variables = [("MODELRAIL_WORKERS__GATE", "5"), ("MODELRAIL_ARTIFACTS__ROOTS", "a, b")];
        effective.merge_environment(variables.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())));
        let config = effective.parse().unwrap();
        assert_eq!((config.workers.gate, config.artifacts.roots.len()), (5, 2));
        assert_eq!(effective.values["workers.gate"].1.to_string(), "environment MODELRAIL_WORKERS__GATE");
    }
}
