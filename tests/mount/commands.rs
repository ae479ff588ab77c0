//! Commands that ask mounts: all of them, for what is new, how one file fares, for the log, for content ahead of time.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cloud::{Cloud, PROGRAM, eventually};
use crate::machine::{Machine, bytes, names, run, said, signal, wait_for_end, write};

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments);
    command
}

/// What a command that must succeed prints on its output.
#[track_caller]
fn text(command: &mut Command) -> String {
    let output = run(command);
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// What `list --json` says of a machine.
fn listed(machine: &Machine) -> Value {
    let all: Value = serde_json::from_str(&text(&mut program(&["list", "--json"]))).expect("json");
    let place = machine.drive();
    let rows = all.as_array().expect("rows").iter();
    let mut rows = rows.filter(|row| row["mountpoint"] == place.to_str().expect("UTF-8"));
    let row = rows.next().unwrap_or_else(|| panic!("{all}")).clone();
    assert!(rows.next().is_none(), "{all}");
    row
}

#[test]
fn all_mounts_are_listed_and_those_that_do_not_answer_hold_nobody_up() {
    let mut cloud = Cloud::start();
    let (well, dead, silent) = (Machine::with(&cloud), Machine::with(&cloud), Machine::with(&cloud));
    assert!(names(well.drive()).is_empty(), "so the folder is known");
    cloud.kill();
    write(well.at("file"), bytes(1, 1000));
    let hung = silent.pid();
    dead.kill();
    signal(hung, "STOP");
    let began = Instant::now();
    let row = listed(&well);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!((&row["state"], &row["source"]), (&"mounted".into(), &cloud.url.as_str().into()), "{row}");
    assert_eq!((&row["at_risk_bytes"], &row["unsent_entries"]), (&1000.into(), &1.into()), "{row}");
    let row = listed(&dead);
    assert_eq!(row["state"], "dead", "{row}");
    assert!(row["remedy"].as_str().is_some_and(|remedy| remedy.contains("drivemount unmount")), "{row}");
    let row = listed(&silent);
    assert_eq!(row["state"], "no answer", "{row}");
    assert!(row["remedy"].as_str().is_some_and(|remedy| remedy.contains("drivemount logs")), "{row}");
    let shown = text(&mut program(&["list"]));
    let line = |machine: &Machine| {
        let place = format!("  {}  ", machine.drive().display());
        shown.lines().find(|line| line.contains(&place)).unwrap_or_else(|| panic!("{shown}")).to_owned()
    };
    assert!(line(&well).starts_with("1000 B in 1 file") && line(&well).contains("  mounted  "), "{shown}");
    assert!(line(&dead).contains("dead") && line(&silent).contains("no answer"), "{shown}");
    signal(hung, "CONT");
    eventually("it answers again", || (listed(&silent)["state"] == "mounted").then_some(()));
}

/// The command, on a machine whose cache is where such folders are; where, is said by the folder.
fn at_home(machine: &Machine, arguments: &[&str]) -> Command {
    let home = machine.cache().with_file_name("home");
    let link = home.join("drivemount/cache");
    if !link.is_symlink() {
        fs::create_dir_all(home.join("drivemount")).expect("makes");
        std::os::unix::fs::symlink(machine.cache(), link).expect("links");
    }
    let mut command = program(arguments);
    command.env("XDG_CACHE_HOME", home);
    command
}

#[test]
fn what_an_unmounted_drive_left_is_listed_until_it_is_sent() {
    let mut cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    assert!(names(machine.drive()).is_empty(), "so the folder is known");
    let place = machine.drive().display().to_string();
    // All are listed, those of other tests too.
    let mine = || -> Vec<Value> {
        let all: Value = serde_json::from_str(&text(&mut at_home(&machine, &["list", "--json"]))).expect("json");
        all.as_array().expect("rows").iter().filter(|row| row["mountpoint"] == place.as_str()).cloned().collect()
    };
    assert_eq!((mine().len(), &mine()[0]["state"]), (1, &"mounted".into()), "the folder in use is no row of its own");
    cloud.kill();
    write(machine.at("file"), bytes(1, 1000));
    let pid = machine.pid();
    let unmount = run(program(&["umount", "--timeout", "500ms"]).arg(machine.drive()));
    assert_eq!(unmount.status.code(), Some(5), "{}", said(&unmount));
    wait_for_end(pid);

    let rows = mine();
    assert_eq!(rows.len(), 1, "{rows:?}");
    let row = &rows[0];
    assert_eq!((&row["state"], &row["source"]), (&"not mounted".into(), &cloud.url.as_str().into()), "{row}");
    assert_eq!((&row["at_risk_bytes"], &row["unsent_entries"]), (&1000.into(), &1.into()), "{row}");
    let shown = text(&mut at_home(&machine, &["ls"]));
    assert!(shown.starts_with("AT RISK "), "{shown}");
    let line = shown.lines().find(|line| line.contains(&place)).expect("a row");
    assert!(line.starts_with("1000 B in 1 file ") && line.contains("  not mounted  "), "{shown}");
    let remedy = format!("only on this machine: `drivemount mount {} {place}`", cloud.url);
    assert!(shown.contains(&remedy), "{shown}");

    cloud.restart();
    machine.mount(&cloud);
    machine.flush();
    machine.unmount();
    eventually("it is listed no more", || mine().is_empty().then_some(()));
}

#[test]
fn of_a_dead_mount_it_is_said_how_much_it_left() {
    let mut cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    write(machine.at("sent"), b"sent");
    machine.flush();
    machine.kill();
    let refused = run(at_home(&machine, &["status"]).arg(machine.drive()));
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains("is gone; everything was on the drive"), "{}", said(&refused));
    let buried = text(at_home(&machine, &["unmount"]).arg(machine.drive()));
    assert!(buried.contains("is removed; everything was on the drive"), "{buried}");

    machine.mount(&cloud);
    cloud.kill();
    write(machine.at("file"), bytes(1, 1000));
    machine.kill();
    let left =
        format!("1000 B in 1 file is not on the drive: `drivemount mount {} {}`", cloud.url, machine.drive().display());
    let refused = run(at_home(&machine, &["flush"]).arg(machine.drive()));
    assert!(!refused.status.success() && said(&refused).contains(&left), "{}", said(&refused));
    let listed = text(&mut at_home(&machine, &["list"]));
    assert_eq!(listed.matches(&left).count(), 1, "{listed}");
    let buried = text(at_home(&machine, &["unmount"]).arg(machine.drive()));
    assert!(buried.contains("was a dead mount") && buried.contains(&left), "{buried}");
    let listed = text(&mut at_home(&machine, &["list"]));
    assert!(listed.contains("not mounted, and 1000 B in 1 file is only on this machine"), "{listed}");
}

/// A machine that does not look for changes by itself.
fn unaware(cloud: &Cloud) -> Machine {
    let mut machine = Machine::new();
    machine.arguments = ["--poll-interval", "1h", "--network-timeout", "2s"].map(str::to_owned).to_vec();
    machine.mount(cloud);
    machine
}

#[test]
fn a_refresh_shows_what_others_did_and_sends_at_once_what_waits() {
    let mut cloud = Cloud::start();
    let machine = unaware(&cloud);
    assert!(names(machine.drive()).is_empty());
    let folder = cloud.make_folder("folder", &cloud.root());
    cloud.upload("theirs", &folder, b"theirs");
    assert!(names(machine.drive()).is_empty(), "not known yet");
    let told = text(program(&["refresh"]).arg(machine.at("folder/theirs")));
    assert!(told.contains("up to date"), "{told}");
    assert_eq!(names(machine.at("folder")), ["theirs"]);
    let missing = run(program(&["refresh"]).arg(machine.at("folder/none")));
    assert_eq!(missing.status.code(), Some(1), "{}", said(&missing));
    assert!(said(&missing).contains("folder/none is not there"), "{}", said(&missing));

    // Refused for want of a sign-in, which is tried again after a long time only.
    cloud.make_trouble(&["uploads.*:answer,status=401,reason=authError"]);
    write(machine.at("ours"), b"ours");
    eventually("it is refused", || {
        let item = machine.status()["unsent"]["items"][0].clone();
        item["retry_in_seconds"].as_u64().filter(|&seconds| seconds > 3)
    });
    cloud.make_trouble(&[]);
    let told = text(program(&["refresh"]).arg(machine.drive()));
    assert!(told.contains("1 entry that could not be sent before"), "{told}");
    eventually("it is sent", || cloud.all().iter().any(|file| file["name"] == "ours").then_some(()));

    cloud.kill();
    let refused = run(program(&["refresh"]).arg(machine.drive()).env("NO_COLOR", "1"));
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains("does not tell what is new"), "{}", said(&refused));
}

#[test]
fn sighup_makes_a_mount_in_the_background_look_what_is_new() {
    let cloud = Cloud::start();
    let machine = unaware(&cloud);
    assert!(names(machine.drive()).is_empty());
    cloud.upload("theirs", &cloud.root(), b"theirs");
    for name in ["theirs", "more"] {
        if name == "more" {
            cloud.upload("more", &cloud.root(), b"more");
        }
        signal(machine.pid(), "HUP");
        eventually("the news", || names(machine.drive()).iter().any(|there| there == name).then_some(()));
    }
    assert_eq!(machine.status()["state"], "mounted");
}

#[test]
fn the_status_of_a_path_says_how_that_one_fares() {
    let mut cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    fs::create_dir(machine.at("folder")).expect("makes");
    write(machine.at("folder/sent"), b"sent");
    machine.flush();
    cloud.kill();
    write(machine.at("folder/waiting"), bytes(1, 500));
    write(machine.at("other"), bytes(2, 70));
    let status = |path: &str| -> Value {
        let text = text(program(&["status", "--json"]).arg(machine.at(path)));
        serde_json::from_str(&text).expect("json")
    };
    let sent = status("folder/sent");
    assert_eq!((&sent["state"], &sent["kind"], &sent["size"]), (&"clean".into(), &"file".into(), &4.into()), "{sent}");
    assert_eq!((&sent["unsent"]["bytes"], sent["id"].is_string()), (&0.into(), true), "{sent}");
    assert_eq!(sent["md5"].as_str().map(str::len), Some(32), "{sent}");
    let folder = status("My Drive/folder");
    assert_eq!((&folder["kind"], &folder["unsent"]["bytes"]), (&"folder".into(), &500.into()), "{folder}");
    assert_eq!(folder["unsent"]["items"][0]["path"], "folder/waiting", "{folder}");
    let failing = eventually("the reason is known", || {
        let waiting = status("folder/waiting");
        waiting["error"].is_string().then_some(waiting)
    });
    assert!(failing["state"].as_str().is_some_and(|state| state.starts_with("retrying: ")), "{failing}");
    let shown = text(program(&["status"]).arg(machine.at("folder")));
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[1].starts_with("at risk   500 B in 1 file") && lines[2].contains("folder/waiting"), "{shown}");
    assert!(!shown.contains("other"), "{shown}");
    let missing = run(program(&["status"]).arg(machine.at("none")));
    assert!(!missing.status.success() && said(&missing).contains("none is not there"), "{}", said(&missing));
}

#[test]
fn the_log_of_a_mount_is_shown_whether_it_runs_or_not() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    let whole = text(program(&["logs"]).arg(machine.drive()));
    assert!(whole.contains("mounted"), "{whole}");
    let mut follow = program(&["logs", "--follow", "-n", "1"]);
    let mut follow = follow.arg(machine.at("any")).stdout(Stdio::piped()).spawn().expect("starts");
    let mut lines = BufReader::new(follow.stdout.take().expect("piped")).lines();
    assert!(lines.next().expect("a line").expect("reads").contains("mounted"));
    machine.unmount();
    let next = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("ending"))).is_some();
    assert!(next, "what comes is shown");
    follow.kill().expect("ends");
    follow.wait().expect("ends");
    // Given its folder: it is not where such folders are.
    let last = text(program(&["logs", "-n", "1"]).arg(machine.cache()));
    assert_eq!(last.lines().count(), 1, "{last}");
    let none = run(program(&["logs"]).arg(machine.drive()));
    assert!(!none.status.success() && said(&none).contains("give the cache folder"), "{}", said(&none));
}
