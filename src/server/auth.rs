//! Who may call: the bearer token of the drive, and the file it is kept in.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, header};

use super::call::{Arrival, header_text};
use super::caller::{Caller, Files};
use super::drive::Drive;
use super::error::{ApiError, Result};
use super::ids;
use super::oauth;
use super::params::Params;

/// The application of whoever has the drive's own token.
const OWN_APP: &str = "drivemount";

/// The token kept in `file`; a fresh one is made (readable by this user alone) if there is none.
pub(crate) fn kept_token(file: &Path) -> io::Result<String> {
    match fs::read_to_string(file) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        // Empty: its writer died. Made anew.
        Ok(_) | Err(_) => {}
    }
    let token = ids::secret();
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)?;
    writeln!(file, "{token}")?;
    Ok(token)
}

/// The token that a call bears, in its header or (as the API allows) in its query.
pub(crate) fn shown<'r>(headers: &'r HeaderMap, params: Option<&'r Params>) -> Option<&'r str> {
    let in_query = || params?.get("access_token").or_else(|| params?.get("oauth_token"));
    header_text(headers, header::AUTHORIZATION).and_then(bearer).or_else(in_query)
}

/// Lets a call pass if it bears the drive's own token, or one of an application that was granted enough.
pub(crate) async fn check(State(drive): State<Arc<Drive>>, mut request: Request, next: Next) -> Result<Response> {
    let params = request.extensions().get::<Arrival>().map(|arrival| &arrival.params);
    let token = shown(request.headers(), params).ok_or_else(ApiError::unauthenticated)?;
    let caller = if is_own(&drive, token) {
        let owner = drive.store.identity().owner().clone();
        let app: Arc<str> = OWN_APP.into();
        let app_folder = Some(drive.app_folder(owner.no, &app).await?);
        Caller { user: owner, app, files: Files::All, app_folder }
    } else if drive.oauth.is_on() {
        let is_media = params.and_then(|params| params.get("alt")) == Some("media");
        let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
        let accepted = oauth::scopes::accepted(request.method(), route, is_media);
        let granted = oauth::granted(&drive, token.to_owned()).await?.ok_or_else(ApiError::unauthenticated)?;
        if !granted.scopes.cover(accepted) {
            return Err(ApiError::insufficient_scopes());
        }
        // A service account that is not there any more.
        let user = drive.store.identity().user(granted.user).ok_or_else(ApiError::unauthenticated)?.clone();
        let app: Arc<str> = granted.client.into();
        let is_reached = granted.scopes.reach_app_data();
        let app_folder = if is_reached { Some(drive.app_folder(user.no, &app).await?) } else { None };
        Caller { user, app, files: granted.scopes.files(), app_folder }
    } else {
        return Err(ApiError::unauthenticated());
    };
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// Lets a request pass if it bears the drive's own token.
pub(crate) async fn check_own(State(drive): State<Arc<Drive>>, request: Request, next: Next) -> Result<Response> {
    let params = request.extensions().get::<Arrival>().map(|arrival| &arrival.params);
    if shown(request.headers(), params).is_some_and(|token| is_own(&drive, token)) {
        Ok(next.run(request).await)
    } else {
        Err(ApiError::unauthenticated())
    }
}

fn is_own(drive: &Drive, token: &str) -> bool {
    is_equal(token.as_bytes(), drive.token().as_bytes())
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Compares without telling by its duration where the first difference is.
fn is_equal(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len() && left.iter().zip(right).fold(0, |differences, (a, b)| differences | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_token_is_kept_for_the_next_start_and_for_nobody_else() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("token");
        let token = kept_token(&file).expect("is made");
        assert_eq!(kept_token(&file).expect("is read"), token);
        let mode = fs::metadata(&file).expect("exists").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn the_scheme_may_be_in_any_case() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer abc"), Some("abc"));
        assert_eq!(bearer("Basic abc"), None);
        assert!(is_equal(b"abc", b"abc") && !is_equal(b"abc", b"abd") && !is_equal(b"abc", b"ab"));
    }
}
