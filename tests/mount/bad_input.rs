//! What bad input gets: a sentence with the remedy, an exit code of its own, and nothing deleted.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::cloud::{Cloud, PROGRAM, eventually};
use crate::machine::{Machine, names, read, run, said, sh, signal, wait_for_end, write};

/// The program with these arguments and nothing of ours in its environment.
fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("DRIVEMOUNT")) {
        command.env_remove(name);
    }
    command.args(arguments);
    command
}

fn drivemount(arguments: &[&str]) -> Output {
    run(&mut program(arguments))
}

/// `mount` of what answers at an address.
fn mount_of(machine: &Machine, url: &str, more: &[&str]) -> Command {
    let mut command = program(&["mount", url]);
    command.arg(machine.drive()).arg("--cache-dir").arg(machine.cache()).args(more);
    command
}

/// It failed with that code, and said that, in a line or two and without a trace.
#[track_caller]
fn refused(output: &Output, code: i32, words: &[&str]) {
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{}", said(output));
    for word in words {
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
    assert!(!error.contains("panicked") && !error.contains("backtrace"), "{error}");
    assert!(code == 2 || code == 5 || error.trim_end().lines().count() == 1, "one line: {error}");
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn nobody_signed_in_is_told_what_to_do() {
    let machine = Machine::new();
    let output = drivemount(&["mount", text(&machine.drive()), "--cache-dir", text(&machine.cache())]);
    refused(&output, 3, &["drivemount demo", "local:", "--token-file", "DRIVEMOUNT_TOKEN"]);
}

#[test]
fn each_bad_mountpoint_has_a_sentence() {
    let cloud = Cloud::start();
    let machine = Machine::new();
    let dir = tempfile::tempdir().expect("temporary folder");
    write(dir.path().join("file"), b"x");
    fs::create_dir(dir.path().join("full")).expect("makes");
    write(dir.path().join("full/precious"), b"x");
    let token = cloud.token_file();
    let mount = |place: &Path| {
        let cache = machine.cache();
        drivemount(&["mount", &cloud.url, text(place), "--token-file", text(&token), "--cache-dir", text(&cache)])
    };
    refused(&mount(&dir.path().join("none/none")), 4, &["does not exist", "mkdir -p"]);
    refused(&mount(&dir.path().join("file")), 4, &["is not a folder"]);
    refused(&mount(&dir.path().join("full")), 4, &["is not empty", "precious"]);
    assert!(dir.path().join("full/precious").exists());
    machine.mount(&cloud);
    refused(&mount(&machine.drive()), 4, &["is mounted at", "already", "drivemount status", "drivemount unmount"]);
    machine.unmount();

    // Only the last part is missing: it is made, and goes again with the mount.
    let place = dir.path().join("made");
    let output = mount(&place);
    assert!(output.status.success(), "{}", said(&output));
    let output = run(Command::new(PROGRAM).arg("unmount").arg(&place));
    assert!(output.status.success(), "{}", said(&output));
    eventually("the folder is gone", || (!place.exists()).then_some(()));
}

#[test]
fn bad_values_of_flags_are_refused_with_an_example() {
    for (flag, value, words) in [
        ("--cache-size", "lots", &["10G"][..]),
        ("--poll-interval", "soon", &["5s"]),
        ("--network-timeout", "0", &["5s"]),
        ("--api-url", "nowhere", &["--api-url"]),
        ("--api-url", "ftp://x", &["--api-url", "http://"]),
        ("--cache-size", "63M", &["64 MiB"]),
        ("--log-level", "verbose=loud=very", &["info"]),
        ("--log-level", "loud", &["info"]),
    ] {
        let output = drivemount(&["mount", "google", "/nowhere/at/all", "--token", "t", flag, value]);
        refused(&output, 2, words);
    }
    refused(&drivemount(&["mount", "gogle", "/nowhere"]), 2, &["`google`", "local:DIR"]);
    refused(&drivemount(&["mount"]), 2, &["Usage"]);
    refused(&drivemount(&["mount", "google", "/nowhere", "--no-such-flag"]), 2, &["--no-such-flag"]);
    refused(
        &drivemount(&["mount", "google", "/nowhere", "--token", "a", "--token-file", "b"]),
        2,
        &["cannot be used with"],
    );
}

#[test]
fn a_server_that_does_not_answer_is_named() {
    let mut cloud = Cloud::start();
    let machine = Machine::new();
    let token = machine.cache().with_file_name("token");
    fs::copy(cloud.token_file(), &token).expect("copies");
    cloud.kill();
    let output = drivemount(&[
        "mount",
        &cloud.url,
        text(&machine.drive()),
        "--token-file",
        text(&token),
        "--cache-dir",
        text(&machine.cache()),
    ]);
    refused(&output, 7, &["does not serve", &cloud.url, "network"]);
}

#[test]
fn a_wrong_token_is_told_and_never_shown() {
    let cloud = Cloud::start();
    let machine = Machine::new();
    let mount = |arguments: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command
            .args(["mount", &cloud.url])
            .arg(machine.drive())
            .arg("--cache-dir")
            .arg(machine.cache())
            .args(arguments);
        run(command.env("DRIVEMOUNT_LOG_LEVEL", "trace"))
    };
    let output = mount(&["--token", "hush-hush"]);
    refused(&output, 3, &["refused the token", "--token-file"]);
    assert!(!said(&output).contains("hush") && !machine.log().contains("hush"), "{}", machine.log());
    refused(&mount(&["--credentials", "/etc/hostname"]), 3, &["/etc/hostname"]);
}

#[test]
fn a_cache_folder_that_cannot_be_used_is_told_why_and_left_alone() {
    let cloud = Cloud::start();
    let machine = Machine::new();
    // Not a folder.
    write(machine.cache(), b"precious");
    refused(&machine.try_mount(&cloud), 6, &["cache folder", "--cache-dir"]);
    assert_eq!(read(machine.cache()), b"precious");
    fs::remove_file(machine.cache()).expect("removes");

    // Of something else, or of everybody.
    fs::create_dir(machine.cache()).expect("makes");
    write(machine.cache().join("precious"), b"precious");
    refused(&machine.try_mount(&cloud), 6, &["precious", "--cache-dir"]);
    assert_eq!(crate::machine::names(machine.cache()), ["precious"]);
    fs::remove_file(machine.cache().join("precious")).expect("removes");
    fs::set_permissions(machine.cache(), fs::Permissions::from_mode(0o1777)).expect("opens it to all");
    refused(&machine.try_mount(&cloud), 6, &["other users", "--cache-dir"]);
    assert_eq!(fs::metadata(machine.cache()).expect("stat").permissions().mode() & 0o7777, 0o1777);
    fs::remove_dir(machine.cache()).expect("nothing was left in it");

    // In use.
    machine.mount(&cloud);
    let other = Machine::new();
    let token = cloud.token_file();
    let second = |cloud: &Cloud| {
        drivemount(&[
            "mount",
            &cloud.url,
            text(&other.drive()),
            "--token-file",
            text(&token),
            "--cache-dir",
            text(&machine.cache()),
        ])
    };
    refused(&second(&cloud), 6, &["in use by another drivemount", "process", text(&machine.drive())]);
    machine.unmount();

    // Of another account.
    let stranger = Cloud::start();
    refused(&machine.try_mount(&stranger), 6, &["belongs to the account", "--cache-dir"]);

    // Of a newer format.
    let raise = |database: &str| {
        let path = machine.cache().join(database);
        let version: i64 = sh(&format!("sqlite3 {} 'PRAGMA user_version'", path.display())).trim().parse().expect("n");
        sh(&format!("sqlite3 {} 'PRAGMA user_version = {}'", path.display(), version + 1));
        version
    };
    for database in ["state.db", "blocks/index.db"] {
        let version = raise(database);
        refused(&machine.try_mount(&cloud), 6, &["newer", "--cache-dir"]);
        let path = machine.cache().join(database);
        assert!(path.exists());
        sh(&format!("sqlite3 {} 'PRAGMA user_version = {version}'", path.display()));
    }
    machine.mount(&cloud);
    machine.unmount();

    // Damaged.
    write(machine.cache().join("state.db"), vec![7; 100_000]);
    for ending in ["-wal", "-shm"] {
        let _absent = fs::remove_file(machine.cache().join(format!("state.db{ending}")));
    }
    refused(&machine.try_mount(&cloud), 6, &["state.db", "staging", "--cache-dir"]);
    assert_eq!(fs::metadata(machine.cache().join("state.db")).expect("still there").len(), 100_000);
}

#[test]
fn commands_without_a_mount_say_so() {
    let dir = tempfile::tempdir().expect("temporary folder");
    for command in ["status", "flush", "unmount"] {
        refused(&drivemount(&[command, text(dir.path())]), 1, &["is not in a drivemount"]);
    }
    refused(&drivemount(&["flush", text(&dir.path().join("none"))]), 1, &["is not in a drivemount"]);
}

#[test]
fn the_files_of_a_mount_are_closed_to_others() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    let mode = |path: &Path| fs::metadata(path).expect("stat").permissions().mode() & 0o777;
    assert_eq!(mode(&machine.cache()), 0o700);
    for file in ["drivemount.log", "control.sock"] {
        assert_eq!(mode(&machine.cache().join(file)), 0o600, "{file}");
    }
    assert_eq!(mode(&cloud.token_file()), 0o600);

    // A folder that was there is left as it was; what is put into it is closed.
    let machine = Machine::new();
    fs::create_dir(machine.cache()).expect("makes");
    fs::set_permissions(machine.cache(), fs::Permissions::from_mode(0o755)).expect("sets the mode");
    machine.mount(&cloud);
    assert_eq!(mode(&machine.cache()), 0o755);
    for file in ["state.db", "blocks", "staging"] {
        assert_eq!(mode(&machine.cache().join(file)) & 0o077, 0, "{file}");
    }
}

/// A server that gives everybody the same answer, for as long as the test runs; its address.
fn server_of(status: &'static str, body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
    let url = format!("http://{}", listener.local_addr().expect("address"));
    let answer = move |mut caller: TcpStream| {
        let _request = caller.read(&mut [0; 4096])?;
        let length = body.len();
        write!(caller, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
    };
    std::thread::spawn(move || listener.incoming().flatten().for_each(|caller| drop(answer(caller))));
    url
}

#[test]
fn what_answers_and_is_no_drive_is_named() {
    let machine = Machine::new();
    let forbidden =
        r#"{"error": {"message": "Insufficient Permission", "errors": [{"reason": "insufficientPermissions"}]}}"#;
    for (status, body, code, words) in [
        ("200 OK", "<html>hello</html>", 1, &["is this the address of a Drive API"][..]),
        ("404 Not Found", "<html>nothing</html>", 1, &["is this the address of a Drive API"]),
        ("403 Forbidden", forbidden, 3, &["Insufficient Permission", "https://www.googleapis.com/auth/drive"]),
        ("500 Internal Server Error", "oops", 7, &["does not serve", "500"]),
    ] {
        let url = server_of(status, body);
        let output = run(&mut mount_of(&machine, &url, &["--token", "t", "--network-timeout", "1s"]));
        assert!(!said(&output).contains("cannot be reached"), "{}", said(&output));
        let words: Vec<String> = words.iter().map(|word| word.to_lowercase()).chain([url]).collect();
        let error = String::from_utf8_lossy(&output.stderr).to_lowercase();
        assert!(words.iter().all(|word| error.contains(word)), "{words:?} in {error}");
        refused(&output, code, &[]);
    }
}

#[test]
fn credentials_that_cannot_be_read_are_not_said_to_be_refused_by_the_drive() {
    let cloud = Cloud::start();
    let machine = Machine::new();
    let dir = tempfile::tempdir().expect("temporary folder");
    fs::create_dir(dir.path().join("folder")).expect("makes");
    write(dir.path().join("empty"), b"\n");
    write(dir.path().join("binary"), [0xff, 0xfe, 0]);
    write(dir.path().join("prose"), b"two words");
    for (name, why) in [
        ("none", "No such file"),
        ("folder", "Is a directory"),
        ("empty", "is empty"),
        ("binary", "utf-8"),
        ("prose", "something else than one access token"),
    ] {
        let file = dir.path().join(name);
        let output = run(&mut mount_of(&machine, &cloud.url, &["--token-file", text(&file)]));
        refused(&output, 3, &[text(&file), why, "--token-file"]);
        assert!(!said(&output).contains("refused"), "{}", said(&output));
    }
}

#[test]
fn credentials_that_everybody_can_read_are_pointed_out() {
    let cloud = Cloud::start();
    let machine = Machine::new();
    let token = machine.cache().with_file_name("my token");
    fs::copy(cloud.token_file(), &token).expect("copies");
    fs::set_permissions(&token, fs::Permissions::from_mode(0o644)).expect("opens");
    let output = run(&mut mount_of(&machine, &cloud.url, &["--token-file", text(&token)]));
    assert!(
        output.status.success() && said(&output).contains(&format!("chmod 600 '{}'", text(&token))),
        "{}",
        said(&output)
    );
    machine.unmount();
}

#[test]
fn the_command_line_outdoes_the_environment_and_an_empty_variable_is_none() {
    let cloud = Cloud::start();
    let machine = Machine::new();
    let token = cloud.token_file();
    let mut mount = mount_of(&machine, &cloud.url, &["--token-file", text(&token)]);
    mount.env("DRIVEMOUNT_TOKEN", "wrong").env("DRIVEMOUNT_CREDENTIALS", "/wrong");
    mount.env("DRIVEMOUNT_READ_ONLY", "yes").env("DRIVEMOUNT_ALLOW_OTHER", "").env("DRIVEMOUNT_CACHE_SIZE", "");
    let output = run(&mut mount);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(machine.status()["read_only"], true);
    let shown = run(program(&["status"]).arg(machine.drive()));
    assert!(said(&shown).contains("read-only"), "{}", said(&shown));
    machine.unmount();
}

#[test]
fn a_variable_is_understood_as_its_flag_is_and_named_if_it_is_wrong() {
    let parsed = &["gogle", "is not a source"][..];
    for (variable, value, words) in [
        ("READ_ONLY", "1", parsed),
        ("READ_ONLY", "0", parsed),
        ("READ_ONLY", "no", parsed),
        ("ALLOW_OTHER", "true", parsed),
        ("ALLOW_OTHER", "perhaps", &["DRIVEMOUNT_ALLOW_OTHER"]),
        ("CACHE_SIZE", "lots", &["DRIVEMOUNT_CACHE_SIZE", "10G"]),
        ("LOG_LEVEL", "", parsed),
        ("LOG_LEVEL", "loud", &["DRIVEMOUNT_LOG_LEVEL", "info"]),
    ] {
        let output = run(program(&["mount", "gogle", "/nowhere"]).env(format!("DRIVEMOUNT_{variable}"), value));
        refused(&output, 2, words);
    }
    let both = [("DRIVEMOUNT_TOKEN", "t"), ("DRIVEMOUNT_TOKEN_FILE", "f")];
    refused(&run(program(&["mount", "/nowhere"]).envs(both)), 2, &["DRIVEMOUNT_TOKEN ", "DRIVEMOUNT_TOKEN_FILE"]);
    // On the command line it is the flag that is wrong.
    let output = run(program(&["mount", "/nowhere", "--cache-size", "lots"]).env("DRIVEMOUNT_CACHE_SIZE", "1G"));
    refused(&output, 2, &["--cache-size"]);
    assert!(!said(&output).contains("DRIVEMOUNT_CACHE_SIZE"), "{}", said(&output));
}

#[test]
fn an_output_that_nobody_reads_changes_nothing_about_the_work() {
    let cloud = Cloud::start();
    let machine = Machine::new();
    let into_nothing = |command: &mut Command| {
        let (reader, writer) = std::io::pipe().expect("pipe");
        drop(reader);
        run(command.stdout(writer))
    };
    let token = cloud.token_file();
    let output = into_nothing(&mut mount_of(&machine, &cloud.url, &["--token-file", text(&token)]));
    assert!(output.status.success() && output.stderr.is_empty(), "{}", said(&output));
    for arguments in [&["status"][..], &["status", "--json"], &["flush"], &["unmount"]] {
        let mut command = program(arguments);
        command.arg(machine.drive());
        if arguments[0] != "unmount" {
            let full = fs::File::options().write(true).open("/dev/full").expect("opens");
            let output = run(program(arguments).arg(machine.drive()).stdout(full));
            let code = i32::from(arguments[0] == "status");
            assert_eq!(output.status.code(), Some(code), "{}", said(&output));
            assert!(said(&output).contains("cannot be written"), "{}", said(&output));
        }
        let output = into_nothing(&mut command);
        assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}: {}", said(&output));
    }
}

#[test]
fn the_daemon_keeps_nothing_of_its_caller_open() {
    let cloud = Cloud::start();
    let machine = Machine::new();
    let (token, lock) = (cloud.token_file(), machine.cache().with_file_name("lk"));
    let mount = format!(
        "{PROGRAM} mount {} {} --token-file {} --cache-dir {}",
        cloud.url,
        text(&machine.drive()),
        text(&token),
        text(&machine.cache())
    );
    sh(&format!("( flock 9; {mount} ) 9>{lock}; flock -n {lock} true", lock = text(&lock)));
    machine.unmount();
}

#[test]
fn a_daemon_gives_up_when_nobody_waits_for_its_mount_any_more() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("listens");
    let machine = Machine::new();
    let url = format!("http://{}", silent.local_addr().expect("address"));
    let mut command = mount_of(&machine, &url, &["--token", "t"]);
    let mut mount = command.stdout(Stdio::null()).spawn().expect("starts");
    // The drive is asked by now, and does not answer.
    let _asking = silent.accept().expect("is asked");
    let holder = String::from_utf8(read(machine.cache().join("lock"))).expect("text");
    let daemon = holder.split([' ', ',']).nth(1).and_then(|pid| pid.parse().ok()).expect("process N, …");
    mount.kill().expect("kills");
    mount.wait().expect("waits");
    wait_for_end(daemon);
    assert!(machine.log().contains("ended before it was ready"), "{}", machine.log());
}

#[test]
fn flush_gives_up_in_time_and_lists_what_it_was_asked_for() {
    let mut cloud = Cloud::start();
    let root = cloud.root();
    let folder = cloud.make_folder("unlisted", &root);
    cloud.upload("far", &folder, b"x");
    let machine = Machine::with(&cloud);
    assert_eq!(names(machine.drive()), ["unlisted"]);
    cloud.kill();
    write(machine.at("ours"), b"x");
    write(machine.at("theirs"), b"x");
    let flush = |path: &str| {
        let began = Instant::now();
        let output = run(program(&["flush", "--timeout", "1s"]).arg(machine.at(path)));
        assert!(began.elapsed() < Duration::from_secs(20), "{path}: {:?}", began.elapsed());
        output
    };
    refused(&flush("unlisted/far"), 5, &["not known yet"]);
    let output = flush("MyDrive/ours");
    refused(&output, 5, &["ours", "1 entry"]);
    assert!(!said(&output).contains("theirs"), "{}", said(&output));
    cloud.restart();
    machine.unmount();
}

#[test]
fn flush_gives_up_on_a_daemon_that_hangs() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    let daemon = machine.pid();
    signal(daemon, "STOP");
    let output = run(program(&["flush", "--timeout", "1s"]).arg(machine.at("d")));
    signal(daemon, "CONT");
    refused(&output, 5, &["does not answer"]);
    machine.unmount();
}

#[test]
fn unmount_of_a_folder_in_the_mount_is_refused() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    fs::create_dir(machine.at("d")).expect("makes");
    let output = drivemount(&["unmount", text(&machine.at("d"))]);
    refused(&output, 2, &["not a mountpoint", &format!("drivemount unmount {}", text(&machine.drive()))]);
    assert_eq!(names(machine.drive()), ["d"]);
    machine.unmount();
}

#[test]
fn a_local_drive_is_kept_apart_from_its_mountpoint_and_from_other_files() {
    let machine = Machine::new();
    let dir = tempfile::tempdir().expect("temporary folder");
    std::os::unix::fs::symlink(machine.drive(), dir.path().join("link")).expect("links");
    let mount = |data: &str| run(&mut mount_of(&machine, &format!("local:{data}"), &[]));
    let drive = machine.drive();
    for data in [&drive, &drive.join("data"), drive.parent().expect("a parent"), &dir.path().join("link")] {
        refused(&mount(text(data)), 2, &["cannot be in one another", text(&drive)]);
    }

    let mine = dir.path().join("mine");
    fs::create_dir(&mine).expect("makes");
    write(mine.join("thesis.tex"), b"x");
    refused(&mount(text(&mine)), 6, &["thesis.tex", "does not show the files of a folder"]);
    refused(&drivemount(&["serve", "--data", text(&mine)]), 6, &["thesis.tex"]);
    let at = text(&drive);
    refused(&drivemount(&["demo", "--at", at, "--data", text(&mine)]), 6, &["thesis.tex"]);
    assert_eq!(names(&mine), ["thesis.tex"]);

    // A new one is made, and found again.
    for _ in 0..2 {
        let output = mount(text(&dir.path().join("new")));
        assert!(output.status.success(), "{}", said(&output));
        machine.unmount();
    }
}

#[test]
fn the_sample_of_the_demo_is_written_over_nobodys_edits() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let sample = || drivemount(&["demo", "--sample", text(dir.path())]);
    assert!(sample().status.success());
    let edited = dir.path().join("train.py");
    write(&edited, b"# mine\n");
    fs::remove_file(dir.path().join("README.txt")).expect("removes");
    let output = sample();
    assert!(output.status.success() && said(&output).contains("train.py"), "{}", said(&output));
    assert_eq!(read(&edited), b"# mine\n");
    assert!(dir.path().join("README.txt").exists());
}

#[test]
fn a_place_that_cannot_be_named_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let dir = tempfile::tempdir().expect("temporary folder");
    let place = dir.path().join(std::ffi::OsStr::from_bytes(b"\xff"));
    let cache = dir.path().join("cache");
    let output = run(program(&["mount", "--token", "t", "--cache-dir", text(&cache)]).arg(place));
    refused(&output, 4, &["not UTF-8"]);
}
