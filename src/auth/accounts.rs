//! [`Accounts`]: the sign-ins that are stored on this machine.
//!
//! A folder of its own for each user, 0700, with a file for each account, 0600, replaced as a whole. The files are of the
//! `authorized_user` form, so other programs can use them, with what we know besides.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;

use super::authorized_user::{TOKEN_URI, web_address};
use super::endpoint::{Endpoint, patiently};
use super::{AuthError, Secret, SignInClient, SignedIn};
use crate::clock::Timestamp;
use crate::net;

/// The longest name of an account.
const MAX_NAME: usize = 64;

/// Where sign-ins are stored.
#[derive(Debug, Clone)]
pub struct Accounts {
    dir: PathBuf,
}

/// A stored sign-in.
#[derive(Debug, Clone)]
pub struct Account {
    /// What its user calls it.
    pub name: String,
    /// Whose drive it is: an email address.
    pub email: String,
    /// The same, as the drive knows them: it does not change, and is not that of another drive.
    pub id: String,
    /// What is mounted with it, as [`crate::config::Source`] is written.
    pub source: String,
    /// What it is good for: scopes separated by spaces.
    pub scopes: String,
    /// When it ends by itself, if that is known.
    pub ends: Option<Timestamp>,
    client_id: String,
    client_secret: Secret,
    refresh_token: Secret,
    token_uri: Url,
}

/// Why a store of sign-ins cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    /// A name that no file can have.
    #[error("{0:?} is no name for an account; use letters, digits and . - _ @ +, at most {MAX_NAME} of them")]
    Name(String),
    /// The system.
    #[error("{} cannot be used: {error}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The file is not ours, or damaged.
    #[error("{} is no stored sign-in; remove it, and sign in again", .0.display())]
    Malformed(PathBuf),
}

impl Account {
    /// What came of a sign-in.
    pub fn new(
        name: &str,
        (id, email): (&str, &str),
        source: &str,
        client: &SignInClient,
        signed_in: SignedIn,
    ) -> Self {
        Self {
            name: name.to_owned(),
            email: email.to_owned(),
            id: id.to_owned(),
            source: source.to_owned(),
            scopes: signed_in.scopes,
            ends: signed_in.ends,
            client_id: client.id.clone(),
            client_secret: client.secret.clone(),
            refresh_token: signed_in.refresh_token,
            token_uri: client.token_uri.clone(),
        }
    }

    /// Whether another account ends with this one: a service revokes all that a client was granted by a person.
    pub fn shares_its_end_with(&self, other: &Self) -> bool {
        (&self.client_id, &self.id, &self.source) == (&other.client_id, &other.id, &other.source)
    }

    /// Makes it worthless, for everybody who has a copy. Google has one address for that; at others it is taken to lie beside that
    /// of tokens, as it does there.
    pub async fn revoke(&self) -> Result<(), AuthError> {
        let google = net::is_googles(&self.token_uri).then(|| web_address(TOKEN_URI)).flatten();
        let uri = google.as_ref().unwrap_or(&self.token_uri).join("revoke").map_err(|_| AuthError::Protocol)?;
        let endpoint = Endpoint::new(self.token_uri.clone())?;
        patiently(|| endpoint.revoke(uri.clone(), &self.refresh_token)).await
    }

    fn to_json(&self) -> Value {
        json!({
            "type": "authorized_user",
            "client_id": self.client_id,
            "client_secret": self.client_secret.expose(),
            "refresh_token": self.refresh_token.expose(),
            "token_uri": self.token_uri,
            "account": self.email,
            "id": self.id,
            "source": self.source,
            "scopes": self.scopes,
            "ends": self.ends.map(Timestamp::to_rfc3339),
        })
    }

    fn parse(name: &str, text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        Some(Self {
            name: name.to_owned(),
            email: text("account")?,
            id: text("id")?,
            source: text("source")?,
            scopes: text("scopes")?,
            ends: text("ends").and_then(|ends| Timestamp::parse_rfc3339(&ends)),
            client_id: text("client_id")?,
            client_secret: Secret::new(&text("client_secret")?),
            refresh_token: Secret::new(&text("refresh_token")?),
            token_uri: web_address(&text("token_uri")?)?,
        })
    }
}

impl Accounts {
    /// Those in the configuration folder `dir`, which need not exist.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The file of an account.
    pub fn path(&self, name: &str) -> Result<PathBuf, AccountsError> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_@+".contains(&byte);
        if name.is_empty() || name.len() > MAX_NAME || name.starts_with('.') || !name.bytes().all(fits) {
            return Err(AccountsError::Name(name.to_owned()));
        }
        Ok(self.folder().join(format!("{name}.json")))
    }

    /// An account, if there is one of that name.
    pub fn find(&self, name: &str) -> Result<Option<Account>, AccountsError> {
        let path = self.path(name)?;
        match fs::read_to_string(&path) {
            Ok(text) => Account::parse(name, &text).map(Some).ok_or(AccountsError::Malformed(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(AccountsError::Malformed(path)),
            Err(error) => Err(AccountsError::Io { path, error }),
        }
    }

    /// The names of all accounts, sorted.
    pub fn names(&self) -> Result<Vec<String>, AccountsError> {
        let folder = self.folder();
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(AccountsError::Io { path: folder, error }),
        };
        let name = |entry: fs::DirEntry| entry.file_name().to_str()?.strip_suffix(".json").map(str::to_owned);
        let mut names: Vec<String> = entries.flatten().filter_map(name).collect();
        names.retain(|name| self.path(name).is_ok());
        names.sort_unstable();
        Ok(names)
    }

    /// Stores an account, in place of one of that name.
    pub fn store(&self, account: &Account) -> Result<(), AccountsError> {
        replace(&self.path(&account.name)?, &account.to_json())
    }

    /// Forgets an account.
    pub fn remove(&self, name: &str) -> Result<(), AccountsError> {
        let path = self.path(name)?;
        fs::remove_file(&path).map_err(|error| AccountsError::Io { path, error })
    }

    /// The client of the last sign-in at `source`. That of another would bring its tokens here.
    pub fn client(&self, source: &str) -> Result<Option<SignInClient>, AccountsError> {
        let path = self.client_path(source);
        match fs::read_to_string(&path) {
            Ok(text) => SignInClient::parse(&text).map(Some).map_err(|_| AccountsError::Malformed(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(AccountsError::Io { path, error }),
        }
    }

    /// Stores the client for the next sign-in at `source`.
    pub fn store_client(&self, source: &str, client: &SignInClient) -> Result<(), AccountsError> {
        replace(&self.client_path(source), &client.to_json())
    }

    fn folder(&self) -> PathBuf {
        self.dir.join("accounts")
    }

    fn client_path(&self, source: &str) -> PathBuf {
        if source == "google" {
            return self.dir.join("client.json");
        }
        let digest = Sha256::digest(source.as_bytes());
        let mark = digest.iter().take(8).fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        self.dir.join(format!("client-{mark}.json"))
    }
}

/// Replaces a file as a whole, for its owner alone. Who reads it sees the old text or the new, and so does a crash.
fn replace(path: &Path, value: &Value) -> Result<(), AccountsError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    // Nobody can have put something there before.
    let draft = path.with_extension(format!("new-{:016x}", rand::random::<u64>()));
    let write = || {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        if fs::metadata(folder)?.permissions().mode() & 0o022 != 0 {
            // Others could put a file of theirs in the place of this one.
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(format!("{value:#}\n").as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        fs::File::open(folder)?.sync_all()
    };
    write().map_err(|error| {
        let _absent = fs::remove_file(&draft);
        AccountsError::Io { path: path.to_owned(), error }
    })
}

#[cfg(test)]
mod tests {
    use super::super::AccessToken;
    use super::*;

    fn account(name: &str) -> Account {
        let client = SignInClient::google("client.apps.example", "GOCSPX-secret").expect("a client");
        let signed_in = SignedIn {
            refresh_token: Secret::new("1//refresh-secret"),
            token: AccessToken::new("ya29.secret").expect("a token"),
            scopes: "https://www.googleapis.com/auth/drive".to_owned(),
            ends: Timestamp::parse_rfc3339("2026-12-02T10:00:00.000Z"),
        };
        Account::new(name, ("17", "me@example.org"), "google", &client, signed_in)
    }

    #[test]
    fn accounts_are_stored_for_their_owner_alone_and_found_again() {
        let dir = tempfile::tempdir().expect("a folder");
        let accounts = Accounts::new(&dir.path().join("drivemount"));
        assert!(accounts.names().expect("lists").is_empty());
        for name in ["work", "default"] {
            accounts.store(&account(name)).expect("stores");
        }
        assert_eq!(accounts.names().expect("lists"), ["default", "work"]);
        let path = accounts.path("work").expect("a name");
        assert_eq!(fs::metadata(&path).expect("is there").permissions().mode() & 0o777, 0o600);
        assert_eq!(
            fs::metadata(path.parent().expect("a folder")).expect("is there").permissions().mode() & 0o777,
            0o700
        );
        let found = accounts.find("work").expect("reads").expect("is there");
        assert_eq!(found.to_json(), account("work").to_json());
        for secret in ["GOCSPX", "1//", "ya29"] {
            assert!(!format!("{found:?}").contains(secret));
        }
        accounts.remove("work").expect("removes");
        assert!(accounts.find("work").expect("reads").is_none());
        fs::write(accounts.path("default").expect("a name"), "{}").expect("writes");
        assert!(accounts.find("default").expect_err("damaged").to_string().contains("sign in again"));
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_none() {
        let accounts = Accounts::new(Path::new("/config"));
        for name in ["", "..", ".hidden", "a/b", "a b", "é", &"x".repeat(65)] {
            assert!(accounts.path(name).is_err(), "{name:?}");
        }
        assert!(accounts.path("me+drive@example.org").is_ok());
    }

    #[tokio::test]
    async fn other_programs_can_use_a_stored_account() {
        let dir = tempfile::tempdir().expect("a folder");
        let accounts = Accounts::new(dir.path());
        accounts.store(&account("default")).expect("stores");
        super::super::AuthorizedUser::open(accounts.path("default").expect("a name")).await.expect("opens");
    }
}
