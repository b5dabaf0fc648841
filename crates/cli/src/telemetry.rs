//! Structured logs to stderr, and traces by OTLP when an endpoint is set.

use domain::work::Command;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::config::{LogFormat, Telemetry};

/// Flushes traces when it is dropped.
#[derive(Debug)]
pub struct Guard(Option<SdkTracerProvider>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(provider) = &self.0
            && let Err(error) = provider.shutdown()
        {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

/// Why there is no telemetry.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("expected a filter in telemetry.log, but `{filter}` is none: {why}")]
    Filter { filter: String, why: String },
    #[error("failed to set up traces to {endpoint}: {why}")]
    Traces { endpoint: String, why: String },
}

pub fn start(config: &Telemetry) -> Result<Guard, Error> {
    let filter = EnvFilter::try_new(&config.log)
        .map_err(|error| Error::Filter { filter: config.log.clone(), why: error.to_string() })?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match config.format {
        LogFormat::Json => lines.json().boxed(),
        LogFormat::Text => lines.with_target(false).boxed(),
    };
    let provider =
        if config.otel_endpoint.is_empty() { None } else { Some(provider(&config.otel_endpoint)?) };
    let traces = provider
        .as_ref()
        .map(|provider| tracing_opentelemetry::layer().with_tracer(provider.tracer("modelrail")));
    tracing_subscriber::registry().with(traces).with(lines.with_filter(filter)).init();
    Ok(Guard(provider))
}

fn provider(endpoint: &str) -> Result<SdkTracerProvider, Error> {
    let failed = |why: String| Error::Traces { endpoint: endpoint.to_owned(), why };
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_endpoint(endpoint)
        .build()
        .map_err(|error| failed(error.to_string()))?;
    let resource = opentelemetry_sdk::Resource::builder().with_service_name("modelrail").build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

/// The span of one attempt, in the trace of whoever published the model.
pub fn attempt_span(command: &Command) -> tracing::Span {
    let span = tracing::info_span!(
        "attempt",
        attempt = %command.attempt,
        order = command.order.as_str(),
        target = %command.target,
    );
    if let Some(traceparent) = &command.traceparent {
        let carrier = std::collections::HashMap::from([("traceparent".to_owned(), traceparent.to_string())]);
        let parent = TraceContextPropagator::new().extract(&carrier);
        if let Err(error) = span.set_parent(parent) {
            tracing::debug!(?error, "the publisher's trace could not be joined");
        }
    }
    span
}
