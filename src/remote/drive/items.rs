//! Single items, the account, and fresh ids: the calls that are one request and its answer.

use http::Method;

use super::client::Client;
use super::convert::{self, nonsense};
use super::request::{ABOUT, CREATE, DELETE, GET, IDS, Request, UPDATE, item};
use super::types::{self, FILE, File, GeneratedIds, Metadata};
use crate::error::Kind;
use crate::remote::{About, FileId, IdsFor, Item, ItemKind, Move, NewItem, NewKind, Patch, Quota, RemoteError, Result};

/// The most that `files.generateIds` gives at once.
const MAX_IDS: usize = 1000;

pub(super) async fn about(client: &Client) -> Result<About> {
    let request = Request::new(ABOUT, Method::GET, client.addresses.of(&["about"]))
        .query("fields", "user(permissionId,emailAddress),storageQuota(limit,usage)");
    let about: types::About = client.json(&request).await?;
    Ok(About {
        account: about.user.permission_id,
        email: about.user.email_address.unwrap_or_default(),
        quota: Quota { limit: about.storage_quota.limit, used: about.storage_quota.usage.unwrap_or(0) },
    })
}

/// The true id behind the alias `root`: what is in it names its parent by that.
pub(super) async fn root(client: &Client) -> Result<FileId> {
    let request = Request::new(GET, Method::GET, client.addresses.of(&["files", "root"]));
    let request = request.query("fields", "id").all_drives();
    let file: File = client.json(&request).await?;
    file.id.map(FileId).ok_or_else(|| nonsense(GET, "the root has no id"))
}

pub(super) async fn get(client: &Client, id: &FileId) -> Result<Item> {
    client.item(&getting(client, id, FILE)?).await
}

/// The part of an item that tells which content it has now.
pub(super) async fn content(client: &Client, id: &FileId) -> Result<File> {
    client.json(&getting(client, id, "headRevisionId,md5Checksum,size,version")?).await
}

/// Where a document can be had in the format of this media type, however large it is.
pub(super) async fn export_link(client: &Client, id: &FileId, media_type: &str) -> Result<Option<String>> {
    let file: File = client.json(&getting(client, id, "exportLinks")?).await?;
    Ok(file.export_links.and_then(|mut links| links.remove(media_type)))
}

fn getting(client: &Client, id: &FileId, fields: &str) -> Result<Request> {
    let url = client.addresses.of(&["files", item(id)?]);
    Ok(Request::new(GET, Method::GET, url).query("fields", fields).all_drives())
}

pub(super) async fn reserve_ids(client: &Client, count: usize, what: IdsFor) -> Result<Vec<FileId>> {
    if !(1..=MAX_IDS).contains(&count) {
        return Err(RemoteError::new(Kind::Invalid, IDS.name, format!("{count} ids cannot be had at once")));
    }
    let request = Request::new(IDS, Method::GET, client.addresses.of(&["files", "generateIds"]))
        .query("count", &count.to_string())
        .query("space", "drive")
        .query("type", if what == IdsFor::Links { "shortcuts" } else { "files" })
        .query("fields", "ids");
    let GeneratedIds { ids } = client.json(&request).await?;
    if ids.len() < count {
        return Err(nonsense(IDS, format!("{} ids instead of {count}", ids.len())));
    }
    Ok(ids.into_iter().map(FileId).collect())
}

pub(super) async fn create_bare(client: &Client, new: &NewItem) -> Result<Item> {
    let kind = match new.kind {
        NewKind::Folder => ItemKind::Folder,
        NewKind::Special(special) => ItemKind::Special(special),
        NewKind::File | NewKind::Symlink | NewKind::Link(_) => {
            return Err(RemoteError::new(
                Kind::Invalid,
                CREATE.name,
                "files and links are created with what they hold",
            ));
        }
    };
    create(client, new, kind).await
}

pub(super) async fn create_link(client: &Client, new: &NewItem) -> Result<Item> {
    let NewKind::Link(to) = &new.kind else {
        return Err(RemoteError::new(Kind::Invalid, CREATE.name, "what has content is no further name"));
    };
    create(client, new, ItemKind::Shortcut { target: to.clone(), hard: true }).await
}

/// A lost answer makes the next attempt meet its own work: 409, and the item is there.
async fn create(client: &Client, new: &NewItem, kind: ItemKind) -> Result<Item> {
    let request = Request::new(CREATE, Method::POST, client.addresses.of(&["files"]))
        .query("fields", FILE)
        .all_drives()
        .json(&convert::creation(new))?;
    match client.item(&request).await {
        Err(error) if error.kind == Kind::Exists => {
            let item = get(client, &new.id).await?;
            if item.kind == kind { Ok(item) } else { Err(error) }
        }
        result => result,
    }
}

/// A move that got through before, its answer lost, may be refused the second time, for the item is not in the old folder
/// any more. So a refused move is looked at: if it is done, the rest of the patch is.
pub(super) async fn update(client: &Client, id: &FileId, patch: &Patch) -> Result<Item> {
    let metadata = convert::change(patch);
    let result = patch_item(client, id, &metadata, patch.parent.as_ref()).await;
    match (&result, &patch.parent) {
        (Err(error), Some(Move { to, .. }))
            if matches!(error.kind, Kind::Invalid | Kind::Denied | Kind::NotPermitted | Kind::NotFound) =>
        {
            match get(client, id).await {
                Ok(item) if item.parent.as_ref() == Some(to) => patch_item(client, id, &metadata, None).await,
                _ => result,
            }
        }
        _ => result,
    }
}

pub(super) async fn trash(client: &Client, id: &FileId) -> Result<Item> {
    patch_item(client, id, &Metadata { trashed: Some(true), ..Metadata::default() }, None).await
}

pub(super) async fn untrash(client: &Client, id: &FileId) -> Result<Item> {
    patch_item(client, id, &Metadata { trashed: Some(false), ..Metadata::default() }, None).await
}

async fn patch_item(client: &Client, id: &FileId, metadata: &Metadata<'_>, way: Option<&Move>) -> Result<Item> {
    let url = client.addresses.of(&["files", item(id)?]);
    let request = Request::new(UPDATE, Method::PATCH, url).query("fields", FILE).all_drives();
    client.item(&moved(request, way).json(metadata)?).await
}

/// Adds the move, if it is one: Drive allows one parent, so the old one goes in the same step.
pub(super) fn moved(request: Request, way: Option<&Move>) -> Request {
    match way {
        Some(Move { from, to }) if from != to => request.query("addParents", &to.0).query("removeParents", &from.0),
        _ => request,
    }
}

pub(super) async fn delete(client: &Client, id: &FileId) -> Result<()> {
    // What cannot be there is gone.
    let Ok(id) = item(id) else { return Ok(()) };
    let request = Request::new(DELETE, Method::DELETE, client.addresses.of(&["files", id])).all_drives();
    match client.call(&request, |_| Ok(())).await {
        Err(error) if error.kind == Kind::NotFound => Ok(()),
        result => result,
    }
}
