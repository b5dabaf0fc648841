//! The sections `[environments.<name>]`: which model servers each environment has, in distributed mode.
//!
//! The only sections whose names are the operator's own: a name that was not there before is taken when it is one of
//! an environment, and has the same keys as the shipped ones.

use std::collections::BTreeMap;

use domain::name::Environment;
use serde::Deserialize;
use toml::Value;

use super::merge::{Origin, Problem};

/// What every key of these sections begins with.
const SECTION: &str = "environments.";
const SERVERS: &str = "servers";

/// By name; each name is one of an environment.
pub type Environments = BTreeMap<String, Servers>;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Servers {
    pub servers: Vec<String>,
}

/// The default of a key that names an environment of the operator's own; nothing when it is no such key.
pub(super) fn default_of(key: &str) -> Option<Value> {
    let (name, key) = key.strip_prefix(SECTION)?.rsplit_once('.')?;
    (key == SERVERS && Environment::parse(name).is_ok()).then(|| Value::Array(vec![]))
}

/// Splits a section's keys further where it holds sections of its own.
pub(super) fn flatten(name: &str, value: &Value) -> Option<Vec<(String, Value)>> {
    let table = value.as_table().filter(|_| name.starts_with(SECTION))?;
    Some(table.iter().map(|(key, value)| (format!("{name}.{key}"), value.clone())).collect())
}

/// Finds addresses that are none of a model server, and what is too many.
pub(super) fn check(values: &BTreeMap<String, (Value, Origin)>, problems: &mut Vec<Problem>) {
    let mut known: Vec<&str> = vec![];
    for (key, (value, origin)) in values.iter().filter(|(key, _)| key.starts_with(SECTION)) {
        let mut problem = |text: String| {
            problems.push(Problem { key: key.clone(), text, origin: origin.clone() });
        };
        let servers = value.as_array().map(Vec::as_slice).unwrap_or_default();
        if servers.len() > gateway::SERVERS_MAX {
            problem(format!(
                "expected at most {} servers, but there are {}",
                gateway::SERVERS_MAX,
                servers.len()
            ));
        }
        for server in servers {
            let Some(url) = server.as_str() else {
                problem(format!("expected texts, but found {} `{server}`", server.type_str()));
                continue;
            };
            if let Err(bad) = stages::port::RemoteServing::new(url, "") {
                problem(bad.to_string());
            }
            let url = url.trim_end_matches('/');
            if known.contains(&url) {
                problem(format!("expected each server in one environment, once, but `{url}` is there twice"));
            }
            known.push(url);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Effective, Error};

    fn parse(text: &str) -> Result<super::super::Config, Vec<String>> {
        let mut effective = Effective::defaults();
        effective.merge_file(Path::new("x.toml"), text).unwrap();
        let variables = [("MODELRAIL_ENVIRONMENTS__TEST__SERVERS", "http://127.0.0.1:1, http://127.0.0.1:2")];
        effective.merge_environment(variables.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())));
        effective.parse().map_err(|error| match error {
            Error::Problems(problems) => problems.iter().map(ToString::to_string).collect(),
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn an_environment_may_have_any_name_and_its_servers() {
        let config = parse("[environments.production]\nservers = [\"http://127.0.0.1:7402\"]\n").unwrap();
        let servers = |name: &str| config.environments[name].servers.clone();
        assert_eq!(servers("production"), ["http://127.0.0.1:7402"]);
        assert_eq!(servers("test"), ["http://127.0.0.1:1", "http://127.0.0.1:2"]);
        assert!(servers("staging").is_empty());
    }

    #[test]
    fn what_is_no_environment_and_no_server_is_told() {
        for (text, told) in [
            (
                "[environments.production]\nserver = []",
                "environments.production.server (x.toml): expected a key that exists",
            ),
            (
                "[environments.\"a b\"]\nservers = []",
                "environments.a b.servers (x.toml): expected a key that exists",
            ),
            ("[environments]\nservers = []", "environments.servers (x.toml): expected a key that exists"),
            (
                "[environments.production]\nservers = \"http://a:1\"",
                "environments.production.servers (x.toml): expected array",
            ),
            (
                "[environments.production]\nservers = [1]",
                "environments.production.servers (x.toml): expected texts",
            ),
            (
                "[environments.production]\nservers = [\"a:1\"]",
                "environments.production.servers (x.toml): expected the address",
            ),
            (
                "[environments.x]\nservers = [\"http://a:1\", \"http://a:1\"]",
                "environments.x.servers (x.toml): expected each server in one",
            ),
        ] {
            let found = parse(text).unwrap_err();
            assert!(found.iter().any(|found| found.starts_with(told)), "{text}: {found:?}");
        }
    }
}
