//! A program that prints tokens.

use super::*;

#[test]
fn a_program_is_run_again_when_the_token_that_it_printed_is_refused() {
    let (cloud, home) = (drive(&[]), Home::new());
    write(home.at("token.sh"), format!("echo run >> {0}/runs\ncat {0}/token\n", text(&home.at(""))));
    let next = || signed_in(&cloud, DRIVE)["access_token"].as_str().expect("text").to_owned();
    let (first, second) = (next(), next());
    write(home.at("token"), &first);
    // Relative to where it is said, and with a word that nobody but its user may see.
    let line = ": hunter2; sh ./token.sh";
    let mut mount = mount(&home, &cloud, &["--log-level", "trace"]);
    ok(mount.env("DRIVEMOUNT_TOKEN_COMMAND", line).current_dir(home.at("")));
    assert_eq!(read(home.at("drive/hello")), b"hello");
    let pid = home.status("drive")["pid"].as_i64().expect("number");
    let of_process = |file: &str| String::from_utf8_lossy(&read(format!("/proc/{pid}/{file}"))).into_owned();
    assert!(!of_process("cmdline").contains("hunter2") && !of_process("environ").contains("hunter2"));
    let runs = || String::from_utf8(read(home.at("runs"))).expect("text").lines().count();
    assert_eq!(runs(), 1);

    // The token is refused from now on; the program has another.
    write(home.at("token"), &second);
    cloud.make_trouble(&["changes.list:revoke,nth=1"]);
    eventually("it is run again", || (runs() == 2).then_some(()));
    write(home.at("drive/new"), b"new");
    ok(&mut command(&home, &["flush", text(&home.at("drive"))]));
    assert_eq!(cloud.content(&cloud.id("new")), b"new");
    assert_eq!(runs(), 2);
    ok(&mut command(&home, &["unmount", text(&home.at("drive"))]));
    let log = String::from_utf8(read(std::path::PathBuf::from(log_of(&home)))).expect("text");
    assert!(log.contains("DEBUG"), "much is logged, but for");
    for secret in ["hunter2", &first, &second] {
        assert!(!log.contains(secret), "secrets");
    }
}

fn log_of(home: &Home) -> String {
    let caches = std::fs::read_dir(home.at("cache/drivemount")).expect("lists");
    let cache = caches.flatten().next().expect("a cache").path();
    text(&cache.join("drivemount.log")).to_owned()
}

#[test]
fn a_program_that_fails_is_told_by_its_last_words_without_secrets() {
    let (cloud, home) = (drive(&[]), Home::new());
    let attempt = |line: &str| run(&mut mount(&home, &cloud, &["--token-command", line]));
    let program = home.at("program");
    write(&program, "echo 'hint: ask somebody' >&2; echo \"denied for ya29.secret and $1\" >&2; exit 4");
    let output = attempt(&format!("sh {} hunter2", program.display()));
    refused(&output, 3, &["--token-command", "exit status: 4", "denied for …"]);
    for secret in ["ya29", "hint", "hunter2"] {
        assert!(!said(&output).contains(secret), "{}", said(&output));
    }
    refused(&attempt("true"), 3, &["printed nothing"]);
    refused(&attempt("echo wrong-token"), 3, &["--token-command"]);
    refused(&attempt(" "), 2, &["--token-command"]);
}

#[test]
fn a_program_that_runs_ends_with_the_mount() {
    let (cloud, home) = (drive(&[]), Home::new());
    let token = text(&cloud.token_file()).to_owned();
    write(
        home.at("token.sh"),
        format!(
            "cd {0}\nif [ -e once ]; then echo $$ > pid; sleep 600; fi\ntouch once\n\
             printf '{{\"access_token\": \"%s\", \"expires_in\": 8}}' \"$(cat {token})\"\n",
            text(&home.at(""))
        ),
    );
    ok(&mut mount(&home, &cloud, &["--token-command", &format!("sh {}", text(&home.at("token.sh")))]));
    let pid = eventually("it is run again", || {
        String::from_utf8(std::fs::read(home.at("pid")).ok()?).ok()?.trim().parse::<i32>().ok()
    });
    ok(&mut command(&home, &["unmount", "--timeout", "1s", text(&home.at("drive"))]));
    machine::wait_for_end(pid);
}
