//! A query on shared drives, of which there are few: each is looked at.

use super::super::item::SharedDrive;
use super::words::{fold, name_contains};
use super::{Comparison, Expr, Term, TimeField};

/// Whether `expr` holds for a drive. Terms that are about files hold for none.
pub(crate) fn holds(expr: &Expr, drive: &SharedDrive) -> bool {
    match expr {
        Expr::And(left, right) => holds(left, drive) && holds(right, drive),
        Expr::Or(left, right) => holds(left, drive) || holds(right, drive),
        Expr::Not(inner) => !holds(inner, drive),
        Expr::Term(Term::Name(name)) => fold(&drive.name) == fold(name),
        Expr::Term(Term::NameContains(searched)) => name_contains(&fold(&drive.name), &fold(searched)),
        Expr::Term(Term::Hidden(hidden)) => drive.hidden == *hidden,
        Expr::Term(Term::Time(TimeField::Created, comparison, time)) => {
            let (created, time) = (drive.created.millis(), time.millis());
            match comparison {
                Comparison::Less => created < time,
                Comparison::LessOrEqual => created <= time,
                Comparison::Equal => created == time,
                Comparison::GreaterOrEqual => created >= time,
                Comparison::Greater => created > time,
            }
        }
        Expr::Term(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::super::parse_for_drives;
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn drives_are_found_by_name_time_and_whether_they_are_hidden() {
        let created = Timestamp::parse_rfc3339("2026-01-02T03:04:05Z").expect("a time");
        let drive = SharedDrive {
            no: 1,
            id: "D".into(),
            name: "Big Project".into(),
            created,
            hidden: true,
            details: Map::new(),
            version: 1,
            changed: created,
        };
        for (q, found) in [
            ("name = 'big project'", true),
            ("name != 'Big Project'", false),
            ("name contains 'proj'", true),
            ("name contains 'ject'", false),
            ("hidden = true", true),
            ("hidden != true or name contains 'x'", false),
            ("createdTime > '2026-01-02T03:04:04' and not (createdTime >= '2026-01-03')", true),
            ("createdTime != '2026-01-02T03:04:05'", false),
        ] {
            assert_eq!(holds(&parse_for_drives(q).expect(q), &drive), found, "{q}");
        }
        for q in ["trashed = false", "'D' in parents", "memberCount > 1", "hidden", "name"] {
            assert!(parse_for_drives(q).is_err(), "{q}");
        }
    }
}
