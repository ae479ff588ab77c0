//! Extended attributes that users set.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::cloud::{Cloud, eventually};
use crate::machine::{Machine, bytes, read, run, sh, write};

/// What Python calls EOPNOTSUPP, which is the same number on Linux.
const NOT_SUPPORTED: &str = "ENOTSUP";

/// What Python says to a line about `path`: a value, or the name of an error.
fn python(line: &str, path: &Path) -> String {
    let program = format!(
        "import os, errno, sys\npath = sys.argv[1]\ntry:\n    print({line})\nexcept OSError as error:\n    print(errno.errorcode[error.errno])"
    );
    let output = run(Command::new("python3").args(["-c", &program]).arg(path));
    assert!(output.status.success(), "{line}: {output:?}");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

fn set(path: &Path, name: &str, value: &[u8]) {
    let line = format!("os.setxattr(path, {name:?}, bytes({value:?}))");
    assert_eq!(python(&line, path), "None", "{name}");
}

/// All that are listed, with their values in hexadecimal digits.
fn all(path: &Path) -> BTreeMap<String, String> {
    let line = "__import__('json').dumps({name: os.getxattr(path, name).hex() for name in os.listxattr(path)})";
    // What was listed may be gone a moment later, when it is asked for.
    eventually("a map", || serde_json::from_str(&python(line, path)).ok())
}

fn texts(path: &Path) -> BTreeMap<String, String> {
    let text = |hex: &str| {
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("digits");
        String::from_utf8((0..hex.len()).step_by(2).map(byte).collect()).expect("text")
    };
    all(path).into_iter().map(|(name, value)| (name, text(&value))).collect()
}

fn map<const COUNT: usize>(entries: [(&str, &str); COUNT]) -> BTreeMap<String, String> {
    entries.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

fn properties(cloud: &Cloud, name: &str) -> Value {
    cloud.call("GET", &format!("/drive/v3/files/{}", cloud.id(name)), &[("fields", "properties")], None)["properties"]
        .clone()
}

#[test]
fn attributes_are_seen_by_a_machine_with_an_empty_cache() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    write(machine.at("file"), b"content");
    fs::create_dir(machine.at("folder")).expect("makes");
    let long_name = format!("user.{}", "n".repeat(250));
    let values: [(&str, &[u8]); 5] = [
        ("user.label", "für später".as_bytes()),
        ("user.empty", b""),
        ("user.binary", &[0, 1, 0xff]),
        ("user.long", &[b'l'; 700]),
        (&long_name, b"x"),
    ];
    for (name, value) in values {
        set(&machine.at("file"), name, value);
    }
    set(&machine.at("folder"), "user.of", b"a folder");
    let here = all(&machine.at("file"));
    assert_eq!(here.len(), values.len());
    assert_eq!(here["user.binary"], "0001ff");
    machine.flush();
    let other = Machine::with(&cloud);
    assert_eq!(all(&other.at("file")), here);
    assert_eq!(texts(&other.at("folder")), map([("user.of", "a folder")]));
    assert_eq!(properties(&cloud, "folder"), json!({"user.of": "a folder"}), "readable for everybody");

    // What changes there is seen here; what others keep on the item stays.
    let id = cloud.id("folder");
    cloud.patch(&id, &[], json!({"properties": {"user.of": "theirs", "app": "x"}}));
    eventually("it is heard of", || (texts(&machine.at("folder")) == map([("user.of", "theirs")])).then_some(()));
    assert_eq!(python("os.removexattr(path, 'user.of')", &machine.at("folder")), "None");
    machine.flush();
    assert_eq!(properties(&cloud, "folder"), json!({"app": "x"}));
}

#[test]
fn calls_answer_as_on_a_disk() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    let file = machine.at("file");
    write(&file, b"x");
    let says = |line: &str| python(line, &file);
    assert_eq!(says("os.getxattr(path, 'user.a')"), "ENODATA");
    assert_eq!(says("os.setxattr(path, 'user.a', b'1', os.XATTR_REPLACE)"), "ENODATA");
    assert_eq!(says("os.setxattr(path, 'user.a', b'1', os.XATTR_CREATE)"), "None");
    assert_eq!(says("os.setxattr(path, 'user.a', b'2', os.XATTR_CREATE)"), "EEXIST");
    assert_eq!(says("os.setxattr(path, 'user.a', b'long value', os.XATTR_REPLACE)"), "None");
    assert_eq!(says("os.getxattr(path, 'user.a')"), "b'long value'");
    let short = "(lambda libc, buffer: (libc.getxattr(path.encode(), b'user.a', buffer, 3), libc.listxattr(path.encode(), buffer, 3), \
                 __import__('ctypes').get_errno() == errno.ERANGE, libc.getxattr(path.encode(), b'user.a', None, 0)))\
                 (__import__('ctypes').CDLL(None, use_errno=True), __import__('ctypes').create_string_buffer(3))";
    assert_eq!(says(short), "(-1, -1, True, 10)");
    assert_eq!(says("os.removexattr(path, 'user.b')"), "ENODATA");
    assert_eq!(says("os.removexattr(path, 'user.a')"), "None");
    assert_eq!(says("os.listxattr(path)"), "[]");
    for (name, errno) in [
        ("user.drivemount.state", "EPERM"),
        ("user.drive.id", "EPERM"),
        ("user.", "EINVAL"),
        ("trusted.x", NOT_SUPPORTED),
        ("security.x", NOT_SUPPORTED),
        ("system.x", NOT_SUPPORTED),
    ] {
        assert_eq!(says(&format!("os.setxattr(path, '{name}', b'x')")), errno, "{name}");
        assert_eq!(says(&format!("os.removexattr(path, '{name}')")), errno, "{name}");
    }
    assert_eq!(says("os.getxattr(path, 'security.capability')"), "ENODATA");
    // The root of a drive keeps nothing.
    assert_eq!(python("os.setxattr(path, 'user.a', b'x')", &machine.drive()), NOT_SUPPORTED);

    let before = fs::metadata(&file).expect("stat");
    set(&file, "user.a", b"x");
    let after = fs::metadata(&file).expect("stat");
    let changed = |metadata: &fs::Metadata| (metadata.ctime(), metadata.ctime_nsec());
    assert!(changed(&after) > changed(&before));
    assert_eq!(after.modified().expect("has one"), before.modified().expect("has one"));
    machine.unmount();
    let read_only = Machine::with_flags(&cloud, &["--read-only"]);
    assert_eq!(python("os.setxattr(path, 'user.a', b'y')", &read_only.at("file")), "EROFS");
    assert_eq!(python("os.getxattr(path, 'user.a')", &read_only.at("file")), "b'x'");
}

#[test]
fn what_does_not_fit_is_refused_at_once_and_changes_nothing() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    write(machine.at("file"), b"x");
    let file = machine.at("file");
    set(&file, "user.x", b"small");
    for size in [2310, 60_000] {
        assert_eq!(python(&format!("os.setxattr(path, 'user.x', b'x' * {size})"), &file), "ENOSPC", "{size}");
    }
    assert_eq!(texts(&file), map([("user.x", "small")]));
    set(&file, "user.x", &[b'x'; 2309]);
    assert_eq!(python("os.setxattr(path, 'user.y', b'y')", &file), "ENOSPC");
    machine.flush();
    // What others keep there leaves less.
    write(machine.at("crowded"), b"x");
    machine.flush();
    let many: serde_json::Map<_, _> = (0..23).map(|number| (format!("app{number}"), json!("x"))).collect();
    cloud.patch(&cloud.id("crowded"), &[], json!({"properties": many, "name": "crowded and known"}));
    eventually("it is heard of", || machine.at("crowded and known").exists().then_some(()));
    set(&machine.at("crowded and known"), "user.x", b"x");
    assert_eq!(python("os.setxattr(path, 'user.y', b'y')", &machine.at("crowded and known")), "ENOSPC");
    machine.flush();
}

#[test]
fn a_change_of_attributes_is_one_request_without_content() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    write(machine.at("file"), bytes(1, 1 << 20));
    machine.flush();
    let (uploads, changes) = (cloud.uploads(), cloud.changing_requests());
    // One process, so that the file does not rest in between.
    let all = "[os.setxattr(path, f'user.{number}', b'x' * 200) for number in range(5)] and os.chmod(path, 0o600)";
    assert_eq!(python(all, &machine.at("file")), "None");
    machine.flush();
    assert_eq!((cloud.uploads(), cloud.changing_requests()), (uploads, changes + 1));
    // What is as it was is no change.
    set(&machine.at("file"), "user.0", &[b'x'; 200]);
    machine.flush();
    assert_eq!(cloud.changing_requests(), changes + 1);
}

#[test]
fn a_kill_right_after_it_was_set_loses_nothing() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    write(machine.at("sent"), b"x");
    set(&machine.at("sent"), "user.old", b"1");
    machine.flush();
    write(machine.at("unsent"), b"x");
    set(&machine.at("unsent"), "user.new", &[0xff; 500]);
    set(&machine.at("sent"), "user.new", b"2");
    assert_eq!(python("os.removexattr(path, 'user.old')", &machine.at("sent")), "None");
    machine.kill();
    machine.mount(&cloud);
    machine.flush();
    let other = Machine::with(&cloud);
    for machine in [&machine, &other] {
        assert_eq!(texts(&machine.at("sent")), map([("user.new", "2")]));
        assert_eq!(all(&machine.at("unsent")), map([("user.new", &"ff".repeat(500))]));
    }
}

#[test]
fn a_file_that_replaces_another_has_its_own() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    write(machine.at("model"), b"old");
    set(&machine.at("model"), "user.epoch", b"1");
    set(&machine.at("model"), "user.note", b"of the old one");
    machine.flush();
    let id = cloud.id("model");
    write(machine.at("model.tmp"), b"new");
    set(&machine.at("model.tmp"), "user.epoch", b"2");
    fs::rename(machine.at("model.tmp"), machine.at("model")).expect("renames");
    machine.flush();
    assert_eq!(cloud.id("model"), id, "which keeps its identity");
    let other = Machine::with(&cloud);
    for machine in [&machine, &other] {
        assert_eq!(texts(&machine.at("model")), map([("user.epoch", "2")]));
    }

    // And so has a copy that the drive makes.
    let copy = format!("cp --reflink=auto {} {}", machine.at("model").display(), machine.at("copy").display());
    sh(&copy);
    set(&machine.at("copy"), "user.copy", b"yes");
    machine.flush();
    eventually("the other hears of it", || other.at("copy").exists().then_some(()));
    for machine in [&machine, &other] {
        assert_eq!(texts(&machine.at("copy")), map([("user.copy", "yes")]));
    }
}

#[test]
fn an_open_file_has_them_also_without_a_name() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    let mut file = OpenOptions::new().write(true).create_new(true).open(machine.at("file")).expect("makes");
    file.write_all(b"x").expect("writes");
    let open = format!("/proc/{}/fd/{}", std::process::id(), std::os::fd::AsRawFd::as_raw_fd(&file));
    set(Path::new(&open), "user.a", b"1");
    assert_eq!(texts(&machine.at("file")), map([("user.a", "1")]));
    fs::remove_file(machine.at("file")).expect("removes");
    set(Path::new(&open), "user.b", b"2");
    assert_eq!(texts(Path::new(&open)), map([("user.a", "1"), ("user.b", "2")]));
    drop(file);
    machine.flush();
    assert_eq!(cloud.all(), Vec::<Value>::new());
}

#[test]
fn what_somebody_else_wrote_or_damaged_is_in_nobodys_way() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    write(machine.at("file"), b"x");
    set(&machine.at("file"), "user.long", &[b'x'; 500]);
    machine.flush();
    let kept = properties(&cloud, "file");
    let keys: Vec<&String> = kept.as_object().expect("a map").keys().collect();
    assert!(keys.len() > 3, "{kept}");
    let broken = json!({keys[1]: "damaged", keys[2]: null, "drivemount.xattr.": "?", "user.": "?", "user.plain": "theirs\n",
        "user.drivemount.state": "lies", "drivemount.xattr.AAAAAAAA.0": "t9:00000000:user.fake=x"});
    cloud.patch(&cloud.id("file"), &[], json!({"properties": broken}));
    let file = machine.at("file");
    eventually("it is heard of", || (texts(&file) == map([("user.plain", "theirs\n")])).then_some(()));
    assert_eq!(read(&file), b"x");
    assert_eq!(sh(&format!("getfattr --only-values -n user.drivemount.state {}", file.display())), "clean");
    set(&file, "user.long", &[b'y'; 500]);
    machine.flush();
    let other = Machine::with(&cloud);
    assert_eq!(texts(&other.at("file")), map([("user.long", &"y".repeat(500)), ("user.plain", "theirs\n")]));
}

#[test]
fn programs_that_keep_attributes_do_so() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    let there = machine.at("there").display().to_string();
    // What the source has comes from the mount itself: not every disk of a test has attributes of users.
    let source = machine.at("source").display().to_string();
    sh(&format!("mkdir -p {source}/folder && echo hello > {source}/folder/file && echo plain > {source}/plain"));
    sh(&format!("setfattr -n user.origin -v https://example.org/{} {source}/folder/file", "x".repeat(200)));
    sh(&format!("setfattr -n user.kind -v 0x00ff {source}/folder"));
    machine.flush();
    sh(&format!("rsync -aX {source}/ {there}/"));
    assert_eq!(sh(&format!("rsync -aX --itemize-changes {source}/ {there}/")), "", "nothing is left to do");
    machine.flush();
    assert_eq!(sh(&format!("rsync -aX --itemize-changes {source}/ {there}/")), "", "nor is it when all is sent");
    sh(&format!("cp --recursive --preserve=all,xattr {source} {there}/cp"));
    sh(&format!("mkdir {there}/tar && tar -C {source} --xattrs -cf - . | tar -C {there}/tar --xattrs -xf -"));
    let python = "import shutil, sys; shutil.copy2(sys.argv[1], sys.argv[2])";
    sh(&format!("python3 -c '{python}' {source}/folder/file {there}/copied"));
    machine.flush();
    let other = Machine::with(&cloud);
    let dump = |path: &str| {
        let line = format!("cd {} && getfattr -d -m - -e hex {path}", other.at("there").display());
        sh(&line).lines().filter(|line| line.starts_with("user.")).collect::<Vec<_>>().join("\n")
    };
    let file = dump("folder/file");
    assert!(file.starts_with("user.origin=0x"), "{file}");
    for copy in ["cp/folder/file", "tar/folder/file", "copied"] {
        assert_eq!(dump(copy), file, "{copy}");
    }
    for folder in ["folder", "cp/folder", "tar/folder"] {
        assert_eq!(dump(folder), "user.kind=0x00ff", "{folder}");
    }
    assert_eq!(dump("plain"), "");
    // What was taken away at the source goes.
    sh(&format!("setfattr -x user.origin {source}/folder/file && rsync -aX {source}/ {there}/"));
    assert_eq!(all(&machine.at("there/folder/file")), BTreeMap::new());
}

#[test]
fn what_may_not_be_changed_keeps_what_it_has() {
    let cloud = Cloud::start();
    let id = cloud.upload("file", &cloud.root(), b"x");
    let document = json!({"name": "notes", "mimeType": "application/vnd.google-apps.document"});
    cloud.call("POST", "/drive/v3/files", &[], Some(document));
    cloud.patch(&id, &[], json!({"properties": {"user.a": "1"}}));
    let machine = Machine::with(&cloud);
    let notes = crate::machine::names(machine.drive()).into_iter().find(|name| name.starts_with("notes"));
    let notes = machine.at(&notes.expect("a document"));
    assert_eq!(python("os.setxattr(path, 'user.a', b'2')", &notes), "EACCES");
    assert!(File::open(machine.at("file")).is_ok());
    assert_eq!(texts(&machine.at("file")), map([("user.a", "1")]));
}
