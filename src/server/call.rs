//! One call on the API: who makes it, its parameters, and the form of its answer.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, Path};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, header};
use serde_json::Value;

use super::caller::Caller;
use super::corpora;
use super::error::{ApiError, Result};
use super::fields::Mask;
use super::params::Params;
use super::schema::Resource;

/// JSON bodies. The largest fields are the text and the thumbnail that a client offers for the index.
const MAX_JSON_BYTES: usize = 4 * 1024 * 1024;

/// Declarations of the caller that must be booleans, whether the call has a use for them or not.
const FLAGS: [&str; 16] = [
    "acknowledgeAbuse",
    "allowItemDeletion",
    "enforceSingleParent",
    "ignoreDefaultVisibility",
    "includeCorpusRemovals",
    "includeItemsFromAllDrives",
    "includeTeamDriveItems",
    "keepRevisionForever",
    "prettyPrint",
    "removeExpiration",
    "restrictToMyDrive",
    "supportsAllDrives",
    "supportsTeamDrives",
    "transferOwnership",
    "useDomainAdminAccess",
    "useContentAsIndexableText",
];

/// How the request reached this server: set before it is routed.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    pub params: Params,
    /// Scheme and authority that the client used.
    pub origin: String,
}

/// A call by somebody who may make it. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Call(Arc<(Arrival, Caller)>);

impl<S: Send + Sync> FromRequestParts<S> for Call {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self> {
        let missing = || ApiError::internal("a call was routed without its arrival or its caller");
        let arrival = parts.extensions.remove::<Arrival>().ok_or_else(missing)?;
        let caller = parts.extensions.remove::<Caller>().ok_or_else(missing)?;
        for name in FLAGS {
            arrival.params.flag(name, false)?;
        }
        if !matches!(arrival.params.filled("alt"), None | Some("json" | "media")) {
            return Err(ApiError::invalid_parameter("alt", "This server answers in JSON, and with media."));
        }
        Ok(Self(Arc::new((arrival, caller))))
    }
}

/// The variable parts of a call's path.
#[derive(Debug, Clone)]
pub(crate) struct Named<T>(pub T);

impl<S, T> FromRequestParts<S> for Named<T>
where
    S: Send + Sync,
    T: serde::de::DeserializeOwned + Send,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        // What is not text is nobody's id.
        let path = Path::from_request_parts(parts, state).await.map_err(|_| ApiError::no_such_path())?;
        Ok(Self(path.0))
    }
}

impl Call {
    pub(crate) fn params(&self) -> &Params {
        &self.0.0.params
    }

    /// Whether the caller declares that it knows of shared drives. Who does not, does not find what is in them.
    pub(crate) fn supports_all_drives(&self) -> Result<bool> {
        corpora::supports_all_drives(self.params())
    }

    pub(crate) fn origin(&self) -> &str {
        &self.0.0.origin
    }

    pub(crate) fn caller(&self) -> &Caller {
        &self.0.1
    }

    /// What the caller wants to see of a resource.
    pub(crate) fn mask(&self, resource: &Resource) -> Result<Mask> {
        resource.mask(self.params().get("fields"))
    }

    /// Writes out an answer the way the caller likes it.
    pub(crate) fn json(&self, value: &Value) -> Json {
        Json::new(value, self.params().pretty())
    }
}

impl Resource {
    /// What a `fields` parameter (or its absence) selects.
    pub(crate) fn mask(&self, fields: Option<&str>) -> Result<Mask> {
        fields.map_or_else(|| Ok(self.default.clone()), |fields| Mask::parse(fields, &self.schema))
    }
}

/// A JSON answer, written out.
#[derive(Debug)]
pub(crate) struct Json(pub String);

impl Json {
    pub(crate) fn new(value: &Value, pretty: bool) -> Self {
        // Not by way of `Display`, which checks and copies every word once more: a quarter of the time of a long list.
        let text = if pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
        let mut text = text.unwrap_or_default();
        if pretty {
            text.push('\n');
        }
        Self(text)
    }
}

impl IntoResponse for Json {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.0));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"));
        let uncached = HeaderValue::from_static("no-cache, no-store, max-age=0, must-revalidate");
        headers.insert(header::CACHE_CONTROL, uncached);
        response
    }
}

/// The value of a header, if it is text.
pub(crate) fn header_text(headers: &HeaderMap, name: impl header::AsHeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// Receives the JSON body of a call, maybe an empty one.
pub(crate) async fn json_body(headers: &HeaderMap, body: Body) -> Result<Bytes> {
    let content_type = header_text(headers, header::CONTENT_TYPE).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let bytes = axum::body::to_bytes(body, MAX_JSON_BYTES).await.map_err(|_| ApiError::body_too_large())?;
    if !bytes.is_empty() && !media_type.is_empty() && !media_type.eq_ignore_ascii_case("application/json") {
        return Err(ApiError::unsupported_content(media_type));
    }
    Ok(bytes)
}
