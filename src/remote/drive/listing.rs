//! Pages: the children of a folder, and what changed on the drive.

use http::Method;

use super::client::{Client, parse};
use super::convert::{self, nonsense};
use super::errors::{Again, Failure};
use super::request::{CHANGES, CURSOR, LIST, Request};
use super::types::{self, ChangeList, FILE, FileList, StartPageToken};
use super::{items, query};
use crate::clock::Timestamp;
use crate::error::Kind;
use crate::remote::{Change, Changes, Cursor, FileId, Item, Page, PageToken, RemoteError, Result, TrashPage, Trashed};

/// The most that Drive gives at once. A page costs the same whatever its length.
const PAGE_SIZE: &str = "1000";

pub(super) async fn list(client: &Client, folders: &[FileId], page: Option<&PageToken>) -> Result<Page> {
    let FileList { files, next_page_token, .. } = search(client, &query::children_of(folders), FILE, page).await?;
    let items: Result<_> = files.into_iter().map(|file| convert::item(LIST, file)).collect();
    Ok(Page { items: items?, next: next_page_token.map(PageToken) })
}

pub(super) async fn trashed(client: &Client, page: Option<&PageToken>) -> Result<TrashPage> {
    let fields = format!("{FILE},trashedTime");
    let FileList { files, next_page_token, .. } = search(client, query::TRASHED, &fields, page).await?;
    let trashed = |file: types::File| {
        let itself = file.explicitly_trashed.unwrap_or(true);
        let since = file.trashed_time.as_deref().and_then(Timestamp::parse_rfc3339);
        Ok(Trashed { item: convert::item(LIST, file)?, itself, since })
    };
    let items: Result<_> = files.into_iter().map(trashed).collect();
    Ok(TrashPage { items: items?, next: next_page_token.map(PageToken) })
}

/// The items of a name in a folder.
pub(super) async fn named(client: &Client, folder: &FileId, name: &str) -> Result<Vec<Item>> {
    let query = query::named(folder, name);
    let (mut found, mut next) = (Vec::new(), None);
    loop {
        let FileList { files, next_page_token, .. } = search(client, &query, FILE, next.as_ref()).await?;
        let items: Result<Vec<Item>> = files.into_iter().map(|file| convert::item(LIST, file)).collect();
        // Drive compares names without regard to case.
        found.extend(items?.into_iter().filter(|item| item.name == name));
        match next_page_token.map(PageToken) {
            Some(page) if next.as_ref() != Some(&page) => next = Some(page),
            _ => return Ok(found),
        }
    }
}

/// One page of what a query finds, with these fields of each item.
async fn search(client: &Client, query: &str, fields: &str, page: Option<&PageToken>) -> Result<FileList> {
    let mut request = Request::new(LIST, Method::GET, client.addresses.of(&["files"]))
        .query("q", query)
        .query("pageSize", PAGE_SIZE)
        .query("fields", &format!("nextPageToken,incompleteSearch,files({fields})"))
        .query("includeItemsFromAllDrives", "true")
        .all_drives();
    if let Some(PageToken(token)) = page {
        request = request.query("pageToken", token);
    }
    let list = client.call(&request, |body| {
        let list: FileList = parse(LIST, body)?;
        if list.incomplete_search {
            // What is missing here may exist all the same, and whoever takes this for the whole would delete it.
            let error = RemoteError::new(Kind::Server, LIST.name, "the drive did not search everywhere");
            return Err(Failure::new(error, Again::Later));
        }
        Ok(list)
    });
    list.await
}

pub(super) async fn cursor(client: &Client, drive: Option<&FileId>) -> Result<Cursor> {
    let request = Request::new(CURSOR, Method::GET, client.addresses.of(&["changes", "startPageToken"]))
        .query("fields", "startPageToken")
        .of_drive(drive)
        .all_drives();
    let StartPageToken { start_page_token } = client.json(&request).await?;
    Ok(Cursor(start_page_token))
}

pub(super) async fn changes(client: &Client, drive: Option<&FileId>, cursor: &Cursor) -> Result<Changes> {
    let client = &client.for_feed();
    let fields = format!("nextPageToken,newStartPageToken,changes(changeType,removed,fileId,driveId,file({FILE}))");
    let request = Request::new(CHANGES, Method::GET, client.addresses.of(&["changes"]))
        .query("pageToken", &cursor.0)
        .query("pageSize", PAGE_SIZE)
        .query("includeRemoved", "true")
        .query("fields", &fields)
        .query("includeItemsFromAllDrives", "true")
        // What left this feed for another drive is told with what it is now, and not only as gone.
        .query("includeCorpusRemovals", "true")
        .of_drive(drive)
        .all_drives();
    let (list, at): (ChangeList, _) = client.dated_json(&request).await?;
    let (next, more) = match (list.next_page_token, list.new_start_page_token) {
        (Some(next), _) => (Cursor(next), true),
        (None, Some(next)) => (Cursor(next), false),
        (None, None) => return Err(nonsense(CHANGES, "the feed of changes does not say where it goes on")),
    };
    let mut changes = Vec::with_capacity(list.changes.len());
    for change in list.changes {
        changes.extend(self::change(client, change).await?);
    }
    Ok(Changes { changes, next, more, at })
}

/// `None` for what names nothing that could be looked at.
async fn change(client: &Client, change: types::Change) -> Result<Option<Change>> {
    if change.what.as_deref() == Some("drive") {
        return Ok(change.drive_id.map(|id| Change::Drive(FileId(id))));
    }
    // Also of what was removed: then it is there still, in another drive.
    if let Some(file) = change.file {
        return convert::item(CHANGES, file).map(Change::Present).map(Some);
    }
    let id = FileId(change.file_id.ok_or_else(|| nonsense(CHANGES, "a change names no item"))?);
    if change.removed {
        return Ok(Some(Change::Removed(id)));
    }
    // Neither there nor removed. It is not for us to guess which.
    match items::get(client, &id).await {
        Ok(item) => Ok(Some(Change::Present(item))),
        Err(error) if error.kind == Kind::NotFound => Ok(Some(Change::Removed(id))),
        Err(error) => Err(error),
    }
}
