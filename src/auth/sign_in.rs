//! [`SignIn`]: a person signs in with a browser, on this machine or on another.
//!
//! The authorisation code flow for installed applications, with PKCE (RFC 7636, RFC 8252): one link is opened, the person allows
//! access, and the browser is sent to an address of this machine with a code, which is worth a refresh token. If the browser runs
//! on another machine it finds nobody at that address; the address that it shows then, pasted here, does as well.
//!
//! ```text
//!   landing   who the browser finds at that address
//!   pasted    what somebody pastes
//! ```

mod landing;
mod pasted;

use std::io;

use oauth2::{AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, PkceCodeChallenge};
use oauth2::{PkceCodeVerifier, RedirectUrl, Scope, TokenUrl};
use url::Url;

pub use self::pasted::PasteError;

use self::landing::Landing;
use super::endpoint::{Endpoint, OauthClient, issued, patiently, understand};
use super::renewed::Issued;
use super::{Access, AccessToken, AuthError, Secret, SignInClient};
use crate::clock::{self, Timestamp};

/// What a browser brings back when the person has allowed access. Worth a token, once, together with what only we know.
#[derive(Debug)]
pub struct Code(Secret);

/// A sign-in under way.
#[derive(Debug)]
pub struct SignIn {
    client: SignInClient,
    access: Access,
    link: Url,
    redirect: String,
    state: String,
    verifier: PkceCodeVerifier,
    landing: Landing,
}

/// What a sign-in gives.
#[derive(Debug)]
pub struct SignedIn {
    /// Worth access tokens until it is revoked.
    pub refresh_token: Secret,
    /// The first of them.
    pub token: AccessToken,
    /// What they are good for: scopes separated by spaces.
    pub scopes: String,
    /// When the refresh token ends by itself, if the service says so.
    pub ends: Option<Timestamp>,
}

/// Why nobody is signed in.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// The machine lets us listen nowhere.
    #[error("no port of this machine can be listened on: {0}")]
    Listen(#[from] io::Error),
    /// The person said no, or the service did.
    #[error("access was not allowed ({0}); begin again with `drivemount login`, and allow it on the page that opens")]
    Denied(String),
    /// The person left out what matters.
    #[error(
        "the page was left without a tick at access to the files of the drive; begin again with `drivemount login`, and tick it"
    )]
    NotGranted,
    /// The service gave a token that dies within the hour.
    #[error(
        "the service gave no lasting sign-in. Remove this app at https://myaccount.google.com/permissions and begin again with \
         `drivemount login`"
    )]
    NotLasting,
    /// The token service.
    #[error(transparent)]
    Auth(#[from] AuthError),
}

impl SignIn {
    /// Begins one: listens for the browser, and makes the link.
    pub async fn begin(client: SignInClient, access: Access) -> Result<Self, SignInError> {
        let state = CsrfToken::new_random().into_secret();
        let landing = Landing::open(state.clone()).await?;
        let redirect = format!("http://127.0.0.1:{}", landing.port());
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let (link, _) = OauthClient::new(ClientId::new(client.id.clone()))
            .set_auth_uri(AuthUrl::from_url(client.auth_uri.clone()))
            .authorize_url(|| CsrfToken::new(state.clone()))
            .add_scopes(access.asked_for().map(|scope| Scope::new(scope.to_owned())))
            .set_pkce_challenge(challenge)
            .set_redirect_uri(std::borrow::Cow::Owned(redirect_url(&redirect)?))
            // Without these Google gives a refresh token only the first time that somebody allows access.
            .add_extra_param("access_type", "offline")
            .add_extra_param("prompt", "consent")
            .url();
        Ok(Self { client, access, link, redirect, state, verifier, landing })
    }

    /// What the person opens in a browser.
    pub fn link(&self) -> &Url {
        &self.link
    }

    /// Waits until the browser comes back to this machine. Dropping the future loses nothing.
    pub async fn arrival(&mut self) -> Result<Code, SignInError> {
        match self.landing.arrival().await {
            Ok(code) => Ok(Code(code)),
            Err(error) => Err(SignInError::Denied(error)),
        }
    }

    /// What somebody pasted: the address that the browser was sent to, or the code in it.
    pub fn pasted(&self, text: &str) -> Result<Code, PasteError> {
        pasted::understand(text, &self.state).map(Code)
    }

    /// Trades the code.
    pub async fn finish(self, code: Code) -> Result<SignedIn, SignInError> {
        let endpoint = Endpoint::new(self.client.token_uri.clone())?;
        let client = OauthClient::new(ClientId::new(self.client.id.clone()))
            .set_client_secret(ClientSecret::new(self.client.secret.expose().to_owned()))
            .set_token_uri(TokenUrl::from_url(endpoint.uri.clone()))
            .set_redirect_uri(redirect_url(&self.redirect)?)
            .set_auth_type(AuthType::RequestBody);
        let asked = clock::now();
        let Issued { token, scopes, refresh_token, refresh_lifetime, .. } = patiently(|| async {
            let request = client
                .exchange_code(AuthorizationCode::new(code.0.expose().to_owned()))
                .set_pkce_verifier(PkceCodeVerifier::new(self.verifier.secret().clone()));
            issued(&request.request_async(&endpoint.http()).await.map_err(understand)?)
        })
        .await?;
        // A service that does not say what it granted granted what was asked (RFC 6749, section 5.1).
        let scopes = scopes.unwrap_or_else(|| self.access.scope().to_owned());
        if !self.access.is_granted_by(&scopes) {
            return Err(SignInError::NotGranted);
        }
        let refresh_token = refresh_token.ok_or(SignInError::NotLasting)?;
        Ok(SignedIn { refresh_token, token, scopes, ends: refresh_lifetime.map(|lifetime| asked.after(lifetime)) })
    }
}

fn redirect_url(text: &str) -> Result<RedirectUrl, SignInError> {
    RedirectUrl::new(text.to_owned()).map_err(|_| SignInError::Auth(AuthError::Protocol))
}
