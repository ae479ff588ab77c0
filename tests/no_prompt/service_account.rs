//! The key of a service account.

use serde_json::Value;

use super::*;

#[test]
fn a_service_account_acts_for_a_person() {
    let (cloud, home) = (drive(&[]), Home::new());
    let key = cloud.data("service-account.json");
    for flag in ["--service-account-file", "--credentials"] {
        works(&home, &cloud, &mut mount(&home, &cloud, &[flag, text(&key), "--impersonate", OWNER]));
    }
    let mut by_variable = mount(&home, &cloud, &[]);
    by_variable.env("DRIVEMOUNT_SERVICE_ACCOUNT_FILE", &key).env("DRIVEMOUNT_IMPERSONATE", OWNER);
    works(&home, &cloud, &mut by_variable);
}

#[test]
fn a_service_account_without_storage_is_told_at_once_what_to_do() {
    let (cloud, home) = (drive(&[]), Home::new());
    let key = cloud.data("service-account.json");
    let about = ok(&mut mount(&home, &cloud, &["--service-account-file", text(&key)]));
    for word in ["service@drive.localhost", "has no storage", "--impersonate PERSON", "drivemount login"] {
        assert!(about.contains(word), "{about}");
    }
    assert_eq!(names(home.at("drive")), Vec::<String>::new(), "nothing is shared with it");
    ok(&mut command(&home, &["unmount", text(&home.at("drive"))]));
    let about = ok(&mut mount(&home, &cloud, &["--service-account-file", text(&key), "--read-only"]));
    assert!(!about.contains("storage"), "who only reads needs none: {about}");
    ok(&mut command(&home, &["unmount", text(&home.at("drive"))]));
}

#[test]
fn tokens_that_end_are_renewed_without_anybody_noticing() {
    let (cloud, home) = (drive(&["--token-life", "2s"]), Home::new());
    let key = cloud.data("service-account.json");
    ok(&mut mount(&home, &cloud, &["--credentials", text(&key), "--impersonate", OWNER]));
    for round in 0..4 {
        write(home.at("drive").join(format!("round-{round}")), b"x");
        ok(&mut command(&home, &["flush", text(&home.at("drive"))]));
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
    ok(&mut command(&home, &["unmount", text(&home.at("drive"))]));
    assert_eq!(cloud.all().len(), 5);
}

#[test]
fn what_is_wrong_with_a_key_is_told_with_the_remedy_and_without_the_key() {
    let (cloud, home) = (drive(&[]), Home::new());
    let key = cloud.data("service-account.json");
    let attempt = |arguments: &[&str]| run(&mut mount(&home, &cloud, arguments));
    refused(
        &attempt(&["--service-account-file", text(&key), "--impersonate", "boss@example.org"]),
        3,
        &["domain-wide delegation", "boss@example.org", DRIVE],
    );
    refused(
        &attempt(&["--token", "t", "--impersonate", OWNER]),
        2,
        &["--impersonate goes with --service-account-file"],
    );

    let bad = home.at("bad.json");
    let mut value: Value = serde_json::from_slice(&read(&key)).expect("JSON");
    let secret = value["private_key"].as_str().expect("text").replace('\n', "");
    value["private_key"] = secret.as_str().into();
    write(&bad, value.to_string());
    let output = attempt(&["--credentials", text(&bad)]);
    refused(&output, 3, &[text(&bad), "is no RSA key"]);
    assert!(!said(&output).contains(&secret[40..80]), "{}", said(&output));
    write(&bad, r#"{"type": "external_account", "audience": "x"}"#);
    refused(&attempt(&["--credentials", text(&bad)]), 3, &["`external_account`", "--token-command 'gcloud"]);
}
