//! `orderBy`: the keys that a listing is sorted by.
//!
//! A listing is read page by page along its sort keys, each page beginning after the last entry of the one before. So
//! entries that come or go between two pages neither shift nor repeat others, which an offset would do. The last key is
//! always the row number, which is unique and never changes.

use rusqlite::types::Value;

use super::error::{ApiError, Result};

/// One key, as an SQL expression over the table `items` that is never null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    sql: &'static str,
    descending: bool,
}

/// The keys of a listing, the row number left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Order(Vec<Key>);

/// Where a page ended: the keys of its last entry, and its row number.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Position {
    pub keys: Vec<Value>,
    pub no: i64,
}

impl Position {
    /// Before the first entry, in any order: where an empty first page ends.
    pub(crate) const START: Self = Self { keys: Vec::new(), no: 0 };

    pub(crate) fn is_start(&self) -> bool {
        *self == Self::START
    }
}

impl Order {
    /// Parses a comma-separated list of keys, each maybe followed by `desc`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut keys: Vec<Key> = Vec::new();
        for text in text.split(',') {
            let key = key(text).ok_or(ApiError::invalid_value("orderBy"))?;
            // What is sorted by a key is not sorted anew by the same; and so no list is too long for the database.
            if keys.iter().all(|before| before.sql != key.sql) {
                keys.push(key);
            }
        }
        Ok(Self(keys))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The keys, each preceded by a comma, to be appended to the columns of a `SELECT`.
    pub(crate) fn columns(&self) -> String {
        self.0.iter().flat_map(|key| [", ", key.sql]).collect()
    }

    /// What follows `ORDER BY`.
    pub(crate) fn clause(&self) -> String {
        let keys = self.0.iter().flat_map(|key| [key.sql, if key.descending { " DESC, " } else { ", " }]);
        keys.chain(["items.no"]).collect()
    }

    /// The condition that a row comes after `position`, with its parameters.
    pub(crate) fn after(&self, position: &Position) -> (String, Vec<Value>) {
        // (a, b, no) > (x, y, z), spelled out because the directions may differ: a > x OR (a = x AND (b > y OR (…))).
        let mut sql = String::new();
        let mut params = Vec::new();
        for (key, value) in self.0.iter().zip(&position.keys) {
            let comparison = if key.descending { " < ? OR (" } else { " > ? OR (" };
            sql.extend(["(", key.sql, comparison, key.sql, " = ? AND "]);
            params.extend([value.clone(), value.clone()]);
        }
        sql.push_str("items.no > ?");
        params.push(Value::Integer(position.no));
        sql.push_str(&"))".repeat(self.0.len()));
        (sql, params)
    }
}

fn key(text: &str) -> Option<Key> {
    let mut words = text.split_whitespace();
    let sql = match words.next()? {
        "createdTime" => "items.created",
        // Whoever made the change.
        "modifiedTime" | "modifiedByMeTime" => "items.modified",
        "viewedByMeTime" => "coalesce(items.viewed, -9223372036854775808)",
        "recency" => "max(items.created, items.modified, coalesce(items.viewed, items.created))",
        // When the item itself was shared, with whoever it was.
        "sharedWithMeTime" => "ifnull((SELECT max(time) FROM permissions WHERE item = items.no), 0)",
        "folder" => "(items.mime_type <> 'application/vnd.google-apps.folder')",
        "starred" => "(1 - items.starred)",
        "name" => "items.folded",
        "name_natural" => "natural_key(items.folded)",
        "quotaBytesUsed" => "items.quota_bytes",
        _ => return None,
    };
    let descending = match words.next() {
        None => false,
        Some("desc") => true,
        Some(_) => return None,
    };
    words.next().is_none().then_some(Key { sql, descending })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_directions_become_a_clause_and_a_place_in_it() {
        let order = Order::parse("folder, name desc").expect("parses");
        assert!(order.clause().ends_with("items.folded DESC, items.no"));
        let (sql, params) = order.after(&Position { keys: vec![Value::Integer(1), Value::Text("x".into())], no: 7 });
        assert_eq!(sql.matches('?').count(), params.len());
        assert_eq!(sql.matches('(').count(), sql.matches(')').count());
        assert!(sql.contains("items.folded < ?"));
    }

    #[test]
    fn unknown_keys_are_refused() {
        for text in ["size", "name,", "name down", "name asc", "name desc desc", ""] {
            assert!(Order::parse(text).is_err(), "{text}");
        }
    }
}
