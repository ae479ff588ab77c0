//! Takes secrets out of text that leaves the machine.
//!
//! Text in this house holds no secrets to begin with; this is the second wall, for what others wrote into it and for what nobody
//! thought of. It knows what tokens, keys and codes look like, and is told of secrets that look like nothing ([`Redactor::know`]).
//! It rather takes out a harmless word than leaves a secret in.
//!
//! ```text
//!   value     where the value of a name ends, in any notation
//! ```

mod value;

use std::borrow::Cow;

use serde_json::Value;

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
const NAMES: [&str; 25] = [
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
    "api-key",
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

/// Those of them that tell of a secret at the end of a longer name too. (`exit_code=1` is none.)
const LAST_WORDS: [&str; 2] = ["token", "key"];

/// What names of secrets have in them, where all that is set is a credential.
const PARTS: [&str; 5] = ["token", "secret", "key", "code", "pass"];

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
            if secret.contains(['"', '\\']) {
                // As it stands in JSON and in logs.
                self.known.push(secret.replace('\\', "\\\\").replace('"', "\\\""));
            }
            // The longest first: one may be a part of another.
            self.known.sort_by_key(|known| std::cmp::Reverse(known.len()));
        }
    }

    /// Remembers what is secret in a JSON document, as credentials are kept in one: by the names of its fields.
    pub fn know_secrets_of(&mut self, json: &Value) {
        match json {
            Value::Array(items) => items.iter().for_each(|item| self.know_secrets_of(item)),
            Value::Object(fields) => {
                for (name, value) in fields {
                    match value.as_str() {
                        Some(text) if tells_of_secret(name, text) => self.know(text),
                        _ => self.know_secrets_of(value),
                    }
                }
            }
            _ => {}
        }
    }

    /// Remembers what is secret in lines of any other form: each line, and what is set to a name in it.
    pub fn know_lines(&mut self, text: &str) {
        for line in text.lines() {
            self.know(line);
            let Some((name, value)) = line.split_once(['=', ':']) else { continue };
            let value = value.trim();
            match serde_json::from_str::<Value>(value) {
                Ok(json @ (Value::Object(_) | Value::Array(_))) => self.know_secrets_of(&json),
                Ok(Value::String(text)) if tells_of_secret(name, &text) => self.know(&text),
                _ if tells_of_secret(name, value) => self.know(value.trim_matches(['"', '\'', '`'])),
                _ => {}
            }
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

/// Whether this value of a name is a secret, among credentials.
fn tells_of_secret(name: &str, value: &str) -> bool {
    let name = name.to_lowercase();
    PARTS.iter().any(|part| name.contains(part)) && !value.starts_with("http")
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
    if before.is_some_and(|c| c.is_ascii_alphanumeric()) {
        return None;
    }
    let is_last = before == Some('_');
    if !is_last && let Some(found) = plain_secret_at(rest) {
        return Some(found);
    }
    let words: &[&str] = if is_last { &LAST_WORDS } else { &WORDS };
    let names = NAMES.iter().map(|name| (*name, true)).chain(words.iter().map(|word| (*word, false)));
    let mut names = names.filter(|(name, _)| starts_with(rest, name));
    // One may begin as another does.
    names.find_map(|(name, anyhow)| value::after(rest, name, anyhow))
}

/// Whether a secret begins here that needs no name.
fn plain_secret_at(rest: &str) -> Option<(usize, usize)> {
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
    user_of_address(rest)
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
mod tests;
