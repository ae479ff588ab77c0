//! What is said when no way, two ways or the wrong way to sign in is given.

use super::*;

#[test]
fn nobody_signed_in_is_told_all_ways_login_first() {
    let home = Home::new();
    let output = run(command(&home, &["mount", "google"]).arg(home.at("drive")));
    refused(
        &output,
        3,
        &["Sign in with `drivemount login`", "--service-account-file", "--application-default", "--token-command"],
    );
    let error = said(&output);
    assert!(error.find("drivemount login") < error.find("--token-file"), "{error}");
}

#[test]
fn an_account_that_is_not_stored_is_told_with_those_that_are() {
    let (cloud, home) = (drive(&[]), Home::new());
    authorized_user(&cloud, DRIVE, &home.at("config/drivemount/accounts/work.json"));
    let output = run(command(&home, &["mount", "google", "--account", "wrok"]).arg(home.at("drive")));
    refused(&output, 3, &["drivemount login --account wrok", "work"]);
    let output = run(command(&home, &["mount", "google", "--account", "../work"]).arg(home.at("drive")));
    refused(&output, 2, &["no name for an account"]);
}

#[test]
fn a_way_on_the_command_line_outdoes_those_of_the_environment() {
    let (cloud, home) = (drive(&[]), Home::new());
    let token = cloud.token_file();
    let mut mount = mount(&home, &cloud, &["--token-file", text(&token)]);
    mount
        .env("DRIVEMOUNT_ACCOUNT", "none")
        .env("DRIVEMOUNT_TOKEN_COMMAND", "false")
        .env("DRIVEMOUNT_RCLONE_REMOTE", "x");
    mount.env("DRIVEMOUNT_APPLICATION_DEFAULT", "1").env("DRIVEMOUNT_SERVICE_ACCOUNT_FILE", "/none");
    works(&home, &cloud, &mut mount);
    let two =
        run(command(&home, &["mount", "google", "--token-file", "a", "--rclone-remote", "b"]).arg(home.at("drive")));
    refused(&two, 2, &["cannot be used with"]);
}

#[test]
fn a_sign_in_that_does_not_reach_the_drive_is_refused_with_the_scope_that_does() {
    let (cloud, home) = (drive(&[]), Home::new());
    let file = home.at("user.json");
    for (scope, why) in
        [("drive.file", "only the files that its own application made"), ("drive.appdata", "without any scope")]
    {
        authorized_user(&cloud, &format!("https://www.googleapis.com/auth/{scope}"), &file);
        let output = run(&mut mount(&home, &cloud, &["--credentials", text(&file)]));
        refused(&output, 3, &[why, text(&file), DRIVE]);
        assert!(!said(&output).contains("--read-only"), "{}", said(&output));
        let output = run(&mut mount(&home, &cloud, &["--credentials", text(&file), "--read-only"]));
        refused(&output, 3, &[why, "https://www.googleapis.com/auth/drive.readonly"]);
    }
}

#[test]
fn a_refused_sign_in_is_told_with_what_renews_it() {
    let (cloud, home) = (drive(&[]), Home::new());
    let file = home.at("user.json");
    authorized_user(&cloud, DRIVE, &file);
    let mut value: Value = serde_json::from_slice(&read(&file)).expect("JSON");
    value["refresh_token"] = "1//not-any-more".into();
    write(&file, value.to_string());
    let output = run(&mut mount(&home, &cloud, &["--credentials", text(&file)]));
    refused(&output, 3, &["invalid_grant", "Put good credentials into", text(&file)]);
    assert!(!said(&output).contains("not-any-more"), "{}", said(&output));
}
