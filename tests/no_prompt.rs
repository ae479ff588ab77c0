//! Mounting without a prompt: each way to sign in that no person is asked for, with the real program on a real mount.
//!
//! Needs the rights to mount.

#[path = "support/cloud.rs"]
#[allow(dead_code)] // the mount's tests use all of it
mod cloud;
#[path = "support/home.rs"]
#[allow(dead_code)] // the other half signs in with a browser
mod home;
#[path = "support/machine.rs"]
#[allow(dead_code)] // the mount's tests use all of it
mod machine;

#[path = "no_prompt/application_default.rs"]
mod application_default;
#[path = "no_prompt/program.rs"]
mod program;
#[path = "no_prompt/rclone.rs"]
mod rclone;
#[path = "no_prompt/service_account.rs"]
mod service_account;
#[path = "no_prompt/told.rs"]
mod told;

use std::path::Path;
use std::process::{Command, Output};

use cloud::{Cloud, eventually};
use home::{Home, consent};
use machine::{names, read, run, said, write};
use serde_json::{Value, json};

const DRIVE: &str = "https://www.googleapis.com/auth/drive";
const OWNER: &str = "owner@drive.localhost";

/// A drive that can be signed in to, with a file on it.
fn drive(arguments: &[&str]) -> Cloud {
    let cloud = Cloud::start_with(&[&["--sign-in"], arguments].concat());
    cloud.upload("hello", &cloud.root(), b"hello");
    cloud
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// The program as the user of `home` runs it, with nothing that this machine knows of Google.
fn command(home: &Home, arguments: &[&str]) -> Command {
    let mut command = home.command(arguments);
    let ours = |name: &str| name.starts_with("DRIVEMOUNT") || name.starts_with("RCLONE") || name.starts_with("GOOGLE");
    for (name, _) in std::env::vars().filter(|(name, _)| ours(name)) {
        command.env_remove(name);
    }
    // Nothing answers at the discard port.
    command.env_remove("CLOUDSDK_CONFIG").env("GCE_METADATA_HOST", "127.0.0.1:9");
    command
}

/// `mount` of the drive of `cloud`.
fn mount(home: &Home, cloud: &Cloud, arguments: &[&str]) -> Command {
    let mut command = command(home, &["mount", &cloud.url]);
    command.arg(home.at("drive")).args(["--poll-interval", "100ms"]).args(arguments);
    command
}

#[track_caller]
fn ok(command: &mut Command) -> String {
    let output = run(command);
    assert!(output.status.success(), "{}", said(&output));
    said(&output)
}

/// It failed with that code, and said that in one line.
#[track_caller]
fn refused(output: &Output, code: i32, words: &[&str]) {
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{}", said(output));
    for word in words {
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
    assert!(code == 2 || error.trim_end().lines().count() == 1, "one line: {error}");
}

/// Mounts, reads and writes as the owner of the drive, and unmounts.
#[track_caller]
fn works(home: &Home, cloud: &Cloud, mount: &mut Command) -> String {
    let said = ok(mount);
    assert_eq!(read(home.at("drive/hello")), b"hello");
    let new = format!("new-{}", std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_nanos());
    write(home.at("drive").join(&new), b"new");
    ok(&mut command(home, &["unmount", text(&home.at("drive"))]));
    assert_eq!(cloud.content(&cloud.id(&new)), b"new");
    said
}

/// What the owner of the drive gets who signs in with a browser for these scopes: the answer of the token endpoint.
fn signed_in(cloud: &Cloud, scopes: &str) -> Value {
    let client: Value = serde_json::from_slice(&read(cloud.data("client-secret.json"))).expect("JSON");
    let (id, secret) = (client["installed"]["client_id"].as_str(), client["installed"]["client_secret"].as_str());
    let (id, secret) = (id.expect("text"), secret.expect("text"));
    let redirect = "http://127.0.0.1:9/";
    let mut link: url::Url = format!("{}/o/oauth2/auth", cloud.url).parse().expect("address");
    link.query_pairs_mut().extend_pairs([
        ("client_id", id),
        ("redirect_uri", redirect),
        ("response_type", "code"),
        ("scope", scopes),
    ]);
    let address: url::Url = consent(cloud, link.as_str(), &["allow"]).parse().expect("address");
    let code = address.query_pairs().find(|(name, _)| name == "code").expect("a code").1.into_owned();
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", id),
        ("client_secret", secret),
        ("redirect_uri", redirect),
        ("code", &code),
    ];
    let (status, _, body) = home::visit(&format!("{}/token", cloud.url), Some(&form));
    assert_eq!(status, 200, "{body}");
    let mut answer: Value = serde_json::from_str(&body).expect("JSON");
    answer["client_id"] = id.into();
    answer["client_secret"] = secret.into();
    answer
}

/// The same as a file of the form `authorized_user`, as gcloud writes it.
fn authorized_user(cloud: &Cloud, scopes: &str, path: &Path) {
    let grant = signed_in(cloud, scopes);
    let file = json!({
        "type": "authorized_user",
        "client_id": grant["client_id"],
        "client_secret": grant["client_secret"],
        "refresh_token": grant["refresh_token"],
        "token_uri": format!("{}/token", cloud.url),
    });
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("makes");
    write(path, file.to_string());
}
