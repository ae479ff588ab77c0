//! A whole tree goes to the drive and comes back on another machine.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use crate::cloud::Cloud;
use crate::machine::{Machine, bytes, read, sh, write};

const BLOCK: usize = 256 * 1024;

/// More than two thousand real files, and some of every odd size.
fn tree(folder: &Path) {
    // The sources of the crates that this was built from are on every machine that runs this: real names, real sizes.
    sh(&format!(
        "mkdir {library}
         for crate in \"${{CARGO_HOME:-$HOME/.cargo}}\"/registry/src/*/*/; do
             cp -a \"$crate\" {library}
             if [ $(find {library} -type f | wc -l) -ge 2000 ]; then break; fi
         done",
        library = folder.join("library").display()
    ));
    fs::create_dir(folder.join("odd")).expect("makes");
    for (number, size) in
        [0, 1, 2, 4095, 4096, 4097, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK - 1, 5 << 20, (5 << 20) + 1, 300 << 20]
            .into_iter()
            .enumerate()
    {
        write(folder.join(format!("odd/{size} bytes")), bytes(number as u64, size));
    }
    symlink("odd/1 bytes", folder.join("link")).expect("links");
    symlink("nowhere", folder.join("odd/dangling")).expect("links");
    for mode in [0o600, 0o755, 0o444, 0o4750] {
        let path = folder.join(format!("odd/mode {mode:o}"));
        write(&path, b"x");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
    }
    fs::create_dir(folder.join("private")).expect("makes");
    fs::set_permissions(folder.join("private"), fs::Permissions::from_mode(0o700)).expect("chmod");
    sh(&format!(
        "touch -d '2001-02-03 04:05:06.789' '{}/odd/1 bytes' {}",
        folder.display(),
        folder.join("odd").display()
    ));
}

#[test]
fn a_tree_copied_in_is_the_same_on_a_machine_with_an_empty_cache() {
    let cloud = Cloud::start();
    let source = tempfile::tempdir().expect("temporary folder");
    tree(source.path());
    let count: usize = sh(&format!("find {} -type f | wc -l", source.path().display())).trim().parse().expect("number");
    assert!(count >= 2000, "{count} files are too few to count as a tree");

    let first = Machine::with(&cloud);
    // Not into the root itself, whose time a drive does not keep.
    sh(&format!("cp -a {} {}", source.path().display(), first.at("tree").display()));
    first.flush();
    let requests = first.status()["traffic"]["requests"].clone();
    let created =
        requests["files.create"]["count"].as_u64().unwrap_or(0) + requests["upload"]["count"].as_u64().unwrap_or(0);
    let entries: u64 =
        sh(&format!("find {} -mindepth 1 | wc -l", source.path().display())).trim().parse().expect("number");
    assert!(created <= entries + 20, "{created} requests created {entries} entries");

    let second = Machine::with(&cloud);
    let (here, there) = (source.path().display().to_string(), second.at("tree").display().to_string());
    sh(&format!("diff -r --no-dereference {here} {there}"));
    assert_eq!(
        sh(&format!("rsync -anc --delete --itemize-changes {here}/ {there}/")),
        "",
        "rsync would change something"
    );
    compare(source.path(), &second.at("tree"));

    // The server's checksum of each file is that of the file here.
    let on_drive: HashMap<String, String> = cloud
        .all()
        .into_iter()
        .filter_map(|file| Some((file["md5Checksum"].as_str()?.to_owned(), file["name"].as_str()?.to_owned())))
        .collect();
    let here = sh(&format!("cd {here} && find . -type f -print0 | xargs -0 md5sum"));
    let mut checked = 0;
    for line in here.lines() {
        let (md5, path) = line.split_once("  ").expect("a checksum and a path");
        assert!(on_drive.contains_key(md5), "{path} is not on the drive with {md5}");
        checked += 1;
    }
    assert_eq!(checked, count);
}

/// Names, kinds, sizes, modes, links, and times to the millisecond.
fn compare(here: &Path, there: &Path) {
    for entry in fs::read_dir(here).expect("lists") {
        let name = entry.expect("entry").file_name();
        let (here, there) = (here.join(&name), there.join(&name));
        let (mine, theirs) = (fs::symlink_metadata(&here).expect("stat"), fs::symlink_metadata(&there).expect("stat"));
        let shape = |metadata: &fs::Metadata| (metadata.file_type(), metadata.mode(), metadata.uid(), metadata.gid());
        assert_eq!(shape(&mine), shape(&theirs), "{}", here.display());
        let millis = |metadata: &fs::Metadata| metadata.mtime() * 1000 + metadata.mtime_nsec() / 1_000_000;
        assert_eq!(millis(&mine), millis(&theirs), "time of {}", here.display());
        if mine.is_dir() {
            compare(&here, &there);
        } else if mine.is_symlink() {
            assert_eq!(fs::read_link(&here).expect("reads"), fs::read_link(&there).expect("reads"));
        } else {
            assert_eq!(mine.len(), theirs.len());
        }
    }
}

#[test]
fn programs_that_build_trees_find_a_file_system() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    let drive = machine.drive().display().to_string();
    sh(&format!(
        "cd {drive} && git init -q repository && cd repository && git config user.email me@example.org && git config user.name me \
         && for i in 1 2 3 4 5; do echo $i > file$i; git add .; git commit -q -m $i; done && git gc -q && git fsck --strict"
    ));
    sh(&format!("cd {drive} && git clone -q repository clone && cd clone && test $(git log --oneline | wc -l) = 5"));
    sh(&format!(
        "cd {drive} && tar cf tree.tar repository && mkdir out && tar xf tree.tar -C out && diff -r repository out/repository"
    ));
    sh(&format!("cd {drive} && rsync -a repository/ copy/ && test -z \"$(rsync -ai repository/ copy/)\""));
    machine.flush();
    let other = Machine::with(&cloud);
    sh(&format!(
        "cd {} && git -c safe.directory='*' -C clone fsck --strict && diff -r {drive} .",
        other.drive().display()
    ));
    let database = "import sqlite3, sys\n\
                    db = sqlite3.connect(sys.argv[1])\n\
                    db.execute('CREATE TABLE t (n INTEGER, text TEXT)')\n\
                    for n in range(50):\n\
                    \x20   with db: db.execute('INSERT INTO t VALUES (?, ?)', (n, 'x' * 1000))\n\
                    assert db.execute('PRAGMA integrity_check').fetchone() == ('ok',)\n";
    let path = machine.at("database.sqlite");
    let status = std::process::Command::new("python3").args(["-c", database]).arg(&path).status().expect("python3");
    assert!(status.success());
    machine.flush();
    let id = cloud.id("database.sqlite");
    assert!(cloud.content(&id) == read(&path), "the drive has what is here");
}
