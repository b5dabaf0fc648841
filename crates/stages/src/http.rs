//! Calls to the outside: blocking clients without redirects, proxies or surprises, and which addresses may be
//! called at all.
//!
//! **Invariant:** plain `http:` stays on this machine; addresses that only a machine's own cloud answers
//! (link-local, where instance metadata lives) are never called; the address that was judged is the one that is
//! called, so a name that changes its mind in between leads nowhere.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::sync::Once;
use std::time::Duration;

use reqwest::Url;
use reqwest::blocking::Client;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The instance metadata of one cloud by IPv6.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// Chooses ring for TLS in this process, unless somebody chose before. Every client of `reqwest` needs it.
pub fn install_tls() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // An error says that a provider stands already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// A client whose calls take at most `timeout`, body included.
pub(crate) fn client(timeout: Duration) -> Result<Client, reqwest::Error> {
    plain(timeout).build()
}

fn plain(timeout: Duration) -> reqwest::blocking::ClientBuilder {
    install_tls();
    Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(timeout)
}

/// Why an address is not called.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AddressError {
    /// It never will be: the address is at fault.
    #[error("{0}")]
    Refused(String),
    #[error("failed to find the address of `{host}`")]
    Resolve {
        host: String,
        #[source]
        source: std::io::Error,
    },
    #[error("failed to prepare the call")]
    Client(#[source] reqwest::Error),
}

/// Judges an address and gives a client that calls nothing else.
pub(crate) fn client_for(text: &str, timeout: Duration) -> Result<(Client, Url), AddressError> {
    let url = parse(text)?;
    let host = url.host_str().unwrap_or_default().to_owned();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let port = url.port_or_known_default().unwrap_or(443);
    let found: Vec<SocketAddr> = (bare, port)
        .to_socket_addrs()
        .map_err(|source| AddressError::Resolve { host: host.clone(), source })?
        .collect();
    for address in &found {
        judge(&url, address.ip()).map_err(AddressError::Refused)?;
    }
    let client = plain(timeout).resolve_to_addrs(&host, &found).build().map_err(AddressError::Client)?;
    Ok((client, url))
}

/// Judges an address of the configuration as far as that can be done without asking for its name; the call judges
/// what the name leads to.
pub fn check(text: &str) -> Result<(), String> {
    let url = parse(text).map_err(|error| error.to_string())?;
    let host = url.host_str().unwrap_or_default();
    match host.trim_start_matches('[').trim_end_matches(']').parse() {
        Ok(address) => judge(&url, address),
        Err(_) if url.scheme() == "http" && host != "localhost" => {
            Err(format!("expected `https`, but `http` leads outside of this machine, to `{host}`"))
        }
        Err(_) => Ok(()),
    }
}

/// Reads an address, and refuses what no operator means.
pub(crate) fn parse(text: &str) -> Result<Url, AddressError> {
    let refused = |why: &str| AddressError::Refused(format!("expected an address to call, but {why}"));
    let url = Url::parse(text).map_err(|error| refused(&error.to_string()))?;
    if !matches!(url.scheme(), "https" | "http") {
        return Err(refused(&format!("its scheme is `{}`", url.scheme())));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("it carries a user or a password"));
    }
    let path = url.path().to_ascii_lowercase();
    if path.contains("%2f") || path.contains("%5c") || path.contains("%00") {
        return Err(refused("its path hides a separator"));
    }
    Ok(url)
}

/// Whether `url` begins with `prefix`, at a boundary of the path.
pub(crate) fn begins_with(url: &Url, prefix: &str) -> bool {
    let Ok(prefix) = parse(prefix) else { return false };
    let (url, prefix) = (url.as_str(), prefix.as_str());
    url.strip_prefix(prefix)
        .is_some_and(|rest| prefix.ends_with('/') || rest.is_empty() || rest.starts_with('/'))
}

fn judge(url: &Url, address: IpAddr) -> Result<(), String> {
    let address = address.to_canonical();
    let unfit = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast(),
        IpAddr::V6(v6) => {
            v6.is_unicast_link_local() || v6.is_unspecified() || v6.is_multicast() || v6 == METADATA_V6
        }
    };
    if unfit {
        return Err(format!("expected an address to call, but {address} is for machines about themselves"));
    }
    if url.scheme() == "http" && !address.is_loopback() {
        return Err(format!(
            "expected `https`, but `http` was asked for outside of this machine ({address})"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_must_not_be_called_are_refused() {
        for refused in [
            "file:///etc/passwd",
            "gopher://127.0.0.1/",
            "http://user@127.0.0.1/",
            "http://169.254.169.254/latest/meta-data",
            "https://169.254.169.254/",
            "https://[fe80::1]/",
            "https://[fd00:ec2::254]/",
            "https://[::ffff:169.254.169.254]/",
            "https://0xa9fea9fe/",
            "http://10.0.0.1/",
            "http://[::ffff:10.0.0.1]/",
            "http://0xa000001/",
            "http://167772161/",
            "https://[::ffff:a9fe:a9fe]/",
            "https://2852039166/latest",
            "https://169.254.43518/",
            "https://[::]/",
            "https://255.255.255.255/",
            "https://224.0.0.1/",
            "https://user:password@models.example/",
            "https://models.example@169.254.169.254/",
            "https://",
            "http://0.0.0.0/",
            "http://127.0.0.1/a%2f..%2fb",
            "not an address",
        ] {
            let answer = client_for(refused, Duration::from_secs(1));
            assert!(matches!(answer, Err(AddressError::Refused(_))), "{refused}: {answer:?}");
            assert!(check(refused).is_err(), "{refused}");
        }
        for good in ["http://127.0.0.1:9/x", "http://127.1/x", "http://[::1]/x", "https://192.0.2.1/x"] {
            assert!(client_for(good, Duration::from_secs(1)).is_ok(), "{good}");
            assert!(check(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_prefix_ends_at_a_boundary_and_after_dots_are_gone() {
        let begins = |url: &str, prefix: &str| begins_with(&parse(url).unwrap(), prefix);
        assert!(begins("https://models.example/flights/v1.onnx", "https://models.example/flights/"));
        assert!(begins("https://models.example/flights/v1.onnx", "https://models.example/flights"));
        assert!(!begins("https://models.example/flights-other/v1.onnx", "https://models.example/flights"));
        assert!(!begins("https://models.example/flights/../x", "https://models.example/flights/"));
        assert!(!begins("https://models.example/flights/%2e%2e/x", "https://models.example/flights/"));
        assert!(!begins("https://models.example.evil/x", "https://models.example"));
    }
}
