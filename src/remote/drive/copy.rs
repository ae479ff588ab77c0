//! Content that the drive copies by itself: `files.copy`.

use http::Method;

use super::client::Client;
use super::convert;
use super::items;
use super::request::{COPY, Request, item};
use super::types::FILE;
use crate::error::Kind;
use crate::remote::{Item, ItemKind, NewItem, NewKind, RemoteError, Result, Source};

/// A lost answer makes the next attempt meet its own work: 409, and the copy is there.
pub(super) async fn copy(client: &Client, source: &Source, new: &NewItem) -> Result<Item> {
    if new.kind != NewKind::File {
        return Err(RemoteError::new(Kind::Invalid, COPY.name, "only files are copied"));
    }
    let url = client.addresses.of(&["files", item(&source.id)?, "copy"]);
    let request =
        Request::new(COPY, Method::POST, url).query("fields", FILE).all_drives().json(&convert::copying(new))?;
    match client.item(&request).await {
        Err(error) if error.kind == Kind::Exists => {
            let item = items::get(client, &new.id).await?;
            let holds = |there: &crate::remote::Blob| {
                there.size == source.blob.size && there.md5.is_some() && there.md5 == source.blob.md5
            };
            if matches!(&item.kind, ItemKind::File(there) if holds(there)) { Ok(item) } else { Err(error) }
        }
        result => result,
    }
}
