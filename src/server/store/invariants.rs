//! What must hold of the tables between two transactions, whatever was done. Looked at by tests after every change.

use rusqlite::Connection;

/// Each with a query that finds what breaks it.
const INVARIANTS: [(&str, &str); 21] = [
    (
        "each user has one root, which is not in the trash",
        "SELECT users.no FROM users LEFT JOIN items ON items.no = users.root
         WHERE items.no IS NULL OR items.owner IS NOT users.no OR items.parent IS NOT NULL OR items.trashed = 1",
    ),
    (
        "an item is owned by a user or in a shared drive",
        "SELECT id FROM items WHERE (owner IS NULL) = (drive IS NULL) OR owner NOT IN (SELECT no FROM users)",
    ),
    (
        "what is hidden is hidden with all that is in it, from everybody but its owner, and not in the trash",
        "SELECT items.id FROM items LEFT JOIN items AS parents ON parents.no = items.parent
         WHERE items.app_data IS NOT NULL AND (items.trashed = 1 OR items.drive IS NOT NULL
               OR items.parent IS NOT NULL AND items.owner IS NOT parents.owner
               OR items.no IN (SELECT item FROM permissions))
            OR items.parent IS NOT NULL AND items.app_data IS NOT parents.app_data",
    ),
    (
        "each shared drive has somebody who organizes it, and nothing else has",
        "SELECT no FROM drives WHERE no NOT IN (SELECT item FROM permissions WHERE role = 'organizer')
         UNION ALL SELECT item FROM permissions WHERE role = 'organizer' AND item NOT IN (SELECT no FROM drives)",
    ),
    (
        "each shared drive has a top folder of its own, which is not in the trash",
        "SELECT drives.no FROM drives LEFT JOIN items ON items.no = drives.no
         WHERE items.no IS NULL OR items.drive IS NOT items.no OR items.parent IS NOT NULL OR items.trashed = 1",
    ),
    (
        "nothing else is at the top",
        "SELECT id FROM items WHERE parent IS NULL AND no NOT IN (SELECT no FROM drives)
                                AND no NOT IN (SELECT root FROM users) AND app_data IS NULL",
    ),
    (
        "an item is in the drive that its parent is in",
        "SELECT items.id FROM items JOIN items AS parents ON parents.no = items.parent
         WHERE items.drive IS NOT parents.drive",
    ),
    (
        "items of a shared drive are counted",
        "SELECT no FROM drives
         WHERE items <> (SELECT count(*) FROM items WHERE items.drive = drives.no AND parent IS NOT NULL)",
    ),
    (
        "only what was put into the trash has the time of that",
        "SELECT id FROM items WHERE trashed_time IS NOT NULL AND explicitly_trashed = 0",
    ),
    (
        "only folders have children",
        "SELECT items.id FROM items JOIN items AS parents ON parents.no = items.parent
         WHERE parents.mime_type <> 'application/vnd.google-apps.folder'",
    ),
    (
        "every item can be reached from the top of a drive",
        "WITH RECURSIVE reached (no) AS (
             SELECT no FROM items WHERE parent IS NULL
             UNION SELECT items.no FROM items JOIN reached ON items.parent = reached.no)
         SELECT id FROM items WHERE no NOT IN reached",
    ),
    (
        "an item is in the trash if it was put there or its parent is in it",
        "SELECT items.id FROM items LEFT JOIN items AS parents ON parents.no = items.parent
         WHERE items.trashed <> (items.explicitly_trashed OR coalesce(parents.trashed, 0))",
    ),
    (
        "children are counted",
        "SELECT id FROM items WHERE children <> (SELECT count(*) FROM items AS below WHERE below.parent = items.no)",
    ),
    (
        "storage is counted",
        "SELECT no FROM users WHERE used <> (SELECT sum(quota_bytes) FROM items WHERE owner = users.no)",
    ),
    (
        "an item uses the storage of its current revision and those kept",
        "SELECT id FROM items WHERE quota_bytes <> (SELECT coalesce(sum(size), 0) FROM revisions
                                                    WHERE item = items.no AND (no = head OR keep_forever = 1))",
    ),
    (
        "files have a current revision, folders and shortcuts have none, documents may have one",
        "SELECT items.id FROM items LEFT JOIN revisions ON revisions.no = items.head AND revisions.item = items.no
         WHERE iif(revisions.no IS NULL,
                   items.head IS NOT NULL OR items.mime_type NOT GLOB 'application/vnd.google-apps.*',
                   items.mime_type IN ('application/vnd.google-apps.folder', 'application/vnd.google-apps.shortcut'))",
    ),
    (
        "a revision has its bytes as long as it can be asked for",
        "SELECT revisions.id FROM revisions JOIN items ON items.no = revisions.item
         WHERE size > 0 AND (blob IS NULL) = (revisions.no = items.head OR keep_forever = 1)",
    ),
    (
        "bytes belong to revisions, to a session, to a draft, or to nobody",
        "SELECT blob FROM (SELECT DISTINCT blob FROM revisions UNION ALL SELECT blob FROM sessions
                           UNION ALL SELECT blob FROM drafts UNION ALL SELECT blob FROM doomed)
         WHERE blob IS NOT NULL GROUP BY blob HAVING count(*) > 1",
    ),
    (
        "a change has one number, and none is ahead of the count",
        "SELECT version FROM (SELECT version FROM items UNION ALL SELECT version FROM removed
                              UNION ALL SELECT version FROM drives)
         GROUP BY version HAVING count(*) > 1 OR version > (SELECT change FROM drive)",
    ),
    (
        "what is removed from a log is not in it",
        "SELECT removed.id FROM removed JOIN items ON items.id = removed.id
         LEFT JOIN items AS tops ON tops.no = items.drive
         WHERE removed.is_drive = 0 AND tops.id IS removed.drive AND items.owner IS removed.user",
    ),
    (
        "nothing is removed twice from one log",
        "SELECT id FROM removed GROUP BY id, drive, user, is_drive HAVING count(*) > 1",
    ),
];

/// Panics with the first invariant that does not hold.
pub(crate) fn check(db: &Connection) {
    for (invariant, query) in INVARIANTS {
        let broken = db.prepare(query).expect(invariant).exists([]).expect(invariant);
        assert!(!broken, "not so any more: {invariant}");
    }
    let foreign_keys = db.prepare("PRAGMA foreign_key_check").expect("prepares").exists([]).expect("runs");
    assert!(!foreign_keys, "a row refers to one that is not there");
}
