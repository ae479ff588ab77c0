//! What happens to one request: around the router, where its bodies and its connection can be reached.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use http::Request;

use super::super::auth;
use super::super::call::Arrival;
use super::super::error::ApiError;
use super::super::meter::Meter;
use super::super::methods;
use super::stream::Rough;
use super::withhold::withhold;
use super::{Fate, Orders, Trouble, Verdict};
use crate::clock::Instant;

/// A request whose answer is made up as a success is received for this long.
const MAX_REST_TIME: Duration = Duration::from_secs(10);

/// The connection is to be closed without an answer.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the connection was cut, as the script of trouble asks")]
pub(crate) struct Severed;

/// What looks at every request: trouble, and the meter if somebody can read it.
#[derive(Debug)]
pub(crate) struct Watch {
    pub trouble: Arc<Trouble>,
    pub meter: Option<Arc<Meter>>,
}

impl Watch {
    /// Lets a request pass to `next`, with what is to happen to it.
    pub(crate) async fn pass<F, A>(&self, request: Request<Body>, next: F) -> Result<Response, Severed>
    where
        F: FnOnce(Request<Body>) -> A,
        A: Future<Output = Response>,
    {
        // Who makes the trouble does not meet it.
        if request.uri().path().starts_with("/admin/") {
            return Ok(next(request).await);
        }
        let params = request.extensions().get::<Arrival>().map(|arrival| &arrival.params);
        let method = methods::name(request.method(), request.uri().path(), params);
        let token = auth::shown(request.headers(), params);
        let verdict = self.trouble.decide(method, methods::units(method), token, Instant::now());
        let tally = self.meter.as_ref().map(|meter| meter.begin(method, &request));
        let request = match &tally {
            Some(tally) => tally.asked(request),
            None => request,
        };
        let response = match verdict {
            Some(verdict) => verdict.carry_out(request, next).await?,
            None => next(request).await,
        };
        Ok(match tally {
            Some(tally) => tally.answered(response),
            None => response,
        })
    }
}

impl Verdict {
    async fn carry_out<F, A>(self, mut request: Request<Body>, next: F) -> Result<Response, Severed>
    where
        F: FnOnce(Request<Body>) -> A,
        A: Future<Output = Response>,
    {
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        if self.orders != Orders::default() {
            request.extensions_mut().insert(self.orders);
        }
        let (cut_request, cut_answer) = match self.fate {
            Fate::CutRequest(bytes) => (Some(bytes), None),
            Fate::CutAnswer(bytes) => (None, Some(bytes)),
            _ => (None, None),
        };
        let is_cut = Arc::new(AtomicBool::new(false));
        if self.up.is_some() || cut_request.is_some() {
            let is_cut = is_cut.clone();
            request = request.map(|body| Body::new(Rough::new(body, self.up, cut_request, is_cut)));
        }
        let response = match self.fate {
            Fate::Unauthenticated => ApiError::unauthenticated().into_response(),
            Fate::Answered(answer) if answer.is_done => {
                next(request).await;
                answer.response()
            }
            Fate::Answered(answer) => {
                if answer.status.is_success() {
                    // As if it had been done: received to its end.
                    let rest = request.into_body().into_data_stream().for_each(|_| std::future::ready(()));
                    let _ = tokio::time::timeout(MAX_REST_TIME, rest).await;
                }
                answer.response()
            }
            Fate::Unanswered => {
                next(request).await;
                return Err(Severed);
            }
            Fate::Served | Fate::CutRequest(_) | Fate::CutAnswer(_) => {
                let response = next(request).await;
                if self.withheld.is_empty() { response } else { withhold(response, &self.withheld).await }
            }
        };
        if is_cut.load(Ordering::Acquire) {
            return Err(Severed);
        }
        if self.down.is_none() && cut_answer.is_none() {
            return Ok(response);
        }
        Ok(response.map(|body| Body::new(Rough::new(body, self.down, cut_answer, Arc::default()))))
    }
}
