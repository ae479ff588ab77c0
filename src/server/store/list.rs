//! Listings, page by page.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::super::error::Result;
use super::super::item::Item;
use super::super::order::{Order, Position};
use super::rows::{ITEM, ITEM_FROM, ITEM_WIDTH, item};

/// One page of a listing.
#[derive(Debug)]
pub(crate) struct Page {
    pub items: Vec<Item>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Position>,
}

/// Which items a listing is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    MyDrive,
    Everything,
    /// Those of this shared drive.
    Drive(i64),
}

/// Which spaces are looked at: where people's files are, where an application hides its own, or both, or neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spaces {
    pub drive: bool,
    pub app_data: bool,
}

impl Spaces {
    /// Where people's files are.
    #[cfg(test)]
    pub(crate) const DRIVE: Self = Self { drive: true, app_data: false };

    /// The condition that they put on a row of `items`.
    pub(super) fn condition(self) -> &'static str {
        match (self.drive, self.app_data) {
            (true, false) => "items.app_data IS NULL",
            (false, true) => "items.app_data IS NOT NULL",
            (true, true) => "1",
            (false, false) => "0",
        }
    }
}

/// An SQL expression with its parameters, in the order of its question marks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Condition {
    pub sql: String,
    pub params: Vec<Value>,
    /// Whether an index leads to the few rows that meet it.
    pub is_narrow: bool,
}

/// What a listing is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    pub scope: Scope,
    pub spaces: Spaces,
    /// The application that asks.
    pub app: &'a str,
    pub condition: Option<&'a Condition>,
    pub order: &'a Order,
}

/// At most `size` items after `position`, of those that `is_seen` lets pass. The folder at the top of a drive is in no listing.
pub(crate) fn page(
    db: &Connection,
    question: Question<'_>,
    position: Option<&Position>,
    size: usize,
    is_seen: impl Fn(&Item) -> Result<bool>,
) -> Result<Page> {
    let order = question.order;
    let mut position = position.cloned();
    let mut items: Vec<Item> = Vec::new();
    // Where the page ends: where it began, if nothing fits into it.
    let mut last = position.clone().unwrap_or(Position::START);
    loop {
        // One more than wanted tells whether the page is the last.
        let limit = size + 1;
        let (sql, params) = statement(question, position.as_ref(), limit);
        let mut statement = db.prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(params))?;
        let mut read = 0;
        while let Some(row) = rows.next()? {
            read += 1;
            let item = item(row)?;
            let keys = (0..order.len()).map(|key| row.get(ITEM_WIDTH + key)).collect::<rusqlite::Result<_>>()?;
            let here = Position { keys, no: item.no };
            let is_seen = is_seen(&item)?;
            if is_seen && items.len() == size {
                return Ok(Page { items, next: Some(last) });
            }
            if is_seen {
                items.push(item);
                last = here.clone();
            }
            position = Some(here);
        }
        if read < limit {
            return Ok(Page { items, next: None });
        }
        // Some of them are not for who asks.
    }
}

/// The statement that reads what follows a position.
fn statement(question: Question<'_>, position: Option<&Position>, limit: usize) -> (String, Vec<Value>) {
    let Question { scope, spaces, app, condition, order } = question;
    let mut params = vec![Value::Text(app.to_owned())];
    let mut sql = format!("SELECT {ITEM}{} FROM {ITEM_FROM} WHERE items.parent IS NOT NULL", order.columns());
    sql.extend([" AND ", spaces.condition()]);
    match scope {
        Scope::MyDrive => sql.push_str(" AND items.drive IS NULL"),
        Scope::Everything => {}
        Scope::Drive(no) => {
            // The plus keeps the index of drives from being taken where there is a better one.
            let is_narrow = condition.is_some_and(|condition| condition.is_narrow);
            sql.push_str(if is_narrow { " AND +items.drive = ?" } else { " AND items.drive = ?" });
            params.push(Value::Integer(no));
        }
    }
    if let Some(condition) = condition {
        sql.extend([" AND ", &condition.sql]);
        params.extend_from_slice(&condition.params);
    }
    if let Some(position) = position {
        let (after, values) = order.after(position);
        sql.extend([" AND ", &after]);
        params.extend(values);
    }
    sql.extend([" ORDER BY ", &order.clause(), " LIMIT ", &limit.to_string()]);
    (sql, params)
}

#[cfg(test)]
mod tests {
    use super::super::super::query;
    use super::super::super::query::sql::condition;
    use super::super::in_memory;
    use super::*;

    /// How the database goes about a listing.
    fn plan(scope: Scope, q: &str, position: Option<&Position>) -> String {
        let (db, identity) = in_memory();
        let caller = identity.own_caller();
        let condition = condition(&query::parse(q).expect("parses"), &caller).expect("may be asked");
        let order = Order::default();
        let (app, condition) = ("app", Some(&condition));
        let question = Question { scope, spaces: Spaces::DRIVE, app, condition, order: &order };
        let (sql, params) = statement(question, position, 1001);
        let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("prepares");
        let steps = statement.query_map(params_from_iter(params), |row| row.get::<_, String>(3)).expect("runs");
        steps.collect::<rusqlite::Result<Vec<_>>>().expect("reads").join("\n")
    }

    #[test]
    fn pages_of_a_folder_are_ranges_of_an_index_and_need_no_sorting() {
        let position = Position { keys: Vec::new(), no: 7 };
        for scope in [Scope::MyDrive, Scope::Everything, Scope::Drive(1)] {
            for q in ["'x' in parents", "'x' in parents and trashed = false", "trashed = false and 'x' in parents"] {
                let plan = plan(scope, q, Some(&position));
                assert!(plan.contains("items USING INDEX items_by_parent (parent=? AND rowid>?)"), "{q}: {plan}");
                assert!(!plan.contains("ORDER BY"), "{q}: {plan}");
            }
        }
    }

    #[test]
    fn a_shared_drive_is_a_range_of_an_index() {
        let position = Position { keys: Vec::new(), no: 7 };
        for q in ["trashed = false", "mimeType = 'x'"] {
            let plan = plan(Scope::Drive(1), q, Some(&position));
            assert!(plan.contains("items USING INDEX items_by_drive (drive=? AND rowid>?)"), "{q}: {plan}");
            assert!(!plan.contains("ORDER BY"), "{q}: {plan}");
        }
    }

    #[test]
    fn searches_use_the_index_made_for_them() {
        for (q, index) in [
            ("name = 'x'", "items_by_name (folded=?"),
            ("name = 'x' and 'y' in parents and trashed = false", "items_by_name (folded=? AND parent=?)"),
            ("'x' in parents or 'y' in parents or 'z' in parents", "items_by_parent (parent=?)"),
            ("trashed = true", "items_trashed"),
            ("shortcutDetails.targetId = 'x'", "items_by_target"),
            ("properties has { key='k' and value='v' }", "properties_by_value (key=? AND value=? AND app=?)"),
        ] {
            for scope in [Scope::MyDrive, Scope::Everything, Scope::Drive(1)] {
                let plan = plan(scope, q, None);
                assert!(plan.contains(index), "{scope:?} {q}: {plan}");
            }
        }
    }
}
