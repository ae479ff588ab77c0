//! A query as a condition of the database, over the table `items`.
//!
//! In SQL a comparison with an absent value is neither true nor false. `WHERE` takes that for false, as the drive does, and
//! so do `AND` and `OR` on the way up; only a negation must settle it first.

use rusqlite::types::Value;

use super::super::caller::Caller;
use super::super::error::{ApiError, Result};
use super::super::permission::Role;
use super::super::store::list::Condition;
use super::words::fold;
use super::{Comparison, Expr, PropertyScope, Term, TimeField, Visibility};

/// An item and the folders above it.
const ABOVE: &str = "WITH RECURSIVE above (no, parent, owner) AS (
                         SELECT items.no, items.parent, items.owner
                         UNION ALL SELECT folder.no, folder.parent, folder.owner
                                   FROM items AS folder JOIN above ON folder.no = above.parent)";

/// The condition that `expr` puts on a row of `items`, if `asker` asks. Fails if it asks for what its token does not reach.
pub(crate) fn condition(expr: &Expr, asker: &Caller) -> Result<Condition> {
    let mut writing = Writing { sql: String::new(), params: Vec::new() };
    writing.expr(expr, asker)?;
    Ok(Condition { sql: writing.sql, params: writing.params, is_narrow: is_narrow(expr) })
}

/// A condition that is being written.
struct Writing {
    sql: String,
    params: Vec<Value>,
}

fn is_narrow(expr: &Expr) -> bool {
    match expr {
        Expr::And(left, right) => is_narrow(left) || is_narrow(right),
        Expr::Or(left, right) => is_narrow(left) && is_narrow(right),
        Expr::Not(_) => false,
        Expr::Term(term) => matches!(
            term,
            Term::InParents(_) | Term::Name(_) | Term::ShortcutTarget(_) | Term::Property { .. } | Term::Trashed(true)
        ),
    }
}

impl Writing {
    fn expr(&mut self, expr: &Expr, asker: &Caller) -> Result<()> {
        match expr {
            Expr::And(left, right) => self.joined(left, " AND ", right, asker),
            Expr::Or(left, right) => self.joined(left, " OR ", right, asker),
            Expr::Not(inner) => {
                self.sql.push_str("NOT coalesce(");
                self.expr(inner, asker)?;
                self.sql.push_str(", 0)");
                Ok(())
            }
            Expr::Term(term) => self.term(term, asker),
        }
    }

    fn joined(&mut self, left: &Expr, operator: &str, right: &Expr, asker: &Caller) -> Result<()> {
        self.sql.push('(');
        self.expr(left, asker)?;
        self.sql.push_str(operator);
        self.expr(right, asker)?;
        self.sql.push(')');
        Ok(())
    }

    /// The condition that the item or a folder above it has a permission that meets another condition.
    fn shared(&mut self, permission: &str, params: impl IntoIterator<Item = Value>) {
        let sql = format!(
            "EXISTS ({ABOVE} SELECT 1 FROM above JOIN permissions ON permissions.item = above.no WHERE {permission})"
        );
        self.push(&sql, params);
    }

    /// The condition that somebody has a role on the item, or a higher one.
    fn users(&mut self, address: &str, role: Role) {
        let at_least = format!("address = ? COLLATE NOCASE AND role IN ({})", names_from(role));
        let address = Value::Text(address.to_owned());
        let owner = "above.owner = (SELECT no FROM users WHERE email = ? COLLATE NOCASE)";
        self.push(&format!("(EXISTS ({ABOVE} SELECT 1 FROM above WHERE {owner}) OR "), [address.clone()]);
        self.shared(&at_least, [address]);
        self.sql.push(')');
    }

    fn push(&mut self, sql: &str, params: impl IntoIterator<Item = Value>) {
        self.sql.push_str(sql);
        self.params.extend(params);
    }

    fn constant(&mut self, value: bool) {
        self.sql.push_str(if value { "1" } else { "0" });
    }

    fn term(&mut self, term: &Term, asker: &Caller) -> Result<()> {
        let text = |text: &str| Value::Text(text.to_owned());
        match term {
            Term::Name(name) => self.push("items.folded = ?", [Value::Text(fold(name))]),
            Term::NameContains(name) => self.push("name_contains(items.folded, ?)", [Value::Text(fold(name))]),
            Term::FullText(searched) => {
                let sql = "text_contains(items.name, items.details ->> 'description', items.indexable_text, ?)";
                self.push(sql, [Value::Text(fold(searched))]);
            }
            Term::MimeType(media_type) => self.push("items.mime_type = ?", [text(media_type)]),
            Term::MimeTypeContains(beginning) => self.push("instr(items.mime_type, ?) = 1", [text(beginning)]),
            Term::Time(field, comparison, time) => {
                let field = match field {
                    TimeField::Created => "items.created",
                    TimeField::Modified => "items.modified",
                    TimeField::ViewedByMe => "items.viewed",
                };
                let comparison = match comparison {
                    Comparison::Less => "<",
                    Comparison::LessOrEqual => "<=",
                    Comparison::Equal => "=",
                    Comparison::GreaterOrEqual => ">=",
                    Comparison::Greater => ">",
                };
                self.push(&format!("{field} {comparison} ?"), [Value::Integer(time.millis())]);
            }
            // Written out rather than bound, so that the index of trashed items can be used.
            Term::Trashed(trashed) => self.push(&format!("items.trashed = {}", i32::from(*trashed)), []),
            Term::Starred(starred) => self.push(&format!("items.starred = {}", i32::from(*starred)), []),
            Term::SharedWithMe(shared) => {
                let me = asker.user.no;
                let sql = format!(
                    "(items.drive IS NULL AND items.owner <> {me}
                      AND items.no IN (SELECT item FROM permissions WHERE user = {me})) = {}",
                    i32::from(*shared)
                );
                self.push(&sql, []);
            }
            // What is in a shared drive has no owner.
            Term::InOwners(address) => {
                let sql = "items.owner = (SELECT no FROM users WHERE email = ? COLLATE NOCASE)";
                self.push(sql, [text(somebody(address, asker))]);
            }
            Term::InUsers(address, role) => self.users(somebody(address, asker), *role),
            Term::Visibility(Visibility::Limited) => {
                self.sql.push_str("NOT ");
                self.shared("kind IN ('domain', 'anyone')", []);
            }
            Term::Visibility(Visibility::Shared(holder, is_found)) => {
                self.shared("kind = ? AND found = ?", [text(holder.name()), Value::Integer(i64::from(*is_found))]);
            }
            // Nothing bears a label, and only drives can be hidden.
            Term::InLabels(_) | Term::Hidden(_) => self.constant(false),
            Term::InParents(id) => {
                let id = asker.resolve(id).map_err(|_| ApiError::spaces_not_granted())?;
                self.push("items.parent = (SELECT folder.no FROM items AS folder WHERE folder.id = ?)", [text(id)]);
            }
            Term::Property { scope, key, value } => {
                let app = match scope {
                    PropertyScope::Public => "",
                    PropertyScope::Private => &*asker.app,
                };
                let sql = "items.no IN (SELECT item FROM properties WHERE key = ? AND value = ? AND app = ?)";
                self.push(sql, [text(key), text(value), text(app)]);
            }
            Term::ShortcutTarget(id) => self.push("items.shortcut_target = ?", [text(id)]),
        }
        Ok(())
    }
}

fn somebody<'a>(address: &'a str, asker: &'a Caller) -> &'a str {
    if address == "me" { &asker.user.email } else { address }
}

/// The names of a role and of those above it, as a list of SQL.
fn names_from(role: Role) -> &'static str {
    match role {
        Role::Reader => "'reader', 'commenter', 'writer', 'fileOrganizer', 'organizer'",
        Role::Commenter => "'commenter', 'writer', 'fileOrganizer', 'organizer'",
        Role::Writer => "'writer', 'fileOrganizer', 'organizer'",
        Role::FileOrganizer => "'fileOrganizer', 'organizer'",
        Role::Organizer | Role::Owner => "'organizer'",
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::store::in_memory;
    use super::super::parse;
    use super::*;

    #[test]
    fn a_query_becomes_a_condition_with_bound_values() {
        let asker = in_memory().1.own_caller();
        let expr = parse("'root' in parents and not (name = 'It\\'s' or starred = true)").expect("parses");
        let condition = condition(&expr, &asker).expect("may be asked");
        assert!(condition.is_narrow);
        assert_eq!(
            condition.sql,
            "(items.parent = (SELECT folder.no FROM items AS folder WHERE folder.id = ?) AND NOT \
             coalesce((items.folded = ? OR items.starred = 1), 0))"
        );
        assert_eq!(condition.params, [Value::Text(asker.user.root.clone()), Value::Text("it's".into())]);
    }
}
