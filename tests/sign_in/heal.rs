//! Tokens that end and sign-ins that are revoked under a running mount.

use std::time::Duration;

use crate::cloud::{Cloud, eventually};
use crate::home::{Home, consent, visit};
use crate::machine::{bytes, names, read, said, signal, write};

fn text(path: &std::path::Path) -> &str {
    path.to_str().expect("text")
}

#[test]
fn tokens_that_end_in_the_middle_of_an_upload_are_not_noticed() {
    let (cloud, home) = (Cloud::start_with(&["--sign-in", "--token-life", "2s"]), Home::new());
    home.sign_in(&cloud, &[]);
    home.ok(&["mount", text(&home.at("drive"))]);
    // Eight seconds of upload: four lives of a token.
    cloud.make_trouble(&["*:bandwidth,up=1M,shared=true"]);
    let content = bytes(7, 8 << 20);
    write(home.at("drive/model"), &content);
    home.ok(&["flush", text(&home.at("drive"))]);
    cloud.make_trouble(&[]);
    assert_eq!(cloud.content(&cloud.id("model")), content);
    let status = home.status("drive");
    assert_eq!(status["state"], "mounted", "{status}");
    home.ok(&["unmount", text(&home.at("drive"))]);
}

#[test]
fn a_revoked_sign_in_leaves_the_mount_up_and_login_heals_it() {
    let (cloud, home) = (Cloud::start_with(&["--sign-in"]), Home::new());
    let place = home.at("drive");
    cloud.upload("read", &cloud.root(), b"cached");
    cloud.upload("unread", &cloud.root(), b"not cached");
    home.sign_in(&cloud, &[]);
    home.ok(&["mount", text(&place), "--poll-interval", "100ms"]);
    assert_eq!(read(place.join("read")), b"cached");
    let pid = home.status("drive")["pid"].clone();

    revoke(&cloud, &home);
    let status = eventually("the mount hears of it", || {
        let status = home.status("drive");
        (status["state"] == "sign-in required").then_some(status)
    });
    let sign_in = &status["sign_in"];
    assert!(sign_in["reason"].as_str().expect("text").contains("expired or was revoked"), "{status}");
    let shown = home.ok(&["status", text(&place)]);
    assert!(shown.contains("sign-in required") && shown.contains("drivemount login"), "{shown}");

    assert_eq!(read(place.join("read")), b"cached", "what is cached is read");
    let refused = std::fs::read(place.join("unread")).expect_err("cannot be read");
    assert_eq!(refused.raw_os_error(), Some(13), "EACCES: {refused}");
    write(place.join("written"), b"waits");
    assert_eq!(read(place.join("written")), b"waits");
    let flush = home.run(&["flush", "--timeout", "2s", text(&place)]);
    assert_eq!(flush.status.code(), Some(5), "{}", said(&flush));
    assert!(said(&flush).contains("written") && said(&flush).contains("revoked"), "{}", said(&flush));
    let status = home.status("drive");
    assert_eq!(status["unsent"]["entries"], 1, "{status}");

    let mut login = home.login(&[]);
    let address = consent(&cloud, &login.link(), &["allow"]);
    login.paste(&address);
    login.event("done");
    // Not after the minutes that a refused request rests.
    let began = std::time::Instant::now();
    eventually("what waited reaches the drive", || {
        cloud.all().iter().any(|file| file["name"] == "written" && file["size"] == "5").then_some(())
    });
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(read(place.join("unread")), b"not cached");
    let status = home.status("drive");
    assert_eq!((&status["state"], &status["pid"]), (&"mounted".into(), &pid), "no remount");
    assert!(status.get("sign_in").is_none(), "{status}");
    home.ok(&["unmount", text(&place)]);
}

#[test]
fn a_daemon_that_follows_another_goes_on_without_a_sign_in_until_there_is_one() {
    let (cloud, home) = (Cloud::start_with(&["--sign-in"]), Home::new());
    let place = home.at("drive");
    cloud.upload("read", &cloud.root(), b"cached");
    home.sign_in(&cloud, &[]);
    home.ok(&["mount", text(&place), "--poll-interval", "100ms"]);
    assert_eq!(read(place.join("read")), b"cached");
    let (stored, away) = (home.at("config/drivemount/accounts/default.json"), home.at("away"));
    std::fs::rename(&stored, &away).expect("moves it away");
    let pid = i32::try_from(home.status("drive")["pid"].as_i64().expect("pid")).expect("pid");
    signal(pid, "KILL");
    assert_eq!(names(&place), ["read"]);
    assert_eq!(read(place.join("read")), b"cached");
    write(place.join("written"), b"waits");
    let flush = home.run(&["flush", "--timeout", "2s", text(&place)]);
    assert_eq!(flush.status.code(), Some(5), "{}", said(&flush));
    let status = home.status("drive");
    assert_eq!((&status["state"], &status["keeper"]["restarts"]), (&"sign-in required".into(), &1.into()), "{status}");
    assert!(status["sign_in"]["reason"].as_str().expect("text").contains("default.json"), "{status}");
    std::fs::rename(&away, &stored).expect("puts it back");
    home.ok(&["flush", text(&place)]);
    assert_eq!(cloud.content(&cloud.id("written")), b"waits");
    assert_eq!(home.status("drive")["state"], "mounted");
}

#[test]
fn an_unmount_without_a_sign_in_says_how_what_is_left_gets_to_the_drive() {
    let (cloud, home) = (Cloud::start_with(&["--sign-in"]), Home::new());
    let place = home.at("drive");
    home.sign_in(&cloud, &[]);
    home.ok(&["mount", text(&place), "--poll-interval", "100ms"]);
    assert!(names(&place).is_empty(), "so the folder is known");
    revoke(&cloud, &home);
    write(place.join("written"), b"waits");
    eventually("the mount hears of it", || {
        let status = home.status("drive");
        let refused = status["unsent"]["items"][0]["retry_in_seconds"].is_u64();
        (status["state"] == "sign-in required" && refused).then_some(())
    });
    let told = home.fails(5, &["unmount", "--timeout", "1s", text(&place)]);
    let next = "To send it: sign in again with `drivemount login`, then mount the same drive again.";
    assert!(told.contains("It is kept on this machine. ") && told.contains(next), "{told}");
    assert!(!told.contains("again in "), "nothing is tried any more: {told}");
    let listed = home.ok(&["list"]);
    assert!(listed.contains("not mounted") && listed.contains("5 B in 1 file"), "{listed}");
}

/// Ends the sign-in as its owner would at the drive's own page.
fn revoke(cloud: &Cloud, home: &Home) {
    let stored = String::from_utf8(read(home.at("config/drivemount/accounts/default.json"))).expect("text");
    let stored: serde_json::Value = serde_json::from_str(&stored).expect("json");
    let token = stored["refresh_token"].as_str().expect("text");
    let (status, _, answer) = visit(&format!("{}/revoke", cloud.url), Some(&[("token", token)]));
    assert_eq!(status, 200, "{answer}");
}
