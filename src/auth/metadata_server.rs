//! [`MetadataServer`]: tokens of the service account that a machine of Google's runs as.
//!
//! The address is Google's ("About VM metadata"): only such a machine can reach it, and it asks for no proof but a header that
//! a browser cannot be made to send.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::StatusCode;
use url::Url;

use super::authorized_user::{TOKEN_URI, web_address};
use super::brake::Brake;
use super::endpoint::{issued, patiently, transport};
use super::renewed::{Issued, Issuer, Renewed};
use super::{Access, AuthError};
use crate::config::{GCLOUD_LOGIN, GOOGLE_CREDENTIALS, gcloud_file};
use crate::net;

/// It is next door, or not there at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const TIMEOUT: Duration = Duration::from_secs(10);

/// A machine that is none of Google's does not become one soon.
const HOLD: Duration = Duration::from_secs(30);

const FLAVOR: &str = "metadata-flavor";

/// Asks it.
#[derive(Debug)]
pub(super) struct MetadataServer {
    url: Url,
    http: reqwest::Client,
    /// It has answered, so this is a machine of Google's, and a silence is a hiccup.
    is_there: AtomicBool,
    brake: Brake,
}

impl MetadataServer {
    /// At `host`, for a token that allows `access`: where a machine can run as several things (containers), the scope may be
    /// chosen; elsewhere it is that of the machine.
    pub(super) fn open(host: &str, access: Access) -> Result<Renewed<Self>, AuthError> {
        let malformed = || AuthError::Malformed {
            place: "$GCE_METADATA_HOST".to_owned(),
            why: "it is HOST or HOST:PORT".to_owned(),
        };
        let address = format!("http://{host}/computeMetadata/v1/instance/service-accounts/default/token");
        let mut url = Url::parse(&address).map_err(|_| malformed())?;
        url.query_pairs_mut().append_pair("scopes", access.scope());
        let http = net::client(&url, |builder| {
            let none = reqwest::redirect::Policy::none();
            // No proxy stands on this machine.
            builder.no_proxy().connect_timeout(CONNECT_TIMEOUT).timeout(TIMEOUT).redirect(none)
        });
        let (is_there, brake) = (AtomicBool::new(false), Brake::default());
        Ok(Renewed::new(Self { http: http.map_err(transport)?, url, is_there, brake }))
    }

    async fn ask(&self) -> Result<Issued, AuthError> {
        let answer = self.http.get(self.url.clone()).header(FLAVOR, "Google").send().await;
        let answer = match answer {
            Err(error) if self.is_there.load(Ordering::Relaxed) => return Err(transport(error)),
            Err(_) => return Err(nothing("there is no metadata server")),
            Ok(answer) if answer.headers().get(FLAVOR).is_none_or(|flavor| flavor != "Google") => {
                return Err(nothing("what answers as its metadata server is none"));
            }
            Ok(answer) => answer,
        };
        self.is_there.store(true, Ordering::Relaxed);
        match answer.status() {
            StatusCode::OK => {
                let body = answer.bytes().await.map_err(transport)?;
                let issued = issued(&serde_json::from_slice(&body).map_err(|_| AuthError::Protocol)?)?;
                // One on this machine itself stands in for Google's.
                let is_googles = !net::is_loopback(&self.url);
                Ok(Issued { issuer: is_googles.then(|| web_address(TOKEN_URI)).flatten(), ..issued })
            }
            StatusCode::NOT_FOUND => Err(AuthError::NotGranted {
                why: "this machine runs as no service account: give it one that has the Drive scope, or give other credentials"
                    .to_owned(),
            }),
            StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST => Err(AuthError::NotGranted {
                why: format!(
                    "the metadata server of this machine gives no token (it answered {}): see that its service account exists and \
                     may be used, or give other credentials",
                    answer.status().as_u16()
                ),
            }),
            status => Err(AuthError::Failed { answer: status.as_u16().to_string() }),
        }
    }
}

impl Issuer for MetadataServer {
    fn issue(&self) -> BoxFuture<'_, Result<Issued, AuthError>> {
        self.brake.attempt(HOLD, patiently(|| self.ask())).boxed()
    }
}

/// It is the last place that is searched.
fn nothing(machine: &str) -> AuthError {
    let file = gcloud_file().map_or_else(String::new, |file| format!("{} does not exist, ", file.display()));
    AuthError::NotGranted {
        why: format!(
            "there are no application default credentials: ${GOOGLE_CREDENTIALS} is not set, {file}and {machine} on this machine. \
             Name a file with ${GOOGLE_CREDENTIALS}, or sign in with {GCLOUD_LOGIN}"
        ),
    }
}

#[cfg(test)]
mod tests;
