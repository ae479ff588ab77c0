//! A query as a condition of the database, over the table `items`.
//!
//! In SQL a comparison with an absent value is neither true nor false. `WHERE` takes that for false, as the drive does, and
//! so do `AND` and `OR` on the way up; only a negation must settle it first.

use rusqlite::types::Value;

use super::words::fold;
use super::{Comparison, Expr, PropertyScope, Term, TimeField, Visibility};

/// Who asks, where the meaning of a query depends on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker<'a> {
    /// The application, which sees only its own private properties.
    pub app: &'a str,
    /// The mail address of the one user.
    pub email: &'a str,
    /// What `root` stands for.
    pub root: &'a str,
}

/// An SQL expression with its parameters, in the order of its question marks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Condition {
    pub sql: String,
    pub params: Vec<Value>,
    /// Whether an index leads to the few rows that meet it.
    pub is_narrow: bool,
}

/// The condition that `expr` puts on a row of `items`.
pub(crate) fn condition(expr: &Expr, asker: Asker<'_>) -> Condition {
    let mut condition = Condition { sql: String::new(), params: Vec::new(), is_narrow: is_narrow(expr) };
    condition.expr(expr, asker);
    condition
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

impl Condition {
    fn expr(&mut self, expr: &Expr, asker: Asker<'_>) {
        match expr {
            Expr::And(left, right) => self.joined(left, " AND ", right, asker),
            Expr::Or(left, right) => self.joined(left, " OR ", right, asker),
            Expr::Not(inner) => {
                self.sql.push_str("NOT coalesce(");
                self.expr(inner, asker);
                self.sql.push_str(", 0)");
            }
            Expr::Term(term) => self.term(term, asker),
        }
    }

    fn joined(&mut self, left: &Expr, operator: &str, right: &Expr, asker: Asker<'_>) {
        self.sql.push('(');
        self.expr(left, asker);
        self.sql.push_str(operator);
        self.expr(right, asker);
        self.sql.push(')');
    }

    fn push(&mut self, sql: &str, params: impl IntoIterator<Item = Value>) {
        self.sql.push_str(sql);
        self.params.extend(params);
    }

    fn constant(&mut self, value: bool) {
        self.sql.push_str(if value { "1" } else { "0" });
    }

    fn term(&mut self, term: &Term, asker: Asker<'_>) {
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
            // Everything here belongs to the one user.
            Term::SharedWithMe(shared) => self.constant(!shared),
            // What is in a shared drive has no owner.
            Term::InOwners(address) => {
                self.constant(address == "me" || address.eq_ignore_ascii_case(asker.email));
                self.sql.push_str(" AND items.drive IS NULL");
            }
            Term::InUsers(address) => self.constant(address == "me" || address.eq_ignore_ascii_case(asker.email)),
            Term::Visibility(visibility) => self.constant(*visibility == Visibility::Limited),
            // Nothing bears a label, and only drives can be hidden.
            Term::InLabels(_) | Term::Hidden(_) => self.constant(false),
            Term::InParents(id) => {
                let id = if id == "root" { asker.root } else { id };
                self.push("items.parent = (SELECT folder.no FROM items AS folder WHERE folder.id = ?)", [text(id)]);
            }
            Term::Property { scope, key, value } => {
                let app = match scope {
                    PropertyScope::Public => "",
                    PropertyScope::Private => asker.app,
                };
                let sql = "items.no IN (SELECT item FROM properties WHERE key = ? AND value = ? AND app = ?)";
                self.push(sql, [text(key), text(value), text(app)]);
            }
            Term::ShortcutTarget(id) => self.push("items.shortcut_target = ?", [text(id)]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn a_query_becomes_a_condition_with_bound_values() {
        let asker = Asker { app: "app", email: "me@here", root: "ROOT" };
        let expr = parse("'root' in parents and not (name = 'It\\'s' or starred = true)").expect("parses");
        let condition = condition(&expr, asker);
        assert!(condition.is_narrow);
        assert_eq!(
            condition.sql,
            "(items.parent = (SELECT folder.no FROM items AS folder WHERE folder.id = ?) AND NOT \
             coalesce((items.folded = ? OR items.starred = 1), 0))"
        );
        assert_eq!(condition.params, [Value::Text("ROOT".into()), Value::Text("it's".into())]);
    }
}
