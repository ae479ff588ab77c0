//! The only way to an HTTP client.
//!
//! Owns the choice of cryptography and of trust: rustls on ring, the certificates of the system, and the roots of Mozilla's
//! programme where the system has none (a slim container). Who asks sets time limits, protocol and redirects.

use std::error::Error;
use std::sync::Once;

use reqwest::redirect::{Action, Attempt, Policy};
use reqwest::{Certificate, Client, ClientBuilder, StatusCode};
use url::{Host, Url};

/// Redirects followed one after the other before the answer counts as nonsense; the default of most clients.
const MAX_REDIRECTS: usize = 10;

/// A client for `target` and what lives beside it, with the settings that `configure` adds.
///
/// `configure` may be called twice: without certificates in the system a client cannot be built, and the second try brings
/// its own.
pub fn client(target: &Url, configure: impl Fn(ClientBuilder) -> ClientBuilder) -> reqwest::Result<Client> {
    let builder = || configure(builder(target));
    builder().build().or_else(|_| builder().tls_certs_only(bundled_roots()).build())
}

fn builder(target: &Url) -> ClientBuilder {
    static PROVIDER: Once = Once::new();
    // Without a provider of cryptography `build` panics. Somebody else having installed one is as good.
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    let builder = Client::builder()
        .redirect(Policy::custom(redirect))
        // The address of an upload session is a secret, and would travel in this header.
        .referer(false);
    if !is_loopback(target) {
        return builder;
    }
    // A proxy cannot reach the loopback interface of this machine, whatever the environment says.
    let builder = builder.no_proxy();
    // To read the certificates of the system takes tens of milliseconds, and here nothing is encrypted.
    if target.scheme() == "http" { builder.tls_certs_only(std::iter::empty()) } else { builder }
}

/// Follows redirects, but not 308: Drive says "resume incomplete" with it, and may give a `Location` along.
fn redirect(attempt: Attempt<'_>) -> Action {
    if attempt.status() == StatusCode::PERMANENT_REDIRECT {
        attempt.stop()
    } else if attempt.previous().len() > MAX_REDIRECTS {
        attempt.error("too many redirects")
    } else {
        attempt.follow()
    }
}

/// What the network said, in its innermost words and without the address asked for, which may hold a secret.
pub fn cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut innermost: &dyn Error = &error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Whether an address is of Google, as far as its name says.
pub fn is_googles(url: &Url) -> bool {
    let is_of =
        |host: &str, domain: &str| host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    url.scheme() == "https"
        && url.host_str().is_some_and(|host| is_of(host, "googleapis.com") || is_of(host, "google.com"))
}

fn bundled_roots() -> impl Iterator<Item = Certificate> {
    webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().filter_map(|der| Certificate::from_der(der).ok())
}

/// Whether an address is on this machine.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("an address")
    }

    #[test]
    fn a_client_can_be_built_for_tls() {
        client(&url("https://www.googleapis.com"), |builder| builder.https_only(true)).expect("builds");
    }

    #[test]
    fn the_bundled_roots_are_enough_to_build_a_client() {
        builder(&url("https://www.googleapis.com")).tls_certs_only(bundled_roots()).build().expect("builds");
        assert!(bundled_roots().count() > 50);
    }

    #[test]
    fn google_is_known_by_its_names() {
        for google in
            ["https://oauth2.googleapis.com/token", "https://www.googleapis.com", "https://accounts.google.com/x"]
        {
            assert!(is_googles(&url(google)), "{google}");
        }
        for other in [
            "http://www.googleapis.com",
            "https://googleapis.com.example",
            "https://notgoogle.com",
            "http://127.0.0.1:1",
        ] {
            assert!(!is_googles(&url(other)), "{other}");
        }
    }

    #[test]
    fn only_addresses_of_this_machine_bypass_the_proxy() {
        for inside in ["http://127.0.0.1:8080", "http://127.8.9.1", "http://[::1]:1", "http://localhost:1"] {
            assert!(is_loopback(&url(inside)), "{inside}");
        }
        for outside in
            ["https://www.googleapis.com", "http://10.0.0.1", "http://[2001:db8::1]", "http://localhost.example"]
        {
            assert!(!is_loopback(&url(outside)), "{outside}");
        }
    }
}
