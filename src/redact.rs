//! Takes secrets out of text that leaves the machine.
//!
//! Text in this house holds no secrets to begin with; this is the second wall, for what others wrote into it and for what nobody
//! thought of. It knows what tokens, keys and codes look like, and is told of secrets that look like nothing ([`Redactor::know`]).
//! It rather takes out a harmless word than leaves a secret in.

use std::borrow::Cow;

/// What stands in the place of a secret.
pub const REDACTED: &str = "[redacted]";

/// A secret that is shorter may stand in any text by chance.
const LEAST_KNOWN: usize = 6;

/// What secrets begin with, and how many more characters make one.
const PREFIXES: [(&str, usize); 8] = [
    ("ya29.", 4),   // access tokens of Google
    ("1//", 8),     // its refresh tokens
    ("4/", 16),     // its codes
    ("GOCSPX-", 4), // secrets of its OAuth clients
    ("AIza", 16),   // its keys
    ("eyJ", 16),    // JSON web tokens
    ("ghp_", 16),
    ("AKIA", 12),
];

/// Names whose value is a secret wherever they stand, in JSON, TOML, a form, an address or a header.
const NAMES: [&str; 24] = [
    "access_token",
    "refresh_token",
    "id_token",
    "client_secret",
    "client-secret",
    "private_key",
    "private_key_id",
    "code_verifier",
    "assertion",
    "password",
    "passwd",
    "secret",
    "api_key",
    "authorization",
    "proxy-authorization",
    "cookie",
    "set-cookie",
    "upload_id",
    "resourcekey",
    "session_url",
    "device_code",
    "token-command",
    "token_command",
    "pageToken",
];

/// Names that are words too: their value is a secret only where it is set with `=` or in JSON.
const WORDS: [&str; 4] = ["token", "code", "state", "key"];

/// Words that a secret comes after.
const SCHEMES: [&str; 2] = ["bearer ", "basic "];

/// Takes out what looks like a secret, and what it was told is one.
#[derive(Default)]
pub struct Redactor {
    known: Vec<String>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redactor").field("known", &self.known.len()).finish()
    }
}

impl Redactor {
    /// Remembers a secret, to be found as it is. Blanks around it do not count.
    pub fn know(&mut self, secret: &str) {
        let secret = secret.trim();
        if secret.len() >= LEAST_KNOWN && !self.known.iter().any(|known| known == secret) {
            self.known.push(secret.to_owned());
            // The longest first: one may be a part of another.
            self.known.sort_by_key(|known| std::cmp::Reverse(known.len()));
        }
    }

    /// Remembers what is secret in a JSON document, as credentials are kept in one: by the names of its fields.
    pub fn know_secrets_of(&mut self, json: &serde_json::Value) {
        match json {
            serde_json::Value::Array(items) => items.iter().for_each(|item| self.know_secrets_of(item)),
            serde_json::Value::Object(fields) => {
                for (name, value) in fields {
                    let is_secret = ["token", "secret", "key", "code"].iter().any(|word| name.contains(word));
                    match value.as_str() {
                        Some(text) if is_secret && !text.starts_with("http") => self.know(text),
                        _ => self.know_secrets_of(value),
                    }
                }
            }
            _ => {}
        }
    }

    /// `text` without secrets.
    pub fn redact(&self, text: &str) -> String {
        let mut text = Cow::Borrowed(text);
        for secret in &self.known {
            if text.contains(secret.as_str()) {
                text = Cow::Owned(text.replace(secret.as_str(), REDACTED));
            }
        }
        scan(&without_keys(&text))
    }
}

/// Without private keys, from the first line to the last, or to the end if that is missing.
fn without_keys(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(begin) = rest.find("-----BEGIN") {
        kept.push_str(&rest[..begin]);
        let body = &rest[begin + 10..];
        rest = body.find("-----END").map_or("", |end| {
            let after = &body[end + 8..];
            after.find("-----").map_or("", |end| &after[end + 5..])
        });
        kept.push_str(REDACTED);
    }
    kept.push_str(rest);
    kept
}

/// Goes through the text once, and at each place asks what begins there.
fn scan(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let before = text[..at].chars().next_back();
        if let Some((keep, drop)) = secret_at(rest, before) {
            kept.push_str(&rest[..keep]);
            // What was taken out before is taken out as before.
            kept.push_str(REDACTED);
            at += keep + drop;
        } else {
            let c = rest.chars().next().map_or(1, char::len_utf8);
            kept.push_str(&rest[..c]);
            at += c;
        }
    }
    kept
}

/// Whether a secret begins here: how many bytes stand before it that may stay, and how many bytes it has.
fn secret_at(rest: &str, before: Option<char>) -> Option<(usize, usize)> {
    let fresh = before.is_none_or(|c| !c.is_ascii_alphanumeric() && c != '_');
    if !fresh {
        return None;
    }
    for (prefix, least) in PREFIXES {
        if let Some(body) = rest.strip_prefix(prefix) {
            let length = run(body);
            if length >= least {
                return Some((0, prefix.len() + length));
            }
        }
    }
    for scheme in SCHEMES {
        if starts_with(rest, scheme) {
            let length = run(&rest[scheme.len()..]);
            if length > 0 {
                return Some((scheme.len(), length));
            }
        }
    }
    if let Some(found) = user_of_address(rest) {
        return Some(found);
    }
    let name = NAMES.iter().find(|name| starts_with(rest, name)).map(|name| (name.len(), true));
    let name = name.or_else(|| WORDS.iter().find(|name| starts_with(rest, name)).map(|name| (name.len(), false)));
    let (name, anyhow) = name?;
    value_after(rest, name, anyhow)
}

/// The value of a name of so many bytes: where it begins, and its length.
fn value_after(rest: &str, name: usize, anyhow: bool) -> Option<(usize, usize)> {
    let mut at = name;
    let bytes = rest.as_bytes();
    // `\"` is how a quote looks in JSON within JSON, or in a log.
    let skip = |at: &mut usize, set: &[u8]| {
        let begin = *at;
        while bytes.get(*at).is_some_and(|byte| set.contains(byte)) {
            *at += 1;
        }
        *at > begin
    };
    let quoted = skip(&mut at, b"\\\"'");
    skip(&mut at, b" \t");
    let separator = *bytes.get(at)?;
    let counts = separator == b'=' || (separator == b':' && (anyhow || quoted));
    if !counts {
        return None;
    }
    at += 1;
    skip(&mut at, b" \t");
    let quote = at;
    skip(&mut at, b"\\\"'");
    if !rest.is_char_boundary(at) {
        return None;
    }
    let body = &rest[at..];
    let length = if at > quote {
        // To the quote that ends it, or the end of the line.
        body.find(['"', '\'', '\n']).map_or(body.len(), |end| body[..end].trim_end_matches('\\').len())
    } else if separator == b':' {
        // A header: to the end of the line.
        body.find(['\n', '\r', ',', '}']).unwrap_or(body.len())
    } else {
        body.find(|c: char| c.is_whitespace() || matches!(c, '&' | ',' | ';' | '"' | '\'' | ')' | '}'))
            .unwrap_or(body.len())
    };
    let is_nothing = matches!(body[..length].trim(), "" | "null" | "true" | "false" | "…");
    (length > 0 && !is_nothing).then_some((at, length))
}

/// `user:password@` of an address that begins here.
fn user_of_address(rest: &str) -> Option<(usize, usize)> {
    let scheme = ["https://", "http://", "socks5://", "socks5h://"].iter().find(|scheme| starts_with(rest, scheme))?;
    let body = &rest[scheme.len()..];
    let authority = &body[..body.find(|c: char| c.is_whitespace() || "/?#\"'<>`".contains(c)).unwrap_or(body.len())];
    let user = authority.rfind('@')?;
    (user > 0).then_some((scheme.len(), user))
}

/// How many bytes of a token stand here.
fn run(text: &str) -> usize {
    text.find(|c: char| !(c.is_ascii_alphanumeric() || "-._~+/=%".contains(c))).unwrap_or(text.len())
}

fn starts_with(text: &str, lower: &str) -> bool {
    text.get(..lower.len()).is_some_and(|head| head.eq_ignore_ascii_case(lower))
}

#[cfg(test)]
mod tests {
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
    fn to_redact_twice_is_to_redact_once() {
        let once = Redactor::default().redact(r#"Bearer abc {"access_token":"x"} token=abc http://a:b@c"#);
        assert_eq!(Redactor::default().redact(&once), once);
    }
}
