//! Serves the routes on a listener until told to stop.
//!
//! Invariant: at most `connections_max` connections are open, each must send its head in time, and
//! the end of the shutdown is bounded by `drain_timeout_ms`. No TLS here.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tower::Service;

use crate::control::{Credential, control};
use crate::routes::{route_unknown, router};
use crate::server::Server;

/// Pause after the system refused to accept (it is out of descriptors), so as not to spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

impl Server {
    /// Serves on `listener` until `shutdown` ends; then lets the requests in flight end.
    pub async fn serve(&self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        self.serve_routes(router(self.clone()), listener, shutdown).await;
    }

    /// Serves the control surface too, for whoever has its credential.
    pub async fn serve_controlled(
        &self,
        credential: Credential,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) {
        let routes = router(self.clone()).merge(control(self.clone(), credential));
        self.serve_routes(routes, listener, shutdown).await;
    }

    async fn serve_routes(&self, routes: Router, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let places = Arc::new(Semaphore::new(self.limits().connections_max.min(Semaphore::MAX_PERMITS)));
        let (stop, stopped) = watch::channel(());
        let routes = routes.fallback(route_unknown);
        let accept = async {
            loop {
                let place = Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed");
                match listener.accept().await {
                    Ok((stream, _)) => {
                        let connection =
                            connection(self.clone(), routes.clone(), stream, stopped.clone(), place);
                        tokio::spawn(connection);
                    }
                    Err(error) => {
                        tracing::warn!(%error, "failed to accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        };
        tokio::select! {
            () = accept => {}
            () = shutdown => {}
        }
        self.drain();
        drop(listener);
        drop(stopped);
        stop.send_replace(());
        let drained =
            tokio::time::timeout(Duration::from_millis(self.limits().drain_timeout_ms), stop.closed());
        if drained.await.is_err() {
            tracing::warn!("requests were still in flight at the end of the shutdown");
        }
    }
}

/// Serves one connection; on stop it ends after the request that it is at.
async fn connection(
    server: Server,
    routes: Router,
    stream: TcpStream,
    mut stopped: watch::Receiver<()>,
    _place: OwnedSemaphorePermit,
) {
    // Answers are small and each is one write: waiting for more would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "failed to set TCP_NODELAY");
    }
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let mut routes = routes.clone();
        async move {
            Ok::<_, Infallible>(
                routes.call(request.map(Body::new)).await.unwrap_or_else(|never| match never {}),
            )
        }
    });
    let mut connection = std::pin::pin!(
        hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_millis(server.limits().head_timeout_ms))
            // Head and body of a small answer are copied together: cheaper than to have the kernel gather them.
            .writev(false)
            .serve_connection(TokioIo::new(stream), service)
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            let drain = Duration::from_millis(server.limits().drain_timeout_ms);
            let Ok(ended) = tokio::time::timeout(drain, connection).await else {
                tracing::warn!("a request was still in flight at the end of the shutdown");
                return;
            };
            ended
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended early");
    }
}
