//! `status --watch`, on a terminal and elsewhere.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::cloud::{Cloud, PROGRAM, eventually};
use crate::machine::{Machine, bytes, names, sh, write};

#[test]
fn a_terminal_shows_frames_in_place_and_is_as_before_afterwards() {
    let mut cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    assert!(names(machine.drive()).is_empty(), "so the folder is known");
    cloud.kill();
    write(machine.at("model.pt"), bytes(1, 3_000_000));
    let line = format!("stty rows 20 cols 70; exec '{PROGRAM}' status --watch '{}'", machine.drive().display());
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut terminal = terminal.spawn().expect("starts");
    let mut output = terminal.stdout.take().expect("piped");
    let seen = Arc::new(Mutex::new(String::new()));
    let reader = std::thread::spawn({
        let seen = Arc::clone(&seen);
        move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut buffer) {
                seen.lock().expect("whole").push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
        }
    });
    let text = || seen.lock().expect("whole").clone();
    eventually("the reason is shown", || text().contains("retrying").then_some(()));
    let pid = sh(&format!("pgrep -P {}", terminal.id()));
    sh(&format!("kill -INT {}", pid.trim()));
    terminal.wait().expect("ends");
    reader.join().expect("ends");
    let text = text();
    let (screen, after) = text.split_once("\u{1b}[?25h\u{1b}[?1049l").expect("the way back");
    assert!(screen.contains("\u{1b}[?1049h\u{1b}[?25l"), "{screen:?}");
    assert!(screen.contains("at risk") && screen.contains("2.8 MiB in 1 file"), "{screen:?}");
    let frames: Vec<&str> = screen.split("\u{1b}[?2026h").skip(1).collect();
    assert!(frames.len() > 1, "{screen:?}");
    for frame in frames {
        assert!(frame.starts_with("\u{1b}[H") && frame.lines().count() <= 20, "{frame:?}");
        assert!(!frame.contains("\u{1b}[2J"), "nothing flickers: {frame:?}");
    }
    assert!(after.contains("model.pt") && !after.contains("Ctrl-C"), "what was seen last stays: {after:?}");
}

/// Starts watching with its output in a pipe.
fn watch(machine: &Machine, more: &[&str]) -> (std::process::Child, impl Iterator<Item = String>) {
    let mut command = Command::new(PROGRAM);
    command.args(["status", "--watch"]).args(more).arg(machine.drive()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut watch = command.spawn().expect("starts");
    let lines = BufReader::new(watch.stdout.take().expect("piped")).lines().map_while(Result::ok);
    (watch, lines)
}

#[test]
fn a_pipe_gets_a_line_for_each_change_until_the_mount_ends() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    let (mut plain, mut lines) = watch(&machine, &[]);
    assert!(lines.next().is_some_and(|line| line.ends_with("at risk: nothing: everything is on the drive")));
    let (mut json, mut objects) = watch(&machine, &["--json"]);
    let first: Value = serde_json::from_str(&objects.next().expect("a line")).expect("json");
    assert_eq!(first["unsent"]["bytes"], 0);
    cloud.make_trouble(&["uploads.*:answer,status=503"]);
    write(machine.at("file"), bytes(1, 1000));
    assert!(lines.any(|line| line.contains("at risk: 1000 B in 1 file")));
    assert!(objects.any(|line| serde_json::from_str::<Value>(&line).expect("json")["unsent"]["bytes"] == 1000));
    cloud.make_trouble(&[]);
    machine.unmount();
    let last = lines.last().expect("a line");
    assert!(last.ends_with("is unmounted; everything is on the drive"), "{last}");
    assert!(plain.wait().expect("ends").success());
    assert!(json.wait().expect("ends").success());
}
