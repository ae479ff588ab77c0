//! What a service manager is told, and what the end of a terminal means.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::cloud::{Cloud, PROGRAM, SOON, eventually};
use crate::life::is_mounted;
use crate::machine::{Machine, bytes, names, signal, wait_for_end, write};

fn arguments(machine: &Machine, cloud: &Cloud) -> Vec<String> {
    let text = |path: std::path::PathBuf| path.to_str().expect("UTF-8").to_owned();
    let mut arguments = vec!["mount".to_owned(), "--foreground".to_owned(), cloud.url.clone(), text(machine.drive())];
    arguments.extend([
        "--token-file".to_owned(),
        text(cloud.token_file()),
        "--cache-dir".to_owned(),
        text(machine.cache()),
    ]);
    arguments.extend(["--poll-interval", "1h"].map(str::to_owned));
    arguments
}

struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

/// A mount in the foreground that has no terminal, as a service has none.
fn service(machine: &Machine, cloud: &Cloud, socket: Option<&str>) -> Service {
    let mut command = Command::new("setsid");
    command.args(["env", "--default-signal", PROGRAM]).args(arguments(machine, cloud));
    command.stdout(Stdio::piped()).stderr(Stdio::null()).stdin(Stdio::null());
    if let Some(socket) = socket {
        command.env("NOTIFY_SOCKET", socket);
    }
    let mut service = Service(command.spawn().expect("starts"));
    let mut line = String::new();
    let output = service.0.stdout.take().expect("piped");
    BufReader::new(output).read_line(&mut line).expect("reads");
    assert!(line.starts_with("mounted http://"), "{line}");
    service
}

fn heard(socket: &UnixDatagram) -> String {
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).expect("is told something");
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

#[test]
fn a_service_manager_is_told_of_the_start_and_of_an_end_that_takes_its_time() {
    let mut cloud = Cloud::start();
    let machine = Machine::new();
    let place = machine.cache().with_file_name("notify");
    let manager = UnixDatagram::bind(&place).expect("binds");
    manager.set_read_timeout(Some(SOON)).expect("sets");
    let mut service = service(&machine, &cloud, place.to_str());
    let ready = heard(&manager);
    assert!(ready.contains("READY=1") && ready.contains("STATUS=mounted http://"), "{ready}");
    assert!(names(machine.drive()).is_empty(), "so the folder is known");
    cloud.kill();
    write(machine.at("file"), bytes(1, 2_000_000));
    signal(machine.pid(), "TERM");
    assert_eq!(heard(&manager), "STOPPING=1");
    for _ in 0..2 {
        let draining = heard(&manager);
        assert!(draining.contains("STATUS=sending: 1.9 MiB at risk"), "{draining}");
        assert!(draining.contains("EXTEND_TIMEOUT_USEC=30000000"), "{draining}");
    }
    cloud.restart();
    assert!(service.0.wait().expect("ends").success());
    assert!(cloud.content(&cloud.id("file")) == bytes(1, 2_000_000));
}

#[test]
fn a_mount_in_the_background_tells_nothing_to_the_service_that_it_was_started_in() {
    let cloud = Cloud::start();
    let machine = Machine::new();
    let place = machine.cache().with_file_name("notify");
    let manager = UnixDatagram::bind(&place).expect("binds");
    manager.set_read_timeout(Some(Duration::from_millis(300))).expect("sets");
    let mut mount = Command::new(PROGRAM);
    mount.args(arguments(&machine, &cloud).iter().filter(|word| *word != "--foreground")).env("NOTIFY_SOCKET", &place);
    assert!(mount.stdout(Stdio::null()).status().expect("runs").success());
    machine.unmount();
    assert!(manager.recv(&mut [0; 10]).is_err(), "nothing was said");
}

#[test]
fn sighup_makes_a_service_look_what_is_new() {
    let cloud = Cloud::start();
    let machine = Machine::new();
    let mut service = service(&machine, &cloud, None);
    assert!(names(machine.drive()).is_empty());
    cloud.upload("theirs", &cloud.root(), b"theirs");
    signal(machine.pid(), "HUP");
    eventually("the news", || (names(machine.drive()) == ["theirs"]).then_some(()));
    signal(machine.pid(), "TERM");
    assert!(service.0.wait().expect("ends").success());
}

#[test]
fn a_mount_in_the_foreground_of_a_terminal_ends_with_it() {
    let cloud = Cloud::start();
    let machine = Machine::new();
    let words: Vec<String> = arguments(&machine, &cloud).iter().map(|word| format!("'{word}'")).collect();
    // Not the leader of the session: that one is the shell, as it is for people.
    let line = format!("env --default-signal '{PROGRAM}' {}; true", words.join(" "));
    // The shell as well, however these tests were started: it is the one that is told, and passes it on by its end.
    let mut terminal = Command::new("env");
    terminal
        .args(["--default-signal", "script", "-qec", &line, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut terminal = Service(terminal.spawn().expect("starts"));
    let output = terminal.0.stdout.take().expect("piped");
    let mut said = BufReader::new(output).lines().map_while(Result::ok);
    assert!(said.any(|line| line.starts_with("mounted http://")));
    let pid = machine.pid();
    write(machine.at("file"), b"x");
    terminal.0.kill().expect("the terminal goes away");
    wait_for_end(pid);
    assert_eq!(cloud.content(&cloud.id("file")), b"x");
}

/// A service manager that listens to the process alone which it started: says its words, each with who sent it.
const STRICT: &str = r#"
import socket, struct, sys
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
manager.bind(sys.argv[1])
print("listening", flush=True)
while True:
    text, extra, _, _ = manager.recvmsg(4096, 1024)
    pid = next(struct.unpack("3i", data)[0] for _, kind, data in extra if kind == socket.SCM_CREDENTIALS)
    print(pid, text.split(b"\n")[0].decode(), flush=True)
"#;

#[test]
fn a_service_outlives_its_daemon_and_its_manager_hears_of_the_process_that_it_started() {
    let cloud = Cloud::start();
    let machine = Machine::new();
    let place = machine.cache().with_file_name("notify");
    let mut manager = Command::new("python3");
    manager.args(["-c", STRICT]).arg(&place).stdout(Stdio::piped());
    let mut manager = Service(manager.spawn().expect("starts"));
    let output = manager.0.stdout.take().expect("piped");
    let mut told = BufReader::new(output).lines().map_while(Result::ok);
    assert_eq!(told.next().as_deref(), Some("listening"));
    let mut service = service(&machine, &cloud, place.to_str());
    let main = service.0.id();
    assert_eq!(told.next(), Some(format!("{main} READY=1")));
    let mut file = std::fs::File::create(machine.at("file")).expect("creates");
    file.write_all(b"before, ").expect("writes");
    let pid = machine.pid();
    assert_ne!(u32::try_from(pid), Ok(main), "the service is the keeper");
    signal(pid, "KILL");
    file.write_all(b"after").expect("goes on");
    drop(file);
    assert_eq!(told.next(), Some(format!("{main} READY=1")), "of the next one");
    let status = machine.status();
    assert_eq!((&status["keeper"]["pid"], &status["keeper"]["restarts"]), (&json!(main), &json!(1)), "{status}");
    signal(i32::try_from(main).expect("pid"), "TERM");
    assert_eq!(told.next(), Some(format!("{main} STOPPING=1")));
    assert!(service.0.wait().expect("ends").success());
    assert_eq!(cloud.content(&cloud.id("file")), b"before, after");
    assert!(!is_mounted(&machine));
}
