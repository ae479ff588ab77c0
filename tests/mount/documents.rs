//! Documents of online editors: as link files, as exports, and hidden.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde_json::{Value, json};

use crate::cloud::{Cloud, PROGRAM, SOON, eventually};
use crate::machine::{Machine, disk_use, names, read, run, said, sh, write};

const DOCUMENT: &str = "application/vnd.google-apps.document";

/// What a document has for a length before it was exported.
const UNKNOWN: u64 = 10 << 20;

/// Every sort of document, as it ends as a link file and as an export.
const SORTS: [(&str, &str, &str); 11] = [
    ("document", "gdoc", "docx"),
    ("spreadsheet", "gsheet", "xlsx"),
    ("presentation", "gslides", "pptx"),
    ("drawing", "gdraw", "svg"),
    ("script", "glink", "json"),
    ("form", "gform", "gform"),
    ("site", "glink", "glink"),
    ("map", "glink", "glink"),
    ("jam", "glink", "glink"),
    ("vid", "glink", "glink"),
    ("drive-sdk.1234", "glink", "glink"),
];

/// Makes a document without content; says its id.
fn document(cloud: &Cloud, name: &str, parent: &str, sort: &str) -> String {
    let media_type = format!("application/vnd.google-apps.{sort}");
    let item = json!({"name": name, "parents": [parent], "mimeType": media_type});
    cloud.call("POST", "/drive/v3/files", &[], Some(item))["id"].as_str().expect("id").to_owned()
}

/// Makes a document of a text; says its id.
fn written(cloud: &Cloud, name: &str, text: &str) -> String {
    let id = document(cloud, name, &cloud.root(), "document");
    cloud.rewrite(&id, text.as_bytes());
    id
}

/// What the embedded drive exports such a document as.
fn docx(text: &str) -> Vec<u8> {
    [b"PK\x03\x04", text.as_bytes()].concat()
}

fn length(path: impl AsRef<Path>) -> u64 {
    fs::metadata(path).expect("stat").len()
}

/// How many exports the drive was asked for.
fn exports(cloud: &Cloud) -> u64 {
    cloud.call("GET", "/admin/meter", &[], None)["methods"]["files.export"]["requests"].as_u64().unwrap_or(0)
}

fn with(cloud: &Cloud, docs: &str) -> Machine {
    Machine::with_flags(cloud, &["--docs", docs])
}

/// Mounts the same cache again, with documents shown in another way.
fn remount(machine: &mut Machine, cloud: &Cloud, docs: &str) {
    machine.unmount();
    let at = machine.arguments.iter().position(|argument| argument == "--docs").expect("is told") + 1;
    docs.clone_into(&mut machine.arguments[at]);
    machine.mount(cloud);
}

/// A folder with every sort of document.
fn every_sort(cloud: &Cloud) -> Vec<(String, String)> {
    let folder = cloud.make_folder("all sorts", &cloud.root());
    SORTS.iter().map(|(sort, ..)| ((*sort).to_owned(), document(cloud, sort, &folder, sort))).collect()
}

#[test]
fn link_files_get_through_every_copy_and_search() {
    let cloud = Cloud::start();
    let sorts = every_sort(&cloud);
    let machine = Machine::with(&cloud);
    let folder = machine.at("all sorts");
    let mut shown: Vec<String> = SORTS.iter().map(|(sort, link, _)| format!("{sort}.{link}")).collect();
    shown.sort();
    assert_eq!(names(&folder), shown);
    for ((sort, id), (_, extension, _)) in sorts.iter().zip(SORTS) {
        let file = folder.join(format!("{sort}.{extension}"));
        let text = read(&file);
        assert_eq!(length(&file), text.len() as u64, "{sort}");
        let link: Value = serde_json::from_slice(&text).expect("JSON");
        let item = cloud.call("GET", &format!("/drive/v3/files/{id}"), &[("fields", "webViewLink,mimeType")], None);
        assert!(item["webViewLink"].is_string(), "{item}");
        assert_eq!((&link["url"], &link["id"]), (&item["webViewLink"], &json!(id)));
        assert_eq!(link["type"], item["mimeType"]);
    }
    let out = tempfile::tempdir().expect("temporary folder");
    let (from, to) = (folder.display(), out.path().display());
    sh(&format!("cp -r '{from}' {to}/cp && diff -r '{from}' {to}/cp"));
    sh(&format!("mkdir {to}/tar && tar -C '{from}' -c . | tar -C {to}/tar -x && diff -r '{from}' {to}/tar"));
    sh(&format!("rsync -a '{from}/' {to}/rsync && diff -r '{from}' {to}/rsync"));
    assert_eq!(sh(&format!("rsync -ain '{from}/' {to}/rsync")), "", "nothing is left to do");
    let found = sh(&format!("grep -rl google-apps '{from}'"));
    assert_eq!(found.lines().count(), SORTS.len(), "{found}");
    assert_eq!(exports(&cloud), 0);
}

#[test]
fn documents_with_one_name_are_the_same_on_every_machine() {
    let cloud = Cloud::start();
    let root = cloud.root();
    for docs in ["link", "export"] {
        let ending = if docs == "link" { "gdoc" } else { "docx" };
        let oldest = document(&cloud, "Plan", &root, "document");
        cloud.upload(&format!("Plan.{ending}"), &root, b"a file");
        let youngest = document(&cloud, "Plan", &root, "document");
        document(&cloud, "Plan", &root, "form");
        let machine = with(&cloud, docs);
        let look = || {
            assert_eq!(
                names(with(&cloud, docs).drive()),
                names(machine.drive()),
                "a machine that comes new shows the same"
            );
            names(machine.drive())
        };
        let id = |name: &str| attribute(&machine.at(name), "user.drive.id");
        let plan = format!("Plan.{ending}");
        assert_eq!(look().len(), 4);
        assert_eq!(id(&plan), oldest);
        // Whoever is the next has the name.
        fs::remove_file(machine.at(&plan)).expect("removes");
        machine.flush();
        eventually("the file has the name", || (read(machine.at(&plan)) == b"a file").then_some(()));
        look();
        cloud.trash(&cloud.id(&plan));
        eventually("the younger document has the name", || {
            fs::metadata(machine.at(&plan)).is_ok_and(|_| id(&plan) == youngest).then_some(())
        });
        // A new name without the extension is one on the drive.
        fs::rename(machine.at(&plan), machine.at("Plot")).expect("renames");
        machine.flush();
        assert_eq!(cloud.file("Plot")["id"], youngest.as_str());
        eventually("the name that all show", || machine.at(&format!("Plot.{ending}")).exists().then_some(()));
        look();
        for file in cloud.all() {
            cloud.trash(file["id"].as_str().expect("id"));
        }
    }
}

#[test]
fn hidden_documents_are_nowhere_and_nobody_harms_them() {
    let cloud = Cloud::start();
    let root = cloud.root();
    let folder = cloud.make_folder("folder", &root);
    for name in ["Plan", "Plan", "a/b"] {
        document(&cloud, name, &folder, "document");
    }
    cloud.upload("file", &folder, b"seen");
    let machine = with(&cloud, "hide");
    let at = |name: &str| machine.at("folder").join(name);
    assert_eq!(names(machine.at("folder")), ["file"]);
    assert_eq!(sh(&format!("find {} -name '*lan*'", machine.drive().display())), "");
    for name in ["Plan", "Plan.gdoc", "Plan.docx", "a_b.gdoc"] {
        assert_eq!(fs::metadata(at(name)).expect_err(name).raw_os_error(), Some(libc::ENOENT));
        write(at(name), "mine");
    }
    machine.flush();
    assert_eq!(cloud.all().iter().filter(|file| file["mimeType"] == DOCUMENT).count(), 3);
    for name in names(machine.at("folder")) {
        fs::remove_file(at(&name)).expect("removes");
    }
    // What somebody sees as empty is not removed with what they do not see.
    assert_eq!(fs::remove_dir(machine.at("folder")).expect_err("not empty").raw_os_error(), Some(libc::ENOTEMPTY));
    fs::create_dir(machine.at("other")).expect("makes");
    let over = fs::rename(machine.at("other"), machine.at("folder")).expect_err("not empty");
    assert_eq!(over.raw_os_error(), Some(libc::ENOTEMPTY));
    fs::rename(machine.at("folder"), machine.at("moved")).expect("they go with their folder");
    machine.flush();
    let left: Vec<Value> = cloud.all().into_iter().filter(|file| file["mimeType"] == DOCUMENT).collect();
    assert_eq!(left.len(), 3);
    assert!(left.iter().all(|file| file["parents"] == json!([folder])), "{left:?}");
    // Those that come, change and go later are no more to be seen.
    let new = document(&cloud, "New", &folder, "spreadsheet");
    cloud.patch(&new, &[], json!({"name": "moved"}));
    cloud.upload("later", &folder, b"seen");
    eventually("what is no document arrives", || (names(machine.at("moved")) == ["later"]).then_some(()));
    for file in cloud.files(&format!("'{folder}' in parents and trashed = false")) {
        cloud.trash(file["id"].as_str().expect("id"));
    }
    eventually("the folder is empty", || fs::remove_dir(machine.at("moved")).is_ok().then_some(()));
}

/// An extended attribute.
fn attribute(path: &Path, name: &str) -> String {
    sh(&format!("getfattr --absolute-names --only-values -n {name} '{}'", path.display()))
}

/// Runs Python on a path; says what it printed.
fn python(path: &Path, lines: &str) -> String {
    let output = run(Command::new("python3").arg("-c").arg(lines).arg(path));
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn an_export_has_its_true_length_for_whoever_has_it_open() {
    let cloud = Cloud::start();
    let text = "words ".repeat(30_000);
    let content = docx(&text);
    let names: Vec<String> = (0..10).map(|number| format!("{number}")).collect();
    for name in &names {
        written(&cloud, name, &text);
    }
    let machine = with(&cloud, "export");
    let paths: Vec<PathBuf> = names.iter().map(|name| machine.at(&format!("{name}.docx"))).collect();
    sh(&format!("ls -l {}", machine.drive().display()));
    for path in &paths {
        assert_eq!(length(path), UNKNOWN, "nothing is exported to be listed");
        assert_eq!(fs::metadata(path).expect("stat").blocks(), 0);
    }
    assert_eq!(exports(&cloud), 0);
    let size = content.len() as u64;
    let file = File::open(&paths[0]).expect("opens");
    assert_eq!((file.metadata().expect("fstat").len(), length(&paths[0])), (size, size));
    // Each the first who opens it.
    assert!(read(&paths[1]) == content);
    let mut file = File::open(&paths[2]).expect("opens");
    assert_eq!(file.seek(SeekFrom::End(0)).expect("seeks"), size);
    let mut last = [0; 100];
    assert_eq!(file.read_at(&mut last, size - 10).expect("reads"), 10);
    assert_eq!(file.read(&mut last).expect("reads"), 0);
    // Nothing but the open tells them how long it is.
    let sent = "import os, sys\n\
        to = os.memfd_create('x'); at = os.open(sys.argv[1], os.O_RDONLY)\n\
        while os.sendfile(to, at, None, 1 << 24): pass\n\
        print(os.fstat(to).st_size)";
    assert_eq!(python(&paths[3], sent), size.to_string());
    let mapped = "import mmap, os, sys\n\
        before = os.stat(sys.argv[1]).st_size\n\
        map = mmap.mmap(os.open(sys.argv[1], os.O_RDONLY), 0, prot=mmap.PROT_READ)\n\
        print(len(map), map[:2].decode())";
    assert_eq!(python(&paths[4], mapped), format!("{size} PK"));
    let read_twice = "import sys; f = open(sys.argv[1], 'rb'); print(len(f.read()), f.tell(), len(f.read()))";
    assert_eq!(python(&paths[5], read_twice), format!("{size} {size} 0"));
    let out = tempfile::tempdir().expect("temporary folder");
    let to = out.path().display();
    sh(&format!("cp {} {to}/cp", paths[6].display()));
    sh(&format!("tar -C {} -cf {to}/tar 7.docx && tar -C {to} -xf {to}/tar", machine.drive().display()));
    sh(&format!("rsync -a {} {to}/rsync", paths[8].display()));
    sh(&format!("wc -c < {} > {to}/wc && cat {} > {to}/cat", paths[9].display(), paths[9].display()));
    for copy in ["cp", "7.docx", "rsync", "cat"] {
        assert!(read(out.path().join(copy)) == content, "{copy}");
    }
    assert_eq!(read(out.path().join("wc")), format!("{size}\n").into_bytes());
    for path in &paths {
        assert_eq!(length(path), size, "from now on");
    }
    assert_eq!(exports(&cloud), 10);
    assert_eq!(sh(&format!("rsync -ain {} {to}/rsync", paths[8].display())), "", "nothing is left to do");
}

#[test]
fn every_sort_is_exported_or_is_a_link_file() {
    let cloud = Cloud::start();
    every_sort(&cloud);
    let machine = with(&cloud, "export");
    let folder = machine.at("all sorts");
    let mut shown: Vec<String> = SORTS.iter().map(|(sort, _, export)| format!("{sort}.{export}")).collect();
    shown.sort();
    assert_eq!(names(&folder), shown);
    let out = tempfile::tempdir().expect("temporary folder");
    let (from, to) = (folder.display(), out.path().display());
    sh(&format!("cp -r '{from}' {to}/cp && diff -r '{from}' {to}/cp"));
    sh(&format!("mkdir {to}/tar && tar -C '{from}' -c . | tar -C {to}/tar -x && diff -r '{from}' {to}/tar"));
    assert_eq!(exports(&cloud), 5, "and once for all of it");
    for name in shown {
        assert_eq!(read(folder.join(&name)).len() as u64, length(folder.join(&name)), "{name}");
    }
    let link: Value = serde_json::from_slice(&read(folder.join("form.gform"))).expect("JSON");
    assert_eq!(link["type"], "application/vnd.google-apps.form");
}

#[test]
fn an_export_is_made_once_for_each_version() {
    let mut cloud = Cloud::start();
    let id = written(&cloud, "Plan", "first");
    let machine = with(&cloud, "export");
    let path = machine.at("Plan.docx");
    cloud.make_trouble(&["files.export:latency,ms=1000"]);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..16).map(|_| scope.spawn(|| read(&path))).collect();
        // Nobody else waits for it.
        assert_eq!(names(machine.drive()), ["Plan.docx"]);
        for reader in readers {
            assert_eq!(reader.join().expect("reads"), docx("first"));
        }
    });
    cloud.make_trouble(&[]);
    assert_eq!(exports(&cloud), 1);
    read(&path);
    machine.unmount();
    machine.mount(&cloud);
    assert_eq!(length(&path), docx("first").len() as u64, "known from before");
    assert_eq!((read(&path), exports(&cloud)), (docx("first"), 1));
    machine.unmount();
    cloud.rewrite(&id, b"while nobody looked");
    machine.mount(&cloud);
    assert_eq!(length(&path), UNKNOWN, "and so is that it is another now");
    assert_eq!((read(&path), exports(&cloud)), (docx("while nobody looked"), 2));
    cloud.kill();
    assert_eq!(read(&path), docx("while nobody looked"), "what was made is here");
    cloud.restart();
}

#[test]
fn who_has_an_export_open_goes_on_reading_it_when_the_document_changes() {
    let cloud = Cloud::start();
    let id = written(&cloud, "Plan", "the old words");
    let machine = with(&cloud, "export");
    let path = machine.at("Plan.docx");
    let mut old = File::open(&path).expect("opens");
    let mut head = [0; 8];
    old.read_exact(&mut head).expect("reads");
    cloud.rewrite(&id, b"new");
    let new = eventually("the new words", || {
        let file = File::open(&path).expect("opens");
        (file.metadata().expect("fstat").len() == docx("new").len() as u64).then_some(file)
    });
    let mut rest = Vec::new();
    old.read_to_end(&mut rest).expect("reads");
    assert_eq!([&head[..], &rest].concat(), docx("the old words"));
    let (then, now) = (old.metadata().expect("fstat"), new.metadata().expect("fstat"));
    assert_eq!(then.len(), docx("the old words").len() as u64);
    assert_ne!(then.ino(), now.ino());
    assert_eq!((read(&path), length(&path)), (docx("new"), docx("new").len() as u64));
    let again = format!("/proc/self/fd/{}", old.as_raw_fd());
    assert_eq!(fs::metadata(again).expect("stat").len(), then.len());
    drop((old, new));
    assert_eq!((read(&path), exports(&cloud)), (docx("new"), 2));
}

#[test]
fn a_document_that_changes_all_the_time_is_never_cut_nor_mixed() {
    let cloud = Cloud::start();
    let text = |number: usize| format!("{number} ").repeat(20_000 + 7_000 * (number % 5));
    let id = written(&cloud, "Plan", &text(0));
    let machine = with(&cloud, "export");
    let path = machine.at("Plan.docx");
    let (over, began) = (AtomicBool::new(false), Instant::now());
    let seen = std::thread::scope(|scope| {
        let reader = || {
            let mut seen = HashSet::new();
            while !over.load(Ordering::Relaxed) && began.elapsed() < SOON {
                let mut file = File::open(&path).expect("opens");
                let length = file.metadata().expect("fstat").len();
                let mut content = Vec::new();
                file.read_to_end(&mut content).expect("reads");
                assert_eq!(content.len() as u64, length);
                let number = content.split(|&byte| byte == b' ').nth(1).expect("words");
                let number: usize = std::str::from_utf8(number).expect("text").parse().expect("a number");
                assert!(content == docx(&text(number)), "all of it is of version {number}");
                assert_eq!(file.metadata().expect("fstat").len(), length);
                seen.insert(number);
            }
            seen
        };
        let readers = [0; 3].map(|_| scope.spawn(reader));
        for number in 1..30 {
            cloud.rewrite(&id, text(number).as_bytes());
            eventually("the new version", || (read(&path) == docx(&text(number))).then_some(()));
        }
        over.store(true, Ordering::Relaxed);
        readers.map(|reader| reader.join().expect("reads"))
    });
    assert!(seen.iter().all(|seen| seen.len() > 3), "they saw it change: {seen:?}");
}

#[test]
fn an_edit_that_our_own_rename_has_given_its_old_time_is_seen() {
    let cloud = Cloud::start();
    let id = written(&cloud, "Plan", "old");
    let machine = with(&cloud, "export");
    assert_eq!(read(machine.at("Plan.docx")), docx("old"));
    cloud.make_trouble(&["changes.list:lag,time=1h"]);
    cloud.rewrite(&id, b"new");
    fs::rename(machine.at("Plan.docx"), machine.at("Plot.docx")).expect("renames");
    machine.flush();
    assert_eq!(cloud.file("Plot")["id"], id.as_str());
    assert_eq!(read(machine.at("Plot.docx")), docx("new"));
}

#[test]
fn what_is_not_exported_says_why() {
    let cloud = Cloud::start();
    written(&cloud, "Plan", "words");
    let machine = Machine::with_flags(&cloud, &["--docs", "export", "--network-timeout", "2s"]);
    let path = machine.at("Plan.docx");
    for (trouble, errno, why) in [
        ("files.export:answer,status=403,reason=fileNotExportable", libc::EOPNOTSUPP, "not supported"),
        ("files.export:answer,status=403,reason=cannotDownloadFile", libc::EACCES, "no permission"),
        ("files.export:answer,status=404,reason=notFound", libc::ENOENT, "not found"),
        ("files.export:answer,status=503", libc::EIO, "drive failed"),
    ] {
        cloud.make_trouble(&[trouble]);
        assert_eq!(File::open(&path).expect_err(trouble).raw_os_error(), Some(errno), "{trouble}");
        let said = attribute(&path, "user.drivemount.error");
        assert!(said.contains(why), "{said}");
        assert_eq!(length(&path), UNKNOWN);
    }
    // A drive that says nothing is not waited for without end, nor by who comes later.
    cloud.make_trouble(&["files.export:latency,ms=3600000"]);
    assert_eq!(File::open(&path).expect_err("silence").raw_os_error(), Some(libc::EIO));
    cloud.make_trouble(&["files.export:cut-answer,after=2,times=1"]);
    assert_eq!(read(&path), docx("words"), "what broke is whole");
}

#[test]
fn a_document_that_is_too_long_for_an_export_comes_all_the_same() {
    let cloud = Cloud::start();
    let text = "0123456789abcde\n".repeat(700_000);
    written(&cloud, "Plan", &text);
    let machine = with(&cloud, "export");
    let content = read(machine.at("Plan.docx"));
    assert!(content == docx(&text));
    assert_eq!(length(machine.at("Plan.docx")), content.len() as u64);
}

#[test]
fn an_exported_document_is_renamed_and_removed_but_never_written() {
    let cloud = Cloud::start();
    let id = written(&cloud, "Plan", "words");
    let machine = with(&cloud, "export");
    let path = machine.at("Plan.docx");
    let refused = |result: std::io::Result<()>, errno| {
        assert_eq!(result.expect_err("refused").raw_os_error(), Some(errno));
    };
    refused(OpenOptions::new().write(true).open(&path).map(drop), libc::EACCES);
    refused(OpenOptions::new().read(true).append(true).open(&path).map(drop), libc::EACCES);
    refused(File::create(&path).map(drop), libc::EACCES);
    refused(fs::set_permissions(&path, fs::Permissions::from_mode(0o600)), libc::EPERM);
    // What editors do to save.
    write(machine.at("Plan.tmp"), "a new version");
    refused(fs::rename(machine.at("Plan.tmp"), &path), libc::EACCES);
    assert_eq!(exports(&cloud), 0);
    assert_eq!(read(&path), docx("words"));
    // A copy is a file like any.
    sh(&format!(
        "cd {} && cp Plan.docx copy.docx && chmod u+w copy.docx && echo more >> copy.docx",
        machine.drive().display()
    ));
    machine.flush();
    assert_eq!(cloud.content(&cloud.id("copy.docx")), [&docx("words")[..], b"more\n"].concat());
    fs::create_dir(machine.at("folder")).expect("makes");
    fs::rename(&path, machine.at("folder/Plot.docx")).expect("moves");
    machine.flush();
    let item = cloud.file("Plot");
    assert_eq!((&item["id"], &item["mimeType"]), (&json!(id), &json!(DOCUMENT)));
    assert_eq!(item["parents"], json!([cloud.id("folder")]));
    assert_eq!(read(machine.at("folder/Plot.docx")), docx("words"));
    let reader = File::open(machine.at("folder/Plot.docx")).expect("opens");
    fs::remove_file(machine.at("folder/Plot.docx")).expect("removes");
    machine.flush();
    let trashed = cloud.call("GET", &format!("/drive/v3/files/{id}"), &[("fields", "trashed")], None);
    assert_eq!(trashed["trashed"], true);
    let mut all = vec![0; docx("words").len()];
    reader.read_exact_at(&mut all, 0).expect("reads");
    assert_eq!(all, docx("words"), "who has it open goes on");
    assert_eq!(read(format!("/proc/self/fd/{}", reader.as_raw_fd())), docx("words"), "and opens it again");
}

#[test]
fn documents_are_shown_in_another_way_by_the_next_mount_of_a_cache() {
    let cloud = Cloud::start();
    let root = cloud.root();
    let id = written(&cloud, "Plan", "words");
    cloud.upload("Plan.docx", &root, b"a file");
    cloud.upload("Plan.gdoc", &root, b"another");
    document(&cloud, "Survey", &root, "form");
    let mut machine = with(&cloud, "link");
    let shown = |machine: &Machine| names(machine.drive()).into_iter().filter(|name| !name.contains('(')).collect();
    let all: Vec<String> = shown(&machine);
    assert_eq!(all, ["Plan.docx", "Plan.gdoc", "Survey.gform"]);
    assert_eq!(names(machine.drive()).len(), 4);
    assert_eq!(read(machine.at("Plan.docx")), b"a file");
    assert!(read(machine.at("Plan.gdoc")).starts_with(b"{"));

    remount(&mut machine, &cloud, "export");
    assert_eq!(names(machine.drive()).len(), 4);
    assert_eq!(read(machine.at("Plan.docx")), docx("words"), "the oldest keeps the name");
    assert_eq!(read(machine.at("Plan.gdoc")), b"another");

    remount(&mut machine, &cloud, "hide");
    assert_eq!(disk_use(&machine.cache().join("blocks/whole")), 0, "of no use any more");
    assert_eq!(names(machine.drive()), ["Plan.docx", "Plan.gdoc"]);
    assert_eq!(read(machine.at("Plan.docx")), b"a file");
    fs::remove_file(machine.at("Plan.docx")).expect("removes");

    remount(&mut machine, &cloud, "export");
    // What is not sent when the way changes is sent as it was meant.
    cloud.make_trouble(&["files.update:answer,status=503"]);
    fs::rename(machine.at("Plan.docx"), machine.at("Plot.docx")).expect("renames");
    machine.kill();
    sh(&format!("umount -l {}", machine.drive().display()));
    let at = machine.arguments.iter().position(|argument| argument == "--docs").expect("is told") + 1;
    for (docs, now) in [("hide", None), ("link", Some("Plot.gdoc")), ("export", Some("Plot.docx"))] {
        docs.clone_into(&mut machine.arguments[at]);
        machine.mount(&cloud);
        let plot: Option<String> = names(machine.drive()).into_iter().find(|name| name.starts_with("Plot"));
        assert_eq!(plot.as_deref(), now, "{docs}");
        assert_eq!(machine.status()["unsent"]["items"][0]["path"], now.unwrap_or("Plot"));
        machine.kill();
        sh(&format!("umount -l {}", machine.drive().display()));
    }
    cloud.make_trouble(&[]);
    machine.mount(&cloud);
    machine.flush();
    assert_eq!(cloud.file("Plot")["id"], id.as_str());
    assert_eq!(read(machine.at("Plot.docx")), docx("words"));
    let status = machine.status();
    assert_eq!(status["settings"]["docs"], "export", "{status}");
}

#[test]
fn exports_stay_within_a_part_of_the_cache() {
    let cloud = Cloud::start();
    let text = "0123456789abcde\n".repeat(7 << 16);
    let names = ["a", "b", "c", "d"];
    for name in names {
        written(&cloud, name, &text);
    }
    let machine = Machine::with_flags(&cloud, &["--docs", "export", "--cache-size", "64M"]);
    let kept = || disk_use(&machine.cache().join("blocks/whole"));
    let path = |name: &str| machine.at(&format!("{name}.docx"));
    let open = File::open(path("a")).expect("opens");
    for name in names {
        assert!(read(path(name)) == docx(&text), "{name}");
        assert!(kept() <= 16 << 20, "{}", kept());
    }
    assert_eq!(exports(&cloud), 4);
    assert!(read(path("b")) == docx(&text), "made again, since it had to go");
    assert_eq!(exports(&cloud), 5);
    let mut first = [0; 4];
    open.read_exact_at(&mut first, 0).expect("what is open does not go");
    let other = File::open(path("c")).expect("opens");
    let full = File::open(path("d")).expect_err("no room beside what is open");
    assert_eq!(full.raw_os_error(), Some(libc::ENOSPC));
    let why = attribute(&path("d"), "user.drivemount.error");
    assert!(why.contains("--cache-size"), "{why}");
    drop((open, other));
    assert!(read(path("d")) == docx(&text));
    let cleared = run(Command::new(PROGRAM).args(["cache", "clear"]).arg(machine.drive()));
    assert!(cleared.status.success(), "{}", said(&cleared));
    assert_eq!(kept(), 0);
}
