//! A remote of rclone.

use super::*;

#[test]
fn the_sign_in_of_a_remote_is_used_and_its_file_left_alone() {
    let (cloud, home) = (drive(&["--token-life", "3s"]), Home::new());
    let grant = signed_in(&cloud, DRIVE);
    let token = json!({
        "access_token": grant["access_token"], "token_type": "Bearer", "refresh_token": grant["refresh_token"],
        "expiry": "2030-01-02T03:04:05.678901234+01:00",
    });
    let file = format!(
        "[work]\ntype = drive\nclient_id = {}\nclient_secret = {}\nscope = drive\ntoken = {token}\ntoken_url = {}/token\n\
         root_folder_id = abc\n",
        grant["client_id"].as_str().expect("text"),
        grant["client_secret"].as_str().expect("text"),
        cloud.url
    );
    let path = home.at("config/rclone/rclone.conf");
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("makes");
    write(&path, &file);
    let about = works(&home, &cloud, &mut mount(&home, &cloud, &["--rclone-remote", "work"]));
    assert!(about.contains("root_folder_id is not followed"), "{about}");
    // The token that rclone left is refused by now, though it says that it holds.
    std::thread::sleep(std::time::Duration::from_secs(3));
    works(&home, &cloud, &mut mount(&home, &cloud, &["--rclone-remote", "work:"]));
    let elsewhere = home.at("r.conf");
    std::fs::rename(&path, &elsewhere).expect("renames");
    works(&home, &cloud, mount(&home, &cloud, &["--rclone-remote", "work"]).env("RCLONE_CONFIG", &elsewhere));
    let flags = ["--rclone-remote", "work", "--rclone-config", text(&elsewhere)];
    works(&home, &cloud, &mut mount(&home, &cloud, &flags));
    assert_eq!(read(&elsewhere), file.as_bytes());

    refused(&run(&mut mount(&home, &cloud, &["--rclone-remote", "work"])), 3, &["--rclone-config"]);
    let readable = file.replace("scope = drive", "scope = drive.readonly");
    write(&elsewhere, readable);
    refused(
        &run(&mut mount(&home, &cloud, &flags)),
        3,
        &["may only look", "--read-only", "rclone config update work scope drive"],
    );
}
