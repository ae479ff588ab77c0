//! A drive of an older version is opened as if it had always been of this one, or it is left as it was.

use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::super::access::Access;
use super::users::OWNER;
use super::{APPLICATION, FORMAT, Store, connect, in_memory, invariants, prepare};

/// A drive of format 1, as a server of that time left it: a folder with a file in it, one in the trash, one deleted.
fn old() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("drive.db");
    let db = Connection::open(&path).expect("opens");
    db.execute_batch(include_str!("testdata/format_1.sql")).expect("is made");
    db.pragma_update(None, "application_id", APPLICATION).expect("is set");
    db.pragma_update(None, "user_version", 1).expect("is set");
    db.execute_batch(
        "INSERT INTO drive VALUES (1, 'ROOT', '1', 'secret', 6, 0);
         INSERT INTO items (no, id, parent, name, folded, mime_type, created, modified, starred, trashed,
                            explicitly_trashed, details, version, changed)
         VALUES (1, 'ROOT', NULL, 'My Drive', 'my drive', 'application/vnd.google-apps.folder', 1, 1, 0, 0, 0, '{}', 1, 1),
                (2, 'A', 1, 'a', 'a', 'application/vnd.google-apps.folder', 2, 2, 0, 0, 0, '{}', 2, 2),
                (3, 'B', 2, 'b', 'b', 'text/plain', 3, 3, 1, 0, 0, '{}', 3, 3),
                (4, 'C', 1, 'c', 'c', 'text/plain', 4, 4, 0, 1, 1, '{}', 4, 4);
         INSERT INTO revisions (no, id, item, blob, size, md5, sha1, sha256, mime_type, original_filename, modified,
                                keep_forever)
         VALUES (1, 'R', 3, 'blob1', 7, '', '', '', 'text/plain', 'b', 3, 0),
                (2, 'S', 4, 'blob2', 5, '', '', '', 'text/plain', 'c', 4, 0);
         UPDATE items SET head = no - 2, quota_bytes = iif(no = 3, 7, 5) WHERE no > 2;
         INSERT INTO removed VALUES (5, 'gone', 5);
         INSERT INTO minted VALUES ('gone', 0, 1);",
    )
    .expect("is filled");
    (folder, path)
}

/// Columns, indexes and triggers, without comments and spaces.
fn shape(db: &Connection) -> Vec<String> {
    let sql =
        "SELECT 'column ' || tables.name || ' ' || columns.cid || ' ' || columns.name || ' ' || columns.type || ' '
                      || columns.\"notnull\" || ' ' || ifnull(columns.dflt_value, '-') || ' ' || columns.pk
               FROM sqlite_schema AS tables JOIN pragma_table_info(tables.name) AS columns
               WHERE tables.type = 'table' AND tables.name NOT LIKE 'sqlite_%'
               UNION ALL SELECT sql FROM sqlite_schema WHERE type <> 'table' AND sql IS NOT NULL";
    let mut statement = db.prepare(sql).expect("prepares");
    let rows = statement.query_map([], |row| row.get::<_, String>(0)).expect("runs");
    let mut shape: Vec<String> = rows
        .map(|row| {
            row.expect("reads").lines().map(|line| line.split("--").next().unwrap_or_default()).collect::<String>()
        })
        .map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    shape.sort();
    shape
}

fn opened(path: &Path) -> Result<Store, super::OpenError> {
    Store::open(path, File::open(path).expect("opens"))
}

#[tokio::test]
async fn an_old_drive_becomes_one_of_today_and_loses_nothing() {
    let (_folder, path) = old();
    drop(opened(&path).expect("opens"));
    let store = opened(&path).expect("opens again");
    store
        .read(|db| {
            assert_eq!(db.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))?, FORMAT);
            assert_eq!(shape(db), shape(&in_memory().0));
            invariants::check(db);
            let identity = super::Identity::read(db)?;
            let caller = identity.own_caller();
            let access = &Access::new(db, &identity, &caller);
            assert_eq!((&*caller.user.root, caller.user.no), ("ROOT", OWNER));
            let file = access.get("B")?;
            assert_eq!((file.parent.as_deref(), file.starred, file.drive.as_deref()), (Some("A"), true, None));
            assert_eq!((file.version, file.head.map(|head| head.size)), (3, Some(7)));
            assert_eq!(super::users::used(db, OWNER)?, 12);
            assert_eq!(super::trash::used(db, OWNER)?, 5);
            Ok(())
        })
        .await
        .expect("reads");
}

#[test]
fn a_drive_that_cannot_be_brought_up_to_date_stays_what_it_was() {
    let (_folder, path) = old();
    let mut db = connect(&path).expect("opens");
    // In the way of the new tables, of which this is the last but some triggers.
    db.execute_batch("CREATE TABLE drives (x)").expect("is made");
    let before = shape(&db);
    assert!(prepare(&mut db).is_err());
    assert_eq!(shape(&db), before);
    assert_eq!(db.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).expect("reads"), 1);
    db.execute_batch("DROP TABLE drives").expect("is dropped");
    prepare(&mut db).expect("is brought up to date");
    invariants::check(&db);
}
