//! Listings, page by page.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::super::error::Result;
use super::super::item::Item;
use super::super::order::{Order, Position};
use super::super::query::sql::Condition;
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

/// At most `size` items of `scope` that meet `condition`, in `order`, after `position`. The folder at the top of a drive is in no
/// listing.
pub(crate) fn page(
    db: &Connection,
    app: &str,
    scope: Scope,
    condition: Option<&Condition>,
    order: &Order,
    position: Option<&Position>,
    size: usize,
) -> Result<Page> {
    let (sql, params) = statement(app, scope, condition, order, position, size);
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(params))?;
    let mut items: Vec<Item> = Vec::new();
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        if items.len() == size {
            let next = match items.last() {
                Some(last) => Position { keys, no: last.no },
                None => position.cloned().unwrap_or(Position::START),
            };
            return Ok(Page { items, next: Some(next) });
        }
        items.push(item(row)?);
        if items.len() == size {
            keys = (0..order.len()).map(|key| row.get(ITEM_WIDTH + key)).collect::<rusqlite::Result<_>>()?;
        }
    }
    Ok(Page { items, next: None })
}

/// The statement that reads a page, and one item more, which tells whether the page is the last.
fn statement(
    app: &str,
    scope: Scope,
    condition: Option<&Condition>,
    order: &Order,
    position: Option<&Position>,
    size: usize,
) -> (String, Vec<Value>) {
    let mut params = vec![Value::Text(app.to_owned())];
    let mut sql = format!("SELECT {ITEM}{} FROM {ITEM_FROM} WHERE items.parent IS NOT NULL", order.columns());
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
    sql.extend([" ORDER BY ", &order.clause(), " LIMIT ", &(size + 1).to_string()]);
    (sql, params)
}

#[cfg(test)]
mod tests {
    use super::super::super::query;
    use super::super::super::query::sql::{Asker, condition};
    use super::super::in_memory;
    use super::*;

    /// How the database goes about a listing.
    fn plan(scope: Scope, q: &str, position: Option<&Position>) -> String {
        let (db, identity) = in_memory();
        let asker = Asker { app: "app", email: "me", root: &identity.root };
        let condition = condition(&query::parse(q).expect("parses"), asker);
        let (sql, params) = statement("app", scope, Some(&condition), &Order::default(), position, 1000);
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
