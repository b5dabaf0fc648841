//! A model server over HTTP/1.1, with a pool of connections that are kept open.
//!
//! Invariant: a request is sent a second time only when nothing of it had been sent: the connection could not be
//! made (once more here), or a kept one turned out to be closed before the first byte.

mod connection;
mod http1;
mod pool;

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use hyper::http::StatusCode;
use hyper::http::uri::Authority;

use self::connection::{Connection, Failed};
use self::pool::Pool;
use super::{Ask, Backend, Call, Fault, Reply};

/// Bytes of one answer.
const ANSWER_BYTES_MAX: usize = 8 << 20;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A model server at an address.
#[derive(Debug, Clone)]
pub struct Http {
    authority: Authority,
    pool: Arc<Pool>,
}

impl Http {
    /// The model server at `authority`, such as `127.0.0.1:8001`.
    pub fn new(authority: Authority) -> Self {
        Self { authority, pool: Arc::default() }
    }

    /// The model server at an address of this network.
    pub fn at(address: std::net::SocketAddr) -> Self {
        Self::new(address.to_string().parse().expect("an address and port are an authority"))
    }

    #[cfg(test)]
    pub(crate) fn has_quiet_connection(&self) -> bool {
        self.pool.has_quiet()
    }

    async fn send(&self, call: &Call) -> Result<Reply, Fault> {
        while let Some(connection) = self.pool.take() {
            match self.ask(connection, call).await {
                Err(Failed::Unsent) => {}
                Err(Failed::Broken(broken)) => return Err(Fault::Broken(broken.into())),
                Ok(reply) => return Ok(reply),
            }
        }
        let connection = match self.connect().await {
            Ok(connection) => connection,
            Err(_) => self.connect().await.map_err(|error| Fault::Unreachable(error.into()))?,
        };
        self.ask(connection, call).await.map_err(|failed| match failed {
            Failed::Unsent => Fault::Unreachable("the connection was closed at once".into()),
            Failed::Broken(broken) => Fault::Broken(broken.into()),
        })
    }

    async fn connect(&self) -> std::io::Result<Connection> {
        // An address of IPv6 stands in brackets.
        let host = self.authority.host().trim_matches(['[', ']']);
        let port = self.authority.port_u16().unwrap_or(80);
        tokio::time::timeout(CONNECT_TIMEOUT, Connection::open(host, port)).await?
    }

    async fn ask(&self, mut connection: Connection, call: &Call) -> Result<Reply, Failed> {
        let (method, verb, body) = match &call.ask {
            Ask::Infer(body) => ("POST", "/infer", Some(body)),
            Ask::Metadata => ("GET", "", None),
            Ask::Ready => ("GET", "/ready", None),
        };
        // A model's name and hexadecimal digits stand in a path as they are.
        let path = ["/v2/models/", call.model.as_str(), "/versions/", &call.version, verb];
        let length = body.map(Bytes::len);
        let head = |out: &mut Vec<u8>| http1::write_head(out, method, &path, self.authority.as_str(), length);
        let nothing = Bytes::new();
        let (reply, stays_open) = connection.ask(head, body.unwrap_or(&nothing), ANSWER_BYTES_MAX).await?;
        if stays_open {
            self.pool.put(connection);
        }
        Ok(reply)
    }
}

#[async_trait::async_trait]
impl Backend for Http {
    async fn call(&self, call: &Call) -> Result<Reply, Fault> {
        let reply = self.send(call).await?;
        if reply.status == StatusCode::NOT_FOUND { Err(Fault::Gone) } else { Ok(reply) }
    }
}
