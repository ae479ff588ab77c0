//! `drivemount login`: the two ways of a browser's answer, and every other answer.

use std::os::unix::fs::PermissionsExt;

use crate::cloud::Cloud;
use crate::home::{Home, consent, visit};
use crate::machine::{names, read};

fn text(path: &std::path::Path) -> &str {
    path.to_str().expect("text")
}

#[test]
fn what_the_browser_shows_in_the_end_is_pasted_and_signs_in() {
    let (cloud, home) = (Cloud::start_with(&["--sign-in"]), Home::new());
    let done = home.sign_in(&cloud, &[]);
    assert_eq!((&done["account"], &done["email"]), (&"default".into(), &"owner@drive.localhost".into()));
    let file = home.at("config/drivemount/accounts/default.json");
    assert_eq!(std::fs::metadata(&file).expect("is there").permissions().mode() & 0o777, 0o600);
    let kept = names(home.at("config/drivemount"));
    let client = kept.iter().find(|name| name.starts_with("client")).expect("the client is kept");
    let client = std::fs::metadata(home.at("config/drivemount").join(client)).expect("is there");
    assert_eq!(client.permissions().mode() & 0o777, 0o600);
    let list = home.ok(&["accounts"]);
    assert!(list.contains("default") && list.contains("owner@drive.localhost") && list.contains(&cloud.url), "{list}");

    // The client of one drive is not shown to another: what it gets would be.
    let said = home.fails(3, &["login", "http://127.0.0.1:9", "--account", "other"]);
    assert!(said.contains("--client-file"), "{said}");

    // Neither the drive nor the client need be said again.
    let mut again = home.login(&[]);
    let link = again.link();
    assert!(link.starts_with(&cloud.url), "{link}");
    assert!(link.contains("code_challenge_method=S256") && link.contains("access_type=offline"), "{link}");
    again.paste(&consent(&cloud, &link, &["allow"]));
    again.event("done");
    assert_eq!(again.end(), Some(0));
}

#[test]
fn a_browser_on_this_machine_answers_by_itself() {
    let (cloud, home) = (Cloud::start_with(&["--sign-in"]), Home::new());
    let mut login = home.login(&[&cloud.url, "--client-file", text(&cloud.data("client-secret.json"))]);
    let address = consent(&cloud, &login.link(), &["allow"]);
    // Somebody else's answer is turned away, and does no harm.
    let (status, _, page) = visit(&address.replace("state=", "state=x"), None);
    assert_eq!(status, 400, "{page}");
    let (status, _, page) = visit(&address, None);
    assert_eq!(status, 200, "{page}");
    assert!(page.contains("close this tab"), "{page}");
    login.event("done");
    assert_eq!(login.end(), Some(0));
}

#[test]
fn what_is_pasted_wrong_is_asked_for_again_with_the_reason() {
    let (cloud, home) = (Cloud::start_with(&["--sign-in"]), Home::new());
    let mut login = home.login(&[&cloud.url, "--client-file", text(&cloud.data("client-secret.json"))]);
    let link = login.link();
    let address = consent(&cloud, &link, &["allow"]);
    for (wrong, hint) in [
        ("", "nothing was pasted"),
        ("done", "neither"),
        (link.as_str(), "allow access first"),
        (&address.replace("state=", "state=x"), "another sign-in"),
    ] {
        login.paste(wrong);
        let again = login.event("again");
        assert!(again["message"].as_str().expect("text").contains(hint), "{again}");
    }
    login.paste(&address);
    login.event("done");
}

#[test]
fn a_person_who_does_not_allow_it_is_told_what_to_do() {
    let (cloud, home) = (Cloud::start_with(&["--sign-in"]), Home::new());
    let client = cloud.data("client-secret.json");
    for presses in [&["deny"][..], &["allow", "untick"]] {
        let mut login = home.login(&[&cloud.url, "--client-file", text(&client)]);
        let address = consent(&cloud, &login.link(), presses);
        let (_, _, page) = visit(&address, None);
        assert!(page.contains("no access"), "{page}");
        let failed = login.event("failed");
        assert!(failed["message"].as_str().expect("text").contains("drivemount login"), "{failed}");
        assert_eq!(login.end(), Some(3));
    }
    assert!(home.ok(&["accounts"]).contains("nobody is signed in"));
}

#[test]
fn who_is_not_signed_in_is_told_how_to() {
    let home = Home::new();
    let said = home.fails(3, &["login"]);
    assert!(said.contains("Desktop app") && said.contains("--client-file") && said.contains("SIGN-IN.md"), "{said}");
    let said = home.fails(3, &["mount", text(&home.at("drive"))]);
    assert!(said.contains("drivemount login") && said.contains("drivemount demo"), "{said}");
    let said = home.fails(2, &["logout"]);
    assert!(said.contains("nobody is signed in"), "{said}");
    for (file, content, hint) in [
        ("none.json", None, "No such file"),
        ("text.json", Some("GOCSPX-secret"), "no JSON"),
        ("web.json", Some(r#"{"web": {"client_secret": "GOCSPX-secret"}}"#), "Desktop app"),
        ("service.json", Some(r#"{"type": "service_account"}"#), "--service-account-file"),
    ] {
        let path = home.at(file);
        if let Some(content) = content {
            std::fs::write(&path, content).expect("writes");
        }
        let said = home.fails(2, &["login", "--client-file", text(&path)]);
        assert!(said.contains(hint) && said.contains(file) && !said.contains("GOCSPX"), "{said}");
    }
    let said = home.fails(2, &["login", "local:/tmp/x"]);
    assert!(said.contains("needs no sign-in"), "{said}");
}

#[test]
fn a_sign_in_to_read_asks_for_no_more_and_mounts_no_more() {
    let (cloud, home) = (Cloud::start_with(&["--sign-in"]), Home::new());
    cloud.upload("a", &cloud.root(), b"content");
    let mut login = home.login(&[&cloud.url, "--read-only", "--client-file", text(&cloud.data("client-secret.json"))]);
    let link = login.link();
    assert!(link.contains("drive.readonly"), "{link}");
    login.paste(&consent(&cloud, &link, &["allow"]));
    login.event("done");
    assert!(home.ok(&["accounts"]).contains("reading"));

    let place = home.at("drive");
    let said = home.fails(3, &["mount", text(&place)]);
    assert!(said.contains("--read-only") && said.contains("drivemount login"), "{said}");
    home.ok(&["mount", "--read-only", text(&place)]);
    assert_eq!(read(place.join("a")), b"content");
    home.ok(&["unmount", text(&place)]);
}

#[test]
fn a_sign_in_that_ends_by_itself_is_said_when_it_is_made_and_when_it_is_mounted() {
    let (cloud, home) = (Cloud::start_with(&["--sign-in", "--sign-in-life", "168h"]), Home::new());
    home.sign_in(&cloud, &[]);
    let list = home.ok(&["accounts"]);
    assert!(list.contains("until 20"), "{list}");
    let said = home.ok(&["mount", text(&home.at("drive"))]);
    assert!(said.contains("in testing") && said.contains("Publish the app"), "{said}");
    home.ok(&["unmount", text(&home.at("drive"))]);
}
