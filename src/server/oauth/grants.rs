//! Rows of a sign-in: the page that asks, the code that it gives, the tokens that come of the code.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row};
use sha2::{Digest, Sha256};

use super::super::error::Result;
use super::super::ids;
use super::super::store::Edit;
use super::super::store::users::OWNER;
use super::scopes::Scopes;
use crate::clock::Timestamp;

/// A page waits this long for its answer, and a code for its exchange.
const CODE_LIFE: Duration = Duration::from_mins(10);
/// A refresh token that nobody used for six months is dead.
const REFRESH_LIFE: Duration = Duration::from_hours(180 * 24);
/// Refresh tokens of a client. The oldest makes room.
const MAX_REFRESH: u32 = 100;
/// Access tokens of a client, pages and codes of all. The oldest makes room.
const MAX_ROWS: u32 = 1000;

/// What is kept of a secret.
pub(super) fn hash(secret: &str) -> Vec<u8> {
    Sha256::digest(secret.as_bytes()).to_vec()
}

pub(super) fn after(now: Timestamp, time: Duration) -> i64 {
    now.millis().saturating_add(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
}

/// What a consent page asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub client: String,
    pub scopes: Scopes,
    pub then: Then,
}

/// Where the answer goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Then {
    /// To the browser, which brings it to the client.
    Redirect { uri: String, state: Option<String>, challenge: Option<String> },
    /// To the device, of which this is the hash.
    Device(Vec<u8>),
}

/// A code that was shown.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Code {
    pub client: String,
    pub scopes: Scopes,
    pub redirect_uri: String,
    pub challenge: Option<String>,
}

/// Whose a token is, and what it is good for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Granted {
    pub client: String,
    /// The user for whom the client acts.
    pub user: i64,
    pub scopes: Scopes,
}

impl Granted {
    /// What the person of the drive granted.
    pub(super) fn by_owner(client: String, scopes: Scopes) -> Self {
        Self { client, user: OWNER, scopes }
    }
}

/// The scopes in a column. Only known ones are ever written.
pub(super) fn scopes(row: &Row<'_>, column: &str) -> rusqlite::Result<Scopes> {
    Ok(Scopes::parse(&row.get::<_, String>(column)?).unwrap_or_default())
}

fn granted(row: &Row<'_>) -> rusqlite::Result<Granted> {
    Ok(Granted { client: row.get("client")?, user: row.get("user")?, scopes: scopes(row, "scopes")? })
}

/// Drops what has expired, and the oldest of what is too much.
fn make_room(edit: &Edit<'_>, table: &str) -> Result<()> {
    edit.db.execute(&format!("DELETE FROM {table} WHERE expires <= ?"), [edit.now.millis()])?;
    let oldest = format!("SELECT rowid FROM {table} ORDER BY rowid DESC LIMIT -1 OFFSET {}", MAX_ROWS - 1);
    edit.db.execute(&format!("DELETE FROM {table} WHERE rowid IN ({oldest})"), [])?;
    Ok(())
}

/// Notes what a page asks. The ticket proves that who answers has seen the page.
pub(super) fn ask(edit: &Edit<'_>, request: &Request) -> Result<String> {
    make_room(edit, "oauth_requests")?;
    let ticket = ids::secret();
    let (uri, state, challenge, device) = match &request.then {
        Then::Redirect { uri, state, challenge } => (Some(uri), state.as_ref(), challenge.as_ref(), None),
        Then::Device(device) => (None, None, None, Some(device)),
    };
    edit.db.execute(
        "INSERT INTO oauth_requests (ticket, client, scopes, redirect_uri, state, challenge, device, expires)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            hash(&ticket),
            &request.client,
            request.scopes.to_string(),
            uri,
            state,
            challenge,
            device,
            after(edit.now, CODE_LIFE),
        ),
    )?;
    Ok(ticket)
}

/// The question that a ticket answers, once.
pub(super) fn take_request(edit: &Edit<'_>, ticket: &str) -> Result<Option<Request>> {
    let sql = "DELETE FROM oauth_requests WHERE ticket = ? AND expires > ? RETURNING *";
    let request = edit.db.prepare_cached(sql)?.query_row((hash(ticket), edit.now.millis()), |row| {
        let then = match row.get("device")? {
            Some(device) => Then::Device(device),
            None => Then::Redirect {
                uri: row.get("redirect_uri")?,
                state: row.get("state")?,
                challenge: row.get("challenge")?,
            },
        };
        Ok(Request { client: row.get("client")?, scopes: scopes(row, "scopes")?, then })
    });
    Ok(request.optional()?)
}

/// A code for the client to exchange.
pub(super) fn issue_code(edit: &Edit<'_>, code: &Code) -> Result<String> {
    make_room(edit, "oauth_codes")?;
    let text = format!("4/0A{}", ids::secret());
    edit.db.execute(
        "INSERT INTO oauth_codes (code, client, scopes, redirect_uri, challenge, expires) VALUES (?, ?, ?, ?, ?, ?)",
        (
            hash(&text),
            &code.client,
            code.scopes.to_string(),
            &code.redirect_uri,
            &code.challenge,
            after(edit.now, CODE_LIFE),
        ),
    )?;
    Ok(text)
}

/// What a code stands for, once: whoever shows it has used it up.
pub(super) fn take_code(edit: &Edit<'_>, code: &str) -> Result<Option<Code>> {
    let sql = "DELETE FROM oauth_codes WHERE code = ? AND expires > ? RETURNING *";
    let code = edit.db.prepare_cached(sql)?.query_row((hash(code), edit.now.millis()), |row| {
        Ok(Code {
            client: row.get("client")?,
            scopes: scopes(row, "scopes")?,
            redirect_uri: row.get("redirect_uri")?,
            challenge: row.get("challenge")?,
        })
    });
    Ok(code.optional()?)
}

pub(super) fn issue_access(edit: &Edit<'_>, granted: &Granted, life: Duration) -> Result<String> {
    edit.db.execute("DELETE FROM oauth_access WHERE expires <= ?", [edit.now.millis()])?;
    drop_oldest(edit, "oauth_access", &granted.client, MAX_ROWS)?;
    let token = format!("ya29.a0{}", ids::secret());
    edit.db.execute(
        "INSERT INTO oauth_access (token, client, user, scopes, expires) VALUES (?, ?, ?, ?, ?)",
        (hash(&token), &granted.client, granted.user, granted.scopes.to_string(), after(edit.now, life)),
    )?;
    Ok(token)
}

/// `life`: how long it works, if not until nobody uses it.
pub(super) fn issue_refresh(edit: &Edit<'_>, granted: &Granted, life: Option<Duration>) -> Result<String> {
    edit.db.execute("DELETE FROM oauth_ends WHERE token NOT IN (SELECT token FROM oauth_refresh)", [])?;
    edit.db.execute("DELETE FROM oauth_refresh WHERE used <= ?", [unused_since(edit)])?;
    drop_oldest(edit, "oauth_refresh", &granted.client, MAX_REFRESH)?;
    let token = format!("1//0{}", ids::secret());
    edit.db.execute(
        "INSERT INTO oauth_refresh (token, client, scopes, used) VALUES (?, ?, ?, ?)",
        (hash(&token), &granted.client, granted.scopes.to_string(), edit.now.millis()),
    )?;
    if let Some(life) = life {
        let ends = (hash(&token), after(edit.now, life));
        edit.db.execute("INSERT INTO oauth_ends (token, ends) VALUES (?, ?)", ends)?;
    }
    Ok(token)
}

/// Makes room for one more of a client.
fn drop_oldest(edit: &Edit<'_>, table: &str, client: &str, most: u32) -> Result<()> {
    let oldest = format!("SELECT rowid FROM {table} WHERE client = ? ORDER BY rowid DESC LIMIT -1 OFFSET ?");
    edit.db.execute(&format!("DELETE FROM {table} WHERE rowid IN ({oldest})"), (client, most - 1))?;
    Ok(())
}

fn unused_since(edit: &Edit<'_>) -> i64 {
    edit.now.millis().saturating_sub(i64::try_from(REFRESH_LIFE.as_millis()).unwrap_or(i64::MAX))
}

/// What a refresh token is good for.
pub(super) fn use_refresh(edit: &Edit<'_>, token: &str) -> Result<Option<Granted>> {
    let sql = "UPDATE oauth_refresh SET used = ?1 WHERE token = ?2 AND used > ?3
               AND NOT EXISTS (SELECT 1 FROM oauth_ends WHERE oauth_ends.token = ?2 AND ends <= ?1) RETURNING client, scopes";
    let row = (edit.now.millis(), hash(token), unused_since(edit));
    let granted = |row: &Row<'_>| Ok(Granted::by_owner(row.get("client")?, scopes(row, "scopes")?));
    Ok(edit.db.prepare_cached(sql)?.query_row(row, granted).optional()?)
}

/// What an access token is good for.
pub(super) fn access(db: &Connection, now: Timestamp, token: &str) -> Result<Option<Granted>> {
    let sql = "SELECT client, user, scopes FROM oauth_access WHERE token = ? AND expires > ?";
    Ok(db.prepare_cached(sql)?.query_row((hash(token), now.millis()), granted).optional()?)
}

/// Ends all that the client of this token was ever granted. Says whether there is such a token.
pub(super) fn revoke(edit: &Edit<'_>, token: &str) -> Result<bool> {
    let sql = "SELECT client FROM oauth_access WHERE token = ?1 AND expires > ?2
               UNION ALL SELECT client FROM oauth_refresh WHERE token = ?1";
    let row = (hash(token), edit.now.millis());
    let client: Option<String> = edit.db.query_row(sql, row, |row| row.get(0)).optional()?;
    let Some(client) = client else { return Ok(false) };
    for table in ["oauth_access", "oauth_refresh", "oauth_codes"] {
        edit.db.execute(&format!("DELETE FROM {table} WHERE client = ?"), [&client])?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::super::super::store::in_memory;
    use super::*;

    fn later(now: Timestamp, time: Duration) -> Timestamp {
        Timestamp::from_millis(after(now, time))
    }

    fn some_grant() -> Granted {
        let scopes = Scopes::parse("https://www.googleapis.com/auth/drive").expect("known");
        Granted::by_owner("app".into(), scopes)
    }

    fn some_code() -> Code {
        let Granted { client, scopes, .. } = some_grant();
        Code { client, scopes, redirect_uri: "http://127.0.0.1/".into(), challenge: None }
    }

    #[test]
    fn a_code_works_once_and_for_ten_minutes() {
        let (db, _) = in_memory();
        let edit = Edit { db: &db, now: Timestamp::from_millis(1) };
        let [used, late] = [(); 2].map(|()| issue_code(&edit, &some_code()).expect("is issued"));
        assert_eq!(take_code(&edit, &used).expect("no failure"), Some(some_code()));
        assert_eq!(take_code(&edit, &used).expect("no failure"), None);
        let edit = Edit { db: &db, now: later(edit.now, CODE_LIFE) };
        assert_eq!(take_code(&edit, &late).expect("no failure"), None);
    }

    #[test]
    fn a_refresh_token_dies_of_six_months_without_use() {
        let (db, _) = in_memory();
        let mut edit = Edit { db: &db, now: Timestamp::from_millis(1) };
        let token = issue_refresh(&edit, &some_grant(), None).expect("is issued");
        for _ in 0..3 {
            edit.now = later(edit.now, REFRESH_LIFE.saturating_sub(Duration::from_secs(1)));
            assert_eq!(use_refresh(&edit, &token).expect("no failure"), Some(some_grant()));
        }
        edit.now = later(edit.now, REFRESH_LIFE);
        assert_eq!(use_refresh(&edit, &token).expect("no failure"), None);
    }

    #[test]
    fn a_refresh_token_of_an_application_in_testing_ends_by_itself() {
        let (db, _) = in_memory();
        let (now, week) = (Timestamp::from_millis(1), Duration::from_hours(7 * 24));
        let mut edit = Edit { db: &db, now };
        let token = issue_refresh(&edit, &some_grant(), Some(week)).expect("is issued");
        edit.now = later(now, week.saturating_sub(Duration::from_secs(1)));
        assert_eq!(use_refresh(&edit, &token).expect("no failure"), Some(some_grant()));
        edit.now = later(now, week);
        assert_eq!(use_refresh(&edit, &token).expect("no failure"), None);
    }

    #[test]
    fn the_oldest_of_a_hundred_refresh_tokens_makes_room() {
        let (db, _) = in_memory();
        let edit = Edit { db: &db, now: Timestamp::from_millis(1) };
        let tokens: Vec<_> =
            (0..=MAX_REFRESH).map(|_| issue_refresh(&edit, &some_grant(), None).expect("issued")).collect();
        assert_eq!(use_refresh(&edit, &tokens[0]).expect("no failure"), None);
        assert_eq!(use_refresh(&edit, &tokens[1]).expect("no failure"), Some(some_grant()));
    }

    #[test]
    fn no_table_grows_beyond_its_bound_and_what_expired_goes() {
        let (db, _) = in_memory();
        let mut edit = Edit { db: &db, now: Timestamp::from_millis(1) };
        let Granted { client, scopes, .. } = some_grant();
        let request = Request { client, scopes, then: Then::Device(vec![1]) };
        let count = |table: &str| {
            let sql = format!("SELECT count(*) FROM {table}");
            db.query_row(&sql, [], |row| row.get::<_, u32>(0)).expect("counts")
        };
        let tables = ["oauth_requests", "oauth_codes", "oauth_access"];
        for _ in 0..MAX_ROWS + 5 {
            ask(&edit, &request).expect("asks");
            issue_code(&edit, &some_code()).expect("is issued");
            issue_access(&edit, &some_grant(), CODE_LIFE).expect("is issued");
        }
        assert_eq!(tables.map(count), [MAX_ROWS; 3]);
        edit.now = later(edit.now, CODE_LIFE);
        ask(&edit, &request).expect("asks");
        issue_code(&edit, &some_code()).expect("is issued");
        issue_access(&edit, &some_grant(), CODE_LIFE).expect("is issued");
        assert_eq!(tables.map(count), [1; 3]);
    }
}
