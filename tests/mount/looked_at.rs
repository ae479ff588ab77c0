//! What somebody should look at is shown until they did, also by later mounts.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::cloud::{Cloud, eventually};
use crate::machine::{Machine, names, said, write};

/// An edit here that collides with one made elsewhere. Says the name of the copy.
fn collide(cloud: &Cloud, machine: &Machine, name: &str) -> String {
    write(machine.at(name), b"first");
    machine.flush();
    cloud.make_trouble(&["uploads.*:answer,status=503", "changes.list:lag,time=1h"]);
    write(machine.at(name), b"ours");
    cloud.make_trouble(&["changes.list:lag,time=1h", "files.get:latency,ms=1000"]);
    cloud.rewrite(&cloud.id(name), b"theirs");
    cloud.make_trouble(&[]);
    machine.flush();
    let stem = name.split('.').next().expect("a stem").to_owned() + " (conflict";
    eventually("a conflict copy", || names(machine.drive()).into_iter().find(|name| name.starts_with(&stem)))
}

#[test]
fn a_conflict_is_shown_until_its_copy_is_renamed_or_removed() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    let copies = ["one.txt", "two.txt"].map(|name| collide(&cloud, &machine, name));
    let expected = |count: usize| -> Value {
        let all = ["one.txt", "two.txt"].iter().zip(&copies).map(|(path, copy)| json!({"path": path, "copy": copy}));
        all.take(count).collect()
    };
    assert_eq!(machine.status()["conflicts"], expected(2));
    machine.unmount();
    machine.mount(&cloud);
    machine.kill();
    machine.mount(&cloud);
    assert_eq!(machine.status()["conflicts"], expected(2), "by later mounts too");
    fs::rename(machine.at(&copies[1]), machine.at("mine.txt")).expect("renames");
    assert_eq!(machine.status()["conflicts"], expected(1));
    fs::remove_file(machine.at(&copies[0])).expect("removes");
    assert_eq!(machine.status()["conflicts"], expected(0));
}

#[test]
fn what_was_set_aside_is_shown_until_it_is_taken_away() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    let mut file = File::create(machine.at("half.bin")).expect("creates");
    file.write_all(b"half of it").expect("writes");
    machine.kill();
    drop(file);
    let mount = machine.try_mount(&cloud);
    assert!(said(&mount).contains("half.bin was being written"), "{}", said(&mount));
    let aside = machine.status()["set_aside"].clone();
    assert_eq!((&aside[0]["path"], aside.as_array().map(Vec::len)), (&"half.bin".into(), Some(1)), "{aside}");
    machine.unmount();
    let mount = machine.try_mount(&cloud);
    assert!(!said(&mount).contains("half.bin"), "that is said once: {}", said(&mount));
    assert_eq!(machine.status()["set_aside"], aside, "and shown for as long as it is there");
    let kept = PathBuf::from(aside[0]["kept"].as_str().expect("a path"));
    assert_eq!(fs::read(&kept).expect("reads"), b"half of it");
    fs::rename(&kept, machine.cache().join("half.bin")).expect("takes it away");
    assert_eq!(machine.status()["set_aside"], json!([]));
}
