//! Answers are lost, requests arrive late, and others use the drive at the worst moment.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::cloud::{Cloud, PROGRAM, eventually};
use crate::machine::{Machine, bytes, names, read, run, said, write};
use crate::proxy::{Fate, Proxy};

const SOON: Duration = Duration::from_millis(1200);

/// Waits until a machine has heard of everything that was done on the drive before.
fn hear(cloud: &Cloud, machine: &Machine) {
    let name = format!("marker {:?}", Instant::now());
    let id = cloud.upload(&name, &cloud.root(), b"");
    eventually("the news", || names(machine.drive()).contains(&name).then_some(()));
    cloud.call("DELETE", &format!("/drive/v3/files/{id}"), &[], None);
    eventually("more news", || (!names(machine.drive()).contains(&name)).then_some(()));
}

/// A machine that reaches the drive by this way only.
fn behind(proxy: &Proxy) -> Machine {
    let mut machine = Machine::new();
    machine.url = Some(proxy.url.clone());
    machine
}

#[test]
fn a_save_after_a_lost_answer_is_sent_too() {
    let cloud = Cloud::start();
    let proxy = Proxy::start(&cloud);
    let machine = behind(&proxy);
    machine.mount(&cloud);
    let mut lost = false;
    proxy.rule(move |method, path| match (method, path.starts_with("/upload")) {
        ("POST", true) if !lost => {
            lost = true;
            Fate::AnswerLost
        }
        _ if lost => Fate::Broken,
        _ => Fate::Pass,
    });
    write(machine.at("doc"), b"first");
    eventually("it failed", || machine.status()["unsent"]["items"][0]["reason"].as_str().map(drop));
    write(machine.at("doc"), b"second, longer");
    proxy.rule(|_, _| Fate::Pass);
    machine.flush();
    assert_eq!(cloud.content(&cloud.id("doc")), b"second, longer");
    assert_eq!(cloud.all().len(), 1);
}

#[test]
fn what_cannot_be_sent_behind_many_folders_ends_a_flush() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    // Deeper than a drive allows.
    let mut path = machine.drive();
    for _ in 0..104 {
        path = path.join("d");
        fs::create_dir(&path).expect("makes");
    }
    let output = run(Command::new(PROGRAM).args(["flush", "--timeout", "60s"]).arg(machine.drive()));
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    assert!(said(&output).contains("too"), "{}", said(&output));
}

#[test]
fn content_that_came_while_a_file_was_open_for_writing_is_read_after_it() {
    let cloud = Cloud::start();
    let id = cloud.upload("file", &cloud.root(), b"old old old");
    let machine = Machine::with(&cloud);
    let mut open = OpenOptions::new().read(true).write(true).open(machine.at("file")).expect("opens");
    open.read_to_end(&mut Vec::new()).expect("reads");
    cloud.rewrite(&id, b"NEW NEW NEW NEW");
    hear(&cloud, &machine);
    drop(open);
    eventually("the new content", || (read(machine.at("file")) == b"NEW NEW NEW NEW").then_some(()));
    OpenOptions::new().append(true).open(machine.at("file")).expect("opens").write_all(b"!").expect("writes");
    machine.flush();
    assert_eq!(cloud.content(&id), b"NEW NEW NEW NEW!");
}

#[test]
fn content_that_came_after_our_own_was_sent_is_read() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    let mut open =
        File::options().read(true).write(true).create(true).truncate(false).open(machine.at("file")).expect("opens");
    open.write_all(b"ours ours").expect("writes");
    open.sync_all().expect("syncs");
    machine.flush();
    assert_eq!(read(machine.at("file")), b"ours ours");
    cloud.rewrite(&cloud.id("file"), b"THEIRS THEIRS THEIRS");
    hear(&cloud, &machine);
    drop(open);
    eventually("the new content", || (read(machine.at("file")) == b"THEIRS THEIRS THEIRS").then_some(()));
}

#[test]
fn new_content_is_read_also_if_somebody_read_the_old_one_after_it_came() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    let mut open =
        File::options().read(true).write(true).create(true).truncate(false).open(machine.at("file")).expect("opens");
    open.write_all(b"ours ours").expect("writes");
    machine.flush();
    cloud.rewrite(&cloud.id("file"), b"THEIRS THEIRS THEIRS");
    hear(&cloud, &machine);
    // It belongs to who writes it, and this one is among them.
    let mut reader = File::open(machine.at("file")).expect("opens");
    let mut seen = Vec::new();
    reader.read_to_end(&mut seen).expect("reads");
    assert_eq!(seen, b"ours ours");
    drop(open);
    drop(reader);
    eventually("the new content", || (read(machine.at("file")) == b"THEIRS THEIRS THEIRS").then_some(()));
}

#[test]
fn what_somebody_put_into_the_trash_stays_there() {
    let cloud = Cloud::start();
    let proxy = Proxy::start(&cloud);
    let id = cloud.upload("file", &cloud.root(), b"precious");
    let machine = behind(&proxy);
    machine.mount(&cloud);
    assert_eq!(read(machine.at("file")), b"precious");
    let sent = std::sync::Arc::new(AtomicBool::new(false));
    let seen = std::sync::Arc::clone(&sent);
    proxy.rule(move |method, path| {
        if method == "PATCH" && path.starts_with("/drive") {
            seen.store(true, Ordering::Relaxed);
            Fate::AnsweredAfter(3 * SOON)
        } else {
            Fate::Pass
        }
    });
    fs::set_permissions(machine.at("file"), Permissions::from_mode(0o755)).expect("chmod");
    eventually("it is sent", || sent.load(Ordering::Relaxed).then_some(()));
    cloud.trash(&id);
    machine.flush();
    let there = cloud.call("GET", &format!("/drive/v3/files/{id}"), &[("fields", "trashed")], None);
    assert_eq!(there, json!({"trashed": true}));
    eventually("it is gone here", || (!machine.at("file").exists()).then_some(()));
}

#[test]
fn an_edit_whose_file_is_trashed_during_its_upload_is_sent_as_a_new_file() {
    let cloud = Cloud::start();
    let id = cloud.upload("file", &cloud.root(), b"small");
    let machine = Machine::with(&cloud);
    let content = bytes(5, 100 << 20);
    write(machine.at("file"), &content);
    eventually("under way", || machine.status()["unsent"]["items"][0]["sent"].as_u64().filter(|&sent| sent > 4 << 20));
    cloud.trash(&id);
    machine.flush();
    assert!(cloud.content(&cloud.id("file")) == content);
    let old = cloud.call("GET", &format!("/drive/v3/files/{id}"), &[("fields", "trashed")], None);
    assert_eq!(old, json!({"trashed": true}), "where it was put");
}

#[test]
fn a_file_removed_while_its_id_is_reserved_stops_nothing() {
    let cloud = Cloud::start();
    let proxy = Proxy::start(&cloud);
    let machine = behind(&proxy);
    machine.mount(&cloud);
    let asked = std::sync::Arc::new(AtomicBool::new(false));
    let seen = std::sync::Arc::clone(&asked);
    proxy.rule(move |_, path| {
        if path.contains("generateIds") {
            seen.store(true, Ordering::Relaxed);
            Fate::AnsweredAfter(2 * SOON)
        } else {
            Fate::Pass
        }
    });
    write(machine.at("file"), b"one");
    eventually("ids are asked for", || asked.load(Ordering::Relaxed).then_some(()));
    write(machine.at("tmp"), b"two");
    fs::rename(machine.at("tmp"), machine.at("file")).expect("renames");
    machine.flush();
    assert_eq!(cloud.content(&cloud.id("file")), b"two");
    assert_eq!(cloud.all().len(), 1);
}

#[test]
fn taking_over_an_identity_mixes_no_contents() {
    let cloud = Cloud::start();
    let proxy = Proxy::start(&cloud);
    let id = cloud.upload("file", &cloud.root(), &[b'a'; 1000]);
    let mut machine = behind(&proxy);
    machine.arguments = ["--poll-interval", "1h"].map(str::to_owned).to_vec();
    machine.mount(&cloud);
    assert_eq!(read(machine.at("file")), [b'a'; 1000]);
    proxy.rule(
        |method, path| {
            if method == "POST" && path.starts_with("/upload") { Fate::ArrivesAfter(4 * SOON) } else { Fate::Pass }
        },
    );
    let open = OpenOptions::new().write(true).open(machine.at("file")).expect("opens");
    open.write_all_at(b"XX", 0).expect("writes");
    cloud.rewrite(&id, &[b'z'; 1000]);
    drop(open);
    let copy = eventually("a copy", || names(machine.drive()).into_iter().find(|name| name.contains("conflict")));
    let before = read(machine.at(&copy));
    fs::rename(machine.at(&copy), machine.at("file")).expect("renames");
    assert!(read(machine.at("file")) == before);
    machine.flush();
    assert!(cloud.content(&cloud.id("file")) == before);
}

#[test]
fn what_was_trashed_before_we_renamed_it_is_gone_here_too() {
    let cloud = Cloud::start();
    let id = cloud.upload("file", &cloud.root(), b"content");
    let mut machine = Machine::new();
    machine.arguments = ["--poll-interval", "3s"].map(str::to_owned).to_vec();
    machine.mount(&cloud);
    assert_eq!(read(machine.at("file")), b"content");
    hear(&cloud, &machine);
    cloud.trash(&id);
    fs::rename(machine.at("file"), machine.at("renamed")).expect("renames");
    eventually("gone", || names(machine.drive()).is_empty().then_some(()));
    machine.flush();
}

#[test]
fn a_file_made_in_a_folder_that_is_in_the_trash_by_now_brings_the_folder_back() {
    let cloud = Cloud::start();
    let folder = cloud.make_folder("run", &cloud.root());
    let mut machine = Machine::new();
    machine.arguments = ["--poll-interval", "1h"].map(str::to_owned).to_vec();
    machine.mount(&cloud);
    assert_eq!(names(machine.at("run")), Vec::<String>::new());
    cloud.trash(&folder);
    write(machine.at("run/model.pt"), b"checkpoint");
    machine.flush();
    assert_eq!(read(machine.at("run/model.pt")), b"checkpoint");
    assert_eq!(cloud.content(&cloud.id("model.pt")), b"checkpoint");
    let other = Machine::with(&cloud);
    assert_eq!(read(other.at("run/model.pt")), b"checkpoint", "and everybody finds it");
}

#[test]
fn syncing_while_an_answer_is_stored_is_no_conflict() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    write(machine.at("file"), bytes(1, 10_000));
    machine.flush();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                machine.flush();
            }
        });
        for round in 0..400_u64 {
            let open = OpenOptions::new().write(true).open(machine.at("file")).expect("opens");
            open.write_all_at(&round.to_le_bytes(), round % 9_000).expect("writes");
            open.sync_all().expect("syncs");
        }
        done.store(true, Ordering::Relaxed);
    });
    machine.flush();
    assert_eq!(machine.status()["conflicts"], json!([]));
    assert_eq!(names(machine.drive()), ["file"]);
    assert!(cloud.content(&cloud.id("file")) == read(machine.at("file")));
}

#[test]
fn a_second_writer_does_not_cost_the_first_one_its_edit() {
    let cloud = Cloud::start();
    let id = cloud.upload("file", &cloud.root(), b"common");
    let machine = Machine::with(&cloud);
    assert_eq!(read(machine.at("file")), b"common");
    let first = OpenOptions::new().write(true).open(machine.at("file")).expect("opens");
    cloud.rewrite(&id, b"theirs");
    hear(&cloud, &machine);
    drop(OpenOptions::new().write(true).open(machine.at("file")).expect("opens"));
    first.write_all_at(b"our edit", 0).expect("writes");
    drop(first);
    machine.flush();
    let copy = machine.status()["conflicts"][0]["copy"].as_str().expect("a conflict").to_owned();
    assert_eq!(cloud.content(&cloud.id(&copy)), b"our edit");
    assert_eq!(cloud.content(&id), b"theirs");
}

#[test]
fn an_edit_that_is_not_closed_yet_survives_the_removal_of_its_file() {
    let cloud = Cloud::start();
    let id = cloud.upload("file", &cloud.root(), b"common");
    let machine = Machine::with(&cloud);
    assert_eq!(read(machine.at("file")), b"common");
    let open = OpenOptions::new().write(true).open(machine.at("file")).expect("opens");
    open.write_all_at(b"our edit", 0).expect("writes");
    cloud.trash(&id);
    hear(&cloud, &machine);
    open.write_all_at(b", all of it", 8).expect("writes");
    open.sync_all().expect("syncs");
    drop(open);
    machine.flush();
    assert_eq!(cloud.content(&cloud.id("file")), b"our edit, all of it");
}

#[test]
fn a_change_of_a_file_that_gets_a_new_number_is_sent_by_itself() {
    let cloud = Cloud::start();
    let id = cloud.upload("file", &cloud.root(), b"common");
    let machine = Machine::with(&cloud);
    let mut open = File::open(machine.at("file")).expect("opens");
    open.read_to_end(&mut Vec::new()).expect("reads");
    cloud.rewrite(&id, b"theirs");
    fs::set_permissions(machine.at("file"), Permissions::from_mode(0o755)).expect("chmod");
    eventually("it is sent", || (machine.status()["unsent"]["entries"] == 0).then_some(()));
}

#[test]
fn an_older_save_that_arrives_late_does_not_replace_a_newer_one() {
    let cloud = Cloud::start();
    let proxy = Proxy::start(&cloud);
    let machine = behind(&proxy);
    machine.mount(&cloud);
    write(machine.at("file"), b"zero");
    machine.flush();
    let sent =
        proxy.first(Fate::ArrivesAfter(3 * SOON), |method, path| method == "PATCH" && path.starts_with("/upload"));
    write(machine.at("file"), b"save one");
    eventually("it is sent", || sent.load(Ordering::Relaxed).then_some(()));
    for content in [&b"save two"[..], b"save three"] {
        write(machine.at("tmp"), content);
        fs::rename(machine.at("tmp"), machine.at("file")).expect("renames");
    }
    let cpu = || -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", machine.pid())).expect("stat");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        fields[11..13].iter().map(|ticks| ticks.parse::<u64>().expect("number")).sum()
    };
    let before = cpu();
    std::thread::sleep(SOON);
    assert!(cpu() - before < 50, "waiting costs nothing");
    machine.flush();
    assert_eq!(read(machine.at("file")), b"save three");
    assert_eq!(cloud.content(&cloud.id("file")), b"save three");
}

#[test]
fn who_reads_a_file_that_is_saved_by_rename_sees_each_time_a_whole_one() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    write(machine.at("file"), 0_u64.to_le_bytes());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut last = 0;
                while !done.load(Ordering::Relaxed) {
                    let seen = read(machine.at("file"));
                    let number = u64::from_le_bytes(seen.try_into().expect("whole"));
                    assert!(number >= last, "never back");
                    last = number;
                }
            });
        }
        let saves = scope.spawn(|| {
            for number in 1..=1000_u64 {
                write(machine.at("tmp"), number.to_le_bytes());
                fs::rename(machine.at("tmp"), machine.at("file")).expect("renames");
            }
        });
        let saved = saves.join();
        done.store(true, Ordering::Relaxed);
        saved.expect("saves");
    });
}

#[test]
fn content_without_a_checksum_is_read_back_before_it_counts_as_sent() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    cloud.make_trouble(&["*:withhold,fields=md5Checksum+sha1Checksum+sha256Checksum"]);
    let (small, large) = (bytes(1, 70_000), bytes(2, 6 << 20));
    write(machine.at("small"), &small);
    write(machine.at("large"), &large);
    machine.flush();
    assert_eq!(cloud.content(&cloud.id("small")), small);
    assert_eq!(cloud.content(&cloud.id("large")), large);
    // What cannot be looked at is not believed.
    cloud.make_trouble(&["*:withhold,fields=md5Checksum+sha1Checksum+sha256Checksum", "*:flagged"]);
    write(machine.at("flagged"), b"looks harmful");
    eventually("it is said", || machine.status()["unsent"]["items"][0]["reason"].as_str().map(drop));
    cloud.make_trouble(&[]);
    machine.flush();
    assert_eq!(cloud.content(&cloud.id("flagged")), b"looks harmful");
    assert_eq!(cloud.all().len(), 3, "and nothing twice");
}

#[test]
fn an_upload_goes_on_where_its_session_went_and_from_what_was_taken() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    cloud.make_trouble(&["uploads.send:move-session", "uploads.send:store-less,part=30-60"]);
    let content = bytes(3, 12 << 20);
    write(machine.at("moved"), &content);
    eventually("it is under way", || {
        let hits = cloud.call("GET", "/admin/trouble", &[], None)["rules"][1]["hits"].as_u64();
        (hits > Some(2)).then_some(())
    });
    cloud.make_trouble(&["uploads.send:move-session"]);
    machine.flush();
    assert_eq!(cloud.content(&cloud.id("moved")), content);
    let meter = cloud.call("GET", "/admin/meter", &[], None);
    assert_eq!(meter["methods"]["uploads.start"]["requests"], 1, "in one session: {meter}");
}

#[test]
fn a_drive_that_takes_no_more_bytes_is_said_and_waited_for() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    cloud.make_trouble(&["uploads.send:store-less,part=0"]);
    let content = bytes(4, 6 << 20);
    write(machine.at("stuck"), &content);
    eventually("it is said", || machine.status()["unsent"]["items"][0]["reason"].as_str().map(drop));
    cloud.make_trouble(&[]);
    machine.flush();
    assert_eq!(cloud.content(&cloud.id("stuck")), content);
}

#[test]
fn a_folder_is_listed_whole_over_short_empty_and_refused_pages() {
    let cloud = Cloud::start();
    let folder = cloud.make_folder("folder", &cloud.root());
    for number in 0..8 {
        cloud.upload(&format!("file {number}"), &folder, b"x");
    }
    let machine = Machine::with(&cloud);
    cloud.make_trouble(&[
        "*:short-page,size=2",
        "files.list:empty-page,share=0.3",
        "files.list:expire-page-token,share=0.2",
        "changes.list:empty-page,share=0.5",
    ]);
    assert_eq!(names(machine.at("folder")).len(), 8);
    hear(&cloud, &machine);
    cloud.make_trouble(&["*:empty-page"]);
    let other = cloud.make_folder("endless", &cloud.root());
    cloud.upload("inside", &other, b"x");
    cloud.make_trouble(&["files.list:empty-page"]);
    eventually("the folder is heard of", || names(machine.drive()).contains(&"endless".to_owned()).then_some(()));
    let error = fs::read_dir(machine.at("endless")).and_then(|mut entries| entries.next().transpose());
    assert_eq!(error.expect_err("no end").raw_os_error(), Some(5));
    cloud.make_trouble(&[]);
    assert_eq!(names(machine.at("endless")), ["inside"]);
}

#[test]
fn what_was_removed_before_its_create_was_answered_is_not_brought_back_by_older_news() {
    let cloud = Cloud::start();
    let proxy = Proxy::start(&cloud);
    let machine = behind(&proxy);
    machine.mount(&cloud);
    let late = |path: &str| path.starts_with("/upload").then_some(Fate::AnsweredAfter(SOON));
    proxy.rule(move |_, path| late(path).unwrap_or(Fate::Pass));
    write(machine.at("short-lived"), b"content");
    eventually("the drive has it", || (cloud.all().len() == 1).then_some(()));
    // The news of it is under way from now on until after it is gone.
    let news = |path: &str| path.starts_with("/drive/v3/changes").then_some(Fate::AnsweredAfter(2 * SOON));
    proxy.rule(move |_, path| late(path).or_else(|| news(path)).unwrap_or(Fate::Pass));
    fs::remove_file(machine.at("short-lived")).expect("removes");
    eventually("it is gone from the drive", || cloud.all().is_empty().then_some(()));
    let until = Instant::now() + 3 * SOON;
    while Instant::now() < until {
        assert_eq!(names(machine.drive()), [""; 0]);
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_name_that_was_asked_for_before_a_kill_does_not_undo_one_that_came_after() {
    let cloud = Cloud::start();
    let proxy = Proxy::start(&cloud);
    let machine = behind(&proxy);
    machine.mount(&cloud);
    write(machine.at("old"), b"content");
    machine.flush();
    cloud.call("DELETE", "/admin/meter", &[], None);
    let sent = proxy.first(Fate::ArrivesAfter(2 * SOON), |method, _| method == "PATCH");
    fs::rename(machine.at("old"), machine.at("first")).expect("renames");
    eventually("it is sent", || sent.load(Ordering::Relaxed).then_some(()));
    machine.kill();
    let requests = || cloud.call("GET", "/admin/meter", &[], None)["methods"]["files.update"]["requests"].as_u64();
    machine.mount(&cloud);
    eventually("the same is sent again", || requests().filter(|&requests| requests > 0));
    fs::rename(machine.at("first"), machine.at("second")).expect("renames");
    machine.flush();
    eventually("all three arrived", || requests().filter(|&requests| requests == 3));
    hear(&cloud, &machine);
    assert_eq!(names(machine.drive()), ["second"]);
    assert_eq!(cloud.content(&cloud.id("second")), b"content");
}
