//! No secret is where somebody else could see it: not in what commands say, whatever goes wrong and however much is logged, not in
//! the list of processes, not in the cache folder.

use std::path::Path;

use crate::cloud::{Cloud, eventually};
use crate::home::{Home, consent, visit};
use crate::machine::{names, read, run, said, write};

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// Everything that was seen, and what must not be in it.
struct Search {
    seen: Vec<(String, Vec<u8>)>,
    secrets: Vec<(String, String)>,
}

impl Search {
    /// Secrets of the embedded drive: by how they begin, whichever there are, and those that are known as they are.
    fn new(cloud: &Cloud) -> Self {
        let mut secrets: Vec<(String, String)> =
            [("an access token", "ya29.a0"), ("a refresh token", "1//0"), ("a client's secret", "GOCSPX-")]
                .map(|(what, text)| (what.to_owned(), text.to_owned()))
                .to_vec();
        let owner = String::from_utf8(read(cloud.token_file())).expect("text");
        secrets.push(("the owner's token".to_owned(), owner.trim().to_owned()));
        let key: serde_json::Value = serde_json::from_slice(&read(cloud.data("service-account.json"))).expect("json");
        let key = key["private_key"].as_str().expect("text").lines().nth(3).expect("a line").to_owned();
        secrets.push(("a private key".to_owned(), key));
        Self { seen: Vec::new(), secrets }
    }

    fn see(&mut self, what: &str, bytes: impl Into<Vec<u8>>) {
        self.seen.push((what.to_owned(), bytes.into()));
    }

    /// The arguments of all processes, and the environment of the mount's.
    fn see_processes(&mut self, daemon: i64) {
        for entry in std::fs::read_dir("/proc").expect("lists").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.bytes().all(|byte| byte.is_ascii_digit()) {
                // One that ended meanwhile has none.
                self.see(
                    &format!("the arguments of {name}"),
                    std::fs::read(entry.path().join("cmdline")).unwrap_or_default(),
                );
            }
        }
        self.see("the environment of the mount", read(format!("/proc/{daemon}/environ")));
    }

    /// All that the archive for a report of a bug holds.
    fn see_bundle(&mut self, home: &Home, name: &str, variables: &[(&str, &str)]) {
        let bundle = home.at(name);
        let mut doctor = home.command(&["doctor", "--with-names", "--bundle", text(&bundle)]);
        self.see("doctor", said(&run(doctor.envs(variables.iter().copied()))));
        let held = run(std::process::Command::new("tar").arg("-xzOf").arg(&bundle));
        assert!(held.status.success() && held.stdout.len() > 10_000, "{}", held.stdout.len());
        self.see("the archive", held.stdout);
    }

    fn see_folder(&mut self, folder: &Path) {
        for entry in std::fs::read_dir(folder).expect("lists").flatten() {
            let path = entry.path();
            let kind = entry.file_type().expect("a type");
            if kind.is_dir() {
                self.see_folder(&path);
            } else if kind.is_file() {
                self.see(text(&path), read(&path));
            }
        }
    }

    #[track_caller]
    fn finds_nothing(&self) {
        assert!(self.seen.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() > 100_000, "too little was seen");
        for (place, bytes) in &self.seen {
            // What is no text is still searched: each byte of a secret stays what it is.
            let text = String::from_utf8_lossy(bytes);
            for (what, secret) in &self.secrets {
                if let Some(at) = text.find(secret.as_str()) {
                    let around: String = text[..at].chars().rev().take(200).collect();
                    panic!("{what} in {place}, after: {}", around.chars().rev().collect::<String>());
                }
            }
        }
    }
}

#[test]
fn no_secret_is_said_logged_listed_or_left_in_the_cache() {
    let (mut cloud, home) = (Cloud::start_with(&["--sign-in", "--token-life", "3s"]), Home::new());
    let mut search = Search::new(&cloud);
    cloud.upload("a", &cloud.root(), b"content");
    let place = home.at("drive");

    // Signing in, with every mistake.
    let client = cloud.data("client-secret.json");
    let mut login = home.login(&[&cloud.url, "--client-file", text(&client)]);
    let link = login.link();
    search.see("the link", link.clone());
    search.see_processes(i64::from(std::process::id()));
    let address = consent(&cloud, &link, &["allow"]);
    for wrong in [address.replace("state=", "state=x"), "no code".to_owned()] {
        login.paste(&wrong);
        search.see("what is said of a mistake", login.event("again").to_string());
    }
    login.paste(&address);
    search.see("what is said in the end", login.event("done").to_string());
    let mut late = home.login(&[]);
    late.link();
    late.paste("4/0this-code-is-worth-nothing");
    search.see("what is said of a wrong code", late.event("failed").to_string());
    let broken = String::from_utf8(read(&client)).expect("text").replace("GOCSPX-", "GOCSPX-x");
    write(home.at("wrong.json"), broken);
    let mut wrong = home.login(&[&cloud.url, "--client-file", text(&home.at("wrong.json"))]);
    let address = consent(&cloud, &wrong.link(), &["allow"]);
    wrong.paste(&address);
    search.see("what is said of a wrong client", wrong.event("failed").to_string());

    // A mount that logs everything there is, through trouble of every kind.
    let everything = "trace,drivemount=trace,hyper=trace,reqwest=trace,hyper_util=trace,h2=trace,rustls=trace";
    let mounted = home.run(&[
        "mount",
        "--log-level",
        everything,
        "--poll-interval",
        "100ms",
        "--network-timeout",
        "2s",
        text(&place),
    ]);
    assert!(mounted.status.success(), "{}", said(&mounted));
    search.see("what mount says", said(&mounted));
    let daemon = home.status("drive")["pid"].as_i64().expect("pid");
    assert_eq!(names(&place), ["a"], "the folder is known, so that it can be written to through the trouble");
    search.see_processes(daemon);
    for rule in [
        "*:answer,status=401",
        "*:answer,status=403,reason=insufficientPermissions",
        "*:answer,status=403,reason=userRateLimitExceeded",
        "*:answer,status=500",
        "*:answer,status=200,body=html",
        "*:answer,status=200,body=truncated",
        "*:cut-answer,after=10",
        "*:lose-answer,share=0.5",
        "*:revoke,requests=2",
    ] {
        cloud.make_trouble(&[rule]);
        write(place.join("written"), rule);
        let _refused = std::fs::read(place.join("a"));
        for arguments in [&["flush", "--timeout", "1s"][..], &["status"], &["status", "--json"]] {
            search.see(rule, said(&home.run(&[arguments, &[text(&place)]].concat())));
        }
    }
    cloud.make_trouble(&[]);
    home.ok(&["flush", text(&place)]);

    // A sign-in that is not good any more, and everything that is said of it.
    let stored: serde_json::Value =
        serde_json::from_slice(&read(home.at("config/drivemount/accounts/default.json"))).expect("json");
    let token = stored["refresh_token"].as_str().expect("text");
    visit(&format!("{}/revoke", cloud.url), Some(&[("token", token)]));
    write(place.join("written"), b"again");
    eventually("the mount hears of it", || (home.status("drive")["state"] == "sign-in required").then_some(()));
    search.see_processes(daemon);
    for arguments in
        [&["status"][..], &["status", "--json"], &["flush", "--timeout", "1s"], &["unmount", "--timeout", "1s"]]
    {
        search.see("what is said when the sign-in is revoked", said(&home.run(&[arguments, &[text(&place)]].concat())));
    }
    for arguments in [&["mount"][..], &["mount", "--foreground", "--log-level", everything]] {
        search.see("what mount says then", said(&home.run(&[arguments, &[text(&place)]].concat())));
    }
    for command in ["list", "cache", "logs", "doctor"] {
        search.see(command, said(&home.run(&[command])));
    }
    search.see_bundle(&home, "signed-out.tar.gz", &[]);
    search.see("accounts", said(&home.run(&["accounts"])));
    search.see("accounts", said(&home.run(&["accounts", "--json"])));

    // Tokens by the other ways.
    let owner = String::from_utf8(read(cloud.token_file())).expect("text");
    let cache = home.at("cache/by-variable");
    let by_variable =
        ["mount", cloud.url.as_str(), text(&place), "--cache-dir", text(&cache), "--log-level", everything];
    let mounted = run(home.command(&by_variable).env("DRIVEMOUNT_TOKEN", owner.trim()));
    assert!(mounted.status.success(), "{}", said(&mounted));
    search.see("what mount says", said(&mounted));
    search.see_processes(home.status("drive")["pid"].as_i64().expect("pid"));
    search.see_bundle(&home, "mounted.tar.gz", &[("DRIVEMOUNT_TOKEN", owner.trim())]);
    home.ok(&["unmount", text(&place)]);
    for (file, way) in [
        ("service-account.json", "--service-account-file"),
        ("token", "--credentials"),
        ("client-secret.json", "--token-file"),
    ] {
        let file = cloud.data(file);
        let cache = home.at("cache").join(way);
        let arguments = [
            "mount",
            &cloud.url,
            text(&place),
            way,
            text(&file),
            "--cache-dir",
            text(&cache),
            "--log-level",
            everything,
        ];
        let mounted = home.run(&arguments);
        search.see(way, said(&mounted));
        if mounted.status.success() {
            home.ok(&["unmount", text(&place)]);
        }
    }
    cloud.kill();
    search.see("what logout says", said(&home.run(&["logout"])));
    search.see("what logout says", said(&home.run(&["logout", "--forget"])));
    search.see_folder(&home.at("cache"));
    search.finds_nothing();
}
