//! Several accounts on one machine.

use crate::cloud::{Cloud, eventually};
use crate::home::Home;
use crate::machine::{names, read, write};

fn text(path: &std::path::Path) -> &str {
    path.to_str().expect("text")
}

#[test]
fn two_accounts_are_mounted_at_once_each_with_a_cache_of_its_own() {
    let (cloud, other, home) = (Cloud::start_with(&["--sign-in"]), Cloud::start_with(&["--sign-in"]), Home::new());
    cloud.upload("mine", &cloud.root(), b"1");
    other.upload("theirs", &other.root(), b"2");
    home.sign_in(&cloud, &[]);
    home.sign_in(&other, &["--account", "work"]);
    home.ok(&["mount", text(&home.at("drive"))]);
    home.ok(&["mount", "--account", "work", text(&home.at("other"))]);
    assert_eq!(
        (names(home.at("drive")), names(home.at("other"))),
        (vec!["mine".to_owned()], vec!["theirs".to_owned()])
    );
    write(home.at("drive/new"), b"to mine");
    write(home.at("other/new"), b"to theirs");
    let caches = ["drive", "other"].map(|place| {
        home.ok(&["flush", text(&home.at(place))]);
        home.status(place)["cache"]["dir"].as_str().expect("text").to_owned()
    });
    assert_ne!(caches[0], caches[1]);
    assert_eq!(home.status("other")["sign_in_name"], "work");
    assert_eq!(cloud.content(&cloud.id("new")), b"to mine");
    assert_eq!(other.content(&other.id("new")), b"to theirs");
    for place in ["drive", "other"] {
        home.ok(&["unmount", text(&home.at(place))]);
    }
}

#[test]
fn an_account_is_one_person_until_it_is_forgotten() {
    let (cloud, home) = (Cloud::start_with(&["--sign-in"]), Home::new());
    home.sign_in(&cloud, &["--account", "work"]);
    // A file that says so, since the embedded drive has one person.
    let file = home.at("config/drivemount/accounts/work.json");
    let mut stored: serde_json::Value = serde_json::from_slice(&read(&file)).expect("json");
    stored["account"] = "somebody@drive.localhost".into();
    stored["id"] = "17".into();
    write(&file, stored.to_string());
    let mut login = home.login(&["--account", "work"]);
    let address = crate::home::consent(&cloud, &login.link(), &["allow"]);
    login.paste(&address);
    let failed = login.event("failed");
    let why = failed["message"].as_str().expect("text");
    assert!(why.contains("somebody@") && why.contains("owner@") && why.contains("--account"), "{why}");
    assert_eq!(login.end(), Some(2));
}

#[test]
fn a_mount_is_not_given_to_somebody_else_who_signs_in_under_its_name() {
    let (cloud, other, home) = (Cloud::start_with(&["--sign-in"]), Cloud::start_with(&["--sign-in"]), Home::new());
    home.sign_in(&cloud, &[]);
    let place = home.at("drive");
    home.ok(&["mount", text(&place), "--poll-interval", "100ms"]);
    let client = other.data("client-secret.json");
    let said = home.fails(2, &["login", &other.url, "--client-file", text(&client)]);
    assert!(said.contains(&cloud.url) && said.contains("--account"), "{said}");

    write(place.join("mine"), b"for this drive alone");
    home.ok(&["flush", text(&place)]);
    home.ok(&["logout"]);
    home.sign_in(&other, &[]);
    let status = eventually("the mount refuses the other sign-in", || {
        let status = home.status("drive");
        status["sign_in"]["reason"].as_str().is_some_and(|why| why.contains(&other.url)).then_some(status)
    });
    assert!(status["sign_in"]["reason"].as_str().expect("text").contains(&cloud.url), "{status}");
    write(place.join("later"), b"for this drive alone");
    home.fails(5, &["flush", "--timeout", "1s", text(&place)]);
    assert!(other.all().is_empty(), "nothing went to the other drive");
}

#[test]
fn a_sign_in_that_a_mount_needs_is_not_ended_before_all_is_sent() {
    let (cloud, home) = (Cloud::start_with(&["--sign-in"]), Home::new());
    home.sign_in(&cloud, &[]);
    let place = home.at("drive");
    home.ok(&["mount", text(&place)]);
    cloud.make_trouble(&["files.create:answer,status=503"]);
    write(place.join("unsent"), b"x");
    let said = home.fails(5, &["logout"]);
    assert!(said.contains("drivemount flush") && said.contains(text(&place)), "{said}");
    cloud.make_trouble(&[]);
    home.ok(&["flush", text(&place)]);
    home.ok(&["logout"]);
}

#[test]
fn a_name_or_a_drive_that_is_not_that_of_the_account_is_told() {
    let (cloud, home) = (Cloud::start_with(&["--sign-in"]), Home::new());
    home.sign_in(&cloud, &["--account", "work"]);
    let place = home.at("drive");
    let said = home.fails(3, &["mount", "--account", "wrok", text(&place)]);
    assert!(
        said.contains("wrok") && said.contains("work") && said.contains("drivemount login --account wrok"),
        "{said}"
    );
    let said = home.fails(2, &["mount", "--account", "../x", text(&place)]);
    assert!(said.contains("no name for an account"), "{said}");
    let said = home.fails(2, &["mount", "google", "--account", "work", text(&place)]);
    assert!(said.contains(&cloud.url) && said.contains("google"), "{said}");
    // The only account there is need not be named.
    home.ok(&["mount", text(&place)]);
    home.ok(&["unmount", text(&place)]);
}

#[test]
fn logout_revokes_and_a_mount_says_what_is_missing() {
    let (cloud, home) = (Cloud::start_with(&["--sign-in"]), Home::new());
    home.sign_in(&cloud, &[]);
    let kept = read(home.at("config/drivemount/accounts/default.json"));
    home.ok(&["mount", text(&home.at("drive")), "--poll-interval", "100ms"]);
    let said = home.ok(&["logout"]);
    assert!(said.contains("owner@drive.localhost") && said.contains("revoked"), "{said}");
    assert!(home.ok(&["accounts"]).contains("nobody is signed in"));
    let status = eventually("the mount hears of it", || {
        let status = home.status("drive");
        (status["state"] == "sign-in required").then_some(status)
    });
    assert!(status["sign_in"]["remedy"].as_str().expect("text").contains("drivemount login"), "{status}");

    // A copy of the file is worth nothing now.
    std::fs::create_dir_all(home.at("config/drivemount/accounts")).expect("folder");
    write(home.at("config/drivemount/accounts/copy.json"), kept);
    let said = home.fails(3, &["mount", "--account", "copy", text(&home.at("other"))]);
    assert!(said.contains("invalid_grant") && said.contains("drivemount login --account copy"), "{said}");
}

#[test]
fn logout_without_the_drive_keeps_the_sign_in_unless_it_is_to_be_forgotten() {
    let (mut cloud, home) = (Cloud::start_with(&["--sign-in"]), Home::new());
    home.sign_in(&cloud, &[]);
    cloud.kill();
    let said = home.fails(7, &["logout"]);
    assert!(said.contains("not revoked") && said.contains("--forget"), "{said}");
    let said = home.ok(&["logout", "--forget"]);
    assert!(said.contains("not revoked"), "{said}");
    assert!(home.ok(&["accounts"]).contains("nobody is signed in"));
}
