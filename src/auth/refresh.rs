//! Trades a refresh token for an access token (RFC 6749, section 6).

use std::fmt;

use oauth2::{AuthType, ClientId, ClientSecret, RefreshToken, TokenUrl};
use url::Url;

use super::endpoint::{Endpoint, OauthClient, issued, patiently, understand};
use super::renewed::Issued;
use super::{AuthError, Secret};

/// What a person got when signing in, and where it can be traded.
#[derive(Debug, Clone)]
pub(super) struct Grant {
    pub(super) client_id: String,
    pub(super) client_secret: Secret,
    pub(super) refresh_token: Secret,
    pub(super) endpoint: Endpoint,
    /// Whose it is, where the file says so: those that `drivemount login` stores do.
    pub(super) owner: Option<Owner>,
}

/// Whose a grant is, and for which drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) id: String,
    pub(super) email: String,
    pub(super) source: String,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.email, self.source)
    }
}

impl Grant {
    pub(super) fn new(
        client_id: String,
        client_secret: Secret,
        refresh_token: Secret,
        token_uri: Url,
    ) -> Result<Self, String> {
        let endpoint = Endpoint::new(token_uri).map_err(|error| error.to_string())?;
        Ok(Self { client_id, client_secret, refresh_token, endpoint, owner: None })
    }
}

/// One access token.
pub(super) async fn refresh(login: Grant) -> Result<Issued, AuthError> {
    // In the body and not as basic authentication: what Google documents for installed applications.
    let client = OauthClient::new(ClientId::new(login.client_id.clone()))
        .set_client_secret(ClientSecret::new(login.client_secret.expose().to_owned()))
        .set_token_uri(TokenUrl::from_url(login.endpoint.uri.clone()))
        .set_auth_type(AuthType::RequestBody);
    let refresh_token = RefreshToken::new(login.refresh_token.expose().to_owned());
    patiently(|| async {
        let answer = client.exchange_refresh_token(&refresh_token).request_async(&login.endpoint.http()).await;
        let issued = issued(&answer.map_err(understand)?)?;
        Ok(Issued { issuer: Some(login.endpoint.uri.clone()), ..issued })
    })
    .await
}
