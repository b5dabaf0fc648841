//! The bounds that an operator can change. `docs/limits.md` says what happens when each is full.

use serde::Deserialize;

/// Documented, with their defaults, in `deploy/modelrail.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    // The engine.
    pub messages_max: usize,
    pub lane_waiting_max: usize,
    pub backlog_max: usize,
    pub streams_cached_max: usize,
    pub request_memory_records: u64,
    pub disk_free_min_mib: u64,
    // The API.
    pub requests_max: usize,
    pub streams_max: usize,
    pub body_max_kib: usize,
    pub body_seconds: u64,
    // The gateway.
    pub gateway_requests_max: usize,
    pub gateway_connections_max: usize,
    pub gateway_body_max_kib: usize,
    pub gateway_infer_ms: u64,
    pub predictions_waiting_max: usize,
    pub labels_max: usize,
    pub gateway_targets_max: usize,
    pub gateway_silent_ms: u64,
    // The model server.
    pub models_max: usize,
    pub model_max_mib: usize,
    pub model_rows_max: usize,
    pub model_requests_max: usize,
    pub model_connections_max: usize,
}

/// The least value that makes sense of each.
pub(super) const LEAST: [(&str, i64); 23] = [
    ("limits.messages_max", 16),
    ("limits.lane_waiting_max", 1),
    ("limits.backlog_max", 1),
    ("limits.streams_cached_max", 16),
    ("limits.request_memory_records", 1),
    ("limits.disk_free_min_mib", 0),
    ("limits.requests_max", 1),
    ("limits.streams_max", 1),
    ("limits.body_max_kib", 1),
    ("limits.body_seconds", 1),
    ("limits.gateway_requests_max", 1),
    ("limits.gateway_connections_max", 1),
    ("limits.gateway_body_max_kib", 1),
    ("limits.gateway_infer_ms", 1),
    ("limits.predictions_waiting_max", 1),
    ("limits.labels_max", 1),
    ("limits.gateway_targets_max", 1),
    ("limits.gateway_silent_ms", 1_500),
    ("limits.models_max", 1),
    ("limits.model_max_mib", 1),
    ("limits.model_rows_max", 1),
    ("limits.model_requests_max", 1),
    ("limits.model_connections_max", 1),
];

impl Limits {
    pub fn api(&self) -> api::Config {
        api::Config {
            requests_max: self.requests_max,
            streams_max: self.streams_max,
            body_bytes_max: self.body_max_kib << 10,
            body_wait_max: std::time::Duration::from_secs(self.body_seconds),
            ..api::Config::default()
        }
    }

    pub fn gateway(&self) -> gateway::Limits {
        gateway::Limits {
            in_flight_max: self.gateway_requests_max,
            connections_max: self.gateway_connections_max,
            body_bytes_max: self.gateway_body_max_kib << 10,
            infer_timeout_ms: self.gateway_infer_ms,
            predictions_waiting_max: self.predictions_waiting_max,
            labels_max: self.labels_max,
            targets_max: self.gateway_targets_max,
            ..gateway::Limits::default()
        }
    }

    pub fn model_server(&self) -> model_server::Limits {
        model_server::Limits {
            models_max: self.models_max,
            model_bytes_max: self.model_max_mib << 20,
            rows_max: self.model_rows_max,
            in_flight_max: self.model_requests_max,
            connections_max: self.model_connections_max,
            ..model_server::Limits::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::DEFAULTS;
    use super::*;

    fn shipped() -> Limits {
        let table: toml::Table = DEFAULTS.parse().unwrap();
        table["limits"].clone().try_into().unwrap()
    }

    #[test]
    fn the_shipped_defaults_are_those_of_the_parts() {
        let limits = shipped();
        assert_eq!(format!("{:?}", limits.api()), format!("{:?}", api::Config::default()));
        assert_eq!(format!("{:?}", limits.gateway()), format!("{:?}", gateway::Limits::default()));
        assert_eq!(format!("{:?}", limits.model_server()), format!("{:?}", model_server::Limits::default()));
        let bounds = engine::partition::Bounds::default();
        assert_eq!(limits.lane_waiting_max, bounds.lane_waiting_max);
        assert_eq!(limits.streams_cached_max, bounds.streams_cached_max);
        assert_eq!(limits.request_memory_records, bounds.request_memory_records);
    }

    #[test]
    fn every_bound_has_a_least_value_and_stands_in_the_document() {
        let table: toml::Table = DEFAULTS.parse().unwrap();
        let document = include_str!("../../../../docs/limits.md");
        let keys = table["limits"].as_table().unwrap();
        assert_eq!(keys.len(), LEAST.len());
        for (key, value) in keys {
            assert!(LEAST.iter().any(|(known, _)| known.strip_prefix("limits.") == Some(key)), "{key}");
            assert!(document.contains(&format!("| `{key}` | {value} |")), "{key} = {value}");
        }
    }
}
