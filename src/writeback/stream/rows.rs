//! The table of streams: what was sent of which file before it was closed.

use rusqlite::{Connection, OptionalExtension, params};

use crate::clock;
use crate::remote::{FileId, Md5, UploadSession, Write};
use crate::tree::Ino;
use crate::tree::nodes::{from_sql, to_sql};

/// A session lives for a week.
const SESSION_MILLIS: i64 = 6 * 24 * 60 * 60 * 1000;

/// One row. INVARIANT: whatever the drive has of the session is the beginning of `sent` bytes with the checksum `md5`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// The item that it is sent for.
    pub(super) id: FileId,
    /// Whether that is a new one.
    pub(super) creates: bool,
    pub(super) session: UploadSession,
    /// Milliseconds since 1970.
    pub(super) started: i64,
    /// How many bytes were sent, or are about to be.
    pub(super) sent: u64,
    /// Of these bytes.
    pub(super) md5: Md5,
}

impl Row {
    /// Whether it is good for what is to be written.
    pub(super) fn is_for(&self, write: &Write) -> bool {
        let young = clock::now().millis() - self.started < SESSION_MILLIS;
        young && self.id == *write.id() && self.creates == matches!(write, Write::Create(_))
    }
}

/// The row of a file.
pub(super) fn get(db: &Connection, ino: Ino) -> rusqlite::Result<Option<Row>> {
    db.prepare_cached("SELECT id, creates, session, started, sent, md5 FROM stream WHERE ino = ?1")?
        .query_row([ino], |row| {
            Ok(Row {
                id: FileId(row.get(0)?),
                creates: row.get(1)?,
                session: UploadSession(row.get(2)?),
                started: row.get(3)?,
                sent: from_sql(row.get(4)?),
                md5: Md5(row.get(5)?),
            })
        })
        .optional()
}

/// Notes that a stream has begun.
pub(super) fn begin(db: &Connection, ino: Ino, row: &Row) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO stream (ino, id, creates, session, started, sent, md5)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![ino, row.id.0, row.creates, row.session.0, row.started, to_sql(row.sent), row.md5.0])
    .map(|_| ())
}

/// Notes that so many bytes, with this checksum, are about to have been sent.
pub(super) fn claim(db: &Connection, ino: Ino, sent: u64, md5: Md5) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE stream SET sent = ?2, md5 = ?3 WHERE ino = ?1")?
        .execute(params![ino, to_sql(sent), md5.0])
        .map(|_| ())
}

/// Notes that the session has another address.
pub(super) fn moved(db: &Connection, ino: Ino, session: &UploadSession) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE stream SET session = ?2 WHERE ino = ?1")?.execute(params![ino, session.0]).map(|_| ())
}

/// Forgets what was sent of a file.
pub(in crate::writeback) fn forget(db: &Connection, ino: Ino) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM stream WHERE ino = ?1")?.execute([ino]).map(|_| ())
}
