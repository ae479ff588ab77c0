//! Revisions, and the names of the files that hold their bytes.

use rusqlite::{Connection, OptionalExtension, params};

use crate::clock::Timestamp;

use super::super::blobs::Content;
use super::super::error::{ApiError, Result};
use super::super::ids;
use super::super::item::Revision;
use super::Edit;
use super::rows::{revision, signed};

/// Revisions of a file that are remembered beside the current one and those kept for ever. The real service promises no
/// more than this many either.
const REMEMBERED: i64 = 100;

/// What is to be known of a new revision beside its bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About<'a> {
    pub mime_type: &'a str,
    pub original_filename: &'a str,
    pub modified: Timestamp,
    pub keep_forever: bool,
}

/// Makes `content` the current content of an item. The bytes of the one before are let go, unless kept for ever.
pub(crate) fn add(edit: &Edit<'_>, item: i64, content: &Content, about: About<'_>) -> Result<()> {
    let db = edit.db;
    let sql = "INSERT INTO revisions (id, item, blob, size, md5, sha1, sha256, mime_type, original_filename, modified,
                                      keep_forever)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    db.prepare_cached(sql)?.execute(params![
        ids::revision(),
        item,
        content.blob,
        signed(content.size),
        content.md5,
        content.sha1,
        content.sha256,
        about.mime_type,
        about.original_filename,
        about.modified.millis(),
        about.keep_forever,
    ])?;
    let head = db.last_insert_rowid();
    let sql = "UPDATE revisions SET blob = NULL WHERE item = ? AND no <> ? AND keep_forever = 0 AND blob IS NOT NULL";
    db.prepare_cached(sql)?.execute([item, head])?;
    let sql = "DELETE FROM revisions WHERE no = (SELECT no FROM revisions WHERE item = ?1 AND keep_forever = 0
                                                 ORDER BY no DESC LIMIT 1 OFFSET ?2)";
    db.prepare_cached(sql)?.execute([item, REMEMBERED + 1])?;
    db.prepare_cached("UPDATE items SET head = ? WHERE no = ?")?.execute([head, item])?;
    count(edit, item)
}

/// Counts the bytes of an item that count against the quota: those of the current content and of what is kept for ever.
fn count(edit: &Edit<'_>, item: i64) -> Result<()> {
    let sql = "UPDATE items SET quota_bytes = (SELECT coalesce(sum(size), 0) FROM revisions
                                               WHERE item = items.no AND (no = items.head OR keep_forever = 1))
               WHERE no = ?";
    edit.db.prepare_cached(sql)?.execute([item])?;
    Ok(())
}

/// Keeps a content for ever.
pub(crate) fn keep(edit: &Edit<'_>, item: i64, id: &str) -> Result<()> {
    let sql = "UPDATE revisions SET keep_forever = 1 WHERE item = ? AND id = ?";
    edit.db.prepare_cached(sql)?.execute(params![item, id])?;
    count(edit, item)
}

/// How many contents of an item are kept for ever.
pub(crate) fn kept(db: &Connection, item: i64) -> Result<i64> {
    let sql = "SELECT count(*) FROM revisions WHERE item = ? AND keep_forever = 1";
    Ok(db.prepare_cached(sql)?.query_row([item], |row| row.get(0))?)
}

/// Forgets a content that is not the current one, and lets its bytes go.
pub(crate) fn remove(edit: &Edit<'_>, item: i64, id: &str) -> Result<()> {
    let sql = "DELETE FROM revisions WHERE item = ? AND id = ?";
    edit.db.prepare_cached(sql)?.execute(params![item, id])?;
    count(edit, item)
}

/// Changes what the current content of an item was called where it came from.
pub(crate) fn set_original_filename(edit: &Edit<'_>, item: i64, name: &str) -> Result<()> {
    let sql = "UPDATE revisions SET original_filename = ? WHERE no = (SELECT head FROM items WHERE no = ?)";
    edit.db.prepare_cached(sql)?.execute(params![name, item])?;
    Ok(())
}

/// Columns of a [`Revision`] after its id.
const REVISION: &str = "blob, size, md5, sha1, sha256, mime_type, original_filename, modified, keep_forever";

/// The current content of an item; `None` if it has none.
pub(crate) fn head(db: &Connection, item: i64) -> Result<Option<Revision>> {
    let sql = format!("SELECT id, {REVISION} FROM revisions WHERE no = (SELECT head FROM items WHERE no = ?)");
    let found = db.prepare_cached(&sql)?.query_row([item], |row| revision(row, row.get(0)?, 1)).optional()?;
    Ok(found)
}

/// The condition that the bytes of a revision are still there.
const HAS_BYTES: &str = "(blob IS NOT NULL OR size = 0)";

/// A certain content of an item, if its bytes are still there.
pub(crate) fn get(db: &Connection, item: i64, id: &str) -> Result<Revision> {
    let sql = format!("SELECT id, {REVISION} FROM revisions WHERE item = ? AND id = ? AND {HAS_BYTES}");
    let found =
        db.prepare_cached(&sql)?.query_row(params![item, id], |row| revision(row, row.get(0)?, 1)).optional()?;
    found.ok_or_else(|| ApiError::revision_not_found(id))
}

/// At most `limit` contents of an item whose bytes are still there, oldest first, after the one numbered `after`; each with
/// its number.
pub(crate) fn page(db: &Connection, item: i64, after: i64, limit: i64) -> Result<Vec<(i64, Revision)>> {
    let sql = format!(
        "SELECT no, id, {REVISION} FROM revisions WHERE item = ? AND no > ? AND {HAS_BYTES} ORDER BY no LIMIT ?"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map([item, after, limit], |row| Ok((row.get(0)?, revision(row, row.get(1)?, 2)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Names a file that is about to be written.
pub(crate) fn draft(edit: &Edit<'_>, blob: &str) -> Result<()> {
    edit.db.prepare_cached("INSERT INTO drafts VALUES (?)")?.execute([blob])?;
    Ok(())
}

/// A draft came to nothing: its file is to be unlinked. Does nothing if it became a revision after all.
pub(crate) fn abandon(edit: &Edit<'_>, blob: &str) -> Result<()> {
    if edit.db.prepare_cached("DELETE FROM drafts WHERE blob = ?")?.execute([blob])? == 1 {
        edit.db.prepare_cached("INSERT INTO doomed VALUES (?)")?.execute([blob])?;
    }
    Ok(())
}

/// Whether there are files to be unlinked.
pub(crate) fn has_doomed(db: &Connection) -> Result<bool> {
    Ok(db.prepare_cached("SELECT 1 FROM doomed LIMIT 1")?.exists([])?)
}

/// Some of the files to be unlinked.
pub(crate) fn doomed(db: &Connection, limit: i64) -> Result<Vec<String>> {
    let mut statement = db.prepare_cached("SELECT blob FROM doomed LIMIT ?")?;
    let names = statement.query_map([limit], |row| row.get(0))?;
    Ok(names.collect::<rusqlite::Result<_>>()?)
}

/// They are unlinked.
pub(crate) fn forget_doomed(edit: &Edit<'_>, blobs: &[String]) -> Result<()> {
    let mut statement = edit.db.prepare_cached("DELETE FROM doomed WHERE blob = ?")?;
    for blob in blobs {
        statement.execute([blob])?;
    }
    Ok(())
}
