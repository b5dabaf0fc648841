//! Where the API listens, and how it stops.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::api::Api;
use crate::route::router;

/// How long open requests may go on when the server closes.
const GRACE: Duration = Duration::from_secs(5);

/// What the configuration says about listening.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listen {
    /// [`Listen::WORDS`], to send tokens in the clear to other machines: something in front does TLS.
    pub exposed: String,
}

impl Listen {
    /// What `exposed` must say.
    pub const WORDS: &'static str = "without TLS";
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected to listen on loopback, but {address} is reachable from elsewhere and this server speaks no TLS"
)]
pub struct ListenRefused {
    pub address: SocketAddr,
}

impl ListenRefused {
    pub const CODE: &'static str = "LISTEN_REFUSED";
    pub const HINT: &'static str =
        "listen on 127.0.0.1, or put a proxy with TLS in front and set `server.exposed = \"without TLS\"`";
}

/// Refuses to send tokens in the clear to other machines unless the configuration says so in words.
pub fn check_listen(address: SocketAddr, listen: &Listen) -> Result<(), ListenRefused> {
    if address.ip().to_canonical().is_loopback() || listen.exposed == Listen::WORDS {
        Ok(())
    } else {
        Err(ListenRefused { address })
    }
}

/// Serves until `shutdown`; then ends event streams, and lets other requests go on for a short while.
pub async fn serve(
    api: Arc<Api>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let mut closing = api.closing();
    let stopping = {
        let api = Arc::clone(&api);
        async move {
            shutdown.await;
            api.close();
        }
    };
    let server = axum::serve(listener, router(api)).with_graceful_shutdown(stopping);
    tokio::select! {
        ended = server.into_future() => ended,
        () = async {
            let _ = closing.wait_for(|closing| *closing).await;
            tokio::time::sleep(GRACE).await;
        } => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_beyond_loopback_needs_words() {
        let words = |exposed: &str| Listen { exposed: exposed.to_owned() };
        for (address, by_default) in [
            ("127.0.0.1:80", true),
            ("127.9.9.9:80", true),
            ("[::1]:80", true),
            ("[::ffff:127.0.0.1]:80", true),
            ("0.0.0.0:80", false),
            ("[::]:80", false),
            ("10.0.0.1:80", false),
            ("[::ffff:10.0.0.1]:80", false),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(check_listen(address, &Listen::default()).is_ok(), by_default, "{address}");
            assert_eq!(check_listen(address, &words("yes")).is_ok(), by_default, "{address}");
            assert_eq!(check_listen(address, &words(Listen::WORDS)), Ok(()));
        }
    }
}
