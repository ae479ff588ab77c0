//! [`Reply`]: an answer whose head is here and whose body is still to come.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::{AsHeaderName, HeaderMap};

use super::client::{broken, silent};
use super::convert::nonsense;
use super::errors::{Attempt, Failure};
use super::pace::Admitted;
use super::request::Call;
use crate::auth::AccessToken;

/// Far above a page of a thousand items with long names; a body that is longer is none of Drive's.
const MAX_JSON: usize = 64 << 20;

/// Enough for every error; of a longer page nothing is needed.
const MAX_ERROR: usize = 64 << 10;

/// An answer of any status. Not `Debug`: its address may be that of an upload session.
pub(super) struct Reply {
    call: Call,
    response: reqwest::Response,
    /// How long the body may make us wait for its next piece.
    idle: Duration,
    /// The token that was sent.
    pub(super) token: AccessToken,
    /// When the request was sent.
    pub(super) admitted: Admitted,
}

impl Reply {
    pub(super) fn new(
        call: Call,
        response: reqwest::Response,
        idle: Duration,
        token: AccessToken,
        admitted: Admitted,
    ) -> Self {
        Self { call, response, idle, token, admitted }
    }

    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// A header, if it is there and text.
    pub(super) fn header(&self, name: impl AsHeaderName) -> Option<&str> {
        self.headers().get(name)?.to_str().ok()
    }

    fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// The next piece of the body; `None` at its end. May be dropped and called again.
    pub(super) async fn chunk(&mut self) -> Attempt<Option<Bytes>> {
        let chunk = tokio::time::timeout(self.idle, self.response.chunk()).await;
        chunk.map_err(|_| silent(self.call))?.map_err(|error| broken(self.call, error))
    }

    /// The body of an answer in JSON.
    pub(super) async fn body(mut self) -> Attempt<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if body.len() + chunk.len() > MAX_JSON {
                return Err(nonsense(self.call, "it does not end").into());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// What an answer that is no success means; reads of the body what there is to read.
    pub(super) async fn failure(mut self) -> Failure {
        let mut body = Vec::new();
        while body.len() < MAX_ERROR
            && let Ok(Some(chunk)) = self.chunk().await
        {
            body.extend_from_slice(&chunk);
        }
        Failure::of_answer(self.call, self.status(), self.headers(), &body)
    }
}
