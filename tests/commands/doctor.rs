//! `drivemount doctor`: what it finds on machines where something is missing, and what it puts into its archive.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cloud::{Cloud, PROGRAM};
use crate::home::{Home, stderr, stdout, text};
use crate::machine::{Machine, run, said, sh, signal, write};

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {}", said(output)))
}

/// The check of that name.
#[track_caller]
fn check<'a>(report: &'a Value, name: &str) -> &'a Value {
    let checks = report["checks"].as_array().expect("checks");
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name} in {report:#}"))
}

/// It has that outcome, and says that.
#[track_caller]
fn says(report: &Value, name: &str, outcome: &str, words: &[&str]) {
    let check = check(report, name);
    let said = format!("{} -> {}", check["what"].as_str().expect("text"), check["fix"].as_str().unwrap_or("nothing"));
    assert_eq!(check["outcome"], outcome, "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
}

/// Answers every request with this.
fn server(answer: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = format!("http://{}", listener.local_addr().expect("address"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("connects");
            let _head = stream.read(&mut [0; 4096]);
            let _gone = stream.write_all(answer.as_bytes());
        }
    });
    address
}

#[test]
fn where_all_is_well_it_says_so() {
    let (home, cloud) = (Home::new(), Cloud::start());
    fs::set_permissions(cloud.token_file(), fs::Permissions::from_mode(0o600)).expect("closes");
    let token = cloud.token_file();
    let drive = home.at("drive");
    let words = ["doctor", &cloud.url, text(&drive), "--token-file", text(&token), "--cache-size", "64M"];
    let output = home.run(&words);
    assert!(output.status.success(), "{}", said(&output));
    let screen = stdout(&output);
    for line in [
        "ok       fuse",
        "ok       rights",
        "ok       mountpoint",
        "ok       cache",
        "ok       network",
        "ok       clock",
        "ok       token",
        "ok       storage",
    ] {
        assert!(screen.contains(line), "{line:?} is not in:\n{screen}");
    }
    assert!(screen.contains("A drive can be mounted here.") && !screen.contains('\u{1b}'), "{screen}");
    assert!(!home.at("drive").exists() && !home.at(".cache").exists(), "it changes nothing");
    let report = json(&home.run(&[&words[..], &["--json"]].concat()));
    assert_eq!(report["exit"], 0, "{report:#}");
}

#[test]
fn the_exit_code_says_what_must_be_mended_first() {
    let (home, mut cloud) = (Home::new(), Cloud::start());
    let token = home.write("token", &fs::read_to_string(cloud.token_file()).expect("token"));
    let code = |words: &[&str]| {
        let output = home.run(&[&["doctor"], words].concat());
        (output.status.code(), said(&output))
    };
    let (exit, said) = code(&[&cloud.url]);
    assert_eq!(exit, Some(3), "{said}");
    assert!(said.contains("nobody is signed in") && said.contains("once you are signed in"), "{said}");
    let (exit, said) = code(&[&cloud.url, "--token", "no-good"]);
    assert_eq!(exit, Some(3), "{said}");
    assert!(!said.contains("no-good"), "{said}");
    home.write("full/letter", "x");
    let full = home.at("full");
    let (exit, said) = code(&[&cloud.url, text(&full), "--token-file", text(&token)]);
    assert_eq!(exit, Some(4), "{said}");
    assert!(said.contains("is not empty (it holds letter)") && said.contains("-> mount at an empty folder"), "{said}");
    let (exit, said) = code(&[&cloud.url, "--token-file", text(&token), "--cache-dir", text(&full)]);
    assert_eq!(exit, Some(6), "{said}");
    let config = home.write("c.toml", "cache-size = \"lots\"\n");
    let (exit, said) = code(&[&cloud.url, "--token-file", text(&token), "--config", text(&config)]);
    assert_eq!(exit, Some(2), "{said}");
    assert!(said.contains("problem  settings") && said.contains("line 1: `cache-size`"), "{said}");
    let (exit, said) = code(&[&cloud.url, "--token-file", text(&token)]);
    assert_eq!(exit, Some(0), "{said}");
    cloud.kill();
    let (exit, said) = code(&[&cloud.url, "--token-file", text(&token)]);
    assert_eq!(exit, Some(7), "{said}");
    assert!(said.contains("no connection to 127.0.0.1, port"), "{said}");
    let (exit, said) = code(&["https://no-such-host.invalid", "--token-file", text(&token)]);
    assert_eq!(exit, Some(7), "{said}");
    assert!(said.contains("the name no-such-host.invalid cannot be looked up"), "{said}");
}

#[test]
fn it_knows_where_it_runs_and_what_helps_there() {
    let (home, mut cloud) = (Home::new(), Cloud::start());
    let url = cloud.url.clone();
    cloud.kill();
    for (variable, name, words) in [
        ("KUBERNETES_SERVICE_HOST", "a Kubernetes pod", "egress"),
        ("KAGGLE_KERNEL_RUN_TYPE", "Kaggle", "switch Internet on"),
        ("COLAB_RELEASE_TAG", "Google Colab", "firewall"),
    ] {
        let report = json(&run(home.command(&["doctor", &url, "--json"]).env(variable, "1")));
        assert_eq!(report["surroundings"], name);
        says(&report, "network", "problem", &[words]);
    }
}

#[test]
fn a_machine_without_the_device_or_the_right_is_told_what_to_do() {
    let home = Home::new();
    // As in a container that was started without more: no /dev/fuse in the one, no capabilities in the other.
    let device =
        format!("mount -t tmpfs none /dev && exec {PROGRAM} doctor local:{}/data --json", home.path().display());
    let mut unshared = home.as_user(Path::new("unshare"), &["--mount", "sh", "-c", &device]);
    let report = json(&run(unshared.env("KUBERNETES_SERVICE_HOST", "10.0.0.1")));
    says(&report, "fuse", "problem", &["this machine has no /dev/fuse", "privileged: true", "device plugin"]);
    assert_eq!(report["exit"], 4);
    let source = format!("local:{}/data", home.path().display());
    let words = ["--bounding-set=-sys_admin", "--inh-caps=-sys_admin", PROGRAM, "doctor", &source, "--json"];
    let report = json(&run(home.as_user(Path::new("setpriv"), &words).env("KUBERNETES_SERVICE_HOST", "10.0.0.1")));
    says(&report, "rights", "problem", &["root without the right to mount (CAP_SYS_ADMIN)", "securityContext"]);
    assert_eq!(report["exit"], 4);
    // The refusal of the mount itself says the same.
    let drive = home.at("drive");
    let words = ["--bounding-set=-sys_admin", "--inh-caps=-sys_admin", PROGRAM, "mount", &source, text(&drive)];
    let output = run(home.as_user(Path::new("setpriv"), &words).env("KUBERNETES_SERVICE_HOST", "10.0.0.1"));
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    assert!(stderr(&output).contains("securityContext"), "{}", said(&output));
}

#[test]
fn a_dead_and_a_hanging_mount_are_told_and_not_waited_for() {
    let (home, cloud) = (Home::new(), Cloud::start());
    let machine = Machine::with(&cloud);
    let drive = machine.drive();
    let place = text(&drive).to_owned();
    let doctor = |home: &Home| {
        let began = Instant::now();
        let report = json(&home.run(&["doctor", &cloud.url, &place, "--json"]));
        assert!(began.elapsed() < Duration::from_secs(40), "took {:?}", began.elapsed());
        report
    };
    let of_place = |report: &Value| {
        let checks = report["checks"].as_array().expect("checks").clone();
        let mine = |check: &&Value| {
            check["name"] == "mount" && check["what"].as_str().is_some_and(|what| what.contains(&place))
        };
        checks.iter().find(mine).unwrap_or_else(|| panic!("{report:#}")).clone()
    };
    let report = doctor(&home);
    says(&report, "mountpoint", "ok", &["is a mount of drivemount already"]);
    says(&report, "sign-in", "ok", &["by the mount"]);
    assert_eq!((&report["exit"], &of_place(&report)["outcome"]), (&0.into(), &"ok".into()), "{report:#}");

    let pid = machine.pid();
    signal(pid, "STOP");
    let report = doctor(&home);
    signal(pid, "CONT");
    says(&report, "mountpoint", "problem", &["does not answer", "umount -f"]);
    assert_eq!(of_place(&report)["outcome"], "warning", "{report:#}");

    machine.kill();
    let report = doctor(&home);
    says(&report, "mountpoint", "warning", &["a dead mount is at", "drivemount unmount"]);
    assert!(of_place(&report)["what"].as_str().expect("text").contains("dead"), "{report:#}");
    assert!(sh("cat /proc/self/mountinfo").contains(&place), "it removes nothing");
}

#[test]
fn a_clock_that_is_off_and_a_server_that_is_no_drive_are_told() {
    let home = Home::new();
    let answer = |status: &str, date: &str| {
        server(format!("HTTP/1.1 {status}\r\ndate: {date}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"))
    };
    let url = answer("401 Unauthorized", "Tue, 15 Nov 1994 08:12:31 GMT");
    let report = json(&home.run(&["doctor", &url, "--json"]));
    says(&report, "clock", "warning", &["minutes ahead", "sign-ins are refused"]);
    let url = answer("404 Not Found", "nonsense");
    let report = json(&home.run(&["doctor", &url, "--json"]));
    says(&report, "network", "warning", &["404", "not how a drive answers"]);
    says(&report, "clock", "skipped", &[]);
}

#[test]
fn a_proxy_is_named_without_its_password() {
    let home = Home::new();
    let mut command = home.command(&["doctor", "http://drive.example", "--json"]);
    let output = run(command.env("http_proxy", "http://me:hush-hush@127.0.0.1:9"));
    let report = json(&output);
    says(&report, "proxy", "ok", &["http_proxy is set: http://[redacted]@127.0.0.1:9"]);
    says(&report, "network", "problem", &["proxy"]);
    assert!(!said(&output).contains("hush"), "{}", said(&output));
}

/// Secrets of every kind, each with `hush` in it.
const ACCOUNT: &str = r#"{"type": "authorized_user", "client_id": "12.apps.googleusercontent.com", "client_secret": "hush-client",
    "refresh_token": "hush-refresh-token"}"#;

#[test]
fn the_archive_holds_what_helps_and_no_secret() {
    let (home, cloud) = (Home::new(), Cloud::start());
    let mut machine = Machine::new();
    machine.arguments.extend(["--log-level", "trace"].map(str::to_owned));
    machine.mount(&cloud);
    let drive = machine.drive();
    write(machine.at("very private name.txt"), b"x");
    cloud.make_trouble(&["*:answer,status=503,times=3"]);
    write(machine.at("another private name.txt"), b"x");
    // What somebody else wrote into a log.
    let mut log = fs::File::options().append(true).open(machine.cache().join("drivemount.log")).expect("log");
    let spilled = "WARN x path=\"very private name.txt\" Authorization: Bearer hush-bearer ya29.hush 1//0hush-hush-hush \
                   https://www.googleapis.com/upload?upload_id=hush-session hush-client hush-refresh-token me@example.org\n";
    log.write_all(spilled.as_bytes()).expect("spills");
    home.write(".config/drivemount/accounts/work.json", ACCOUNT);
    let settings = "# hush\ntoken-command = \"print -su \\\"me:hush-in-file\\\" 'hush'\"\ncache-size = \"3G\"\n";
    home.write(".config/drivemount/config.toml", settings);
    let archive = home.at("report.tar.gz");
    let words = ["doctor", &cloud.url, text(&drive), "--bundle", text(&archive)];
    let mut command = home.command(&words);
    command.envs([
        ("DRIVEMOUNT_TOKEN", "hush-variable"),
        ("MY_PASSWORD", "hush-other"),
        ("DRIVEMOUNT_POLL_INTERVAL", "9s"),
    ]);
    command.env("NO_TEXT_SECRET", OsStr::from_bytes(b"hush\xff"));
    let output = run(&mut command);
    assert!(output.status.success(), "{}", said(&output));
    assert!(
        stderr(&output).contains("readable for you alone") && stderr(&output).contains("Look at it"),
        "{}",
        said(&output)
    );
    assert!(!said(&output).contains("hush"), "{}", said(&output));
    assert_eq!(fs::metadata(&archive).expect("archive").mode() & 0o777, 0o600);
    sh(&format!("cd {} && tar -xzf report.tar.gz", home.path().display()));
    let read = |name: &str| fs::read_to_string(home.at("drivemount-report").join(name)).expect(name);
    let all = sh(&format!("cd {}/drivemount-report && cat $(find . -type f)", home.path().display()));
    let token = fs::read_to_string(cloud.token_file()).expect("token");
    for secret in ["hush", token.trim(), "private name", "me@example.org"] {
        assert!(!all.contains(secret), "{secret:?} is in it: {:?}", all.lines().find(|line| line.contains(secret)));
    }
    assert!(read("doctor.txt").contains("ok       fuse"));
    assert_eq!(read("config.toml"), "\ntoken-command = \"[redacted]\"\ncache-size = \"3G\"\n");
    assert!(
        read("environment.txt").contains("MY_PASSWORD\n")
            && read("environment.txt").contains("DRIVEMOUNT_POLL_INTERVAL=9s")
    );
    assert!(read("mounts.txt").contains(text(&drive)));
    assert!(all.contains("state.db node: ") && all.contains("[name]") && all.contains("\"pid\""), "{all}");
    assert!(read("system.txt").contains("Linux version"));
    // What is there is not written over.
    let output = run(&mut command);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(stderr(&output).contains("give another name"), "{}", said(&output));
    let named = home.at("named.tar.gz");
    let output = home.run(&["doctor", &cloud.url, text(&drive), "--bundle", text(&named), "--with-names"]);
    assert!(output.status.success(), "{}", said(&output));
    let names = run(Command::new("tar").arg("-xzOf").arg(&named));
    assert!(stdout(&names).contains("very private name.txt"));
    assert!(!stdout(&names).contains("hush"));
}
