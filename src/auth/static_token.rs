//! [`StaticToken`]: a token that somebody gave us and that nobody renews.

use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};

use super::{AccessToken, AuthError, TokenSource};

/// One token from a flag or an environment variable. Nothing newer can be had, so a refused one is given out again: should the
/// drive have refused it by mistake, the next request works; should it have expired, each request says so.
#[derive(Debug)]
pub struct StaticToken(AccessToken);

impl StaticToken {
    /// From its text; `place` is the flag or variable that it came from, for the message if it is not a token.
    pub fn new(place: &str, text: &str) -> Result<Self, AuthError> {
        let token = AccessToken::new(text).ok_or_else(|| AuthError::Malformed {
            place: place.to_owned(),
            why: "a token is one word of ASCII characters".to_owned(),
        })?;
        Ok(Self(token))
    }
}

impl TokenSource for StaticToken {
    fn token(&self) -> BoxFuture<'_, Result<AccessToken, AuthError>> {
        future::ready(Ok(self.0.clone())).boxed()
    }

    fn reject(&self, _token: &AccessToken) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_static_token_is_given_out_even_after_it_was_refused() {
        let source = StaticToken::new("--token", "ya29.fixed\n").expect("a token");
        let token = source.token().await.expect("a token");
        source.reject(&token);
        assert_eq!(source.token().await.expect("a token").expose(), "ya29.fixed");
        assert!(!format!("{source:?}").contains("ya29"));
    }

    #[test]
    fn what_is_not_a_token_is_refused_without_repeating_it() {
        let error = StaticToken::new("DRIVEMOUNT_TOKEN", "two words").expect_err("not a token");
        assert!(error.to_string().contains("DRIVEMOUNT_TOKEN"));
        assert!(!error.to_string().contains("two"));
    }
}
