//! OAuth 2.0: how applications get tokens of their own, for less than everything.
//!
//! ```text
//!   authorize  device  token  revoke    what a browser, a television and a program ask for
//!   page  jwt  error                    what a person is shown; what a service account shows; what a program is told
//!   grants  devices                     rows: requests, codes, tokens; sign-ins from another screen
//!   scopes  clients                     what a token is good for, and who may ask for one
//!   base64                              how bytes are written
//! ```
//!
//! It owns the tables in `tables.sql`, and the files in the data folder that `clients` describes. It is there only if it was
//! asked for.
//!
//! **Promises.** Of what it gives out, only hashes are kept. Codes work once. A browser is sent to addresses of this machine
//! only. Every table is bounded: what has expired goes when something is added.
//!
//! **Who consents.** A drive has one person, and no password (a service account has a drive of its own, and nobody consents for it): whoever opens the consent page may allow. What guards the drive
//! is that a code is worth nothing without the client's secret, and that lies in a file that this user alone can read.

mod authorize;
mod base64;
pub(crate) mod clients;
mod device;
mod devices;
mod error;
mod grants;
mod jwt;
mod page;
mod revoke;
pub(crate) mod scopes;
mod token;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::routing::{get, post};
use http::{HeaderMap, header};

use super::call::header_text;
use super::drive::Drive;
use super::error::Result;
use super::params::Params;
use crate::clock;

pub(crate) use clients::{Clients, Oauth};
pub(crate) use grants::Granted;

/// Forms are short. The longest thing in one is the assertion of a service account.
const MAX_FORM_BYTES: usize = 64 * 1024;

/// The paths of signing in. Nobody needs a token for them.
pub(crate) fn router() -> Router<Arc<Drive>> {
    Router::new()
        .route("/o/oauth2/auth", get(authorize::ask))
        .route("/o/oauth2/v2/auth", get(authorize::ask))
        .route("/o/oauth2/consent", post(authorize::decide))
        .route("/device", get(device::form).post(device::enter))
        .route("/device/code", post(device::begin))
        .route("/token", post(token::issue))
        .route("/revoke", post(revoke::revoke))
}

/// What an access token is good for; `None` if it is none, or has expired.
pub(crate) async fn granted(drive: &Drive, token: String) -> Result<Option<Granted>> {
    drive.store.read(move |db| grants::access(db, clock::now(), &token)).await
}

/// The fields of a form; `None` if the body is none, or too long for one.
async fn form_fields(headers: &HeaderMap, body: Body) -> Option<Params> {
    let content_type = header_text(headers, header::CONTENT_TYPE)?;
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return None;
    }
    let bytes = to_bytes(body, MAX_FORM_BYTES).await.ok()?;
    Some(Params::parse(std::str::from_utf8(&bytes).ok()?))
}
