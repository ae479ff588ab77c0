//! Many calls in one request: `multipart/mixed`, each part an HTTP request of its own.
//!
//! Every part goes through the same router as a request that came alone, the check of the token included, so that no rule is
//! written twice and a batch can do nothing that its calls could not. They run one after the other, and each answer is sent
//! before the next call begins: a batch takes the memory of what was asked (bounded) and of one answer.

mod parts;

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use super::call::{Arrival, header_text};
use super::error::{ApiError, Result};
use super::ids;
use super::meter::Meter;
use super::methods;
use super::params::Params;
use super::upload;
use parts::{Inner, Part};

/// Calls of a batch that are made. The rest of them are refused, each by itself.
const MAX_CALLS: usize = 100;
/// A whole batch.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// Headers of the batch that say nothing of its calls, beside those that begin with `content-`.
const OF_THE_BATCH_ALONE: [&str; 8] =
    ["connection", "expect", "host", "keep-alive", "te", "transfer-encoding", "upgrade", "x-http-method-override"];

/// Where the calls of a batch go, and what counts them.
#[derive(Debug, Clone)]
pub(crate) struct Calls {
    router: TowerToHyperService<Router>,
    meter: Option<Arc<Meter>>,
}

impl Calls {
    pub(crate) fn new(router: Router, meter: Option<Arc<Meter>>) -> Self {
        Self { router: TowerToHyperService::new(router), meter }
    }

    /// Makes a call, as a task: a handler that panics fails its own call only.
    async fn make(&self, request: http::Request<Body>) -> Response {
        // A batch saves the way there and back, not the price of its calls.
        let tally = self.meter.as_ref().map(|meter| {
            let params = request.extensions().get::<Arrival>().map(|arrival| &arrival.params);
            meter.begin(methods::name(request.method(), request.uri().path(), params), &request)
        });
        let request = match &tally {
            Some(tally) => tally.asked(request),
            None => request,
        };
        let answer = tokio::spawn(self.router.call(request)).await;
        let response = match answer {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(error) => ApiError::from(error).into_response(),
        };
        match tally {
            Some(tally) => tally.answered(response),
            None => response,
        }
    }
}

/// What a batch says for all its calls.
#[derive(Debug)]
struct Outer {
    headers: HeaderMap,
    arrival: Arrival,
}

/// `POST /batch/drive/v3`, `POST /batch`
pub(crate) async fn run(State(calls): State<Calls>, request: Request) -> Result<Response> {
    let (mut head, body) = request.into_parts();
    let content_type = header_text(&head.headers, header::CONTENT_TYPE).unwrap_or_default();
    let is_mixed = content_type.trim_start().to_ascii_lowercase().starts_with("multipart/mixed");
    let boundary = upload::boundary(content_type).filter(|_| is_mixed);
    let boundary = boundary
        .ok_or_else(|| ApiError::bad_request("A batch needs Content-Type: multipart/mixed with a boundary."))?;
    let arrival = head.extensions.remove::<Arrival>();
    let arrival = arrival.ok_or_else(|| ApiError::internal("a batch was routed without its arrival"))?;
    let body = to_bytes(body, MAX_BYTES).await.map_err(|_| ApiError::body_too_large())?;
    let parts = parts::parse(&body, &boundary)?;

    let headers = head.headers.iter().filter(|(name, _)| is_for_calls(name));
    let headers = headers.map(|(name, value)| (name.clone(), value.clone())).collect();
    let outer = Arc::new(Outer { headers, arrival });
    let cut = format!("batch_{}", ids::secret());
    let closing = Bytes::from(format!("--{cut}--\r\n"));
    let content_type = format!("multipart/mixed; boundary={cut}");
    let answers = stream::iter(parts.into_iter().enumerate()).then(move |(index, part)| {
        let (calls, outer, cut) = (calls.clone(), outer.clone(), cut.clone());
        async move {
            let Part { content_id, call } = part;
            let answer = match call {
                _ if index >= MAX_CALLS => Err(ApiError::too_many_calls()),
                Ok(call) => outer.answer(&calls, call).await,
                Err(error) => Err(error),
            };
            Ok::<_, Infallible>(written(&cut, content_id.as_ref(), answer.into_response()).await)
        }
    });
    let body = Body::from_stream(answers.chain(stream::once(async { Ok(closing) })));
    let content_type = HeaderValue::try_from(content_type).map_err(ApiError::internal)?;
    Ok(([(header::CONTENT_TYPE, content_type)], body).into_response())
}

fn is_for_calls(name: &HeaderName) -> bool {
    !name.as_str().starts_with("content-") && !OF_THE_BATCH_ALONE.contains(&name.as_str())
}

impl Outer {
    async fn answer(&self, calls: &Calls, call: Inner) -> Result<Response> {
        let Inner { method, target, headers, body } = call;
        let segments: Vec<&str> = target.path().split('/').skip(1).collect();
        let is_file = matches!(segments[..], ["drive", "v3", "files", _] | ["drive", "v3", "files", _, "revisions", _]);
        let is_export = matches!(segments[..], ["drive", "v3", "files", _, "export"] | ["document", "d", _, "export"]);
        if segments.first() == Some(&"upload") || is_export {
            return Err(ApiError::bad_request("Media uploads and exports cannot be part of a batch."));
        }
        let mut params = self.arrival.params.clone();
        params.extend(Params::parse(target.query().unwrap_or_default()));
        let is_media = method == Method::GET && is_file && params.get("alt") == Some("media");
        if is_media {
            // Whether there is such a thing, and the caller may see it, is found out now; its bytes are elsewhere.
            params.extend(Params::parse("alt=json&fields=kind"));
        }
        let arrival = Arrival { params, ..self.arrival.clone() };
        let location = format!("{}{target}", arrival.origin);

        let mut request = http::Request::new(Body::from(body));
        *request.method_mut() = method;
        *request.uri_mut() = target.into();
        *request.headers_mut() = self.headers.clone();
        // The first value of a name takes the place of what the batch said; more of the same name are added.
        for name in headers.keys() {
            request.headers_mut().remove(name);
            for value in headers.get_all(name) {
                request.headers_mut().append(name.clone(), value.clone());
            }
        }
        // What a part says of its length is often wrong, and its end is known without.
        for name in [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::HOST] {
            request.headers_mut().remove(name);
        }
        request.extensions_mut().insert(arrival);
        let answer = calls.make(request).await;
        if is_media && answer.status().is_success() {
            let location = HeaderValue::try_from(location).map_err(ApiError::internal)?;
            return Ok((StatusCode::FOUND, [(header::LOCATION, location)]).into_response());
        }
        Ok(answer)
    }
}

/// An answer as a part of the whole.
async fn written(cut: &str, content_id: Option<&HeaderValue>, answer: Response) -> Bytes {
    let (head, body) = answer.into_parts();
    // All answers but media are in memory already.
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let mut part = format!("--{cut}\r\nContent-Type: application/http\r\n").into_bytes();
    if let Some(id) = content_id {
        part.extend_from_slice(b"Content-ID: ");
        match id.as_bytes().strip_prefix(b"<") {
            Some(rest) => part.extend_from_slice(&[b"<response-", rest].concat()),
            None => part.extend_from_slice(&[b"response-", id.as_bytes()].concat()),
        }
        part.extend_from_slice(b"\r\n");
    }
    part.extend_from_slice(b"\r\n");
    let reason = head.status.canonical_reason().unwrap_or_default();
    part.extend_from_slice(format!("HTTP/1.1 {} {reason}\r\n", head.status.as_u16()).as_bytes());
    for (name, value) in head.headers.iter().filter(|(name, _)| *name != header::CONTENT_LENGTH) {
        part.extend_from_slice(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    // Of nothing, too: the official client takes an answer without any header for a broken one.
    part.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
    part.extend_from_slice(b"\r\n");
    part.extend_from_slice(&body);
    part.extend_from_slice(b"\r\n");
    part.into()
}
