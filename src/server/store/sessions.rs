//! Upload sessions as they are stored.

use rusqlite::{Connection, OptionalExtension, params};

use super::super::error::{ApiError, Result};
use super::Edit;
use super::rows::{signed, unsigned};

/// How long a session can be used.
const LIFETIME_MILLIS: i64 = 7 * 24 * 60 * 60 * 1000;

/// An upload session.
#[derive(Debug)]
pub(crate) struct Session {
    /// What was asked for at the start, as JSON.
    pub request: String,
    /// Length of the content, if it was announced at the start or by a piece.
    pub length: Option<u64>,
    pub state: State,
}

/// How far a session is.
#[derive(Debug)]
pub(crate) enum State {
    /// Takes bytes, into this file.
    Open { blob: String },
    /// Finished with this answer.
    Done { answer: String },
    /// Given up by the client.
    Cancelled,
}

/// Adds an open session, and drops those past their time.
pub(crate) fn open(edit: &Edit<'_>, id: &str, request: &str, length: Option<u64>, blob: &str) -> Result<()> {
    let now = edit.now.millis();
    edit.db.prepare_cached("DELETE FROM sessions WHERE created < ?")?.execute([now - LIFETIME_MILLIS])?;
    let sql = "INSERT INTO sessions (id, created, request, length, blob) VALUES (?, ?, ?, ?, ?)";
    edit.db.prepare_cached(sql)?.execute(params![id, now, request, length.map(signed), blob])?;
    Ok(())
}

/// The session `id`, unless its time is over.
pub(crate) fn find(db: &Connection, id: &str, now_millis: i64) -> Result<Option<Session>> {
    let sql = "SELECT request, length, blob, answer FROM sessions WHERE id = ? AND created >= ?";
    let session = db.prepare_cached(sql)?.query_row(params![id, now_millis - LIFETIME_MILLIS], |row| {
        let blob: Option<String> = row.get(2)?;
        let answer: Option<String> = row.get(3)?;
        let state = match (blob, answer) {
            (Some(blob), _) => State::Open { blob },
            (None, Some(answer)) => State::Done { answer },
            (None, None) => State::Cancelled,
        };
        let length: Option<i64> = row.get(1)?;
        Ok(Session { request: row.get(0)?, length: length.map(unsigned), state })
    });
    Ok(session.optional()?)
}

/// The client has said how long the content will be.
pub(crate) fn announce(edit: &Edit<'_>, id: &str, length: u64) -> Result<()> {
    let sql = "UPDATE sessions SET length = ? WHERE id = ? AND length IS NULL";
    edit.db.prepare_cached(sql)?.execute(params![signed(length), id])?;
    Ok(())
}

/// Closes an open session with the answer that all later questions get; `None` cancels it. Fails if it is not open (any
/// more), since then its bytes are not its own.
pub(crate) fn close(edit: &Edit<'_>, id: &str, answer: Option<&str>) -> Result<()> {
    let sql = "UPDATE sessions SET blob = NULL, request = '', answer = ? WHERE id = ? AND blob IS NOT NULL";
    match edit.db.prepare_cached(sql)?.execute(params![answer, id])? {
        0 => Err(ApiError::session_not_found()),
        _ => Ok(()),
    }
}

/// Ends a session as its time does.
pub(crate) fn expire(edit: &Edit<'_>, id: &str) -> Result<()> {
    edit.db.prepare_cached("DELETE FROM sessions WHERE id = ?")?.execute([id])?;
    Ok(())
}

/// Lets a session go on under another id.
pub(crate) fn rename(edit: &Edit<'_>, id: &str, new: &str) -> Result<()> {
    edit.db.prepare_cached("UPDATE sessions SET id = ? WHERE id = ?")?.execute([new, id])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{in_memory, invariants};
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn a_session_lives_for_a_week_and_its_bytes_go_with_it() {
        let (db, _) = in_memory();
        let at = |millis| Edit { db: &db, now: Timestamp::from_millis(millis) };
        open(&at(1000), "first", "{}", Some(7), "blob-1").expect("opens");
        assert!(find(&db, "first", 1000 + LIFETIME_MILLIS).expect("looks").is_some());
        assert!(find(&db, "first", 1001 + LIFETIME_MILLIS).expect("looks").is_none());
        open(&at(1001 + LIFETIME_MILLIS), "second", "{}", None, "blob-2").expect("opens");
        let doomed: String = db.query_row("SELECT blob FROM doomed", [], |row| row.get(0)).expect("one");
        assert_eq!(doomed, "blob-1");
        invariants::check(&db);
    }

    #[test]
    fn a_closed_session_keeps_its_answer_and_lets_go_of_its_bytes() {
        let (db, _) = in_memory();
        let edit = Edit { db: &db, now: Timestamp::from_millis(0) };
        for (id, blob, answer) in [("done", "blob-1", Some("{}")), ("cancelled", "blob-2", None)] {
            open(&edit, id, "{}", None, blob).expect("opens");
            close(&edit, id, answer).expect("closes");
            assert!(close(&edit, id, answer).is_err(), "twice");
        }
        let state = |id| find(&db, id, 0).expect("looks").expect("is there").state;
        assert!(matches!(state("done"), State::Done { answer } if answer == "{}"));
        assert!(matches!(state("cancelled"), State::Cancelled));
        invariants::check(&db);
    }
}
