//! The settings file: what a mount is told when neither flag nor variable says it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use crate::cloud::Cloud;
use crate::home::{Home, stderr, stdout, text};
use crate::machine::{run, said};

/// The cache size that a mount says it has, with these words and variables.
fn cache_size(home: &Home, cloud: &Cloud, words: &[&str], variables: &[(&str, &str)]) -> String {
    let drive = home.at("drive");
    let mut command = home.command(&["mount", &cloud.url, text(&drive)]);
    let output = run(command.args(words).envs(variables.iter().copied()));
    assert!(output.status.success(), "{}", said(&output));
    let unmounted = home.run(&["unmount", text(&drive)]);
    assert!(unmounted.status.success(), "{}", said(&unmounted));
    let said = stdout(&output);
    let size = said.split("cache up to ").nth(1).and_then(|rest| rest.split([')', ',']).next());
    size.unwrap_or_else(|| panic!("no cache size in {said}")).to_owned()
}

#[test]
fn a_flag_outdoes_a_variable_and_that_the_file() {
    let (home, cloud) = (Home::new(), Cloud::start());
    let token = cloud.token_file();
    let file = home.write(
        ".config/drivemount/config.toml",
        &format!("# mine\ntoken-file = \"{}\"\ncache-size = \"3G\"\n", token.display()),
    );
    assert_eq!(cache_size(&home, &cloud, &[], &[]), "3 GiB");
    assert_eq!(cache_size(&home, &cloud, &[], &[("DRIVEMOUNT_CACHE_SIZE", "2G")]), "2 GiB");
    assert_eq!(cache_size(&home, &cloud, &[], &[("DRIVEMOUNT_CACHE_SIZE", "")]), "3 GiB", "an empty variable is none");
    assert_eq!(cache_size(&home, &cloud, &["--cache-size", "1G"], &[("DRIVEMOUNT_CACHE_SIZE", "2G")]), "1 GiB");
    // Another file, by flag and by variable; the usual one does not count then.
    let other = home.write("other.toml", &format!("token-file = \"{}\"\ncache-size = \"4G\"\n", token.display()));
    assert_eq!(cache_size(&home, &cloud, &["--config", text(&other)], &[]), "4 GiB");
    assert_eq!(cache_size(&home, &cloud, &[], &[("DRIVEMOUNT_CONFIG", text(&other))]), "4 GiB");
    let both = [("DRIVEMOUNT_CONFIG", text(&other))];
    assert_eq!(cache_size(&home, &cloud, &["--config", text(&file)], &both), "3 GiB");
}

#[test]
fn credentials_on_the_line_or_in_a_variable_outdo_those_of_the_file() {
    let (home, cloud) = (Home::new(), Cloud::start());
    let token = cloud.token_file();
    home.write(".config/drivemount/config.toml", "token = \"no-good\"\ncache-size = \"3G\"\n");
    assert_eq!(cache_size(&home, &cloud, &["--token-file", text(&token)], &[]), "3 GiB");
    assert_eq!(cache_size(&home, &cloud, &[], &[("DRIVEMOUNT_TOKEN_FILE", text(&token))]), "3 GiB");
    let refused = home.run(&["mount", &cloud.url, text(&home.at("drive"))]);
    assert_eq!(refused.status.code(), Some(3), "{}", said(&refused));
    assert!(!said(&refused).contains("no-good"), "{}", said(&refused));
}

#[test]
fn a_setting_that_is_yes_can_be_taken_back_by_a_variable() {
    let (home, cloud) = (Home::new(), Cloud::start());
    let token = cloud.token_file();
    home.write(".config/drivemount/config.toml", &format!("read-only = true\ntoken-file = \"{}\"\n", token.display()));
    let drive = home.at("drive");
    for (variable, words) in [("", ", read-only, "), ("no", ", read and write, ")] {
        let mut command = home.command(&["mount", &cloud.url, text(&drive)]);
        let output = run(command.env("DRIVEMOUNT_READ_ONLY", variable));
        assert!(stdout(&output).contains(words), "{}", said(&output));
        let output = home.run(&["unmount", text(&drive)]);
        assert!(output.status.success(), "{}", said(&output));
    }
}

#[test]
fn what_is_wrong_with_the_file_is_said_with_its_line() {
    let home = Home::new();
    let drive = home.at("drive");
    let mount = |content: &str| -> Output {
        home.write(".config/drivemount/config.toml", content);
        home.run(&["mount", text(&drive)])
    };
    for (content, words) in [
        (
            "\ncache-size = \"lots\"\n",
            "config.toml, line 2: `cache-size` = \"lots\" is not a size; write it as 500M or 10G",
        ),
        ("cache-sise = \"1G\"\n", "line 1: there is no setting `cache-sise`; `drivemount mount --help` lists them"),
        ("read_only = true\n", "line 1: there is no setting `read_only`; it is called `read-only`"),
        ("cache-size = 20G\n", "line 1: "),
    ] {
        let output = mount(content);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(stderr(&output).contains(words) && stderr(&output).trim().lines().count() == 1, "{}", said(&output));
    }
    // Only those who heed it mind it.
    for words in [&["mount", "--help"][..], &["--version"], &["completions", "bash"]] {
        assert!(home.run(words).status.success(), "{words:?}");
    }
    let output = home.run(&["mount", "--config", "/no/such/file", text(&drive)]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(stderr(&output).contains("the settings file /no/such/file cannot be read"), "{}", said(&output));
}

#[test]
fn a_secret_that_others_can_read_is_refused() {
    let home = Home::new();
    let file = home.write(".config/drivemount/config.toml", "token = \"hush-hush\"\n");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("opens");
    let output = home.run(&["mount", text(&home.at("drive"))]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    let words = format!(
        "`token` is a secret, and others can read this file (mode 644); close it with `chmod 600 {}`",
        text(&file)
    );
    assert!(stderr(&output).contains(&words) && !said(&output).contains("hush"), "{}", said(&output));
}

#[test]
fn the_demo_heeds_the_file_too() {
    let home = Home::new();
    home.write(".config/drivemount/config.toml", "cache-size = \"3G\"\n");
    let drive = home.at("drive");
    let output = home.run(&["demo", "--at", text(&drive)]);
    assert!(output.status.success() && stdout(&output).contains("cache up to 3 GiB"), "{}", said(&output));
    let output = home.run(&["unmount", text(&drive)]);
    assert!(output.status.success(), "{}", said(&output));
}
