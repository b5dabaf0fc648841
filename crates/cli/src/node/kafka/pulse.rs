//! What a process without an API says of itself over HTTP: whether it lives, whether it works, figures for whoever watches.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;

use crate::config::Config;
use crate::node::{StartError, bind};

/// Asked anew each time.
pub(super) trait Pulse: Send + Sync + 'static {
    /// Whether it does its work now, else why not.
    fn ready(&self) -> Result<(), String>;

    /// In OpenMetrics.
    fn metrics(&self) -> String;
}

/// Answers at this address for as long as the process lives.
pub(super) async fn listen(
    pulse: impl Pulse,
    config: &Config,
    address: SocketAddr,
) -> Result<SocketAddr, StartError> {
    let listen = api::Listen { exposed: config.server.exposed.clone() };
    api::check_listen(address, &listen)?;
    let listener = bind(address).await?;
    let address = listener.local_addr().expect("a bound listener has an address");
    let routes = routes(Arc::new(pulse));
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, routes).await {
            tracing::error!(%error, "nobody hears any more how this process is");
        }
    });
    Ok(address)
}

fn routes(pulse: Arc<impl Pulse>) -> Router {
    let asked = Arc::clone(&pulse);
    let ready = async move || match asked.ready() {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    };
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(async move || pulse.metrics()))
}
