//! The conversation of a sign-in: with a person at a terminal, or with a program, in lines of JSON.

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::{Command, Stdio};
use std::thread;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use url::Url;

use super::super::output::{complain, plain, say};
use super::super::stored::ending;
use crate::auth::Account;
use crate::config::{DEFAULT_ACCOUNT, SECRET_VARIABLES};

/// What is said, and what is heard.
#[derive(Debug)]
pub(super) struct Talk {
    json: bool,
    opens_browser: bool,
    /// From when there is something to paste.
    pasted: Option<mpsc::Receiver<String>>,
}

impl Talk {
    pub(super) fn new(json: bool, opens_browser: bool) -> Self {
        Self { json, opens_browser, pasted: None }
    }

    /// Shows the link, and opens it if that can be done here.
    pub(super) fn link(&mut self, link: &Url) {
        self.pasted = Some(listen());
        if self.json {
            event(&json!({ "event": "link", "url": link.as_str() }));
        } else {
            say(&format!("Open this link in a browser, and allow access:\n\n  {link}\n"));
        }
        let opened = self.opens_browser && browser(link);
        if self.json {
            return;
        }
        if opened {
            say("A browser was opened with it. If none came up, open the link yourself.");
        } else {
            say(
                "Any browser does. On another machine it ends at a page that cannot be loaded: paste that address here.",
            );
        }
        self.prompt();
    }

    /// What was pasted was no answer.
    pub(super) fn again(&self, why: &str) {
        if self.json {
            event(&json!({ "event": "again", "message": why }));
        } else {
            say(&format!("That is not it: {why}."));
            self.prompt();
        }
    }

    /// The next line that somebody pastes. Waits for ever if nobody can.
    pub(super) async fn pasted(&mut self) -> String {
        let line = match &mut self.pasted {
            Some(pasted) => pasted.recv().await,
            None => None,
        };
        match line {
            Some(line) => line,
            None => std::future::pending().await,
        }
    }

    pub(super) fn done(&self, account: &Account) {
        if self.json {
            return event(&json!({ "event": "done", "account": account.name, "email": account.email }));
        }
        if io::stdin().is_terminal() {
            // What is said now does not belong to the question.
            say("");
        }
        let named =
            if account.name == DEFAULT_ACCOUNT { String::new() } else { format!(" --account {}", account.name) };
        say(&plain(&format!("signed in as {}. Next: `drivemount mount{named} /content/drive`", account.email)));
        if let Some(note) = ending(account) {
            say(&format!("note: {note}"));
        }
    }

    /// Says why nobody is signed in, if it is said here.
    pub(super) fn failed(&self, why: &str) -> bool {
        if self.json {
            event(&json!({ "event": "failed", "message": why }));
        }
        self.json
    }

    fn prompt(&self) {
        if !self.json && io::stdin().is_terminal() {
            let mut output = io::stdout().lock();
            let question = b"Waiting for the browser (Ctrl-C gives up), or paste its address: ";
            let _closed = output.write_all(question).and_then(|()| output.flush());
        }
    }
}

fn event(event: &Value) {
    say(&event.to_string());
}

/// Reads lines beside everything else. A line has an end of its own: what comes without is not yet all of it.
fn listen() -> mpsc::Receiver<String> {
    let (tell, pasted) = mpsc::channel(1);
    let read = move || {
        for line in io::stdin().lock().split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            if tell.blocking_send(line).is_err() {
                return;
            }
        }
    };
    if let Err(error) = thread::Builder::new().name("pasted".to_owned()).spawn(read) {
        complain(&format!("drivemount: nothing can be pasted here: {error}"));
    }
    pasted
}

/// Opens a link in the browser of whoever sits at this machine. `$BROWSER` is the choice of the user (a command, or several
/// separated by colons); without it a desktop is needed.
fn browser(link: &Url) -> bool {
    let has_desktop =
        ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some_and(|at| !at.is_empty()));
    let chosen = std::env::var("BROWSER").unwrap_or_default();
    let mut programs: Vec<&str> = chosen.split(':').filter(|program| !program.trim().is_empty()).collect();
    if programs.is_empty() && has_desktop {
        programs = vec!["xdg-open"];
    }
    programs.iter().any(|program| open(program, link.as_str()))
}

fn open(program: &str, link: &str) -> bool {
    let mut words = program.split_ascii_whitespace();
    let Some(name) = words.next() else { return false };
    let mut command = Command::new(name);
    let mut is_placed = false;
    for word in words {
        is_placed |= word.contains("%s");
        command.arg(word.replace("%s", link));
    }
    if !is_placed {
        command.arg(link);
    }
    for secret in SECRET_VARIABLES {
        command.env_remove(secret);
    }
    // What it has to say would stand between our lines.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().is_ok()
}
