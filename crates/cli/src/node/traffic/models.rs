//! A process that is a model server.

use std::net::SocketAddr;

use model_server::{Credential, Server};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::node::{StartError, bind, control_token, wait_for};

/// A running model server with its control surface.
#[derive(Debug)]
pub struct ModelServerNode {
    pub address: SocketAddr,
    closing: watch::Sender<bool>,
    served: JoinHandle<()>,
}

impl ModelServerNode {
    /// Listens, with nothing loaded: whoever wants something here finds that out, and loads it.
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        let listen = api::Listen { exposed: config.server.exposed.clone() };
        api::check_listen(config.model_server.listen, &listen)?;
        let credential = Credential::new(&control_token(config)?);
        let server = Server::new(config.limits.model_server());
        let listener = bind(config.model_server.listen).await?;
        let address = listener.local_addr().expect("a bound listener has an address");
        let (closing, closed) = watch::channel(false);
        let served = tokio::spawn(async move {
            server.serve_controlled(credential, listener, wait_for(closed)).await;
        });
        Ok(Self { address, closing, served })
    }

    /// Ends: what is being answered is answered.
    pub async fn stop(self) {
        self.closing.send_replace(true);
        if let Err(error) = self.served.await {
            tracing::error!(%error, "the model server broke");
        }
    }
}
