//! Application default credentials.

use super::*;

/// `mount` of Google's drive, which is at the address of `cloud` today, without a word on how to sign in.
fn google(home: &Home, cloud: &Cloud, arguments: &[&str]) -> Command {
    let mut command = command(home, &["mount", "google"]);
    command.arg(home.at("drive")).args(["--api-url", &cloud.url]).args(arguments);
    command
}

#[test]
fn credentials_are_found_where_google_s_libraries_find_them() {
    let (cloud, home) = (drive(&[]), Home::new());
    let named = home.at("elsewhere/adc.json");
    authorized_user(&cloud, DRIVE, &named);
    for flag in [&["--application-default"][..], &[]] {
        works(&home, &cloud, google(&home, &cloud, flag).env("GOOGLE_APPLICATION_CREDENTIALS", &named));
        // Relative to where it is said.
        let mut relative = google(&home, &cloud, flag);
        relative.current_dir(home.at("elsewhere")).env("GOOGLE_APPLICATION_CREDENTIALS", "adc.json");
        works(&home, &cloud, &mut relative);
    }
    let gcloud = home.at(".config/gcloud/application_default_credentials.json");
    authorized_user(&cloud, DRIVE, &gcloud);
    works(&home, &cloud, &mut google(&home, &cloud, &[]));
    std::fs::rename(&gcloud, home.at("elsewhere/application_default_credentials.json")).expect("renames");
    works(&home, &cloud, google(&home, &cloud, &[]).env("CLOUDSDK_CONFIG", home.at("elsewhere")));
    works(
        &home,
        &cloud,
        google(&home, &cloud, &[])
            .env("DRIVEMOUNT_APPLICATION_DEFAULT", "no")
            .env("CLOUDSDK_CONFIG", home.at("elsewhere")),
    );

    // A token of Google's is not for other servers.
    let mut other = mount(&home, &cloud, &[]);
    refused(&run(other.env("GOOGLE_APPLICATION_CREDENTIALS", &named)), 3, &["drivemount login", "--token-command"]);
}

#[test]
fn a_sign_in_of_gcloud_without_the_scope_of_drive_is_told_the_very_line_to_run() {
    let (cloud, home) = (drive(&[]), Home::new());
    let gcloud = home.at(".config/gcloud/application_default_credentials.json");
    authorized_user(&cloud, "https://www.googleapis.com/auth/drive.readonly", &gcloud);
    let line = "gcloud auth application-default login --client-id-file=CLIENT.json \
                --scopes=https://www.googleapis.com/auth/drive,https://www.googleapis.com/auth/cloud-platform";
    refused(&run(&mut google(&home, &cloud, &[])), 3, &["may only look", "--read-only", line]);
    let about = ok(&mut google(&home, &cloud, &["--read-only"]));
    assert!(about.contains("read-only"), "{about}");
    ok(&mut command(&home, &["unmount", text(&home.at("drive"))]));
}

#[test]
fn the_machine_is_the_last_that_is_asked() {
    let (cloud, home) = (drive(&[]), Home::new());
    let nothing = run(&mut google(&home, &cloud, &["--application-default"]));
    refused(
        &nothing,
        3,
        &["GOOGLE_APPLICATION_CREDENTIALS", "no metadata server", "gcloud auth application-default login"],
    );

    let token = signed_in(&cloud, DRIVE)["access_token"].as_str().expect("text").to_owned();
    let host = metadata_server(&token);
    let mut command = google(&home, &cloud, &["--application-default"]);
    works(&home, &cloud, command.env("GCE_METADATA_HOST", host));
}

/// A machine of Google's, as far as its token goes; where it answers.
fn metadata_server(token: &str) -> String {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("listens");
    let host = listener.local_addr().expect("address").to_string();
    let body = json!({"access_token": token, "expires_in": 3599, "token_type": "Bearer"}).to_string();
    let head = format!("HTTP/1.1 200 OK\r\nMetadata-Flavor: Google\r\nContent-Length: {}\r\n", body.len());
    let answer = move |mut caller: std::net::TcpStream| {
        let mut request = [0; 4096];
        let length = caller.read(&mut request)?;
        let request = String::from_utf8_lossy(&request[..length]).to_lowercase();
        assert!(request.contains("metadata-flavor: google") && request.contains("scopes="), "{request}");
        write!(caller, "{head}Connection: close\r\n\r\n{body}")
    };
    std::thread::spawn(move || listener.incoming().flatten().for_each(|caller| drop(answer(caller))));
    host
}
