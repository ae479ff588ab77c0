//! What is taken out, what stays, and what is known.

use super::*;

#[test]
fn what_looks_like_a_secret_is_taken_out() {
    let key = "-----BEGIN PRIVATE KEY-----\\nMIIEvQhush+/\\n-----END PRIVATE KEY-----\\n";
    for text in [
        "token ya29.hush-HUSH_hush",
        "refresh 1//0ghush-hushhush",
        "code 4/0AhushhushhushhushHUSH",
        "GOCSPX-hushhush",
        "Authorization: Bearer hush.hush",
        "authorization: Basic aHVzaDpodXNo=hush",
        "BEARER hush",
        r#"{"access_token": "hush", "expires_in": 3599}"#,
        r#"{"refresh_token":"hush/hush"}"#,
        r#"{\"client_secret\":\"hush\"}"#,
        "client-secret = \"hush hush\"",
        "token = \"hush\"",
        r#"token-command = "curl -su \"me:hush\" https://idp/hush""#,
        r#"{\"token-command\": \"curl -su \\\"me:hush\\\" https://idp/hush\"}"#,
        "token-command = \"curl -su 'me:hush' hush\"",
        "token_command = curl -su \"me:hush\" hush",
        "password='my \"hush\" hush'",
        "token = \"\"\"\nhush\nhush\"\"\"",
        "token = '''\nhush\nhush",
        r#"{""access_token"": ""hush""}"#,
        "X_CLIENT_SECRET=hush",
        "GITHUB_TOKEN=hush",
        "X-Api-Key: hush",
        r#""private_key_id": "hush""#,
        r#""token": "hush""#,
        "code=hush&scope=drive",
        "http://127.0.0.1:1/?state=hush&code=hush",
        "PUT https://www.googleapis.com/upload/drive/v3/files?uploadType=resumable&upload_id=hush-hush",
        "https://me:hush@proxy.example:3128/",
        "http://hush@proxy",
        "Set-Cookie: sid=hush; Path=/",
        "eyJhbGciOiJSUzI1NiJ9.hush.hush_hush",
        &format!(r#""private_key": "{key}""#),
        &key.replace("\\n", "\n"),
        "-----BEGIN RSA PRIVATE KEY-----\nhush\nhush",
    ] {
        let left = Redactor::default().redact(text);
        assert!(!left.contains("hush") && left.contains(REDACTED), "{text}: {left}");
    }
}

#[test]
fn what_is_no_secret_stays() {
    for text in [
        "token     ok        a token was given out",
        "sign-in   problem   nobody is signed in; --token-file FILE",
        "token: not asked",
        "state: mounted",
        "error code 404",
        "retrying models/4/weights.bin",
        "uploaded photos/1//x",
        "https://www.googleapis.com/drive/v3/files?fields=id",
        "mail me@example.org",
        r#"{"expires_in": 3599, "client_id": "123.apps.googleusercontent.com"}"#,
        r#"{"access_token": null}"#,
        r#"{"access_token":"","n":1}"#,
        r#"{\"access_token\":\"\",\"n\":1}"#,
        "token = \"\"\ncache-size = \"3G\"",
        "exit_code=3 mount_state=ready",
        "d41d8cd98f00b204e9800998ecf8427e",
        "the keyboard=small",
    ] {
        let expected = text.to_owned();
        assert_eq!(Redactor::default().redact(text), expected);
    }
}

#[test]
fn what_stands_around_a_secret_stays() {
    let redactor = Redactor::default();
    assert_eq!(redactor.redact("a token ya29.hush, then"), "a token [redacted], then");
    assert_eq!(redactor.redact(r#"{"access_token":"x","n":1}"#), r#"{"access_token":"[redacted]","n":1}"#);
    assert_eq!(redactor.redact("GET /?code=abc&scope=s HTTP"), "GET /?code=[redacted]&scope=s HTTP");
    assert_eq!(redactor.redact("via http://me:pw@proxy:1/x"), "via http://[redacted]@proxy:1/x");
    assert_eq!(redactor.redact(r#"{\"id_token\":\"a\\\"b\",\"n\":1}"#), r#"{\"id_token\":\"[redacted]\",\"n\":1}"#);
    assert_eq!(redactor.redact(r#"token = "a\"b" # c"#), r#"token = "[redacted]" # c"#);
    assert_eq!(redactor.redact("token = \"\"\"\na\"\"\"\nb = 1"), "token = \"\"\"[redacted]\"\"\"\nb = 1");
    assert_eq!(redactor.redact("é ya29.hush é"), "é [redacted] é");
}

#[test]
fn secrets_that_look_like_nothing_are_known() {
    let mut redactor = Redactor::default();
    redactor.know(" open sesame\n");
    redactor.know("short");
    redactor.know_secrets_of(&serde_json::json!({"a": [{"my_token": "another one"}], "type": "authorized_user"}));
    assert_eq!(
        redactor.redact("open sesame, another one, short, authorized_user"),
        "[redacted], [redacted], short, authorized_user"
    );
    assert!(!format!("{redactor:?}").contains("sesame"));
}

#[test]
fn values_alone_are_known_of_a_file_of_any_form() {
    let mut redactor = Redactor::default();
    let token = r#"{"access_token":"open","refresh_token":"open sesame"}"#;
    redactor
        .know_lines(&format!("[r]\ntype = drive\nclient_secret = hunter2\ntoken = {token}\npassword: 'a \\ b c'\n"));
    assert_eq!(
        redactor.redact("drive, hunter2, open, open sesame, a \\ b c, a \\\\ b c"),
        "drive, [redacted], open, [redacted], [redacted], [redacted]"
    );
}

#[test]
fn to_redact_twice_is_to_redact_once() {
    let once = Redactor::default().redact(r#"Bearer abc {"access_token":"x"} token=abc http://a:b@c"#);
    assert_eq!(Redactor::default().redact(&once), once);
}
