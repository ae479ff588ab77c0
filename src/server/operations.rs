//! Downloads as long-running operations: `files.download`, and `operations.get` for how they fare.
//!
//! Nothing here takes long: an operation is done when it begins, and leads to where the content can be had anyway. It is not
//! stored either. Its name says what was asked and until when it is good, and is signed; so one that was not given out by
//! this drive does not exist.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use rusqlite::types::Value;
use serde_json::json;

use super::call::{Call, Json, Named};
use super::drive::Drive;
use super::error::{ApiError, Result};
use super::export::{self, formats::formats};
use super::items::may_take;
use super::media_type::Kind;
use super::order::Position;
use super::render::{DOCUMENT_REVISION, select};
use super::store::contents;
use super::{page, schema};
use crate::clock;

/// As the service documents it.
const LIFE: Duration = Duration::from_hours(24);
/// What the names of operations are signed for.
const QUESTION: &str = "operation";

/// What is to be downloaded.
#[derive(Debug)]
struct Wanted {
    id: String,
    mime_type: Option<String>,
    revision: Option<String>,
    /// When the operation is forgotten, in milliseconds since 1970.
    until: i64,
}

/// `POST …/files/{id}/download`
pub(crate) async fn begin(State(drive): State<Arc<Drive>>, Named(id): Named<String>, call: Call) -> Result<Json> {
    let param = |name: &str| call.params().filled(name).map(str::to_owned);
    let life = i64::try_from(LIFE.as_millis()).unwrap_or(i64::MAX);
    let wanted = Wanted {
        id: call.caller().resolve(&id)?.to_owned(),
        mime_type: param("mimeType"),
        revision: param("revisionId"),
        until: clock::now().millis().saturating_add(life),
    };
    show(&drive, call, wanted).await
}

/// `GET …/operations/{name}`
pub(crate) async fn get(State(drive): State<Arc<Drive>>, Named(name): Named<String>, call: Call) -> Result<Json> {
    let wanted =
        Wanted::read(&drive.store.identity().secret, &name).filter(|wanted| clock::now().millis() < wanted.until);
    show(&drive, call, wanted.ok_or_else(|| ApiError::operation_not_found(&name))?).await
}

async fn show(drive: &Drive, call: Call, wanted: Wanted) -> Result<Json> {
    let mask = call.mask(&schema::OPERATION)?;
    let name = wanted.name(&drive.store.identity().secret);
    let (uri, is_partial) = address(drive, &call, wanted).await?;
    let typed = |name: &str| format!("type.googleapis.com/google.apps.drive.v3.{name}");
    let operation = json!({
        "name": name,
        "done": true,
        "metadata": { "@type": typed("DownloadFileMetadata") },
        "response": {
            "@type": typed("DownloadFileResponse"),
            "downloadUri": uri,
            "partialDownloadAllowed": is_partial,
        },
    });
    Ok(call.json(&select(&mask, operation)))
}

/// Where the content is, and whether ranges of it can be had.
async fn address(drive: &Drive, call: &Call, wanted: Wanted) -> Result<(String, bool)> {
    let origin = call.origin().to_owned();
    let address = drive.look(call.clone(), move |access| {
        let Wanted { id, mime_type, revision, .. } = wanted;
        let (item, role) = access.find(&id)?;
        if !may_take(&item, role) {
            return Err(ApiError::cannot_download());
        }
        match Kind::of(&item.mime_type) {
            Kind::Folder | Kind::Shortcut => Err(ApiError::not_downloadable()),
            Kind::File if mime_type.is_some() => {
                Err(ApiError::invalid_parameter("mimeType", "Only documents can be had in other formats."))
            }
            Kind::File => {
                let of_drives = if item.drive.is_some() { "&supportsAllDrives=true" } else { "" };
                let revision = match revision {
                    Some(name) => format!("/revisions/{}", contents::get(access.db, item.no, &name)?.id),
                    None => String::new(),
                };
                Ok((format!("{origin}/drive/v3/files/{id}{revision}?alt=media{of_drives}"), true))
            }
            Kind::Document => {
                if let Some(revision) = revision.filter(|revision| revision != DOCUMENT_REVISION) {
                    return Err(ApiError::revision_not_found(&revision));
                }
                let usual = || formats(&item.mime_type).first().map(|format| format.mime_type.to_owned());
                let mime_type = mime_type.or_else(usual).ok_or_else(ApiError::not_exportable)?;
                let format = export::format(&item.mime_type, &mime_type)?;
                Ok((export::link(&origin, &id, format.mime_type), false))
            }
        }
    });
    address.await
}

impl Wanted {
    fn name(&self, secret: &str) -> String {
        let text = |text: &Option<String>| Value::Text(text.clone().unwrap_or_default());
        let keys = vec![Value::Text(self.id.clone()), text(&self.mime_type), text(&self.revision)];
        page::token(secret, QUESTION, &Position { keys, no: self.until })
    }

    fn read(secret: &str, name: &str) -> Option<Self> {
        let Position { keys, no } = page::position(secret, QUESTION, name).ok()?;
        let texts: Vec<_> =
            keys.into_iter().filter_map(|key| if let Value::Text(text) = key { Some(text) } else { None }).collect();
        let [id, mime_type, revision] = <[String; 3]>::try_from(texts).ok()?;
        let given = |text: String| (!text.is_empty()).then_some(text);
        Some(Self { id, mime_type: given(mime_type), revision: given(revision), until: no })
    }
}
