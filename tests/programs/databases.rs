//! Databases in one file, which go by locks, by `fsync`, and by maps that processes share.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::both::{Both, OURS, Program, TROUBLE, python};
use crate::cloud::Cloud;
use crate::machine::{Machine, sh};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/programs/databases.py");

#[test]
fn sqlite_commits_with_several_processes_and_survives_the_kill_of_a_writer() {
    python();
    let mut both = Both::start();
    both.run(
        Program::new(
            "sqlite",
            r#"
            for mode in delete truncate persist wal; do
                sqlite3 $mode.db "PRAGMA journal_mode=$mode; CREATE TABLE t(n INTEGER PRIMARY KEY, text); CREATE INDEX i ON t(text);
                    WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 500) INSERT INTO t SELECT n, hex(n * n) FROM c;
                    UPDATE t SET text = 'even' WHERE n % 2 = 0; DELETE FROM t WHERE n % 7 = 0; SELECT count(*), sum(n) FROM t"
                $OURS "$SCRIPTS/databases.py" together $mode.db 4 15
                sqlite3 $mode.db "BEGIN; DELETE FROM t; ROLLBACK; SELECT count(*) FROM t; PRAGMA integrity_check; VACUUM; REINDEX; PRAGMA integrity_check"
                $OURS "$SCRIPTS/databases.py" killed $mode.db
                sqlite3 $mode.db "PRAGMA integrity_check; SELECT count(*) FROM t"
                sqlite3 $mode.db .dump | sed 1,3d | sort | md5sum; sqlite3 $mode.db ".backup $mode.backup"; sqlite3 $mode.backup "PRAGMA integrity_check"
            done
            sqlite3 wal.db "PRAGMA wal_checkpoint(TRUNCATE)"; ls
            "#,
        )
        // Which process came first.
        .varies(&["*.db", "*.backup", "*.db-journal"])
        .again(
            r#"
            for mode in delete truncate persist wal; do
                sqlite3 $mode.db "PRAGMA integrity_check; SELECT count(*), sum(n) FROM t; PRAGMA journal_mode"
                $OURS "$SCRIPTS/databases.py" together $mode.db 2 5; sqlite3 $mode.db "PRAGMA integrity_check"
            done
            "#,
        ),
    );
    both.come_back();
}

/// A process that commits and says each number as soon as that is done.
fn commits(machine: &Machine, mode: &str, synchronous: &str) -> (Child, impl FnMut() -> Option<u64> + use<>) {
    let mut command = Command::new(OURS);
    command.args([SCRIPT, "commits"]).arg(machine.at("file.db")).args([mode, synchronous]);
    let mut writer = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("starts");
    let mut lines = BufReader::new(writer.stdout.take().expect("piped")).lines();
    (writer, move || Some(lines.next()?.ok()?.parse().expect("a number")))
}

fn what_was_committed_survives_a_kill_of_the_daemon(mode: &str, synchronous: &str) {
    python();
    let cloud = Cloud::start();
    let machine = Machine::new();
    cloud.make_trouble(TROUBLE);
    machine.mount(&cloud);
    for _ in 0..3 {
        let (mut writer, mut committed) = commits(&machine, mode, synchronous);
        let (mut last, mut here) = (0, 0);
        while here < 20 {
            last = committed().expect("it commits");
            here += 1;
        }
        machine.kill();
        while let Some(number) = committed() {
            last = number;
        }
        writer.wait().expect("ends");
        machine.mount(&cloud);
        let found = sh(&format!(
            "sqlite3 {} 'PRAGMA integrity_check; SELECT coalesce(max(n), 0) FROM t; SELECT count(*) FROM t'",
            machine.at("file.db").display()
        ));
        let lines: Vec<&str> = found.lines().collect();
        let [sound, most, count] = lines[..] else { panic!("{found}") };
        assert_eq!((sound, most), ("ok", count), "nothing is missing in between");
        let most: u64 = most.parse().expect("a number");
        let least = if synchronous == "full" { last } else { 0 };
        assert!((least..=last + 1).contains(&most), "{last} were committed, and {most} are there");
    }
    machine.flush();
    machine.unmount();
    machine.lose_cache();
    machine.mount(&cloud);
    sh(&format!("sqlite3 {} 'PRAGMA integrity_check' | grep -qx ok", machine.at("file.db").display()));
}

#[test]
fn what_sqlite_committed_survives_a_kill_of_the_daemon() {
    what_was_committed_survives_a_kill_of_the_daemon("delete", "full");
}

#[test]
fn what_sqlite_committed_with_a_log_ahead_survives_a_kill_of_the_daemon() {
    what_was_committed_survives_a_kill_of_the_daemon("wal", "full");
}

#[test]
fn what_sqlite_did_not_sync_may_go_with_the_daemon_and_the_rest_is_sound() {
    what_was_committed_survives_a_kill_of_the_daemon("wal", "normal");
}
