//! What this program keeps on the drive for itself: the folder `appDataFolder`, which people do not see, and which goes when they
//! take the program's access away. It takes the scope `drive.appdata`.

use http::Method;

use super::client::{Client, parse};
use super::convert::{self, nonsense};
use super::query;
use super::request::{IDS, LIST, Request};
use super::types::{FILE, FileList, GeneratedIds};
use crate::remote::{FileId, Item, Result};

/// The name by which the folder can be addressed.
const FOLDER: &str = "appDataFolder";

/// Files of a name, the last modified first.
pub(super) async fn named(client: &Client, name: &str) -> Result<Vec<Item>> {
    let request = Request::new(LIST, Method::GET, client.addresses.of(&["files"]))
        .query("spaces", FOLDER)
        .query("q", &query::of_name(name))
        .query("pageSize", "100")
        .query("fields", &format!("files({FILE})"));
    let list: FileList = client.call(&request, |body| Ok(parse(LIST, body)?)).await?;
    let items: Result<Vec<Item>> = list.files.into_iter().map(|file| convert::item(LIST, file)).collect();
    let mut items = items?;
    items.retain(|item| item.name == name && !item.trashed);
    items.sort_by_key(|item| std::cmp::Reverse(item.modified));
    Ok(items)
}

/// A fresh id, and the folder that it goes into.
pub(super) async fn reserve(client: &Client) -> Result<(FileId, FileId)> {
    let request = Request::new(IDS, Method::GET, client.addresses.of(&["files", "generateIds"]))
        .query("count", "1")
        .query("space", FOLDER)
        .query("type", "files")
        .query("fields", "ids");
    let GeneratedIds { ids } = client.json(&request).await?;
    let id = ids.into_iter().next().ok_or_else(|| nonsense(IDS, "no id"))?;
    Ok((FileId(id), FileId(FOLDER.to_owned())))
}
