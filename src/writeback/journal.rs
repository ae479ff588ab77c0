//! The rows of the journal: which entries have something to send, and how far that is.
//!
//! Nothing but SQL and its translation, within transactions of the caller's. What exactly is to be sent is not stored: it is
//! the difference between a node and its base, taken when it is sent. So changes coalesce by themselves: an entry that was
//! created and removed costs nothing, ten saves of a file upload the last, a chain of renames is one.

use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::remote::{FileId, IdsFor, Md5, UploadSession};
use crate::state::{State, StateError};
use crate::tree::Ino;
use crate::tree::nodes::{from_sql, to_sql};

/// Number of a change; grows over the whole journal and over restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Seq(pub u64);

/// Gives out the numbers of changes.
#[derive(Debug)]
pub(super) struct Seqs(AtomicU64);

impl Seqs {
    /// Goes on where the journal stands.
    pub(super) fn open(state: &State) -> Result<Self, StateError> {
        let last: i64 = state.read(|db| {
            db.query_row(
                "SELECT max(coalesce((SELECT max(seq) FROM journal), 0), coalesce((SELECT max(seq) FROM staging), 0))",
                [],
                |row| row.get(0),
            )
        })?;
        Ok(Self(AtomicU64::new(from_sql(last) + 1)))
    }

    /// The next.
    pub(super) fn next(&self) -> Seq {
        Seq(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// What becomes of an entry that was removed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gone {
    /// It is still there.
    No,
    /// To the trash of the drive.
    Trash,
    /// For good.
    Delete,
    /// For good, and never by way of the trash: it was no more than a step on the way to something else.
    Temporary,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) ino: Ino,
    /// The last change here.
    pub(super) seq: Seq,
    /// The drive has everything up to this.
    pub(super) acked: Seq,
    pub(super) gone: Gone,
    /// Created and not closed yet.
    pub(super) unclosed: bool,
    /// The sealed content to upload.
    pub(super) content: Option<Seq>,
    /// How often sending failed in a row.
    pub(super) attempts: u32,
    /// Why it failed last.
    pub(super) error: Option<String>,
}

impl Entry {
    /// As it is sent with the content that was sealed at `seq`. That may be later than the row says: it was sealed between the
    /// look at the row and the look at what is sealed.
    pub(super) fn with_content(&self, seq: Seq) -> Self {
        Self { content: self.content.max(Some(seq)), ..self.clone() }
    }
}

const COLUMNS: &str = "ino, seq, acked, gone, unclosed, content, attempts, error";

fn seq(value: i64) -> Seq {
    Seq(from_sql(value))
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        ino: row.get(0)?,
        seq: seq(row.get(1)?),
        acked: seq(row.get(2)?),
        gone: match row.get(3)? {
            0_i64 => Gone::No,
            1 => Gone::Trash,
            2 => Gone::Delete,
            _ => Gone::Temporary,
        },
        unclosed: row.get(4)?,
        content: row.get::<_, Option<i64>>(5)?.map(seq),
        attempts: row.get(6)?,
        error: row.get(7)?,
    })
}

/// The row of an entry.
pub(super) fn get(db: &Connection, ino: Ino) -> rusqlite::Result<Option<Entry>> {
    db.prepare_cached(&format!("SELECT {COLUMNS} FROM journal WHERE ino = ?1"))?.query_row([ino], entry).optional()
}

/// All rows, oldest change first.
pub(super) fn all(db: &Connection) -> rusqlite::Result<Vec<Entry>> {
    db.prepare_cached(&format!("SELECT {COLUMNS} FROM journal ORDER BY seq"))?.query_map([], entry)?.collect()
}

/// Notes a change of an entry.
pub(super) fn touch(db: &Connection, ino: Ino, seq: Seq) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO journal (ino, seq, acked, gone, unclosed) VALUES (?1, ?2, 0, 0, 0)
         ON CONFLICT (ino) DO UPDATE SET seq = excluded.seq",
    )?
    .execute(params![ino, to_sql(seq.0)])
    .map(|_| ())
}

/// Notes that an entry was created and is being written.
pub(super) fn touch_unclosed(db: &Connection, ino: Ino, seq: Seq) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO journal (ino, seq, acked, gone, unclosed) VALUES (?1, ?2, 0, 0, 1)
         ON CONFLICT (ino) DO UPDATE SET seq = excluded.seq, unclosed = 1",
    )?
    .execute(params![ino, to_sql(seq.0)])
    .map(|_| ())
}

/// Notes that an entry has sealed content to upload.
pub(super) fn touch_content(db: &Connection, ino: Ino, seq: Seq) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO journal (ino, seq, acked, gone, unclosed, content) VALUES (?1, ?2, 0, 0, 0, ?2)
         ON CONFLICT (ino) DO UPDATE SET seq = excluded.seq, content = excluded.seq, unclosed = 0",
    )?
    .execute(params![ino, to_sql(seq.0)])
    .map(|_| ())
}

/// Notes that an entry was removed.
pub(super) fn touch_gone(db: &Connection, ino: Ino, seq: Seq, gone: Gone) -> rusqlite::Result<()> {
    touch(db, ino, seq)?;
    let gone = match gone {
        Gone::No => 0,
        Gone::Trash => 1,
        Gone::Delete => 2,
        Gone::Temporary => 3,
    };
    db.prepare_cached("UPDATE journal SET gone = ?2, content = NULL, unclosed = 0 WHERE ino = ?1")?
        .execute(params![ino, gone])
        .map(|_| ())
}

/// Notes that the drive has what `sent` describes; `settled` if nothing is left to send. Says whether the row is gone.
pub(super) fn acknowledge(db: &Connection, sent: &Entry, settled: bool) -> rusqlite::Result<bool> {
    if settled {
        let gone = db
            .prepare_cached("DELETE FROM journal WHERE ino = ?1 AND seq = ?2")?
            .execute(params![sent.ino, to_sql(sent.seq.0)])?;
        if gone > 0 {
            return Ok(true);
        }
    }
    db.prepare_cached(
        "UPDATE journal SET acked = max(acked, ?2), attempts = 0, error = NULL,
                            content = CASE WHEN content <= ?3 THEN NULL ELSE content END
         WHERE ino = ?1",
    )?
    .execute(params![sent.ino, to_sql(sent.seq.0), sent.content.map_or(-1, |content| to_sql(content.0))])?;
    Ok(false)
}

/// Notes that there is no content to upload after all.
pub(super) fn forget_content(db: &Connection, ino: Ino) -> rusqlite::Result<()> {
    end_upload(db, ino)?;
    db.prepare_cached("UPDATE journal SET content = NULL WHERE ino = ?1")?.execute([ino]).map(|_| ())
}

/// Notes that sending failed.
pub(super) fn fail(db: &Connection, ino: Ino, error: &str) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE journal SET attempts = attempts + 1, error = ?2 WHERE ino = ?1")?
        .execute(params![ino, error])
        .map(|_| ())
}

/// Takes a row away.
pub(super) fn delete(db: &Connection, ino: Ino) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM journal WHERE ino = ?1")?.execute([ino])?;
    super::stream::forget(db, ino)?;
    end_upload(db, ino)
}

/// How many unanswered uploads of an entry are known: a request that was cut off may still arrive, but not for ever.
const UPLOADS_KEPT: u32 = 16;

/// An upload that was begun and has no answer yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Upload {
    /// The sealed content that is sent.
    pub(super) seq: Seq,
    pub(super) size: u64,
    /// Of that content, once it is known.
    pub(super) md5: Option<Md5>,
    /// Where to go on, for a resumable upload.
    pub(super) session: Option<UploadSession>,
    /// Milliseconds since 1970.
    pub(super) started: i64,
    /// It was of another file, whose identity the entry took over: its content is not an older state of this one's.
    pub(super) inherited: bool,
}

/// What was sent for an entry without an answer, the latest first.
pub(super) fn uploads(db: &Connection, ino: Ino) -> rusqlite::Result<Vec<Upload>> {
    db.prepare_cached(
        "SELECT seq, size, md5, session, started, inherited FROM upload WHERE ino = ?1 ORDER BY seq DESC",
    )?
    .query_map([ino], |row| {
        Ok(Upload {
            seq: seq(row.get(0)?),
            size: from_sql(row.get(1)?),
            md5: row.get::<_, Option<[u8; 16]>>(2)?.map(Md5),
            session: row.get::<_, Option<String>>(3)?.map(UploadSession),
            started: row.get(4)?,
            inherited: row.get(5)?,
        })
    })?
    .collect()
}

/// Notes that an upload is begun. The last [`UPLOADS_KEPT`] of an entry are known until one of them is answered.
pub(super) fn begin_upload(db: &Connection, ino: Ino, upload: &Upload) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO upload (ino, seq, size, md5, session, started, inherited)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        ino,
        to_sql(upload.seq.0),
        to_sql(upload.size),
        upload.md5.map(|md5| md5.0),
        upload.session.as_ref().map(|session| &session.0),
        upload.started,
        upload.inherited,
    ])?;
    db.prepare_cached(
        "DELETE FROM upload
         WHERE ino = ?1 AND seq NOT IN (SELECT seq FROM upload WHERE ino = ?1 ORDER BY seq DESC LIMIT ?2)",
    )?
    .execute(params![ino, UPLOADS_KEPT])
    .map(|_| ())
}

/// Notes that what was sent for `from` without an answer was sent for what `to` is now.
pub(super) fn inherit_upload(db: &Connection, to: Ino, from: Ino) -> rusqlite::Result<()> {
    end_upload(db, to)?;
    db.prepare_cached("UPDATE upload SET ino = ?1, inherited = 1 WHERE ino = ?2")?.execute([to, from]).map(|_| ())
}

/// Notes that this upload of an entry was answered.
pub(super) fn end_one_upload(db: &Connection, ino: Ino, seq: Seq) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM upload WHERE ino = ?1 AND seq = ?2")?
        .execute(params![ino, to_sql(seq.0)])
        .map(|_| ())
}

/// Notes that no upload of an entry waits for an answer.
pub(super) fn end_upload(db: &Connection, ino: Ino) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM upload WHERE ino = ?1")?.execute([ino]).map(|_| ())
}

/// Takes an id that was reserved for this out of the pool.
pub(super) fn take_id(db: &Connection, what: IdsFor) -> rusqlite::Result<Option<FileId>> {
    let sql = "DELETE FROM reserved WHERE id = (SELECT id FROM reserved WHERE shortcut = ?1 LIMIT 1) RETURNING id";
    db.prepare_cached(sql)?.query_row([what == IdsFor::Links], |row| row.get(0).map(FileId)).optional()
}

/// Adds reserved ids to the pool.
pub(super) fn add_ids(db: &Connection, ids: &[FileId], what: IdsFor) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached("INSERT OR IGNORE INTO reserved (id, shortcut) VALUES (?1, ?2)")?;
    ids.iter().try_for_each(|id| statement.execute(params![id.0, what == IdsFor::Links]).map(|_| ()))
}

/// Empties the pool: the drive refused an id of it.
pub(super) fn drop_ids(db: &Connection) -> rusqlite::Result<()> {
    db.execute("DELETE FROM reserved", []).map(|_| ())
}

/// How many of these reserved ids are in the pool.
pub(super) fn count_ids(db: &Connection, what: IdsFor) -> rusqlite::Result<usize> {
    db.prepare_cached("SELECT count(*) FROM reserved WHERE shortcut = ?1")?
        .query_row([what == IdsFor::Links], |row| row.get::<_, i64>(0))
        .map(|count| usize::try_from(count).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::State;

    #[test]
    fn content_that_was_sealed_after_the_plan_and_sent_is_not_to_be_sent_again() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let state = State::open(&dir.path().join("state.db")).expect("opens");
        let ino = Ino(7);
        let row = || state.read(|db| get(db, ino)).expect("reads").expect("is there");
        let write = |work: &dyn Fn(&Connection) -> rusqlite::Result<()>| {
            state.write::<_, rusqlite::Error>(|tx| work(tx)).expect("writes");
        };
        write(&|db| touch_content(db, ino, Seq(1)));
        let planned = row();
        write(&|db| touch_content(db, ino, Seq(2)));
        write(&|db| acknowledge(db, &planned.with_content(Seq(2)), true).map(drop));
        // What changed beside the content is still to be looked at.
        assert_eq!((row().seq, row().acked, row().content), (Seq(2), Seq(1), None));
        write(&|db| touch_content(db, ino, Seq(3)));
        write(&|db| acknowledge(db, &planned.with_content(Seq(2)), true).map(drop));
        assert_eq!(row().content, Some(Seq(3)), "what was sealed later still is");
    }

    #[test]
    fn every_late_answer_is_known_until_one_of_them_came() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let state = State::open(&dir.path().join("state.db")).expect("opens");
        let (one, other) = (Ino(7), Ino(8));
        let upload = |number: u8| Upload {
            seq: Seq(number.into()),
            size: 1,
            md5: Some(Md5([number; 16])),
            session: None,
            started: 0,
            inherited: false,
        };
        let known = |ino| state.read(|db| uploads(db, ino)).expect("reads");
        let write = |work: &dyn Fn(&Connection) -> rusqlite::Result<()>| {
            state.write::<_, rusqlite::Error>(|tx| work(tx)).expect("writes");
        };
        for number in 1..=3 {
            write(&|db| begin_upload(db, one, &upload(number)));
        }
        write(&|db| begin_upload(db, other, &upload(1)));
        assert_eq!(known(one), [upload(3), upload(2), upload(1)]);
        // Sent once more: no row of its own.
        write(&|db| begin_upload(db, one, &upload(3)));
        assert_eq!(known(one).len(), 3);
        for number in 4..=100 {
            write(&|db| begin_upload(db, one, &upload(number)));
        }
        assert_eq!(known(one).len(), UPLOADS_KEPT as usize, "bounded");
        assert_eq!(known(one)[0], upload(100));
        write(&|db| end_upload(db, one));
        assert_eq!((known(one), known(other)), (Vec::new(), vec![upload(1)]));
    }
}
