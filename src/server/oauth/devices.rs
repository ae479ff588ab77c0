//! Rows of sign-ins from another screen.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};

use super::super::error::Result;
use super::super::ids;
use super::super::store::Edit;
use super::grants::{Granted, after, hash, scopes};
use super::scopes::Scopes;
use crate::clock::Timestamp;

/// How long a person has to enter the code.
pub(super) const LIFE: Duration = Duration::from_mins(30);
/// Polls must be this far apart, and further by this after each that came too early.
pub(super) const INTERVAL: Duration = Duration::from_secs(5);
/// Sign-ins under way.
const MAX_ROWS: u32 = 1000;

/// The two codes of a sign-in: one for the device, one for the person.
#[derive(Debug)]
pub(super) struct Codes {
    pub device: String,
    pub user: String,
}

/// A sign-in that waits for its person.
#[derive(Debug)]
pub(super) struct Waiting {
    pub device: Vec<u8>,
    pub client: String,
    pub scopes: Scopes,
}

/// What a device that asks comes to know.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Poll {
    Pending,
    TooEarly,
    Denied,
    /// Expired, used, or never given out.
    Unknown,
    Allowed(Granted),
}

/// Begins a sign-in; `None` if too many are under way.
pub(super) fn begin(edit: &Edit<'_>, client: &str, scopes: &Scopes) -> Result<Option<Codes>> {
    edit.db.execute("DELETE FROM oauth_devices WHERE expires <= ?", [edit.now.millis()])?;
    let under_way: u32 = edit.db.query_row("SELECT count(*) FROM oauth_devices", [], |row| row.get(0))?;
    if under_way >= MAX_ROWS {
        return Ok(None);
    }
    let codes = Codes { device: format!("AH-1Ng{}", ids::secret()), user: ids::user_code() };
    let interval = i64::try_from(INTERVAL.as_millis()).unwrap_or(i64::MAX);
    edit.db.execute(
        "INSERT INTO oauth_devices (device, user_code, client, scopes, decision, interval, expires)
         VALUES (?, ?, ?, ?, 'pending', ?, ?)",
        (hash(&codes.device), &codes.user, client, scopes.to_string(), interval, after(edit.now, LIFE)),
    )?;
    Ok(Some(codes))
}

/// The sign-in that waits for this code, which may be typed in any case and without its dash.
pub(super) fn waiting(db: &Connection, now: Timestamp, typed: &str) -> Result<Option<Waiting>> {
    let letters: String = typed.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_uppercase();
    let sql = "SELECT device, client, scopes FROM oauth_devices
               WHERE replace(user_code, '-', '') = ? AND decision = 'pending' AND expires > ?";
    let row = db.prepare_cached(sql)?.query_row((letters, now.millis()), |row| {
        Ok(Waiting { device: row.get("device")?, client: row.get("client")?, scopes: scopes(row, "scopes")? })
    });
    Ok(row.optional()?)
}

/// The person's answer: what they grant, or nothing. Says whether anybody still waits for it.
pub(super) fn decide(edit: &Edit<'_>, device: &[u8], granted: Option<&Scopes>) -> Result<bool> {
    let sql = "UPDATE oauth_devices SET decision = ?, scopes = coalesce(?, scopes)
               WHERE device = ? AND decision = 'pending' AND expires > ?";
    let decision = if granted.is_some() { "allowed" } else { "denied" };
    let scopes = granted.map(Scopes::to_string);
    Ok(edit.db.execute(sql, (decision, scopes, device, edit.now.millis()))? > 0)
}

/// A device asks. What was allowed is given once.
pub(super) fn poll(edit: &Edit<'_>, client: &str, code: &str) -> Result<Poll> {
    let (device, now) = (hash(code), edit.now.millis());
    let sql = "SELECT * FROM oauth_devices WHERE device = ? AND client = ? AND expires > ?";
    let row = edit.db.query_row(sql, (&device, client, now), |row| {
        let granted = Granted::by_owner(row.get("client")?, scopes(row, "scopes")?);
        let polled: Option<i64> = row.get("polled")?;
        Ok((row.get::<_, String>("decision")?, polled, row.get::<_, i64>("interval")?, granted))
    });
    let Some((decision, polled, interval, granted)) = row.optional()? else { return Ok(Poll::Unknown) };
    match decision.as_str() {
        "allowed" => {
            edit.db.execute("DELETE FROM oauth_devices WHERE device = ?", [device])?;
            return Ok(Poll::Allowed(granted));
        }
        "denied" => return Ok(Poll::Denied),
        _ => {}
    }
    let is_early = polled.is_some_and(|polled| now < polled.saturating_add(interval));
    let longer = i64::try_from(INTERVAL.as_millis()).unwrap_or(i64::MAX);
    let interval = if is_early { interval.saturating_add(longer) } else { interval };
    let sql = "UPDATE oauth_devices SET polled = ?, interval = ? WHERE device = ?";
    edit.db.execute(sql, (now, interval, device))?;
    Ok(if is_early { Poll::TooEarly } else { Poll::Pending })
}

#[cfg(test)]
mod tests {
    use super::super::super::store::in_memory;
    use super::*;

    fn scope() -> Scopes {
        Scopes::parse("https://www.googleapis.com/auth/drive.file").expect("known")
    }

    #[test]
    fn polls_that_come_too_early_must_come_later_still() {
        let (db, _) = in_memory();
        let at = |seconds: i64| Edit { db: &db, now: Timestamp::from_millis(seconds * 1000) };
        let codes = begin(&at(0), "tv", &scope()).expect("no failure").expect("begins");
        let poll = |seconds| poll(&at(seconds), "tv", &codes.device).expect("no failure");
        assert_eq!(poll(0), Poll::Pending);
        assert_eq!(poll(5), Poll::Pending);
        assert_eq!(poll(9), Poll::TooEarly);
        assert_eq!(poll(18), Poll::TooEarly);
        assert_eq!(poll(18 + 15), Poll::Pending);
        assert_eq!(poll(1800), Poll::Unknown);
    }

    #[test]
    fn what_was_allowed_is_given_once_and_to_its_client() {
        let (db, _) = in_memory();
        let edit = Edit { db: &db, now: Timestamp::from_millis(0) };
        let codes = begin(&edit, "tv", &scope()).expect("no failure").expect("begins");
        let typed = codes.user.to_lowercase().replace('-', " ");
        let device = waiting(&db, edit.now, &typed).expect("no failure").expect("waits").device;
        assert!(decide(&edit, &device, Some(&scope())).expect("no failure"));
        assert!(!decide(&edit, &device, None).expect("no failure"), "decided twice");
        assert_eq!(poll(&edit, "another", &codes.device).expect("no failure"), Poll::Unknown);
        let granted = Granted::by_owner("tv".into(), scope());
        assert_eq!(poll(&edit, "tv", &codes.device).expect("no failure"), Poll::Allowed(granted));
        assert_eq!(poll(&edit, "tv", &codes.device).expect("no failure"), Poll::Unknown);
    }

    #[test]
    fn sign_ins_under_way_are_bounded() {
        let (db, _) = in_memory();
        let mut edit = Edit { db: &db, now: Timestamp::from_millis(0) };
        for _ in 0..MAX_ROWS {
            assert!(begin(&edit, "tv", &scope()).expect("no failure").is_some());
        }
        assert!(begin(&edit, "tv", &scope()).expect("no failure").is_none());
        edit.now = Timestamp::from_millis(1_800_000);
        assert!(begin(&edit, "tv", &scope()).expect("no failure").is_some());
    }
}
