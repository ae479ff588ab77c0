//! Who may ask for tokens: an application with a browser, one on a device without, and a service account. Each is described by
//! a file of the form that Google's console hands out, which people give to their programs.
//!
//! The files are the only place where the secrets are. One that exists keeps its secrets; if the server has moved since, the
//! addresses in it are brought up to date.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rsa::pkcs1v15::{Signature, VerifyingKey};
use rsa::pkcs8::{DecodePrivateKey, EncodePrivateKey, LineEnding};
use rsa::signature::Verifier;
use rsa::{PrivateKey, PublicKey};
use serde_json::{Value, json};
use sha2::Sha256;

use super::super::ids;

/// For programs on a machine with a browser.
pub(crate) const DESKTOP_FILE: &str = "client-secret.json";
/// For devices without one.
pub(crate) const LIMITED_FILE: &str = "client-secret-device.json";
/// For programs without a person.
pub(crate) const SERVICE_FILE: &str = "service-account.json";

const PROJECT: &str = "drivemount";
const SERVICE_EMAIL: &str = "service@drive.localhost";
const KEY_BITS: usize = 2048;

/// How a client comes to its tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// With a browser on the same machine.
    Desktop,
    /// With a code that a person enters elsewhere.
    Limited,
    /// With a key of its own.
    Service,
}

impl Kind {
    /// What a person is told who asks.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Desktop => "An app on this computer",
            Self::Limited => "An app on another device",
            Self::Service => "A service account",
        }
    }
}

/// One that may ask.
#[derive(Debug, Clone)]
pub(super) struct Client {
    /// Its id; of a service account, its address.
    pub id: String,
    pub kind: Kind,
    secret: Secret,
}

/// How it is recognised.
#[derive(Clone)]
enum Secret {
    Text(String),
    Key { id: String, key: VerifyingKey<Sha256> },
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Client {
    /// Whether `shown` is its secret.
    pub(super) fn is_secret(&self, shown: &str) -> bool {
        // Compared as hashes, whose difference tells nothing.
        matches!(&self.secret, Secret::Text(secret) if super::grants::hash(secret) == super::grants::hash(shown))
    }

    /// Whether it signed `message`, with the key that it names, if it names one.
    pub(super) fn has_signed(&self, key_id: Option<&str>, message: &[u8], signature: &[u8]) -> bool {
        let Secret::Key { id, key } = &self.secret else { return false };
        let Ok(signature) = Signature::try_from(signature) else { return false };
        key_id.is_none_or(|named| named == id) && key.verify(message, &signature).is_ok()
    }
}

/// What the server keeps for signing in.
#[derive(Debug, Default)]
pub(crate) struct Oauth {
    pub clients: Clients,
    /// How long an access token works.
    pub access_life: Duration,
    /// How long a refresh token works, if not until nobody uses it.
    pub refresh_life: Option<Duration>,
    /// Where this server is: what an assertion must be meant for.
    pub url: String,
}

impl Oauth {
    /// Whether anybody can sign in.
    pub(crate) fn is_on(&self) -> bool {
        !self.clients.is_empty()
    }
}

/// All that may ask.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clients(Vec<Client>);

impl Clients {
    /// Those described in `folder`, for a server at `url`. Makes the files that are missing; a key takes a second.
    pub(crate) fn kept(folder: &Path, url: &str) -> io::Result<Self> {
        let mut clients = Vec::new();
        for (file, kind) in [(DESKTOP_FILE, Kind::Desktop), (LIMITED_FILE, Kind::Limited)] {
            let path = folder.join(file);
            let (found, text) = read(&path)?;
            let of = |name: &str| found["installed"][name].as_str().map(str::to_owned);
            let id = of("client_id").unwrap_or_else(ids::client);
            let secret = of("client_secret").unwrap_or_else(|| format!("GOCSPX-{}", ids::secret()));
            let description = json!({ "installed": {
                "client_id": id,
                "project_id": PROJECT,
                "auth_uri": format!("{url}/o/oauth2/auth"),
                "token_uri": format!("{url}/token"),
                "client_secret": secret,
                "redirect_uris": ["http://localhost"],
            }});
            keep(&path, &text, &description)?;
            clients.push(Client { id, kind, secret: Secret::Text(secret) });
        }
        clients.push(service(&folder.join(SERVICE_FILE), url)?);
        Ok(Self(clients))
    }

    /// The address of the service account among them.
    pub(crate) fn service_account(&self) -> Option<&str> {
        self.0.iter().find(|client| client.kind == Kind::Service).map(|client| &*client.id)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn find(&self, id: &str) -> Option<Client> {
        self.0.iter().find(|client| client.id == id).cloned()
    }
}

fn service(path: &Path, url: &str) -> io::Result<Client> {
    let (found, text) = read(path)?;
    let of = |name: &str| found[name].as_str().map(str::to_owned);
    let (pem, key) = if let Some(pem) = of("private_key") {
        let key = PrivateKey::from_pkcs8_pem(&pem).map_err(|error| unusable(path, &error.to_string()))?;
        (pem, key)
    } else {
        let key = PrivateKey::new(&mut rand::rng(), KEY_BITS).map_err(io::Error::other)?;
        let pem = key.to_pkcs8_pem(LineEnding::LF).map_err(io::Error::other)?.to_string();
        (pem, key)
    };
    let key_id = of("private_key_id").unwrap_or_else(ids::key);
    let email = of("client_email").unwrap_or_else(|| SERVICE_EMAIL.to_owned());
    let description = json!({
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": key_id,
        "private_key": pem,
        "client_email": email,
        "client_id": of("client_id").unwrap_or_else(ids::account),
        "auth_uri": format!("{url}/o/oauth2/auth"),
        "token_uri": format!("{url}/token"),
    });
    keep(path, &text, &description)?;
    let key = VerifyingKey::new(PublicKey::from(&key));
    Ok(Client { id: email, kind: Kind::Service, secret: Secret::Key { id: key_id, key } })
}

/// What a file says, and its text; nothing if there is none.
fn read(path: &Path) -> io::Result<(Value, String)> {
    match fs::read_to_string(path) {
        Ok(text) => match serde_json::from_str(&text) {
            Ok(value) => Ok((value, text)),
            Err(_) => Err(unusable(path, "it is no JSON")),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((Value::Null, String::new())),
        Err(error) => Err(error),
    }
}

fn unusable(path: &Path, why: &str) -> io::Error {
    let path = path.display();
    io::Error::new(io::ErrorKind::InvalidData, format!("{path} describes no client: {why}; remove it to get another"))
}

/// Writes a description for this user alone, if the file says something else. Whole or not at all.
fn keep(path: &Path, before: &str, description: &Value) -> io::Result<()> {
    let text = format!("{description:#}\n");
    if text == before {
        return Ok(());
    }
    let draft = path.with_extension("new");
    let _ = fs::remove_file(&draft);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn clients_keep_their_secrets_when_the_server_moves() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let first = Clients::kept(folder.path(), "http://127.0.0.1:1").expect("are made");
        let second = Clients::kept(folder.path(), "http://127.0.0.1:2").expect("are kept");
        for (one, other) in first.0.iter().zip(&second.0) {
            assert_eq!(one.id, other.id);
            let (Secret::Text(before) | Secret::Key { id: before, .. }) = &one.secret;
            let (Secret::Text(after) | Secret::Key { id: after, .. }) = &other.secret;
            assert_eq!((one.kind, before), (other.kind, after));
        }
        for file in [DESKTOP_FILE, LIMITED_FILE, SERVICE_FILE] {
            let path = folder.path().join(file);
            let text = fs::read_to_string(&path).expect("is there");
            assert!(text.contains("http://127.0.0.1:2/token") && !text.contains("http://127.0.0.1:1"), "{file}");
            assert_eq!(fs::metadata(&path).expect("is there").permissions().mode() & 0o777, 0o600);
        }
        assert!(!format!("{first:?}").contains("GOCSPX"), "secrets are not shown");
        fs::write(folder.path().join(DESKTOP_FILE), "no JSON").expect("writes");
        let error = Clients::kept(folder.path(), "http://127.0.0.1:2").expect_err("is refused");
        assert!(error.to_string().contains("remove it"), "{error}");
    }
}
