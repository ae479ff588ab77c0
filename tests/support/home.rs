//! A home folder for tests: where sign-ins and caches are, with the places that it mounts at.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::cloud::{Cloud, PROGRAM};
use crate::machine::{end_mounts, run, said};

/// A user of this machine. What they mounted goes with them.
pub(crate) struct Home {
    dir: TempDir,
}

/// A `drivemount login` under way, as a program speaks with it.
pub(crate) struct Login {
    process: Child,
    events: BufReader<std::process::ChildStdout>,
}

impl Home {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("temporary folder");
        for name in ["config", "cache", "drive", "other"] {
            std::fs::create_dir(dir.path().join(name)).expect("folder");
        }
        Self { dir }
    }

    /// A place in the home.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// The program, as this user runs it.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).env("HOME", self.dir.path());
        command.env("XDG_CONFIG_HOME", self.at("config")).env("XDG_CACHE_HOME", self.at("cache"));
        for variable in ["BROWSER", "DISPLAY", "WAYLAND_DISPLAY", "GOOGLE_APPLICATION_CREDENTIALS"] {
            command.env_remove(variable);
        }
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        run(&mut self.command(arguments))
    }

    /// Runs what must succeed; says what it said.
    #[track_caller]
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        said(&output)
    }

    /// Runs what must fail with this exit code; says what it said.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
        said(&output)
    }

    #[track_caller]
    pub(crate) fn status(&self, place: &str) -> Value {
        let output = self.run(&["status", "--json", self.at(place).to_str().expect("text")]);
        assert!(output.status.success(), "{}", said(&output));
        serde_json::from_slice(&output.stdout).expect("json")
    }

    /// Begins to sign in.
    pub(crate) fn login(&self, arguments: &[&str]) -> Login {
        let mut command = self.command(&["login", "--json"]);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("starts");
        let events = BufReader::new(process.stdout.take().expect("piped"));
        Login { process, events }
    }

    /// Signs in to the drive of `cloud`, as the person who owns it.
    #[track_caller]
    pub(crate) fn sign_in(&self, cloud: &Cloud, arguments: &[&str]) -> Value {
        let file = cloud.data("client-secret.json");
        let mut login =
            self.login(&[&[cloud.url.as_str(), "--client-file", file.to_str().expect("text")], arguments].concat());
        let link = login.link();
        let address = consent(cloud, &link, &["allow"]);
        login.paste(&address);
        login.event("done")
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        end_mounts(self.dir.path());
    }
}

impl Login {
    /// The link that a person is to open.
    #[track_caller]
    pub(crate) fn link(&mut self) -> String {
        self.event("link")["url"].as_str().expect("text").to_owned()
    }

    /// The next event, which must be of this name.
    #[track_caller]
    pub(crate) fn event(&mut self, name: &str) -> Value {
        let mut line = String::new();
        self.events.read_line(&mut line).expect("reads");
        let event: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        assert_eq!(event["event"], name, "{event}");
        event
    }

    pub(crate) fn paste(&mut self, text: &str) {
        let input = self.process.stdin.as_mut().expect("piped");
        writeln!(input, "{text}").expect("writes");
    }

    /// Waits for the end; says the exit code.
    pub(crate) fn end(mut self) -> Option<i32> {
        self.process.wait().expect("waits").code()
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _gone = self.process.wait();
    }
}

/// What a browser does with a link: shows the page, ticks everything, presses a button (`allow` or `deny`), and is sent somewhere.
/// With `untick` it ticks nothing.
#[track_caller]
pub(crate) fn consent(cloud: &Cloud, link: &str, presses: &[&str]) -> String {
    let (status, _, page) = visit(link, None);
    assert_eq!(status, 200, "{page}");
    let between = |text: &str, before: &str| {
        text.split(before).skip(1).map(|rest| rest.split('"').next().expect("an end").to_owned()).collect::<Vec<_>>()
    };
    let ticket = between(&page, "name=\"ticket\" value=\"").remove(0);
    let mut form = vec![("ticket", ticket.as_str()), ("decision", presses[0])];
    let boxes = between(&page, "type=\"checkbox\" name=\"");
    if !presses.contains(&"untick") {
        form.extend(boxes.iter().map(|scope| (scope.as_str(), "on")));
    }
    let (status, location, page) = visit(&format!("{}/o/oauth2/consent", cloud.url), Some(&form));
    assert_eq!(status, 302, "{page}");
    location.expect("a place to go")
}

/// What the drive's pages answer to somebody without a token: the status, where it sends them, the text.
pub(crate) fn visit(address: &str, form: Option<&[(&str, &str)]>) -> (u16, Option<String>, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    let http = drivemount::net::client(&address.parse().expect("url"), |builder| {
        builder.redirect(reqwest::redirect::Policy::none())
    });
    let http = http.expect("client");
    runtime.block_on(async {
        let request = match form {
            Some(form) => http.post(address).form(form),
            None => http.get(address),
        };
        let answer = request.send().await.expect("answers");
        let location = answer.headers().get("location").map(|to| to.to_str().expect("text").to_owned());
        (answer.status().as_u16(), location, answer.text().await.expect("text"))
    })
}
